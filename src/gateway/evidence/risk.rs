//! Who could be recognised by what leaves: how many patients share each combination of quasi-identifiers, in this release and
//! in all that the registry holds. A combination is kept as a keyed hash; its values stand nowhere here.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::cdm::Model;
use crate::deidentify::{Anonymity, Policy, Rule};
use crate::platform::secret::{Secret, hmac_sha256, sha256};

/// The combination of each patient whose row the registry holds.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS risk_class (
    row_key TEXT PRIMARY KEY,
    columns BLOB NOT NULL,           -- digest of the columns it was made of
    class BLOB NOT NULL              -- keyed hash
) STRICT, WITHOUT ROWID;
";

/// The tables with one row per patient that we know quasi-identifiers of. Columns that a model lacks are left out.
const DEFAULTS: [(&str, &[&str]); 3] = [
    ("patient", &["birth_year", "sex_at_birth", "zip3", "race_omb", "ethnicity_omb"]),
    ("demographic", &["birth_date", "sex", "hispanic", "race"]),
    (
        "person",
        &["year_of_birth", "gender_concept_id", "race_concept_id", "ethnicity_concept_id"],
    ),
];

/// `[risk]` of `site.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSettings {
    /// The smallest class that is no finding. 11: with it nobody stands in a cell of 1 to 10, the cells CMS never shows.
    pub k: u64,
    /// Whether a smaller class stops the submission, or is told only.
    pub blocks: bool,
    /// `table.column`, all of one table with one row per patient; empty: those we know of the model.
    pub quasi_identifiers: Vec<String>,
}

impl Default for RiskSettings {
    fn default() -> Self {
        Self {
            k: 11,
            blocks: false,
            quasi_identifiers: Vec::new(),
        }
    }
}

/// The figures of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    pub k: u64,
    pub blocks: bool,
    pub quasi_identifiers: Vec<String>,
    /// Over the patients whose row leaves in this run.
    pub release: Anonymity,
    /// Over all patients the registry holds once this run is taken.
    pub cumulative: Anonymity,
    /// Patients whose row leaves in this run and whose class, among all that the registry then holds, is smaller than k: what is
    /// held back where `blocks`. A withdrawal, or a night about patients who are many, is not.
    pub released_below_k: u64,
    /// A person let these leave in this run.
    #[serde(default)]
    pub accepted: bool,
    /// Patients the registry holds whose combination is not known here: released before figures were kept, or by other columns.
    pub not_known: u64,
}

impl Risk {
    /// The same, when a person has been asked: only of a night that would be held back.
    #[must_use]
    pub(super) fn accepted_by(self, person: bool) -> Self {
        Self {
            accepted: person && self.blocks && self.released_below_k > 0,
            ..self
        }
    }
}

/// The table and columns whose combinations count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    table: String,
    columns: Vec<String>,
    digest: [u8; 32],
}

impl Columns {
    /// `None`: the model has no table of patients that we know, and none is named.
    /// # Errors: a name that is no column, a table with more than one row per patient, a column that does not leave.
    pub fn of(model: &Model, policy: &Policy, settings: &RiskSettings) -> Result<Option<Self>, String> {
        let leaves = |table: &str, column: &str| {
            let dropped = |(of, name, rule, _): (&str, &str, Rule, &str)| of == table && name == column && rule == Rule::Drop;
            !policy.columns().any(dropped) && !policy.withheld().any(|(withheld, _)| withheld == table)
        };
        if settings.quasi_identifiers.is_empty() {
            let known = DEFAULTS.iter().find_map(|(name, columns)| Some((name, columns, model.find(name)?)));
            return Ok(known.map(|(name, columns, id)| {
                let has = |column: &&&str| model.table(id).column(column).is_some() && leaves(name, column);
                Self::new(name, columns.iter().filter(has).map(|column| (*column).to_owned()).collect())
            }));
        }
        let mut table = None::<&str>;
        let mut columns = Vec::new();
        for place in &settings.quasi_identifiers {
            let (name, column) = place.split_once('.').ok_or_else(|| format!("`{place}` is not `table.column`"))?;
            let found = model.find(name).map(|id| model.table(id));
            let found = found.filter(|found| found.column(column).is_some());
            let found = found.ok_or_else(|| format!("`{place}` is no column of the model"))?;
            if found.patient != Some(found.key) {
                return Err(format!(
                    "`{name}` has more than one row per patient; name columns of a table that has one"
                ));
            }
            if !leaves(name, column) {
                return Err(format!(
                    "`{place}` does not leave under this policy, so nobody is recognised by it; take it out"
                ));
            }
            if table.is_some_and(|before| before != name) {
                return Err(format!("`{place}` is of another table than the others; name columns of one table"));
            }
            table = Some(name);
            columns.push(column.to_owned());
        }
        Ok(table.map(|table| Self::new(table, columns)))
    }

