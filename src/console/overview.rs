//! The first page: every site, how fresh it is, what it sent, and what the registry holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, html};

use super::chart;
use super::page::{self, Freshness, count, grouped, plural};
use super::reading::{Overview, SiteLine};

pub(super) fn body(overview: &Overview, now: Timestamp) -> Markup {
    let sites = &overview.sites;
    let sum = |of: fn(&SiteLine) -> u64| sites.iter().map(of).sum::<u64>();
    let fresh = sites.iter().filter(|line| freshness(line, now) == Freshness::Fresh).count() as u64;
    html! {
        h1 { "Sites" }
        p.lead { (in_words(overview, fresh)) }
        dl.figures {
            div { dt { "Sites" } dd { (count("sites", sites.len() as u64)) small { (count("sites-fresh", fresh)) " fresh" } } }
            div { dt { "Submissions accepted" } dd { (count("submissions-accepted", sum(|line| line.site.submissions))) small { (count("submissions-waiting", sum(|line| line.site.waiting))) " being applied" } } }
            div { dt { "Submissions refused" } dd { (count("submissions-refused", sum(|line| line.site.refused))) } }
            div { dt { "Rows held" } dd { (count("rows", sum(|line| line.site.rows))) small { "in " (plural(overview.tables.len() as u64, "table")) } } }
        }
        section aria-labelledby="by-site" {
            h2 id="by-site" { "By site" }
            @if sites.is_empty() {
                p.empty { "No site yet. On the registry's machine, " code { "headwater registry site add NAME" } " gives a one-time code; the site's gateway enrols with it by " code { "headwater init" } "." }
            } @else {
                div.scroll { table.cards {
                    thead { tr {
                        th scope="col" { "Site" } th scope="col" { "Last accepted" } th scope="col" { "Data as of" }
                        th.number scope="col" { "Accepted last" } th.number scope="col" { "Rejected last" } th.number scope="col" { "Rows held" }
                        th scope="col" { "Last submissions" }
                    } }
                    tbody { @for one in sites { (line(one, now)) } }
                } }
            }
        }
        section aria-labelledby="by-table" {
            h2 id="by-table" { "Rows held, by table" }
            @if overview.tables.is_empty() {
                p.empty { "Nothing yet. Rows are here as soon as a site's first submission is accepted." }
            } @else { (tables(&overview.tables)) }
        }
    }
}

fn in_words(overview: &Overview, fresh: u64) -> String {
    let sites = overview.sites.len() as u64;
    match sites - fresh {
        _ if sites == 0 => "This registry waits for its first site.".to_owned(),
        0 if sites == 1 => "The site is fresh.".to_owned(),
        0 => format!("All {} sites are fresh.", grouped(sites)),
        1 => format!("1 of {} is not fresh; its line says since when.", plural(sites, "site")),
        stale => format!(
            "{} of {} are not fresh; their lines say since when.",
            grouped(stale),
            plural(sites, "site")
        ),
    }
}

pub(super) fn freshness(line: &SiteLine, now: Timestamp) -> Freshness {
    Freshness::of(line.last.as_ref().and_then(|last| last.applied_at.as_deref()), now)
}

fn line(line: &SiteLine, now: Timestamp) -> Markup {
    let (site, last) = (&line.site, line.last.as_ref());
    html! {
        tr data-site=(site.name) {
            th scope="row" { a href={"/console/sites/" (site.name)} { (site.name) } @if site.suspended { " " span.state.bad { "suspended" } } }
            td data-label="Last accepted" { div {
                (freshness(line, now).badge())
                @if let Some(at) = last.and_then(|last| last.applied_at.as_deref()) { " " small { (page::ago(at, now)) } }
                @else if site.enrolled_at.is_none() { " " small { "not enrolled yet" } }
            } }
            td data-label="Data as of" { @match last { Some(last) => (page::at(&last.transaction_time)), None => "–" } }
            td.number data-label="Accepted last" { @match last { Some(last) => (count("accepted", last.accepted)), None => "–" } }
            td.number data-label="Rejected last" { @match last { Some(last) => (count("rejected", last.rejected)), None => "–" } }
            td.number data-label="Rows held" { (count("site-rows", site.rows)) }
            td data-label="Submissions" { (history(line)) }
        }
    }
}

/// The small bars and what they show in words.
pub(super) fn history(line: &SiteLine) -> Markup {
    if line.recent.is_empty() {
        return html! { "–" };
    }
    let last = line.recent.last().map_or(0, |(accepted, _)| *accepted);
    chart::bars(
        &format!(
            "Rows accepted in the last {}; {} in the last one",
            plural(line.recent.len() as u64, "submission"),
            grouped(last)
        ),
        &line.recent,
    )
}

fn tables(tables: &BTreeMap<String, u64>) -> Markup {
    let all: u64 = tables.values().sum();
    html! {
        table {
            thead { tr { th scope="col" { "Table" } th.number scope="col" { "Rows" } td {} } }
            tbody { @for (table, rows) in tables {
                tr { th scope="row" { code { (table) } } td.number { data data-table=(table) value=(rows) { (grouped(*rows)) } } td.wide { (chart::share(*rows, all)) } }
            } }
            tfoot { tr { th scope="row" { "All" } td.number { (count("rows-by-table", all)) } td {} } }
        }
    }
}
