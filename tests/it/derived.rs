//! Derived rows in whole nights, by the real binary: what the registry holds of a derived table is, after every night, what the
//! offline path derives from the same data, and only what changed was sent for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use headwater::cdm::Cell;
use headwater::map::derive::{Gathered, RunFacts};
use headwater::network::Package;
use serde_json::Value;

use crate::crawl_nights::ask;
use crate::house::{HEADWATER, House, copy, patients, report, sync};
use crate::nights::{killed, sum};

const MODEL: &str = "pcornet-7.0";

/// The bodies of a table's rows at the registry, sorted.
fn bodies(house: &House, table: &str) -> Vec<String> {
    let mut bodies: Vec<String> = house.rows().into_iter().filter(|row| row.0 == table).map(|row| row.3).collect();
    bodies.sort();
    bodies
}

/// What the offline engine derives from the encounters that the registry holds. In a limited data set the days of one person
/// all move alike, so it does not matter whether a row is de-identified before or after it is derived.
fn derived_at_the_registry(house: &House) -> Vec<String> {
    let network = Package::BuiltIn.load(MODEL).expect("the built-in package");
    let (model, derivations) = (&network.model, &network.derivations);
    let (encounter, enrollment) = (model.find("encounter").unwrap(), model.find("enrollment").unwrap());
    let mut gathered = Gathered::default();
    for body in bodies(house, "encounter") {
        let row: Value = serde_json::from_str(&body).expect("JSON");
        let cell = |name: &String| row[name].as_str().map_or(Cell::Null, |text| Cell::Text(text.to_owned().into()));
        let cells: Vec<Cell<'_>> = model.table(encounter).columns.iter().map(|column| cell(&column.name)).collect();
        derivations.gather(encounter, &cells, &mut gathered);
    }
    let mut made = Vec::new();
    let mut each = |row: Result<&headwater::map::Mapped<'_>, (String, &'static str)>| {
        for (table, cells) in row.expect("a good row").rows().iter() {
            let mut out = Vec::new();
            model.table(table).write_json(cells, &mut out);
            made.push(String::from_utf8(out).expect("text"));
        }
        Ok::<_, ()>(())
    };
    let done = derivations.rows_of(model, enrollment, &gathered, &RunFacts::default(), &mut each);
    assert_eq!(done, Ok(()));
    made.sort();
    made
}

/// Days from the first to the last encounter of each patient, as `headwater map` finds them in this folder.
fn spans_offline(house: &House, data: &Path) -> Vec<i64> {
    let out = house.dir.path().join("out");
    let mapped = Command::new(HEADWATER)
        .args(["map", "--model", MODEL, "--data"])
        .arg(data)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the binary runs");
    assert!(mapped.status.success(), "{}", String::from_utf8_lossy(&mapped.stderr));
    let text = std::fs::read_to_string(out.join("enrollment.ndjson")).expect("the derived table");
    spans(text.lines())
}

fn spans<'a>(rows: impl Iterator<Item = &'a str>) -> Vec<i64> {
    let span = |row: &str| {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let day = |name: &str| row[name].as_str().unwrap().parse::<jiff::civil::Date>().expect("a day");
        i64::from((day("enr_end_date") - day("enr_start_date")).get_days())
    };
    let mut spans: Vec<i64> = rows.map(span).collect();
    spans.sort_unstable();
    spans
}

/// That the registry's derived rows are those of its encounters, and of these data.
fn holds(house: &House, data: &Path) -> Vec<String> {
    let held = bodies(house, "enrollment");
    assert_eq!(held, derived_at_the_registry(house));
    assert_eq!(spans(held.iter().map(String::as_str)), spans_offline(house, data));
    held
}

/// The upserts and the tombstones of the derived table, and how many groups were made anew.
fn sent(report: &Value) -> (u64, u64, u64) {
    let number = |side: &str| report["counts"][side]["enrollment"].as_u64().unwrap_or_default();
    let groups = report["counts"]["derived"]["enrollment"]["groups"].as_u64().unwrap_or_default();
    (number("upserts"), number("tombstones"), groups)
}

