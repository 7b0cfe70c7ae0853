//! Reads a linkage schema in clkhash's format, version 3: which features, how each is compared, how the filter is made.
//! Every fault at once, with its place. `feature` reads one feature; this file knows the filter and the keys.
//!
//! Reading of an unclear text: the format's own JSON Schema calls the number of folds `xorFolds`; clkhash 0.18.3 reads
//! `xor_folds` and passes `xorFolds` over, and so do the reference vectors. A filter that other sites' clkhash does not make
//! links nobody, so we read what it reads, and say so where a schema asks for folds that nobody makes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::bloom::{Hash, MOST_BITS, MOST_BLAKE_KEY_BYTES};
use super::fault::{Fault, Faults};
use super::feature::{self, Feature};
use crate::platform::secret::KdfHash;

/// Bytes of one key where the schema does not say.
const KEY_BYTES: usize = 64;
/// Two keys for each feature, whichever of them its hash needs.
pub(super) const KEYS: usize = 2;

/// A linkage schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Bits of a finished linkage key.
    pub(super) bits: usize,
    pub(super) folds: u32,
    pub(super) kdf: Kdf,
    /// In the schema's order; ignored ones too, for they have keys as well.
    pub(super) features: Vec<Feature>,
    notes: Vec<String>,
}

/// How the keys are derived from the project's secret.
#[derive(Clone, Debug)]
pub(super) struct Kdf {
    pub hash: KdfHash,
    pub salt: Vec<u8>,
    pub info: Vec<u8>,
    pub key_bytes: usize,
}

impl Schema {
    /// The schema that this JSON text is.
    /// # Errors: every fault, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let schema = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(root)) => read(&root, &mut faults),
            Ok(_) => {
                faults.add("schema", "must be a JSON object");
                None
            }
            Err(error) => {
                faults.add(format!("schema line {} column {}", error.line(), error.column()), "is not JSON");
                None
            }
        };
        match schema {
            Some(schema) if faults.0.is_empty() => Ok(schema),
            _ => Err(faults.0),
        }
    }

    /// Bits of a finished linkage key.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The identifiers of the features that are put into the filter, in order.
    pub fn used(&self) -> impl Iterator<Item = &str> {
        self.features
            .iter()
            .filter(|feature| feature.hashing.is_some())
            .map(|feature| feature.identifier.as_str())
    }

    /// What is allowed, and should be thought about.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn read(root: &Map<String, Value>, faults: &mut Faults) -> Option<Schema> {
    match root.get("version").and_then(Value::as_f64) {
        Some(3.0) => {}
        _ => faults.add("version", "must be 3: clkhash's own `convert` brings an older schema up to it"),
    }
    let empty = Map::new();
    let config = match root.get("clkConfig") {
        Some(Value::Object(config)) => config,
        _ => {
            faults.add("clkConfig", "is missing, or no object");
            &empty
        }
    };
    let mut notes = Vec::new();
    let bits = whole(config, "l", "clkConfig", 1, faults);
    if bits.is_none() && !config.contains_key("l") && !std::ptr::eq(config, &empty) {
        faults.add("clkConfig.l", "is missing: the length of a linkage key, in bits");
    }
    let folds = folds(config, faults, &mut notes);
    let kdf = kdf(config.get("kdf"), std::ptr::eq(config, &empty), faults);
    let features = features(root.get("features"), faults);
    let (bits, kdf) = (bits?, kdf?);
    let long = u32::try_from(folds)
        .ok()
        .and_then(|folds| 1usize.checked_shl(folds))
        .and_then(|by| bits.checked_mul(by));
    let Some(long) = long.filter(|long| *long <= MOST_BITS) else {
        faults.add(
            "clkConfig.l",
            format!("is over {MOST_BITS} bits before folding: a place is 16 bits of a hash"),
        );
        return None;
    };
    let needed = features.len() * KEYS * kdf.key_bytes;
    if needed > kdf.hash.most_bytes() {
        let most = kdf.hash.most_bytes();
        faults.add(
            "clkConfig.kdf",
            format!("the features need {needed} bytes of keys, and HKDF with this hash gives {most}: shorter keys, or SHA512"),
        );
    }
    for (at, feature) in features.iter().enumerate() {
        let Some(hashing) = &feature.hashing else { continue };
        match hashing.hash {
            Hash::Blake if !long.is_power_of_two() => {
                faults.add(
                    format!("features[{at}].hashing.hash"),
                    "blakeHash needs a filter whose length is a power of two",
                );
            }
            Hash::Blake if kdf.key_bytes > MOST_BLAKE_KEY_BYTES => {
                faults.add(
                    "clkConfig.kdf.keySize",
                    format!("is over {MOST_BLAKE_KEY_BYTES} bytes, which blakeHash takes at most"),
                );
            }
            Hash::Blake => {}
            Hash::Double { .. } => notes.push(format!(
                "feature `{}` uses doubleHash, whose steps an attacker can see in a filter; blakeHash draws independent places",
                feature.identifier
            )),
        }
    }
    Some(Schema {
        bits,
        folds: u32::try_from(folds).unwrap_or(0),
        kdf,
        features,
        notes,
    })
}

