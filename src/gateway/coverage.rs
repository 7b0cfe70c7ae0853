//! What a mapping leaves out of the data: elements nobody reads, codes without a concept, columns and views that stay empty.
//! One pass; memory hangs on the variety of the data, not on its size, and is capped. Shows names, urls and codes, never a value.

mod elements;
mod patients;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use super::each::each_block;
use super::folder::inputs;
use super::offline::{OfflineError, lookups};
use super::site::Rules;
use super::steps::{Bench, lines, map_resource, shown_type};
use crate::fhir::name::Name;
use crate::fhir::reference::Reference;
use crate::fhir::tree::{Limits, Node};
use crate::map::{Fate, Mapped, Unmapped};
use elements::Elements;
use patients::{Patients, digest};

/// Different codes remembered.
const MAX_CODES: usize = 10_000;

/// What became of the resources of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TypeFate {
    pub read: u64,
    pub mapped: u64,
    pub excluded: u64,
    pub refused: u64,
    /// Some view reads the type.
    pub known: bool,
}

/// An element of the data that no mapping reads, and nothing below it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnreadElement {
    pub path: String,
    pub resources: u64,
    /// Of the resources of its type.
    pub percent: f64,
    pub patients: u64,
}

/// A code that found no concept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnFill {
    pub table: String,
    pub column: String,
    pub filled: u64,
    pub rows: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewRows {
    pub file: String,
    pub table: String,
    pub rows: u64,
}

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
}

impl Coverage {
    /// Columns of tables that have rows, which no row fills.
    pub fn never_filled(&self) -> impl Iterator<Item = &ColumnFill> {
        self.columns.iter().filter(|column| column.rows > 0 && column.filled == 0)
    }

    pub fn silent_views(&self) -> impl Iterator<Item = &ViewRows> {
        self.views.iter().filter(|view| view.rows == 0)
    }
}

#[derive(Default)]
struct Gathering {
    elements: Elements,
    patients: Patients,
    types: BTreeMap<String, TypeFate>,
    codes: HashMap<Unmapped, (u64, Patients)>,
    codes_beyond: u64,
    views: Vec<u64>,
    /// Per table: rows, and per column the cells that are not empty.
    tables: Vec<(u64, Vec<u64>)>,
}

/// Holds the folder's data against the rules. `progress` is told resources and bytes.
/// # Errors: no input, a file or vocabulary that cannot be read.
pub fn coverage(rules: &Rules, data: &Path, limits: &Limits, progress: &dyn Fn(u64, u64)) -> Result<Coverage, OfflineError> {
    let inputs = inputs(data)?;
    let lookups = lookups(rules, limits, &inputs)?;
    let reads = rules.mapping.reads();
    let mut bench = Bench::default();
    let mut all = Gathering {
        tables: rules.model.tables().map(|(_, table)| (0, vec![0; table.columns.len()])).collect(),
        views: vec![0; rules.mapping.views().count()],
        ..Gathering::default()
    };
    let (mut done, mut bytes) = (0, 0);
    each_block(&inputs, limits.line_bytes, |input, block| {
        let mut mapped = Mapped::with_cache(std::mem::take(&mut bench.codes));
        for (_, line) in lines(block.first_line, &block.bytes) {
            done += 1;
            let Ok(root) = bench.read(line, limits) else {
                let types = all.types.entry(shown_type(&input.resource_type).to_owned()).or_default();
                types.read += 1;
                types.refused += 1;
                continue;
            };
            let patient = patient_of(root).map(|key| digest(&key));
            if let Some(patient) = patient {
                all.patients.add(patient);
            }
            all.elements.resource(&reads, root, patient);
            let types = all
                .types
                .entry(shown_type(root.resource_type().unwrap_or_default()).to_owned())
                .or_default();
            types.read += 1;
            match map_resource(rules, &lookups, root, &mut mapped) {
                Ok(Fate::Mapped) => types.mapped += 1,
                Ok(Fate::Excluded(_)) => types.excluded += 1,
                Err(_) => {
                    types.refused += 1;
                    // It may never have come to the mapping: what stands there is of the one before.
                    mapped.clear();
                }
            }
            all.rows(&mut mapped, patient);
        }
        bench.codes = mapped.into_cache();
        bytes += block.bytes.len() as u64;
        progress(done, bytes);
        match lookups.fault() {
            Some(fault) => Err(OfflineError::Vocabulary(fault)),
            None => Ok(()),
        }
    })?;
    Ok(all.report(rules))
}

