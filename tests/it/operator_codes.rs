//! What a registry's operator does with codes: names them, and counts the rare ones. A network rolls up what few of its patients have: the registry says which codes are common, a ConceptMap of them goes into the
//! policy, and after the next night no rare code stands at the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::house::{HEADWATER, House, Rows, copy, patients, report, sync};

const BELOW: usize = 11;

/// A verb of the registry's operator, in the registry's folder.
fn registry(house: &House, verb: &str, more: &[&str]) -> Output {
    let dir = house.dir.path().join("registry");
    let settings = "listen = \"127.0.0.1:0\"\nlog_origin = \"test.example/log\"\ndata = \"data\"\nkeys = \"keys\"\nmodels = \"profiles\"\n\
        [[accept]]\nmodel = \"ibd-registry\"\npolicies = [\"limited-data-set\"]\n";
    std::fs::write(dir.join("registry.toml"), settings).expect("a file");
    let mut command = Command::new(HEADWATER);
    command.args(["registry", verb]).args(more).arg("--dir").arg(dir);
    command.output().expect("the binary runs")
}

fn codes(house: &House, more: &[&str]) -> Output {
    registry(house, "codes", more)
}

/// The patients of each code of the table, as the rows say it.
fn held(rows: &Rows, table: &str, column: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, _, _, body) in rows.iter().filter(|(of, ..)| of == table) {
        let row: Value = serde_json::from_str(body).expect("JSON");
        if let (Some(code), Some(patient)) = (row[column].as_str(), row["patient_key"].as_str()) {
            held.entry(code.to_owned()).or_default().insert(patient.to_owned());
        }
    }
    held
}

