//! The manifest: what one submission holds and how it was made. One canonical byte form, which is hashed, signed and chained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CHUNK_MAX_BYTES, FORMAT, MANIFEST_MAX_BYTES, SubmissionId, is_model_name, is_sha256_hex, is_site_name, is_word, sha256_hex};

/// The code system of labels that say how data were altered.
pub const LABELS: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const MOST_LABELS: usize = 16;

/// One submission. The order of the fields is the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub site: String,
    /// The submission's id; filled by [`Manifest::seal`].
    pub submission: String,
    /// From 1, without a gap, per site.
    pub sequence: u64,
    /// SHA-256 (hex) of the site's previous manifest; `None` for the first.
    pub previous: Option<String>,
    /// The EHR's time of the run's data, RFC 3339 UTC.
    pub transaction_time: String,
    pub model: String,
    pub model_digest: String,
    pub mapping_digest: String,
    pub policy: String,
    pub policy_digest: String,
    /// Names the pseudonym keys without telling them.
    pub key_fingerprint: String,
    /// What de-identification did to the rows, as FHIR's `meta.security` says it. The rows have no place for a label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<Coding>,
    pub ledger: Ledger,
    /// The chunks, in the order in which they are applied.
    pub output: Vec<Output>,
}

/// A security label: FHIR R4 "Security Labels".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coding {
    pub system: String,
    pub code: String,
}

/// What became of every source resource of the run, and how many rows left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// By resource type.
    pub resources: BTreeMap<String, Tally>,
    /// Rows and tombstones in this submission's chunks.
    pub released: u64,
}

/// `pulled = mapped + excluded + refused`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    pub pulled: u64,
    pub mapped: u64,
    pub excluded: u64,
    pub refused: u64,
}

/// One chunk: rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The table.
    #[serde(rename = "type")]
    pub table: String,
    /// `chunks/<sha256>`, relative to the manifest's own URL.
    pub url: String,
    /// Of the compressed bytes, hex.
    pub sha256: String,
    /// Compressed bytes.
    pub bytes: u64,
    /// Lines: `upserts + tombstones`.
    pub rows: u64,
    pub upserts: u64,
    pub tombstones: u64,
}

/// Why a manifest is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    #[error("manifest: is larger than {MANIFEST_MAX_BYTES} bytes")]
    TooLarge,
    #[error("manifest: is not JSON of this format at line {line} column {column}")]
    Json { line: usize, column: usize },
    #[error("manifest: is not in its canonical form; send the bytes that were signed")]
    NotCanonical,
    #[error("manifest: field `{field}` {fault}")]
    Field { field: String, fault: &'static str },
    #[error("sequence: {given} was sent, {wanted} is next; send the missing submissions first")]
    Sequence { given: u64, wanted: u64 },
    #[error("previous: the manifest does not follow the last one accepted; another copy of this site may be sending")]
    Previous,
}

fn field(name: impl Into<String>, fault: &'static str) -> ManifestFault {
    ManifestFault::Field { field: name.into(), fault }
}

impl Output {
    /// A chunk's entry, its URL made from its name.
    pub fn new(table: &str, sha256: &str, bytes: u64, upserts: u64, tombstones: u64) -> Self {
        Self {
            table: table.to_owned(),
            url: format!("chunks/{sha256}"),
            sha256: sha256.to_owned(),
            bytes,
            rows: upserts + tombstones,
            upserts,
            tombstones,
        }
    }
}

impl Manifest {
    /// Fills `format` and `submission` from the rest: the id names the content, so the same content has the same id.
    /// # Errors: the field that is not as it must be.
    pub fn seal(mut self) -> Result<Self, ManifestFault> {
        FORMAT.clone_into(&mut self.format);
        self.submission = self
            .content_id()
            .ok_or_else(|| field("site", "or `sequence` is out of range"))?
            .to_string();
        self.check()?;
        Ok(self)
    }

