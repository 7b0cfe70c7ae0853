//! The reader of schemas against the format's own JSON Schema: what one takes the other takes, but for what cannot be encoded.

use std::path::PathBuf;

use headwater::deidentify::linkage::Schema;
use serde_json::{Value, json};

fn folder() -> Option<PathBuf> {
    Some(crate::shared()?.join("data/clkhash")).filter(|folder| folder.is_dir())
}

fn read(folder: &std::path::Path, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn faults(schema: &Value) -> Vec<String> {
    match Schema::parse(&schema.to_string()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_good_schema_is_read_and_of_the_bad_one_every_feature_is_named() {
    let Some(folder) = folder() else { return };
    assert_eq!(faults(&read(&folder, "good-schema-v3.json")), [""; 0]);
    let found = faults(&read(&folder, "bad-schema-v3.json"));
    for place in [
        "features[0].format",
        "features[1].hashing.ngram",
        "features[1].hashing.strategy.throughTheWall",
        "features[2].hashing.comparison",
        "features[3].hashing.comparison",
    ] {
        assert!(found.iter().any(|fault| fault.starts_with(place)), "{place} in {found:#?}");
    }
}

/// Each way of spoiling a schema that has everything: one member taken away, or another value in its place.
fn spoilt(whole: &Value, replacements: &[Value]) -> Vec<(String, Value)> {
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        let mut go = |key: String, child: &Value| {
            let place = format!("{at}/{key}");
            found.push(place.clone());
            places(child, &place, found);
        };
        match value {
            Value::Object(object) => object.iter().for_each(|(key, child)| go(key.clone(), child)),
            Value::Array(items) => items.iter().enumerate().for_each(|(at, child)| go(at.to_string(), child)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    places(whole, "", &mut found);
    let mut out = Vec::new();
    for place in found {
        for value in replacements {
            let mut schema = whole.clone();
            *schema.pointer_mut(&place).unwrap() = value.clone();
            out.push((format!("{place} = {value}"), schema));
        }
        let (parent, key) = place.rsplit_once('/').unwrap();
        let mut schema = whole.clone();
        match schema.pointer_mut(parent).unwrap() {
            Value::Object(object) => {
                object.remove(key);
                let mut more = object.clone();
                more.insert("surplus".to_owned(), json!(1));
                out.push((format!("{place} taken away"), schema.clone()));
                let mut schema = whole.clone();
                *schema.pointer_mut(parent).unwrap() = Value::Object(more);
            }
            Value::Array(items) => {
                items.remove(key.parse().unwrap());
                out.push((format!("{place} taken away"), schema));
            }
            _ => unreachable!("a parent has children"),
        }
    }
    out
}

#[test]
fn whatever_the_formats_own_json_schema_refuses_is_refused_and_the_rest_is_taken_or_cannot_be_encoded() {
    let Some(folder) = folder() else { return };
    let validator = jsonschema::validator_for(&read(&folder, "linkage-schema-v3.schema.json")).unwrap();
    let mut whole = read(&folder, "good-schema-v3.json");
    whole["features"][1]["hashing"]["missingValue"] = json!({ "sentinel": "", "replaceWith": "X" });
    whole["clkConfig"]["xorFolds"] = json!(0);
    assert!(validator.is_valid(&whole) && faults(&whole).is_empty());
    // Ours alone, each with its reason: what clkhash could not encode by, or what no person's feature needs.
    let ours = [
        "is over",
        "resolution may be",
        "needs a filter whose length is a power of two",
        "must be 3",
        "names nothing to link by",
        "names no whole date",
        "must be base64",
        "is no regular expression",
        "has letters that the feature's encoding does not",
        "HKDF with this hash gives",
    ];
    let replacements = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(7),
        json!(1.5),
        json!("x"),
        json!([]),
        json!({}),
        json!(1_000_000),
    ];
    let (mut both, mut neither, mut alone) = (0, 0, 0);
    for (name, schema) in spoilt(&whole, &replacements) {
        let found = faults(&schema);
        match (validator.is_valid(&schema), found.is_empty()) {
            (true, true) => both += 1,
            (false, false) => neither += 1,
            (true, false) => {
                assert!(
                    found.iter().all(|fault| ours.iter().any(|reason| fault.contains(reason))),
                    "{name}: {found:?}"
                );
                alone += 1;
            }
            (false, true) => panic!("{name}: the format refuses it, and we took it"),
        }
    }
    assert!(
        both > 100 && neither > 1000 && alone > 5,
        "{both} taken, {neither} refused, {alone} ours alone"
    );
}

#[test]
fn what_is_allowed_and_dangerous_is_said() {
    let schema = |config: Value, hash: &str| {
        let mut text = json!({ "version": 3, "clkConfig": { "l": 64, "kdf": { "type": "HKDF" } }, "features": [{
            "identifier": "family", "format": { "type": "string" },
            "hashing": { "comparison": { "type": "exact" }, "strategy": { "bitsPerToken": 5 }, "hash": { "type": hash } } }] });
        text["clkConfig"]
            .as_object_mut()
            .unwrap()
            .extend(config.as_object().unwrap().clone());
        text
    };
    let notes = |text: Value| Schema::parse(&text.to_string()).unwrap().notes().to_vec();
    assert!(notes(schema(json!({ "xorFolds": 1 }), "blakeHash"))[0].contains("NOTHING IS FOLDED"));
    assert!(notes(schema(json!({ "xor_folds": 1, "xorFolds": 1 }), "blakeHash")).is_empty());
    assert!(notes(schema(json!({}), "doubleHash"))[0].contains("doubleHash"));
    assert!(faults(&schema(json!({ "xor_folds": 1, "xorFolds": 2 }), "blakeHash"))[0].contains("differ"));
    assert!(faults(&schema(json!({ "l": 48 }), "blakeHash"))[0].contains("power of two"));
    assert!(faults(&schema(json!({ "l": 48 }), "doubleHash")).is_empty());
    assert!(faults(&schema(json!({ "l": 65536, "xor_folds": 1 }), "blakeHash"))[0].contains("before folding"));
    assert!(faults(&schema(json!({ "kdf": { "type": "HKDF", "keySize": 65 } }), "blakeHash"))[0].contains("keySize"));
}
