//! Consents that cannot be read, and clocks that go back: in doubt nothing leaves.

use serde_json::json;

use super::{Scene, consent, said};
use crate::house::sync;

#[test]
fn a_consent_that_cannot_be_read_holds_the_night_back_for_it_may_say_no() {
    let scene = Scene::of(2, 61, "safe-harbor");
    scene.says("[consent]\nrequire = \"opt-out\"");
    scene.consents(&[]);
    let path = scene.data.path().join("Consent.ndjson");
    std::fs::write(&path, "{\"resourceType\":\"Consent\",\"id\":\"broken\n").expect("a file");
    let held = sync(&scene.site, &[]);
    assert_eq!(held.status.code(), Some(3), "{}", said(&held));
    assert!(said(&held).contains("it may say no: nothing was sent") && scene.house.rows().is_empty());
    // Mended at the EHR, the next night goes on.
    scene.consents(&[consent("c", &scene.ids[0], "2020-01-01", &json!({"type": "deny"}))]);
    scene.night(&[]);
    assert_eq!(scene.people().1, 1);
}

#[test]
fn what_the_ehr_says_tonight_counts_though_its_clock_went_back() {
    let scene = Scene::of(1, 62, "safe-harbor");
    scene.says("[consent]\nrequire = \"opt-in\"");
    let stamped = |updated: &str, provision: &str| {
        let mut consent = consent("c", &scene.ids[0], "2020-01-01", &json!({"type": provision}));
        consent["provision"]["period"] = json!({"start": "1990-01-01"});
        consent["provision"]["dataPeriod"] = json!({"start": "1990-01-01"});
        consent["meta"] = json!({"lastUpdated": updated});
        consent
    };
    scene.consents(&[stamped("2024-06-01T00:00:00Z", "permit")]);
    scene.night(&[]);
    assert_eq!(scene.people().1, 1);
    // The EHR was restored from a backup, and the patient says no: an older stamp, and the newest word.
    scene.consents(&[stamped("2023-01-01T00:00:00Z", "deny")]);
    scene.night(&["--full", "--accept-deletions"]);
    assert_eq!(scene.people().1, 0);
}
