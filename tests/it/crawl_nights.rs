//! Whole nights by search instead of bulk export, by the real binary: the same rows, nothing mapped twice, and what only the
//! comparison of two whole pulls can tell: deletions, merged patients, an EHR that suddenly shows nothing.

use std::path::Path;

use headwater::gateway::Places;
use headwater::simulate::ehr::Vendor;
use serde_json::Value;

use crate::house::{House, patients, report, sync};
use crate::nights::{sum, total};

/// Changes the section `[ehr]` of a site's file.
pub fn ask(site: &Path, settings: &str) {
    let text = std::fs::read_to_string(site).expect("a site's file");
    let mut table: toml::Table = text.parse().expect("TOML");
    let more: toml::Table = settings.parse().expect("TOML");
    table["ehr"].as_table_mut().expect("a section").extend(more);
    std::fs::write(site, table.to_string()).expect("a file");
}

fn database(site: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(Places::of(&site.parent().expect("a folder").join("state")).database()).expect("the ledger")
}

/// The watermarks of all types.
pub fn marks(site: &Path) -> Vec<(String, String)> {
    let db = database(site);
    let mut statement = db.prepare("SELECT type, since FROM type_watermark ORDER BY 1").expect("a table");
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    found.collect::<Result<_, _>>().expect("rows")
}

/// A site at an Epic, which it crawls.
fn site_at_an_epic(house: &House) -> std::path::PathBuf {
    let site = house.site("limited-data-set", None);
    ask(&site, "vendor = \"epic\"\nmethod = \"search\"");
    site
}

#[test]
fn a_crawled_night_and_an_exported_night_give_the_same_rows() {
    let data = patients(4, 51);
    let exported = House::over(data.path());
    let site = exported.site("limited-data-set", None);
    ask(&site, "method = \"bulk\"");
    let by_bulk = report(&sync(&site, &[]));
    let keys = Places::of(&site.parent().expect("a folder").join("state")).keys();

    let crawled = House::over(data.path());
    let other = crawled.site("limited-data-set", Some(&keys));
    ask(&other, "method = \"search\"");
    let by_search = report(&sync(&other, &[]));
    assert_eq!(by_search["counts"]["upserts"], by_bulk["counts"]["upserts"]);
    assert_eq!(crawled.rows(), exported.rows());
    let day = exported.runtime.block_on(exported.ehr().advance_day()).expect("a day passes");
    let same = crawled.runtime.block_on(crawled.ehr().advance_day()).expect("a day passes");
    assert_eq!((day.edited, day.deleted), (same.edited, same.deleted));
    report(&sync(&site, &["--full"]));
    let second = report(&sync(&other, &["--full"]));
    assert!(sum(&second, "tombstones") > 0, "{second}");
    assert_eq!(crawled.rows(), exported.rows());
    exported.close();
    crawled.close();
}

#[test]
fn an_ehr_without_last_updated_is_pulled_whole_each_night_and_nothing_is_mapped_twice() {
    let data = patients(5, 53);
    let house = House::with(data.path(), |ehr| ehr.vendor = Vendor::Epic);
    let site = site_at_an_epic(&house);
    let first = report(&sync(&site, &[]));
    assert!(sum(&first, "upserts") > 100, "{first}");
    let second = report(&sync(&site, &[]));
    assert_eq!(total(&second, "pulled"), total(&first, "pulled"), "all of it came again");
    assert_eq!(
        total(&second, "unchanged"),
        total(&second, "pulled"),
        "and none of it was looked at again"
    );
    assert_eq!((sum(&second, "upserts"), sum(&second, "tombstones")), (0, 0));
    house.close();
}

#[test]
fn what_an_ehr_without_last_updated_deletes_or_merges_is_withdrawn_by_comparison() {
    let data = patients(8, 57);
    let house = House::with(data.path(), |ehr| ehr.vendor = Vendor::Epic);
    let site = site_at_an_epic(&house);
    report(&sync(&site, &[]));
    let patients_before = house.rows().iter().filter(|row| row.0 == "patient").count();
    let mut merged = 0;
    for _ in 0..3 {
        let day = house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
        assert!(!day.deleted.is_empty());
        merged += usize::from(day.merged.is_some());
        let night = report(&sync(&site, &[]));
        assert!(
            sum(&night, "tombstones") > 0,
            "the deletions show in nothing but what is missing: {night}"
        );
    }
    assert!(merged > 0, "two patients were found to be one");
    let rows = house.rows();
    let people = rows.iter().filter(|row| row.0 == "patient").count();
    assert!(
        people < patients_before + 3,
        "the old record of a merged patient is no second patient"
    );
    // A site that begins now, with the same keys, has the same rows: nothing of what is gone is left.
    let keys = Places::of(&site.parent().expect("a folder").join("state")).keys();
    let ids: Vec<_> = rows.iter().map(|row| (row.0.clone(), row.2.clone())).collect();
    let full = report(&sync(&site, &["--full"]));
    assert_eq!((sum(&full, "upserts"), sum(&full, "tombstones")), (0, 0), "{full}");
    assert_eq!(
        house.rows().iter().map(|row| (row.0.clone(), row.2.clone())).collect::<Vec<_>>(),
        ids
    );
    assert!(keys.exists());
    house.close();
}

#[test]
fn a_backfill_of_some_patients_moves_no_watermark_and_withdraws_nothing() {
    let data = patients(5, 59);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    ask(&site, "method = \"search\"");
    report(&sync(&site, &[]));
    let (before, rows) = (marks(&site), house.rows());
    assert!(before.len() > 5, "each type has its own: {before:?}");
    house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
    let list = house.dir.path().join("some.txt");
    let first = std::fs::read_to_string(data.path().join("Patient.ndjson")).expect("patients");
    let id = serde_json::from_str::<Value>(first.lines().next().expect("a line")).expect("JSON")["id"].clone();
    std::fs::write(&list, format!("# one of them\n{}\n", id.as_str().expect("an id"))).expect("a file");
    let backfill = report(&sync(&site, &["--patients", list.to_str().expect("a path of ours")]));
    assert_eq!(backfill["kind"], "backfill");
    assert_eq!(backfill["counts"]["types"]["Patient"]["pulled"], 1);
    assert_eq!(sum(&backfill, "tombstones"), 0, "who was not asked for is not gone");
    assert_eq!(marks(&site), before);
    assert!(house.rows().len() >= rows.len());
    // The next night still brings all that changed.
    let night = report(&sync(&site, &["--full"]));
    assert!(sum(&night, "upserts") + sum(&night, "tombstones") > 0);
    assert_ne!(marks(&site), before);
    house.close();
}

#[test]
fn an_ehr_that_suddenly_shows_nobody_stops_the_night_for_a_person() {
    let data = patients(6, 61);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    ask(&site, "method = \"bulk\"");
    report(&sync(&site, &[]));
    let rows = house.rows();
    house.ehr().order(headwater::simulate::ehr::Fault::EmptyOutput.into());
    let night = sync(&site, &["--full"]);
    let words = String::from_utf8_lossy(&night.stderr).into_owned();
    assert_eq!(night.status.code(), Some(4), "{words}");
    assert_eq!(house.ehr().fired(headwater::simulate::ehr::Fault::EmptyOutput), 1);
    assert!(words.contains("--accept-deletions"), "{words}");
    assert_eq!(house.rows(), rows, "nothing was withdrawn");
    house.close();
}
