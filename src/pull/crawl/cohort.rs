//! Finds whose data are asked for, and enters them as patients to be searched: a backfill's patients, the members of a Group,
//! a file's ids and identifiers, whom a search finds, or who has a diagnosis. Nobody is nobody: never everyone.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::super::error::PullError;
use super::super::settings::{Cohort, Level, Progress};
use super::basket::{Basket, MERGED, Taken, Use};
use super::diagnosed;
use super::errand::{Answer, Errand, Pages, follow, take};
use super::page;
use super::query;
use super::rows::Member;
use crate::platform::file;
use crate::platform::http::Url;

/// Pages, or lines of a file, that are entered at once.
const AT_ONCE: usize = 20;
/// A hundred thousand identifiers are a few MB.
const FILE_BYTES: u64 = 64 << 20;
const COUNTED: &str = "the EHR counts more than it gives";
const UNKNOWN: &str = "lines of the cohort's file name no patient the EHR knows";
const SEVERAL: &str = "lines of the cohort's file name several patients: none of them was taken";

/// Enters every member of the cohort, going on where an earlier call stopped.
/// # Errors: `Nobody` when it is empty; the file, the Group or the search cannot be read.
pub(super) async fn find(errand: &Errand<'_>) -> Result<(), PullError> {
    let (found, at) = errand.journal.cohort()?;
    if !found {
        match (&errand.settings.cohort, &errand.settings.level) {
            _ if !errand.request.patients.is_empty() => enter_all(errand, errand.request.patients.iter().cloned()).await?,
            (Cohort::Listed(path), _) => listed(errand, path, at).await?,
            (Cohort::Found(search), _) => {
                let first = relative(errand, search)?;
                let name = first
                    .path_segments()
                    .and_then(|mut path| path.next_back())
                    .unwrap_or_default()
                    .to_owned();
                searched(errand, at, first, &name).await?;
            }
            (Cohort::Diagnosed(path), _) => diagnosed_with(errand, path).await?,
            (Cohort::Level, Level::Group(id)) => group(errand, id, at).await?,
            (Cohort::Level, Level::System | Level::Patient) => everyone(errand, at).await?,
        }
        let (_, total) = errand.journal.patient_counts()?;
        if total == 0 {
            return Err(PullError::Nobody(nobody(&errand.settings.cohort, &errand.settings.level)));
        }
        errand.journal.cohort_found()?;
    }
    let (_, patients) = errand.journal.patient_counts()?;
    (errand.listener)(Progress::Cohort { patients });
    Ok(())
}

fn nobody(cohort: &Cohort, level: &Level) -> &'static str {
    match (cohort, level) {
        (Cohort::Listed(_), _) => "no line of its file names a patient the EHR knows",
        (Cohort::Found(_), _) => "its search finds no patient",
        (Cohort::Diagnosed(_), _) => "no landed Condition has a code of its ValueSet; pull Conditions of a wider cohort first",
        (Cohort::Level, Level::Group(_)) => "the Group has no active member",
        (Cohort::Level, _) => "the EHR shows this client no patient",
    }
}

async fn everyone(errand: &Errand<'_>, at: Option<String>) -> Result<(), PullError> {
    let (base, vendor) = (&errand.settings.base, &errand.settings.vendor);
    let first = query::search(base, "Patient", None, query::Window::default(), vendor, None)?;
    searched(errand, at, first, "Patient").await
}

/// The search a person wrote, below our base.
fn relative(errand: &Errand<'_>, search: &str) -> Result<Url, PullError> {
    let odd = PullError::Nobody("its search is not written as `Type?parameter=value`");
    let Some((name, query)) = search.split_once('?') else {
        return Err(odd);
    };
    if !super::super::manifest::is_type_name(name) {
        return Err(odd);
    }
    let mut url = query::address(&errand.settings.base, &[name])?;
    url.set_query(Some(query));
    if !query.split('&').any(|pair| pair.starts_with("_count=")) {
        let size = errand.settings.vendor.page_size.to_string();
        url.query_pairs_mut().append_pair("_count", &size);
    }
    Ok(url)
}

