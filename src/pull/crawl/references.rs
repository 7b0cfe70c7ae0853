//! Reads what the landed resources refer to: some at once by `_id`, one by one where that is not taken, and attachments as
//! Binary. What is read may refer further. A reference the EHR does not know is counted, and no failure. Only below our base.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use super::super::error::PullError;
use super::super::settings::Progress;
use super::basket::{Basket, Use};
use super::errand::{Answer, Errand, take};
use super::patients::{fail, refused_words, sentence};
use super::query;
use super::rows::{Referred, State};

/// Calls in which a reference is tried.
const TRIES: u32 = 2;
/// Ids of one search: an address stays below 2,000 characters (64 each), which every server and proxy takes.
const AT_ONCE: usize = 25;
const ABSENT: &str = "resources that others refer to are not known to the EHR, or not shown to this client";

/// Reads every open reference, and what those refer to.
/// # Errors: nothing more can be done now; what was entered stays.
pub(super) async fn read(errand: &Errand<'_>) -> Result<(), PullError> {
    // What fails for now has been tried once more then, and waits for the next call.
    let tries = errand.journal.reference_tries()?;
    loop {
        let open = errand.journal.open_references(tries, AT_ONCE * errand.concurrency() * 4)?;
        if open.is_empty() {
            return Ok(());
        }
        let mut batches = Vec::new();
        for of_type in open.chunk_by(|one, other| one.name == other.name) {
            for batch in of_type.chunks(AT_ONCE) {
                batches.push(unit(errand, batch));
            }
        }
        let mut batches = futures_util::stream::iter(batches).buffer_unordered(errand.concurrency());
        while batches.try_next().await?.is_some() {}
        let resources = errand.resources.load(std::sync::atomic::Ordering::Relaxed);
        (errand.listener)(Progress::Crawling {
            done: open.len() as u64,
            total: open.len() as u64,
            resources,
        });
    }
}

async fn unit(errand: &Errand<'_>, batch: &[Referred]) -> Result<(), PullError> {
    let mut slot = Some(Basket::new(&errand.sieve));
    let done = fill(errand, &mut slot, batch).await;
    if let Some(basket) = slot {
        errand.enter(basket).await?;
    }
    done
}

async fn fill(errand: &Errand<'_>, slot: &mut Option<Basket>, batch: &[Referred]) -> Result<(), PullError> {
    let Some(name) = batch.first().map(|first| first.name.as_str()) else {
        return Ok(());
    };
    let mut left: Vec<&Referred> = batch.iter().collect();
    if name != "Binary" && batch.len() > 1 && !errand.refusals_of(&by_id(name)).no_window {
        left = together(errand, slot, name, batch).await?;
    }
    for referred in left {
        let state = alone(errand, slot, referred).await?;
        settle(slot, referred.seq, state);
    }
    Ok(())
}

/// Under which name it is remembered that `_id` lists of a type are not taken.
fn by_id(name: &str) -> String {
    format!("{name}?_id")
}

/// Those of the batch that the search for all did not give.
async fn together<'b>(
    errand: &Errand<'_>,
    slot: &mut Option<Basket>,
    name: &str,
    batch: &'b [Referred],
) -> Result<Vec<&'b Referred>, PullError> {
    let mut url = query::address(&errand.settings.base, &[name])?;
    let ids: Vec<&str> = batch.iter().map(|referred| referred.id.as_str()).collect();
    url.query_pairs_mut()
        .append_pair("_id", &ids.join(","))
        .append_pair("_count", &batch.len().to_string());
    let before = match slot {
        Some(basket) => basket.entry.seen.len(),
        None => return Err(PullError::Interrupted),
    };
    let none = || batch.iter().collect::<Vec<_>>();
    match errand
        .get("a search for referenced resources", &url, "application/fhir+json")
        .await?
    {
        Answer::Body(body, _) => {
            let wanted = name.to_owned();
            let taken = take(slot, move |basket| basket.page(&body, Some(&wanted), Use::Land)).await?;
            let Ok(taken) = taken else { return Ok(none()) };
            // Found is what came back as one of ours, landed now or before.
            let veil = &errand.journal.veil;
            let (mut found, mut left) = (Vec::new(), Vec::new());
            for referred in batch {
                if taken.matches.contains(&veil.resource(name, &referred.id)) {
                    found.push(referred.seq);
                } else {
                    left.push(referred);
                }
            }
            if found.is_empty() && slot.as_ref().is_some_and(|basket| basket.entry.seen.len() == before) {
                errand.refusals().entry(by_id(name)).or_default().no_window = true;
            }
            found.into_iter().for_each(|seq| settle(slot, seq, State::Done));
            Ok(left)
        }
        Answer::Refused { .. } | Answer::Odd(_) => {
            errand.refusals().entry(by_id(name)).or_default().no_window = true;
            Ok(none())
        }
        Answer::Later(_) => Ok(none()),
    }
}

async fn alone(errand: &Errand<'_>, slot: &mut Option<Basket>, referred: &Referred) -> Result<State, PullError> {
    let (name, id) = (referred.name.clone(), referred.id.clone());
    let url = query::address(&errand.settings.base, &[&name, &id])?;
    match errand
        .get("the read of a referenced resource", &url, "application/fhir+json")
        .await?
    {
        Answer::Body(body, kind) => {
            let limit = errand.sieve.landing.line_limit();
            let line = if name == "Binary" && !is_json(&kind) {
                // Some EHRs give the content itself, whatever is asked for (FHIR 4.0.1, "Serving Binary Resources").
                let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
                let data = STANDARD.encode(&body);
                json!({"resourceType": "Binary", "id": id, "contentType": kind, "data": data})
                    .to_string()
                    .into_bytes()
            } else {
                body
            };
            if line.len() > limit {
                return Ok(fail(slot, &name, "it is longer than a line may be"));
            }
            let of_type = name.clone();
            let taken = take(slot, move |basket| basket.single(&line, &of_type, &id)).await?;
            Ok(taken.map_or_else(|why| fail(slot, &name, why), |_| State::Done))
        }
        Answer::Refused { status: 404 | 410, .. } => {
            if let Some(basket) = slot {
                *basket.entry.notes.entry((ABSENT, false)).or_default() += 1;
            }
            Ok(State::Absent)
        }
        Answer::Refused { status, codes } => {
            sentence(slot, refused_words(&name, status, &codes));
            Ok(State::Failed)
        }
        Answer::Odd(why) => Ok(fail(slot, &name, why)),
        Answer::Later(_) if referred.tries + 1 < TRIES => Ok(State::Open),
        Answer::Later(_) => Ok(fail(slot, &name, "the EHR answers its read with an error again and again")),
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.is_empty() || kind.eq_ignore_ascii_case("application/fhir+json") || kind.eq_ignore_ascii_case("application/json+fhir")
}

fn settle(slot: &mut Option<Basket>, seq: i64, state: State) {
    if let Some(basket) = slot {
        basket.entry.referred.push((seq, state));
    }
}
