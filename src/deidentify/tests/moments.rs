//! Under Safe Harbor no cell of a shipped model holds more of a moment than its year, nor an age over 89, whatever dates come in.
//! Basis: 45 CFR 164.514(b)(2)(i)(C).

use std::sync::LazyLock;

use proptest::prelude::*;

use super::deny::is_a_moment;
use super::shipped::{Shipped, filled, of_patients, plain, shipped};
use super::*;
use crate::cdm::{Column, Table};

/// The day ages are reckoned at in these tests.
const TODAY: Date = date(2024, 6, 14);

static SHIPPED: LazyLock<Vec<(Shipped, Policy)>> = LazyLock::new(|| {
    let models = shipped().into_iter();
    models
        .map(|shipped| (shipped.policy("safe-harbor"), shipped))
        .map(|(policy, shipped)| (shipped, policy))
        .collect()
});

/// A date as an EHR tells it: a day, a month or a year.
#[derive(Clone, Copy, Debug)]
struct Told {
    day: Date,
    /// 0 for a day, 1 for a month, 2 for a year.
    coarse: u8,
}

impl Told {
    fn partial(self) -> String {
        let text = self.day.to_string();
        text[..[10, 7, 4][usize::from(self.coarse)]].to_owned()
    }

    /// Whether the year of such a birth would tell an age over 89: what is not told is taken to be early.
    fn is_over_89(self) -> bool {
        let month = if self.coarse < 2 { self.day.month() } else { 1 };
        let day = if self.coarse < 1 { self.day.day() } else { 1 };
        let turns = (self.day.year() + 90, month, day);
        turns <= (TODAY.year(), TODAY.month(), TODAY.day())
    }
}

fn told(years: std::ops::Range<i16>) -> impl Strategy<Value = Told> {
    (years, 1i8..=12, 1i8..=28, 0u8..3).prop_map(|(year, month, day, coarse)| Told {
        day: date(year, month, day),
        coarse,
    })
}

/// A row with every column full, its moments those told and its texts full of them.
fn row(table: &Table, birth: Told, event: Told, time: &str) -> Vec<Cell<'static>> {
    let owned = |text: String| Cell::Text(text.into());
    let cell = |at: usize| {
        let column = &table.columns[at];
        let of = if is_birth(column) { birth } else { event };
        let is_free = column.values.is_none() && column.pattern.is_none() && column.max_length.is_none_or(|length| length >= 40);
        match column.kind {
            _ if at == table.key || table.patient == Some(at) || column.references.is_some() => filled(table, at),
            Kind::PartialDate => owned(of.partial()),
            Kind::Date => owned(of.day.to_string()),
            Kind::DateTime => owned(format!("{}T{time}:00", of.day)),
            Kind::Time => owned(time.to_owned()),
            Kind::Integer if column.name.contains("month") => Cell::Integer(of.day.month().into()),
            Kind::Integer if column.name.contains("day_of") => Cell::Integer(of.day.day().into()),
            Kind::Integer if column.name.contains("year") => Cell::Integer(of.day.year().into()),
            Kind::Text if is_free => owned(format!("seen on {} at {time}", of.day)),
            _ => filled(table, at),
        }
    };
    (0..table.columns.len()).map(cell).collect()
}

fn is_birth(column: &Column) -> bool {
    column.name.contains("birth")
}

/// What is wrong with a released cell.
fn fault(column: &Column, value: &serde_json::Value, birth: Told, event: Told) -> Option<&'static str> {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if is_a_moment(&shown) {
        return Some("a moment");
    }
    if [birth, event]
        .iter()
        .any(|told| shown.contains(&told.day.to_string()) && !shown.contains("-01-01"))
    {
        return Some("a day");
    }
    let holds_time = column.kind == Kind::Time;
    let is_year = |text: &str| ["", "-01-01", "-01-01T00:00:00"].contains(&text.get(4..).unwrap_or("-"));
    if holds_time || column.kind.is_dated() && !is_year(&shown) {
        return Some("more than a year");
    }
    let is_part = column.name.contains("month_of") || column.name.contains("day_of");
    if is_part {
        return Some("a part of a date");
    }
    let tells_a_year = column.kind.is_dated() || column.kind == Kind::Integer && column.name.contains("year");
    let year: i16 = shown.get(..4).filter(|_| tells_a_year)?.parse().ok()?;
    let category = TODAY.year() - 90;
    match is_birth(column) {
        true if birth.is_over_89() && (year != category || !column.required) => Some("a birth that tells an age over 89"),
        true if !birth.is_over_89() && year != birth.day.year() => Some("another year"),
        false if year != event.day.year() => Some("another year"),
        _ => None,
    }
}

