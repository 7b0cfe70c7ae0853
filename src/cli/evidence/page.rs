//! A run's evidence as a page that a privacy officer can sign: the verdict, then each of her questions with its answer in a
//! sentence, then what stands behind it. No script, nothing fetched, no value of a patient.

use maud::{Markup, html};

use super::super::page as frame;
use super::super::show::{count, thousands};
use super::Record;
use super::text::{digest, moment, outcome, plural, sentence, verdict};
use super::{profiles, risk};
use crate::gateway::evidence::{Evidence, RefusedShown};

/// A question, its place on the page, and the answer in a sentence.
struct Answer {
    id: &'static str,
    question: &'static str,
    short: String,
    more: Markup,
}

pub(super) fn page(record: &Record) -> Markup {
    let evidence = &record.evidence;
    let answers = answers(record);
    let failed = record.is_held_back() || record.is_as_written() == Some(false);
    let body = html! {
        p .verdict.bad[failed || evidence.accepted().next().is_some()] { b { (sentence(verdict(record))) } }
        p { "Gateway " b { (evidence.site) } ", network " b { (evidence.network) } ", " (evidence.kind) " run " (evidence.run) ", written "
            (moment(&evidence.made_at)) " before anything left. It holds counts and names of columns, never what is in them." }
        table #answers {
            tr { th { "Question" } th { "Answer" } }
            @for answer in &answers {
                tr { td { a href={"#" (answer.id)} { (answer.question) } } td { (answer.short) } }
            }
        }
        @for answer in &answers {
            section id=(answer.id) { h2 { (answer.question) } p { (answer.short) } (answer.more) }
        }
        h2 { "Signed" }
        table .signed {
            tr { td { "Name" } td {} }
            tr { td { "Date" } td {} }
            tr { td { "Signature" } td {} }
        }
    };
    frame::page(&format!("Evidence of run {} at {}", evidence.run, evidence.site), &body)
}

fn answers(record: &Record) -> Vec<Answer> {
    let evidence = &record.evidence;
    let answer = |id, question, short: String, more| Answer { id, question, short, more };
    vec![
        answer("checks", "Did every check hold?", checks_in_short(evidence), checks(evidence)),
        answer("what-left", "What leaves, and to whom?", left_in_short(record), left(evidence)),
        answer("law", "Under which law and policy?", law_in_short(evidence), columns(evidence)),
        answer(
            "recognised",
            "Who could still be recognised?",
            format!("{} {}", risk::in_short(evidence.risk.as_ref()), recognised(evidence)),
            html! { (risk::figures(evidence.risk.as_ref())) (labels(evidence)) },
        ),
        answer(
            "stopped",
            "What did the leak guard stop?",
            stopped_in_short(evidence),
            refusals(&evidence.leaks().collect::<Vec<_>>()),
        ),
        answer("guard", "Is the guard alive?", guard_in_short(evidence), control(evidence)),
        answer(
            "read-again",
            "Was what leaves looked at again?",
            read_again(evidence),
            violations(evidence),
        ),
        answer("key", "Which key made the pseudonyms?", key(evidence), html! {}),
        answer("new", "What is new in the EHR's data?", new_in_short(evidence), new(evidence)),
        answer("stays", "What stays here by decision?", stays_in_short(evidence), stays(evidence)),
        answer(
            "refused",
            "What was refused, and why?",
            refused_in_short(evidence),
            refusals(&evidence.refused.iter().collect::<Vec<_>>()),
        ),
        answer(
            "profiles",
            "What were resources held to?",
            profiles::in_short(&evidence.validation),
            profiles::found(&evidence.validation),
        ),
        answer("verify", "How can this be verified?", verify_in_short(record), verify(record)),
        answer("next", "What is to be done?", next(record), html! {}),
    ]
}

fn checks_in_short(evidence: &Evidence) -> String {
    match (evidence.failed().count(), evidence.accepted().count()) {
        (0, 0) => format!("Yes, all {}.", evidence.checks.len()),
        (0, accepted) => format!(
            "No: {accepted} of {} did not hold, and a person let the rows leave all the same.",
            evidence.checks.len()
        ),
        (failed, _) => format!("No: {failed} of {} failed, so nothing was sent.", evidence.checks.len()),
    }
}