/// Everyone the search names, page by page; Patients among its entries are landed at once.
async fn searched(errand: &Errand<'_>, at: Option<String>, first: Url, name: &str) -> Result<(), PullError> {
    const WHAT: &str = "the search for the cohort";
    let resumed = at.is_some();
    let mut next = Some(at.and_then(|at| Url::parse(&at).ok()).unwrap_or_else(|| first.clone()));
    let mut visited = Pages::new(errand.limits.pages);
    let mut slot = Some(Basket::new(&errand.sieve));
    let (mut matches, mut total) = (0u64, None);
    while let Some(url) = next {
        let short = match visited.visit(&url) {
            Err(why) => Err(why),
            Ok(()) => match errand.get(WHAT, &url, "application/fhir+json").await? {
                Answer::Body(body, _) => {
                    let wanted = name.to_owned();
                    take(&mut slot, move |basket| basket.page(&body, Some(&wanted), Use::LandAndMeet)).await?
                }
                Answer::Refused { .. } if visited.count == 1 && resumed => {
                    // The page to go on from has ended: from the first again, which enters nobody twice.
                    next = Some(first.clone());
                    continue;
                }
                Answer::Refused { status, codes } => {
                    let hint = "check the cohort's search, and that the client may search Patient";
                    return Err(PullError::Refused {
                        status,
                        codes,
                        named_type: None,
                        hint,
                    });
                }
                Answer::Later(status) => return Err(PullError::Unavailable { what: WHAT, status }),
                Answer::Odd(why) => Err(why),
            },
        };
        let taken = match short {
            Ok(taken) => taken,
            Err(why) => {
                incomplete(&mut slot, why);
                break;
            }
        };
        if taken.errors > 0 {
            incomplete(&mut slot, "the EHR says with an OperationOutcome that something is missing");
        }
        matches += taken.matches.len() as u64;
        total = total.max(taken.total);
        next = follow(&url, taken.next.as_deref())?;
        meet(&mut slot, taken);
        if let Some(next) = &next
            && visited.count.is_multiple_of(AT_ONCE)
        {
            if let Some(basket) = &mut slot {
                basket.entry.cohort_at = Some(next.as_str().to_owned());
            }
            enter(errand, &mut slot).await?;
        }
    }
    if !resumed && total.is_some_and(|total| total > matches) {
        incomplete(&mut slot, COUNTED);
    }
    enter(errand, &mut slot).await?;
    // Of a search that began in an earlier call only whom it found is known.
    let known = errand.journal.patient_counts()?.1 + errand.journal.noted(MERGED)?;
    if resumed && name == "Patient" && total.is_some_and(|total| total > known) {
        incomplete(&mut slot, COUNTED);
        enter(errand, &mut slot).await?;
    }
    Ok(())
}

/// Enters whom a page names.
fn meet(slot: &mut Option<Basket>, taken: Taken) {
    let Some(basket) = slot else { return };
    basket.entry.members.extend(taken.people.members);
    if taken.people.strangers > 0 {
        let note = "resources of the cohort's search name no patient of this EHR";
        *basket.entry.notes.entry((note, true)).or_default() += taken.people.strangers;
        basket.entry.cohort_short = true;
    }
}

fn incomplete(slot: &mut Option<Basket>, why: &str) {
    if let Some(basket) = slot {
        *basket
            .entry
            .sentences
            .entry(format!("the cohort is not all there: {why}"))
            .or_default() += 1;
        basket.entry.cohort_short = true;
    }
}

async fn enter(errand: &Errand<'_>, slot: &mut Option<Basket>) -> Result<(), PullError> {
    let full = slot.replace(Basket::new(&errand.sieve)).ok_or(PullError::Interrupted)?;
    errand.enter(full).await
}

async fn enter_all(errand: &Errand<'_>, ids: impl Iterator<Item = String>) -> Result<(), PullError> {
    let mut basket = Basket::new(&errand.sieve);
    let members = ids.map(|id| {
        let id = id.strip_prefix("Patient/").map(str::to_owned).unwrap_or(id);
        Member { id, landed: false }
    });
    basket.entry.members.extend(members);
    errand.enter(basket).await
}

