//! Applies a policy to one row: cell by cell the rule, then the guard, then the table's own check once more.
//! Knows what each rule does to a cell; the pieces know how. Cells that leave as they are stay borrowed.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::hmac;
use jiff::civil::Date;

use super::date::{self, Partial};
use super::evidence::RuleHits;
use super::guard::Guard;
use super::people::{Known, People};
use super::policy::Policy;
use super::pseudonym::{self, Keys, source_key};
use super::rule::{Basis, Plan, Rule};
use super::{age, geography};
use crate::cdm::{Cell, Column, Kind, Model, TableId};
use crate::refusal::{Refusal, Step};

/// What every row of a run is de-identified with.
pub(super) struct Means {
    pub model: Arc<Model>,
    pub policy: Policy,
    pub keys: Keys,
    pub people: People,
    /// The day ages are reckoned at.
    pub today: Date,
    /// Per table: its name and the key of its surrogates.
    pub tables: Vec<(Arc<str>, hmac::Key)>,
}

/// A released row's key and JSON body.
pub(super) struct Released {
    pub key: String,
    pub body: Vec<u8>,
}

/// De-identifies the rows of one resource, one after the other, and remembers their patient.
pub(super) struct RowMaker<'d, 'm> {
    means: &'d Means,
    guard: Guard,
    cells: Vec<Cell<'m>>,
    patient: Option<Patient<'d, 'm>>,
}

/// The patient the rows are about.
struct Patient<'d, 'm> {
    key: &'m str,
    known: Known<'d>,
    /// Safe Harbor: the key made of the patient's own secret.
    secret: Option<hmac::Key>,
    /// Limited data set.
    shift_days: i32,
    /// The patient's surrogate, once a row asked for it.
    pseudonym: Option<(TableId, String)>,
}

impl<'d, 'm> RowMaker<'d, 'm> {
    pub(super) fn new(means: &'d Means) -> Self {
        Self {
            means,
            guard: Guard::new(means.keys.guard(), means.policy.basis() == Basis::SafeHarbor),
            cells: Vec::with_capacity(24),
            patient: None,
        }
    }

    /// The row as it may leave.
    /// # Errors: the first column that may not, and why.
    pub(super) fn release(&mut self, id: TableId, cells: &'m [Cell<'_>], hits: &mut RuleHits) -> Result<Released, Refusal> {
        let table = self.means.model.table(id);
        let plans = self.means.policy.plans(id);
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
        for (at, (plan, cell)) in plans.iter().zip(cells).enumerate() {
            let column = &table.columns[at];
            let released = self.cell(plan, column, cell, patient.as_mut()).map_err(|rule| refused(at, rule))?;
            if !cell.is_null() {
                hits.hit(id, at);
            }
            // What leaves as it came was checked when it was mapped; what was made here is checked here, and so is an
            // `enum`, because the guard trusts it.
            if released.is_null() || !matches!(plan.rule, Rule::Keep | Rule::Code) || column.values.is_some() {
                column.check(&released).map_err(|rule| refused(at, rule))?;
            }
            if plan.guarded
                && let Some(finding) = self.finding(&released, patient.as_ref())
            {
                return Err(refused(at, finding));
            }
            self.cells.push(released);
        }
        self.patient = patient;
        let key = match &self.cells[table.key] {
            Cell::Text(key) => key.to_string(),
            Cell::Integer(key) => key.to_string(),
            _ => return Err(refused(table.key, "a key")),
        };
        let mut body = Vec::with_capacity(256);
        table.write_json(&self.cells, &mut body);
        Ok(Released { key, body })
    }

    /// The patient a row names; looked up once for rows of the same patient.
    fn patient(&mut self, cell: &'m Cell<'_>) -> Result<Patient<'d, 'm>, &'static str> {
        let key = source_key(cell.as_text().ok_or("a patient")?);
        if let Some(patient) = self.patient.take_if(|patient| patient.key == key) {
            return Ok(patient);
        }
        let means = self.means;
        let known = means.people.find(means.keys.person_id(key)).ok_or("unknown patient")?;
        let (secret, shift_days) = match means.policy.basis() {
            Basis::SafeHarbor => (Some(hmac::Key::new(hmac::HMAC_SHA256, known.secret)), 0),
            Basis::LimitedDataSet => (None, date::shift_days(means.keys.date_bits(key), means.policy.max_shift_days())),
        };
        Ok(Patient {
            key,
            known,
            secret,
            shift_days,
            pseudonym: None,
        })
    }

    fn cell(
        &self,
        plan: &Plan,
        column: &Column,
        cell: &'m Cell<'_>,
        patient: Option<&mut Patient<'d, 'm>>,
    ) -> Result<Cell<'m>, &'static str> {
        if cell.is_null() {
            return Ok(Cell::Null);
        }
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
            Rule::Pseudonym => {
                let key = cell.as_text().ok_or("pseudonym")?;
                let table = plan.key_of.ok_or("pseudonym")?;
                let surrogate = self.pseudonym(table, key, patient)?;
                Ok(match column.kind {
                    Kind::Key => Cell::Integer(pseudonym::number(&surrogate).ok_or("pseudonym")?),
                    _ => text(Cow::Owned(surrogate)),
                })
            }
            Rule::Year => year(cell).map(|year| year_cell(column, year)),
            Rule::Shift => shifted(cell, &*patient.ok_or("shift")?),
            Rule::BirthDate | Rule::BirthYear => self.birth(plan.rule, column, cell, &*patient.ok_or("birth")?),
            Rule::Age => aged(cell),
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

    fn pseudonym(&self, table: TableId, key: &str, patient: Option<&mut Patient<'_, '_>>) -> Result<String, &'static str> {
        let (name, table_key) = self.means.tables.get(usize::from(table.0)).ok_or("pseudonym")?;
        let Some(patient) = patient else {
            return Ok(pseudonym::keyed(table_key, key));
        };
        let is_patient = source_key(key) == patient.key;
        match &patient.pseudonym {
            Some((of, surrogate)) if is_patient && *of == table => return Ok(surrogate.clone()),
            _ => {}
        }
        let surrogate = match &patient.secret {
            Some(secret) => pseudonym::of_person(secret, name, key),
            None => pseudonym::keyed(table_key, key),
        };
        if is_patient {
            patient.pseudonym = Some((table, surrogate.clone()));
        }
        Ok(surrogate)
    }

    /// The patient's own birth: see `Rule`.
    fn birth(&self, rule: Rule, column: &Column, cell: &'m Cell<'_>, patient: &Patient<'_, '_>) -> Result<Cell<'m>, &'static str> {
        let told = match cell {
            Cell::Text(birth) => Partial::parse(day_of(birth).0).ok_or("birth")?,
            _ => Partial {
                year: year(cell)?,
                ..Partial::default()
            },
        };
        // The resource knows the day where the cell knows only its year.
        let birth = patient.known.subject.birth.filter(|birth| birth.year == told.year).unwrap_or(told);
        match self.means.policy.basis() {
            Basis::SafeHarbor if age::is_over_89(birth, self.means.today) => Ok(match column.required {
                // One category for all of 90 and over, as the paragraph allows: the youngest of them.
                true => year_cell(column, self.means.today.year() - 90),
                false => Cell::Null,
            }),
            Basis::SafeHarbor => Ok(year_cell(column, told.year)),
            Basis::LimitedDataSet if rule == Rule::BirthDate => shifted(cell, patient),
            // The year of the shifted day, so that year and birth date agree; a bare year cannot be shifted and stays.
            Basis::LimitedDataSet if birth.is_full() => {
                let moved = birth.shifted(patient.shift_days).ok_or("shift")?;
                Ok(year_cell(column, moved.year))
            }
            Basis::LimitedDataSet => Ok(year_cell(column, told.year)),
        }
    }

    fn finding(&mut self, cell: &Cell<'_>, patient: Option<&Patient<'_, '_>>) -> Option<&'static str> {
        let subject = patient.map(|patient| patient.known.subject);
        match cell {
            Cell::Text(text) => self.guard.finding(text, subject),
            Cell::Decimal(digits) => self.guard.number_finding(digits, subject?),
            Cell::Integer(number) if number.unsigned_abs() >= 10_000 => {
                self.guard.number_finding(&number.unsigned_abs().to_string(), subject?)
            }
            _ => None,
        }
    }
}

