//! The transparency log: its last checkpoint, how to check it without trusting this page, and its newest entries in words.

use maud::{Markup, html};
use serde_json::Value;

use super::page::{self, count, grouped};
use super::reading::LogReading;
use crate::audit::Entry;

pub(super) fn body(log: &LogReading, vkey: &str, base_url: &str) -> Markup {
    let mut lines = log.checkpoint.iter().flat_map(|checkpoint| checkpoint.lines()).skip(1);
    let signed = lines.next().and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
    let root = lines.next();
    html! {
        h1 { "Audit log" }
        p.lead { "Every submission, accepted or refused, and everyone who was let in or shut out, is one entry. Entries are chained in a tree: none can be changed, removed or inserted unseen." }
        dl.figures {
            div { dt { "Entries" } dd { (count("log-size", log.size)) } }
            div { dt { "Signed up to" } dd { (count("checkpoint-size", signed)) small { @match log.size.saturating_sub(signed) { 0 => "every entry", new => { (grouped(new)) " more to be signed" } } } } }
        }
        section aria-labelledby="checkpoint" {
            h2 id="checkpoint" { "Last checkpoint" }
            @match &log.checkpoint {
                Some(checkpoint) => {
                    pre tabindex="0" aria-label="Checkpoint text" { code data-checkpoint="text" { (checkpoint) } }
                    dl.facts { dt { "Root" } dd { code data-root=(root.unwrap_or_default()) { (root.unwrap_or_default()) } } dt { "Verifier key" } dd { code data-vkey=(vkey) { (vkey) } } }
                }
                None => p.empty { "None is signed yet. The first accepted submission brings the first one." },
            }
            h3 { "How to verify it" }
            p { "On any machine, with the verifier key from a source other than this page:" }
            pre tabindex="0" { code { "headwater audit verify --log " (base_url) "/log \\\n  --vkey '" (vkey) "'" } }
            p.note { "The log's files are C2SP tlog-tiles under " a href="/log/checkpoint" { "/log/checkpoint" } "; other programs that read the format check it as well. Keep a checkpoint: with "
                code { "--since FILE" } " a later check proves that nothing before it was rewritten." }
        }
        section aria-labelledby="entries" {
            h2 id="entries" { "Entries, newest first" }
            @if log.entries.is_empty() { p.empty { "None yet. " code { "headwater registry site add NAME" } " makes the first one." } }
            @else {
                div.scroll { table.cards {
                    thead { tr { th.number scope="col" { "Entry" } th scope="col" { "Time" } th scope="col" { "What happened" } th scope="col" { "Details" } } }
                    tbody { @for entry in &log.entries { (line(entry)) } }
                } }
                @if let Some(oldest) = log.entries.last().filter(|oldest| oldest.index > 0) {
                    p { a href={"/console/log?before=" (oldest.index)} rel="next" { "Older entries" } }
                }
            }
        }
    }
}

fn line(entry: &Entry) -> Markup {
    let value: Value = serde_json::from_slice(&entry.entry).unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    html! {
        tr data-entry=(entry.index) data-event=[text("event")] {
            th.number scope="row" { (grouped(entry.index)) }
            td data-label="Time" { @match text("time") { Some(time) => (page::at(time)), None => "–" } }
            td data-label="What" { span { (event(text("event").unwrap_or("an entry this page cannot read"))) @if let Some(who) = text("subject").or(text("site")) { ": " strong { (who) } } } }
            td data-label="Details" { div { (details(&value)) } }
        }
    }
}

fn event(event: &str) -> &str {
    match event {
        "submission-accepted" => "Submission accepted",
        "submission-refused" => "Submission refused",
        "site-added" => "Site added",
        "site-code-renewed" => "New one-time code for a site",
        "site-enrolled" => "Site enrolled its keys",
        "site-suspended" => "Site suspended",
        "site-resumed" => "Site let in again",
        "operator-added" => "Operator given a new key",
        "operator-signed-in" => "Operator signed in",
        other => other,
    }
}

fn digest_of(name: &str) -> &str {
    match name {
        "clientKey" => "sign-in key",
        "manifestKey" => "signing key",
        other => other,
    }
}

fn details(value: &Value) -> Markup {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    html! {
        @if let Some(submission) = text("submission") {
            a href={"/console/submissions/" (submission)} { code { (submission) } }
            small {
                @match text("reason") {
                    Some(reason) => (reason),
                    None => { (grouped(number("accepted"))) " rows accepted, " (grouped(number("rejected"))) " rejected" },
                }
            }
        } @else if let Some(digests) = value.get("digests").and_then(Value::as_array) {
            @for digest in digests {
                @if let (Some(name), Some(digest)) = (digest.get(0).and_then(Value::as_str), digest.get(1).and_then(Value::as_str)) {
                    small { (digest_of(name)) " SHA-256 " code { (digest.get(..16).unwrap_or(digest)) } }
                }
            }
        } @else { "–" }
    }
}
