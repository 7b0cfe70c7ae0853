//! Linkage keys: equal to what clkhash makes, bit for bit; made at a site only where everything allows it; and how well they link.

mod encode;
mod project;
mod quality;
mod schema;

use headwater::deidentify::linkage::{Clk, Encoder, Schema};
use headwater::platform::secret::{Secret, hex};
use serde_json::Value;

/// What clkhash 0.18.3 made of schemas of ours that use every part of its format: `tests/tools/clkhash_vectors.py`.
const OURS: &str = include_str!("../data/linkage/clkhash-0.18.3.json");

fn encoder(schema: &Value, secret: &str) -> Encoder {
    let schema = Schema::parse(&schema.to_string()).unwrap_or_else(|faults| panic!("{faults:?}"));
    Encoder::new(schema, &Secret::new(secret.as_bytes().to_vec()))
}

fn encode(encoder: &Encoder, record: &Value) -> Option<Clk> {
    let record: Vec<&str> = record.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    encoder.encode(&record).ok()
}

fn keys(encoder: &Encoder) -> Vec<Vec<String>> {
    encoder
        .keys()
        .iter()
        .map(|pair| pair.iter().map(|key| hex(key.expose())).collect())
        .collect()
}

#[test]
fn keys_filters_and_dice_values_are_those_of_the_reference_vectors() {
    let Some(shared) = crate::shared() else { return };
    let text = std::fs::read_to_string(shared.join("data/clkhash/test-vectors-clkhash-0.18.3.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let secret = reference["secret_utf8"].as_str().unwrap();
    let mut compared = 0;
    for vector in reference["vectors"].as_array().unwrap() {
        let encoder = encoder(&vector["schema"], secret);
        assert_eq!(serde_json::json!(keys(&encoder)), reference["derived_keys_hex"]);
        let records = vector["records"].as_array().unwrap();
        let clks: Vec<Clk> = records.iter().map(|record| encode(&encoder, &record["record"]).unwrap()).collect();
        for (clk, record) in clks.iter().zip(records) {
            assert_eq!(clk.to_base64(), record["clk_base64"].as_str().unwrap(), "{}", vector["name"]);
            assert_eq!(u64::from(clk.count()), record["popcount"].as_u64().unwrap());
            compared += 1;
        }
        for (pair, expected) in reference["dice"].as_object().unwrap() {
            let (a, b) = pair.split_once('-').unwrap();
            let dice = clks[a.parse::<usize>().unwrap()].dice(&clks[b.parse::<usize>().unwrap()]);
            assert!((dice - expected.as_f64().unwrap()).abs() < 1e-9, "{pair}");
        }
    }
    assert_eq!(compared, 12);
}

#[test]
fn every_part_of_the_format_gives_what_clkhash_gives_and_refuses_what_it_refuses() {
    let ours: Value = serde_json::from_str(OURS).unwrap();
    let (mut made, mut refused) = (0, 0);
    for vector in ours["vectors"].as_array().unwrap() {
        let encoder = encoder(&vector["schema"], ours["secret"].as_str().unwrap());
        assert_eq!(serde_json::json!(keys(&encoder)), vector["keys"], "{}", vector["name"]);
        for record in vector["records"].as_array().unwrap() {
            let clk = encode(&encoder, &record["record"]).map(|clk| clk.to_base64());
            assert_eq!(clk.as_deref(), record["clk"].as_str(), "{}: {}", vector["name"], record["record"]);
            if clk.is_some() { made += 1 } else { refused += 1 }
        }
    }
    assert!(made > 180 && refused > 15, "{made} made, {refused} refused");
}

#[test]
fn another_secret_gives_an_unrelated_filter_and_nothing_of_one_is_printed() {
    let ours: Value = serde_json::from_str(OURS).unwrap();
    let schema = &ours["vectors"][0]["schema"];
    let (one, two) = (
        encoder(schema, "one secret of more than 32 bytes, made up"),
        encoder(schema, "two secrets of more than 32 bytes, made up"),
    );
    let record = serde_json::json!(["featherstonehaugh"]);
    let (a, b) = (encode(&one, &record).unwrap(), encode(&two, &record).unwrap());
    // Two random filters of this fill share about as many bits as chance gives: some 177 of 1024 are set in each.
    assert!(a.dice(&b) < 0.35, "{}", a.dice(&b));
    assert!((a.dice(&encode(&one, &record).unwrap()) - 1.0).abs() < 1e-12);
    let printed = format!("{a:?} {one:?}");
    assert_eq!(printed, "Clk(1024 bits) Encoder(1 features, 1024 bits)");
}
