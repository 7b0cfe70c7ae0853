//! What belongs to a ValueSet, and what is refused when it is loaded.

use super::*;

const COLORS: &str = r#"{"resourceType":"CodeSystem","url":"http://x/colors","version":"1","valueSet":"http://x/all-colors","content":"complete",
 "concept":[{"code":"red","concept":[{"code":"pink"}]},{"code":"blue"}]}"#;

fn load(files: &[&str]) -> Result<ValueSets, Vec<String>> {
    let files: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(at, text)| (format!("{at}.json"), (*text).to_owned()))
        .collect();
    ValueSets::load(&files).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn set(name: &str, more: &str) -> String {
    format!(r#"{{"resourceType":"ValueSet","url":"http://x/{name}",{more}}}"#)
}

/// What belongs to `http://x/v` of some codes that are tried.
fn codes(files: &[&str]) -> Vec<String> {
    let sets = load(files).expect("the files load");
    let set = sets.find("http://x/v").expect("the ValueSet");
    let mut all = Vec::new();
    for system in ["http://x/colors", "s"] {
        for code in ["blue", "green", "pink", "red", "rose", "1", "2", "3"] {
            if set.has(system, code) {
                all.push(format!("{system} {code}"));
            }
        }
    }
    all
}

#[test]
fn lists_systems_and_imports_are_joined_and_what_is_excluded_goes() {
    let all = set(
        "v",
        r#""compose":{"include":[{"system":"http://x/colors"},{"system":"s","concept":[{"code":"1"},{"code":"2"}]}]}"#,
    );
    assert_eq!(
        codes(&[&all, COLORS]),
        ["http://x/colors blue", "http://x/colors pink", "http://x/colors red", "s 1", "s 2"]
    );
    let less = set(
        "v",
        r#""compose":{"include":[{"valueSet":["http://x/w|2"]}],"exclude":[{"system":"http://x/colors","concept":[{"code":"red"}]}]}"#,
    );
    let import = set("w", r#""version":"2","compose":{"include":[{"system":"http://x/colors"}]}"#);
    assert_eq!(codes(&[&less, &import, COLORS]), ["http://x/colors blue", "http://x/colors pink"]);
}

#[test]
fn several_conditions_of_one_include_must_all_hold() {
    let both = set(
        "v",
        r#""compose":{"include":[{"system":"http://x/colors","valueSet":["http://x/w"]}]}"#,
    );
    let other = set(
        "w",
        r#""compose":{"include":[{"system":"http://x/colors","concept":[{"code":"red"},{"code":"green"}]},{"system":"s","concept":[{"code":"1"}]}]}"#,
    );
    assert_eq!(codes(&[&both, &other, COLORS]), ["http://x/colors red"]);
}

#[test]
fn a_complete_expansion_is_believed_and_a_page_of_one_is_not() {
    let filter = r#""compose":{"include":[{"system":"s","filter":[{"property":"concept","op":"is-a","value":"1"}]}]}"#;
    let expansion = |total| {
        let more = format!(
            r#"{filter},"expansion":{{"total":{total},"contains":[{{"system":"s","code":"1","contains":[{{"system":"s","code":"2"}}]}},
            {{"system":"s","code":"3","abstract":true}}]}}"#
        );
        set("v", &more)
    };
    assert_eq!(codes(&[&expansion(3)]), ["s 1", "s 2"]);
    let faults = load(&[&expansion(40)]).expect_err("a page");
    assert!(
        faults[0].starts_with("0.json:1:") && faults[0].contains("a filter needs a terminology server"),
        "{faults:?}"
    );
}