/// The lines of a type's file by the patient of each, and the file.
fn encounters(folder: &Path) -> (PathBuf, BTreeMap<String, Vec<Value>>) {
    let file = folder.join("Encounter.ndjson");
    let mut of_patients: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in std::fs::read_to_string(&file).expect("encounters").lines() {
        let encounter: Value = serde_json::from_str(line).expect("JSON");
        let patient = encounter["subject"]["reference"].as_str().expect("a patient").to_owned();
        of_patients.entry(patient).or_default().push(encounter);
    }
    (file, of_patients)
}

fn write(file: &Path, of_patients: &BTreeMap<String, Vec<Value>>) {
    let lines: String = of_patients.values().flatten().map(|one| format!("{one}\n")).collect();
    std::fs::write(file, lines).expect("a file");
}

#[test]
fn a_source_row_that_is_added_changed_or_deleted_changes_its_own_group_and_the_last_one_ends_it() {
    let data = patients(6, 83);
    let house = House::of(MODEL, data.path(), |_| {});
    let folder = house.dir.path().join("data");
    copy(data.path(), &folder);
    let site = house.site_of_files("limited-data-set", &folder);
    let first = report(&sync(&site, &[]));
    assert_eq!(sent(&first), (6, 0, 6), "{first}");
    let mut before = holds(&house, &folder);

    let unchanged = report(&sync(&site, &["--full"]));
    assert_eq!(
        (sum(&unchanged, "upserts"), sum(&unchanged, "tombstones"), sent(&unchanged).2),
        (0, 0, 0)
    );

    let (file, mut of_patients) = encounters(&folder);
    let names: Vec<String> = of_patients.keys().cloned().collect();
    let in_year = |encounter: &mut Value, year: &str| {
        for end in ["start", "end"] {
            let moment = encounter["period"][end].as_str().expect("a moment").to_owned();
            encounter["period"][end] = format!("{year}{}", &moment[4..]).into();
        }
    };
    // Changed, added, and one of several deleted; each in one patient.
    in_year(&mut of_patients.get_mut(&names[0]).unwrap()[0], "1996");
    let mut more = of_patients[&names[1]][0].clone();
    more["id"] = "added".into();
    in_year(&mut more, "2028");
    of_patients.get_mut(&names[1]).unwrap().push(more);
    let of_third = of_patients.get_mut(&names[2]).unwrap();
    assert!(of_third.len() > 2);
    of_third.sort_by_key(|one| one["period"]["start"].as_str().unwrap().to_owned());
    of_third.remove(0);
    write(&file, &of_patients);
    let second = report(&sync(&site, &["--full"]));
    assert_eq!(sent(&second), (3, 0, 3), "{second}");
    let after = holds(&house, &folder);
    assert_eq!(after.iter().filter(|row| !before.contains(row)).count(), 3);
    before = after;

    // A change that is none to the derived row sends nothing for it.
    let class = &mut of_patients.get_mut(&names[3]).unwrap()[0]["class"]["code"];
    *class = if *class == "EMER" { "AMB".into() } else { "EMER".into() };
    write(&file, &of_patients);
    let third = report(&sync(&site, &["--full"]));
    assert_eq!((sent(&third).0, sent(&third).1), (0, 0), "{third}");
    assert!(sum(&third, "upserts") > 0, "the encounter itself changed");
    assert_eq!(holds(&house, &folder), before);

    // The last one of a patient.
    of_patients.get_mut(&names[4]).unwrap().clear();
    write(&file, &of_patients);
    let fourth = report(&sync(&site, &["--full", "--accept-deletions"]));
    assert_eq!(sent(&fourth), (0, 1, 1), "{fourth}");
    assert_eq!(fourth["counts"]["derived"]["enrollment"]["ended"], 1);
    assert_eq!(holds(&house, &folder).len(), 5);
    house.close();
}

