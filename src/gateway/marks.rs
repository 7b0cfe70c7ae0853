//! Where the watermarks move when a run is acknowledged: one for each type, and one for all. Never back, never for what the
//! pull did not prove, never by a backfill. Pure: `prepare` asks, `ledger` keeps.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::journal::Run;
use super::ledger::Watermark;

/// Whether the run asked for everything since the last acknowledged moment, of every type, or for more.
fn reaches_back(run: &Run, mark: Option<&Watermark>) -> bool {
    let reached: Option<Timestamp> = mark.and_then(|mark| mark.since.parse().ok());
    run.since.is_none_or(|since| reached.is_some_and(|reached| since <= reached))
}

/// What is to be told when a complete run leaves the watermarks where they are.
pub(super) fn why_they_stay(run: &Run, mark: Option<&Watermark>) -> Option<String> {
    if run.scope.is_backfill() {
        return None;
    }
    (run.complete && !reaches_back(run, mark))
        .then(|| "this run began after the watermark: what changed in between is for the next run, the watermark stays".to_owned())
}

/// The watermark of all types moves to the export's transaction time, never back, and only if the EHR gave everything since
/// the last one.
pub(super) fn next_since(run: &Run, mark: Option<&Watermark>) -> String {
    let before = mark.and_then(|mark| mark.since.parse::<Timestamp>().ok());
    let moves = run.complete && reaches_back(run, mark) && !run.scope.is_backfill();
    let reached = run.transaction_time.filter(|_| moves);
    before.max(reached).map(|time| time.to_string()).unwrap_or_default()
}

/// The watermark of each type: where the pull proved it to be, if it was asked for from the last one on; else where it was.
pub(super) fn next_of_types(run: &Run, asked: &[String], mark: Option<&Watermark>) -> BTreeMap<String, String> {
    let next = |name: &String| {
        let before = mark.and_then(|mark| mark.of(name));
        let reaches_back = run.since_of(name).is_none_or(|since| before.is_some_and(|before| since <= before));
        let moves = reaches_back && !run.scope.is_backfill();
        let reached = run.proven.get(name).and_then(|proven| proven.reached).filter(|_| moves);
        before.max(reached).map(|time| (name.clone(), time.to_string()))
    };
    let kept = mark.map(|mark| mark.types.clone()).unwrap_or_default();
    kept.into_iter().chain(asked.iter().filter_map(next)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::journal::Phase;
    use crate::gateway::scope::{Proven, Scope};

    fn run(since: Option<&str>, time: &str, complete: bool) -> Run {
        Run {
            id: 1,
            phase: Phase::Landed,
            full: since.is_none(),
            since: since.map(|since| since.parse().unwrap()),
            scope: Scope::default(),
            proven: BTreeMap::new(),
            transaction_time: Some(time.parse().unwrap()),
            complete,
            problems: Vec::new(),
            resumed: false,
        }
    }

    fn mark(since: &str) -> Watermark {
        Watermark {
            since: since.to_owned(),
            types: BTreeMap::new(),
            rules: String::new(),
            lookups: Vec::new(),
            sequence: 1,
            manifest_sha256: None,
        }
    }

    const ONE: &str = "2026-03-01T00:00:00Z";
    const TWO: &str = "2026-03-02T00:00:00Z";
    const THREE: &str = "2026-03-03T00:00:00Z";

    #[test]
    fn the_watermark_moves_with_a_complete_run_and_stays_with_any_other() {
        for (since, time, complete, before, expected) in [
            (None, TWO, true, None, TWO),
            (None, TWO, false, None, ""),
            (None, TWO, true, Some(""), TWO),
            (Some(ONE), TWO, true, Some(ONE), TWO),
            (Some(ONE), TWO, false, Some(ONE), ONE),
            (Some(ONE), TWO, true, Some(TWO), TWO),
            // Never back, whatever the EHR's clock does.
            (None, ONE, true, Some(TWO), TWO),
            // What changed between the watermark and a later `--since` was not pulled.
            (Some(TWO), THREE, true, Some(ONE), ONE),
            (Some(TWO), THREE, true, Some(""), ""),
            (Some(TWO), THREE, true, None, ""),
        ] {
            let next = next_since(&run(since, time, complete), before.map(mark).as_ref());
            assert_eq!(next, expected, "since {since:?} to {time}, complete {complete}, before {before:?}");
        }
    }

    fn of_type(run: &Run, before: Option<&Watermark>) -> Option<String> {
        next_of_types(run, &["Patient".to_owned()], before).remove("Patient")
    }

    fn proving(mut run: Run, reached: Option<&str>) -> Run {
        let reached = reached.map(|time| time.parse().unwrap());
        run.proven.insert("Patient".to_owned(), Proven { whole: false, reached });
        run
    }

    #[test]
    fn a_type_moves_to_where_it_was_proven_to_be_also_when_others_are_not_there() {
        let typed = |since: &str| Watermark {
            types: [("Patient".to_owned(), since.to_owned())].into(),
            ..mark(ONE)
        };
        for (since, reached, before, expected) in [
            (None, Some(TWO), None, Some(TWO)),
            (None, None, None, None),
            (Some(ONE), Some(TWO), Some(typed(ONE)), Some(TWO)),
            (Some(ONE), None, Some(typed(ONE)), Some(ONE)),
            (Some(ONE), Some(ONE), Some(typed(TWO)), Some(TWO)),
            (Some(TWO), Some(THREE), Some(typed(ONE)), Some(ONE)),
            // A ledger without types of its own: the one watermark was that of all.
            (Some(ONE), Some(TWO), Some(mark(ONE)), Some(TWO)),
            (Some(ONE), None, Some(mark(ONE)), Some(ONE)),
        ] {
            let found = of_type(&proving(run(since, THREE, false), reached), before.as_ref());
            assert_eq!(
                found.as_deref(),
                expected,
                "since {since:?}, reached {reached:?}, before {before:?}"
            );
        }
    }

    #[test]
    fn a_backfill_moves_nothing() {
        let mut backfill = proving(run(Some(ONE), THREE, true), Some(THREE));
        backfill.scope.patients = vec!["p".to_owned()];
        let before = mark(TWO);
        assert_eq!(next_since(&backfill, Some(&before)), TWO);
        assert_eq!(of_type(&backfill, Some(&before)).as_deref(), Some(TWO));
        assert_eq!(why_they_stay(&backfill, Some(&before)), None);
    }

    #[test]
    fn a_type_that_is_no_longer_asked_for_keeps_its_watermark() {
        let before = Watermark {
            types: [("Device".to_owned(), ONE.to_owned())].into(),
            ..mark(ONE)
        };
        let next = next_of_types(&proving(run(None, TWO, true), Some(TWO)), &["Patient".to_owned()], Some(&before));
        assert_eq!(next["Device"], ONE);
    }
}
