//! The canary: one marked patient whose every identifier is a word that nothing else in the world has, and a search for
//! those words in whatever left or was logged: as text, in any case, in hex, base64, percent escapes, and inside gzip and
//! zstd. Other tests send the canary through the house with `patient()` and ask `found_in` afterwards.
//!
//! A search that finds nothing proves nothing by itself: `every_word_is_found_in_every_disguise` is the positive control.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The canary's FHIR id.
pub(crate) const ID: &str = "c0ffee00-5a5a-4c4c-9b9b-0123beadfeed";

/// What must never leave: what it is, and how it may be written. Only words of eight letters and more, or numbers nobody
/// else has, so that a hit is never chance. The canary is born in 1903 for the same reason.
pub(crate) const WORDS: [(&str, &[&str]); 14] = [
    ("id", &[ID, "c0ffee005a5a4c4c9b9b0123beadfeed"]),
    ("family name", &["Vandelbrough"]),
    ("given name", &["Zyxquorra"]),
    ("mother's maiden name", &["Thistlewaitham"]),
    ("record number", &["MRN-904177350", "904177350"]),
    ("social security number", &["987-65-4399", "987654399"]),
    ("phone", &["617-555-0173", "(617) 555-0173", "6175550173"]),
    ("mail", &["zyx.vandel@canary.example"]),
    ("street", &["4417 Quillspire Lane", "Quillspire"]),
    ("city", &["Gloamhaverton"]),
    ("postal code", &["02057-4417", "020574417"]),
    (
        "birth date",
        &["1903-02-17", "02/17/1903", "2/17/1903", "19030217", "February 17, 1903"],
    ),
    ("contact", &["Ormsbyworth", "508-555-0188", "5085550188"]),
    ("merged record", &["gloamold-7731-record"]),
];

/// The canary as a US Core Patient, on one line.
pub(crate) fn patient() -> String {
    r#"{"resourceType":"Patient","id":"c0ffee00-5a5a-4c4c-9b9b-0123beadfeed",
"meta":{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]},
"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName","valueString":"Thistlewaitham"},
{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"}],
"identifier":[{"system":"urn:oid:2.16.840.1.113883.19.5","value":"MRN-904177350"},
{"system":"http://hl7.org/fhir/sid/us-ssn","value":"987-65-4399"}],
"active":true,"name":[{"use":"official","family":"Vandelbrough","given":["Zyxquorra"],"text":"Zyxquorra Vandelbrough"}],
"telecom":[{"system":"phone","value":"617-555-0173"},{"system":"email","value":"zyx.vandel@canary.example"}],
"gender":"female","birthDate":"1903-02-17",
"address":[{"use":"home","line":["4417 Quillspire Lane"],"city":"Gloamhaverton","state":"MA","postalCode":"02057-4417"}],
"contact":[{"name":{"family":"Ormsbyworth"},"telecom":[{"system":"phone","value":"508-555-0188"}]}],
"link":[{"other":{"reference":"Patient/gloamold-7731-record"},"type":"replaces"}]}"#
        .replace('\n', "")
}

/// Which of the canary's words stand in `bytes`, in any disguise.
pub(crate) fn found_in(bytes: &[u8]) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    search(bytes, 0, &mut found);
    found.dedup();
    found
}

/// Which words stand in which files below `dir`, names of files included, as `path: word`.
pub(crate) fn found_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory that can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let mut words = found_in(name.as_bytes());
            if path.is_dir() {
                open.push(path.clone());
            } else {
                words.extend(found_in(&std::fs::read(&path).expect("a file that can be read")));
            }
            found.extend(words.into_iter().map(|word| format!("{}: {word}", path.display())));
        }
    }
    found.sort();
    found
}

fn search(bytes: &[u8], depth: u8, found: &mut Vec<&'static str>) {
    let lower = bytes.to_ascii_lowercase();
    for (what, spellings) in WORDS {
        let is_there = spellings.iter().any(|word| {
            disguises(word)
                .iter()
                .any(|(needle, exact)| has(if *exact { bytes } else { &lower }, needle))
        });
        if is_there {
            found.push(what);
        }
    }
    if depth < 3 {
        for plain in unpacked(bytes) {
            search(&plain, depth + 1, found);
        }
    }
}

fn has(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}