#[test]
fn after_nights_of_an_ehr_the_derived_rows_are_those_of_a_site_that_begins_now() {
    let data = patients(6, 89);
    let house = House::of(MODEL, data.path(), |_| {});
    let site = house.site("limited-data-set", None);
    ask(&site, "method = \"bulk\"");
    report(&sync(&site, &[]));
    let (mut changed, mut touched) = (0, 0);
    let dump = house.dir.path().join("dump");
    std::fs::create_dir_all(&dump).expect("a folder");
    for _ in 0..4 {
        house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
        let night = report(&sync(&site, &[]));
        changed += sent(&night).0 + sent(&night).1;
        touched += sent(&night).2;
        let world = house.ehr().world();
        for kind in world.kinds() {
            let mut lines = Vec::new();
            world
                .for_each_line(kind, &mut |line| {
                    lines.extend_from_slice(line);
                    lines.push(b'\n');
                })
                .expect("the world is read");
            std::fs::write(dump.join(format!("{kind}.ndjson")), lines).expect("a file");
        }
        holds(&house, &dump);
    }
    assert!(touched < 4 * 6, "the work follows the change: {touched}");
    assert!(
        changed > 0,
        "four days touched no patient's first or last encounter: choose another seed"
    );
    let full = report(&sync(&site, &["--full"]));
    assert_eq!((sum(&full, "upserts"), sum(&full, "tombstones")), (0, 0), "{full}");

    // Another policy makes every row anew; the old ones do not stay.
    let text = std::fs::read_to_string(&site).expect("a site's file");
    std::fs::write(&site, text.replace("limited-data-set", "safe-harbor")).expect("a file");
    let anew = report(&sync(&site, &[]));
    let held = bodies(&house, "enrollment");
    assert_eq!((sent(&anew).0, held.len() as u64), (held.len() as u64, sent(&anew).0));
    assert!(held.iter().all(|row| row.contains("-01-01")), "years only");

    // A package that derives nothing withdraws what was derived, and nothing else.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = house.dir.path().join("package");
    copy(&root.join("profiles"), &package.join("profiles"));
    copy(&root.join("mappings"), &package.join("mappings"));
    std::fs::remove_file(package.join("mappings").join(MODEL).join("derived.toml")).expect("it was there");
    let text = std::fs::read_to_string(&site).expect("a site's file");
    std::fs::write(&site, text.replacen("[site]\n", "[site]\npackage = \"../package\"\n", 1)).expect("a file");
    let none = report(&sync(&site, &[]));
    assert_eq!((sum(&none, "upserts"), sum(&none, "tombstones")), (0, held.len() as u64), "{none}");
    assert!(bodies(&house, "enrollment").is_empty());
    house.close();
}

#[test]
fn a_sync_with_derived_rows_killed_at_any_moment_ends_as_an_undisturbed_one() {
    killed(MODEL, 8, |_| ());
}

#[test]
fn no_group_stands_in_clear_in_the_site_s_database() {
    let data = patients(2, 97);
    let house = House::of(MODEL, data.path(), |_| {});
    let site = house.site("limited-data-set", None);
    report(&sync(&site, &[]));
    let (_, of_patients) = encounters(data.path());
    let db = rusqlite::Connection::open(site.parent().unwrap().join("state/gateway.db")).expect("a database");
    let mut select = db
        .prepare("SELECT source, grp, table_name, sealed FROM derived_share")
        .expect("a table");
    let shares: Vec<Vec<u8>> = select
        .query_map([], |row| {
            let part = |at| row.get_ref(at).map(|value| value.as_bytes().expect("bytes").to_vec());
            Ok([part(0)?, part(1)?, part(2)?, part(3)?].concat())
        })
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows");
    assert!(shares.len() > 2);
    for (patient, encounters) in of_patients {
        let id = patient.trim_start_matches("Patient/").as_bytes();
        let day = &encounters[0]["period"]["start"].as_str().expect("a moment").as_bytes()[..10];
        for share in &shares {
            for word in [id, day] {
                assert!(!share.windows(word.len()).any(|part| part == word));
            }
        }
    }
    house.close();
}
