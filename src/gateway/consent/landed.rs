//! What the landing says of who may leave: the newest state of Consent, Flag and tagged Patient resources that are still there.
//! A resource that the EHR deleted, or that an export which shows all of its type does not show, says nothing any more.

use std::collections::HashMap;

use jiff::civil::Date;

use super::super::error::GatewayError;
use super::super::journal::Run;
use super::super::ledger::{self, SourceKey};
use super::super::site::Site;
use super::super::steps::{self, Bench, Deletion, Head};
use super::super::transform::source_key;
use super::super::version;
use super::fault::ConsentError;
use super::leave::{DENIED, Leave};
use super::settings::{ConsentSettings, Require};
use super::statement::{self, Statement, any_coding, text};
use super::subject::{self, days};
use crate::fhir::name::Name;
use crate::fhir::tree::Node;
use crate::landing::Kind;
use crate::platform::database;

/// What is said of a patient (`Patient/id`).
pub(super) enum Said {
    Consent(Statement),
    /// A flag or a tag keeps the patient here.
    Kept,
}

/// The newest state of one resource.
struct Held {
    version: String,
    run: i64,
    resource_type: &'static str,
    said: Option<(String, Said)>,
}

/// What is said of whom, in no order, as of `run`; and how many consents that speak of us name no patient.
/// # Errors: a line of this run that cannot be read where a statement may stand; a segment that cannot be read; the database.
pub(super) fn said(site: &Site, run: &Run) -> Result<(Vec<(String, Said)>, u64), GatewayError> {
    let settings = &site.settings.consent;
    let mut types = settings.types();
    if !settings.patient_tags.is_empty() {
        types.push("Patient");
    }
    if types.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let today = run.day();
    let mut segments = site.landing.all_segments()?;
    // Of one run, what is deleted before what is there: it was made again.
    segments.sort_by_key(|segment| (segment.run, segment.kind == Kind::Resources, segment.id));
    let (mut held, mut nobodys, mut unread): (HashMap<SourceKey, Held>, u64, u64) = Default::default();
    let (mut bench, mut bytes) = (Bench::default(), Vec::new());
    for segment in &segments {
        let is_ours = types.contains(&segment.resource_type.as_str()) || !steps::is_resource_type(&segment.resource_type);
        if segment.kind == Kind::Outcome || (segment.kind == Kind::Resources && !is_ours) {
            continue;
        }
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            for (_, line) in steps::lines(1, &bytes) {
                let Ok(root) = bench.read(line, &site.settings.limits) else {
                    unread += u64::from(segment.run == run.id);
                    continue;
                };
                if segment.kind == Kind::Deleted {
                    for deletion in steps::deletions(root) {
                        if let Deletion::Of(resource_type, id) = deletion {
                            held.remove(&source_key(site, resource_type, &id));
                        }
                    }
                    continue;
                }
                let Ok(head) = Head::of(root) else {
                    unread += u64::from(segment.run == run.id);
                    continue;
                };
                let Some(resource_type) = types.iter().find(|name| **name == head.resource_type) else {
                    continue;
                };
                let key = source_key(site, head.resource_type, &head.id);
                let version = version::of(&head.last_updated).to_owned();
                // Of one run the later version counts, and of two runs the later run: an EHR's clock may have gone back.
                let is_older = |held: &Held| held.run == segment.run && version::is_later(&held.version, &version);
                if held.get(&key).is_some_and(is_older) {
                    continue;
                }
                let said = of(root, settings, today);
                nobodys += u64::from(said.is_none() && *resource_type == "Consent" && subject::of(root).is_none());
                let run = segment.run;
                held.insert(
                    key,
                    Held {
                        version,
                        run,
                        resource_type,
                        said,
                    },
                );
            }
        }
    }
    // It may be the one that says no.
    if unread > 0 {
        return Err(ConsentError::Unreadable { lines: unread }.into());
    }
    let db = database::lock(&site.db);
    let mut found = Vec::new();
    for (key, held) in held {
        if held.run != run.id {
            let is_whole = run.proven.get(held.resource_type).is_some_and(|proven| proven.whole);
            if is_whole || ledger::known(&db, &key)?.is_none() {
                continue;
            }
        }
        found.extend(held.said);
    }
    Ok((found, nobodys))
}

fn of(root: Node<'_, '_>, settings: &ConsentSettings, today: Date) -> Option<(String, Said)> {
    match root.resource_type()? {
        "Consent" => statement::read(root, settings, today).map(|(patient, said)| (patient, Said::Consent(said))),
        "Flag" => {
            let ended = root.get(Name::of("period")).map(|period| text(period, "end").into_owned());
            let is_over = ended.and_then(|end| days(&end)).is_some_and(|end| end.1 < today);
            let holds = text(root, "status") == "active" && any_coding(root, "code", &settings.flags) && !is_over;
            holds.then(|| subject::of(root)).flatten().map(|patient| (patient, Said::Kept))
        }
        _ => {
            let meta = root.get(Name::of("meta"))?;
            let tagged = ["security", "tag"]
                .iter()
                .any(|name| any_coding(meta, name, &settings.patient_tags));
            tagged.then(|| subject::of(root)).flatten().map(|patient| (patient, Said::Kept))
        }
    }
}

