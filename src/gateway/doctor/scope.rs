//! The scope that was granted against the scope this site needs: too narrow, too wide, or right.
//! SMART App Launch 2.2.0, "Scopes for requesting FHIR Resources": v1 `.read` is v2 `.rs`; the letters are `cruds`.

use super::finding::{Finding, Mender};

/// Whether `granted` lets every type in `needed` be read and searched.
pub(super) fn examine(granted: Option<&str>, needed: &[String]) -> Finding {
    let Some(granted) = granted else {
        // RFC 6749, section 5.1: a scope that is not said is the one that was asked for.
        return Finding::ok(
            "scope.unsaid",
            "the server does not say what it granted, so it granted what was asked for",
        );
    };
    let scopes: Vec<Scope<'_>> = granted.split_whitespace().filter_map(Scope::read).collect();
    let may = |name: &str| {
        scopes
            .iter()
            .any(|scope| (scope.name == "*" || scope.name == name) && scope.reads && !scope.only_some)
    };
    let partly = |name: &str| scopes.iter().any(|scope| (scope.name == "*" || scope.name == name) && scope.reads);
    let missing: Vec<&str> = needed.iter().map(String::as_str).filter(|name| !partly(name)).collect();
    if !missing.is_empty() {
        return Finding::fail(
            "scope.narrow",
            format!("the EHR grants this client nothing of: {}", missing.join(", ")),
            Mender::EhrTeam,
            format!(
                "ask the EHR's team to grant it {}",
                missing.iter().map(|name| format!("system/{name}.rs")).collect::<Vec<_>>().join(" ")
            ),
        );
    }
    let some: Vec<&str> = needed.iter().map(String::as_str).filter(|name| !may(name)).collect();
    if !some.is_empty() {
        return Finding::warn(
            "scope.partial",
            format!(
                "the EHR grants only a part (by category, or read without search) of: {}",
                some.join(", ")
            ),
            Mender::EhrTeam,
            "see that the part is the one this network needs; what is not granted looks as if it did not exist",
        );
    }
    if scopes.iter().any(|scope| scope.writes) {
        return Finding::warn(
            "scope.wide",
            "the EHR grants this client more than to read; a gateway that only reads should not be able to write",
            Mender::EhrTeam,
            "ask the EHR's team to grant no more than the scopes `headwater init` printed",
        );
    }
    Finding::ok(
        "scope.ok",
        "every type this site needs may be read and searched, and nothing may be written",
    )
}

struct Scope<'a> {
    name: &'a str,
    /// Read and, in v2, search.
    reads: bool,
    writes: bool,
    /// Read without search, or a category only.
    only_some: bool,
}

impl<'a> Scope<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("system/")?;
        let (rest, filtered) = rest.split_once('?').map_or((rest, false), |(rest, _)| (rest, true));
        let (name, rights) = rest.split_once('.')?;
        let scope = |reads, writes, only_some| Self {
            name,
            reads,
            writes,
            only_some: only_some || filtered,
        };
        Some(match rights {
            "read" => scope(true, false, false),
            "write" => scope(false, true, false),
            "*" => scope(true, true, false),
            letters => {
                let has = |letter: char| letters.contains(letter);
                let writes = has('c') || has('u') || has('d');
                scope(has('r') || has('s'), writes, !(has('r') && has('s')))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_weighed_by_what_is_needed_in_every_spelling() {
        let needed = ["Condition".to_owned(), "Patient".to_owned()];
        for (granted, id) in [
            ("system/*.rs", "scope.ok"),
            ("system/*.read", "scope.ok"),
            ("system/Patient.rs system/Condition.read openid", "scope.ok"),
            ("system/*.*", "scope.wide"),
            ("system/*.cruds", "scope.wide"),
            ("system/Patient.rs system/Condition.rs system/Task.write", "scope.wide"),
            ("system/Patient.rs", "scope.narrow"),
            ("", "scope.narrow"),
            ("patient/*.rs user/*.rs", "scope.narrow"),
            ("system/Patient.rs system/Condition.cud", "scope.narrow"),
            ("system/Patient.rs system/Condition.r", "scope.partial"),
            ("system/Patient.rs system/Condition.rs?category=x", "scope.partial"),
        ] {
            assert_eq!(examine(Some(granted), &needed).id, id, "{granted}");
        }
        assert_eq!(examine(None, &needed).id, "scope.unsaid");
        assert!(examine(Some("system/Patient.rs"), &needed).means.ends_with(": Condition"));
    }
}
