//! Applies a policy to one row: cell by cell the rule, then the guard, then the table's own check once more.
//! Knows what each rule does to a cell; the pieces know how. Cells that leave as they are stay borrowed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use aws_lc_rs::hmac;
use jiff::civil::Date;

use super::date::{self, Partial};
use super::evidence::RuleHits;
use super::guard::{self, Guard};
use super::method::Detail;
use super::people::{Known, People};
use super::perturb::Scaled;
use super::placement::Plan;
use super::policy::Policy;
use super::pseudonym::{self, Keys, source_key};
use super::redact;
use super::rule::{Basis, Rule};
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

/// Where a cell stands.
struct Place<'p> {
    table: &'p str,
    column: &'p Column,
    /// The row's own key at the source.
    row: &'p Cell<'p>,
}

/// The patient the rows are about.
struct Patient<'d, 'm> {
    key: &'m str,
    known: Known<'d>,
    /// The key made of the patient's own secret, once a surrogate asked for it; Safe Harbor's pseudonyms are such.
    secret: OnceCell<hmac::Key>,
    /// Not under Safe Harbor.
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
        let ids = SourceIds::of(plans, cells);
        for (at, (plan, cell)) in plans.iter().zip(cells).enumerate() {
            let column = &table.columns[at];
            let place = Place {
                table: &table.name,
                column,
                row: &cells[table.key],
            };
            let released = self.cell(plan, &place, cell, patient.as_mut()).map_err(|rule| refused(at, rule))?;
            if !cell.is_null() {
                hits.hit(id, at);
            }
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

    /// The number of the row that is, by the unit beside it, an age over 89 or shows one; Safe Harbor only. A rule for ages stands on
    /// columns that are ages; an age that was observed stands among all other numbers.
    fn tells_over_89(&self, plans: &[Plan]) -> Option<usize> {
        if self.means.policy.basis() != Basis::SafeHarbor {
            return None;
        }
        let units = plans.iter().zip(&self.cells).filter(|(plan, _)| plan.is_unit);
        let years = units.filter_map(|(_, cell)| age::years_in(cell)).reduce(f64::max)?;
        self.cells.iter().position(|cell| age::tells_over_89(cell, years))
    }

    /// The patient a row names; looked up once for rows of the same patient.
    fn patient(&mut self, cell: &'m Cell<'_>) -> Result<Patient<'d, 'm>, &'static str> {
        let key = source_key(cell.as_text().ok_or("a patient")?);
        if let Some(patient) = self.patient.take_if(|patient| patient.key == key) {
            return Ok(patient);
        }
        let means = self.means;
        let known = means.people.find(means.keys.person_id(key)).ok_or("unknown patient")?;
        let shift_days = match means.policy.basis() {
            Basis::SafeHarbor => 0,
            Basis::LimitedDataSet | Basis::Expert => {
                let shift = means.policy.shift();
                date::shift_days(means.keys.date_bits(key), shift.max_days, shift.keep_weekday)
            }
        };
        Ok(Patient {
            key,
            known,
            secret: OnceCell::new(),
            shift_days,
            pseudonym: None,
        })
    }

