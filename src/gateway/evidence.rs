//! What a run proves of what it releases: which rules were at work, what was stopped, that the guard is alive, what is new.
//! Written and synced before the package may leave, and a check that fails holds the package back: a person must decide.
//! Knows the run's counts, the policy and the rows' bytes as they leave; tells counts and names, never a value, a code or an id.
//!
//! One folder for each run, `state/evidence/<run>/`: `evidence.json` is the record, a page is made of it for people. It stays at
//! the site; its digest stands in the run's report. Basis: 45 CFR 164.514(b), 164.514(e), 164.530(j) (documentation).

mod elements;
mod labels;
mod risk;
mod sent;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::error::GatewayError;
use super::journal::Run;
use super::ledger::LedgerError;
use super::report::Report;
use super::site::Site;
use super::steps::Met;
use super::transform::Plan;
use super::validation::Validated;
use crate::deidentify::{Control, Proof, Rule, Violation};
use crate::platform::file::{self, FileError};
use crate::platform::secret::{Secret, hex, hkdf, sha256};

pub(super) use elements::{Elements, SCHEMA, remember};
pub use labels::Label;
pub use risk::{Columns as RiskColumns, Risk, RiskSettings, SCHEMA as RISK_SCHEMA};
pub use sent::{Sent, of as sent};

/// The form of the record.
pub const FORMAT: &str = "headwater-evidence/1";

/// Runs whose evidence is kept, rehearsals too: eight years of nights, about 150 KB each. Six years are asked for, 45 CFR 164.530(j)(2).
const KEPT: usize = 3_000;

/// A record is at most this long.
const MOST_BYTES: u64 = 16 << 20;

/// What a run's threads gathered for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gleaned {
    pub met: Met,
    pub elements: Elements,
}

impl Gleaned {
    pub(super) fn add(&mut self, other: Self) {
        self.met.hits.add(&other.met.hits);
        self.met.tally.merge(other.met.tally);
        self.elements.add(&other.elements);
    }
}

/// Under which policy the rows were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyShown {
    pub name: String,
    pub version: String,
    /// The paragraph of law it is written for.
    pub claims: String,
    pub digest: String,
}

/// What became of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnShown {
    pub table: String,
    pub column: String,
    pub rule: String,
    pub reason: String,
    /// Cells with a value that the rule met in this run.
    pub cells: u64,
    /// Why nothing of it stands in the rows, as FHIR's code system data-absent-reason says it: `masked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_absent_reason: Option<String>,
}

/// A table of which nothing leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub table: String,
    pub reason: String,
    pub rows: u64,
}

/// Resources that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedShown {
    pub step: String,
    /// Of an element, or `table.column`.
    pub path: String,
    pub rule: String,
    pub resources: u64,
}

impl RefusedShown {
    pub fn is_leak(&self) -> bool {
        self.rule.starts_with("leak guard")
    }
}

/// One check of the run; one that failed and that nobody accepted holds the submission back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    /// It did not hold, and a person who was asked let the rows leave all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// What was looked at and found.
    pub found: String,
}

/// The evidence of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub format: String,
    pub headwater: String,
    pub site: String,
    pub network: String,
    pub registry: String,
    pub run: i64,
    pub kind: String,
    pub rehearsed: bool,
    pub made_at: String,
    /// Up to when the EHR's data reach.
    pub transaction_time: String,
    pub policy: PolicyShown,
    pub key_fingerprint: String,
    pub model: String,
    pub model_digest: String,
    pub mapping_digest: String,
    pub counts: Counts,
    pub columns: Vec<ColumnShown>,
    pub withheld: Vec<Withheld>,
    pub refused: Vec<RefusedShown>,
    /// What resources were held to, and what was found.
    #[serde(default)]
    pub validation: Validated,
    pub control: Control,
    /// Rows and cells that were read again as they leave.
    pub rows_read: u64,
    pub cells_read: u64,
    pub violations: Vec<Violation>,
    pub new_elements: Vec<String>,
    /// Members that FHIR R4 does not have; their names are not shown, for they may be values.
    pub unknown_members: u64,
    /// Who could be recognised; none: the model has no table of patients that is known.
    #[serde(default)]
    pub risk: Option<Risk>,
    pub labels: Vec<Label>,
    pub checks: Vec<Check>,
}

impl Evidence {
    /// The checks that hold the submission back.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed && !check.accepted)
    }

    /// The checks that did not hold, and that a person let pass.
    pub fn accepted(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.accepted)
    }

    /// Resources that the leak guard stopped.
    pub fn leaks(&self) -> impl Iterator<Item = &RefusedShown> {
        self.refused.iter().filter(|refused| refused.is_leak())
    }
}

