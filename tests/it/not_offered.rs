//! Nights at an EHR that does not offer a type: green, without a word to it of that type, and nothing is withdrawn for it;
//! when it offers the type, all of it comes.

use std::path::Path;

use headwater::simulate::ehr::Misconfiguration;
use serde_json::Value;

use crate::crawl_nights::{ask, marks};
use crate::house::{House, Rows, patients, report, sync};
use crate::nights::sum;

const PLANTED: Misconfiguration = Misconfiguration::TypeNotOffered;

fn diagnoses(house: &House) -> Rows {
    house.rows().into_iter().filter(|row| row.0 == "ibd_diagnosis").collect()
}

fn mark(site: &Path) -> Option<String> {
    marks(site)
        .into_iter()
        .find(|(name, _)| name == "Condition")
        .map(|(_, since)| since)
}

/// That a night went well without Conditions.
fn went_without(night: &Value) {
    assert_eq!(
        (&night["complete"], &night["problems"]),
        (&true.into(), &Value::Array(Vec::new())),
        "{night}"
    );
    assert_eq!(
        night["not_offered"],
        serde_json::json!({"Condition": ["comorbidity", "ibd_diagnosis"]})
    );
    assert!(night["counts"]["types"].get("Condition").is_none(), "{night}");
    assert!(night["counts"]["tombstones"].get("ibd_diagnosis").is_none(), "{night}");
}

#[test]
fn a_type_that_is_offered_no_more_keeps_its_rows_and_its_watermark_until_it_is_again() {
    for method in ["bulk", "search", "planned"] {
        let data = patients(6, 71);
        let house = House::over(data.path());
        let site = house.site("limited-data-set", None);
        ask(&site, &format!("method = \"{method}\""));
        let first = report(&sync(&site, &[]));
        assert_eq!(first["not_offered"], serde_json::json!({}));
        let (before, reached) = (diagnoses(&house), mark(&site));
        assert!(!before.is_empty() && reached.is_some());

        house.ehr().plant(PLANTED);
        let asked = house.ehr().seen().len();
        for more in [&[][..], &["--full"]] {
            house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
            let night = report(&sync(&site, more));
            went_without(&night);
            assert!(sum(&night, "upserts") > 0, "the other types go on: {night}");
            assert_eq!((diagnoses(&house), mark(&site)), (before.clone(), reached.clone()), "{method}");
        }
        let of_type = |seen: &headwater::simulate::ehr::Seen| seen.path.contains("Condition");
        assert!(!house.ehr().seen()[asked..].iter().any(of_type), "{method}");
        assert!(house.ehr().fired_misconfiguration(PLANTED) > 0);

        house.ehr().mend(PLANTED);
        let night = report(&sync(&site, &[]));
        assert_eq!((&night["complete"], &night["not_offered"]), (&true.into(), &serde_json::json!({})));
        assert_ne!(mark(&site), reached, "{method}");
        assert_ne!(diagnoses(&house), before, "what changed meanwhile came");
        // Whoever pulls everything has nothing to add.
        let full = report(&sync(&site, &["--full"]));
        assert_eq!((sum(&full, "upserts"), sum(&full, "tombstones")), (0, 0), "{method}: {full}");
        house.close();
    }
}

#[test]
fn a_type_that_is_offered_for_the_first_time_comes_whole() {
    let data = patients(5, 73);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    house.ehr().plant(PLANTED);
    went_without(&report(&sync(&site, &[])));
    assert!(diagnoses(&house).is_empty() && mark(&site).is_none());
    house.ehr().mend(PLANTED);
    let night = report(&sync(&site, &[]));
    assert!(night["counts"]["upserts"]["ibd_diagnosis"].as_u64().expect("rows") > 0, "{night}");
    let full = report(&sync(&site, &["--full"]));
    assert_eq!((sum(&full, "upserts"), sum(&full, "tombstones")), (0, 0), "{full}");
    house.close();
}

#[test]
fn an_export_that_refuses_a_listed_type_ends_with_its_name() {
    let data = patients(1, 79);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    ask(&site, "method = \"bulk\"");
    house.ehr().plant(Misconfiguration::TypeNotExported);
    let night = sync(&site, &[]);
    let told = String::from_utf8_lossy(&night.stderr).into_owned();
    assert_eq!(night.status.code(), Some(2), "{told}");
    assert!(told.contains("it names Condition"), "{told}");
    assert!(house.ehr().fired_misconfiguration(Misconfiguration::TypeNotExported) > 0);
    house.close();
}
