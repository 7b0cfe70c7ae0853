//! Keys that change while the EHR goes on trusting the site: hosted by `headwater serve`, or given to a person.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use headwater::platform::http::{HttpSettings, client};
use serde_json::{Value, json};

use super::site::{doctor, headwater};
use crate::house::{HEADWATER, House, patients};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

fn rotate(site: &Path, more: &[&str]) -> String {
    let said = headwater(&[&["keys", "rotate", "--site", text(site)], more].concat());
    assert!(said.status.success(), "{more:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

fn kids(site: &Path) -> Vec<String> {
    let said = headwater(&["keys", "jwks", "--site", text(site)]);
    let set: Value = serde_json::from_slice(&said.stdout).expect("a JWK Set");
    let keys = set["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| {
            assert!(key.get("d").is_none(), "the private half stays");
            key["kid"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// `headwater serve` on a free port, and the address of its set.
fn serve(site: &Path) -> (Child, String) {
    let mut child = Command::new(HEADWATER)
        .args(["serve", "--site", text(site), "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}

#[test]
fn a_hosted_key_is_changed_without_the_ehr_noticing() {
    let data = patients(1, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let (mut server, address) = serve(&site);
    // The EHR is told the address instead of the key.
    let registered: Value = house.runtime.block_on(async {
        let http = client(&HttpSettings::default()).unwrap();
        let answer = http
            .post(house.ehr().registration_url())
            .json(&json!({ "jwks_uri": address }))
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    });
    let file = std::fs::read_to_string(&site).unwrap();
    let old = file.lines().find(|line| line.starts_with("client_id")).unwrap();
    let new = format!("client_id = {}\njwks_url = \"{address}\"", registered["client_id"]);
    std::fs::write(&site, file.replacen(old, &new, 1)).unwrap();
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis), (Some(0), None), "{document:#}");
    assert!(document.to_string().contains("jwks.ok"));

    let before = kids(&site);
    assert!(rotate(&site, &["--algorithm", "rs384"]).contains("is published"));
    let both = kids(&site);
    assert_eq!((before.len(), both.len(), &both[0]), (1, 2, &before[0]), "the old key still signs");
    assert!(rotate(&site, &[]).contains("nothing is due"));
    assert_eq!(doctor(&site).0, Some(0));
    assert!(rotate(&site, &["--activate"]).contains("signs from now on"));
    let after = kids(&site);
    assert_eq!(
        (&after[0], &after[1]),
        (&both[1], &both[0]),
        "the new key signs, the old one is still published"
    );
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis), (Some(0), None), "{document:#}");
    assert!(document.to_string().contains("RS384"), "{document}");
    let listed = headwater(&["keys", "list", "--site", text(&site)]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("signs") && listed.contains("forgotten from"), "{listed}");

    // A server that serves another set than ours is found out.
    std::fs::write(
        site.parent().unwrap().join("state/jwks.json"),
        r#"{"keys":[{"kty":"EC","kid":"other"}]}"#,
    )
    .unwrap();
    let (exit, diagnosis, _) = doctor(&site);
    assert_eq!((exit, diagnosis.as_deref()), (Some(2), Some("jwks.kid-missing")));

    let asked = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert!(server.wait().unwrap().success(), "it ends well when it is asked to");
    // From inside a hospital the address is often not reached: that alone is no failure.
    let (exit, diagnosis, document) = doctor(&site);
    assert!(document.to_string().contains("jwks.unreachable"), "{document:#}");
    assert_eq!(
        (exit, diagnosis.as_deref()),
        (Some(2), Some("token.jwks-not-fetched")),
        "{document:#}"
    );
    house.close();
}

#[test]
fn a_key_that_was_given_to_a_person_signs_when_that_person_says_so() {
    let data = patients(1, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    rotate(&site, &[]);
    assert_eq!(doctor(&site).0, Some(0), "the key that the EHR knows still signs");
    rotate(&site, &["--activate"]);
    // The EHR was not told.
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis.as_deref()), (Some(2), Some("token.key-unknown")), "{document:#}");
    house.close();
}
