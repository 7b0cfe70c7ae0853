//! Holds the scope an EHR granted against the scope that was asked for: more than asked is refused, less is told.
//! Basis: SMART App Launch 2.2.0, "Scopes for requesting FHIR resources": `system/Type.cruds`, v1's `.read` and `.write` among them.

const READ: u8 = 0b01;
const SEARCH: u8 = 0b10;

/// One scope of resources.
#[derive(Debug, PartialEq, Eq)]
struct Scope<'t> {
    /// As it was written.
    text: &'t str,
    is_system: bool,
    /// A type, or `*`.
    resource: &'t str,
    /// What may be done: read, search, and three bits of what changes.
    rights: u8,
    /// The search that narrows it.
    query: &'t str,
}

impl<'t> Scope<'t> {
    /// `None` for what is no scope of resources, as `openid`; it gives no data.
    fn parse(text: &'t str) -> Option<Self> {
        let (level, rest) = text.split_once('/')?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (resource, rights) = path.rsplit_once('.')?;
        Some(Self {
            text,
            is_system: level == "system",
            resource,
            rights: rights_of(rights),
            query,
        })
    }
}

/// v2's letters, v1's words. What is neither counts as everything: nobody knows what it allows.
fn rights_of(text: &str) -> u8 {
    match text {
        "read" => READ | SEARCH,
        "write" => 0b1_1100,
        letters if !letters.is_empty() => letters.chars().fold(0, |rights, letter| {
            rights
                | match letter {
                    'r' => READ,
                    's' => SEARCH,
                    'c' => 0b00100,
                    'u' => 0b01000,
                    'd' => 0b10000,
                    _ => u8::MAX,
                }
        }),
        _ => u8::MAX,
    }
}

fn scopes(text: &str) -> impl Iterator<Item = Scope<'_>> {
    text.split_ascii_whitespace().filter_map(Scope::parse)
}

/// The granted scopes that allow more than `asked` does, as the server wrote them when that can be shown.
pub fn beyond<'t>(asked: &str, granted: &'t str) -> Vec<&'t str> {
    let asked: Vec<Scope<'_>> = scopes(asked).collect();
    let is_covered = |given: &Scope<'_>| {
        let covering = asked.iter().filter(|scope| {
            scope.is_system
                && (scope.resource == "*" || scope.resource == given.resource)
                && (scope.query.is_empty() || scope.query == given.query)
        });
        let rights = covering.fold(0, |rights, scope| rights | scope.rights);
        given.is_system && given.rights & !rights == 0
    };
    let more = scopes(granted).filter(|given| !is_covered(given));
    more.map(|scope| shown(scope.text)).collect()
}

/// Of `types` those that may not be read or searched by what was granted, each with the reason. Without types everything was
/// asked for: one reason without a type when not everything was granted.
pub fn missing(types: &[String], granted: &str) -> Vec<(String, &'static str)> {
    let granted: Vec<Scope<'_>> = scopes(granted).filter(|scope| scope.is_system).collect();
    let rights = |name: &str, narrowed: bool| {
        let of_type = granted.iter().filter(|scope| scope.resource == "*" || scope.resource == name);
        let counted = of_type.filter(|scope| narrowed || scope.query.is_empty());
        counted.fold(0, |rights, scope| rights | scope.rights) & (READ | SEARCH)
    };
    let everything = ["*".to_owned()];
    let types = if types.is_empty() { &everything[..] } else { types };
    let mut missing = Vec::new();
    for name in types {
        let all = READ | SEARCH;
        if rights(name, false) == all {
            continue;
        }
        let is_all = name == "*";
        let why = match (is_all, rights(name, true) == all) {
            (true, _) => {
                "everything was asked for, and the EHR granted only some types; name the types to ask for, or let its owner grant `system/*.rs`"
            }
            (false, true) => "granted only in part: the scope is narrowed by a search",
            (false, false) => "not granted: let the EHR's owner add it to this client's scope",
        };
        missing.push((if is_all { String::new() } else { name.clone() }, why));
    }
    missing
}

/// A server's text is shown only when it looks like a scope.
fn shown(text: &str) -> &str {
    let is_plain = text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/*._-".contains(&byte));
    if is_plain { text } else { "another one" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_beyond_what_was_asked_is_found() {
        let check = |asked: &str, granted: &str, expected: &[&str]| assert_eq!(beyond(asked, granted), expected, "{granted} for {asked}");
        let two = "system/Patient.rs system/Observation.rs";
        check(two, two, &[]);
        check(two, "system/Patient.rs", &[]);
        check(two, "system/Patient.read system/Observation.r system/Observation.s", &[]);
        check(two, "openid system/Patient.rs", &[]);
        check(two, "system/Observation.rs?category=laboratory", &[]);
        check(two, "system/*.rs", &["system/*.rs"]);
        check(two, "system/*.*", &["system/*.*"]);
        check(two, "system/Patient.cruds system/Observation.rs", &["system/Patient.cruds"]);
        check(two, "system/Patient.write", &["system/Patient.write"]);
        check(two, "system/Condition.rs", &["system/Condition.rs"]);
        check(two, "user/Patient.rs", &["user/Patient.rs"]);
        check("system/*.rs", "system/*.read system/Condition.rs", &[]);
        check("system/*.read", "system/*.rs", &[]);
        check(
            "system/Observation.rs?category=a",
            "system/Observation.rs",
            &["system/Observation.rs"],
        );
        check(
            "system/Observation.rs?category=a",
            "system/Observation.rs?category=b",
            &["another one"],
        );
        check("", "system/Patient.r", &["system/Patient.r"]);
    }

    #[test]
    fn what_was_not_granted_is_told_type_by_type() {
        let types = ["Patient", "Observation", "Condition"].map(str::to_owned);
        let check = |granted: &str, expected: &[&str]| {
            let names: Vec<String> = missing(&types, granted).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, expected, "{granted}");
        };
        check("system/*.rs", &[]);
        check("system/*.read", &[]);
        check("system/Patient.rs system/Condition.cruds", &["Observation"]);
        check("system/Patient.r system/Condition.rs system/Observation.rs", &["Patient"]);
        check("user/*.rs", &["Patient", "Observation", "Condition"]);
        let partly = missing(
            &types,
            "system/Patient.rs system/Condition.rs system/Observation.rs?category=laboratory",
        );
        assert_eq!(partly.len(), 1);
        assert!(partly[0].1.contains("in part"), "{partly:?}");
        assert_eq!(missing(&[], "system/*.rs"), []);
        assert_eq!(missing(&[], "system/Patient.rs").len(), 1);
    }
}
