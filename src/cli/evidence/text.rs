//! A run's evidence in a few lines, for a terminal or a mail.

use super::super::show::{count, thousands};
use super::Record;
use crate::gateway::evidence::Check;

pub(super) fn verdict(record: &Record) -> &'static str {
    if record.is_as_written() == Some(false) {
        return "the record was changed after the run";
    }
    if record.is_held_back() {
        return "held back: nothing was sent";
    }
    let is_accepted = record.evidence.accepted().next().is_some();
    match (is_accepted, record.evidence.rehearsed, record.has_left()) {
        (true, true, _) => "a check did not hold, and a person accepts it; a rehearsal, nothing was sent",
        (true, _, false) => "a check did not hold, and a person lets the rows leave; the registry has not taken them yet",
        (true, _, true) => "a check did not hold, and a person let the rows leave",
        (false, true, _) => "every check held; a rehearsal, nothing was sent",
        (false, _, false) => "every check held; the registry has not taken it yet",
        (false, _, true) if stands_out(record) => "every check held; some patients stand in small groups",
        (false, _, true) => "every check held",
    }
}

/// Whether somebody may be recognised by what the policy leaves: told, and holding nothing back.
pub(super) fn stands_out(record: &Record) -> bool {
    record.evidence.risk.as_ref().is_some_and(|risk| !risk.cumulative.holds())
}

/// How many may be recognised by what the policy leaves.
pub(super) fn small_groups(record: &Record) -> Option<String> {
    let risk = record.evidence.risk.as_ref().filter(|risk| !risk.cumulative.holds())?;
    Some(format!(
        "{} of {} stand in groups smaller than {} ({} alone) by {}",
        thousands(risk.cumulative.below_k),
        count(risk.cumulative.patients, "patient"),
        risk.k,
        thousands(risk.cumulative.unique),
        risk.quasi_identifiers.join(", ")
    ))
}

pub(super) fn text(record: &Record) -> String {
    let evidence = &record.evidence;
    let policy = &evidence.policy;
    let mut lines = vec![
        format!("Evidence of run {} at {}: {}", evidence.run, evidence.site, verdict(record)),
        format!(
            "{} under {} version {}, {}",
            count(evidence.counts.released(), "row"),
            policy.name,
            policy.version,
            policy.claims
        ),
        format!("key {}, policy {}", evidence.key_fingerprint, digest(&policy.digest)),
        String::new(),
    ];
    for check in &evidence.checks {
        lines.push(format!("{:8} {} ({})", outcome(check), check.name, check.found));
    }
    lines.extend(small_groups(record));
    let leaks: u64 = evidence.leaks().map(|leak| leak.resources).sum();
    let refused: u64 = evidence.refused.iter().map(|refused| refused.resources).sum();
    lines.push(String::new());
    lines.push(format!(
        "{} stopped by the leak guard, {} refused in all; {} seen for the first time",
        count(leaks, "resource"),
        thousands(refused),
        count(evidence.new_elements.len() as u64, "element")
    ));
    if let Some(submission) = record.sent.as_ref().and_then(|sent| sent.submission.as_ref()) {
        lines.push(format!("submission {submission}"));
    }
    lines.push(format!("record sha256 {}", record.digest));
    lines.join("\n")
}

/// What came of a check, in a word.
pub(super) fn outcome(check: &Check) -> &'static str {
    match (check.passed, check.accepted) {
        (true, _) => "held",
        (false, true) => "ACCEPTED",
        (false, false) => "FAILED",
    }
}

/// The beginning of a digest: enough to compare by eye.
pub(super) fn digest(hex: &str) -> String {
    hex.chars().take(16).collect()
}

/// `2026-03-10T11:59:30Z` for people.
pub(super) fn moment(at: &str) -> String {
    match at.get(..16) {
        Some(minute) => format!("{} UTC", minute.replace('T', " ")),
        None => "an unknown time".to_owned(),
    }
}

pub(super) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// With a capital letter.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
