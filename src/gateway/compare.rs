//! What another mapping makes of the same data: rows added, dropped, changed, by table and column; codes that no longer find
//! a concept. Each resource is mapped by both, in one pass; memory does not grow with the data. Derived tables are not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::coverage::shown_code;
use super::each::each_block;
use super::folder::inputs;
use super::offline::{OfflineError, lookups};
use super::site::Rules;
use super::steps::{Bench, lines, map_resource};
use crate::cdm::{Cell, Model, TableId};
use crate::fhir::tree::Limits;
use crate::map::{Fate, MapStats, Mapped};

/// Keys kept to be shown, per table and kind.
const SAMPLES: usize = 5;

/// One table in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableChange {
    pub added: u64,
    pub dropped: u64,
    pub changed: u64,
    pub same: u64,
    /// Rows in which a column differs, by column.
    pub columns: BTreeMap<String, u64>,
    /// A few keys of each kind: they are keys of the source, so only for who asks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<&'static str, Vec<String>>,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub resources: u64,
    pub tables_added: Vec<String>,
    pub tables_dropped: Vec<String>,
    /// `table.column`
    pub columns_added: Vec<String>,
    pub columns_dropped: Vec<String>,
    pub tables: BTreeMap<String, TableChange>,
    /// `old -> new` fates that differ, by resources.
    pub fates: BTreeMap<String, u64>,
    /// Codes that found a concept, or were not looked up, in the old and find none in the new.
    pub new_unmapped: Vec<NewUnmapped>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NewUnmapped {
    pub place: String,
    pub system: String,
    /// Empty where it looks like free text.
    pub code: String,
    pub reason: String,
    pub times: u64,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        let tables = self.tables.values().all(|table| table.added + table.dropped + table.changed == 0);
        let shape = [&self.tables_added, &self.tables_dropped, &self.columns_added, &self.columns_dropped];
        tables && self.fates.is_empty() && self.new_unmapped.is_empty() && shape.iter().all(|list| list.is_empty())
    }
}

/// How the columns of one table stand to each other: name, place in the old, place in the new.
struct Shared {
    name: String,
    old: TableId,
    new: TableId,
    columns: Vec<(String, usize, usize)>,
}

/// Maps the folder by both and compares. `keys`: keep a few keys of rows that differ.
/// # Errors: no input, a file or vocabulary that cannot be read.
pub fn compare(
    old: &Rules,
    new: &Rules,
    data: &Path,
    limits: &Limits,
    keys: bool,
    progress: &dyn Fn(u64, u64),
) -> Result<Comparison, OfflineError> {
    let inputs = inputs(data)?;
    let (old_lookups, new_lookups) = (lookups(old, limits, &inputs)?, lookups(new, limits, &inputs)?);
    let mut found = shapes(&old.model, &new.model);
    let shared = shared(&old.model, &new.model);
    let samples = if keys { SAMPLES } else { 0 };
    let (mut old_stats, mut new_stats) = (MapStats::default(), MapStats::default());
    let mut bench = Bench::default();
    let mut bytes = 0;
    each_block(&inputs, limits.line_bytes, |_, block| {
        let (mut before, mut after) = (Mapped::new(), Mapped::new());
        for (_, line) in lines(block.first_line, &block.bytes) {
            found.resources += 1;
            // What cannot be read is the same for both.
            let Ok(root) = bench.read(line, limits) else { continue };
            let fates = [
                fate(&map_resource(old, &old_lookups, root, &mut before), &mut before),
                fate(&map_resource(new, &new_lookups, root, &mut after), &mut after),
            ];
            if fates[0] != fates[1] {
                *found.fates.entry(format!("{} -> {}", fates[0], fates[1])).or_default() += 1;
            }
            for table in &shared {
                rows(&mut found, table, (&old.model, &before), (&new.model, &after), samples);
            }
            lonely(&mut found, &old.model, &new.model, &before, false);
            lonely(&mut found, &new.model, &old.model, &after, true);
        }
        old_stats.merge(before.take_stats());
        new_stats.merge(after.take_stats());
        bytes += block.bytes.len() as u64;
        progress(found.resources, bytes);
        match old_lookups.fault().or_else(|| new_lookups.fault()) {
            Some(fault) => Err(OfflineError::Vocabulary(fault)),
            None => Ok(()),
        }
    })?;
    found.new_unmapped = unmapped(&old.model, &old_stats, &new.model, &new_stats);
    Ok(found)
}

