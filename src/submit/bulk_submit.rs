//! The way of one package: missing chunks, manifest, `$bulk-submit`, status, receipt and outcomes. Each step may be repeated.
//! Basis: HL7 Bulk Data Access 4.0.0-ballot, "Bulk Submit": `$bulk-submit` and `$bulk-submit-status`.

use std::time::Duration;

use reqwest::header::CONTENT_LOCATION;
use reqwest::{Method, Response, StatusCode};

use super::fault::SubmitError;
use super::link::{Answer, Body, PUT_CHUNK, RegistryLink};
use super::sign::Package;
use crate::platform::clock::Stopwatch;
use crate::platform::http::{self, Url};
use crate::submission::{BulkSubmit, Outcome, Receipt, StatusManifest, StatusRequest};

/// Checks that the log's entry (first) is proven by the `.tlog-proof` text (second) under the verifier key the site pinned
/// when it enrolled; the text says what is wrong. Handed in by `gateway`, which may ask `audit`.
pub type Prove<'p> = &'p (dyn Fn(&[u8], &str) -> Result<(), String> + Send + Sync);

/// What happened, while it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many of the chunks are at the registry.
    Chunks { there: usize, of: usize },
    /// The registry has everything and is applying it.
    Applying,
}

/// A submission that the registry applied and proved to have logged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub receipt: Receipt,
    /// One for each rejected row, in the registry's order.
    pub outcomes: Vec<Outcome>,
}

/// Delivers the package and comes back with the proven receipt and every outcome.
///
/// # Errors: `Retry`: call again, nothing is lost. `Refused`: the registry's last word. `Untrusted`: a person must look.
pub async fn submit(
    link: &RegistryLink,
    package: &Package,
    prove: Prove<'_>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Acknowledged, SubmitError> {
    let manifest = package.manifest();
    let drop = format!("drop/{}", manifest.submission);
    for (there, output) in manifest.output.iter().enumerate() {
        progress(Progress::Chunks {
            there,
            of: manifest.output.len(),
        });
        let url = link.url(&format!("{drop}/chunks/{}", output.sha256))?;
        let head = link.ask("look for a chunk", Method::HEAD, &url, Body::None).await?;
        match head.status {
            status if status.is_success() => continue,
            StatusCode::NOT_FOUND => {}
            _ => return Err(head.refusal("look for a chunk")),
        }
        let bytes = package.chunk(output)?.into();
        accepted(PUT_CHUNK, link.ask(PUT_CHUNK, Method::PUT, &url, Body::Bytes(bytes)).await?)?;
    }
    progress(Progress::Chunks {
        there: manifest.output.len(),
        of: manifest.output.len(),
    });
    let manifest_url = link.url(&format!("{drop}/manifest"))?;
    let bytes = package.bytes().to_vec().into();
    accepted(
        "put the manifest",
        link.ask("put the manifest", Method::PUT, &manifest_url, Body::Bytes(bytes)).await?,
    )?;
    announce(link, package, &manifest_url).await?;
    progress(Progress::Applying);
    let status = wait(link, package).await?;
    fetch(link, package, &status, prove).await
}

/// `$bulk-submit`.
async fn announce(link: &RegistryLink, package: &Package, manifest_url: &Url) -> Result<(), SubmitError> {
    let parameters = BulkSubmit {
        site: link.settings.site.clone(),
        submission: package.manifest().submission.clone(),
        manifest_url: manifest_url.to_string(),
        fhir_base_url: link.url("fhir")?.to_string(),
        signature: package.signature().to_owned(),
    };
    let body = Body::Json(parameters.to_parameters().to_string().into());
    let url = link.url("fhir/$bulk-submit")?;
    accepted("submit", link.ask("submit", Method::POST, &url, body).await?)
}

/// `$bulk-submit-status` and its polling, until the registry is done or our patience is.
async fn wait(link: &RegistryLink, package: &Package) -> Result<StatusManifest, SubmitError> {
    let doing = "tell the submission's status";
    let parameters = StatusRequest {
        site: link.settings.site.clone(),
        submission: package.manifest().submission.clone(),
    };
    let body = Body::Json(parameters.to_parameters().to_string().into());
    let mut answer = link.ask(doing, Method::POST, &link.url("fhir/$bulk-submit-status")?, body).await?;
    let location = answer
        .headers
        .get(CONTENT_LOCATION)
        .and_then(|location| location.to_str().ok())
        .map(|location| link.own(location));
    let location = location.transpose()?;
    let watch = Stopwatch::start(&link.clock);
    let mut asked = false;
    // The least pause between two questions, however soon the registry says.
    let mut eager = Duration::from_millis(10);
    loop {
        match (answer.status, &location) {
            (StatusCode::OK, _) => {
                return serde_json::from_slice(&answer.body).map_err(|_| SubmitError::Untrusted("its status is no status manifest".into()));
            }
            (StatusCode::ACCEPTED, Some(location)) => {
                if watch.elapsed() > link.settings.longest_wait {
                    let why = format!("it was still at work after {} s", watch.elapsed().as_secs());
                    return Err(SubmitError::Retry { doing, why, after: None });
                }
                // The first 202 is the answer to our question, not yet a reason to wait.
                if asked {
                    let wait = http::retry_after(&answer.headers, link.clock.now()).unwrap_or(Duration::from_secs(1));
                    link.clock.sleep(wait.clamp(eager, Duration::from_secs(60))).await;
                    eager = (eager * 2).min(Duration::from_secs(1));
                }
                answer = link.ask(doing, Method::GET, location, Body::None).await?;
                asked = true;
            }
            (StatusCode::ACCEPTED, None) => return Err(SubmitError::Untrusted("it says 202 without a Content-Location".into())),
            _ => return Err(answer.refusal(doing)),
        }
    }
}

