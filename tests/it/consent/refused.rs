//! A resource whose rows are of somebody else than its own element says, and which is refused the night that one is withdrawn.

use std::path::Path;
use std::process::Command;

use crate::house::{HEADWATER, House, copy, patients, report, sync};

fn observation(more: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"o1","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],
        "code":{{"coding":[{{"system":"http://loinc.org","code":"29463-7"}}]}},"subject":{{"reference":"Patient/ONE"}},"focus":[{{"reference":"Patient/TWO"}}],
        "effectiveDateTime":"2025-03-01","valueQuantity":{{"value":40,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}{more}}}"#
    )
    .replace('\n', "")
}

#[test]
fn the_old_rows_of_a_refused_resource_do_not_keep_whom_they_name_from_being_withdrawn() {
    let data = patients(2, 91);
    let text = std::fs::read_to_string(data.path().join("Patient.ndjson")).expect("the patients");
    let ids: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    let alone = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(alone.path().join(name), text.replace("ONE", &ids[0]).replace("TWO", &ids[1]));
    write("Patient.ndjson", &text).expect("a file");
    write("Observation.ndjson", &observation("")).expect("a file");
    let house = House::over(alone.path());
    let site = house.site_of_files("safe-harbor", alone.path());
    let network = site.parent().expect("a folder").join("network");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["profiles", "mappings"] {
        copy(&root.join(part), &network.join(part));
    }
    // A network that takes a vital sign's patient from `focus`.
    let view = network.join("mappings/ibd-registry/Observation.vital_sign.json");
    let mapping = std::fs::read_to_string(&view).expect("the view");
    let focus = mapping.replace("\"subject.getReferenceKey(Patient)\"", "\"focus.first().getReferenceKey(Patient)\"");
    assert_ne!(focus, mapping);
    std::fs::write(&view, focus).expect("a file");
    let config = std::fs::read_to_string(&site).expect("the site's file");
    std::fs::write(&site, config.replacen("[site]\n", "[site]\npackage = \"network\"\n", 1)).expect("a file");
    report(&sync(&site, &[]));
    let rows = |table: &str| house.rows().iter().filter(|row| row.0 == table).count();
    assert_eq!((rows("patient"), rows("vital_sign")), (2, 1));

    // Refused alone, it keeps its row; refused when the other is withdrawn, it does not.
    let unknown = r#","modifierExtension":[{"url":"http://example.org/negated","valueBoolean":true}]"#;
    write("Observation.ndjson", &observation(unknown)).expect("a file");
    let night = report(&sync(&site, &["--full"]));
    assert_eq!(night["counts"]["types"]["Observation"]["refused"], 1, "{night:#}");
    assert_eq!((rows("patient"), rows("vital_sign")), (2, 1));
    let withdrawn = Command::new(HEADWATER)
        .args(["withdraw", &ids[1], "--site"])
        .arg(&site)
        .output()
        .expect("the binary runs");
    assert!(withdrawn.status.success(), "{}", String::from_utf8_lossy(&withdrawn.stderr));
    report(&sync(&site, &["--full", "--accept-deletions"]));
    assert_eq!(
        (rows("patient"), rows("vital_sign")),
        (1, 0),
        "nothing of who was withdrawn is left"
    );
    house.close();
}