/// The members of a Group: persons who are in it now. FHIR 4.0.1, "Group".
async fn group(errand: &Errand<'_>, id: &str, at: Option<String>) -> Result<(), PullError> {
    const WHAT: &str = "the read of the Group";
    let url = query::address(&errand.settings.base, &["Group", id])?;
    let body = match errand.get(WHAT, &url, "application/fhir+json").await? {
        Answer::Body(body, _) => body,
        Answer::Refused { status, codes } => {
            // Some EHRs show no Group, but know who is in it.
            let mut first = query::address(&errand.settings.base, &["Patient"])?;
            first
                .query_pairs_mut()
                .append_pair("_has:Group:member:_id", id)
                .append_pair("_count", &errand.settings.vendor.page_size.to_string());
            return match searched(errand, at, first, "Patient").await {
                Err(PullError::Refused { .. }) => {
                    let hint = "check the id of the Group, and that the client has the scope `system/Group.r`";
                    Err(PullError::Refused {
                        status,
                        codes,
                        named_type: None,
                        hint,
                    })
                }
                ended => ended,
            };
        }
        Answer::Later(status) => return Err(PullError::Unavailable { what: WHAT, status }),
        Answer::Odd(why) => return Err(PullError::Unexpected { what: WHAT, why }),
    };
    let unexpected = |why| PullError::Unexpected { what: WHAT, why };
    let document: Value = serde_json::from_slice(&body).map_err(|_| unexpected("it is no JSON"))?;
    if document["resourceType"] != "Group" {
        return Err(unexpected("it is no Group"));
    }
    let now = errand.dial.clock.now();
    let mut slot = Some(Basket::new(&errand.sieve));
    for member in document["member"].as_array().into_iter().flatten() {
        if member["inactive"] == true || !holds(&member["period"], now) {
            continue;
        }
        let reference = member["entity"]["reference"].as_str().unwrap_or_default();
        let Some(basket) = &mut slot else {
            return Err(PullError::Interrupted);
        };
        if let Some(("Patient", id)) = page::local(reference, &errand.sieve.base) {
            let id = id.to_owned();
            basket.entry.members.push(Member { id, landed: false });
        } else {
            let note = "members of the Group are no Patients of this EHR: not followed";
            *basket.entry.notes.entry((note, true)).or_default() += 1;
            basket.entry.cohort_short = true;
        }
    }
    enter(errand, &mut slot).await
}

/// Whether `now` lies in a Period. A date holds to its end; what is no date says nothing.
fn holds(period: &Value, now: Timestamp) -> bool {
    let today = now.to_string();
    // FHIR's dates are ISO 8601, cut at the end: compared as far as they are written.
    let before = |limit: &str| {
        let exact: Result<Timestamp, _> = limit.parse();
        exact.map_or_else(|_| today.get(..limit.len()).is_some_and(|today| today < limit), |limit| now < limit)
    };
    let after = |limit: &str| {
        let exact: Result<Timestamp, _> = limit.parse();
        exact.map_or_else(|_| today.get(..limit.len()).is_some_and(|today| today > limit), |limit| now > limit)
    };
    !period["start"].as_str().is_some_and(before) && !period["end"].as_str().is_some_and(after)
}

/// The patients of a file, one per line: an id, or `system|value`. Remarks begin with `#`.
async fn listed(errand: &Errand<'_>, path: &Path, at: Option<String>) -> Result<(), PullError> {
    let text = read("cohort's list", path)?;
    let skip: usize = at.and_then(|at| at.parse().ok()).unwrap_or(0);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (number, lines) in (1..).zip(lines[skip.min(lines.len())..].chunks(AT_ONCE * 5)) {
        let mut slot = Some(Basket::new(&errand.sieve));
        for line in lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.contains('|') {
                identified(errand, &mut slot, line).await?;
            } else if let Some(basket) = &mut slot {
                let id = line.strip_prefix("Patient/").unwrap_or(line).to_owned();
                basket.entry.members.push(Member { id, landed: false });
            }
        }
        if let Some(basket) = &mut slot {
            let done = skip + (number - 1) * AT_ONCE * 5 + lines.len();
            basket.entry.cohort_at = Some(done.to_string());
        }
        enter(errand, &mut slot).await?;
    }
    Ok(())
}