impl Gathering {
    /// Counts the rows of one resource and the codes that found nothing.
    fn rows(&mut self, mapped: &mut Mapped<'_>, patient: Option<u64>) {
        for (table, cells) in mapped.rows().iter() {
            let (rows, filled) = &mut self.tables[usize::from(table.0)];
            *rows += 1;
            for (count, cell) in filled.iter_mut().zip(cells) {
                *count += u64::from(!cell.is_null());
            }
        }
        let stats = mapped.take_stats();
        for (view, rows) in self.views.iter_mut().enumerate() {
            *rows += stats.rows_of(view);
        }
        for (code, tally) in stats.unmapped() {
            let times = tally.times;
            if self.codes.len() >= MAX_CODES && !self.codes.contains_key(code) {
                self.codes_beyond += times;
                continue;
            }
            let met = self.codes.entry(code.clone()).or_default();
            met.0 += times;
            if let Some(patient) = patient {
                met.1.add(patient);
            }
        }
    }

    fn report(mut self, rules: &Rules) -> Coverage {
        let model = &rules.model;
        for name in rules.mapping.resource_types() {
            if let Some(types) = self.types.get_mut(name) {
                types.known = true;
            }
        }
        let types = &self.types;
        let (found, unread_beyond) = self.elements.unread();
        let unread = found.into_iter().filter_map(|found| {
            let types = types.get(found.path.split('.').next().unwrap_or_default())?;
            // Of a type that nobody reads, the type is told and not its elements.
            types.known.then(|| UnreadElement {
                percent: percent(found.resources, types.read),
                path: found.path,
                resources: found.resources,
                patients: found.patients,
            })
        });
        let unread = unread.collect();
        let mut codes: Vec<_> = self
            .codes
            .into_iter()
            .map(|(code, (times, patients))| {
                let table = model.table(code.table);
                CodeGap {
                    table: table.name.clone(),
                    column: table.columns[code.column].name.clone(),
                    system: shown_code(&code.system, 200),
                    code: shown_code(&code.code, 64),
                    reason: code.reason.to_owned(),
                    times,
                    patients: patients.count(),
                }
            })
            .collect();
        codes.sort_by(|a, b| {
            let key = |gap: &CodeGap| (gap.table.clone(), gap.column.clone(), gap.system.clone(), gap.code.clone());
            (b.times, b.patients).cmp(&(a.times, a.patients)).then_with(|| key(a).cmp(&key(b)))
        });
        let derived: Vec<_> = rules.derivations.tables().collect();
        let columns = model.tables().filter(|(id, _)| !derived.contains(id)).flat_map(|(id, table)| {
            let (rows, filled) = &self.tables[usize::from(id.0)];
            table.columns.iter().zip(filled).map(|(column, filled)| ColumnFill {
                table: table.name.clone(),
                column: column.name.clone(),
                filled: *filled,
                rows: *rows,
            })
        });
        let columns = columns.collect();
        let views = rules.mapping.views().zip(&self.views).map(|((file, _, table), rows)| ViewRows {
            file: file.to_owned(),
            table: model.table(table).name.clone(),
            rows: *rows,
        });
        Coverage {
            model: model.name.clone(),
            patients: self.patients.count(),
            views: views.collect(),
            resources: self.types,
            unread,
            unread_beyond,
            codes,
            codes_beyond: self.codes_beyond,
            columns,
            derived: derived.into_iter().map(|id| model.table(id).name.clone()).collect(),
        }
    }
}

/// The key of the patient a resource is about.
fn patient_of(root: Node<'_, '_>) -> Option<String> {
    if let Some(key) = crate::deidentify::patient_key(root) {
        return Some(key);
    }
    let reference = ["subject", "patient", "beneficiary", "individual"]
        .iter()
        .find_map(|name| root.get(Name::of(name))?.get(Name::REFERENCE))?;
    let text = reference.text();
    let key = Reference::parse(&text)?;
    (key.type_name == Some("Patient")).then(|| format!("Patient/{}", key.id))
}

/// A code is shown; what looks like free text is not.
pub(super) fn shown_code(text: &str, longest: usize) -> String {
    let plain = text.len() <= longest && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if plain { text.to_owned() } else { String::new() }
}

#[expect(clippy::cast_precision_loss, reason = "a share that is shown with one digit")]
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_and_what_looks_like_free_text_is_not() {
        assert_eq!(shown_code("4548-4", 64), "4548-4");
        for text in ["seen by Dr. Smith", "a\nb", &"x".repeat(65)] {
            assert_eq!(shown_code(text, 64), "");
        }
        assert_eq!((percent(1, 3), percent(0, 0)), (33.3, 0.0));
    }
}
