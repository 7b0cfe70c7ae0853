//! Asks the registry where this site stands, and which of its rows are there. For a site whose ledger is new.

use reqwest::{Method, StatusCode};

use super::fault::SubmitError;
use super::link::{Body, RegistryLink};
use crate::submission::{After, Held, INVENTORY_PAGE, Inventory, Place};

/// The end of this site's chain at the registry. A registry that does not know the question has nothing to tell.
/// # Errors: as `submit`.
pub async fn place(link: &RegistryLink) -> Result<Place, SubmitError> {
    let doing = "tell where this site stands";
    let answer = link.ask(doing, Method::GET, &link.url("site/place")?, Body::None).await?;
    match answer.status {
        StatusCode::OK => {
            serde_json::from_slice(&answer.body).map_err(|_| SubmitError::Untrusted("where this site stands is not told".into()))
        }
        StatusCode::NOT_FOUND => Ok(Place::default()),
        _ => Err(answer.refusal(doing)),
    }
}

/// Calls `each` with every page of this site's rows at the registry.
/// # Errors: as `submit`; what `each` says.
pub async fn inventory<E: From<SubmitError>>(link: &RegistryLink, mut each: impl FnMut(Vec<Held>) -> Result<(), E>) -> Result<(), E> {
    let doing = "list this site's rows";
    let url = link.url("site/rows")?;
    let mut after = After::default();
    loop {
        let body = serde_json::to_vec(&after).unwrap_or_default();
        let answer = link.ask(doing, Method::POST, &url, Body::Json(body.into())).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(doing).into());
        }
        let untrusted = || SubmitError::Untrusted("its list of this site's rows is none, or does not go on".into());
        let Inventory { rows } = serde_json::from_slice(&answer.body).map_err(|_| untrusted())?;
        let Some(last) = rows.last() else { return Ok(()) };
        // Always further, or it would never end.
        if (&last.table, &last.key) <= (&after.table, &after.key) || rows.len() > INVENTORY_PAGE {
            return Err(untrusted().into());
        }
        after = After {
            table: last.table.clone(),
            key: last.key.clone(),
        };
        each(rows)?;
    }
}
