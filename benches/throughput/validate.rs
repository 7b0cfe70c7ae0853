//! The profiles that lines are held to: a network's own, and US Core as HL7 ships it, with the time it takes to compile.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use headwater::fhir::value_set::ValueSets;
use headwater::validate::{Definition, Options, Profiles};

/// Name and text.
type File = (String, String);

/// Those of `profiles/fhir`.
pub fn own() -> Profiles {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/fhir"));
    let files = std::fs::read_dir(folder).expect("our profiles are there").map(|entry| {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a profile is text");
        (path.display().to_string(), text)
    });
    Profiles::load(&files.collect::<Vec<File>>()).expect("our profiles are sound")
}

/// US Core 6.1.0, every profile held to the resources of its type that are not of a narrower one; none where it is not shared.
pub fn us_core() -> Option<Profiles> {
    let shared = std::env::var("HEADWATER_SHARED").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").to_owned());
    let package = Path::new(&shared).join("data/us-core/hl7.fhir.us.core-6.1.0.tgz");
    let files = entries(&std::fs::read(package).ok()?);
    let is = |file: &&File, kind: &str| {
        file.1.contains(&format!("\"resourceType\" : \"{kind}\"")) || file.1.contains(&format!("\"resourceType\":\"{kind}\""))
    };
    let terminology: Vec<File> = files
        .iter()
        .filter(|file| is(file, "ValueSet") || is(file, "CodeSystem"))
        .cloned()
        .collect();
    let definitions = files.iter().filter(|file| is(file, "StructureDefinition"));
    let definitions: Vec<Definition<'_>> = definitions.map(|(file, json)| Definition { file, json, own: false }).collect();
    let core = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-";
    let names = [
        "patient",
        "encounter",
        "condition-encounter-diagnosis",
        "procedure",
        "medicationrequest",
        "immunization",
        "observation-clinical-result",
    ];
    let options = Options {
        asked: names.iter().map(|name| format!("{core}{name}")).collect(),
        ..Options::default()
    };
    let start = Instant::now();
    let (sets, _) = ValueSets::with_packages(&[], terminology);
    let (profiles, _) = Profiles::compile(&definitions, &Arc::new(sets), &options);
    println!("US Core 6.1.0: {} profiles compiled in {:?}", profiles.len(), start.elapsed());
    Some(profiles)
}

/// The files of a gzip tar, by its headers of 512 bytes.
fn entries(package: &[u8]) -> Vec<File> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(package)
        .read_to_end(&mut tar)
        .expect("the package is gzip");
    let mut files = Vec::new();
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512).filter(|header| header[0] != 0) {
        let text = |from: usize, len: usize| {
            let field = &header[from..from + len];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(len);
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 12), 8).expect("a size");
        let content = &tar[at + 512..at + 512 + size];
        if let Ok(content) = std::str::from_utf8(content) {
            files.push((text(0, 100), content.to_owned()));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    files
}