/// Receipt and outcomes, checked against what was sent.
async fn fetch(link: &RegistryLink, package: &Package, status: &StatusManifest, prove: Prove<'_>) -> Result<Acknowledged, SubmitError> {
    let manifest = package.manifest();
    let untrusted = |why: &str| SubmitError::Untrusted(why.to_owned());
    let [receipt] = status.output.as_slice() else {
        return Err(untrusted("its status does not name one receipt"));
    };
    let answer = link
        .ask("give the receipt", Method::GET, &link.own(&receipt.url)?, Body::None)
        .await?;
    if answer.status != StatusCode::OK {
        return Err(answer.refusal("give the receipt"));
    }
    let text = String::from_utf8(answer.body).map_err(|_| untrusted("the receipt is not text"))?;
    let receipt = Receipt::read(&text)?;
    prove(&receipt.entry, &receipt.proof).map_err(|why| SubmitError::Untrusted(format!("the receipt is not proven: {why}")))?;
    let leaf = &receipt.leaf;
    if leaf.submission != manifest.submission || leaf.manifest != package.sha256() {
        return Err(untrusted("the receipt is of another submission"));
    }
    if leaf.event != "submission-accepted" {
        return Err(untrusted("the receipt says that the submission was not accepted"));
    }
    if receipt.accepted.checked_add(receipt.rejected) != Some(manifest.ledger.released) {
        return Err(untrusted(
            "the receipt's accepted and rejected rows are not those that were released",
        ));
    }
    let mut outcomes = Vec::new();
    for item in &status.outcome {
        let response = link
            .send("give the outcomes", Method::GET, &link.own(&item.url)?, &Body::None)
            .await?;
        read_outcomes(response, receipt.rejected, &mut outcomes).await?;
    }
    if outcomes.len() as u64 != receipt.rejected {
        return Err(untrusted("it does not give one outcome for each rejected row"));
    }
    Ok(Acknowledged { receipt, outcomes })
}

/// Reads an outcome file line by line; a file with more lines than rows were rejected is not read to its end.
async fn read_outcomes(mut response: Response, rejected: u64, outcomes: &mut Vec<Outcome>) -> Result<(), SubmitError> {
    let untrusted = |why: &str| SubmitError::Untrusted(why.to_owned());
    if response.status() != StatusCode::OK {
        return Err(untrusted("an outcome file that its status names is not there"));
    }
    let url = response.url().clone();
    let mut rest = Vec::new();
    loop {
        let piece = response.chunk().await.map_err(|error| SubmitError::Retry {
            doing: "give the outcomes",
            why: http::explain(&url, &error).to_string(),
            after: None,
        })?;
        let Some(piece) = piece else { break };
        rest.extend_from_slice(&piece);
        let Some(end) = memchr::memrchr(b'\n', &rest) else {
            if rest.len() > 1 << 20 {
                return Err(untrusted("a line of its outcomes is too long"));
            }
            continue;
        };
        for line in rest[..end].split(|byte| *byte == b'\n') {
            outcomes.push(read_outcome(line).ok_or_else(|| untrusted("a line of its outcomes is none"))?);
            if outcomes.len() as u64 > rejected {
                return Err(untrusted("it gives more outcomes than rows were rejected"));
            }
        }
        rest.drain(..=end);
    }
    if !rest.is_empty() {
        outcomes.push(read_outcome(&rest).ok_or_else(|| untrusted("a line of its outcomes is none"))?);
    }
    Ok(())
}

fn read_outcome(line: &[u8]) -> Option<Outcome> {
    Outcome::read(std::str::from_utf8(line).ok()?)
}

fn accepted(doing: &'static str, answer: Answer) -> Result<(), SubmitError> {
    if answer.status.is_success() {
        Ok(())
    } else {
        Err(answer.refusal(doing))
    }
}
