//! Applies a policy to one row: cell by cell the rule, then the guard, then the table's own check once more.
//! Knows what each rule does to a cell; the pieces know how. Cells that leave as they are stay borrowed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use super::cells::{aged, banded, day_of, month_cell, rolled_up, shifted, year, year_cell};
use super::date::Partial;
use super::evidence::RuleHits;
use super::guard::{self, Guard};
use super::means::Means;
use super::method::Detail;
use super::patient::{Patient, Recent};
use super::perturb::Scaled;
use super::placement::Plan;
use super::pseudonym::{self, source_key};
use super::redact;
use super::rule::{Basis, Rule};
use super::{age, geography};
use crate::cdm::{Cell, Column, Kind, TableId};
use crate::refusal::{Refusal, Step};

/// A released row's key and JSON body.
pub(super) struct Released {
    pub key: String,
    pub body: Vec<u8>,
}

/// One thread's de-identification. It remembers the patient and the keys that it met last: rows come patient by patient, and those of
/// one visit after each other. What it remembers is of its own `Deidentifier`, and is not shown.
pub struct Worker<'d> {
    means: &'d Means,
    guard: Guard,
    patient: Option<Patient<'d>>,
    /// Surrogates of rows about nobody.
    of_nobody: Recent,
}

/// De-identifies the rows of one resource, one after the other.
pub(super) struct RowMaker<'w, 'd, 'm> {
    worker: &'w mut Worker<'d>,
    cells: Vec<Cell<'m>>,
}

impl<'d> Worker<'d> {
    pub(super) fn new(means: &'d Means) -> Self {
        Self {
            means,
            guard: Guard::new(means.keys.guard(), means.policy.basis() == Basis::SafeHarbor),
            patient: None,
            of_nobody: Recent::default(),
        }
    }

    pub(super) fn means(&self) -> &'d Means {
        self.means
    }
}

impl fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.means.policy.name())
    }
}

/// Where a cell stands.
struct Place<'p> {
    table: &'p str,
    column: &'p Column,
    /// The row's own key at the source.
    row: &'p Cell<'p>,
}

impl<'w, 'd, 'm> RowMaker<'w, 'd, 'm> {
    pub(super) fn new(worker: &'w mut Worker<'d>) -> Self {
        Self {
            worker,
            cells: Vec::with_capacity(24),
        }
    }

