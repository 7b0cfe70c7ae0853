//! Reads one feature of a linkage schema: its format, how it is compared and hashed, what stands for a missing value.

use regex::Regex;
use serde_json::{Map, Value};

use super::bloom::Hash;
use super::date::DateFormat;
use super::fault::Faults;
use super::format::{Case, Encoding, Format};
use super::schema::whole;
use super::token::{Comparison, Strategy};

/// A size no feature of a person has: it bounds the work of one record.
const MOST_TIMES: usize = 10_000;
const MOST_RESOLUTION: usize = 10_000;
const MOST_PRECISION: usize = 18;

/// One feature.
#[derive(Clone, Debug)]
pub(super) struct Feature {
    pub identifier: String,
    /// None of a feature that is ignored.
    pub hashing: Option<Hashing>,
}

/// How a feature gets into the filter.
#[derive(Clone, Debug)]
pub(super) struct Hashing {
    pub format: Format,
    pub encoding: Encoding,
    pub comparison: Comparison,
    pub strategy: Strategy,
    pub hash: Hash,
    pub missing: Option<Missing>,
}

/// Which value says that there is none, and what is hashed in its place.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub sentinel: String,
    pub replacement: String,
}

/// The feature that `value` is; notes what is wrong with it.
pub(super) fn read(value: &Value, place: &str, faults: &mut Faults) -> Option<Feature> {
    let Value::Object(feature) = value else {
        faults.add(place, "must be an object");
        return None;
    };
    let before = faults.0.len();
    let identifier = text(feature, "identifier", place, faults).unwrap_or_else(|| {
        if !feature.contains_key("identifier") {
            faults.add(format!("{place}.identifier"), "is missing");
        }
        String::new()
    });
    text(feature, "description", place, faults);
    let ignored = switch(feature, "ignored", place, faults);
    if ignored && !feature.contains_key("format") && !feature.contains_key("hashing") {
        only(feature, &["identifier", "ignored", "description"], place, faults);
        return Some(Feature { identifier, hashing: None });
    }
    let format = object(feature, "format", place, faults).map(|object| format(object, &format!("{place}.format"), faults));
    let hashing = object(feature, "hashing", place, faults).map(|object| hashing(object, &format!("{place}.hashing"), faults));
    if faults.0.len() > before {
        return None;
    }
    let ((Some(format), encoding), Some(mut hashing)) = (format?, hashing?.map(|parts| parts.with(Format::Enum(Vec::new())))) else {
        return None;
    };
    hashing.format = format;
    hashing.encoding = encoding;
    if let Some(missing) = &hashing.missing
        && !encoding.holds(&missing.replacement)
    {
        faults.add(
            format!("{place}.hashing.missingValue"),
            "has letters that the feature's encoding does not",
        );
    }
    Some(Feature {
        identifier,
        hashing: (!ignored).then_some(hashing),
    })
}

/// What `hashing` says, without the format.
struct Parts {
    comparison: Comparison,
    strategy: Strategy,
    hash: Hash,
    missing: Option<Missing>,
}

impl Parts {
    fn with(self, format: Format) -> Hashing {
        Hashing {
            format,
            encoding: Encoding::Utf8,
            comparison: self.comparison,
            strategy: self.strategy,
            hash: self.hash,
            missing: self.missing,
        }
    }
}