fn checks(evidence: &Evidence) -> Markup {
    html! {
        table {
            tr { th { "Check" } th { "" } th { "Found" } }
            @for check in &evidence.checks {
                tr { td { (sentence(&check.name)) } td { b { (outcome(check)) } } td { (check.found) } }
            }
        }
    }
}

fn left_in_short(record: &Record) -> String {
    let counts = &record.evidence.counts;
    let (upserts, tombstones): (u64, u64) = (counts.upserts.values().sum(), counts.tombstones.values().sum());
    let what = format!("{} new or changed, {} withdrawn", count(upserts, "row"), thousands(tombstones));
    let to = format!("the registry at {}", record.evidence.registry);
    let phase = record.sent.as_ref().map(|sent| sent.phase.as_str());
    match (record.is_held_back(), record.evidence.rehearsed, phase) {
        (true, ..) => format!("Nothing. Held back: {what}, for {to}."),
        (_, true, _) => format!("Nothing, this was a rehearsal. It would be {what}, to {to}."),
        (_, _, Some("done")) => format!("{what}, to {to}, which has acknowledged them."),
        (_, _, Some("packaged")) => format!("Nothing yet. It waits for delivery: {what}, to {to}."),
        _ => format!("Nothing. The run did not end; it would be {what}, to {to}."),
    }
}

fn left(evidence: &Evidence) -> Markup {
    let counts = &evidence.counts;
    let tables: std::collections::BTreeSet<&String> = counts.upserts.keys().chain(counts.tombstones.keys()).collect();
    let of = |rows: &std::collections::BTreeMap<String, u64>, table: &str| thousands(rows.get(table).copied().unwrap_or(0));
    html! {
        @if !tables.is_empty() {
            table {
                tr { th { "Table" } th .n { "new or changed" } th .n { "withdrawn" } }
                @for table in tables {
                    tr { td { code { (table) } } td .n { (of(&counts.upserts, table)) } td .n { (of(&counts.tombstones, table)) } }
                }
            }
        }
        p { "They come from the EHR's data as of " (moment(&evidence.transaction_time)) "." }
        table {
            tr { th { "Resources" } th .n { "pulled" } th .n { "mapped" } th .n { "excluded" } th .n { "refused" } }
            @for (name, types) in &counts.types {
                tr {
                    td { (name) }
                    @for number in [types.pulled + types.remapped, types.mapped, types.excluded, types.refused] { td .n { (thousands(number)) } }
                }
            }
        }
    }
}

fn law_in_short(evidence: &Evidence) -> String {
    let policy = &evidence.policy;
    let means = match policy.name.as_str() {
        "safe-harbor" => "the eighteen classes of identifiers are removed, of a date only the year stays",
        "limited-data-set" => "direct identifiers are removed, dates are moved by a secret number of days; it needs a data use agreement",
        _ => "as determined by the network's expert",
    };
    format!(
        "{}, version {}, which claims {}: {means}. {} columns have a rule each, {} tables stay here.",
        policy.name,
        policy.version,
        policy.claims,
        evidence.columns.len(),
        evidence.withheld.len()
    )
}

fn columns(evidence: &Evidence) -> Markup {
    let mut tables: Vec<&str> = evidence.columns.iter().map(|column| column.table.as_str()).collect();
    tables.dedup();
    html! {
        p { "Policy digest " code { (evidence.policy.digest) } "." }
        @for table in tables {
            @let columns: Vec<_> = evidence.columns.iter().filter(|column| column.table == table).collect();
            @let cells: u64 = columns.iter().map(|column| column.cells).sum();
            details {
                summary { code { (table) } ": " (columns.len()) " columns, " (count(cells, "cell")) " in this run" }
                table {
                    tr { th { "Column" } th { "Rule" } th .n { "cells" } th { "Why" } }
                    @for column in columns {
                        tr { td { code { (column.column) } } td { (column.rule) } td .n { (thousands(column.cells)) } td { (column.reason) } }
                    }
                }
            }
        }
        @if !evidence.withheld.is_empty() {
            h3 { "Tables of which nothing leaves" }
            table {
                tr { th { "Table" } th .n { "rows kept" } th { "Why" } }
                @for kept in &evidence.withheld {
                    tr { td { code { (kept.table) } } td .n { (thousands(kept.rows)) } td { (kept.reason) } }
                }
            }
        }
    }
}