    /// The canonical bytes: what is hashed, signed and sent.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers can always be written")
    }

    /// SHA-256 (hex) of the canonical bytes: the next manifest's `previous`.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.bytes())
    }

    fn content_id(&self) -> Option<SubmissionId> {
        let mut content = self.clone();
        content.submission.clear();
        SubmissionId::new(&self.site, self.sequence, &content.sha256())
    }

    /// Reads a manifest from exactly its canonical bytes.
    /// # Errors: what is wrong, by field; never a value.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestFault> {
        if bytes.len() > MANIFEST_MAX_BYTES {
            return Err(ManifestFault::TooLarge);
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| ManifestFault::Json {
            line: error.line(),
            column: error.column(),
        })?;
        if manifest.bytes() != bytes {
            return Err(ManifestFault::NotCanonical);
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether every field is in range, the ledger balances and the id is the content's.
    fn check(&self) -> Result<(), ManifestFault> {
        if self.format != FORMAT {
            return Err(field("format", "is not one this version reads"));
        }
        if !is_site_name(&self.site) {
            return Err(field("site", "is no site name"));
        }
        if self.previous.as_deref().is_some_and(|previous| !is_sha256_hex(previous)) {
            return Err(field("previous", "is no SHA-256"));
        }
        if self.previous.is_none() != (self.sequence == 1) {
            return Err(field("previous", "must be there for all but the first submission"));
        }
        if self.transaction_time.parse::<jiff::Timestamp>().is_err() {
            return Err(field("transactionTime", "is no RFC 3339 time"));
        }
        if !is_model_name(&self.model) {
            return Err(field("model", "is no name"));
        }
        if !is_word(&self.policy) {
            return Err(field("policy", "is no name"));
        }
        for (name, text) in [
            ("modelDigest", &self.model_digest),
            ("mappingDigest", &self.mapping_digest),
            ("policyDigest", &self.policy_digest),
        ] {
            if !is_sha256_hex(text) {
                return Err(field(name, "is no SHA-256"));
            }
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_');
        if !(8..=128).contains(&self.key_fingerprint.len()) || !self.key_fingerprint.bytes().all(fits) {
            return Err(field("keyFingerprint", "is not 8 to 128 letters, digits, `:`, `-` and `_`"));
        }
        self.check_security()?;
        self.check_ledger()?;
        self.check_output()?;
        if self.content_id().map(|id| id.to_string()).as_deref() != Some(self.submission.as_str()) {
            return Err(field("submission", "is not the name of this content"));
        }
        Ok(())
    }

    fn check_security(&self) -> Result<(), ManifestFault> {
        let is_label = |label: &Coding| label.system == LABELS && is_word(&label.code.to_ascii_lowercase());
        if self.security.len() > MOST_LABELS || !self.security.iter().all(is_label) {
            return Err(field("security", "is no short list of codes of v3-ObservationValue"));
        }
        Ok(())
    }

    fn check_ledger(&self) -> Result<(), ManifestFault> {
        for (name, tally) in &self.ledger.resources {
            if !(1..=64).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(field("ledger", "names a resource type that is none"));
            }
            let sum = tally
                .mapped
                .checked_add(tally.excluded)
                .and_then(|sum| sum.checked_add(tally.refused));
            if sum != Some(tally.pulled) {
                return Err(field(
                    format!("ledger.{name}"),
                    "does not balance: pulled = mapped + excluded + refused",
                ));
            }
        }
        Ok(())
    }

    fn check_output(&self) -> Result<(), ManifestFault> {
        let mut released = 0_u64;
        let mut seen = std::collections::HashSet::new();
        for (at, output) in self.output.iter().enumerate() {
            let name = || format!("output[{at}]");
            if !is_word(&output.table) {
                return Err(field(name(), "has a `type` that is no table name"));
            }
            if !is_sha256_hex(&output.sha256) || output.url.strip_prefix("chunks/") != Some(&output.sha256) {
                return Err(field(name(), "has a `url` that is not chunks/ and its `sha256`"));
            }
            if output.bytes == 0 || output.bytes > CHUNK_MAX_BYTES {
                return Err(field(name(), "has `bytes` out of range"));
            }
            if output.upserts.checked_add(output.tombstones) != Some(output.rows) {
                return Err(field(name(), "does not balance: rows = upserts + tombstones"));
            }
            if !seen.insert(&output.sha256) {
                return Err(field(name(), "names a chunk a second time"));
            }
            released = released
                .checked_add(output.rows)
                .ok_or_else(|| field(name(), "has `rows` out of range"))?;
        }
        if released != self.ledger.released {
            return Err(field("ledger.released", "is not the sum of the chunks' rows"));
        }
        Ok(())
    }

    /// Whether this manifest comes right after the last one accepted (its sequence and SHA-256; 0 and `None` when there is none).
    /// # Errors: `Sequence` for a gap or a replay, `Previous` for a fork.
    pub fn verify_chain(&self, last_sequence: u64, last_sha256: Option<&str>) -> Result<(), ManifestFault> {
        let wanted = last_sequence + 1;
        if self.sequence != wanted {
            return Err(ManifestFault::Sequence {
                given: self.sequence,
                wanted,
            });
        }
        if self.previous.as_deref() != last_sha256 {
            return Err(ManifestFault::Previous);
        }
        Ok(())
    }

    /// The run's totals over all resource types.
    pub fn totals(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in self.ledger.resources.values() {
            sum.pulled = sum.pulled.saturating_add(tally.pulled);
            sum.mapped = sum.mapped.saturating_add(tally.mapped);
            sum.excluded = sum.excluded.saturating_add(tally.excluded);
            sum.refused = sum.refused.saturating_add(tally.refused);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let tally = Tally {
            pulled: 4,
            mapped: 2,
            excluded: 1,
            refused: 1,
        };
        Manifest {
            format: String::new(),
            site: "lake".into(),
            submission: String::new(),
            sequence: 1,
            previous: None,
            transaction_time: "2026-01-01T00:00:00Z".into(),
            model: "m".into(),
            model_digest: "0".repeat(64),
            mapping_digest: "1".repeat(64),
            policy: "safe-harbor".into(),
            policy_digest: "2".repeat(64),
            key_fingerprint: "abcdef12".into(),
            security: vec![Coding {
                system: LABELS.into(),
                code: "PSEUDED".into(),
            }],
            ledger: Ledger {
                resources: BTreeMap::from([("Patient".into(), tally)]),
                released: 3,
            },
            output: vec![Output::new("t", &"3".repeat(64), 100, 2, 1)],
        }
    }

    fn refused(change: impl FnOnce(&mut Manifest)) -> String {
        let mut changed = manifest();
        change(&mut changed);
        changed.seal().expect_err("must be refused").to_string()
    }

    #[test]
    fn a_sealed_manifest_reads_back_and_has_the_same_name_each_time() {
        let sealed = manifest().seal().expect("a good manifest");
        assert_eq!(Manifest::read(&sealed.bytes()), Ok(sealed.clone()));
        assert_eq!(manifest().seal().expect("a good manifest").submission, sealed.submission);
        assert!(sealed.submission.starts_with("lake-00000001-"));
    }

    #[test]
    fn a_manifest_without_labels_has_the_bytes_it_always_had_and_a_label_is_a_code_of_its_system() {
        let mut plain = manifest();
        plain.security.clear();
        let bytes = plain.seal().expect("a good manifest").bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("security") && Manifest::read(&bytes).is_ok());
        for (system, code) in [
            (LABELS, "not a code"),
            (LABELS, ""),
            ("http://terminology.hl7.org/CodeSystem/other", "PSEUDED"),
        ] {
            let label = Coding {
                system: system.into(),
                code: code.into(),
            };
            assert!(
                refused(|manifest| manifest.security.push(label)).contains("`security`"),
                "{system} {code}"
            );
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let bytes = manifest().seal().expect("a good manifest").bytes();
        for at in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(Manifest::read(&changed).is_err(), "byte {at} ^ {flip}");
            }
        }
    }

    #[test]
    fn what_does_not_balance_is_refused_by_its_field() {
        assert!(refused(|m| m.ledger.released = 4).contains("`ledger.released`"));
        assert!(refused(|m| m.output[0].rows = 4).contains("`output[0]`"));
        assert!(refused(|m| m.output.push(m.output[0].clone())).contains("`output[1]`"));
        assert!(refused(|m| m.output[0].bytes = CHUNK_MAX_BYTES + 1).contains("`output[0]`"));
        assert!(refused(|m| m.output[0].url = "http://evil/".into()).contains("`output[0]`"));
        assert!(refused(|m| m.ledger.resources.get_mut("Patient").expect("set above").refused = 0).contains("`ledger.Patient`"));
        assert!(refused(|m| m.previous = Some("4".repeat(64))).contains("`previous`"));
        assert!(refused(|m| m.transaction_time = "yesterday".into()).contains("`transactionTime`"));
    }

    #[test]
    fn a_manifest_follows_its_predecessor_only() {
        let first = manifest().seal().expect("a good manifest");
        assert_eq!(first.verify_chain(0, None), Ok(()));
        assert_eq!(
            first.verify_chain(1, Some("x")),
            Err(ManifestFault::Sequence { given: 1, wanted: 2 })
        );
        let mut second = manifest();
        second.sequence = 2;
        second.previous = Some(first.sha256());
        let second = second.seal().expect("a good manifest");
        assert_eq!(second.verify_chain(1, Some(&first.sha256())), Ok(()));
        assert_eq!(second.verify_chain(1, Some(&"0".repeat(64))), Err(ManifestFault::Previous));
        assert_eq!(second.verify_chain(0, None), Err(ManifestFault::Sequence { given: 2, wanted: 1 }));
    }
}
