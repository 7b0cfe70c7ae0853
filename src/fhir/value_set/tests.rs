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

/// The codes of `http://x/v`, in order.
fn codes(files: &[&str]) -> Vec<String> {
    let sets = load(files).expect("the files load");
    let codes = sets.get("http://x/v").expect("the ValueSet");
    let mut all: Vec<_> = codes
        .systems
        .iter()
        .flat_map(|(system, codes)| codes.iter().map(move |code| format!("{system} {code}")))
        .collect();
    all.sort();
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
    assert!(sets.get("http://x/v").is_none() && sets.get("http://x/v|3").is_none());
    assert!(
        sets.get("http://x/v|2")
            .is_some_and(|codes| codes.has("s", "b") && !codes.has("s", "a"))
    );
    let implied = sets.get("http://x/all-colors").expect("the system's own ValueSet");
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