    /// The row as it may leave.
    /// # Errors: the first column that may not, and why.
    pub(super) fn release(&mut self, id: TableId, cells: &'m [Cell<'_>], hits: &mut RuleHits) -> Result<Released, Refusal> {
        let means = self.worker.means;
        let table = means.model.table(id);
        let plans = means.policy.plans(id);
        let refused = |at: usize, rule: &'static str| {
            let column = table.columns.get(at).map_or("", |column| column.name.as_str());
            Refusal::new(Step::Deidentify, format!("{}.{column}", table.name), rule)
        };
        if cells.len() != plans.len() {
            return Err(refused(table.key, "as many cells as columns"));
        }
        let mut patient = match table.patient {
            Some(at) => Some(self.patient(&cells[at]).map_err(|rule| refused(at, rule))?),
            None => None,
        };
        self.cells.clear();
        let hits = hits.of(id, plans.len());
        let ids = SourceIds::of(plans, cells);
        for (at, (plan, cell)) in plans.iter().zip(cells).enumerate() {
            let column = &table.columns[at];
            let place = Place {
                table: &table.name,
                column,
                row: &cells[table.key],
            };
            let released = self.cell(plan, &place, cell, patient.as_mut()).map_err(|rule| refused(at, rule))?;
            hits[at] += u64::from(!cell.is_null());
            // What leaves as it came was checked when it was mapped; what was made here is checked here, and so is an
            // `enum`, because the guard trusts it.
            if released.is_null() || !matches!(plan.rule, Rule::Keep | Rule::Code) || column.values.is_some() {
                column.check(&released).map_err(|rule| refused(at, rule))?;
            }
            if plan.guarded
                && let Some(finding) = self.finding(&released, patient.as_ref()).or_else(|| ids.finding(&released))
            {
                return Err(refused(at, finding));
            }
            self.cells.push(released);
        }
        if patient.is_some()
            && let Some(at) = self.tells_over_89(plans)
        {
            return Err(refused(at, "leak guard: an age over 89"));
        }
        self.worker.patient = patient;
        let key = match &self.cells[table.key] {
            Cell::Text(key) => key.to_string(),
            Cell::Integer(key) => key.to_string(),
            _ => return Err(refused(table.key, "a key")),
        };
        let mut body = Vec::with_capacity(256);
        table.write_json(&self.cells, &mut body);
        Ok(Released { key, body })
    }

    /// The number of the row that is, by the unit beside it, an age over 89 or shows one; Safe Harbor only. A rule for ages stands on
    /// columns that are ages; an age that was observed stands among all other numbers.
    fn tells_over_89(&self, plans: &[Plan]) -> Option<usize> {
        if self.worker.means.policy.basis() != Basis::SafeHarbor {
            return None;
        }
        let units = plans.iter().zip(&self.cells).filter(|(plan, _)| plan.is_unit);
        let years = units.filter_map(|(_, cell)| age::years_in(cell)).reduce(f64::max)?;
        self.cells.iter().position(|cell| age::tells_over_89(cell, years))
    }

    /// The patient a row names; looked up once for rows of the same patient.
    fn patient(&mut self, cell: &Cell<'_>) -> Result<Patient<'d>, &'static str> {
        let key = source_key(cell.as_text().ok_or("a patient")?);
        match self.worker.patient.take_if(|patient| patient.key == key) {
            Some(patient) => Ok(patient),
            None => Patient::of(self.worker.means, key),
        }
    }

    fn cell(
        &mut self,
        plan: &Plan,
        place: &Place<'_>,
        cell: &'m Cell<'_>,
        patient: Option<&mut Patient<'d>>,
    ) -> Result<Cell<'m>, &'static str> {
        if cell.is_null() {
            return Ok(Cell::Null);
        }
        let column = place.column;
        match plan.rule {
            Rule::Drop => Ok(Cell::Null),
            // A decimal is written into JSON as it stands: it must be nothing but a number.
            Rule::Keep => match cell {
                Cell::Decimal(digits) if !is_number(digits) => Err("type decimal"),
                _ => Ok(cell.borrowed()),
            },
            Rule::Code => match cell {
                Cell::Text(text) if is_code(text) => Ok(cell.borrowed()),
                _ => Err("code"),
            },
            Rule::Pseudonym | Rule::Surrogate => {
                let key = cell.as_text().ok_or("pseudonym")?;
                let table = plan.key_of.ok_or("pseudonym")?;
                let is_own = std::ptr::eq(cell, place.row);
                let surrogate = self.pseudonym(plan.rule, (table, key), is_own, patient)?;
                Ok(match column.kind {
                    Kind::Key => Cell::Integer(pseudonym::number(&surrogate).ok_or("pseudonym")?),
                    _ => text(Cow::Owned(surrogate)),
                })
            }
            Rule::Year => self.year(column, cell, patient.as_deref()),
            Rule::Month => month_cell(column, cell),
            Rule::Shift => shifted(cell, patient.ok_or("shift")?.shift_days),
            Rule::BirthDate | Rule::BirthYear => self.birth(plan.rule, column, cell, &*patient.ok_or("birth")?),
            Rule::Age => aged(cell),
            Rule::AgeBand => banded(&plan.detail, column, cell),
            Rule::RollUp => rolled_up(&plan.detail, cell),
            Rule::Perturb => self.perturbed(&plan.detail, place, cell, patient.as_deref()),
            Rule::Redact => {
                let subject = patient.ok_or("redact")?.known.subject;
                let redacted = redact::redacted(cell.as_text().ok_or("redact")?, |part| {
                    self.worker.guard.any_finding(part, subject).is_some()
                });
                Ok(text(Cow::Owned(redacted.ok_or("redact")?)))
            }
            Rule::Zip3 => cell.as_text().map(|zip| text(Cow::Borrowed(geography::zip3(zip)))).ok_or("zip3"),
            Rule::Zip5 => {
                let zip = cell.as_text().ok_or("zip5")?;
                Ok(geography::zip5(zip).map_or(Cell::Null, |five| text(Cow::Borrowed(five))))
            }
            Rule::Zip9 => {
                let zip = cell.as_text().ok_or("zip9")?;
                Ok(geography::zip9(zip).map_or(Cell::Null, text))
            }
            Rule::State => {
                let state = cell.as_text().ok_or("state")?;
                Ok(geography::state(state).map_or(Cell::Null, |letters| text(Cow::Borrowed(letters))))
            }
        }
    }

    /// The surrogate of a key of `table`. `is_own`: it is the row's own, which no other row asks for.
    fn pseudonym(
        &mut self,
        rule: Rule,
        (table, key): (TableId, &str),
        is_own: bool,
        patient: Option<&mut Patient<'_>>,
    ) -> Result<String, &'static str> {
        let means = self.worker.means;
        let (name, table_key) = means.tables.get(usize::from(table.0)).ok_or("pseudonym")?;
        let key = source_key(key);
        // A row about nobody, a hospital's or a physician's, has one key for all who point at it: rows must join.
        let is_of_nobody = means.model.table(table).patient.is_none();
        let Some(patient) = patient.filter(|_| !is_of_nobody) else {
            let make = || pseudonym::keyed(table_key, key);
            return Ok(if is_own {
                make()
            } else {
                self.worker.of_nobody.get((table, false), key, make)
            });
        };
        let by_secret = rule == Rule::Surrogate || means.policy.basis() == Basis::SafeHarbor;
        Ok(match (by_secret, is_own) {
            (true, true) => patient.surrogate(name, key),
            (true, false) => patient.remembered((table, true), key, |patient| patient.surrogate(name, key)),
            (false, true) => pseudonym::keyed(table_key, key),
            (false, false) => patient.remembered((table, false), key, |_| pseudonym::keyed(table_key, key)),
        })
    }

    /// The year of a date; in the limited data set the year of the moved day, because true years beside moved days would
    /// narrow the shift with every date near a New Year.
    fn year(&self, column: &Column, cell: &Cell<'_>, patient: Option<&Patient<'_>>) -> Result<Cell<'m>, &'static str> {
        let told = year(cell)?;
        let moves = self.worker.means.policy.basis() == Basis::LimitedDataSet;
        let Some(patient) = patient.filter(|_| moves) else {
            return Ok(year_cell(column, told));
        };
        let whole = Partial {
            year: told,
            ..Partial::default()
        };
        let date = cell.as_text().and_then(|text| Partial::parse(day_of(text).0)).unwrap_or(whole);
        let moved = date.shifted(patient.shift_days).ok_or("shift")?;
        Ok(year_cell(column, moved.year))
    }

    /// The patient's own birth: see `Rule`.
    fn birth(&self, rule: Rule, column: &Column, cell: &'m Cell<'_>, patient: &Patient<'_>) -> Result<Cell<'m>, &'static str> {
        let told = match cell {
            Cell::Text(birth) => Partial::parse(day_of(birth).0).ok_or("birth")?,
            _ => Partial {
                year: year(cell)?,
                ..Partial::default()
            },
        };
        // The resource knows the day where the cell knows only its year.
        let birth = patient.known.subject.birth.filter(|birth| birth.year == told.year).unwrap_or(told);
        match self.worker.means.policy.basis() {
            Basis::SafeHarbor if age::is_over_89(birth, self.worker.means.today) => Ok(match column.required {
                // One category for all of 90 and over, as the paragraph allows: the youngest of them.
                true => year_cell(column, self.worker.means.today.year() - 90),
                false => Cell::Null,
            }),
            Basis::SafeHarbor => Ok(year_cell(column, told.year)),
            _ if rule == Rule::BirthDate => shifted(cell, patient.shift_days),
            // The year of the shifted day, so that year and birth date agree; a bare year cannot be shifted and stays.
            _ if birth.is_full() => {
                let moved = birth.shifted(patient.shift_days).ok_or("shift")?;
                Ok(year_cell(column, moved.year))
            }
            _ => Ok(year_cell(column, told.year)),
        }
    }

    /// The number moved by the noise of its own cell.
    fn perturbed(
        &self,
        detail: &Detail,
        place: &Place<'_>,
        cell: &Cell<'_>,
        patient: Option<&Patient<'_>>,
    ) -> Result<Cell<'m>, &'static str> {
        let Detail::Within(bound) = detail else { return Err("perturb") };
        let row = match place.row {
            Cell::Text(key) => Cow::Borrowed(&**key),
            Cell::Integer(key) => Cow::Owned(key.to_string()),
            _ => return Err("perturb"),
        };
        let patient = patient.map_or("", |patient| patient.key.as_str());
        let bits = self
            .worker
            .means
            .keys
            .noise_bits([patient, place.table, &place.column.name, source_key(&row)]);
        let move_it = |digits: &str| {
            let number = Scaled::parse(digits)?;
            number.moved(*bound, bits, (place.column.minimum, place.column.maximum))
        };
        match cell {
            Cell::Integer(number) => {
                let moved = move_it(&number.to_string()).ok_or("perturb")?;
                moved.to_string().parse().map(Cell::Integer).map_err(|_| "perturb")
            }
            Cell::Decimal(digits) => Ok(Cell::Decimal(Cow::Owned(move_it(digits).ok_or("perturb")?.to_string()))),
            _ => Err("perturb"),
        }
    }

    fn finding(&mut self, cell: &Cell<'_>, patient: Option<&Patient<'_>>) -> Option<&'static str> {
        let subject = patient.map(|patient| patient.known.subject);
        match cell {
            Cell::Text(text) => self.worker.guard.finding(text, subject),
            Cell::Decimal(digits) => self.worker.guard.number_finding(digits, subject?),
            Cell::Integer(number) if number.unsigned_abs() >= 10_000 => {
                self.worker.guard.number_finding(&number.unsigned_abs().to_string(), subject?)
            }
            _ => None,
        }
    }
}