#[test]
fn what_is_rare_at_the_registry_is_rolled_up_by_the_map_of_what_is_common() {
    let data = patients(70, 41);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    report(&sync(&site, &[]));
    let before = held(&house.rows(), "ibd_diagnosis", "source_code");
    let rare: BTreeSet<&String> = before.iter().filter(|(_, who)| who.len() < BELOW).map(|(code, _)| code).collect();
    let common: BTreeSet<&String> = before.keys().filter(|code| !rare.contains(code)).collect();
    assert!(!rare.is_empty() && !common.is_empty(), "the clinic has both: {before:?}");
    let with_rare: BTreeSet<&String> = before
        .iter()
        .filter(|(code, _)| rare.contains(code))
        .flat_map(|(_, who)| who)
        .collect();

    let dir = site.parent().expect("a folder");
    let network = dir.join("network");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["profiles", "mappings"] {
        copy(&root.join(part), &network.join(part));
    }
    let map = network.join("mappings/ibd-registry/concepts/common_diagnosis.json");
    let below = BELOW.to_string();
    let asked = [
        "ibd_diagnosis.source_code",
        "--below",
        &below,
        "--json",
        "--map",
        map.to_str().expect("a path"),
    ];
    let output = codes(&house, &asked);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(figures["common"], common.len());
    assert_eq!(
        (&figures["rare"], &figures["patientsWithRare"]),
        (&rare.len().into(), &with_rare.len().into())
    );
    let told = std::fs::read_to_string(&map).expect("the map");
    assert!(
        rare.iter().all(|code| !told.contains(&format!("\"{code}\""))),
        "no rare code is told"
    );

    let policy = network.join("mappings/ibd-registry/deidentification.toml");
    let text = std::fs::read_to_string(&policy).expect("the policy");
    let at = text.find("[table.ibd_diagnosis]").expect("the table");
    let (head, tail) = text.split_at(at);
    let line = tail.lines().find(|line| line.starts_with("source_code")).expect("the column");
    let rolled = "source_code = { rule = \"roll-up\", by = \"concepts/common_diagnosis.json\", otherwise = \"OTHER\", reason = \"Rare.\" }";
    std::fs::write(&policy, format!("{head}{}", tail.replacen(line, rolled, 1))).expect("a file");
    let text = std::fs::read_to_string(&site).expect("the site's file");
    std::fs::write(&site, text.replacen("[site]\n", "[site]\npackage = \"network\"\n", 1)).expect("a file");
    report(&sync(&site, &[]));
    let after = held(&house.rows(), "ibd_diagnosis", "source_code");
    let expected: BTreeSet<String> = common.into_iter().cloned().chain(["OTHER".to_owned()]).collect();
    assert_eq!(after.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(after["OTHER"].len(), with_rare.len());
    house.close();
}

#[test]
fn a_column_that_tells_of_nobody_or_is_none_is_refused_with_what_to_write() {
    let data = patients(1, 42);
    let house = House::over(data.path());
    for (column, words) in [
        ("ibd_diagnosis", "is not TABLE.COLUMN"),
        ("nothing.code", "no accepted model has a table `nothing`"),
        ("ibd_diagnosis.nothing", "has no column `nothing`"),
        ("site.site_key", "are about no patient"),
    ] {
        let output = codes(&house, &[column]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{column}: {said}");
        assert!(said.contains(words), "{column}: {said}");
    }
    let asked = ["ibd_diagnosis.source_code", "--below", "10", "--map", "map.json"];
    let output = codes(&house, &asked);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ask for --below 11 or more"));
    let output = codes(&house, &["ibd_diagnosis.source_code"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ibd_diagnosis.source_code: 0 codes of 0 patients; 0 of them in fewer than 11 patients, held by 0 patients; 0 of patients have a set of codes that nobody else has\n"
    );
    house.close();
}

#[test]
fn an_export_says_what_codes_are_called_by_terminologies_of_the_registry_s_own() {
    const ICD: &str = "http://hl7.org/fhir/sid/icd-10-cm";
    let data = patients(24, 41);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    report(&sync(&site, &[]));
    let held = held(&house.rows(), "ibd_diagnosis", "source_code");
    let file = house.dir.path().join("icd.json");
    // Nested, as code systems are; one code that stands at the registry has no display.
    let (unnamed, named) = held
        .keys()
        .collect::<Vec<_>>()
        .split_first()
        .map(|(one, rest)| ((*one).clone(), rest.to_vec()))
        .expect("codes");
    let concepts: Vec<Value> = named
        .iter()
        .map(|code| serde_json::json!({"code": code, "display": format!("called \"{code}\"")}))
        .collect();
    let system = serde_json::json!({"resourceType": "CodeSystem", "url": ICD, "concept": [{"code": "all", "concept": concepts}]});
    std::fs::write(&file, system.to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    let asked = ["--table", "ibd_diagnosis", "--terminology", file];
    let display = format!("source_code={ICD}");
    let output = registry(
        &house,
        "export",
        &[&asked[..], &["--format", "ndjson", "--display", &display]].concat(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rows = 0;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let code = row["source_code"].as_str().expect("a code");
        let wanted = (code != unnamed).then(|| Value::from(format!("called \"{code}\"")));
        assert_eq!(row.get("source_code_display"), wanted.as_ref(), "{line}");
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
    // By OMOP's vocabularies, as Athena gives them.
    let athena = house.dir.path().join("athena");
    std::fs::create_dir(&athena).expect("a folder");
    let head = "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tvalid_start_date\tvalid_end_date\tinvalid_reason\n";
    let line = "3000963\tHemoglobin [Mass/volume] in Blood\tMeasurement\tLOINC\tLab Test\tS\t718-7\t19700101\t20991231\t\n";
    std::fs::write(athena.join("CONCEPT.csv"), format!("{head}{line}")).expect("a file");
    let head = "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason\n";
    std::fs::write(athena.join("CONCEPT_RELATIONSHIP.csv"), head).expect("a file");
    let athena = athena.to_str().expect("a path");
    let output = registry(
        &house,
        "export",
        &[
            "--table",
            "lab_result",
            "--format",
            "csv",
            "--terminology",
            athena,
            "--display",
            "loinc=LOINC",
        ],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let hemoglobin = text.lines().find(|line| line.contains(",718-7,")).expect("a hemoglobin");
    assert!(text.lines().next().is_some_and(|head| head.ends_with(",loinc_display")), "{text}");
    assert!(hemoglobin.contains("Hemoglobin [Mass/volume] in Blood"), "{hemoglobin}");
    for (display, words) in [
        ("nothing=LOINC", "has no such column"),
        ("source_code=http://loinc.org", "no terminology has this code system"),
        ("source_code", "say of which code system"),
    ] {
        let output = registry(&house, "export", &[&asked[..], &["--format", "csv", "--display", display]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
    house.close();
}