    fn new(table: &str, columns: Vec<String>) -> Self {
        let digest = sha256(format!("{table}\n{}", columns.join("\n")).as_bytes());
        Self {
            table: table.to_owned(),
            columns,
            digest,
        }
    }

    fn class(&self, key: &Secret, body: &[u8]) -> [u8; 16] {
        let row: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let values: Vec<&serde_json::Value> = self
            .columns
            .iter()
            .map(|column| row.get(column).unwrap_or(&serde_json::Value::Null))
            .collect();
        let text = serde_json::to_vec(&values).unwrap_or_default();
        let mut class = [0; 16];
        class.copy_from_slice(&hmac_sha256(key, &text)[..16]);
        class
    }
}

/// The figures over what is pending and what the registry holds.
/// # Errors: the database.
pub fn figures(db: &Connection, by: &Columns, key: &Secret, settings: &RiskSettings) -> rusqlite::Result<Risk> {
    let (mut release, mut all) = (HashMap::<[u8; 16], u64>::new(), HashMap::<[u8; 16], u64>::new());
    let mut held = db.prepare(
        "SELECT class, count(*) FROM risk_class c WHERE columns = ?1
            AND NOT EXISTS (SELECT 1 FROM pending_row p WHERE p.table_name = ?2 AND p.row_key = c.row_key) GROUP BY class",
    )?;
    let mut found = held.query(params![&by.digest[..], by.table])?;
    while let Some(row) = found.next()? {
        all.insert(row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs());
    }
    let mut pending = db.prepare("SELECT body FROM pending_row WHERE table_name = ?1 AND body IS NOT NULL")?;
    let mut found = pending.query([&by.table])?;
    while let Some(row) = found.next()? {
        let class = by.class(key, row.get_ref(0)?.as_bytes().unwrap_or_default());
        *release.entry(class).or_default() += 1;
        *all.entry(class).or_default() += 1;
    }
    let not_known: i64 = db.query_row(
        "SELECT count(DISTINCT row_key) FROM released r WHERE table_name = ?1
            AND NOT EXISTS (SELECT 1 FROM risk_class c WHERE c.row_key = r.row_key AND c.columns = ?2)
            AND NOT EXISTS (SELECT 1 FROM pending_row p WHERE p.table_name = ?1 AND p.row_key = r.row_key)",
        params![by.table, &by.digest[..]],
        |row| row.get(0),
    )?;
    let is_small = |class: &[u8; 16]| all.get(class).is_none_or(|size| *size < settings.k);
    let released_below_k = release.iter().filter(|(class, _)| is_small(class)).map(|(_, size)| size).sum();
    Ok(Risk {
        released_below_k,
        accepted: false,
        k: settings.k,
        blocks: settings.blocks,
        quasi_identifiers: by.columns.iter().map(|column| format!("{}.{column}", by.table)).collect(),
        release: Anonymity::of(release.into_values(), settings.k),
        cumulative: Anonymity::of(all.into_values(), settings.k),
        not_known: not_known.unsigned_abs(),
    })
}

