//! The data dictionary as one page: no script, nothing fetched, readable on paper.

use maud::{Markup, html};

use super::super::page as frame;
use super::observed::Observed;
use crate::network::{ColumnEntry, Dictionary, TableEntry};

pub(super) fn page(dictionary: &Dictionary, observed: &Observed) -> Markup {
    let body = html! {
        @if let Some(of) = &observed.of { p { (of) } }
        @for (name, claims, version) in &dictionary.policies { p { "Policy " b { (name) } ", version " (version) ": " (claims) } }
        nav { ul {
            @for table in &dictionary.tables { li { a href=(format!("#{}", table.name)) { (table.name) } } }
            li { a href="#terminology" { "Terminology" } }
        } }
        @for table in &dictionary.tables { (one_table(table, observed)) }
        h2 id="terminology" { "Terminology" }
        @for map in &dictionary.concept_maps {
            details {
                summary { code { (map.url) } " (" (map.pairs.len()) " codes) " (map.title) }
                table {
                    tr { th { "System" } th { "Code" } th { "Target" } }
                    @for (system, code, target) in &map.pairs { tr { td { (system) } td { code { (code) } } td { (target) } } }
                }
            }
        }
    };
    frame::page(&format!("Data dictionary: {}", dictionary.model), &body)
}

fn one_table(table: &TableEntry, observed: &Observed) -> Markup {
    html! {
        h2 id=(table.name) { (table.name) }
        p { (table.about) }
        ul {
            @for view in &table.views {
                li { code { (view.file) } " reads " (view.resource) ". " (view.about)
                    @for condition in &view.conditions { br; "only where " code { (condition) } } }
            }
            @if let Some(derived) = &table.derived { li { "derived: " (derived) } }
            @if table.views.is_empty() && table.derived.is_none() { li { "nothing fills this table" } }
            @for (policy, reason) in &table.withheld { li { "withheld under " (policy) ": " (reason) } }
        }
        table .fields {
            thead { tr {
                th { "Field" } th { "Type" } th { "Source" } th { "Transformation rule" } th { "De-identification" }
                @if observed.of.is_some() { th .seen { "Observed" } }
                th { "Comments" }
            } }
            tbody { @for column in &table.columns { (one_column(&table.name, column, observed)) } }
        }
    }
}

/// A line of the table; where there is no room for one, `page.css` makes it a list, in which each cell has its label.
fn one_column(table: &str, column: &ColumnEntry, observed: &Observed) -> Markup {
    html! {
        tr {
            td { b { (column.name) } @if let Some(role) = &column.role { br; small { (role) } } }
            td data-label="Type" { (column.kind) @if column.required { br; small { "required" } }
                @if !column.values.is_empty() { (values(column)) } }
            td data-label="Source" {
                @if column.sources.is_empty() { small { "no resource fills it" } }
                @for source in &column.sources { div { code { (source.path) } br; small { (source.file) } } }
            }
            td data-label="Transformation rule" { @for source in &column.sources { @for rule in &source.rules { div { (rule) } } } }
            td data-label="De-identification" { (leaves(column)) }
            @if observed.of.is_some() { td data-label="Observed" { @for words in observed.words(table, &column.name) { div { (words) } } } }
            td data-label="Comments" { (column.description) @for source in &column.sources { @if !source.comment.is_empty() { div { small { (source.comment) } } } } }
        }
    }
}

/// What the column may hold: each value with its meaning, or in one line where the model says none.
fn values(column: &ColumnEntry) -> Markup {
    let codes = column.values.iter().map(|value| value.code.as_str());
    html! {
        @if column.values.iter().all(|value| value.meaning.is_empty()) {
            br; small { "one of: " (codes.collect::<Vec<_>>().join(", ")) }
        } @else {
            @for value in &column.values { div { small { code { (value.code) } " " (value.meaning) } } }
        }
    }
}

/// What leaves of the column: told once where every policy says the same, and the reason once where it is the same.
fn leaves(column: &ColumnEntry) -> Markup {
    let all = &column.deidentification;
    let is_one = all
        .windows(2)
        .all(|pair| pair[0].rule == pair[1].rule && pair[0].reason == pair[1].reason);
    let reasons = all.windows(2).all(|pair| pair[0].reason == pair[1].reason);
    html! {
        @if is_one && all.len() > 1 {
            "every policy: " b { (all[0].rule) } br; small { (all[0].reason) }
        } @else if reasons && all.len() > 1 {
            @for one in all { div { (one.policy) ": " b { (one.rule) } } }
            small { (all[0].reason) }
        } @else {
            @for one in all { div { (one.policy) ": " b { (one.rule) } br; small { (one.reason) } } }
        }
    }
}
