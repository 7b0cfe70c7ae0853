//! The report in the order a mapping author reads it: elements by kind and type, codes by column, columns by table.

use std::collections::BTreeMap;

use crate::gateway::coverage::{CodeGap, ColumnFill, Coverage, ElementKind, TypeFate, UnreadElement};

/// The kinds of unread elements, the most telling first, and what each is called.
pub(super) const KINDS: [(ElementKind, &str); 4] = [
    (ElementKind::Content, "Elements that no mapping reads"),
    (ElementKind::Extension, "Extensions that no mapping reads"),
    (
        ElementKind::Identity,
        "Who people are and how to reach them, which no mapping reads",
    ),
    (ElementKind::Beside, "Words, systems and units beside what is read"),
];

/// The unread elements of one kind and type.
pub(super) struct Group<'c> {
    pub resource_type: &'c str,
    pub lines: Vec<Line>,
}

/// One element, or several siblings that always come together: `referenceRange.high.{code, system}`.
pub(super) struct Line {
    pub path: String,
    pub resources: u64,
    pub percent: f64,
    pub patients: u64,
}

/// What a mapping does with a type, where it makes no rows of it.
pub(super) fn use_of(types: &TypeFate) -> &'static str {
    match types {
        TypeFate { known: true, .. } => "",
        TypeFate { looked_up: true, .. } => "looked up, makes no rows",
        _ => "no view reads it",
    }
}

/// The groups of `kind`: what more patients have comes first, then what more resources have.
pub(super) fn unread<'c>(found: &'c Coverage, kind: ElementKind) -> Vec<Group<'c>> {
    let mut types: BTreeMap<&str, Vec<&UnreadElement>> = BTreeMap::new();
    for one in found.unread.iter().filter(|one| one.kind == kind) {
        types.entry(one.path.split('.').next().unwrap_or_default()).or_default().push(one);
    }
    let mut groups: Vec<_> = types
        .into_iter()
        .map(|(resource_type, elements)| Group {
            resource_type,
            lines: lines(elements),
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.lines.first().map(|line| (line.patients, line.resources))));
    groups
}

fn lines(elements: Vec<&UnreadElement>) -> Vec<Line> {
    let mut siblings: BTreeMap<(&str, u64, u64), Vec<&UnreadElement>> = BTreeMap::new();
    for one in elements {
        // An extension's url has points of its own.
        let parent = match one.path.ends_with(']') {
            true => one.path.as_str(),
            false => one.path.rsplit_once('.').map_or("", |(parent, _)| parent),
        };
        siblings.entry((parent, one.resources, one.patients)).or_default().push(one);
    }
    let mut lines: Vec<_> = siblings
        .into_iter()
        .map(|((parent, resources, patients), mut ones)| {
            ones.sort_by(|a, b| a.path.cmp(&b.path));
            let whole = match ones.as_slice() {
                [one] => one.path.clone(),
                _ => {
                    let names: Vec<_> = ones.iter().filter_map(|one| one.path.rsplit('.').next()).collect();
                    format!("{parent}.{{{}}}", names.join(", "))
                }
            };
            Line {
                path: whole.split_once('.').map_or(whole.clone(), |(_, below)| below.to_owned()),
                resources,
                percent: ones.first().map_or(0.0, |one| one.percent),
                patients,
            }
        })
        .collect();
    lines.sort_by(|a, b| {
        (b.patients, b.resources)
            .cmp(&(a.patients, a.resources))
            .then_with(|| a.path.cmp(&b.path))
    });
    lines
}

/// The codes of one column and system that found no concept for one reason.
pub(super) struct CodeGroup<'c> {
    pub column: String,
    pub system: &'c str,
    pub reason: &'c str,
    pub times: u64,
    /// The most patients that one of the codes has.
    pub patients: u64,
    pub codes: Vec<&'c CodeGap>,
}

/// The most patients first, then the most times; so, too, the codes within.
pub(super) fn codes(found: &Coverage) -> Vec<CodeGroup<'_>> {
    let mut groups: BTreeMap<(String, &str, &str), Vec<&CodeGap>> = BTreeMap::new();
    for gap in &found.codes {
        let column = format!("{}.{}", gap.table, gap.column);
        groups.entry((column, &gap.system, &gap.reason)).or_default().push(gap);
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|((column, system, reason), mut codes)| {
            codes.sort_by_key(|gap| std::cmp::Reverse((gap.patients, gap.times)));
            CodeGroup {
                column,
                system,
                reason,
                times: codes.iter().map(|gap| gap.times).sum(),
                patients: codes.first().map_or(0, |gap| gap.patients),
                codes,
            }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.patients, group.times)));
    groups
}

/// Per table, its columns that no row fills: those that a view fills, or those that none does.
pub(super) fn empty(found: &Coverage, mapped: bool) -> Vec<(&str, Vec<&str>)> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for ColumnFill { table, column, .. } in found.never_filled().filter(|column| column.mapped == mapped) {
        match tables.last_mut() {
            Some((known, columns)) if known == table => columns.push(column),
            _ => tables.push((table, vec![column])),
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(path: &str, resources: u64, patients: u64) -> UnreadElement {
        UnreadElement {
            kind: ElementKind::of(path),
            path: path.to_owned(),
            resources,
            patients,
            ..UnreadElement::default()
        }
    }

    #[test]
    fn elements_stand_by_type_and_siblings_that_come_together_are_one_line() {
        let found = Coverage {
            unread: vec![
                element("Observation.referenceRange.high.code", 9, 3),
                element("Observation.referenceRange.high.value", 9, 3),
                element("Observation.method", 20, 2),
                element("Encounter.type", 5, 4),
                element("Observation.code.coding.display", 99, 9),
                element("Patient.extension[http://example.org/a.b]", 2, 2),
            ],
            ..Coverage::default()
        };
        let shown = |kind| -> Vec<String> {
            let groups = unread(&found, kind);
            let line = |group: &Group<'_>, line: &Line| format!("{} {}", group.resource_type, line.path);
            groups
                .iter()
                .flat_map(|group| group.lines.iter().map(move |one| line(group, one)))
                .collect()
        };
        assert_eq!(
            shown(ElementKind::Content),
            [
                "Encounter type",
                "Observation referenceRange.high.{code, value}",
                "Observation method"
            ]
        );
        assert_eq!(shown(ElementKind::Extension), ["Patient extension[http://example.org/a.b]"]);
        assert_eq!(shown(ElementKind::Beside), ["Observation code.coding.display"]);
    }

    #[test]
    fn codes_of_one_column_and_system_stand_together() {
        let gap = |code: &str, times: u64, patients: u64| CodeGap {
            table: "lab".to_owned(),
            column: "qual".to_owned(),
            system: "s".to_owned(),
            code: code.to_owned(),
            reason: "no-code".to_owned(),
            times,
            patients,
        };
        let found = Coverage {
            codes: vec![gap("often", 50, 1), gap("wide", 9, 8)],
            ..Coverage::default()
        };
        let groups = codes(&found);
        assert_eq!((groups.len(), groups[0].times, groups[0].patients), (1, 59, 8));
        assert_eq!(groups[0].codes[0].code, "wide");
    }
}
