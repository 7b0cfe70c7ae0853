//! The data dictionary as Markdown.

use super::observed::Observed;
use crate::network::{ColumnEntry, Dictionary};

pub(super) fn markdown(dictionary: &Dictionary, observed: &Observed) -> String {
    let mut out = format!("# Data dictionary: {}\n", cell(&dictionary.model));
    if let Some(of) = &observed.of {
        out.push_str(&format!("\n{}\n", cell(of)));
    }
    let (head, rule) = match observed.of {
        Some(_) => (" observed |", "---|"),
        None => ("", ""),
    };
    for table in &dictionary.tables {
        out.push_str(&format!("\n## {}\n\n{}\n\n", table.name, cell(&table.about)));
        for view in &table.views {
            out.push_str(&format!("- `{}` reads {}. {}\n", view.file, view.resource, cell(&view.about)));
        }
        if let Some(derived) = &table.derived {
            out.push_str(&format!("- derived: {derived}\n"));
        }
        for (policy, reason) in &table.withheld {
            out.push_str(&format!("- withheld under {policy}: {}\n", cell(reason)));
        }
        out.push_str(&format!(
            "\n| field | type | source | transformation rule | de-identification |{head} comments |\n|---|---|---|---|---|{rule}---|\n"
        ));
        for column in &table.columns {
            out.push_str(&line(&table.name, column, observed));
        }
    }
    out.push_str("\n## Terminology\n\n");
    for map in &dictionary.concept_maps {
        out.push_str(&format!(
            "### {}\n\n`{}`: {} codes\n\n| system | code | target |\n|---|---|---|\n",
            map.url,
            map.file,
            map.pairs.len()
        ));
        for (system, code, target) in &map.pairs {
            out.push_str(&format!("| {} | {} | {} |\n", cell(system), cell(code), cell(target)));
        }
        out.push('\n');
    }
    out
}

fn line(table: &str, column: &ColumnEntry, observed: &Observed) -> String {
    let join = |items: Vec<String>| items.join("<br>");
    let sources = column
        .sources
        .iter()
        .map(|source| format!("{}: `{}`", source.file, cell(&source.path)));
    let rules = column.sources.iter().flat_map(|source| source.rules.iter().map(|rule| cell(rule)));
    let leaves = column
        .deidentification
        .iter()
        .map(|one| format!("{}: {} ({})", one.policy, one.rule, cell(&one.reason)));
    let sources = if column.sources.is_empty() {
        "no resource fills it".to_owned()
    } else {
        join(sources.collect())
    };
    let comments = column
        .sources
        .iter()
        .filter(|source| !source.comment.is_empty())
        .map(|source| cell(&source.comment));
    let comments = join(std::iter::once(cell(&column.description)).chain(comments).collect());
    let required = if column.required { ", required" } else { "" };
    let values = column
        .values
        .iter()
        .map(|value| format!("<br>{} {}", cell(&value.code), cell(&value.meaning)));
    let seen = match observed.of {
        Some(_) => format!(" {} |", join(observed.words(table, &column.name))),
        None => String::new(),
    };
    format!(
        "| {} | {}{required}{} | {sources} | {} | {} |{seen} {comments} |\n",
        column.name,
        column.kind,
        values.collect::<String>(),
        join(rules.collect()),
        join(leaves.collect())
    )
}

/// A text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