fn recognised(evidence: &Evidence) -> String {
    let dates = match evidence.policy.name.as_str() {
        "safe-harbor" => {
            "Without names, numbers, dates but the year, and places below three digits of a ZIP code of more than 20,000 people"
        }
        _ => "Without names, numbers and addresses, with dates moved and places as the agreement allows",
    };
    format!(
        "{dates}, nobody is named. What is promised is what is removed, not that nobody can be recognised: who knows a rare diagnosis, or \
         several of a patient's dates, may find the patient."
    )
}

fn labels(evidence: &Evidence) -> Markup {
    html! {
        p { "What HL7's security labels say of this release (" code { "v3-ObservationValue" } "):" }
        ul { @for label in &evidence.labels {
            li { b { (label.code) } ", " (label.display) @if !label.rules.is_empty() { ", by " (label.rules.join(", ")) } }
        } }
    }
}

fn stopped_in_short(evidence: &Evidence) -> String {
    match evidence.leaks().map(|leak| leak.resources).sum::<u64>() {
        0 => "Nothing: no text or code of this run held an identifier of its patient, or looked like one.".to_owned(),
        resources => format!(
            "{} with an identifier where none belongs. None of their rows left; the mapping or the EHR's record needs mending.",
            count(resources, "resource")
        ),
    }
}

fn guard_in_short(evidence: &Evidence) -> String {
    let control = &evidence.control;
    let is = if control.holds() { "Yes" } else { "No" };
    format!(
        "{is}: of {} identifiers of a person who does not exist, put before it in this run with this key, it stopped {}; of {} everyday codes it let {} pass.",
        control.planted(),
        control.caught(),
        control.harmless,
        control.passed
    )
}

fn control(evidence: &Evidence) -> Markup {
    html! {
        table {
            tr { th { "Planted" } th .n { "put before it" } th .n { "stopped" } }
            @for kind in &evidence.control.kinds {
                tr { td { (sentence(&kind.kind)) } td .n { (kind.planted) } td .n { (kind.caught) } }
            }
        }
    }
}

fn read_again(evidence: &Evidence) -> String {
    let wrong: u64 = evidence.violations.iter().map(|violation| violation.rows).sum();
    let found = match wrong {
        0 => "none holds what the policy does not release".to_owned(),
        wrong => format!("{} what the policy does not release", plural(wrong, "row holds", "rows hold")),
    };
    format!(
        "Yes, from the bytes that leave: {} with {}; {found}.",
        count(evidence.rows_read, "row"),
        count(evidence.cells_read, "cell")
    )
}

fn violations(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.violations.is_empty() {
            table {
                tr { th { "Column" } th { "Fault" } th .n { "rows" } }
                @for fault in &evidence.violations {
                    tr { td { code { (fault.table) "." (fault.column) } } td { (fault.rule) } td .n { (thousands(fault.rows)) } }
                }
            }
        }
    }
}

fn key(evidence: &Evidence) -> String {
    format!(
        "The one with the fingerprint {}. It is kept at this site alone; without it no pseudonym leads back to a patient, and another key would \
         stop the run.",
        evidence.key_fingerprint
    )
}

fn new_in_short(evidence: &Evidence) -> String {
    let new = match evidence.new_elements.len() as u64 {
        0 => "No element that was not seen before".to_owned(),
        new => format!("{} seen for the first time", count(new, "element")),
    };
    let unknown = match evidence.unknown_members {
        0 => String::new(),
        unknown => format!("; {} that FHIR R4 does not have", count(unknown, "member")),
    };
    format!("{new}{unknown}. What no mapping names cannot leave, new or not.")
}

fn new(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.new_elements.is_empty() {
            details {
                summary { (count(evidence.new_elements.len() as u64, "element")) }
                p { @for (at, element) in evidence.new_elements.iter().enumerate() { @if at > 0 { ", " } code { (element) } } }
            }
        }
    }
}

