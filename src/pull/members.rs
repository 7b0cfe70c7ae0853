//! Who is in the Group. An export with `_since` holds what changed; the older data of whoever joined the Group since then a
//! server MAY send, or not (Bulk Data 2.0.0, "_since"). So the run that meets a new member asks for everything, once.
//! A Group that is not shown to us is exported as asked: then it is the server's to care.

use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;

use super::dial::{Auth, Patience, is_transient};
use super::error::PullError;
use super::known;
use super::settings::Level;
use super::talk::Talk;
use super::veil::{Key, Veil};
use crate::fhir::reference::Reference;
use crate::platform::database;
use crate::platform::http::{self, Url};

const WHAT: &str = "the read of the Group";

/// Whether somebody is in the Group whom the last run did not have whole; all of them are written down for the next one.
/// # Errors: not reached; the server asks for more patience than there is; the database.
pub(super) async fn has_joined(talk: &Talk<'_>) -> Result<bool, PullError> {
    let Level::Group(id) = &talk.settings.level else {
        return Ok(false);
    };
    // A backfill is as narrow as it was asked for; where there is no `_since`, everything comes anyway.
    if talk.request.is_aside() || !talk.settings.vendor.export_since {
        return Ok(false);
    }
    let Some(body) = group(talk, id).await? else {
        tracing::info!("the Group is not shown to this client: whether it has new members is not known");
        return Ok(false);
    };
    let veil = Veil::new(&talk.landing.journal_key());
    let members = members(&body, &veil);
    let run = talk.request.run;
    Ok(database::transaction(talk.landing.database(), |tx| {
        members.iter().try_for_each(|member| known::enter(tx, run, member, false))?;
        known::is_any_new(tx, run, &members)
    })?)
}

/// The members that are Patients, hashed. Who is inactive counts, too: they may become active again.
fn members(body: &[u8], veil: &Veil) -> Vec<Key> {
    let group: Value = serde_json::from_slice(body).unwrap_or_default();
    let members = group["member"].as_array().into_iter().flatten();
    let references = members.filter_map(|member| member["entity"]["reference"].as_str());
    let patients = references
        .filter_map(Reference::parse)
        .filter(|parts| parts.type_name == Some("Patient"));
    patients.map(|parts| veil.resource("Patient", parts.id)).collect()
}

async fn group(talk: &Talk<'_>, id: &str) -> Result<Option<Vec<u8>>, PullError> {
    let url = address(&talk.settings.base, id)?;
    let mut patience = Patience::new(talk.dial.clock, talk.limits);
    loop {
        let headers = [(ACCEPT, "application/fhir+json")];
        let asked = match talk.dial.send(Method::GET, &url, &headers, Auth::WithToken).await {
            Ok(response) if response.status() == 200 => {
                return Ok(http::read_body(response, talk.limits.manifest_bytes).await.ok());
            }
            Ok(response) => {
                let (status, asked, _) = talk.fault(response).await;
                if !is_transient(status) {
                    return Ok(None);
                }
                if status != 429 && asked.is_none() {
                    patience.failed(WHAT, status)?;
                }
                asked
            }
            Err(error) if error.is_transient() => patience.failed(WHAT, 0).map_err(|_| error).map(|()| None)?,
            Err(error) => return Err(error),
        };
        talk.wait(WHAT, &mut patience, asked).await?;
    }
}

fn address(base: &Url, id: &str) -> Result<Url, PullError> {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| http::HttpError::Address("the base cannot have a path"))?
        .pop_if_empty()
        .extend(["Group", id]);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::secret::Secret;

    #[test]
    fn members_are_patients_however_they_are_referred_to() {
        let veil = Veil::new(&Secret::random(32));
        let body = br#"{"resourceType":"Group","member":[{"entity":{"reference":"Patient/a"}},
            {"entity":{"reference":"https://ehr.test/fhir/Patient/b"},"inactive":true},
            {"entity":{"reference":"Practitioner/c"}},{"entity":{"display":"Hush"}},{}]}"#;
        assert_eq!(members(body, &veil), [veil.resource("Patient", "a"), veil.resource("Patient", "b")]);
        assert!(members(b"<html>", &veil).is_empty());
    }
}