#[test]
fn a_canonical_names_a_version_where_there_are_several() {
    let one = |version: &str, code: &str| {
        set(
            "v",
            &format!(r#""version":"{version}","compose":{{"include":[{{"system":"s","concept":[{{"code":"{code}"}}]}}]}}"#),
        )
    };
    let sets = load(&[&one("1", "a"), &one("2", "b"), COLORS]).expect("the files load");
    assert!(sets.find("http://x/v").is_none() && sets.find("http://x/v|3").is_none());
    assert!(
        sets.find("http://x/v|2")
            .is_some_and(|codes| codes.has("s", "b") && !codes.has("s", "a"))
    );
    let implied = sets.find("http://x/all-colors").expect("the system's own ValueSet");
    assert!(implied.has("http://x/colors", "pink") && implied.has_code("pink") && !implied.has("s", "pink"));
}

#[test]
fn what_would_need_a_server_or_is_not_there_is_a_fault() {
    let fault = |files: &[&str], words: &str| {
        let faults = load(files).expect_err("a fault");
        assert!(faults.iter().any(|fault| fault.contains(words)), "{words}: {faults:#?}");
    };
    let include = |what: &str| set("v", &format!(r#""compose":{{"include":[{what}]}}"#));
    fault(
        &[&include(r#"{"system":"http://elsewhere"}"#)],
        "`http://elsewhere` is not in the package",
    );
    fault(
        &[&include(r#"{"valueSet":["http://x/none"]}"#)],
        "`http://x/none` is not in the package",
    );
    fault(
        &[&include(r#"{"system":"http://x/colors","version":"9"}"#), COLORS],
        "asks for version `9`",
    );
    fault(&[&include("{}")], "needs a `system` or a `valueSet`");
    let part = COLORS.replace("complete", "fragment");
    fault(&[&include(r#"{"system":"http://x/colors"}"#), &part], "is not complete");
    let (a, b) = (
        set("v", r#""compose":{"include":[{"valueSet":["http://x/w"]}]}"#),
        set("w", r#""compose":{"include":[{"valueSet":["http://x/v"]}]}"#),
    );
    fault(&[&a, &b], "includes itself");
    fault(&[&a, &a], "already there");
    fault(&[&set("v", r#""status":"draft""#)], "neither `compose`");
    fault(&[r#"{"resourceType":"ValueSet"}"#], "needs a `url`");
    fault(&["{"], "is not JSON");
}

#[test]
fn filters_over_a_system_that_is_loaded_need_no_server() {
    let system = r#"{"resourceType":"CodeSystem","url":"http://x/colors","content":"complete",
        "concept":[{"code":"red","property":[{"code":"warm","valueBoolean":true},{"code":"wave","valueInteger":700}],
            "concept":[{"code":"pink","concept":[{"code":"rose"}]}]},
        {"code":"blue","display":"Blue","property":[{"code":"warm","valueBoolean":false}]},
        {"code":"green","property":[{"code":"parent","valueCode":"blue"}]}]}"#;
    for (property, op, value, expected) in [
        ("concept", "is-a", "red", "pink red rose"),
        ("concept", "is-a", "blue", "blue green"),
        ("concept", "descendent-of", "red", "pink rose"),
        ("concept", "is-not-a", "red", "blue green"),
        ("concept", "generalizes", "rose", "pink red rose"),
        ("concept", "in", "red, blue", "blue red"),
        ("concept", "not-in", "red,blue", "green pink rose"),
        ("code", "regex", "r.*", "red rose"),
        ("code", "regex", "r", ""),
        ("parent", "=", "red", "pink"),
        ("child", "=", "rose", "pink"),
        ("child", "exists", "false", "green rose"),
        ("warm", "=", "true", "red"),
        ("warm", "exists", "true", "blue red"),
        ("warm", "exists", "false", "green pink rose"),
        ("wave", "in", "400,700", "red"),
        ("display", "=", "Blue", "blue"),
    ] {
        let filter = format!(r#"{{"property":"{property}","op":"{op}","value":"{value}"}}"#);
        let set = set(
            "v",
            &format!(r#""compose":{{"include":[{{"system":"http://x/colors","filter":[{filter}]}}]}}"#),
        );
        let found = codes(&[&set, system]).join(" ").replace("http://x/colors ", "");
        assert_eq!(found, expected, "{property} {op} {value}");
    }
}

#[test]
fn what_a_package_cannot_decide_is_unknown_and_says_why() {
    let snomed = "http://snomed.info/sct";
    let set = set(
        "v",
        r#""compose":{"include":[{"system":"http://snomed.info/sct","filter":[{"property":"concept","op":"is-a","value":"404684003"}]},
            {"system":"s","concept":[{"code":"1"}]}],"exclude":[{"system":"s","concept":[{"code":"2"}]}]}"#,
    );
    let other = self::set(
        "w",
        r#""compose":{"include":[{"valueSet":["http://vsac/v"]},{"valueSet":["http://x/v"]}]}"#,
    );
    let mut package = vec![("p.json".to_owned(), set), ("w.json".to_owned(), other)];
    // Others are no business of ours.
    package.push(("patient.json".to_owned(), r#"{"resourceType":"Patient"}"#.to_owned()));
    let (sets, faults) = ValueSets::with_packages(&[], package);
    assert_eq!(faults, []);
    let set = sets.find("http://x/v").expect("a ValueSet");
    assert_eq!(set.membership("s", "1"), Membership::In);
    assert_eq!(set.membership("s", "2"), Membership::Out);
    assert_eq!(set.membership("t", "1"), Membership::Out);
    assert_eq!(set.membership(snomed, "22298006"), Membership::Unknown);
    assert_eq!(set.membership(snomed, "22298007"), Membership::Out, "a wrong check digit");
    assert_eq!(set.membership_of_code("1"), Membership::In);
    assert_eq!(set.membership_of_code("x"), Membership::Out);
    assert!(
        set.undecided()[0].contains("a filter needs a terminology server"),
        "{:?}",
        set.undecided()
    );
    let other = sets.find("http://x/w").expect("a ValueSet");
    assert_eq!(other.membership("s", "1"), Membership::In);
    assert_eq!(other.membership("s", "2"), Membership::Unknown);
    assert_eq!(other.membership_of_code("x"), Membership::Unknown);
    assert_eq!(other.undecided().len(), 2);
}

#[test]
fn the_own_one_counts_then_the_latest() {
    let one = |version: &str, code: &str| {
        set(
            "v",
            &format!(r#""version":"{version}","compose":{{"include":[{{"system":"s","concept":[{{"code":"{code}"}}]}}]}}"#),
        )
    };
    let package = ["4.0.9", "4.0.10", "4.0.2"].map(|version| (version.to_owned(), one(version, version)));
    let (sets, _) = ValueSets::with_packages(&[], package.to_vec());
    assert!(sets.find("http://x/v").is_some_and(|set| set.has_code("4.0.10")));
    assert!(sets.find("http://x/v|4.0.2").is_some_and(|set| set.has_code("4.0.2")));
    let own = ("own".to_owned(), one("1", "own"));
    let (sets, faults) = ValueSets::with_packages(&[own], package.to_vec());
    assert_eq!(faults, []);
    assert!(sets.find("http://x/v").is_some_and(|set| set.has_code("own")));
}

#[test]
fn a_system_that_does_not_tell_cases_apart_is_asked_so() {
    let system = COLORS.replace("\"content\"", "\"caseSensitive\":false,\"content\"");
    let all = set(
        "v",
        r#""compose":{"include":[{"system":"http://x/colors","concept":[{"code":"Red"}]}]}"#,
    );
    let sets = load(&[&all, &system]).expect("the files load");
    assert!(
        sets.find("http://x/v")
            .is_some_and(|set| set.has("http://x/colors", "rED") && !set.has("http://x/colors", "blue"))
    );
    assert_eq!(sets.code("http://x/colors", "BLUE"), Membership::In);
    assert_eq!(sets.code("http://x/colors", "grey"), Membership::Out);
    assert_eq!(sets.code("http://x/none", "grey"), Membership::Unknown);
}

#[test]
fn sets_that_name_one_another_over_and_over_come_to_an_end() {
    let mut files = Vec::new();
    for level in 0..40 {
        let next = format!(r#"{{"valueSet":["http://x/n{}"]}}"#, level + 1);
        let more = format!(r#""compose":{{"include":[{next},{next}]}}"#);
        files.push((format!("{level}.json"), set(&format!("n{level}"), &more)));
    }
    files.push((
        "end".to_owned(),
        set("n40", r#""compose":{"include":[{"system":"s","concept":[{"code":"1"}]}]}"#),
    ));
    let (sets, _) = ValueSets::with_packages(&[], files);
    let top = sets.find("http://x/n0").expect("a ValueSet");
    assert_eq!(top.membership("s", "1"), Membership::In);
    assert_eq!(top.membership("s", "2"), Membership::Unknown);
}
