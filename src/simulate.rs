//! A hospital that does not exist: a generator of synthetic patients of a pediatric IBD clinic, the changes of its next
//! day, and an EHR that serves any folder of NDJSON over SMART Backend Services and Bulk Data.
//!
//! Demo, tests and benches talk to it over real HTTP. Nothing below floor 8 may import it.
//! The patients are invented: names from syllables, telephone numbers that no one has, the same bytes for the same seed.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::{Date, date};

mod around;
mod assessments;
mod chart;
mod clinic;
mod codes;
mod day;
mod dice;
mod edit;
pub mod ehr;
mod error;
mod files;
mod json;
mod marks;
mod names;
mod observations;
mod person;
mod records;
mod shapes;
mod span;
mod world;

pub use day::{Day, Merge, next_day};
pub use error::SimulateError;
pub use marks::Marks;
pub use world::World;

/// What to generate.
#[derive(Clone, Debug)]
pub struct GeneratorSettings {
    /// How many patients. Memory does not depend on it.
    pub patients: u64,
    /// The same seed gives the same bytes; patient n is the same for any number of patients.
    pub seed: u64,
    /// The last day of the charts; no resource is newer. Default 2026-06-30.
    pub today: Date,
    /// Plant marks into everything that identifies a patient. Default none.
    pub marks: Option<Marks>,
}

impl GeneratorSettings {
    pub fn new(patients: u64, seed: u64) -> Self {
        Self {
            patients,
            seed,
            today: date(2026, 6, 30),
            marks: None,
        }
    }
}

/// What was generated.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Resources by type.
    pub counts: BTreeMap<String, u64>,
    /// Every mark that was planted, and with marks every id of a patient's resources; empty without marks.
    pub marks: Vec<String>,
}

/// Writes synthetic patients as NDJSON, one file `<Type>.ndjson` per resource type, into the existing folder `out`.
pub fn generate(settings: &GeneratorSettings, out: &Path) -> Result<Generated, SimulateError> {
    generate_watched(settings, out, &|_| {})
}

