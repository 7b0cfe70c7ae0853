//! Which of the wanted types a server offers, by its CapabilityStatement: what that does not list is not asked for, neither
//! by export nor by search, and its absence proves nothing. A server that shows no statement, or lists no type, offers all.
//! Kept for the run, so that a run that is resumed leaves out the same. FHIR 4.0.1, CapabilityStatement.rest.resource.

use std::sync::Mutex;

use rusqlite::{Connection, Error, Transaction, params};

use super::capability::Capability;
use super::error::PullError;
use super::settings::EhrSettings;
use crate::platform::database::{self, DatabaseError};

/// The wanted types that this server does not offer, in the order they are wanted.
/// # Errors: Patient is among them, or nothing is left to ask for.
pub(super) fn not_offered(settings: &EhrSettings, capability: Option<&Capability>) -> Result<Vec<String>, PullError> {
    let Some(capability) = capability.filter(|found| !settings.ask_unlisted && !found.types.is_empty()) else {
        return Ok(Vec::new());
    };
    let types = settings.types.iter().filter(|name| !capability.types.contains_key(*name));
    let types: Vec<String> = types.cloned().collect();
    if types.iter().any(|name| name == "Patient") {
        return Err(PullError::NotOffered("Patient".to_owned()));
    }
    if !types.is_empty() && types.len() == settings.types.len() {
        return Err(PullError::NotOffered(types.join(", ")));
    }
    Ok(types)
}

/// The same EHR, asked for what it offers only.
pub(super) fn narrowed(settings: &EhrSettings, not_offered: &[String]) -> EhrSettings {
    let (left, offered) = settings.types.iter().cloned().partition(|name| not_offered.contains(name));
    EhrSettings {
        types: offered,
        not_asked: left,
        ..settings.clone()
    }
}

/// # Errors: the database.
pub(super) fn keep(tx: &Transaction<'_>, run: i64, types: &[String]) -> Result<(), Error> {
    let mut insert = tx.prepare("INSERT INTO pull_not_offered (run, resource_type) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    types.iter().try_for_each(|name| insert.execute(params![run, name]).map(drop))
}

/// The types that run `run` did not ask for, since the EHR does not offer them.
/// # Errors: the database.
pub fn kept(database: &Mutex<Connection>, run: i64) -> Result<Vec<String>, DatabaseError> {
    database::read(database, |db| {
        let mut select = db.prepare("SELECT resource_type FROM pull_not_offered WHERE run = ?1 ORDER BY resource_type")?;
        select.query_map([run], |row| row.get(0))?.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::http::Url;

    fn settings(types: &[&str]) -> EhrSettings {
        let mut settings = EhrSettings::new(Url::parse("https://ehr.test").unwrap(), "c");
        settings.types = types.iter().map(|name| (*name).to_owned()).collect();
        settings
    }

    fn listing(types: &[&str]) -> Capability {
        Capability {
            types: types.iter().map(|name| ((*name).to_owned(), Default::default())).collect(),
            ..Capability::default()
        }
    }

    #[test]
    fn what_a_statement_does_not_list_is_not_offered() {
        let check = |types: &[&str], capability: Option<&Capability>, expected: &[&str]| {
            assert_eq!(not_offered(&settings(types), capability).unwrap(), expected, "{types:?}");
        };
        let two = listing(&["Patient", "Condition"]);
        check(&["Condition", "Coverage", "Device", "Patient"], Some(&two), &["Coverage", "Device"]);
        check(&["Condition", "Patient"], Some(&two), &[]);
        check(&["Coverage", "Patient"], None, &[]);
        check(&["Coverage", "Patient"], Some(&listing(&[])), &[]);
        check(&[], Some(&two), &[]);
        let insists = EhrSettings {
            ask_unlisted: true,
            ..settings(&["Coverage", "Patient"])
        };
        assert_eq!(not_offered(&insists, Some(&two)).unwrap(), [""; 0]);
    }

    #[test]
    fn without_patients_or_without_anything_there_is_nothing_to_ask_for() {
        let check = |types: &[&str], listed: &[&str], expected: &str| {
            let error = not_offered(&settings(types), Some(&listing(listed))).unwrap_err();
            assert!(matches!(&error, PullError::NotOffered(what) if what == expected), "{error}");
            assert!(!error.is_transient());
        };
        check(&["Condition", "Coverage", "Patient"], &["Condition"], "Patient");
        check(&["Coverage", "Device"], &["Patient"], "Coverage, Device");
    }

    #[test]
    fn the_scope_of_what_is_not_asked_for_is_not_wanted_and_is_no_breach() {
        let narrow = narrowed(&settings(&["Condition", "Coverage", "Patient"]), &["Coverage".to_owned()]);
        assert_eq!(narrow.effective_scope(), "system/Condition.rs system/Patient.rs");
        assert_eq!(narrow.widest_scope(), "system/Condition.rs system/Patient.rs system/Coverage.rs");
    }
}
