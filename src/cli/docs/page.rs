//! The data dictionary as one page: no script, nothing fetched, readable on paper.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::network::{ColumnEntry, Dictionary, TableEntry};

const STYLE: &str = include_str!("../page.css");

pub(super) fn page(dictionary: &Dictionary) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Data dictionary: " (dictionary.model) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Data dictionary: " (dictionary.model) }
                @for (name, claims, version) in &dictionary.policies { p { "Policy " b { (name) } ", version " (version) ": " (claims) } }
                nav { ul {
                    @for table in &dictionary.tables { li { a href=(format!("#{}", table.name)) { (table.name) } } }
                    li { a href="#terminology" { "Terminology" } }
                } }
                @for table in &dictionary.tables { (one_table(table)) }
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
            }
        }
    }
}

fn one_table(table: &TableEntry) -> Markup {
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
        table {
            tr { th { "Field" } th { "Type" } th { "Source" } th { "Transformation rule" } th { "De-identification" } th { "Comments" } }
            @for column in &table.columns { (one_column(column)) }
        }
    }
}

fn one_column(column: &ColumnEntry) -> Markup {
    html! {
        tr {
            td { b { (column.name) } @if let Some(role) = &column.role { br; small { (role) } } }
            td { (column.kind) @if column.required { br; small { "required" } }
                @if !column.values.is_empty() { br; small { "one of: " (column.values.join(", ")) } } }
            td {
                @if column.sources.is_empty() { small { "no resource fills it" } }
                @for source in &column.sources { div { code { (source.path) } br; small { (source.file) } } }
            }
            td { @for source in &column.sources { @for rule in &source.rules { div { (rule) } } } }
            td { @for one in &column.deidentification { div { (one.policy) ": " b { (one.rule) } br; small { (one.reason) } } } }
            td { (column.description) @for source in &column.sources { @if !source.comment.is_empty() { div { small { (source.comment) } } } } }
        }
    }
}
