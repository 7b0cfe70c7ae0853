//! What a coverage report says, and the form of it that may be shown outside the site.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cdm::small_cells::{LEAST, published, published_parts, published_percent};

/// What became of the resources of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeFate {
    pub read: u64,
    pub mapped: u64,
    pub excluded: u64,
    pub refused: u64,
    /// Some view reads the type.
    pub known: bool,
    /// Some column looks up what a resource of the type says.
    #[serde(default)]
    pub looked_up: bool,
}

/// What an unread element says, as far as its name tells: what an author looks at first, and what he expects to be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ElementKind {
    #[default]
    Content,
    Extension,
    /// Who somebody is, and how to reach them.
    Identity,
    /// Says once more, or more exactly, what stands beside it: display, system, unit, text.
    Beside,
}

impl ElementKind {
    pub fn of(path: &str) -> Self {
        let last = path.rsplit('.').next().unwrap_or(path);
        if path.contains("extension[") || last == "extension" {
            return Self::Extension;
        }
        match last {
            "display" | "system" | "version" | "userSelected" | "unit" | "text" => Self::Beside,
            "identifier" | "name" | "telecom" | "contact" | "photo" | "line" => Self::Identity,
            _ => Self::Content,
        }
    }
}

/// An element of the data that no mapping reads, and nothing below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnreadElement {
    pub path: String,
    #[serde(default)]
    pub kind: ElementKind,
    pub resources: u64,
    /// Of the resources of its type.
    pub percent: f64,
    pub patients: u64,
}

/// A code that found no concept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeGap {
    pub table: String,
    pub column: String,
    pub system: String,
    /// Empty where it looks like free text.
    pub code: String,
    pub reason: String,
    pub times: u64,
    pub patients: u64,
}

/// How often a column was filled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnFill {
    pub table: String,
    pub column: String,
    /// Some view fills it, where the data says something.
    #[serde(default)]
    pub mapped: bool,
    pub filled: u64,
    pub rows: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRows {
    pub file: String,
    pub table: String,
    pub rows: u64,
}

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    pub model: String,
    /// Patients met; an estimate above 200, as all counts of patients here.
    pub patients: u64,
    pub resources: BTreeMap<String, TypeFate>,
    pub unread: Vec<UnreadElement>,
    /// Elements met after the room for different ones was used up.
    pub unread_beyond: u64,
    pub codes: Vec<CodeGap>,
    pub codes_beyond: u64,
    /// All columns of all tables that are filled from resources.
    pub columns: Vec<ColumnFill>,
    pub views: Vec<ViewRows>,
    /// Tables that no single resource fills.
    pub derived: Vec<String>,
    /// The site whose landed data was read; empty where it was a folder of files.
    #[serde(default)]
    pub site: String,
    /// Counts are rounded up to multiples of this, and what fewer patients have is left out; 0 where all is told.
    #[serde(default)]
    pub least: u64,
}

impl Coverage {
    /// Columns of tables that have rows, which no row fills.
    pub fn never_filled(&self) -> impl Iterator<Item = &ColumnFill> {
        self.columns.iter().filter(|column| column.rows > 0 && column.filled == 0)
    }

    pub fn silent_views(&self) -> impl Iterator<Item = &ViewRows> {
        self.views.iter().filter(|view| view.rows == 0)
    }

