//! Gathers, resource by resource, what a mapping reads and what it makes of it. Memory hangs on the variety of the data and is capped.

use std::collections::{BTreeMap, HashMap};

use super::super::site::Rules;
use super::super::steps::{Bench, lines, map_resource, shown_type};
use super::elements::Elements;
use super::found::{CodeGap, ColumnFill, Coverage, ElementKind, TypeFate, UnreadElement, ViewRows};
use super::patients::{Patients, digest};
use crate::fhir::name::Name;
use crate::fhir::path::Reads;
use crate::fhir::reference::Reference;
use crate::fhir::tree::{Limits, Node};
use crate::map::{Fate, Lookups, Mapped, Unmapped};

/// Different codes remembered.
const MAX_CODES: usize = 10_000;

pub(super) struct Gathering<'r> {
    rules: &'r Rules,
    lookups: &'r Lookups,
    limits: &'r Limits,
    reads: Reads,
    bench: Bench,
    elements: Elements,
    patients: Patients,
    types: BTreeMap<String, TypeFate>,
    codes: HashMap<Unmapped, (u64, Patients)>,
    codes_beyond: u64,
    views: Vec<u64>,
    /// Per table: rows, and per column the cells that are not empty.
    tables: Vec<(u64, Vec<u64>)>,
}

impl<'r> Gathering<'r> {
    pub(super) fn new(rules: &'r Rules, lookups: &'r Lookups, limits: &'r Limits) -> Self {
        Self {
            rules,
            lookups,
            limits,
            reads: rules.mapping.reads(),
            bench: Bench::default(),
            elements: Elements::default(),
            patients: Patients::default(),
            types: BTreeMap::new(),
            codes: HashMap::new(),
            codes_beyond: 0,
            views: vec![0; rules.mapping.views().count()],
            tables: rules.model.tables().map(|(_, table)| (0, vec![0; table.columns.len()])).collect(),
        }
    }

    /// Takes every line of a block of resources of this type, for which `counts`; how many there were.
    pub(super) fn block(&mut self, resource_type: &str, bytes: &[u8], counts: &mut dyn FnMut(Node<'_, '_>) -> bool) -> u64 {
        let mut bench = std::mem::take(&mut self.bench);
        let mut mapped = Mapped::with_cache(std::mem::take(&mut bench.codes));
        let mut done = 0;
        for (_, line) in lines(1, bytes) {
            let Ok(root) = bench.read(line, self.limits) else {
                let types = self.types.entry(shown_type(resource_type).to_owned()).or_default();
                types.read += 1;
                types.refused += 1;
                done += 1;
                continue;
            };
            if !counts(root) {
                continue;
            }
            done += 1;
            let patient = patient_of(root).map(|key| digest(&key));
            if let Some(patient) = patient {
                self.patients.add(patient);
            }
            self.elements.resource(&self.reads, root, patient);
            let name = shown_type(root.resource_type().unwrap_or_default());
            let types = self.types.entry(name.to_owned()).or_default();
            types.read += 1;
            match map_resource(self.rules, self.lookups, root, &mut mapped) {
                Ok(Fate::Mapped) => types.mapped += 1,
                Ok(Fate::Excluded(_)) => types.excluded += 1,
                Err(_) => {
                    types.refused += 1;
                    // It may never have come to the mapping: what stands there is of the one before.
                    mapped.clear();
                }
            }
            self.rows(&mut mapped, patient);
        }
        bench.codes = mapped.into_cache();
        self.bench = bench;
        done
    }

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

    pub(super) fn report(mut self) -> Coverage {
        let rules = self.rules;
        let model = &rules.model;
        for name in rules.mapping.resource_types() {
            if let Some(types) = self.types.get_mut(name) {
                types.known = true;
            }
        }
        for name in rules.mapping.lookup_types() {
            if let Some(types) = self.types.get_mut(name) {
                types.looked_up = true;
            }
        }
        let types = &self.types;
        let (found, unread_beyond) = self.elements.unread();
        let unread = found.into_iter().filter_map(|found| {
            let types = types.get(found.path.split('.').next().unwrap_or_default())?;
            // Of a type that nobody reads, the type is told and not its elements.
            types.known.then(|| UnreadElement {
                percent: percent(found.resources, types.read),
                kind: ElementKind::of(&found.path),
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
            table.columns.iter().zip(filled).map(move |(column, filled)| ColumnFill {
                mapped: rules.mapping.fills(id, &column.name),
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
            site: String::new(),
            least: 0,
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
pub(in super::super) fn shown_code(text: &str, longest: usize) -> String {
    let plain = text.len() <= longest && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if plain { text.to_owned() } else { String::new() }
}

#[expect(clippy::cast_precision_loss, reason = "a share that is shown with one digit")]
fn percent(part: u64, whole: u64) -> f64 {
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