fn text(text: Cow<'_, str>) -> Cell<'_> {
    Cell::Text(text)
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

fn year(cell: &Cell<'_>) -> Result<i16, &'static str> {
    match cell {
        Cell::Text(text) => Partial::parse(day_of(text).0).map(|date| date.year).ok_or("year"),
        Cell::Integer(year) if (1000..=9999).contains(year) => i16::try_from(*year).map_err(|_| "year"),
        _ => Err("year"),
    }
}

/// A year as the column holds it: a number, a partial date, or where only a whole date fits, the year's first day, which
/// says no more than the year.
fn year_cell<'m>(column: &Column, year: i16) -> Cell<'m> {
    Cell::Text(Cow::Owned(match column.kind {
        Kind::Integer => return Cell::Integer(i64::from(year)),
        Kind::Date => format!("{year:04}-01-01"),
        Kind::DateTime => format!("{year:04}-01-01T00:00:00"),
        _ => format!("{year:04}"),
    }))
}

fn shifted<'m>(cell: &Cell<'_>, patient: &Patient<'_, '_>) -> Result<Cell<'m>, &'static str> {
    let (day, time) = day_of(cell.as_text().ok_or("shift")?);
    let date = Partial::parse(day).and_then(|date| date.shifted(patient.shift_days));
    let mut shown = String::with_capacity(19);
    date.ok_or("shift")?.write(&mut shown);
    shown.push_str(time);
    Ok(Cell::Text(Cow::Owned(shown)))
}

/// The date of a date and time, and the rest from its `T` on.
fn day_of(text: &str) -> (&str, &str) {
    text.split_at(text.find('T').unwrap_or(text.len()))
}

fn aged<'m>(cell: &'m Cell<'_>) -> Result<Cell<'m>, &'static str> {
    match cell {
        Cell::Integer(years) => Ok(Cell::Integer(age::capped(*years))),
        Cell::Decimal(digits) => match age::is_capped_decimal(digits) {
            Some(true) => Ok(Cell::Decimal(Cow::Borrowed("90"))),
            Some(false) => Ok(cell.borrowed()),
            None => Err("age"),
        },
        _ => Err("age"),
    }
}
