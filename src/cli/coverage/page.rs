//! The coverage report as one page without scripts, for people who rather look than read.

use maud::{Markup, html};

use super::super::page as frame;
use super::super::show::thousands;
use super::groups;
use crate::gateway::coverage::Coverage;
use crate::network::Untested;

pub(super) fn page(found: &Coverage, untested: &[Untested]) -> Markup {
    let most = found.codes.iter().map(|gap| gap.times).max().unwrap_or(0);
    let body = html! {
        @if let Some(words) = super::text::keep(found) { p { b { (words) } } }
        p { (thousands(found.patients)) " patients. Counts of patients above 200 are estimates within about 3 %." }
        h2 { "Resources" }
        table {
            tr { th { "Type" } th .n { "read" } th .n { "mapped" } th .n { "excluded" } th .n { "refused" } th { "mapped" } }
            @for (name, types) in &found.resources {
                tr {
                    td { (name) " " small { (groups::use_of(types)) } }
                    @for number in [types.read, types.mapped, types.excluded, types.refused] { td .n { (thousands(number)) } }
                    td { (bar(types.mapped, types.read)) }
                }
            }
        }
        @for (kind, head) in groups::KINDS {
            @let types = groups::unread(found, kind);
            @if !types.is_empty() {
                h2 { (head) }
                table {
                    tr { th { "Element" } th .n { "resources" } th .n { "share" } th .n { "patients" } th {} }
                    @for group in &types {
                        tr { th colspan="5" { (group.resource_type) } }
                        @for line in &group.lines {
                            tr {
                                td { code { (line.path) } }
                                td .n { (thousands(line.resources)) }
                                td .n { (line.percent) " %" }
                                td .n { (thousands(line.patients)) }
                                td { (bar((line.percent * 10.0) as u64, 1000)) }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Codes without a concept" }
        table {
            tr { th { "Code" } th .n { "times" } th .n { "patients" } th {} }
            @for group in groups::codes(found) {
                tr { th colspan="4" { code { (group.column) } " " (group.system) " " small { (group.reason) } } }
                @for gap in &group.codes {
                    tr {
                        td { @if gap.code.is_empty() { small { "looks like free text" } } @else { code { (gap.code) } } }
                        td .n { (thousands(gap.times)) }
                        td .n { (thousands(gap.patients)) }
                        td { (bar(gap.times, most)) }
                    }
                }
            }
        }
        h2 { "How full the columns are" }
        table {
            tr { th { "Column" } th .n { "filled" } th .n { "rows" } th {} }
            @for column in found.columns.iter().filter(|column| column.rows > 0) {
                tr {
                    td { code { (column.table) "." (column.column) } @if column.filled == 0 { " " small { (if column.mapped { "never" } else { "no view fills it" }) } } }
                    td .n { (thousands(column.filled)) }
                    td .n { (thousands(column.rows)) }
                    td { (bar(column.filled, column.rows)) }
                }
            }
        }
        h2 { "Views that gave no row" }
        ul { @for view in found.silent_views() { li { code { (view.file) } } } }
        h2 { "Columns that no case tries" }
        ul { @for one in untested { li { code { (one.file) } ": " (one.column) } } }
    };
    frame::page(&format!("Coverage of {}", found.model), &body)
}

/// A bar of `part` in `whole`.
fn bar(part: u64, whole: u64) -> Markup {
    let width = (part * 100).checked_div(whole).unwrap_or(0);
    html! {
        svg .bar width="100" height="10" viewBox="0 0 100 10" aria-hidden="true" {
            rect .all width="100" height="10" {}
            rect .part width=(width) height="10" {}
        }
    }
}
