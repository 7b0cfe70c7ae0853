//! Searches a whole type at once, page by page, where the scope is everybody: far fewer requests than patient by patient.
//! Some pages are one unit; the next page's address is entered with them. A server that refuses sends the type another way.

use futures_util::StreamExt;

use super::super::error::PullError;
use super::super::settings::Progress;
use super::basket::{Basket, Taken, Use};
use super::errand::{Answer, Errand, Pages, follow, take};
use super::patients::{fail, refused_words};
use super::query;
use super::rows::{Place, TypeRow, Way};
use crate::platform::http::Url;

const WHAT: &str = "a search";
/// Pages of one unit, at most.
const PAGES: usize = 20;
/// Plain bytes after which a unit is entered.
const UNIT_BYTES: u64 = 32 << 20;

/// Searches every type that goes this way to its last page.
/// # Errors: nothing more can be done now; the entered pages stay.
pub(super) async fn search(errand: &Errand<'_>) -> Result<(), PullError> {
    let mut types = errand.journal.types()?;
    types.retain(|row| row.way == Way::Type);
    let total = types.len() as u64;
    let open = types.iter().filter(|row| !row.done).cloned().collect::<Vec<TypeRow>>();
    let mut done = total - open.len() as u64;
    let mut searches = Vec::with_capacity(open.len());
    for row in &open {
        searches.push(whole(errand, &row.name));
    }
    let mut searches = futures_util::stream::iter(searches).buffer_unordered(errand.concurrency());
    while let Some(ended) = searches.next().await {
        ended?;
        done += 1;
        let resources = errand.resources.load(std::sync::atomic::Ordering::Relaxed);
        (errand.listener)(Progress::Crawling { done, total, resources });
    }
    Ok(())
}

async fn whole(errand: &Errand<'_>, name: &str) -> Result<(), PullError> {
    // The address of a next page may have ended with the call before: then once more from the first page.
    for _ in 0..2 {
        let (next, matches) = errand.journal.place(name)?;
        let resumed = next.is_some();
        let at = next.and_then(|next| Url::parse(&next).ok());
        let first = match at {
            Some(at) => at,
            None => {
                let include = query::include(name, errand.capability, errand.sieve.referred.contains("Medication"));
                let window = errand.window(name, true);
                query::search(&errand.settings.base, name, None, window, &errand.settings.vendor, include)?
            }
        };
        match pages(errand, name, first, matches, resumed).await? {
            Ended::Done => return Ok(()),
            Ended::Anew => errand.journal.replace(name)?,
            Ended::Refused { status, codes } => {
                let way = if name == "Patient" || query::parameter(name, errand.capability).is_some() {
                    Way::Patient
                } else if errand.settings.hydrate && query::REFERENCED.contains(&name) {
                    Way::Reference
                } else {
                    errand
                        .journal
                        .note(&refused_words(name, status, &codes), !errand.settings.types.is_empty())?;
                    Way::None
                };
                errand.journal.turn(name, way)?;
                return Ok(());
            }
        }
    }
    Err(PullError::Unexpected {
        what: WHAT,
        why: "its pages are refused again and again",
    })
}

enum Ended {
    Done,
    /// The place to go on from is gone.
    Anew,
    Refused {
        status: u16,
        codes: String,
    },
}

async fn pages(errand: &Errand<'_>, name: &str, first: Url, mut matches: u64, resumed: bool) -> Result<Ended, PullError> {
    let mut visited = Pages::new(errand.limits.pages);
    let mut slot = Some(Basket::new(&errand.sieve));
    let mut next = Some(first);
    let mut total = None;
    while let Some(url) = next {
        if let Err(why) = visited.visit(&url) {
            return end(errand, slot, name, Some(why)).await;
        }
        let body = match errand.get(WHAT, &url, "application/fhir+json").await {
            Ok(Answer::Body(body, _)) => body,
            Ok(Answer::Refused { .. }) if visited.count == 1 && resumed => return Ok(Ended::Anew),
            Ok(Answer::Refused { status, codes }) if visited.count == 1 => return Ok(Ended::Refused { status, codes }),
            Ok(Answer::Refused { .. }) => return end(errand, slot, name, Some("a later page is refused")).await,
            Ok(Answer::Odd(why)) => return end(errand, slot, name, Some(why)).await,
            later => {
                let error = match later {
                    Err(error) => error,
                    Ok(Answer::Later(status)) => PullError::Unavailable { what: WHAT, status },
                    Ok(_) => PullError::Interrupted,
                };
                // What is here is kept: the next call goes on at this very page.
                place(&mut slot, name, Some(url.as_str().to_owned()), false);
                enter(errand, slot).await?;
                return Err(error);
            }
        };
        let wanted = name.to_owned();
        let taken = match take(&mut slot, move |basket| basket.page(&body, Some(&wanted), Use::Land)).await? {
            Ok(taken) => taken,
            Err(why) => return end(errand, slot, name, Some(why)).await,
        };
        let Taken {
            next: link,
            total: of_page,
            matches: found,
            errors,
            ..
        } = taken;
        if errors > 0 {
            fail(&mut slot, name, "the EHR says with an OperationOutcome that something is missing");
        }
        matches += found.len() as u64;
        total = total.max(of_page);
        if let Some(basket) = &mut slot {
            basket.entry.types.entry(name.to_owned()).or_default().matches += found.len() as u64;
        }
        next = follow(&url, link.as_deref())?;
        let is_full = slot.as_ref().is_some_and(|basket| basket.bytes() >= UNIT_BYTES);
        if let Some(next) = &next
            && (is_full || visited.count.is_multiple_of(PAGES))
        {
            place(&mut slot, name, Some(next.as_str().to_owned()), false);
            enter(errand, slot).await?;
            slot = Some(Basket::new(&errand.sieve));
        }
    }
    let short = total.is_some_and(|total| total > matches);
    end(errand, slot, name, short.then_some("the EHR counts more than it gives")).await
}

/// The type is searched, whole or not.
async fn end(errand: &Errand<'_>, mut slot: Option<Basket>, name: &str, short: Option<&str>) -> Result<Ended, PullError> {
    if let Some(why) = short {
        fail(&mut slot, name, why);
    }
    place(&mut slot, name, None, true);
    enter(errand, slot).await?;
    Ok(Ended::Done)
}

fn place(slot: &mut Option<Basket>, name: &str, next: Option<String>, done: bool) {
    if let Some(basket) = slot {
        let name = name.to_owned();
        basket.entry.place = Some(Place { name, next, done });
    }
}

async fn enter(errand: &Errand<'_>, slot: Option<Basket>) -> Result<(), PullError> {
    errand.enter(slot.ok_or(PullError::Interrupted)?).await
}