fn fate(fate: &Result<Fate, crate::refusal::Refusal>, mapped: &mut Mapped<'_>) -> &'static str {
    match fate {
        Ok(Fate::Mapped) => "mapped",
        Ok(Fate::Excluded(_)) => "excluded",
        Err(_) => {
            // A resource that does not conform never came to the mapping: what stands there is of the one before.
            mapped.clear();
            "refused"
        }
    }
}

fn shapes(old: &Model, new: &Model) -> Comparison {
    let tables = |model: &Model| -> BTreeSet<String> { model.tables().map(|(_, table)| table.name.clone()).collect() };
    let columns = |model: &Model, other: &Model| -> BTreeSet<String> {
        let both = model.tables().filter(|(_, table)| other.find(&table.name).is_some());
        both.flat_map(|(_, table)| table.columns.iter().map(|column| format!("{}.{}", table.name, column.name)))
            .collect()
    };
    let less = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
    let (old_tables, new_tables) = (tables(old), tables(new));
    let (old_columns, new_columns) = (columns(old, new), columns(new, old));
    Comparison {
        tables_added: less(&new_tables, &old_tables),
        tables_dropped: less(&old_tables, &new_tables),
        columns_added: less(&new_columns, &old_columns),
        columns_dropped: less(&old_columns, &new_columns),
        ..Comparison::default()
    }
}

fn shared(old: &Model, new: &Model) -> Vec<Shared> {
    let both = old.tables().filter_map(|(id, table)| Some((id, table, new.find(&table.name)?)));
    both.map(|(old, table, id)| {
        let columns = table.columns.iter().enumerate().filter_map(|(at, column)| {
            let there = new.table(id).column(&column.name)?;
            Some((column.name.clone(), at, there))
        });
        Shared {
            name: table.name.clone(),
            old,
            new: id,
            columns: columns.collect(),
        }
    })
    .collect()
}

/// Compares one resource's rows of one table, by key.
fn rows(found: &mut Comparison, table: &Shared, before: (&Model, &Mapped<'_>), after: (&Model, &Mapped<'_>), samples: usize) {
    fn by_key<'m>(model: &Model, id: TableId, mapped: &'m Mapped<'_>) -> BTreeMap<&'m str, &'m [Cell<'m>]> {
        let key = model.table(id).key;
        let own = mapped.rows().iter().filter(|(table, _)| *table == id);
        own.filter_map(|(_, cells)| Some((cells[key].as_text()?, cells))).collect()
    }
    let (before, mut after) = (by_key(before.0, table.old, before.1), by_key(after.0, table.new, after.1));
    if before.is_empty() && after.is_empty() {
        return;
    }
    let sum = found.tables.entry(table.name.clone()).or_default();
    let sample = |keys: &mut BTreeMap<&'static str, Vec<String>>, kind: &'static str, key: &str| {
        if samples > 0 {
            let kept = keys.entry(kind).or_default();
            if kept.len() < samples {
                kept.push(key.to_owned());
            }
        }
    };
    for (key, old) in before {
        let Some(new) = after.remove(key) else {
            sum.dropped += 1;
            sample(&mut sum.keys, "dropped", key);
            continue;
        };
        let mut same = true;
        for (name, at, there) in &table.columns {
            if old[*at] != new[*there] {
                same = false;
                *sum.columns.entry(name.clone()).or_default() += 1;
            }
        }
        if same {
            sum.same += 1;
        } else {
            sum.changed += 1;
            sample(&mut sum.keys, "changed", key);
        }
    }
    for key in after.keys() {
        sum.added += 1;
        sample(&mut sum.keys, "added", key);
    }
}

/// Rows of tables that only one of the two has.
fn lonely(found: &mut Comparison, model: &Model, other: &Model, mapped: &Mapped<'_>, is_new: bool) {
    if found.tables_added.is_empty() && found.tables_dropped.is_empty() {
        return;
    }
    for (id, _) in mapped.rows().iter() {
        let name = &model.table(id).name;
        if other.find(name).is_some() {
            continue;
        }
        let sum = found.tables.entry(name.clone()).or_default();
        *(if is_new { &mut sum.added } else { &mut sum.dropped }) += 1;
    }
}

fn unmapped(old_model: &Model, old: &MapStats, new_model: &Model, new: &MapStats) -> Vec<NewUnmapped> {
    let place = |model: &Model, table: TableId, column: usize| {
        let table = model.table(table);
        format!("{}.{}", table.name, table.columns[column].name)
    };
    let known: BTreeSet<_> = old
        .unmapped()
        .into_iter()
        .map(|(code, _)| (place(old_model, code.table, code.column), code.system.clone(), code.code.clone()))
        .collect();
    let found = new.unmapped().into_iter().filter_map(|(code, tally)| {
        let place = place(new_model, code.table, code.column);
        let key = (place, code.system.clone(), code.code.clone());
        (!known.contains(&key)).then(|| NewUnmapped {
            place: key.0,
            system: shown_code(&code.system, 200),
            code: shown_code(&code.code, 64),
            reason: code.reason.to_owned(),
            times: tally.times,
        })
    });
    found.collect()
}
