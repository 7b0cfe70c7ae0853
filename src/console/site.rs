//! One site: how fresh it is, table by table, and its submissions in numbers.

use jiff::Timestamp;
use maud::{Markup, html};

use super::chart;
use super::overview::{freshness, history};
use super::page::{self, count, grouped};
use super::reading::Site;
use crate::receive::read::Submission;

pub(super) fn body(site: &Site, now: Timestamp) -> Markup {
    let Site { line, .. } = site;
    let overview = &line.site;
    html! {
        p.trail { a href="/console" { "Sites" } " / " (overview.name) }
        h1 { (overview.name) " " (freshness(line, now).badge()) @if overview.suspended { " " span.state.bad { "suspended" } } }
        p.lead { (in_words(site, now)) }
        dl.figures {
            div { dt { "Submissions accepted" } dd { (count("submissions-accepted", overview.submissions)) } }
            div { dt { "Submissions refused" } dd { (count("submissions-refused", overview.refused)) } }
            div { dt { "Rows held" } dd { (count("rows", overview.rows)) } }
            div { dt { "Rows in the last submissions" } dd { (history(line)) } }
        }
        section aria-labelledby="submissions" {
            h2 id="submissions" { "Submissions" }
            @if site.submissions.is_empty() && overview.enrolled_at.is_none() {
                p.empty { "It cannot submit before it enrols. A code lasts 15 minutes; on the registry's machine, " code { "headwater registry site add " (overview.name) } " gives a new one." }
            } @else if site.submissions.is_empty() {
                p.empty { "Nothing was submitted yet. At the site, " code { "headwater sync" } " makes the first run; " code { "headwater doctor" } " says why it does not work." }
            } @else { (submissions(&site.submissions)) }
            @if let Some(oldest) = site.submissions.last().filter(|_| site.more) {
                p { a href={"/console/sites/" (overview.name) "?before=" (oldest.sequence)} rel="next" { "Older submissions" } }
            }
        }
        section aria-labelledby="tables" {
            h2 id="tables" { "Rows held, by table" }
            @if site.tables.is_empty() {
                p.empty { "No rows of this site are held." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Table" } th.number scope="col" { "Rows" } td.wide {} th scope="col" { "Last changed" } } }
                    tbody { @for held in &site.tables {
                        tr {
                            th scope="row" { code { (held.table) } }
                            td.number { data data-table=(held.table) value=(held.rows) { (grouped(held.rows)) } }
                            td.wide { (chart::share(held.rows, overview.rows)) }
                            td { @match &held.changed_at { Some(at) => (page::ago(at, now)), None => "–" } }
                        }
                    } }
                }
            }
        }
    }
}

fn in_words(site: &Site, now: Timestamp) -> Markup {
    html! { @match &site.line.last {
        Some(last) => {
            "Its last accepted submission is no. " (grouped(last.sequence)) ", "
            @if let Some(at) = &last.applied_at { (page::ago(at, now)) } ". It holds the hospital's data as of " (page::at(&last.transaction_time)) "."
        }
        None => @match &site.line.site.enrolled_at {
            Some(at) => { "Enrolled " (page::ago(at, now)) "; nothing was accepted yet." }
            None => "Not enrolled yet: the site's gateway has not used its one-time code.",
        },
    } }
}

fn submissions(list: &[Submission]) -> Markup {
    html! {
        div.scroll { table.cards.dense {
            thead { tr {
                th scope="col" { "No." } th scope="col" { "Received" } th scope="col" { "State" }
                th.number scope="col" { "Pulled" } th.number scope="col" { "Mapped" } th.number scope="col" { "Excluded" } th.number scope="col" { "Refused" }
                th.number scope="col" { "Released" } th.number scope="col" { "Accepted" } th.number scope="col" { "Rejected" }
            } }
            tbody { @for one in list {
                tr data-submission=(one.id) {
                    th scope="row" { a href={"/console/submissions/" (one.id)} { (grouped(one.sequence)) } }
                    td data-label="Received" { (page::at(&one.received_at)) }
                    td data-label="State" { div { (page::state(&one.state, one.rejected)) } }
                    @for (label, name, number) in [
                        ("Pulled", "pulled", one.pulled), ("Mapped", "mapped", one.mapped), ("Excluded", "excluded", one.excluded),
                        ("Refused", "refused", one.refused), ("Released", "released", one.released),
                        ("Accepted", "accepted", one.accepted), ("Rejected", "rejected", one.rejected),
                    ] { td.number data-label=(label) { (count(name, number)) } }
                }
            } }
        } }
        p.note { "Pulled, mapped, excluded and refused count resources at the hospital; released, accepted and rejected count rows. Rows that did not change are not sent again." }
    }
}
