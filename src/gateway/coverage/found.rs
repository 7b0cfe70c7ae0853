//! What a coverage report says, and the form of it that may be shown outside the site.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Counts from 1 to this stand as this, and what fewer patients have is left out; 0 where all is told.
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

    /// The report as the network may see it: elements and codes that fewer than `least` patients have are left out and counted, and a
    /// count from 1 to below `least` stands as `least`.
    pub fn without_few(mut self, least: u64) -> Self {
        let few = |patients: u64, times: u64| if patients == 0 { times < least } else { patients < least };
        let coarse = |count: u64| if count == 0 { 0 } else { count.max(least) };
        let (all, codes) = (self.unread.len(), self.codes.len());
        self.unread.retain(|one| !few(one.patients, one.resources));
        self.codes.retain(|gap| !few(gap.patients, gap.times));
        self.unread_beyond += (all - self.unread.len()) as u64;
        self.codes_beyond += (codes - self.codes.len()) as u64;
        for types in self.resources.values_mut() {
            for count in [&mut types.read, &mut types.mapped, &mut types.excluded, &mut types.refused] {
                *count = coarse(*count);
            }
        }
        for column in &mut self.columns {
            (column.filled, column.rows) = (coarse(column.filled), coarse(column.rows));
        }
        for view in &mut self.views {
            view.rows = coarse(view.rows);
        }
        self.patients = coarse(self.patients);
        self.least = least;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let shown = report.without_few(11);
        assert_eq!(shown.codes.iter().map(|gap| gap.code.as_str()).collect::<Vec<_>>(), ["many"]);
        assert_eq!(
            shown.unread.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
            ["Patient.a", "Practitioner.c"]
        );
        assert_eq!((shown.codes_beyond, shown.unread_beyond, shown.patients), (2, 1, 11));
        assert_eq!(shown.columns, [fill(0, 11), fill(11, 20)]);
    }
}