/// The cells of all shipped models that say too much, as `model table.column: what`.
fn faults(policy_of: impl Fn(&Policy) -> Policy, birth: Told, event: Told, time: &str) -> Vec<String> {
    let patient = format!(r#"{{"resourceType":"Patient","id":"p-one","birthDate":"{}"}}"#, birth.partial());
    let mut faults = Vec::new();
    for (shipped, policy) in SHIPPED.iter() {
        let with = of_patients(&shipped.model, policy_of(policy), &[&patient]);
        for (id, table) in shipped.model.tables().filter(|(id, _)| !policy.withholds(*id)) {
            let row = one(&with, &table.name, row(table, birth, event, time));
            for (name, value) in row.as_object().expect("an object") {
                let column = table.column(name).map(|at| &shipped.model.table(id).columns[at]).expect("a column");
                faults.extend(
                    fault(column, value, birth, event).map(|fault| format!("{} {}.{name}: {fault}", shipped.model.name, table.name)),
                );
            }
        }
    }
    faults
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_cell_of_a_shipped_model_holds_more_than_a_year_nor_an_age_over_89(
        birth in told(1900..2024), event in told(1935..2024), hour in 0u8..24, minute in 0u8..60
    ) {
        let found = faults(Policy::clone, birth, event, &format!("{hour:02}:{minute:02}"));
        prop_assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn an_age_is_told_up_to_89_and_as_90_above(age in 0i64..200) {
        let with = with("safe-harbor");
        let mut cells = patient("Patient/p-one", "2010-03-15");
        cells[3] = Cell::Integer(age);
        let row = one(&with, "patient", cells);
        prop_assert_eq!(&row["age"], &serde_json::Value::from(if age > 89 { 90 } else { age }));
    }
}

#[test]
fn without_the_policy_the_same_search_finds_days_months_times_and_ages() {
    let told = |coarse| Told {
        day: date(1920, 5, 17),
        coarse,
    };
    let all = [0, 1]
        .map(|coarse| faults(|policy| policy.clone().switched_off(), told(coarse), told(coarse), "08:15"))
        .concat();
    for what in [
        "a moment",
        "a part of a date",
        "more than a year",
        "a birth that tells an age over 89",
    ] {
        assert!(all.iter().any(|fault| fault.ends_with(what)), "{what}: {all:#?}");
    }
    for (shipped, _) in SHIPPED.iter() {
        assert!(
            all.iter().any(|fault| fault.starts_with(&shipped.model.name)),
            "{}",
            shipped.model.name
        );
    }
}

/// An age that is no date is a number with a rule for ages, or words of the network of which none says more than 89.
#[test]
fn a_column_of_a_shipped_model_that_is_an_age_has_a_rule_for_ages_or_tells_bands() {
    let mut ages = 0;
    for (shipped, policy) in SHIPPED.iter() {
        for (table, column, rule, _) in policy
            .columns()
            .filter(|(_, column, ..)| column.split('_').any(|word| word == "age"))
        {
            let id = shipped.model.find(table).expect("a table");
            let table = shipped.model.table(id);
            let column = &table.columns[table.column(column).expect("a column")];
            let is_banded = column
                .values
                .as_ref()
                .is_some_and(|values| values.iter().all(|value| value.len() <= 3));
            assert!(
                matches!(rule, Rule::Age | Rule::AgeBand | Rule::Drop) || is_banded,
                "{}.{}",
                table.name,
                column.name
            );
            ages += 1;
        }
    }
    assert!(ages > 0, "no column of this name: look for the ages again");
}

/// An age that was observed is a number like any other, and only its unit says so.
#[test]
fn an_observed_age_over_89_stays_under_safe_harbor_only() {
    let mut asked = 0;
    for (shipped, policy) in SHIPPED.iter() {
        for (table, numbers, units) in [
            ("obs_clin", "obsclin_result_num", "obsclin_result_unit"),
            ("lab_result", "value_num", "unit_ucum"),
            ("observation", "value_as_number", "unit_concept_id"),
        ] {
            let Some(table) = shipped.model.find(table).map(|id| shipped.model.table(id)) else {
                continue;
            };
            let (number, unit) = (table.column(numbers).expect("a column"), table.column(units).expect("a column"));
            let row = |told: &'static str| {
                let mut row: Vec<_> = (0..table.columns.len()).map(|at| plain(table, at)).collect();
                row[number] = Cell::Decimal(told.into());
                row[unit] = if units == "unit_concept_id" {
                    Cell::Integer(9448)
                } else {
                    text("a")
                };
                [(table.name.as_str(), row)]
            };
            let strict = of_patients(&shipped.model, policy.clone(), &PATIENTS);
            let refused = run(&strict, &row("93")).expect_err("refused").to_string();
            assert_eq!(
                refused,
                format!("deidentify: leak guard: an age over 89 at `{}.{numbers}`", table.name)
            );
            assert!(run(&strict, &row("89")).is_ok(), "{}", table.name);
            let limited = of_patients(&shipped.model, shipped.policy("limited-data-set"), &PATIENTS);
            assert!(run(&limited, &row("93")).is_ok(), "an age may stand in a limited data set");
            asked += 1;
        }
    }
    assert_eq!(asked, 3);
}