fn stays_in_short(evidence: &Evidence) -> String {
    let excluded: u64 = evidence.counts.excluded.values().sum();
    match excluded {
        0 => "No resource was excluded in this run.".to_owned(),
        excluded => format!(
            "{} excluded, by the reasons below.",
            plural(excluded, "resource was", "resources were")
        ),
    }
}

fn stays(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.counts.excluded.is_empty() {
            table {
                tr { th { "Why" } th .n { "resources" } }
                @for (why, resources) in &evidence.counts.excluded { tr { td { (sentence(why)) } td .n { (thousands(*resources)) } } }
            }
        }
    }
}

fn refused_in_short(evidence: &Evidence) -> String {
    match evidence.refused.iter().map(|refused| refused.resources).sum::<u64>() {
        0 => "Nothing.".to_owned(),
        refused => format!(
            "{}; each lies sealed at the site, for replay when its cause is mended.",
            count(refused, "resource")
        ),
    }
}

fn refusals(refused: &[&RefusedShown]) -> Markup {
    html! {
        @if !refused.is_empty() {
            table {
                tr { th { "Step" } th { "Where" } th { "Rule" } th .n { "resources" } }
                @for one in refused {
                    tr { td { (one.step) } td { code { (one.path) } } td { (one.rule) } td .n { (thousands(one.resources)) } }
                }
            }
        }
    }
}

fn verify_in_short(record: &Record) -> String {
    match record.is_as_written() {
        Some(true) => "The record is byte for byte the one whose digest the site's ledger noted before the rows left.".to_owned(),
        Some(false) => "It was changed: its digest is not the one that the site's ledger noted. Do not rely on it.".to_owned(),
        None => "By its digest, by the registry's log, and from any row back to its source.".to_owned(),
    }
}

fn verify(record: &Record) -> Markup {
    let evidence = &record.evidence;
    html! {
        table {
            tr { td { "Record" } td { code { "sha256 " (record.digest) } } }
            @if let Some(sent) = &record.sent {
                @if let Some(submission) = &sent.submission { tr { td { "Submission" } td { code { (submission) } ", no. " (sent.sequence) } } }
                @if sent.phase == "done" { tr { td { "Registry" } td { (thousands(sent.accepted)) " rows accepted, " (thousands(sent.rejected)) " rejected" } } }
                @if let Some(leaf) = sent.leaf { tr { td { "Log" } td { "leaf " (leaf) ", whose proof the site has checked" } } }
            }
            tr { td { "Model" } td { (evidence.model) " " code { (digest(&evidence.model_digest)) } } }
            tr { td { "Mapping" } td { code { (digest(&evidence.mapping_digest)) } } }
            tr { td { "Headwater" } td { (evidence.headwater) } }
        }
        p { "From a released row back to its source, at the site: " code { "headwater explain ROW_KEY" } ". The registry's log: " code { "headwater audit verify" } "." }
    }
}

fn next(record: &Record) -> String {
    let evidence = &record.evidence;
    if record.is_as_written() == Some(false) {
        return "Restore state/ from its backup, and find out who changed the record.".to_owned();
    }
    if record.is_held_back() {
        return "Read the failed check above; whoever keeps the mapping and the policy mends it, then the next run goes on. Nothing is lost."
            .to_owned();
    }
    if evidence.leaks().next().is_some() {
        return "Look at what the guard stopped with “headwater quarantine list”, and have the mapping or the EHR's record mended."
            .to_owned();
    }
    if evidence.accepted().next().is_some() {
        return "Whoever let the rows leave signs for it below, with the reason; the next night asks again.".to_owned();
    }
    if super::text::stands_out(record) {
        return "Whoever answers for the policy decides whether the small groups above are borne; a site may let less leave: [deidentify.tighten] in \
                site.toml, or hold such a night back: [risk]."
            .to_owned();
    }
    if !evidence.new_elements.is_empty() && evidence.counts.types.values().any(|types| types.pulled > 0) {
        return "Nothing must be done. The network may want to know of the new elements; “headwater coverage --site DIR --share” makes a report for outside."
            .to_owned();
    }
    "Nothing.".to_owned()
}
