//! Numbers in the wanted unit, and the reasons for those that are not.

use super::*;
use crate::fhir::tree::{Limits, Tree};

const ANALYTES: &str = "
[[analyte]]
name = 'glucose'
system = 'http://loinc.org'
codes = ['2345-7']
unit = 'mg/dL'
convert = [{ from = 'mmol/L', to = 'mg/dL', factor = '18.016' }]
";

/// The cell's text, or the reason.
fn given(wanted: &str, number: bool, comparator: bool, own: &str, quantity: &str, code: &str) -> String {
    let rule = UnitRule {
        wanted: match wanted {
            "analyte" => Wanted::Analyte,
            "normal" => Wanted::Own,
            unit => Wanted::Unit(Written::read(unit).expect("a unit")),
        },
        number,
        comparator,
        unmapped: WhenUnmapped::Null,
        analytes: Arc::new(Analytes::load("units.toml", ANALYTES).expect("analytes")),
    };
    let mut tree = Tree::new();
    let node = (!quantity.is_empty()).then(|| tree.parse(quantity.as_bytes(), &Limits::default()).expect("JSON"));
    let own = match (own, number) {
        ("", _) => Cell::Null,
        (own, true) => Cell::Decimal(own.to_owned().into()),
        (own, false) => Cell::Text(own.to_owned().into()),
    };
    let analyte = || rule.analytes.find("http://loinc.org", code);
    match rule.given(&own, node, analyte, &mut UnitCache::default()) {
        Ok(Cell::Null) => "null".to_owned(),
        Ok(Cell::Decimal(text) | Cell::Text(text)) => text.into_owned(),
        Ok(_) => "another kind".to_owned(),
        Err(missed) => format!("{} {}", missed.reason, missed.code),
    }
}

fn number(wanted: &str, number: &str, unit: &str) -> String {
    let quantity = format!(r#"{{"value":{number},"unit":"{unit}"}}"#);
    given(wanted, true, false, number, &quantity, "")
}

#[test]
fn the_digits_of_the_wanted_unit_are_not_touched_however_it_is_spelt() {
    for (wanted, digits, unit) in [
        ("mg/dL", "5.10", "mg/dL"),
        ("mg/dL", "5.10", "mg/dl"),
        ("kg", "70.000", "kgs"),
        ("/min", "72.0", "beats/min"),
        ("10*3/uL", "4.50e0", "K/uL"),
        ("10*9/L", "4.50", "10*3/uL"),
    ] {
        assert_eq!(number(wanted, digits, unit), digits, "{unit} as {wanted}");
    }
}

#[test]
fn a_number_of_another_unit_is_converted_with_one_place_more_than_it_had() {
    for (wanted, digits, unit, expected) in [
        ("[in_i]", "152.4", "cm", "60"),
        ("[in_i]", "1.5", "m", "59.1"),
        ("[lb_av]", "50.0", "kg", "110.23"),
        ("[lb_av]", "50", "kg", "110.2"),
        ("[lb_av]", "3500", "g", "7.7162"),
        ("[degF]", "37.0", "Cel", "98.6"),
        ("Cel", "98.6", "[degF]", "37"),
        ("Cel", "101.3", "[degF]", "38.5"),
        ("mg/dL", "0.9", "g/L", "90"),
        ("m", "180", "cm", "1.8"),
        ("g", "0.0012", "kg", "1.2"),
    ] {
        assert_eq!(number(wanted, digits, unit), expected, "{digits} {unit} in {wanted}");
    }
}

#[test]
fn going_back_gives_the_digits_again() {
    for (digits, from, to) in [
        ("50.0", "kg", "[lb_av]"),
        ("7", "mo", "a"),
        ("0.35", "[in_i]", "m"),
        ("36.6", "Cel", "[degF]"),
    ] {
        let there = number(to, digits, from);
        let back = Decimal::parse(&number(from, &there, to)).unwrap();
        let places = Decimal::parse(digits).unwrap().scale();
        assert_eq!(back.round(places), Decimal::parse(digits), "{digits} {from} is {there} {to}");
    }
}

#[test]
fn what_cannot_be_converted_has_a_reason() {
    for (unit, expected) in [
        ("kg", "other-kind kg"),
        ("stone throws", "no-ucum stone throws"),
        ("mEq/L", "other-kind mEq/L"),
    ] {
        assert_eq!(number("mmol/L", "5", unit), expected);
    }
    assert_eq!(given("kg", true, false, "5", r#"{"value":5}"#, ""), "no-unit ");
    assert_eq!(given("kg", true, false, "5", "", ""), "no-unit ");
    assert_eq!(given("{score}", true, false, "5", r#"{"value":5}"#, ""), "5");
    let huge = "9".repeat(36);
    assert_eq!(number("g", &huge, "t"), "out-of-range t");
}

#[test]
fn a_comparator_that_no_column_takes_is_missed_and_not_lost() {
    let quantity = r#"{"value":5,"comparator":"<","unit":"mg/dL"}"#;
    assert_eq!(given("mg/dL", true, false, "5", quantity, ""), "comparator <");
    assert_eq!(given("mg/dL", true, true, "5", quantity, ""), "5");
    assert_eq!(given("g/L", true, true, "5", quantity, ""), "0.05");
}

#[test]
fn the_code_speaks_before_the_word_and_a_code_of_another_system_not_at_all() {
    let quantity = r#"{"value":1,"unit":"pounds","system":"http://unitsofmeasure.org","code":"kg"}"#;
    assert_eq!(given("g", true, false, "1", quantity, ""), "1000");
    let local = r#"{"value":1,"unit":"kg","system":"http://snomed.info/sct","code":"258683005"}"#;
    assert_eq!(given("g", true, false, "1", local, ""), "1000");
    let unreadable = r#"{"value":1,"unit":"kg","system":"http://unitsofmeasure.org","code":"kilo"}"#;
    assert_eq!(given("g", true, false, "1", unreadable, ""), "1000");
}

#[test]
fn an_analyte_crosses_from_moles_to_mass_and_has_a_unit_of_its_own() {
    let moles = r#"{"value":5.0,"unit":"mmol/L"}"#;
    assert_eq!(given("mg/dL", true, false, "5.0", moles, "2345-7"), "90.1");
    assert_eq!(given("analyte", true, false, "5.0", moles, "2345-7"), "90.1");
    assert_eq!(given("analyte", false, false, "", moles, "2345-7"), "mg/dL");
    assert_eq!(given("mg/dL", true, false, "5.0", moles, "other"), "other-kind mmol/L");
    // Nothing is asked of an analyte that the table does not know.
    assert_eq!(given("analyte", true, false, "5.0", moles, "other"), "5.0");
    assert_eq!(given("analyte", false, false, "", moles, "other"), "mmol/L");
}

#[test]
fn a_unit_is_given_in_ucum_or_missed() {
    assert_eq!(given("normal", false, false, "mg/dl", "", ""), "mg/dL");
    assert_eq!(given("normal", false, false, "", "", ""), "null");
    assert_eq!(given("normal", false, false, "", r#"{"value":1}"#, ""), "null");
    assert_eq!(given("normal", false, false, "a handful", "", ""), "no-ucum a handful");
    assert_eq!(given("kg", false, false, "", r#"{"value":1,"unit":"lbs"}"#, ""), "kg");
    assert_eq!(given("kg", false, false, "", r#"{"value":1,"unit":"cm"}"#, ""), "other-kind cm");
}