/// All that the run proves. `proof` has read the rows; `accept_risk`: a person lets patients in small groups leave.
/// # Errors: the database.
pub(super) fn gather(
    plan: &Plan<'_>,
    run: &Run,
    db: &Connection,
    report: &Report,
    (gleaned, accept_risk): (&Gleaned, bool),
    proof: Proof<'_>,
) -> Result<Evidence, GatewayError> {
    let site = plan.site;
    let (rules, by) = (&site.rules, &plan.deidentifier);
    let policy = by.policy();
    let (rows_read, cells_read, violations) = proof.finish();
    let reasons = policy.columns().map(|(.., reason)| reason);
    let columns: Vec<ColumnShown> = gleaned
        .met
        .hits
        .rows(policy)
        .zip(reasons)
        .map(|((table, column, rule, cells), reason)| ColumnShown {
            table: table.to_owned(),
            column: column.to_owned(),
            rule: rule.as_str().to_owned(),
            reason: reason.to_owned(),
            cells,
            data_absent_reason: (rule == Rule::Drop).then(|| "masked".to_owned()),
        })
        .collect();
    let counts = report.counts.clone();
    let withheld = policy.withheld().map(|(table, reason)| Withheld {
        table: table.to_owned(),
        reason: reason.to_owned(),
        rows: counts.withheld.get(table).copied().unwrap_or(0),
    });
    let control = by.control();
    let mut evidence = Evidence {
        format: FORMAT.to_owned(),
        headwater: env!("CARGO_PKG_VERSION").to_owned(),
        site: site.settings.name.clone(),
        network: site.settings.network.clone(),
        registry: site.settings.registry.base.clone(),
        run: run.id,
        kind: report.kind.clone(),
        rehearsed: report.rehearsed,
        made_at: site.tools.clock.now().to_string(),
        transaction_time: run.transaction_time.map(|time| time.to_string()).unwrap_or_default(),
        policy: PolicyShown {
            name: policy.name().to_owned(),
            version: policy.version().to_owned(),
            claims: policy.claims().to_owned(),
            digest: policy.digest_hex(),
        },
        key_fingerprint: by.keys().fingerprint().to_owned(),
        model: rules.model.name.clone(),
        model_digest: rules.model_digest.clone(),
        mapping_digest: rules.mapping_digest.clone(),
        labels: labels::of(&columns),
        columns,
        withheld: withheld.collect(),
        refused: refused(db, run.id).map_err(LedgerError::from)?,
        validation: Validated::of(rules, &gleaned.met.tally),
        control,
        rows_read,
        cells_read,
        violations,
        new_elements: gleaned.elements.new_in(db, run.id).map_err(LedgerError::from)?,
        unknown_members: gleaned.elements.unknown(),
        risk: risk_of(site, db)?.map(|risk| risk.accepted_by(accept_risk)),
        counts,
        checks: Vec::new(),
    };
    evidence.checks = checks(&evidence);
    Ok(evidence)
}

/// What must hold of every release.
fn checks(evidence: &Evidence) -> Vec<Check> {
    let check = |name: &str, passed, found: String| Check {
        name: name.to_owned(),
        passed,
        accepted: false,
        found,
    };
    let Evidence {
        control,
        violations,
        counts,
        ..
    } = evidence;
    let wrong: u64 = violations.iter().map(|violation| violation.rows).sum();
    let kept_back = evidence
        .withheld
        .iter()
        .find(|withheld| counts.upserts.contains_key(&withheld.table));
    let mut checks = vec![
        check(
            "the leak guard stops planted identifiers",
            control.holds(),
            format!(
                "{} of {} planted identifiers stopped, {} of {} harmless codes let through",
                control.caught(),
                control.planted(),
                control.passed,
                control.harmless
            ),
        ),
        check(
            "every row was read again as it leaves",
            evidence.rows_read == counts.released(),
            format!("{} of {} rows", evidence.rows_read, counts.released()),
        ),
        check(
            "no row holds what its policy does not release",
            wrong == 0,
            format!("{wrong} rows with a fault, {} cells read", evidence.cells_read),
        ),
        check(
            "nothing leaves of tables that are kept here",
            kept_back.is_none(),
            kept_back.map_or_else(
                || format!("{} tables kept", evidence.withheld.len()),
                |withheld| format!("rows of `{}`", withheld.table),
            ),
        ),
        check(
            "every resource is accounted for",
            counts.resources_balance() && counts.derived_balance(),
            "pulled = mapped + excluded + refused, type by type".to_owned(),
        ),
    ];
    if let Some(risk) = evidence.risk.as_ref().filter(|risk| risk.blocks) {
        let (found, all) = (&risk.release, &risk.cumulative);
        let small = check(
            &format!(
                "every patient is one of {} or more who are alike, of those whose row leaves",
                risk.k
            ),
            risk.released_below_k == 0,
            format!(
                "{} of {} in smaller groups among the {} of the registry{}",
                risk.released_below_k,
                found.patients,
                all.patients,
                match (risk.released_below_k, risk.accepted) {
                    (0, _) => "",
                    (_, true) => "; a person let them leave in this run (--accept-risk)",
                    (_, false) =>
                        "; `[risk]` in site.toml asks for it; whoever answers for it may let them leave with `headwater sync --accept-risk`",
                }
            ),
        );
        checks.push(Check {
            accepted: risk.accepted,
            ..small
        });
    }
    checks
}