    /// The report as the network may see it: elements and codes that fewer than eleven patients have are left out and counted, and
    /// every count stands as `small_cells` shows it, a total as the sum of its parts.
    pub fn for_outside(mut self) -> Self {
        let few = |patients: u64, times: u64| if patients == 0 { times < LEAST } else { patients < LEAST };
        let (all, codes) = (self.unread.len(), self.codes.len());
        self.unread.retain(|one| !few(one.patients, one.resources));
        self.codes.retain(|gap| !few(gap.patients, gap.times));
        self.unread_beyond += (all - self.unread.len()) as u64;
        self.codes_beyond += (codes - self.codes.len()) as u64;
        for one in &mut self.unread {
            let of = one.path.split('.').next().unwrap_or_default();
            let read = self.resources.get(of).map_or(one.resources, |types| types.read);
            one.percent = published_percent(one.resources, read);
            (one.resources, one.patients) = (published(one.resources), published(one.patients));
        }
        for gap in &mut self.codes {
            (gap.times, gap.patients) = (published(gap.times), published(gap.patients));
        }
        for types in self.resources.values_mut() {
            let (parts, total) = published_parts([types.mapped, types.excluded, types.refused]);
            [types.mapped, types.excluded, types.refused] = parts;
            types.read = total;
        }
        // The rows of a table are those of its views.
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        for view in &mut self.views {
            view.rows = published(view.rows);
            *rows.entry(&view.table).or_default() += view.rows;
        }
        for column in &mut self.columns {
            column.filled = published(column.filled);
            column.rows = rows.get(column.table.as_str()).copied().unwrap_or(0).max(published(column.rows));
        }
        self.patients = published(self.patients);
        self.least = LEAST;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_element_s_name_tells_what_it_says() {
        for (path, kind) in [
            ("Encounter.type", ElementKind::Content),
            ("Observation.category.coding.system", ElementKind::Beside),
            ("Patient.name", ElementKind::Identity),
            ("Patient.address.line", ElementKind::Identity),
            (
                "Patient.extension[http://example.org/x].valueCoding.display",
                ElementKind::Extension,
            ),
        ] {
            assert_eq!(ElementKind::of(path), kind, "{path}");
        }
    }

    #[test]
    fn what_few_patients_have_is_not_in_the_form_for_outside() {
        let code = |code: &str, patients: u64, times: u64| CodeGap {
            table: "t".to_owned(),
            column: "c".to_owned(),
            system: "urn:local".to_owned(),
            code: code.to_owned(),
            reason: "no-code".to_owned(),
            times,
            patients,
        };
        let element = |path: &str, patients: u64, resources: u64| UnreadElement {
            path: path.to_owned(),
            resources,
            patients,
            ..UnreadElement::default()
        };
        let fill = |filled: u64, rows: u64| ColumnFill {
            table: "t".to_owned(),
            column: "c".to_owned(),
            filled,
            rows,
            mapped: true,
        };
        let report = Coverage {
            patients: 3,
            codes: vec![code("many", 11, 11), code("few", 10, 500), code("nobody-s", 0, 10)],
            unread: vec![
                element("Patient.a", 11, 12),
                element("Patient.b", 2, 40),
                element("Practitioner.c", 0, 11),
            ],
            columns: vec![fill(0, 4), fill(5, 20)],
            ..Coverage::default()
        };
        let shown = report.for_outside();
        assert_eq!(shown.codes.iter().map(|gap| gap.code.as_str()).collect::<Vec<_>>(), ["many"]);
        assert_eq!(
            shown.unread.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
            ["Patient.a", "Practitioner.c"]
        );
        assert_eq!((shown.codes_beyond, shown.unread_beyond, shown.patients), (2, 1, 11));
        assert_eq!(shown.columns, [fill(0, 11), fill(11, 22)]);
    }

    proptest! {
        #[test]
        fn no_two_counts_of_the_form_for_outside_give_a_value_from_1_to_10(
            fates in prop::collection::vec(any::<[u8; 3]>(), 1..4),
            cells in prop::collection::vec((0u64..60, 0u64..60), 1..12),
        ) {
            let mut report = Coverage { patients: cells[0].1, ..Coverage::default() };
            for (at, [mapped, excluded, refused]) in fates.iter().map(|fates| fates.map(|fate| u64::from(fate % 40))).enumerate() {
                let types = TypeFate { read: mapped + excluded + refused, mapped, excluded, refused, ..TypeFate::default() };
                report.resources.insert(format!("Type{at}"), types);
            }
            for (at, &(a, b)) in cells.iter().enumerate() {
                let (table, column) = (format!("t{}", at % 3), format!("c{at}"));
                report.views.push(ViewRows { file: String::new(), table: table.clone(), rows: a });
                report.unread.push(UnreadElement { path: format!("Type0.e{at}"), resources: a.max(b), patients: b, ..UnreadElement::default() });
                let (system, reason) = (String::new(), String::new());
                report.codes.push(CodeGap { table: table.clone(), column: column.clone(), system, code: at.to_string(), reason, times: a.max(b), patients: b });
                report.columns.push(ColumnFill { table, column, mapped: true, filled: a.min(b), rows: a.max(b) });
            }
            let shown = report.for_outside();
            let mut all = vec![shown.patients];
            all.extend(shown.resources.values().flat_map(|types| [types.read, types.mapped, types.excluded, types.refused]));
            all.extend(shown.unread.iter().flat_map(|one| [one.resources, one.patients]));
            all.extend(shown.codes.iter().flat_map(|gap| [gap.times, gap.patients]));
            all.extend(shown.columns.iter().flat_map(|column| [column.filled, column.rows]));
            all.extend(shown.views.iter().map(|view| view.rows));
            for (at, one) in all.iter().enumerate() {
                for two in &all[at..] {
                    prop_assert!(!(1..LEAST).contains(&one.abs_diff(*two)), "{one} and {two}");
                    prop_assert!(!(1..LEAST).contains(one));
                }
            }
            prop_assert!(shown.columns.iter().all(|column| column.filled <= column.rows));
            prop_assert!(shown.unread.iter().all(|one| one.percent <= 100.0));
        }
    }
}
