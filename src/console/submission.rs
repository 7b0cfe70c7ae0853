//! One submission: what became of every resource and every row, drawn and in numbers, why rows were rejected, and the receipt.

use jiff::Timestamp;
use maud::{Markup, html};

use super::chart::{self, Flow, RESOURCE_FATES, ROW_FATES, Source};
use super::page::{self, count, grouped, plural};
use super::reading::Submission;
use crate::receive::read::{self, OutcomeGroup, TableCounts};

/// The log that holds the receipts: its name, its key, its address.
pub(super) struct LogName {
    pub origin: String,
    pub vkey: String,
    pub address: String,
}

pub(super) fn body(submission: &Submission, log: &LogName, now: Timestamp) -> Markup {
    let summary = &submission.summary;
    html! {
        p.trail { a href="/console" { "Sites" } " / " a href={"/console/sites/" (summary.site)} { (summary.site) } " / no. " (grouped(summary.sequence)) }
        h1 { "Submission no. " (grouped(summary.sequence)) " of " (summary.site) " " (page::state(&summary.state, summary.rejected)) }
        p.lead { "Received " (page::ago(&summary.received_at, now)) ", with the hospital's data as of " (page::at(&summary.transaction_time)) ". " (balance(summary)) }
        @if let Some(reason) = &summary.reason { p.alert role="note" { strong { "Refused as a whole: " } (reason) } }
        (resources(submission))
        (rows(submission))
        (reasons(&submission.reasons, summary))
        (receipt(submission, log))
        (facts(submission))
    }
}

/// Whether the two sums come out.
fn balance(summary: &read::Submission) -> Markup {
    let resources = summary.pulled == summary.mapped + summary.excluded + summary.refused;
    if summary.state == "refused" {
        return html! { span data-balanced=(if resources { "yes" } else { "no" }) { "Nothing of it was applied." } };
    }
    let rows = summary.state != "applied" || summary.released == summary.accepted + summary.rejected;
    html! { @if resources && rows { span data-balanced="yes" { "Every resource and row is accounted for." } }
    @else { strong.bad data-balanced="no" { "The numbers do not add up: write to the site and keep its manifest." } } }
}

fn resources(submission: &Submission) -> Markup {
    let summary = &submission.summary;
    let sources: Vec<_> = submission
        .resources
        .iter()
        .map(|(kind, tally)| Source {
            label: kind.clone(),
            note: None,
            parts: vec![tally.mapped, tally.excluded, tally.refused],
        })
        .collect();
    let flow = Flow {
        id: "resources",
        title: "What became of the resources at the hospital",
        unit: "resources",
        sources: &sources,
        fates: &RESOURCE_FATES,
    };
    html! {
        section aria-labelledby="at-the-hospital" {
            h2 id="at-the-hospital" { "At the hospital: " (count("pulled", summary.pulled)) " resources pulled" }
            p.note { "As the site's signed manifest counts them. Excluded: the mapping has no place for it. Refused: the data broke a rule; it stays in the site's quarantine." }
            @if !sources.is_empty() { (chart::flow(&flow)) }
            div.scroll { table.tally {
                thead { tr { th scope="col" { "Resource" } @for name in ["Pulled", "Mapped", "Excluded", "Refused"] { th.number scope="col" { (name) } } } }
                tbody { @for (kind, tally) in &submission.resources {
                    tr data-resource=(kind) { th scope="row" { (kind) } @for number in [tally.pulled, tally.mapped, tally.excluded, tally.refused] { (cell(number)) } }
                } }
                tfoot { tr {
                    th scope="row" { "All" } td.number { (grouped(summary.pulled)) }
                    td.number { (count("mapped", summary.mapped)) } td.number { (count("excluded", summary.excluded)) } td.number { (count("refused", summary.refused)) }
                } }
            } }
        }
    }
}

fn rows(submission: &Submission) -> Markup {
    let summary = &submission.summary;
    let sources: Vec<_> = submission
        .tables
        .iter()
        .map(|line| Source {
            label: line.table.clone(),
            note: (line.tombstones > 0).then(|| format!("{} of them deletions", grouped(line.tombstones))),
            parts: vec![line.accepted, line.rejected],
        })
        .collect();
    let flow = Flow {
        id: "rows",
        title: "What became of the rows at the registry",
        unit: "rows",
        sources: &sources,
        fates: &ROW_FATES,
    };
    html! {
        section aria-labelledby="at-the-registry" {
            h2 id="at-the-registry" { "At the registry: " (count("released", summary.released)) " rows released" }
            @match (summary.state.as_str(), submission.tables.is_empty()) {
                ("applied", false) => {
                    p.note { "Rows written and rows deleted, table by table. Rows that did not change since the last submission are not sent." }
                    (chart::flow(&flow))
                    (tables(&submission.tables, summary))
                }
                ("applied", true) => p.empty { "Nothing had changed since the submission before: it carries no rows." (zeros(summary)) },
                ("refused", _) => p.empty { "None was applied: the submission was refused as a whole. The site may send a corrected one." (zeros(summary)) },
                _ => p.empty { "They are being checked and applied now. Reload this page in a moment." (zeros(summary)) },
            }
        }
    }
}

/// The numbers that have no table to stand in.
fn zeros(summary: &read::Submission) -> Markup {
    html! { " Accepted: " (count("accepted", summary.accepted)) ", rejected: " (count("rejected", summary.rejected)) "." }
}