/// The one patient with this identifier.
async fn identified(errand: &Errand<'_>, slot: &mut Option<Basket>, identifier: &str) -> Result<(), PullError> {
    const WHAT: &str = "the search for an identifier";
    let url = query::address(&errand.settings.base, &["Patient", "_search"])?;
    // A medical record number is a patient's value: it goes in the body.
    let mut form = url.clone();
    form.query_pairs_mut().append_pair("identifier", identifier);
    match errand.find(WHAT, &url, form.query().unwrap_or_default()).await? {
        Answer::Body(body, _) => match take(slot, move |basket| basket.page(&body, Some("Patient"), Use::Meet)).await? {
            Ok(mut taken) => match taken.people.members.len() {
                1 => meet(slot, taken),
                0 => problem(slot, UNKNOWN),
                _ => {
                    taken.people.members.clear();
                    problem(slot, SEVERAL);
                }
            },
            Err(_) => problem(slot, UNKNOWN),
        },
        Answer::Refused { status, codes } if matches!(status, 401 | 403) => {
            let hint = "the client may not search Patient by identifier; ask the EHR's owner for it";
            return Err(PullError::Refused {
                status,
                codes,
                named_type: None,
                hint,
            });
        }
        Answer::Refused { status, codes } if matches!(status, 404 | 405 | 501) => {
            let hint = "it takes no search by POST, and an identifier may stand in no address; list ids instead";
            return Err(PullError::Refused {
                status,
                codes,
                named_type: None,
                hint,
            });
        }
        Answer::Refused { .. } | Answer::Odd(_) => problem(slot, UNKNOWN),
        Answer::Later(status) => return Err(PullError::Unavailable { what: WHAT, status }),
    }
    Ok(())
}

fn problem(slot: &mut Option<Basket>, note: &'static str) {
    if let Some(basket) = slot {
        *basket.entry.notes.entry((note, true)).or_default() += 1;
        basket.entry.cohort_short = true;
    }
}

async fn diagnosed_with(errand: &Errand<'_>, path: &Path) -> Result<(), PullError> {
    let text = read("ValueSet", path)?;
    let codes = diagnosed::codes(&text).map_err(|why| PullError::CohortFile {
        what: "ValueSet",
        path: path.display().to_string(),
        why,
    })?;
    let (landing, base) = (errand.sieve.landing.clone(), errand.sieve.base.clone());
    let patients = tokio::task::spawn_blocking(move || diagnosed::patients(&landing, &codes, &base));
    let patients = patients.await.map_err(|_| PullError::Interrupted)??;
    enter_all(errand, patients.into_iter()).await
}

fn read(what: &'static str, path: &Path) -> Result<String, PullError> {
    let fault = |why| PullError::CohortFile {
        what,
        path: path.display().to_string(),
        why,
    };
    let bytes = file::read(path, FILE_BYTES).map_err(|_| fault("check the path and the rights of this user"))?;
    String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_period_holds_from_its_start_to_the_end_of_its_end() {
        let now = "2026-03-01T02:00:00Z".parse().unwrap();
        for (period, expected) in [
            (json!(null), true),
            (json!({"start": "2026-03-01"}), true),
            (json!({"start": "2026-03-02"}), false),
            (json!({"start": "2026"}), true),
            (json!({"end": "2026-03"}), true),
            (json!({"end": "2026-02-28"}), false),
            (json!({"end": "2026-03-01"}), true),
            (json!({"end": "2026-03-01T03:00:00+02:00"}), false),
            (json!({"end": "2026-03-01T01:00:00-02:00"}), true),
            (json!({"start": "2026-01-01", "end": "2026-12-31"}), true),
            (json!({"end": "some day, a very long time from now"}), true),
        ] {
            assert_eq!(holds(&period, now), expected, "{period}");
        }
    }
}