    fn cell(
        &mut self,
        plan: &Plan,
        place: &Place<'_>,
        cell: &'m Cell<'_>,
        patient: Option<&mut Patient<'d, 'm>>,
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
                let surrogate = self.pseudonym(plan.rule, table, key, patient)?;
                Ok(match column.kind {
                    Kind::Key => Cell::Integer(pseudonym::number(&surrogate).ok_or("pseudonym")?),
                    _ => text(Cow::Owned(surrogate)),
                })
            }
            Rule::Year => self.year(column, cell, patient.as_deref()),
            Rule::Month => month_cell(column, cell),
            Rule::Shift => shifted(cell, &*patient.ok_or("shift")?),
            Rule::BirthDate | Rule::BirthYear => self.birth(plan.rule, column, cell, &*patient.ok_or("birth")?),
            Rule::Age => aged(cell),
            Rule::AgeBand => banded(&plan.detail, column, cell),
            Rule::RollUp => rolled_up(&plan.detail, cell),
            Rule::Perturb => self.perturbed(&plan.detail, place, cell, patient.as_deref()),
            Rule::Redact => {
                let subject = patient.ok_or("redact")?.known.subject;
                let redacted = redact::redacted(cell.as_text().ok_or("redact")?, |part| {
                    self.guard.any_finding(part, subject).is_some()
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

    fn pseudonym(&self, rule: Rule, table: TableId, key: &str, patient: Option<&mut Patient<'_, '_>>) -> Result<String, &'static str> {
        let (name, table_key) = self.means.tables.get(usize::from(table.0)).ok_or("pseudonym")?;
        // A row about nobody, a hospital's or a physician's, has one key for all who point at it: rows must join.
        let is_of_nobody = self.means.model.table(table).patient.is_none();
        let Some(patient) = patient.filter(|_| !is_of_nobody) else {
            return Ok(pseudonym::keyed(table_key, key));
        };
        let is_patient = source_key(key) == patient.key;
        match &patient.pseudonym {
            Some((of, surrogate)) if is_patient && *of == table => return Ok(surrogate.clone()),
            _ => {}
        }
        let surrogate = if rule == Rule::Surrogate || self.means.policy.basis() == Basis::SafeHarbor {
            let own = || hmac::Key::new(hmac::HMAC_SHA256, patient.known.secret);
            pseudonym::of_person(patient.secret.get_or_init(own), name, key)
        } else {
            pseudonym::keyed(table_key, key)
        };
        if is_patient {
            patient.pseudonym = Some((table, surrogate.clone()));
        }
        Ok(surrogate)
    }

    /// The year of a date; in the limited data set the year of the moved day, because true years beside moved days would
    /// narrow the shift with every date near a New Year.
    fn year(&self, column: &Column, cell: &Cell<'_>, patient: Option<&Patient<'_, '_>>) -> Result<Cell<'m>, &'static str> {
        let told = year(cell)?;
        let moves = self.means.policy.basis() == Basis::LimitedDataSet;
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
            _ if rule == Rule::BirthDate => shifted(cell, patient),
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
        patient: Option<&Patient<'_, '_>>,
    ) -> Result<Cell<'m>, &'static str> {
        let Detail::Within(bound) = detail else { return Err("perturb") };
        let row = match place.row {
            Cell::Text(key) => Cow::Borrowed(&**key),
            Cell::Integer(key) => Cow::Owned(key.to_string()),
            _ => return Err("perturb"),
        };
        let patient = patient.map_or("", |patient| patient.key);
        let bits = self
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

/// The month of a date, its first day where only a whole date fits; a bare year stays one.
fn month_cell<'m>(column: &Column, cell: &Cell<'_>) -> Result<Cell<'m>, &'static str> {
    let date = Partial::parse(day_of(cell.as_text().ok_or("month")?).0).ok_or("month")?;
    if date.month == 0 {
        return Ok(year_cell(column, date.year));
    }
    let (year, month) = (date.year, date.month);
    Ok(Cell::Text(Cow::Owned(match column.kind {
        Kind::Date => format!("{year:04}-{month:02}-01"),
        Kind::DateTime => format!("{year:04}-{month:02}-01T00:00:00"),
        _ => format!("{year:04}-{month:02}"),
    })))
}

fn banded<'m>(detail: &Detail, column: &Column, cell: &Cell<'_>) -> Result<Cell<'m>, &'static str> {
    let Detail::Bands(starts) = detail else { return Err("age-band") };
    let years = match cell {
        Cell::Integer(years) => *years,
        Cell::Decimal(digits) => age::whole_years(digits).ok_or("age-band")?,
        _ => return Err("age-band"),
    };
    let band = starts.iter().rev().find(|start| **start <= years).copied().unwrap_or(0);
    Ok(match column.kind {
        Kind::Decimal => Cell::Decimal(Cow::Owned(band.to_string())),
        _ => Cell::Integer(band),
    })
}

fn rolled_up<'m>(detail: &Detail, cell: &Cell<'_>) -> Result<Cell<'m>, &'static str> {
    let Detail::RollUp(map) = detail else { return Err("roll-up") };
    let target = |code: &str| map.target(code).map(str::to_owned);
    match cell {
        Cell::Text(code) => Ok(target(code).map_or(Cell::Null, |code| text(Cow::Owned(code)))),
        Cell::Integer(code) => match target(&code.to_string()) {
            Some(code) => code.parse().map(Cell::Integer).map_err(|_| "roll-up"),
            None => Ok(Cell::Null),
        },
        _ => Err("roll-up"),
    }
}
