//! The scope that was granted against the scope this site needs: too narrow, too wide, or right. What a scope allows is
//! `pull`'s to say, which holds every run to the same.

use super::finding::{Finding, Mender};
use crate::pull::{EhrSettings, scope_beyond, scope_missing};

/// Whether `granted` lets every type that `settings` name be read and searched, and nothing more.
pub(super) fn examine(granted: Option<&str>, settings: &EhrSettings) -> Finding {
    let Some(granted) = granted else {
        // RFC 6749, section 5.1: a scope that is not said is the one that was asked for.
        return Finding::ok(
            "scope.unsaid",
            "the server does not say what it granted, so it granted what was asked for",
        );
    };
    let missing = scope_missing(&settings.types, granted);
    let in_part = |why: &str| why.starts_with("granted only in part");
    let named = |part: bool| -> Vec<&str> {
        let of = missing.iter().filter(|(_, why)| in_part(why) == part);
        of.map(|(name, _)| if name.is_empty() { "everything" } else { name.as_str() })
            .collect()
    };
    let (narrow, partial) = (named(false), named(true));
    if !narrow.is_empty() {
        let wanted: Vec<String> = narrow.iter().map(|name| format!("system/{name}.rs")).collect();
        return Finding::fail(
            "scope.narrow",
            format!("the EHR does not let this client read and search: {}", narrow.join(", ")),
            Mender::EhrTeam,
            format!("ask the EHR's team to grant it {}", wanted.join(" ").replace("everything", "*")),
        );
    }
    let beyond = scope_beyond(&settings.widest_scope(), granted);
    if !beyond.is_empty() {
        let means = format!("the EHR grants this client more than it asked for: {}", beyond.join(" "));
        return if settings.accept_wider_scope {
            Finding::warn(
                "scope.wide",
                means,
                Mender::EhrTeam,
                "ask the EHR's team to grant no more than the scopes `headwater init` printed",
            )
        } else {
            Finding::fail(
                "scope.wide",
                format!("{means}; a run is refused"),
                Mender::EhrTeam,
                "ask the EHR's team to grant no more than the scopes `headwater init` printed; if that cannot be, set accept_wider_scope = true in [ehr]",
            )
        };
    }
    if !partial.is_empty() {
        return Finding::warn(
            "scope.partial",
            format!("the EHR grants only a part, such as a category, of: {}", partial.join(", ")),
            Mender::EhrTeam,
            "see that the part is the one this network needs; what is not granted looks as if it did not exist",
        );
    }
    Finding::ok("scope.ok", "every type this site needs may be read and searched, and nothing more")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use crate::platform::http::Url;

    fn settings() -> EhrSettings {
        let mut settings = EhrSettings::new(Url::parse("https://ehr.example.org").unwrap(), "headwater");
        settings.types = vec!["Condition".to_owned(), "Patient".to_owned()];
        settings
    }

    #[test]
    fn a_scope_is_weighed_by_what_is_needed_in_every_spelling() {
        for (granted, id) in [
            ("system/Patient.rs system/Condition.read openid", "scope.ok"),
            ("system/*.rs", "scope.wide"),
            ("system/*.cruds", "scope.wide"),
            ("system/Patient.rs system/Condition.rs system/Task.write", "scope.wide"),
            ("system/Patient.rs", "scope.narrow"),
            ("", "scope.narrow"),
            ("patient/*.rs user/*.rs", "scope.narrow"),
            ("system/Patient.rs system/Condition.cud", "scope.narrow"),
            ("system/Patient.rs system/Condition.r", "scope.narrow"),
            ("system/Patient.rs system/Condition.rs?category=x", "scope.partial"),
        ] {
            assert_eq!(examine(Some(granted), &settings()).id, id, "{granted}");
        }
        assert_eq!(examine(None, &settings()).id, "scope.unsaid");
        assert!(examine(Some("system/Patient.rs"), &settings()).means.ends_with(": Condition"));
    }

    #[test]
    fn a_wider_scope_fails_only_where_a_run_would() {
        let mut settings = settings();
        assert_eq!(examine(Some("system/*.*"), &settings).outcome, Outcome::Fail);
        settings.accept_wider_scope = true;
        assert_eq!(examine(Some("system/*.*"), &settings).outcome, Outcome::Warn);
    }
}
