//! One changed byte anywhere on the way of a real night is refused: in each file that waits in the site's outbox, and in
//! each file of the log that the registry published. Made by the real binary; `receive/tamper.rs` does the same to what
//! stands on the wire and in the registry's drop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater::audit::{Vkey, verify_dir, verify_proof};
use headwater::config;
use headwater::gateway::Places;
use headwater::platform::backend_services::ClientKey;
use headwater::platform::clock::Clock;
use headwater::platform::http::{HttpSettings, client};
use headwater::submit::{LinkSettings, Package, RegistryLink, SubmitError, submit};

use crate::house::{House, patients, report, sync};

/// Does `check` with one bit of the file changed: at every byte, or where there are more than `most` spread over all of it.
/// The file is whole again afterwards. The number of changes tried.
fn with_each_change(file: &Path, most: usize, mut check: impl FnMut(usize)) -> usize {
    let whole = std::fs::read(file).expect("a file of this test");
    let mut tried = 0;
    for at in (0..whole.len()).step_by(whole.len().div_ceil(most).max(1)) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(file, changed).expect("a file of this test");
        check(at);
        tried += 1;
    }
    std::fs::write(file, whole).expect("a file of this test");
    tried
}

/// A site whose night ended in the outbox, because its registry was down; the registry is back.
fn waiting(house: &mut House) -> PathBuf {
    let site = house.site("limited-data-set", None);
    let port = house.stop_registry();
    assert_eq!(sync(&site, &[]).status.code(), Some(3), "the run ends before the registry");
    house.open_registry_as(port, &["limited-data-set"], |_, text| text.to_owned());
    site
}

/// Delivers what lies in the outbox as a run does, without the ledger around it.
async fn deliver(outbox: &Path, link: &RegistryLink, vkey: &Vkey) -> Result<(), SubmitError> {
    let package = Package::open(outbox)?.expect("a package waits");
    let prove = |entry: &[u8], proof: &str| verify_proof(vkey, entry, proof).map(drop).map_err(|error| error.to_string());
    submit(link, &package, &prove, &|_| ()).await.map(drop)
}

#[test]
fn one_changed_byte_of_a_chunk_a_manifest_a_log_entry_or_a_checkpoint_is_refused() {
    let data = patients(1, 37);
    let mut house = House::over(data.path());
    let site = waiting(&mut house);
    let settings = config::load(&site).expect("the site's own settings");
    let link = settings.registry.expect("the site is enrolled");
    let vkey = Vkey::parse(&link.log_vkey).expect("the pinned key");
    let state = Places::of(&settings.state);
    let outbox = state.outbox(1);
    let link = RegistryLink::new(
        LinkSettings {
            base: link.base.clone(),
            site: settings.name.clone(),
            client_id: link.client_id.clone(),
            longest_wait: Duration::from_secs(60),
        },
        ClientKey::from_file(&state.registry_key()).expect("the site's key"),
        client(&HttpSettings::default()).expect("a client"),
        Clock::system(),
    )
    .expect("a link");

    // Chunks in the order they are sent: one that arrived whole is not sent again, so changing it later would harm nobody.
    let package = Package::open(&outbox).expect("readable").expect("a package waits");
    let chunks: Vec<PathBuf> = package.manifest().output.iter().map(|output| outbox.join(&output.sha256)).collect();
    assert!(chunks.len() >= 5, "{} chunks", chunks.len());
    let mut tried = 0;
    // A changed chunk costs a walk to the registry, a changed manifest or signature is cheap.
    let rest = ["manifest.json", "manifest.sig"].map(|name| (outbox.join(name), usize::MAX));
    for (file, most) in chunks.into_iter().map(|chunk| (chunk, 60)).chain(rest) {
        let name = file.file_name().expect("a name").display().to_string();
        let mut first = true;
        tried += with_each_change(&file, most, |at| {
            let refused = house.runtime.block_on(deliver(&outbox, &link, &vkey));
            assert!(refused.is_err(), "{name}: byte {at} changed, and it was delivered");
            if std::mem::take(&mut first) {
                assert!(
                    !sync(&site, &[]).status.success(),
                    "{name}: byte {at} changed, and the run was green"
                );
            }
        });
        assert!(house.rows().is_empty(), "{name}: rows came of it");
    }
    assert!(tried > 1000, "only {tried} changes were tried");

    // Whole again, it is delivered: nothing of the above was refused for another reason, and nothing for ever.
    let done = report(&sync(&site, &[]));
    assert_eq!(done["counts"]["accepted"].as_u64(), Some(house.rows().len() as u64));
    assert!(!house.rows().is_empty());

    every_change_of_the_log_is_seen(&mut house, &vkey);
    house.close();
}

fn every_change_of_the_log_is_seen(house: &mut House, vkey: &Vkey) {
    let log = house.registry().registry().log_dir().to_owned();
    house.stop_registry();
    let whole = verify_dir(vkey, &log, None).expect("the log as it was published");
    assert!(
        whole.entries >= 4,
        "site added, keys enrolled, submission refused, submission accepted"
    );
    let mut kinds = [false; 3];
    let mut folders = vec![log.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the log") {
            let file = entry.expect("an entry").path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let name = file.strip_prefix(&log).expect("below it").display().to_string();
            // The key is not taken from the log: the site pinned it.
            if name == "vkey" {
                continue;
            }
            for (kind, start) in kinds.iter_mut().zip(["checkpoint", "tile/entries/", "tile/0/"]) {
                *kind |= name.starts_with(start);
            }
            with_each_change(&file, usize::MAX, |at| {
                assert!(verify_dir(vkey, &log, None).is_err(), "{name}: byte {at} changed and unseen");
            });
        }
    }
    assert_eq!(kinds, [true; 3], "checkpoint, entries and hashes were there to be changed");
    assert_eq!(verify_dir(vkey, &log, None).expect("whole again"), whole);
}
