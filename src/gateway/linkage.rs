//! A site's part in a linkage project: the linkage keys of its patients, for the agent; and the agent's answer, for the registry.
//!
//! Who learns what: the agent gets a linkage id and a linkage key of each patient, and finds who is one person. It knows no surrogate of
//! the registry, for the linkage id is made under a purpose of its own. Its groups come back to each site, which alone knows
//! both names of a patient, and gives the registry its own surrogates with a person's token. The token is made of the agent's group with
//! the project's secret, so that agent and registry together cannot join linkage keys to rows without a site.
//!
//! Only whom the registry holds gets a linkage key: who is refused, without consent or not yet sent has none; nor has who was put on an
//! exclusion list or withdrawn just now.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::deidentify::linkage::{Project, Unfit, check_secret};
use crate::deidentify::patient_key;
use crate::fhir::tree::Node;
use crate::platform::database;
use crate::platform::file::{self, Durable, FileError};
use crate::platform::secret::{Secret, equal, hex, hkdf, hmac_sha256, unhex};
use crate::validate;

use super::consent;
use super::counts::Fate;
use super::error::GatewayError;
use super::landed::{Newest, each_landed_of};
use super::ledger::{self, LedgerError};
use super::site::Site;
use super::steps::{self, Bench};
use super::transform::source_key;

/// The policy under which linkage keys may be made: they are made of names, so a data use agreement must stand behind them.
pub const POLICY: &str = "limited-data-set";
/// A file of groups may be this long.
const GROUPS_BYTES: u64 = 256 << 20;
/// Lines go to the disk in pieces of about this size.
const PIECE_BYTES: usize = 1 << 18;