fn risk_of(site: &Site, db: &Connection) -> Result<Option<Risk>, GatewayError> {
    let settings = &site.settings.risk;
    let columns = RiskColumns::of(&site.rules.model, &site.rules.policy, settings).map_err(GatewayError::Risk)?;
    let figures = columns.map(|by| risk::figures(db, &by, &class_key(site), settings));
    Ok(figures.transpose().map_err(LedgerError::from)?)
}

/// Hashes combinations of quasi-identifiers; of this site alone.
fn class_key(site: &Site) -> Secret {
    hkdf(&site.person_key, "headwater|evidence|risk")
}

/// The registry holds what was pending, but for what it rejected (`table`, `key`): so do the figures. In the transaction that
/// moves the ledger, and before it.
/// # Errors: the database; settings that do not fit the model.
pub(super) fn acknowledge<'r>(
    site: &Site,
    tx: &rusqlite::Transaction<'_>,
    rejected: impl Iterator<Item = (&'r str, &'r str)>,
) -> Result<(), GatewayError> {
    let columns = RiskColumns::of(&site.rules.model, &site.rules.policy, &site.settings.risk).map_err(GatewayError::Risk)?;
    if let Some(by) = columns {
        risk::acknowledge(tx, &by, &class_key(site), rejected).map_err(LedgerError::from)?;
    }
    Ok(())
}

fn refused(db: &Connection, run: i64) -> rusqlite::Result<Vec<RefusedShown>> {
    let mut statement =
        db.prepare("SELECT step, path, rule, count(*) FROM quarantine WHERE run = ?1 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3")?;
    let found = statement.query_map([run], |row| {
        Ok(RefusedShown {
            step: row.get(0)?,
            path: row.get(1)?,
            rule: row.get(2)?,
            resources: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    })?;
    found.collect()
}

/// Where a run's evidence lies.
pub fn folder(all: &Path, run: i64) -> PathBuf {
    all.join(run.to_string())
}

/// Writes the record, durably, and gives its digest. The oldest ones make room.
/// # Errors: the disk; `Evidence` where a check failed: it is written then, too.
pub(super) fn write(all: &Path, evidence: &Evidence) -> Result<String, GatewayError> {
    let folder = folder(all, evidence.run);
    file::create_dir_private(all)?;
    file::create_dir_private(&folder)?;
    let path = folder.join("evidence.json");
    let json = serde_json::to_vec_pretty(evidence).unwrap_or_default();
    file::write_durable(&path, &json)?;
    forget(all);
    let failed: Vec<String> = evidence.failed().map(|check| format!("{}: {}", check.name, check.found)).collect();
    if !failed.is_empty() {
        return Err(GatewayError::Evidence { failed, path });
    }
    Ok(hex(&sha256(&json)))
}

/// Runs with evidence, the newest first.
pub fn runs(all: &Path) -> Vec<i64> {
    let entries = std::fs::read_dir(all).into_iter().flatten().flatten();
    let mut runs: Vec<i64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    runs
}

/// The evidence of a run.
/// # Errors: no such record, or one that is not ours.
pub fn read(all: &Path, run: i64) -> Result<Evidence, EvidenceError> {
    let path = folder(all, run).join("evidence.json");
    let text = file::read(&path, MOST_BYTES)?;
    serde_json::from_slice(&text).map_err(|_| EvidenceError::Unreadable(path))
}

/// SHA-256 of the record as it lies there.
/// # Errors: no such record.
pub fn digest(all: &Path, run: i64) -> Result<String, EvidenceError> {
    let path = folder(all, run).join("evidence.json");
    Ok(hex(&sha256(&file::read(&path, MOST_BYTES)?)))
}

/// Why evidence cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("the evidence of this run could not be read")]
    File(#[from] FileError),
    #[error("`{0}` is no evidence of this version: it was changed or cut; restore state/ from its backup")]
    Unreadable(PathBuf),
}

/// What cannot be removed now is removed after the next run.
fn forget(all: &Path) {
    for run in runs(all).into_iter().skip(KEPT) {
        let _ = std::fs::remove_dir_all(folder(all, run));
    }
}

#[cfg(test)]
mod tests;