fn tables(lines: &[TableCounts], summary: &read::Submission) -> Markup {
    html! {
        div.scroll { table.tally {
            thead { tr { th scope="col" { "Table" } @for name in ["Upserts", "Tombstones", "Accepted", "Rejected"] { th.number scope="col" { (name) } } } }
            tbody { @for line in lines {
                tr data-table=(line.table) { th scope="row" { code { (line.table) } } @for number in [line.upserts, line.tombstones, line.accepted, line.rejected] { (cell(number)) } }
            } }
            tfoot { tr {
                th scope="row" { "All" } td.number { (count("upserts", summary.upserts)) } td.number { (count("tombstones", summary.tombstones)) }
                td.number { (count("accepted", summary.accepted)) } td.number { (count("rejected", summary.rejected)) }
            } }
        } }
    }
}

fn cell(number: u64) -> Markup {
    html! { td.number.zero[number == 0] { (grouped(number)) } }
}

fn reasons(reasons: &[OutcomeGroup], summary: &read::Submission) -> Markup {
    if summary.state != "applied" {
        return html! {};
    }
    html! {
        section aria-labelledby="reasons" {
            h2 id="reasons" { "Why rows were rejected" }
            @if reasons.is_empty() { p.empty { "None was." } }
            @else {
                p.note { "Grouped by rule and column, most frequent first. The site received one outcome for each of these rows and can trace each to its source." }
                div.scroll { table {
                    thead { tr { th scope="col" { "Table" } th scope="col" { "Column" } th scope="col" { "Rule" } th.number scope="col" { "Rows" } } }
                    tbody { @for reason in reasons {
                        tr data-reason=(reason.rule) {
                            th scope="row" { code { (reason.table) } }
                            td { @if reason.path.is_empty() { "the row itself" } @else { code { (reason.path.trim_start_matches('/')) } } }
                            td { (meaning(&reason.rule)) small { code { (reason.rule) } } }
                            td.number { (grouped(reason.count)) }
                        }
                    } }
                } }
            }
        }
    }
}

/// A JSON Schema keyword, or one of the registry's own rules, in words.
fn meaning(rule: &str) -> &str {
    match rule {
        "required" => "a value that must be there is missing",
        "type" => "the value has another type",
        "enum" | "const" => "the value is none of those allowed",
        "format" | "pattern" => "the value is not written as it must be",
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => "the number is out of range",
        "minLength" | "maxLength" => "the text is too short or too long",
        "additionalProperties" => "there is a column the model does not have",
        "key" => "the row's key is not its own",
        "duplicate" => "the key came twice in one submission",
        "syntax" => "the line is not readable",
        other => other,
    }
}

fn receipt(submission: &Submission, log: &LogName) -> Markup {
    let LogName { origin, vkey, address } = log;
    html! {
        section aria-labelledby="receipt" {
            h2 id="receipt" { "Receipt" }
            @match &submission.summary.receipt {
                Some(receipt) => {
                    p.note {
                        "The site holds the same bytes. They prove that entry " @if let Some(index) = submission.summary.leaf_index { (count("leaf", index)) " " }
                        "of the log " code { (origin) } " says what was accepted, under a checkpoint that the log signed."
                    }
                    pre tabindex="0" aria-label="Receipt text" { code data-receipt="text" { (receipt) } }
                    p { a.button href={"/console/submissions/" (submission.summary.id) "/receipt"} { "Receipt as a text file" } }
                    h3 { "How to verify it" }
                    ol.steps {
                        li { "Check the whole log, which every receipt's checkpoint is a part of:" pre tabindex="0" { code { "headwater audit verify --log " (address) " \\\n  --vkey '" (vkey) "'" } } }
                        li { "The line after " code { "extra" } " is the entry itself, in base64. It names the manifest by its SHA-256, which must be " code { (submission.summary.manifest_sha256) } "." }
                        li { "Any program that reads C2SP " code { "tlog-proof" } " files can check the hashes between the entry and the signed root without us." }
                    }
                }
                None if submission.summary.state == "refused" => p.empty {
                    "A refused submission has no receipt." @if let Some(index) = submission.summary.leaf_index { " That it was refused is entry " (count("leaf", index)) " of the log." }
                },
                None => p.empty { "The receipt is written in the same step as the rows." },
            }
        }
    }
}

fn facts(submission: &Submission) -> Markup {
    html! {
        section aria-labelledby="made" {
            h2 id="made" { "How it was made" }
            dl.facts {
                dt { "Submission" } dd { code { (submission.summary.id) } }
                dt { "Manifest SHA-256" } dd { code { (submission.summary.manifest_sha256) } }
                @if let Some(manifest) = &submission.manifest {
                    dt { "Model" } dd { (manifest.model) " " code { (short(&manifest.model_digest)) } }
                    dt { "Mapping" } dd { code { (short(&manifest.mapping_digest)) } }
                    dt { "De-identification policy" } dd { (manifest.policy) " " code { (short(&manifest.policy_digest)) } }
                    @if !manifest.security.is_empty() {
                        dt { "Security labels" } dd { @for label in &manifest.security { code { (label.code) } " " } }
                    }
                    dt { "Pseudonym keys" } dd { code { (manifest.key_fingerprint) } }
                    dt { "Chunks" } dd { (plural(manifest.output.len() as u64, "file")) ", " (plural(manifest.output.iter().map(|output| output.bytes).sum(), "byte")) }
                    dt { "Follows" } dd { @match &manifest.previous { Some(previous) => code { (short(previous)) }, None => "nothing: it is the site's first" } }
                }
            }
        }
    }
}

/// Enough of a digest to compare by eye.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
