//! Operators: their keys, one-time sign-in links and sessions. Keys, codes and session ids are random and stored as digests only.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::event;
use super::fault::Fault;
use super::store::stamp;
use crate::audit;
use crate::platform::clock::later;
use crate::platform::random;
use crate::submission::{is_word, sha256_hex};

/// How long a sign-in link can be used.
pub const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_secs(8 * 3600);

/// What a new operator is given, once.
pub struct Credentials {
    /// For signing in again and again.
    pub key: String,
    /// For one sign-in, within 15 minutes.
    pub code: String,
}

/// Makes an operator, or gives an existing one a new key in place of the old.
/// # Errors: `Malformed` when the name is none.
pub fn add_operator(tx: &Transaction<'_>, log: &audit::Log, now: Timestamp, name: &str) -> Result<Credentials, Fault> {
    if !is_word(name) {
        return Err(Fault::Malformed(
            "an operator's name is 1 to 64 lower-case letters, digits, `_` and `-`".into(),
        ));
    }
    let credentials = Credentials {
        key: random::hex(24),
        code: random::hex(20),
    };
    tx.execute(
        "INSERT INTO operator (name, key_sha256, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET key_sha256 = excluded.key_sha256",
        params![name, sha256_hex(credentials.key.as_bytes()), stamp(now)],
    )?;
    tx.execute("DELETE FROM session WHERE operator = ?1", [name])?;
    tx.execute("DELETE FROM sign_in_code WHERE operator = ?1", [name])?;
    tx.execute(
        "INSERT INTO sign_in_code (code_sha256, operator, expires_at) VALUES (?1, ?2, ?3)",
        params![sha256_hex(credentials.code.as_bytes()), name, stamp(later(now, LINK_LIFE))],
    )?;
    event::append(tx, log, now, "operator-added", name, &[])?;
    Ok(credentials)
}

/// Signs in with a one-time code or an operator key: the id of a new session, to be kept in a cookie.
/// `None` when it is neither, or the code was used or is too old.
/// # Errors: the store's or the log's.
pub fn sign_in(tx: &Transaction<'_>, log: &audit::Log, now: Timestamp, secret: &str) -> Result<Option<String>, Fault> {
    let digest = sha256_hex(secret.trim().as_bytes());
    let by_code: Option<String> = tx
        .query_row(
            "UPDATE sign_in_code SET used_at = ?2 WHERE code_sha256 = ?1 AND used_at IS NULL AND expires_at > ?2 RETURNING operator",
            params![digest, stamp(now)],
            |row| row.get(0),
        )
        .optional()?;
    let operator = match by_code {
        Some(operator) => Some(operator),
        None => tx
            .query_row("SELECT name FROM operator WHERE key_sha256 = ?1", [&digest], |row| row.get(0))
            .optional()?,
    };
    let Some(operator) = operator else { return Ok(None) };
    let id = random::hex(32);
    tx.execute("DELETE FROM session WHERE expires_at <= ?1", [stamp(now)])?;
    tx.execute(
        "INSERT INTO session (id_sha256, operator, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![sha256_hex(id.as_bytes()), operator, stamp(now), stamp(later(now, SESSION_LIFE))],
    )?;
    event::append(tx, log, now, "operator-signed-in", &operator, &[])?;
    Ok(Some(id))
}

/// The operator of a live session.
pub fn operator_of(connection: &Connection, now: Timestamp, session: &str) -> Result<Option<String>, rusqlite::Error> {
    connection
        .prepare("SELECT operator FROM session WHERE id_sha256 = ?1 AND expires_at > ?2")?
        .query_row(params![sha256_hex(session.as_bytes()), stamp(now)], |row| row.get(0))
        .optional()
}

/// Ends a session.
/// # Errors: the store's.
pub fn sign_out(tx: &Transaction<'_>, session: &str) -> Result<(), Fault> {
    tx.execute("DELETE FROM session WHERE id_sha256 = ?1", [sha256_hex(session.as_bytes())])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::store::Store;

    #[test]
    fn a_link_signs_in_once_and_a_key_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let log = audit::Log::open(&[7; 32], "r.example/log").unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let given = store.write(|tx| add_operator(tx, &log, now, "ann")).unwrap();
        let try_in = |at, secret: &str| store.write(|tx| sign_in(tx, &log, at, secret)).unwrap();
        let session = try_in(now, &given.code).expect("the link is fresh");
        assert_eq!(try_in(now, &given.code), None);
        assert!(try_in(now, &given.key).is_some());
        assert_eq!(try_in(now, "guess"), None);
        let who = |at, session: &str| store.read(|connection| operator_of(connection, at, session)).unwrap();
        assert_eq!(who(now, &session).as_deref(), Some("ann"));
        assert_eq!(who(later(now, SESSION_LIFE), &session), None);
        store.write(|tx| sign_out(tx, &session)).unwrap();
        assert_eq!(who(now, &session), None);
        let renewed = store.write(|tx| add_operator(tx, &log, now, "ann")).unwrap();
        assert_eq!(try_in(later(now, LINK_LIFE), &renewed.code), None);
        assert_eq!(try_in(now, &given.key), None);
    }
}