/// Like `generate`; `progress` is told the number of patients written so far, after each of them.
pub fn generate_watched(settings: &GeneratorSettings, out: &Path, progress: &dyn Fn(u64)) -> Result<Generated, SimulateError> {
    let clinic = clinic::Clinic::new(settings.seed);
    let mut files = files::Files::new(out);
    let mut marker = marks::Marker::new(settings.marks.clone());
    clinic.write(date(2015, 1, 5).at(9, 0, 0, 0), &mut files)?;
    for patient in 0..settings.patients {
        let dice = dice::Dice::new(settings.seed, patient + 1);
        chart::Chart::new(&clinic, settings.today, dice, &mut marker, &mut files).write_all(settings.today)?;
        progress(patient + 1);
    }
    Ok(Generated {
        counts: files.finish()?,
        marks: marker.into_planted(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    fn folder(patients: u64, seed: u64, marks: Option<Marks>) -> (tempfile::TempDir, Generated) {
        let out = tempfile::tempdir().unwrap();
        let settings = GeneratorSettings {
            marks,
            ..GeneratorSettings::new(patients, seed)
        };
        let generated = generate(&settings, out.path()).unwrap();
        (out, generated)
    }

    fn read(folder: &Path, kind: &str) -> String {
        std::fs::read_to_string(folder.join(format!("{kind}.ndjson"))).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let ((one, counts), (two, _), (other, _)) = (folder(5, 7, None), folder(5, 7, None), folder(5, 8, None));
        for kind in counts.counts.keys() {
            assert!(read(one.path(), kind) == read(two.path(), kind), "{kind} differs");
        }
        assert!(read(one.path(), "Patient") != read(other.path(), "Patient"));
    }

    #[test]
    fn a_patient_does_not_depend_on_how_many_others_there_are() {
        let ((few, counts), (many, _)) = (folder(5, 7, None), folder(10, 7, None));
        for kind in counts.counts.keys() {
            let (few, many) = (read(few.path(), kind), read(many.path(), kind));
            assert!(many.starts_with(&few), "{kind} of ten does not begin with {kind} of five");
        }
    }

    #[test]
    fn every_mark_stands_in_the_files_and_every_patient_has_some() {
        let (out, generated) = folder(4, 3, Some(Marks::default()));
        let mut all = String::new();
        for kind in generated.counts.keys() {
            all.push_str(&read(out.path(), kind));
        }
        for line in read(out.path(), "DocumentReference").lines() {
            let note: serde_json::Value = serde_json::from_str(line).unwrap();
            let data = note["content"][0]["attachment"]["data"].as_str().unwrap();
            let note = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
            all.push_str(std::str::from_utf8(&note).unwrap());
        }
        for mark in &generated.marks {
            assert!(all.contains(mark.as_str()), "a mark was handed out and not planted");
        }
        for line in read(out.path(), "Patient").lines() {
            assert!(generated.marks.iter().filter(|mark| line.contains(mark.as_str())).count() >= 6);
        }
    }

    fn resources(folder: &Path, kind: &str) -> Vec<serde_json::Value> {
        read(folder, kind).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Types for which US Core has no profile.
    const WITHOUT_PROFILE: [&str; 6] = [
        "AdverseEvent",
        "FamilyMemberHistory",
        "MedicationAdministration",
        "MedicationStatement",
        "ResearchStudy",
        "ResearchSubject",
    ];

    #[test]
    fn every_resource_has_an_id_of_its_own_a_version_and_a_profile_where_us_core_has_one() {
        let (out, generated) = folder(6, 2, None);
        let mut ids = std::collections::BTreeSet::new();
        for kind in generated.counts.keys() {
            for (resource, line) in resources(out.path(), kind).iter().zip(read(out.path(), kind).lines()) {
                assert_eq!(resource["resourceType"], kind.as_str());
                assert!(ids.insert(format!("{kind}/{}", resource["id"].as_str().unwrap())));
                assert_eq!(resource["meta"]["versionId"], "1");
                let updated = resource["meta"]["lastUpdated"].as_str().unwrap();
                assert!(updated < "2026-07-01" && updated.ends_with('Z'));
                let profile = resource["meta"]["profile"][0].as_str();
                assert_eq!(
                    profile.is_some_and(|profile| profile.contains("/us/core/")),
                    !WITHOUT_PROFILE.contains(&kind.as_str()),
                    "{kind}"
                );
                assert_eq!(span::members(line).count(), resource.as_object().unwrap().len());
            }
        }
        for line in generated.counts.keys().flat_map(|kind| resources(out.path(), kind)) {
            for reference in [
                "subject",
                "patient",
                "individual",
                "encounter",
                "medicationReference",
                "requester",
                "recorder",
                "context",
                "request",
                "beneficiary",
                "subscriber",
                "source",
            ] {
                if let Some(target) = line[reference]["reference"].as_str() {
                    assert!(ids.contains(target), "{reference} leads nowhere");
                }
            }
        }
    }

    #[test]
    fn a_clinic_of_sixty_has_all_that_mappings_must_cope_with() {
        let (out, _) = folder(60, 4, None);
        let observations = read(out.path(), "Observation");
        for wanted in [
            r#""comparator":"<""#,
            r#""comparator":">""#,
            r#""code":"85354-9""#,
            r#""code":"mg/dL""#,
            r#""valueInteger":"#,
            r#""code":"pucai""#,
            r#""code":"spcdai""#,
            r#""code":"wpcdai""#,
            r#""code":"severe""#,
            r#""component":["#,
            r#""status":"amended""#,
            r#""note":["#,
        ] {
            assert!(observations.contains(wanted), "no Observation has {wanted}");
        }
        let zeros = regex::Regex::new(r#""value":\d+\.\d*0,"#).unwrap();
        assert!(zeros.is_match(&observations), "no decimal ends with a zero");
        let orders = resources(out.path(), "MedicationRequest");
        let by_reference = orders.iter().filter(|order| order.get("medicationReference").is_some()).count();
        assert!((20..40).contains(&(by_reference * 100 / orders.len())));
        let classes: std::collections::BTreeSet<_> = resources(out.path(), "Encounter")
            .iter()
            .map(|visit| visit["class"]["code"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(classes.into_iter().collect::<Vec<_>>(), ["AMB", "EMER", "IMP"]);
        let patients = resources(out.path(), "Patient");
        let extensions = |name: &str| {
            patients
                .iter()
                .filter(|patient| patient["extension"].to_string().contains(name))
                .count()
        };
        assert_eq!((extensions("us-core-ethnicity"), extensions("us-core-birthsex")), (60, 60));
        assert!((45..60).contains(&extensions("us-core-race")), "somebody's race is not known");
    }

    #[test]
    fn without_marks_none_are_told() {
        let (_, generated) = folder(1, 3, None);
        assert!(generated.marks.is_empty());
    }
}