/// How a word may be hidden in text, and whether its case counts.
fn disguises(word: &str) -> Vec<(Vec<u8>, bool)> {
    let lower = word.to_ascii_lowercase();
    let mut all = vec![(lower.clone().into_bytes(), false), (percent(&lower).into_bytes(), false)];
    for spelling in [word, &lower, &word.to_ascii_uppercase()] {
        all.push((hex(spelling.as_bytes()).into_bytes(), false));
        // In base64 a word has three faces, by where it begins; the characters at both ends depend on its neighbours.
        for offset in 0..3 {
            let padded = [&b"\0\0"[..offset], spelling.as_bytes()].concat();
            for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
                let (first, last) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
                all.push((text.as_bytes()[first..last].to_vec(), true));
            }
        }
        all.push((spelling.encode_utf16().flat_map(u16::to_le_bytes).collect(), true));
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn percent(text: &str) -> String {
    let escape = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02x}")
        }
    };
    text.bytes().map(escape).collect()
}

/// What is packed inside: every gzip member and zstd frame, wherever it begins.
fn unpacked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for at in memchr::memmem::find_iter(bytes, &[0x1f, 0x8b, 0x08]) {
        let mut plain = Vec::new();
        // A cut member still gives what stands before the cut.
        let _ = flate2::read::GzDecoder::new(&bytes[at..]).take(1 << 28).read_to_end(&mut plain);
        all.push(plain);
    }
    for at in memchr::memmem::find_iter(bytes, &[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut plain = Vec::new();
        if let Ok(decoder) = zstd::stream::read::Decoder::new(&bytes[at..]) {
            let _ = decoder.single_frame().take(1 << 28).read_to_end(&mut plain);
        }
        all.push(plain);
    }
    all.retain(|plain| !plain.is_empty());
    all
}

#[test]
fn every_word_is_found_in_every_disguise() {
    for (what, spellings) in WORDS {
        for word in spellings {
            let base64 = |before: &str| STANDARD_NO_PAD.encode(format!("{before}{word} and more"));
            let gzip = {
                let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                std::io::Write::write_all(&mut packed, format!("some {word} text").as_bytes()).expect("in memory");
                packed.finish().expect("in memory")
            };
            let zstd = zstd::encode_all(format!("some {word} text").as_bytes(), 1).expect("in memory");
            let nested = zstd::encode_all(&[b"\x00\x01", gzip.as_slice()].concat()[..], 1).expect("in memory");
            let texts: [Vec<u8>; 12] = [
                format!("x{word}y").into_bytes(),
                word.to_ascii_uppercase().into_bytes(),
                word.to_ascii_lowercase().into_bytes(),
                format!("q={}&", percent(word)).into_bytes(),
                format!("0x{}ff", hex(word.as_bytes())).into_bytes(),
                base64("").into_bytes(),
                base64("a").into_bytes(),
                base64("ab").into_bytes(),
                word.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                [b"head", gzip.as_slice()].concat(),
                [b"head", zstd.as_slice(), b"tail"].concat(),
                nested,
            ];
            for (at, text) in texts.iter().enumerate() {
                assert!(found_in(text).contains(&what), "{what}, disguise {at}");
            }
        }
    }
}

#[test]
fn a_clean_text_holds_no_word() {
    let clean = r#"{"table":"lab_result","key":"0123456789abcdef0123456789abcdef","row":{"specimen_date":"2023","loinc":"8480-6"}}"#;
    assert!(found_in(clean.as_bytes()).is_empty());
    assert!(found_in(&zstd::encode_all(clean.as_bytes(), 1).expect("in memory")).is_empty());
    assert!(found_in(&(0..=255u8).cycle().take(100_000).collect::<Vec<u8>>()).is_empty());
    assert!(found_in(b"").is_empty());
}

#[test]
fn files_and_their_names_are_searched() {
    let dir = tempfile::tempdir().expect("a directory");
    let below = dir.path().join("a/b");
    std::fs::create_dir_all(&below).expect("a folder");
    assert!(found_below(dir.path()).is_empty());
    std::fs::File::create(below.join("Vandelbrough.txt")).expect("a file");
    let mut file = std::fs::File::create(below.join("log")).expect("a file");
    std::io::Write::write_all(&mut file, patient().as_bytes()).expect("written");
    let found = found_below(dir.path());
    assert_eq!(found.len(), 1 + WORDS.len(), "{found:?}");
}

#[test]
fn the_canary_is_a_patient_that_holds_every_word() {
    let json: serde_json::Value = serde_json::from_str(&patient()).expect("JSON");
    assert_eq!(json["resourceType"], "Patient");
    assert_eq!(found_in(patient().as_bytes()).len(), WORDS.len());
}
