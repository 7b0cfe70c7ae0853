//! One view row to table rows: look codes up, translate, follow references, cut dates, make the key, check against the table.
//! One view row makes one table row, or one for each standard concept where a column says `headwater/rows`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::date;
use super::fit::{fit, joined, otherwise, target_cell, truncate};
use super::mapping::{Mapping, Rule, TableView, Translation, WhenUnmapped};
use super::resolve::{Found, Lookups, codings};
use super::seek::{Seek, facet, objects};
use super::stats::MapStats;
use super::translate::Codes;
use super::unit::{UnitCache, UnitRule};
use super::view::{Asked, Done, Field, Room, Row, RowFault, Taker};
use super::vocabulary::{CodeCache, Coded, Lookup, Picked};
use crate::cdm::{Cell, Kind as ColumnKind, Rows, Table};

/// The column that broke a rule, and the rule.
pub(super) type Broken = (usize, &'static str);

/// What one thread keeps from row to row.
#[derive(Default)]
pub(super) struct Work<'a> {
    /// What the codes of the gate gave, and its place in the view's sources.
    picked: Vec<Picked<'a>>,
    gate: Option<usize>,
    /// The codes that several views of the resource at hand ask for, by `Lookup::shared`.
    known: Vec<Option<Vec<Coded<'a>>>>,
    codes: Vec<Coded<'a>>,
    pub cache: CodeCache,
    units: UnitCache,
    /// Keys that one view made of one resource, and how often, where a key counts its repeats.
    keys: HashMap<String, u32>,
    pub room: Room,
    pub stats: MapStats,
    /// A view made no row of this resource because its codes have no standard concept.
    pub without_concept: bool,
    /// The domain of one of the resource's concepts is taken by no view.
    pub without_view: bool,
}

impl Work<'_> {
    /// Forgets what was true of the resource before.
    pub(super) fn next_resource(&mut self) {
        (self.without_concept, self.without_view) = (false, false);
        self.room.next_resource();
        self.known.clear();
    }

    /// Forgets what was true of the view before.
    pub(super) fn next_view(&mut self) {
        self.gate = None;
        self.keys.clear();
    }
}

/// Makes the rows of one view of one resource.
pub(super) struct RowMaker<'w, 'm, 'a> {
    pub mapping: &'m Mapping,
    pub view: &'m TableView,
    pub table: &'m Table,
    pub lookups: &'m Lookups,
    pub rows: &'w mut Rows<'a>,
    pub work: &'w mut Work<'a>,
    /// The first column that could not be filled, or does not fit.
    pub broken: Option<Broken>,
}

/// The pick that a row is about, and the lookup that made it.
type About<'p, 'a> = Option<(&'p Lookup, &'p Picked<'a>)>;

impl<'t, 'm: 'a, 'a> Taker<'t, 'a> for RowMaker<'_, 'm, 'a> {
    fn wants(&mut self, place: usize, look: &mut dyn FnMut() -> Result<Asked<'t, 'a>, RowFault>) -> Result<bool, RowFault> {
        let rule = &self.view.rules[place];
        let Some(lookup) = &rule.lookup else { return Ok(true) };
        self.work.gate = Some(place);
        let mut codes = match lookup.shared.and_then(|at| self.work.known.get_mut(at)?.take()) {
            Some(codes) => codes,
            None => {
                let asked = look()?;
                let own = asked.own.cell().unwrap_or_default();
                let mut codes = if lookup.shared.is_some() {
                    Vec::new()
                } else {
                    std::mem::take(&mut self.work.codes)
                };
                let given = (&own, &asked.codings, &asked.references);
                self.seek().codes(lookup, rule, given, &mut self.work.cache, &mut codes);
                codes
            }
        };
        let mut picked = std::mem::take(&mut self.work.picked);
        picked.clear();
        self.pick(lookup, &codes, self.view.driver, &mut picked);
        self.work.picked = picked;
        match lookup.shared {
            Some(at) => {
                if self.work.known.len() <= at {
                    self.work.known.resize_with(at + 1, || None);
                }
                self.work.known[at] = Some(codes);
            }
            None => {
                codes.clear();
                self.work.codes = codes;
            }
        }
        Ok(!self.work.picked.is_empty())
    }

    fn take(&mut self, row: &Row<'t, 'a>) -> Done {
        self.rows(row).map_err(|broken| {
            self.broken = Some(broken);
            RowFault {
                place: String::new(),
                rule: broken.1,
            }
        })
    }
}