/// What the statements about one patient come to. The newest speaks; of two of one moment, or where one does not say when it
/// was made, a denial does.
pub(super) fn leave(mut statements: Vec<Statement>, require: Require) -> Leave {
    // What says nothing, for its time is over, neither permits nor denies.
    let denies = |statement: &Statement| {
        let mut clauses = statement.clauses.iter();
        !statement.clauses.is_empty() && clauses.all(|clause| !clause.permits)
    };
    // A denial without a moment is the newest, a permission without one the oldest.
    let rank = |statement: &Statement| match (statement.given.is_empty(), denies(statement)) {
        (true, true) => 2,
        (true, false) => 0,
        (false, _) => 1,
    };
    let is_newer = |one: &Statement, other: &Statement| {
        rank(one) > rank(other) || (rank(one) == rank(other) && version::is_later(&one.given, &other.given))
    };
    let newest: Vec<usize> = (0..statements.len())
        .filter(|at| !statements.iter().any(|other| is_newer(other, &statements[*at])))
        .collect();
    let mut speaking: Vec<Statement> = newest.into_iter().rev().map(|at| statements.swap_remove(at)).collect();
    speaking.sort_by_key(|statement| denies(statement));
    if speaking.iter().any(denies) && require == Require::OptIn {
        return Leave::Nothing(DENIED);
    }
    let base = (require == Require::OptOut).then_some(super::leave::Clause::always(true));
    let is_alone = speaking.len() == 1;
    let mut clauses: Vec<_> = speaking.into_iter().flat_map(|statement| statement.clauses).collect();
    // Within one statement the later rule counts. Of several of one moment none comes later: every denial counts, in whatever
    // order they were found.
    if !is_alone {
        clauses.sort_by_key(|clause| (!clause.permits, clause.from, clause.until));
    }
    Leave::by(base.into_iter().chain(clauses).collect())
}

#[cfg(test)]
mod tests {
    use super::super::leave::Clause;
    use super::*;

    fn statement(given: &str, permits: bool) -> Statement {
        Statement {
            given: given.to_owned(),
            clauses: vec![Clause::always(permits)],
            is_doubtful: false,
        }
    }

    #[test]
    fn the_newest_statement_speaks_and_in_doubt_a_denial() {
        for (said, leaves) in [
            (vec![("2024-01-01", true)], true),
            (vec![("2024-01-01", true), ("2024-02-01", false)], false),
            (vec![("2024-02-01", false), ("2024-01-01", true)], false),
            (vec![("2024-01-01", false), ("2024-02-01", true)], true),
            (vec![("2024-01-01T10:00:00Z", false), ("2024-01-01T12:00:00+01:00", true)], true),
            (vec![("2024-01-01", false), ("2024-01-01", true)], false),
            (vec![("", false), ("2024-02-01", true)], false),
            (vec![("", true), ("2024-02-01", false)], false),
            (vec![("", true), ("", false)], false),
        ] {
            for require in [Require::OptIn, Require::OptOut] {
                let statements = said.iter().map(|(given, permits)| statement(given, *permits)).collect();
                assert_eq!(leave(statements, require) == Leave::All, leaves, "{said:?} {require:?}");
            }
        }
    }

    #[test]
    fn of_several_statements_of_one_moment_every_denial_counts_in_whatever_order_they_are_found() {
        let clause = |permits, from: &str, until: &str| Clause {
            permits,
            from: from.parse().ok(),
            until: until.parse().ok(),
        };
        let partly = Statement {
            given: "2024-01-01".into(),
            clauses: vec![Clause::always(true), clause(false, "2020-01-01", "2020-12-31")],
            is_doubtful: false,
        };
        let whole = statement("2024-01-01", true);
        let when = |day: &str| super::super::leave::When::On(day.parse().expect("a day"));
        for require in [Require::OptIn, Require::OptOut] {
            let one = leave(vec![partly.clone(), whole.clone()], require);
            let other = leave(vec![whole.clone(), partly.clone()], require);
            assert_eq!(one, other, "{require:?}");
            assert!(
                one.why_not(when("2020-05-01")).is_some() && one.why_not(when("2021-05-01")).is_none(),
                "{require:?}"
            );
        }
    }

    #[test]
    fn where_silence_is_consent_only_a_denial_takes_something_away() {
        let from = |permits| Statement {
            given: "2024-01-01".into(),
            clauses: vec![Clause {
                permits,
                from: "2024-01-01".parse().ok(),
                until: None,
            }],
            is_doubtful: false,
        };
        let day = super::super::leave::When::On("2020-01-01".parse().expect("a day"));
        assert_eq!(leave(vec![from(true)], Require::OptOut).why_not(day), None);
        assert!(leave(vec![from(true)], Require::OptIn).why_not(day).is_some());
        assert_eq!(leave(vec![from(false)], Require::OptOut).why_not(day), None);
        let silent = Statement {
            given: "2024-01-01".into(),
            clauses: Vec::new(),
            is_doubtful: false,
        };
        assert_eq!(leave(vec![silent.clone()], Require::OptOut), Leave::All);
        let over = super::super::leave::NOT_IN_FORCE;
        assert_eq!(leave(vec![silent.clone()], Require::OptIn), Leave::Nothing(over));
        assert_eq!(leave(vec![silent, statement("2024-01-01", true)], Require::OptIn), Leave::All);
    }
}
