//! What a site may ask about itself: the end of its chain, and which rows of its own are here. Never a body, never another's.

use rusqlite::{Connection, OptionalExtension, params};

use super::store::Site;
use crate::submission::{After, Held, INVENTORY_PAGE, Inventory, Manifest, Place, sha256_hex};

/// The end of the site's chain.
/// # Errors: the store.
pub(super) fn place(connection: &Connection, site: &Site) -> Result<Place, rusqlite::Error> {
    let manifest: Option<Vec<u8>> = connection
        .query_row(
            "SELECT manifest FROM submission WHERE site = ?1 AND state = 'applied' ORDER BY sequence DESC LIMIT 1",
            [&site.name],
            |row| row.get(0),
        )
        .optional()?;
    Ok(Place {
        sequence: site.last_sequence,
        manifest_sha256: site.last_manifest_sha256.clone(),
        key_fingerprint: manifest
            .and_then(|bytes| Manifest::read(&bytes).ok())
            .map(|manifest| manifest.key_fingerprint),
    })
}

/// The site's rows behind this one.
/// # Errors: the store.
pub(super) fn inventory(connection: &Connection, site: &Site, after: &After) -> Result<Inventory, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT table_name, row_key, body FROM cdm_row WHERE site = ?1 AND (table_name, row_key) > (?2, ?3)
         ORDER BY table_name, row_key LIMIT ?4",
    )?;
    let most = i64::try_from(INVENTORY_PAGE).unwrap_or(i64::MAX);
    let rows = select.query_map(params![site.name, after.table, after.key, most], |row| {
        let body: String = row.get(2)?;
        Ok(Held {
            table: row.get(0)?,
            key: row.get(1)?,
            sha256: sha256_hex(body.as_bytes()),
        })
    })?;
    Ok(Inventory {
        rows: rows.collect::<Result<_, _>>()?,
    })
}