/// The registry holds what was pending, but for what it rejected (`table`, `key`). Before the pending rows are forgotten.
/// # Errors: the database.
pub fn acknowledge<'r>(
    tx: &Transaction<'_>,
    by: &Columns,
    key: &Secret,
    rejected: impl Iterator<Item = (&'r str, &'r str)>,
) -> rusqlite::Result<()> {
    let rejected: std::collections::HashSet<&str> = rejected.filter(|(table, _)| *table == by.table).map(|(_, key)| key).collect();
    let mut pending = tx.prepare("SELECT row_key, body FROM pending_row WHERE table_name = ?1")?;
    let mut put = tx.prepare("INSERT OR REPLACE INTO risk_class (row_key, columns, class) VALUES (?1, ?2, ?3)")?;
    let mut end = tx.prepare("DELETE FROM risk_class WHERE row_key = ?1")?;
    let mut found = pending.query([&by.table])?;
    while let Some(row) = found.next()? {
        let row_key: String = row.get(0)?;
        if rejected.contains(row_key.as_str()) {
            continue;
        }
        match row.get::<_, Option<Vec<u8>>>(1)? {
            Some(body) => put.execute(params![row_key, &by.digest[..], &by.class(key, &body)[..]])?,
            None => end.execute([&row_key])?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench() -> (Connection, Columns, Secret, RiskSettings) {
        let db = Connection::open_in_memory().expect("memory");
        db.execute_batch(super::super::super::ledger::SCHEMA).expect("the ledger's");
        db.execute_batch(SCHEMA).expect("a schema");
        let by = Columns::new("patient", vec!["sex".to_owned(), "birth_year".to_owned()]);
        (
            db,
            by,
            Secret::random(32),
            RiskSettings {
                k: 2,
                ..RiskSettings::default()
            },
        )
    }

    fn pend(db: &Connection, key: &str, body: Option<&str>) {
        db.execute(
            "INSERT INTO pending_row (table_name, row_key, source, digest, mac, body) VALUES ('patient', ?1, x'00', x'00', x'00', ?2)",
            params![key, body.map(str::as_bytes)],
        )
        .expect("pending");
    }

    fn take(db: &mut Connection, by: &Columns, secret: &Secret, rejected: &[(&str, &str)]) {
        let tx = db.transaction().expect("a transaction");
        acknowledge(&tx, by, secret, rejected.iter().copied()).expect("acknowledged");
        tx.execute(
            "INSERT OR REPLACE INTO released SELECT source, table_name, row_key, digest, 1 FROM pending_row WHERE body IS NOT NULL",
            [],
        )
        .expect("released");
        tx.execute("DELETE FROM pending_row", []).expect("forgotten");
        tx.commit().expect("written");
    }

    #[test]
    fn the_registry_s_rows_and_the_release_are_counted_apart_and_a_tombstone_takes_away() {
        let (mut db, by, secret, settings) = bench();
        for key in ["a", "b"] {
            pend(&db, key, Some(r#"{"sex":"F","birth_year":2010}"#));
        }
        pend(&db, "c", Some(r#"{"sex":"M","birth_year":2011}"#));
        let first = figures(&db, &by, &secret, &settings).expect("figures");
        assert_eq!((first.release.patients, first.release.unique, first.release.below_k), (3, 1, 1));
        assert_eq!(first.release, first.cumulative);
        assert_eq!(first.released_below_k, 1, "c is alone");
        take(&mut db, &by, &secret, &[]);
        pend(&db, "d", Some(r#"{"sex":"M","birth_year":2011}"#));
        pend(&db, "b", None);
        let second = figures(&db, &by, &secret, &settings).expect("figures");
        assert_eq!((second.release.patients, second.release.unique), (1, 1));
        assert_eq!(second.released_below_k, 0, "d, alone in its night, is one of two at the registry");
        assert_eq!(
            (second.cumulative.patients, second.cumulative.unique, second.cumulative.smallest),
            (3, 1, 1),
            "a is alone once b is gone, c and d share a class"
        );
        assert_eq!(second.not_known, 0);
    }

    #[test]
    fn a_run_that_only_withdraws_holds_nobody_back() {
        let (mut db, by, secret, settings) = bench();
        for key in ["a", "b"] {
            pend(&db, key, Some(r#"{"sex":"F","birth_year":2010}"#));
        }
        take(&mut db, &by, &secret, &[]);
        pend(&db, "b", None);
        let found = figures(&db, &by, &secret, &settings).expect("figures");
        assert_eq!(
            (found.cumulative.below_k, found.release.patients, found.released_below_k),
            (1, 0, 0)
        );
    }

    #[test]
    fn a_rejected_row_is_not_held_and_rows_of_other_columns_are_told_as_not_known() {
        let (mut db, by, secret, settings) = bench();
        pend(&db, "a", Some(r#"{"sex":"F","birth_year":2010}"#));
        take(&mut db, &by, &secret, &[("patient", "a")]);
        let held: i64 = db
            .query_row("SELECT count(*) FROM risk_class", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(held, 0);
        let other = Columns::new("patient", vec!["sex".to_owned()]);
        assert_eq!(figures(&db, &other, &secret, &settings).expect("figures").not_known, 1);
    }
}
