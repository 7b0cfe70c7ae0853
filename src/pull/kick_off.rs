//! The kick-off: asks for the export in one form after another until the server takes it, writes the job's address down
//! before anything else, and clears away what an earlier run left at the server. Every way out is bounded: a form is tried
//! once, old jobs are cleared once. Bulk Data 2.0.0, "Bulk Data Kick-off Request".

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_LOCATION, HeaderMap, HeaderName};
use reqwest::{Method, Response};

use super::dial::{Auth, Patience, is_transient};
use super::error::PullError;
use super::job::{Job, Note};
use super::members;
use super::outcome::Issues;
use super::own::Own;
use super::settings::{Level, Progress};
use super::talk::Talk;
use super::wish::{self, Ask, SEPARATE, Wish};
use crate::platform::http::{self, Url};

const WHAT: &str = "the export request";

/// Gets the export under way: taken by the server, or an earlier job of the very same export adopted.
/// # Errors: refused in every form; not reached; the server asks for more patience than there is.
pub(super) async fn kick_off(talk: &Talk<'_>, job: &Job) -> Result<(), PullError> {
    let mut request = talk.request.clone();
    let since = wish::since(&talk.settings.vendor, &talk.settings.types, &request);
    if members::has_joined(talk).await? && since.is_some() {
        tracing::info!(
            run = request.run,
            "the Group has new members: run {} asks for everything",
            request.run
        );
        (request.since, request.since_by_type) = (None, BTreeMap::new());
    }
    let wish = Wish::new(talk.settings, &request)?;
    let mut patience = Patience::new(talk.dial.clock, talk.limits);
    talk.dial.wait_for(job.next_at).await;
    if talk.settings.vendor.one_job {
        talk.drop_old_jobs().await?;
    }
    let mut form = wish.first_form();
    let mut tried = vec![form];
    let mut first_refusal = None;
    let mut is_cleared = false;
    loop {
        let ask = wish.ask(form)?;
        let asked = match send(talk, &ask).await {
            Ok(response) if response.status() == 202 => return taken(talk, &wish, &ask, response, &mut patience).await,
            Ok(response) => {
                let (status, asked, issues) = talk.fault(response).await;
                // "One job at a time" is said with either; if that one job is ours, it need not be.
                if matches!(status, 409 | 429) && !is_cleared {
                    is_cleared = true;
                    if status == 409 && adopt(talk, &wish)? {
                        return Ok(());
                    }
                    if talk.drop_old_jobs().await? > 0 {
                        continue;
                    }
                }
                if !is_transient(status) {
                    let refusal = PullError::Refused {
                        status,
                        codes: issues.in_brackets(),
                        named_type: issues.names_one_of(&talk.settings.types),
                        hint: hint(status, &talk.settings.level),
                    };
                    // The first refusal is the one to tell: what came after it were our own attempts around it.
                    let refusal = first_refusal.take().unwrap_or(refusal);
                    let Some(next) = wish.next_form(form, status, &issues, &tried) else {
                        return Err(refusal);
                    };
                    first_refusal = Some(refusal);
                    form = next;
                    tried.push(next);
                    continue;
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

async fn send(talk: &Talk<'_>, ask: &Ask) -> Result<Response, PullError> {
    let headers: Vec<(HeaderName, &str)> = ask.headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
    match &ask.body {
        Some(body) => talk.dial.post(&ask.url, &headers, body, Auth::WithToken).await,
        None => talk.dial.send(Method::GET, &ask.url, &headers, Auth::WithToken).await,
    }
}

async fn taken(talk: &Talk<'_>, wish: &Wish<'_>, ask: &Ask, response: Response, patience: &mut Patience<'_>) -> Result<(), PullError> {
    let poll_url = content_location(response.headers(), &ask.url)?;
    talk.dial.rule.check(&poll_url)?;
    // Small exports are ready at once; when this one is not, the first poll's answer says how long to wait.
    let asked = talk.dial.asked_wait(response.headers()).unwrap_or_default();
    let next = patience.next(Some(asked))?;
    let own = Own {
        poll_url,
        kicked_at: talk.dial.clock.now(),
        ask: wish.fingerprint()?,
        is_separate: talk.settings.export.separate_status && is_separate(response.headers()),
    };
    // Before the first poll: a lost address is a lost job, and some EHRs allow one at a time.
    talk.jobs.kicked_off(&own, next, &notes(wish, ask))?;
    (talk.listener)(Progress::KickedOff);
    // Taken leniently, an export may come with an OperationOutcome on what was not understood.
    let body = http::read_body(response, 1 << 20).await.unwrap_or_default();
    let issues = Issues::parse(&body).unwrap_or_default();
    if issues.tells_of_ignored() {
        let codes = issues.in_brackets();
        let text = format!("the EHR took the export, but says that it does not use everything that was asked{codes}");
        talk.jobs.note(&Note::Ignored(text))?;
    }
    Ok(())
}

/// What is to be told of an export that is asked for in this form.
fn notes(wish: &Wish<'_>, ask: &Ask) -> Vec<Note> {
    let told = ask.left_out.iter().map(|text| Note::Told((*text).to_owned()));
    let never = wish.not_exported().map(|name| {
        let text = format!("{name} never comes by this EHR's export: pull it by search");
        Note::Spoils(name.to_owned(), text)
    });
    let alone = wish.lacks_clinical_type().then(|| {
        let text = "this EHR exports these types only together with a clinical one: ask for one of those, too";
        Note::Spoils(String::new(), text.to_owned())
    });
    told.chain(never).chain(alone).collect()
}

/// Takes over an earlier job of ours that asks for the same, if one is still known.
fn adopt(talk: &Talk<'_>, wish: &Wish<'_>) -> Result<bool, PullError> {
    let Some(own) = talk.jobs.own_job(&wish.fingerprint()?)? else {
        return Ok(false);
    };
    tracing::info!(
        run = talk.request.run,
        "run {} goes on with an earlier job of the same export",
        talk.request.run
    );
    talk.jobs.kicked_off(&own, talk.dial.clock.now(), &[])?;
    (talk.listener)(Progress::KickedOff);
    Ok(true)
}

/// Whether the server said that it applies `separate-export-status` (RFC 7240, "Preference-Applied").
fn is_separate(headers: &HeaderMap) -> bool {
    let applied = headers.get_all("preference-applied").iter().filter_map(|value| value.to_str().ok());
    applied
        .flat_map(|value| value.split([',', ';']))
        .any(|word| word.trim().eq_ignore_ascii_case(SEPARATE))
}

/// Where the job's status is asked.
/// # Errors: `Unexpected` without a usable `Content-Location`.
fn content_location(headers: &HeaderMap, at: &Url) -> Result<Url, PullError> {
    let fault = |why| PullError::Unexpected { what: WHAT, why };
    let location = headers
        .get(CONTENT_LOCATION)
        .ok_or_else(|| fault("202 without `Content-Location`"))?;
    let location = location.to_str().ok().and_then(|location| at.join(location).ok());
    location.ok_or_else(|| fault("`Content-Location` is no address"))
}

/// The server's own word on its progress, printable and short.
pub(super) fn x_progress(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-progress")?.as_bytes();
    let printable = value.iter().map(|b| char::from(*b)).filter(|c| matches!(c, ' '..='~'));
    let text: String = printable.take(100).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What to do about a refusal.
fn hint(status: u16, level: &Level) -> &'static str {
    match (status, level) {
        (401, _) => "it does not accept the token it gave; tell its owner",
        (403, _) => "the client lacks a scope or the right to export; ask the EHR's owner for it",
        (404, Level::Group(_)) => "check the base address, the id of the Group, and whether this client may see it",
        (404, _) => "check the base address; it may offer the export of a Group only",
        (409, _) => "it says this very export is there already; wait until that ends",
        (400 | 422, _) => "it does not take these parameters; check the resource types",
        (405 | 501, _) => "it does not offer this kind of export; try another level (Group, Patient, system)",
        _ => "see the EHR's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_counts_only_when_it_is_applied() {
        let check = |value: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert("preference-applied", value.parse().unwrap());
            assert_eq!(is_separate(&headers), expected, "{value}");
        };
        check("respond-async, separate-export-status", true);
        check("Separate-Export-Status", true);
        check("respond-async", false);
        assert!(!is_separate(&HeaderMap::new()));
    }

    #[test]
    fn progress_is_made_printable_and_short() {
        let check = |value: &[u8], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("x-progress", reqwest::header::HeaderValue::from_bytes(value).unwrap());
            assert_eq!(x_progress(&headers).as_deref(), expected);
        };
        check(b"50% done", Some("50% done"));
        check(b"a\tb\xFFc", Some("abc"));
        check(b"  ", None);
        check(&[b'x'; 200], Some("x".repeat(100).as_str()));
    }
}
