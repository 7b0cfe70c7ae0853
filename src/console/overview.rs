//! The first page: every site, how fresh it is, what it sent, and what the registry holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, html};

use super::chart::{self, Flow, RESOURCE_FATES, ROW_FATES, Source};
use super::page::{self, Freshness, count, grouped, plural};
use super::reading::{Overview, SiteLine};
use crate::receive::read::SiteOverview;

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
        (flow(overview))
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
        0 if sites == 1 => "The site is fresh: its last submission was accepted within 36 hours.".to_owned(),
        0 => format!(
            "All {} sites are fresh: each had a submission accepted within 36 hours.",
            grouped(sites)
        ),
        1 => format!("1 of {} is not fresh; its line says since when.", plural(sites, "site")),
        stale => format!(
            "{} of {} are not fresh; their lines say since when.",
            grouped(stale),
            plural(sites, "site")
        ),
    }
}

/// Sites drawn by name; those after them are one.
const DRAWN: usize = 8;

/// The way of everything so far, from what the hospitals pulled to what is held here.
fn flow(overview: &Overview) -> Markup {
    let mut sites: Vec<&SiteOverview> = overview.sites.iter().map(|line| &line.site).collect();
    sites.retain(|site| site.resources.pulled + site.accepted + site.rejected > 0);
    if sites.is_empty() {
        return html! {};
    }
    let of = |parts: fn(&SiteOverview) -> Vec<u64>| -> Vec<Source> { sources(&sites, parts) };
    let resources = of(|site| vec![site.resources.mapped, site.resources.excluded, site.resources.refused]);
    let rows = of(|site| vec![site.accepted, site.rejected]);
    let sum = |number: fn(&SiteOverview) -> u64| sites.iter().map(|site| number(site)).sum::<u64>();
    html! {
        section aria-labelledby="flow" {
            h2 id="flow" { "The flow so far" }
            div.pair {
                div {
                    h3 { "At the hospitals: " (count("flow-pulled", sum(|site| site.resources.pulled))) " resources pulled" }
                    p.note {
                        (count("flow-mapped", sum(|site| site.resources.mapped))) " mapped, "
                        (count("flow-excluded", sum(|site| site.resources.excluded))) " excluded, "
                        (count("flow-refused", sum(|site| site.resources.refused))) " refused"
                    }
                    (chart::half_flow(&Flow { id: "all-resources", title: "What became of the resources at the hospitals", unit: "resources", sources: &resources, fates: &RESOURCE_FATES }))
                }
                div {
                    h3 { "At the registry: " (count("flow-released", sum(|site| site.accepted + site.rejected))) " rows released" }
                    p.note {
                        (count("flow-accepted", sum(|site| site.accepted))) " accepted, "
                        (count("flow-rejected", sum(|site| site.rejected))) " rejected"
                    }
                    (chart::half_flow(&Flow { id: "all-rows", title: "What became of the rows at the registry", unit: "rows", sources: &rows, fates: &ROW_FATES }))
                }
            }
            p.note { "Summed over every accepted submission. One resource may give several rows or none; a row changed later is counted again." }
        }
    }
}

/// A source for each site, by name; where there are many, the largest and then all others as one.
fn sources(sites: &[&SiteOverview], parts: fn(&SiteOverview) -> Vec<u64>) -> Vec<Source> {
    let mut sources: Vec<Source> = sites
        .iter()
        .map(|site| Source {
            label: site.name.clone(),
            note: None,
            parts: parts(site),
        })
        .collect();
    if sources.len() > DRAWN {
        sources.sort_by_key(|source| std::cmp::Reverse(source.parts.iter().sum::<u64>()));
        let others = sources.split_off(DRAWN - 1);
        let parts = (0..others[0].parts.len()).map(|fate| others.iter().map(|source| source.parts[fate]).sum());
        sources.push(Source {
            label: format!("{} others", others.len()),
            note: None,
            parts: parts.collect(),
        });
    }
    sources
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
                @if let Some((last, at)) = last.and_then(|last| Some((last, last.applied_at.as_deref()?))) {
                    " " small { a href={"/console/submissions/" (last.id)} { "no. " (grouped(last.sequence)) } ", " (page::ago(at, now)) }
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::Tally;

    #[test]
    fn many_sites_are_drawn_as_the_largest_and_the_others_and_none_is_lost() {
        let site = |rows: u64| SiteOverview {
            name: format!("site-{rows}"),
            enrolled_at: None,
            suspended: false,
            submissions: 1,
            refused: 0,
            waiting: 0,
            last_received_at: None,
            last_applied_at: None,
            last_transaction_time: None,
            rows,
            resources: Tally::default(),
            accepted: rows,
            rejected: 1,
        };
        let check = |number: u64, expected: &[&str]| {
            let sites: Vec<_> = (1..=number).map(site).collect();
            let drawn = sources(&sites.iter().collect::<Vec<_>>(), |site| vec![site.accepted, site.rejected]);
            let names: Vec<_> = drawn.iter().map(|source| source.label.as_str()).collect();
            assert_eq!(names, expected);
            let sum = |fate: usize| drawn.iter().map(|source| source.parts[fate]).sum::<u64>();
            assert_eq!((sum(0), sum(1)), (number * (number + 1) / 2, number));
        };
        check(2, &["site-1", "site-2"]);
        check(8, &["site-1", "site-2", "site-3", "site-4", "site-5", "site-6", "site-7", "site-8"]);
        check(
            9,
            &["site-9", "site-8", "site-7", "site-6", "site-5", "site-4", "site-3", "2 others"],
        );
    }
}