fn format(format: &Map<String, Value>, place: &str, faults: &mut Faults) -> (Option<Format>, Encoding) {
    text(format, "description", place, faults);
    let mut known = vec!["type", "description"];
    let mut encoding = Encoding::Utf8;
    let read = match format.get("type").and_then(Value::as_str) {
        Some("string") => {
            known.push("encoding");
            encoding = self::encoding(format, place, faults);
            if format.contains_key("pattern") {
                known.push("pattern");
                pattern(format, place, faults)
            } else {
                known.extend(["case", "minLength", "maxLength"]);
                let case = match format.get("case").map(Value::as_str) {
                    None | Some(Some("mixed")) => Case::Mixed,
                    Some(Some("upper")) => Case::Upper,
                    Some(Some("lower")) => Case::Lower,
                    Some(_) => {
                        faults.add(format!("{place}.case"), "must be upper, lower or mixed");
                        Case::Mixed
                    }
                };
                let least = whole(format, "minLength", place, 0, faults).unwrap_or(0);
                let most = whole(format, "maxLength", place, 1, faults);
                Some(Format::Text { case, least, most })
            }
        }
        Some("integer") => {
            known.extend(["minimum", "maximum"]);
            let (least, most) = (integer(format, "minimum", place, faults), integer(format, "maximum", place, faults));
            Some(Format::Integer { least, most })
        }
        Some("date") => {
            known.push("format");
            let source = required_text(format, "format", place, faults);
            source.and_then(|source| {
                let read = DateFormat::new(&source);
                read.map_err(|what| faults.add(format!("{place}.format"), what))
                    .ok()
                    .map(Format::Date)
            })
        }
        Some("enum") => {
            known.push("values");
            let values = format
                .get("values")
                .and_then(Value::as_array)
                .map(|values| values.iter().map(Value::as_str));
            let values: Option<Vec<String>> = values.and_then(|values| values.map(|value| value.map(str::to_owned)).collect());
            if values.is_none() {
                faults.add(format!("{place}.values"), "must be a list of texts");
            }
            values.map(Format::Enum)
        }
        _ => {
            faults.add(format!("{place}.type"), "must be string, integer, date or enum");
            return (None, encoding);
        }
    };
    only(format, &known, place, faults);
    (read, encoding)
}

fn encoding(format: &Map<String, Value>, place: &str, faults: &mut Faults) -> Encoding {
    match format.get("encoding").map(Value::as_str) {
        None | Some(Some("utf-8")) => Encoding::Utf8,
        Some(Some("ascii")) => Encoding::Ascii,
        Some(Some("utf-16")) => Encoding::Utf16,
        Some(Some("utf-32")) => Encoding::Utf32,
        Some(_) => {
            faults.add(format!("{place}.encoding"), "must be ascii, utf-8, utf-16 or utf-32");
            Encoding::Utf8
        }
    }
}

fn pattern(format: &Map<String, Value>, place: &str, faults: &mut Faults) -> Option<Format> {
    let source = required_text(format, "pattern", place, faults)?;
    // Python's `fullmatch`: the value, and nothing around it.
    match Regex::new(&format!(r"\A(?:{source})\z")) {
        Ok(regex) => Some(Format::Pattern(regex)),
        Err(_) => {
            faults.add(
                format!("{place}.pattern"),
                "is no regular expression that is read here (no look-around, no back-references)",
            );
            None
        }
    }
}

fn hashing(hashing: &Map<String, Value>, place: &str, faults: &mut Faults) -> Option<Parts> {
    only(hashing, &["hash", "strategy", "comparison", "missingValue"], place, faults);
    let hash = match hashing.get("hash") {
        None => Hash::Blake,
        Some(_) => hash(object(hashing, "hash", place, faults), place, faults),
    };
    let comparison =
        object(hashing, "comparison", place, faults).and_then(|object| comparison(object, &format!("{place}.comparison"), faults));
    let strategy = object(hashing, "strategy", place, faults).and_then(|object| strategy(object, &format!("{place}.strategy"), faults));
    let missing = match hashing.get("missingValue") {
        None => None,
        Some(_) => object(hashing, "missingValue", place, faults).and_then(|missing| {
            let place = format!("{place}.missingValue");
            let sentinel = required_text(missing, "sentinel", &place, faults)?;
            let replacement = text(missing, "replaceWith", &place, faults).unwrap_or_else(|| sentinel.clone());
            Some(Missing { sentinel, replacement })
        }),
    };
    Some(Parts {
        comparison: comparison?,
        strategy: strategy?,
        hash,
        missing,
    })
}

fn hash(hash: Option<&Map<String, Value>>, place: &str, faults: &mut Faults) -> Hash {
    let Some(hash) = hash else { return Hash::Blake };
    match hash.get("type").and_then(Value::as_str) {
        Some("blakeHash") => Hash::Blake,
        Some("doubleHash") => Hash::Double {
            prevent_singularity: switch(hash, "prevent_singularity", &format!("{place}.hash"), faults),
        },
        _ => {
            faults.add(format!("{place}.hash.type"), "must be blakeHash or doubleHash");
            Hash::Blake
        }
    }
}