fn text(text: Cow<'_, str>) -> Cell<'_> {
    Cell::Text(text)
}

/// The EHR's ids of the resources that a row is of or points at.
struct SourceIds<'r> {
    plans: &'r [Plan],
    cells: &'r [Cell<'r>],
    /// Bytes of the shortest, once a text asked: most codes are shorter, and need no second look.
    shortest: OnceCell<usize>,
}

impl<'r> SourceIds<'r> {
    fn of(plans: &'r [Plan], cells: &'r [Cell<'r>]) -> Self {
        Self {
            plans,
            cells,
            shortest: OnceCell::new(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &'r str> {
        let keys = self.plans.iter().zip(self.cells).filter(|(plan, _)| plan.key_of.is_some());
        keys.filter_map(|(_, key)| key.as_text().and_then(guard::id_of))
    }

    /// Whether a text holds one of them.
    fn finding(&self, released: &Cell<'_>) -> Option<&'static str> {
        let text = released.as_text()?;
        let shortest = *self.shortest.get_or_init(|| self.all().map(str::len).min().unwrap_or(usize::MAX));
        let is_hit = text.len() >= shortest && self.all().any(|id| guard::has_id(text, id));
        is_hit.then_some("leak guard: an id of its source")
    }
}

/// At most 64 characters, no white space, nothing invisible.
fn is_code(text: &str) -> bool {
    text.len() <= 64 * 4 && text.chars().count() <= 64 && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn is_number(digits: &str) -> bool {
    digits.len() <= 64
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
}