impl<'m: 'a, 'a> RowMaker<'_, 'm, 'a> {
    /// Appends the table rows that `row` makes: one for each concept of its gate.
    fn rows(&mut self, row: &Row<'_, 'a>) -> Result<(), Broken> {
        let Some(lookup) = self.driver(row) else {
            return self.one(row, None);
        };
        let picked = std::mem::take(&mut self.work.picked);
        let done = picked.iter().try_for_each(|picked| self.one(row, Some((lookup, picked))));
        self.work.picked = picked;
        done
    }

    /// The lookup whose concepts make the rows.
    fn driver(&self, row: &Row<'_, '_>) -> Option<&'m Lookup> {
        let source = usize::from(row.by[self.view.driver?]);
        let lookup = self.view.rules.get(source)?.lookup.as_ref();
        lookup.filter(|_| self.work.gate == Some(source))
    }

    fn one(&mut self, row: &Row<'_, 'a>, about: About<'_, 'a>) -> Result<(), Broken> {
        self.rows.begin(self.view.table);
        let done = self.cells(row, about);
        if done.is_err() {
            self.rows.undo();
        }
        done
    }

    fn cells(&mut self, row: &Row<'_, 'a>, about: About<'_, 'a>) -> Result<(), Broken> {
        let mut key = None;
        let view = self.view;
        for (place, filled) in view.filled_by.iter().enumerate() {
            let rule = filled.and_then(|at| Some((at, view.rules.get(usize::from(row.by[at]))?)));
            let Some((at, rule)) = rule else {
                self.rows.push(Cell::Null);
                continue;
            };
            if let Some(rule) = &rule.key {
                key = Some((place, rule));
            }
            let mut cell = self.cell(rule, row, at, place, about).map_err(|word| (place, word))?;
            fit(&mut cell, &self.table.columns[place]);
            self.rows.push(cell);
        }
        let cells = self.rows.last_mut();
        if let Some((place, rule)) = key
            && (!rule.columns.is_empty() || rule.repeats)
            && let Cell::Text(own) = &cells[place]
        {
            let mut text = joined(own, &rule.columns, cells);
            if rule.repeats {
                let times = self.work.keys.entry(text.clone()).or_insert(0);
                *times += 1;
                if *times > 1 {
                    text.push_str(&format!("#{times}"));
                }
            }
            cells[place] = Cell::Text(Cow::Owned(text));
        }
        self.table.check(cells)
    }

    fn cell(&mut self, rule: &'m Rule, row: &Row<'_, 'a>, at: usize, place: usize, about: About<'_, 'a>) -> Result<Cell<'a>, &'static str> {
        let mut own = row.fields[at].cell().ok_or("not a single primitive value")?;
        if let Some(unit) = &rule.unit {
            own = self.in_unit(unit, rule, own, row, at, place)?;
        }
        let mut cell = match (&rule.lookup, &rule.translation) {
            (Some(lookup), _) => match about.filter(|(driver, _)| driver.from == lookup.from) {
                Some((_, picked)) => facet(lookup, picked, own),
                None => self.looked_up(lookup, rule, row, at, own),
            },
            (None, Some(translation)) => self.translated(translation, rule, own, row, at, place)?,
            (None, None) if own.is_null() => match self.found_at(rule, row, at) {
                Some(Found::Value(cell)) => cell.borrowed(),
                _ => Cell::Null,
            },
            (None, None) => own,
        };
        // In place: a cell moved is a cell copied.
        if let Some(form) = rule.date {
            cell = date::cut(cell, form);
        }
        if let Some(length) = rule.truncate {
            truncate(&mut cell, length);
        }
        Ok(cell)
    }

    /// What a column's own lookup says.
    fn looked_up(&mut self, lookup: &'m Lookup, rule: &'m Rule, row: &Row<'_, 'a>, at: usize, own: Cell<'a>) -> Cell<'a> {
        let (mut codes, mut picked) = (std::mem::take(&mut self.work.codes), Vec::new());
        let codings = row.codings.get(at).unwrap_or(&Field::Null);
        let references = row.asides.get(at).unwrap_or(&Field::Null);
        self.seek()
            .codes(lookup, rule, (&own, codings, references), &mut self.work.cache, &mut codes);
        self.pick(lookup, &codes, Some(at), &mut picked);
        codes.clear();
        self.work.codes = codes;
        facet(lookup, &picked.into_iter().next().unwrap_or_default(), own)
    }

    /// The concepts that `lookup` takes of the codes, in `picked`. What it does not take is counted for the view's column `at`.
    fn pick(&mut self, lookup: &Lookup, codes: &[Coded<'a>], at: Option<usize>, picked: &mut Vec<Picked<'a>>) {
        let column = || {
            let place = self.view.filled_by.iter().position(|filled| filled.is_some() && *filled == at);
            place.unwrap_or(0)
        };
        let table = self.view.table;
        let none_is_standard = codes.iter().all(|coded| coded.resolved.standard.is_empty());
        let work = &mut *self.work;
        work.without_concept |= lookup.rows.is_some() && !lookup.none && none_is_standard && !codes.is_empty();
        if let Some(coded) = lookup.without_view(codes) {
            work.without_view = true;
            work.stats.count(table, column(), &coded.system, &coded.code, "no-view");
        }
        lookup.pick(codes, picked);
        if let Some(first) = codes.first()
            && lookup.counts
            && (none_is_standard || lookup.rows.is_none())
            && picked.iter().all(|picked| picked.standard.is_none())
        {
            let reason = if none_is_standard {
                first.resolved.reason()
            } else {
                "other-domain"
            };
            work.stats.count(table, column(), &first.system, &first.code, reason);
        }
    }

    fn translated(
        &mut self,
        translation: &'m Translation,
        rule: &'m Rule,
        own: Cell<'a>,
        row: &Row<'_, 'a>,
        at: usize,
        place: usize,
    ) -> Result<Cell<'a>, &'static str> {
        let mut codes = Codes::new(&translation.map);
        if translation.coding {
            for node in objects(row.codings.get(at)) {
                codings(node, &mut |system, code| codes.meet(system, code));
            }
        } else if let (Some(system), Cell::Text(code)) = (&translation.system, &own) {
            codes.meet(system, code);
        }
        if !codes.met() {
            match self.found_at(rule, row, at) {
                Some(Found::Codings(all)) => {
                    for (system, code) in all {
                        codes.meet(system, code);
                    }
                }
                Some(Found::Value(Cell::Text(code))) => {
                    codes.meet(translation.system.as_deref().unwrap_or_default(), code);
                }
                _ => {}
            }
        }
        let kind = self.table.columns[place].kind;
        if let Some(target) = codes.target() {
            return target_cell(target, kind);
        }
        if let Some((system, code, reason)) = codes.unmapped() {
            self.work.stats.count(self.view.table, place, system, code, reason);
            if translation.unmapped == WhenUnmapped::Refuse {
                return Err("unmapped");
            }
        }
        otherwise(&translation.unmapped, own, kind)
    }

    /// The number in its column's unit, or the unit as its column wants it.
    fn in_unit(
        &mut self,
        unit: &'m UnitRule,
        rule: &Rule,
        own: Cell<'a>,
        row: &Row<'_, 'a>,
        at: usize,
        place: usize,
    ) -> Result<Cell<'a>, &'static str> {
        let mut quantities = objects(row.asides.get(at));
        let quantity = quantities.next();
        if quantities.next().is_some() {
            return Err("more than one quantity for one number");
        }
        let analyte = || {
            let mut found = None;
            for node in objects(row.codings.get(at)) {
                codings(node, &mut |system, code| {
                    found = found.or_else(|| unit.analytes.find(system, code));
                    found.is_none()
                });
            }
            found
        };
        match unit.given(&own, quantity, analyte, &mut self.work.units) {
            Ok(cell) => Ok(cell),
            Err(missed) => {
                // What is looked up as it was written is counted there.
                let passed_on = unit.unmapped == WhenUnmapped::Source && (rule.lookup.is_some() || rule.translation.is_some());
                if !passed_on {
                    let stats = &mut self.work.stats;
                    stats.count(self.view.table, place, &missed.system, &missed.code, missed.reason);
                }
                if unit.unmapped == WhenUnmapped::Refuse {
                    return Err("unit");
                }
                let kind = if unit.number {
                    self.table.columns[place].kind
                } else {
                    ColumnKind::Text
                };
                otherwise(&unit.unmapped, own, kind)
            }
        }
    }

    /// What the reference of the view's column `at` leads to.
    fn found_at(&self, rule: &Rule, row: &Row<'_, '_>, at: usize) -> Option<&'m Found> {
        self.seek().found(rule, row.asides.get(at)?)
    }

    fn seek(&self) -> Seek<'m> {
        Seek {
            mapping: self.mapping,
            lookups: self.lookups,
        }
    }
}