fn strategy(strategy: &Map<String, Value>, place: &str, faults: &mut Faults) -> Option<Strategy> {
    only(strategy, &["bitsPerToken", "bitsPerFeature"], place, faults);
    let token = whole(strategy, "bitsPerToken", place, 1, faults);
    let feature = whole(strategy, "bitsPerFeature", place, 1, faults);
    if token.or(feature).is_some_and(|times| times > MOST_TIMES) {
        faults.add(place, format!("is over {MOST_TIMES} bits"));
    }
    match (token, feature) {
        (Some(times), None) => Some(Strategy::PerToken(times)),
        (None, Some(times)) => Some(Strategy::PerFeature(times)),
        _ => {
            if strategy.contains_key("bitsPerToken") == strategy.contains_key("bitsPerFeature") {
                faults.add(place, "must have one of bitsPerToken and bitsPerFeature");
            }
            None
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the bound stands beside it")]
fn comparison(comparison: &Map<String, Value>, place: &str, faults: &mut Faults) -> Option<Comparison> {
    match comparison.get("type").and_then(Value::as_str) {
        Some("exact") => Some(Comparison::Exact),
        Some("ngram") => {
            let n = needed(comparison, "n", place, 1, faults)?;
            if n > 64 {
                faults.add(format!("{place}.n"), "is over 64 characters");
            }
            let positional = switch(comparison, "positional", place, faults);
            Some(Comparison::Ngram { n, positional })
        }
        Some("numeric") => {
            let resolution = needed(comparison, "resolution", place, 1, faults)?;
            let precision = whole(comparison, "fractional_precision", place, 0, faults).unwrap_or(0);
            if resolution > MOST_RESOLUTION || precision > MOST_PRECISION {
                faults.add(
                    place,
                    format!("resolution may be {MOST_RESOLUTION} and fractional_precision {MOST_PRECISION} at most"),
                );
                return None;
            }
            let threshold = comparison
                .get("thresholdDistance")
                .and_then(Value::as_f64)
                .filter(|threshold| *threshold > 0.0);
            let interval = threshold.map(|threshold| (threshold * 10f64.powi(precision as i32)).round_ties_even());
            let Some(interval) = interval.filter(|interval| (1.0..1e18).contains(interval)) else {
                let what = "must be a number over 0 that is not 0 at the given fractional_precision";
                faults.add(format!("{place}.thresholdDistance"), what);
                return None;
            };
            Some(Comparison::Numeric {
                interval: interval as i128,
                resolution: resolution as i128,
                fractional_precision: precision as u32,
            })
        }
        _ => {
            faults.add(format!("{place}.type"), "must be ngram, exact or numeric");
            None
        }
    }
}

fn needed(object: &Map<String, Value>, key: &str, place: &str, least: u64, faults: &mut Faults) -> Option<usize> {
    if !object.contains_key(key) {
        faults.add(format!("{place}.{key}"), "is missing");
    }
    whole(object, key, place, least, faults)
}

fn object<'v>(parent: &'v Map<String, Value>, key: &str, place: &str, faults: &mut Faults) -> Option<&'v Map<String, Value>> {
    let found = parent.get(key).and_then(Value::as_object);
    if found.is_none() {
        let what = if parent.contains_key(key) {
            "must be an object"
        } else {
            "is missing"
        };
        faults.add(format!("{place}.{key}"), what);
    }
    found
}

/// A text, if one is given.
fn text(object: &Map<String, Value>, key: &str, place: &str, faults: &mut Faults) -> Option<String> {
    let value = object.get(key)?;
    let text = value.as_str().map(str::to_owned);
    if text.is_none() {
        faults.add(format!("{place}.{key}"), "must be a text");
    }
    text
}

fn required_text(object: &Map<String, Value>, key: &str, place: &str, faults: &mut Faults) -> Option<String> {
    if !object.contains_key(key) {
        faults.add(format!("{place}.{key}"), "is missing");
    }
    text(object, key, place, faults)
}

fn switch(object: &Map<String, Value>, key: &str, place: &str, faults: &mut Faults) -> bool {
    match object.get(key) {
        None => false,
        Some(Value::Bool(switch)) => *switch,
        Some(_) => {
            faults.add(format!("{place}.{key}"), "must be true or false");
            false
        }
    }
}

fn integer(object: &Map<String, Value>, key: &str, place: &str, faults: &mut Faults) -> Option<i128> {
    let value = object.get(key)?;
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    if number.is_none() {
        faults.add(format!("{place}.{key}"), "must be a whole number of at most 64 bits");
    }
    number
}

/// Notes what stands in `object` and is not known.
fn only(object: &Map<String, Value>, known: &[&str], place: &str, faults: &mut Faults) {
    for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
        faults.add(format!("{place}.{key}"), format!("is not known here; known: {}", known.join(", ")));
    }
}
