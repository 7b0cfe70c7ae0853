//! `headwater/unit` through a whole mapping: the cell, the refusal, the count, and the faults of a file.

use super::{coding, line, load, mapped};

fn column(tags: &[(&str, &str)]) -> String {
    let tags: Vec<_> = tags
        .iter()
        .map(|(name, value)| format!(r#"{{"name":"headwater/{name}","value":"{value}"}}"#))
        .collect();
    format!(
        r#"{{"name":"n","path":"%resource.value.ofType(Quantity).value","tag":[{}]}}"#,
        tags.join(",")
    )
}

const QUANTITY: (&str, &str) = ("quantity", "%resource.value.ofType(Quantity)");

fn weighed(value: &str) -> String {
    line(&coding("s", "c"), &format!(r#","valueQuantity":{value}"#))
}

#[test]
fn a_number_comes_in_the_column_s_unit() {
    let kilograms = column(&[("unit", "kg"), QUANTITY]);
    for (value, expected) in [
        (r#"{"value":70.50,"unit":"kg"}"#, r#","n":70.50"#),
        (r#"{"value":150,"unit":"lb"}"#, r#","n":68.04"#),
        (r#"{"unit":"lb"}"#, ""),
    ] {
        let (rows, missed) = mapped(&kilograms, &weighed(value), &[]);
        assert_eq!((rows, missed), (Ok(vec![format!(r#"{{"k":"Observation/o1#"{expected}}}"#)]), 0));
    }
}

#[test]
fn a_number_in_no_unit_that_converts_is_counted_and_left_out_or_kept_or_refused() {
    for value in [
        r#"{"value":9,"unit":"cm"}"#,
        r#"{"value":9}"#,
        r#"{"value":9,"unit":"kg","comparator":">"}"#,
    ] {
        let with = |unmapped| mapped(&column(&[("unit", "kg"), QUANTITY, ("unmapped", unmapped)]), &weighed(value), &[]);
        assert_eq!(with("null"), (Ok(vec![r#"{"k":"Observation/o1#"}"#.to_owned()]), 1), "{value}");
        assert_eq!(
            with("source"),
            (Ok(vec![r#"{"k":"Observation/o1#","n":9}"#.to_owned()]), 1),
            "{value}"
        );
        assert_eq!(with("refuse"), (Err("t.n: unit".to_owned()), 1), "{value}");
    }
}

#[test]
fn a_comparator_that_a_column_takes_lets_the_number_stand() {
    let columns = format!(
        r#"{},{{"name":"drug","path":"%resource.value.ofType(Quantity).comparator"}}"#,
        column(&[("unit", "kg"), QUANTITY, ("comparator", "drug")])
    );
    let (rows, missed) = mapped(&columns, &weighed(r#"{"value":9,"unit":"kg","comparator":">"}"#), &[]);
    assert_eq!(
        (rows, missed),
        (Ok(vec![r#"{"k":"Observation/o1#","n":9,"drug":">"}"#.to_owned()]), 0)
    );
}

#[test]
fn loading_names_every_fault_of_a_unit() {
    let fault = |tags: &[(&str, &str)], message: &str| {
        let faults = load(&column(tags)).expect_err("a fault");
        assert!(faults.iter().any(|fault| fault.contains(message)), "{faults:#?}");
    };
    fault(&[("unit", "kg")], "needs `headwater/quantity`");
    fault(&[QUANTITY], "`headwater/quantity` is of no use without `headwater/unit`");
    fault(&[("unit", "kilo"), QUANTITY], "`kilo` is no UCUM unit");
    fault(&[("unit", "mg/dl"), QUANTITY], "is written `mg/dL`");
    fault(&[("unit", "normal"), QUANTITY], "names the UCUM unit it wants");
    fault(&[("unit", "analyte"), QUANTITY], "needs `headwater/coding`, and a `units.toml`");
    fault(&[("unit", "kg"), QUANTITY, ("comparator", "nowhere")], "no column of this view");
    fault(&[("unit", "kg"), QUANTITY, ("unmapped", "=1")], "left out, refused or kept");
    fault(
        &[("unit", "kg"), ("quantity", "%resource.value.ofType(Quantity).value")],
        "the Quantity itself, where unit and comparator stand, not its `decimal`",
    );
    fault(
        &[("unit", "kg"), QUANTITY, ("coding", "$this"), ("system", "s")],
        "`headwater/system` is of no use",
    );
}
