use super::{Unit, normal};
use crate::fhir::decimal::Decimal;

fn convert(number: &str, from: &str, to: &str) -> Option<String> {
    let unit = |code| Unit::parse(code).unwrap_or_else(|| panic!("{code} is a unit"));
    let number = Decimal::parse(number).expect("a number");
    unit(from).convert(number, &unit(to)).map(|number| number.to_string())
}

#[test]
fn a_number_in_another_unit_is_exact_where_the_factor_is() {
    for (number, from, to, expected) in [
        ("150", "[lb_av]", "kg", "68.0388555"),
        ("70", "[in_i]", "cm", "177.8"),
        ("98.6", "[degF]", "Cel", "37"),
        ("37", "Cel", "[degF]", "98.6"),
        ("37", "Cel", "K", "310.15"),
        ("5.5", "g/dL", "g/L", "55"),
        ("120", "mm[Hg]", "Pa", "15998.64"),
        ("1", "10*3/uL", "10*9/L", "1"),
        ("7", "10*9/L", "/uL", "7000"),
        ("2", "U/L", "ukat/L", "0.0333333333333333"),
        ("0.5", "kg/m2", "g/cm2", "0.05"),
        ("1", "h", "min", "60"),
        ("12", "{score}", "1", "12"),
        ("3", "m[iU]/mL", "[IU]/L", "3"),
        ("45", "%", "1", "0.45"),
    ] {
        let found = convert(number, from, to).unwrap_or_else(|| panic!("{number} {from} in {to}"));
        assert!(found.starts_with(expected), "{number} {from} in {to}: {found}");
    }
}

#[test]
fn units_of_another_kind_have_no_answer() {
    for (from, to) in [
        ("mg/dL", "mmol/L"),
        ("kg", "cm"),
        ("[iU]/L", "U/L"),
        ("mol", "1"),
        ("Cel", "kg"),
        ("/min", "min"),
    ] {
        assert_eq!(convert("1", from, to), None, "{from} in {to}");
    }
}

#[test]
fn what_is_no_ucum_is_no_unit() {
    let deep = "(".repeat(60);
    for code in [
        "",
        "mmHg",
        "kgs",
        "m//s",
        "(m",
        "m)",
        "{a",
        "m{a{b}}",
        "10*999",
        "kCel",
        "Cel2",
        "m.Cel",
        "0",
        "µg",
        deep.as_str(),
    ] {
        assert!(Unit::parse(code).is_none(), "{code}");
    }
}

#[test]
fn units_are_spelt_as_ucum_spells_them() {
    for (written, code) in [
        ("mmHg", "mm[Hg]"),
        ("mm Hg", "mm[Hg]"),
        ("mg/dl", "mg/dL"),
        ("mg/dL", "mg/dL"),
        ("mcg/ml", "ug/mL"),
        ("µg/g", "ug/g"),
        ("lbs", "[lb_av]"),
        ("°F", "[degF]"),
        ("x10^3/uL", "10*3/uL"),
        ("10E9/L", "10*9/L"),
        ("K/uL", "10*3/uL"),
        ("IU/L", "[iU]/L"),
        ("mm/hr", "mm/h"),
        ("beats/min", "/min"),
        ("mL/min/{1.73_m2}", "mL/min/{1.73_m2}"),
        ("kg/m^2", "kg/m2"),
        ("mol", "mol"),
        ("kcal", "kcal"),
        ("years", "a"),
        ("ft", "[ft_i]"),
    ] {
        assert_eq!(normal(written).as_deref(), Some(code), "{written}");
    }
    assert_eq!(normal("furlong per fortnight"), None);
}