/// How often the filter is folded: see the head of this file.
fn folds(config: &Map<String, Value>, faults: &mut Faults, notes: &mut Vec<String>) -> usize {
    let named = whole(config, "xorFolds", "clkConfig", 0, faults).unwrap_or(0);
    let read = whole(config, "xor_folds", "clkConfig", 0, faults);
    match read {
        Some(read) => {
            if config.contains_key("xorFolds") && named != read {
                faults.add(
                    "clkConfig.xor_folds",
                    "and `xorFolds` differ: clkhash 0.18.3 reads `xor_folds` only; write the same number in both",
                );
            }
            read
        }
        None => {
            if named > 0 {
                notes.push(
                    "`clkConfig.xorFolds` is passed over, as clkhash 0.18.3 does: NOTHING IS FOLDED. Write `xor_folds` beside it to fold"
                        .to_owned(),
                );
            }
            0
        }
    }
}

fn kdf(value: Option<&Value>, reported: bool, faults: &mut Faults) -> Option<Kdf> {
    const PLACE: &str = "clkConfig.kdf";
    let Some(Value::Object(kdf)) = value else {
        if !reported {
            faults.add(PLACE, "is missing, or no object");
        }
        return None;
    };
    if kdf.get("type").and_then(Value::as_str) != Some("HKDF") {
        faults.add("clkConfig.kdf.type", "must be HKDF");
    }
    let hash = match kdf.get("hash").map(Value::as_str) {
        None | Some(Some("SHA256")) => KdfHash::Sha256,
        Some(Some("SHA512")) => KdfHash::Sha512,
        Some(_) => {
            faults.add("clkConfig.kdf.hash", "must be SHA256 or SHA512");
            KdfHash::Sha256
        }
    };
    let mut bytes = |key: &str| match kdf.get(key) {
        None => Vec::new(),
        Some(value) => value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_else(|| {
            faults.add(format!("{PLACE}.{key}"), "must be base64");
            Vec::new()
        }),
    };
    let (salt, info) = (bytes("salt"), bytes("info"));
    let key_bytes = whole(kdf, "keySize", PLACE, 1, faults).unwrap_or(KEY_BYTES);
    Some(Kdf {
        hash,
        salt,
        info,
        key_bytes,
    })
}

fn features(value: Option<&Value>, faults: &mut Faults) -> Vec<Feature> {
    let Some(Value::Array(items)) = value else {
        faults.add("features", "is missing, or no list");
        return Vec::new();
    };
    let before = faults.0.len();
    let features: Vec<Feature> = items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| feature::read(item, &format!("features[{at}]"), faults))
        .collect();
    if features.iter().all(|feature| feature.hashing.is_none()) && faults.0.len() == before {
        faults.add("features", "names nothing to link by");
    }
    features
}

/// A whole number of at least `least`, if one is given.
pub(super) fn whole(object: &Map<String, Value>, key: &str, place: &str, least: u64, faults: &mut Faults) -> Option<usize> {
    let value = object.get(key)?;
    // JSON Schema takes 1.0 for a whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number below 2^53")]
    let whole = value.as_u64().or_else(|| {
        let number = value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number))?;
        Some(number as u64)
    });
    let number = whole
        .filter(|number| *number >= least)
        .and_then(|number| usize::try_from(number).ok());
    if number.is_none() {
        faults.add(format!("{place}.{key}"), format!("must be a whole number of at least {least}"));
    }
    number
}