/// Why a site gives nothing to a linkage project.
#[derive(Debug, thiserror::Error)]
pub enum LinkageError {
    #[error(
        "this site works under the policy `{0}`, and linkage keys are made under `limited-data-set` only: \
         they are made of names, and a data use agreement must stand behind them"
    )]
    Policy(String),
    #[error("the project's secret `{path}` is not usable: {what}; the project's sites share one, made by `headwater linkage secret`")]
    Secret { path: String, what: &'static str },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("more than {0} patients: raise `max_patients`")]
    TooMany(usize),
    #[error("nobody has a linkage key: the registry holds no patient of this site who could be encoded; nothing was written")]
    Nobody,
    #[error(
        "the file of groups names nobody of this site: nothing was written. If it should, the ids are of another project, or of \
         before a rotation of the master key: then encode again, and let the agent answer anew"
    )]
    Strangers,
    #[error("the file of groups, line {line}: {what}")]
    Groups { line: usize, what: &'static str },
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl From<LedgerError> for LinkageError {
    fn from(error: LedgerError) -> Self {
        Self::Gateway(error.into())
    }
}

/// What came of the patients.
#[derive(Debug, Default, serde::Serialize)]
pub struct Written {
    /// Patients in the file.
    pub patients: u64,
    /// Patients who are not, by reason.
    #[serde(rename = "leftOut")]
    pub left_out: BTreeMap<String, u64>,
}

/// The secret of a project, whose file only this user can read: what stands in it without the line's end, as clkhash takes it.
/// # Errors: open to others, too short, not random, or a key of this site.
pub fn read_secret(site: &Site, path: &Path) -> Result<Secret, LinkageError> {
    let text = file::read_secret(path)?;
    let secret = Secret::new(text.expose().trim_ascii().to_vec());
    let unusable = |what| LinkageError::Secret {
        path: path.display().to_string(),
        what,
    };
    check_secret(&secret).map_err(unusable)?;
    for own in [site.places.pseudonym_key(), site.places.landing_key()] {
        // A master key may be kept elsewhere.
        match file::read_secret(&own) {
            Ok(own) if equal(own.expose().trim_ascii(), secret.expose()) => {
                return Err(unusable("it is a key of this site, which must not leave it"));
            }
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(secret)
}

/// Writes a linkage id and a linkage key of each patient to `out` (0600), for the agent: one JSON object a line, in the order of
/// ids, which says nothing of the patients. Memory: the finished lines, about 160 bytes for each patient.
/// # Errors: another policy, nobody to write of; nothing is written then.
pub fn encode(site: &Site, project: &Project, secret: &Secret, out: &Path) -> Result<Written, LinkageError> {
    let encoder = project.encoder(secret);
    let mut written = Written::default();
    let mut lines: Vec<([u8; 16], Box<[u8]>)> = Vec::new();
    each_patient(site, |patient, key, why_not| {
        let why = match why_not {
            Some(why) => why.to_owned(),
            None => match project.encode(&encoder, patient) {
                Ok(_) if lines.len() >= site.settings.max_patients => return Err(LinkageError::TooMany(lines.len())),
                Ok(clk) => {
                    lines.push((site.keys.linkage_id(project.name(), key), clk.bytes().into()));
                    return Ok(());
                }
                Err(Unfit { feature, rule }) => format!("feature `{feature}`: {rule}"),
            },
        };
        *written.left_out.entry(why).or_default() += 1;
        Ok(())
    })?;
    if lines.is_empty() {
        return Err(LinkageError::Nobody);
    }
    lines.sort_unstable();
    written.patients = lines.len() as u64;
    let lines = lines.iter().map(|(id, clk)| {
        let clk = STANDARD.encode(clk);
        serde_json::json!({ "id": hex(id), "clk": clk }).to_string()
    });
    write(out, lines)?;
    Ok(written)
}

/// Writes, for the registry, the surrogates of this site's patients whom the agent found elsewhere, with the person's token (0600).
/// `groups` is the agent's answer: `{"id":…,"group":…}` a line, of all sites or of this one; other sites' ids are passed over.
/// # Errors: another policy, a line that is none, a patient in two groups, nobody of this site.
pub fn groups(site: &Site, project: &Project, secret: &Secret, groups: &Path, out: &Path) -> Result<Written, LinkageError> {
    let key = hkdf(secret, &format!("headwater|linkage|person|{}", project.name()));
    let groups = read_groups(groups)?;
    let mut written = Written::default();
    let mut lines = Vec::new();
    each_patient(site, |_, patient, why_not| {
        let Some(group) = groups.get(&site.keys.linkage_id(project.name(), patient)) else {
            return Ok(());
        };
        if let Some(why) = why_not {
            *written.left_out.entry(why.to_owned()).or_default() += 1;
            return Ok(());
        }
        let token = hex(&hmac_sha256(&key, group.as_bytes())[..16]);
        let source = source_key(site, "Patient", patient.trim_start_matches("Patient/"));
        for (table, row) in ledger::rows_of(&database::lock(&site.db), &source)? {
            lines.push(serde_json::json!({ "table": table, "key": row, "person": token }).to_string());
        }
        written.patients += 1;
        Ok(())
    })?;
    if written.patients == 0 && written.left_out.is_empty() {
        return Err(LinkageError::Strangers);
    }
    lines.sort_unstable();
    write(out, lines.into_iter())?;
    Ok(written)
}

/// Calls `take` with the newest state of every landed patient, the patient's key, and why there is nothing to give of them, if so.
fn each_patient(
    site: &Site,
    mut take: impl FnMut(Node<'_, '_>, &str, Option<&str>) -> Result<(), LinkageError>,
) -> Result<(), LinkageError> {
    let policy = site.rules.policy.name();
    if policy != POLICY {
        return Err(LinkageError::Policy(policy.to_owned()));
    }
    let (mut newest, mut bench) = (Newest::of(site)?, Bench::default());
    let blocked = consent::blocked(site)?;
    let mut stopped = None;
    let done = each_landed_of(site, Some("Patient"), &mut newest, |newest, _, block| {
        for (_, line) in steps::lines(1, block) {
            // What is no patient was refused, and counted, by the run that landed it.
            let Ok(root) = bench.read(line, &site.settings.limits) else {
                continue;
            };
            let Some(patient) = patient_key(root) else { continue };
            if !newest.is(root)? {
                continue;
            }
            let known = ledger::known(
                &database::lock(&site.db),
                &source_key(site, "Patient", patient.trim_start_matches("Patient/")),
            )?;
            let why_not = match known {
                _ if blocked.contains(&site.mark(&patient)) => Some("withdrawn, or on an exclusion list"),
                Some(known) if known.fate == Fate::Mapped && !known.rejected => validate::validate(&site.rules.profiles, root)
                    .is_err()
                    .then_some("refused by its profile"),
                _ => Some("not held by the registry"),
            };
            if let Err(error) = take(root, &patient, why_not) {
                stopped = Some(error);
                return Err(GatewayError::Worker);
            }
        }
        Ok(())
    });
    match stopped {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}

/// The agent's answer. A fault names the line, never what stands in it.
fn read_groups(path: &Path) -> Result<HashMap<[u8; 16], String>, LinkageError> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: String,
        group: String,
    }
    let bytes = file::read(path, GROUPS_BYTES)?;
    let mut groups = HashMap::new();
    for (at, line) in steps::lines(1, &bytes) {
        let fault = |what| LinkageError::Groups {
            line: usize::try_from(at).unwrap_or(0),
            what,
        };
        let line: Line = serde_json::from_slice(line).map_err(|_| fault("is not {\"id\":…,\"group\":…}"))?;
        let id = unhex(&line.id).and_then(|id| <[u8; 16]>::try_from(id).ok());
        let id = id.ok_or_else(|| fault("`id` is no linkage id: 32 hex digits"))?;
        if line.group.is_empty() || line.group.len() > 64 {
            return Err(fault("`group` must have 1 to 64 signs"));
        }
        if groups.insert(id, line.group).is_some() {
            return Err(fault("an id is in two groups, and a patient is one person"));
        }
    }
    Ok(groups)
}

fn write(out: &Path, lines: impl Iterator<Item = String>) -> Result<(), FileError> {
    let mut file = Durable::create(out)?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for line in lines {
        piece.extend_from_slice(line.as_bytes());
        piece.push(b'\n');
        if piece.len() >= PIECE_BYTES {
            file.write(&piece)?;
            piece.clear();
        }
    }
    file.write(&piece)?;
    file.finish()
}
