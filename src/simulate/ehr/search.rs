//! Reads and searches over HTTP: `GET [type]`, `POST [type]/_search`, `GET [type]/[id]`, `Patient/[id]/$everything`.
//! Basis: FHIR R4 (4.0.1), RESTful API and Search; Operation Patient-everything.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;

use super::super::error::SimulateError;
use super::super::span;
use super::access::Grant;
use super::asked::{Asked, Parameters};
use super::associated::{collect_references, targets};
use super::body;
use super::fault::Fault;
use super::groups;
use super::index::Snapshot;
use super::listing::{Item, Listing, rows, shown};
use super::misconfiguration::{FORBIDDEN_TYPE, Misconfiguration};
use super::query::Query;
use super::reply::{Refused, fhir_text, set, unauthorized};
use super::routes::{Ehr, bearer};
use super::shared::Shared;

pub(super) async fn search(State(ehr): Ehr, Path(kind): Path<String>, asked: Asked) -> Result<Response, Refused> {
    let grant = enter(&ehr, &asked.headers, &kind)?;
    let lenient = asked.prefers("handling=lenient");
    let parameters = asked.with_form()?;
    blocking(move || {
        let lacks: &[&str] = if ehr.temper.last_updated { &[] } else { &["_lastUpdated"] };
        let query = Query::read(&kind, &parameters, lacks, lenient)?;
        refuse_incomplete(&ehr, &query)?;
        let snapshot = ehr.snapshot();
        let mut items: Vec<Item> = Vec::new();
        if kind == "Group" {
            let criteria: Vec<_> = query.criteria.iter().collect();
            let groups = groups::resources(&ehr, &snapshot)?.into_iter();
            let groups = groups.filter(|(_, text)| query.holds(&criteria, text));
            items.extend(groups.map(|(_, text)| Item::Text("Group".into(), text.into())));
        }
        let name: Arc<str> = kind.as_str().into();
        items.extend(rows(&snapshot, &query)?.into_iter().map(|row| Item::Row(Arc::clone(&name), row)));
        if ehr.faults.fires_if(Fault::EmptySearch, !items.is_empty()) {
            items.clear();
        }
        let notes = query
            .ignored
            .iter()
            .map(|name| format!("the search parameter `{name}` was ignored"));
        let listing = Listing {
            page: query.count,
            include: query.include,
            this: address(&format!("{}/{kind}", ehr.base()), &query.understood),
            notes: notes.collect(),
            ..listing(&ehr, snapshot, grant, items)
        };
        if query.only_total || query.count == 0 {
            return Ok(fhir_text(StatusCode::OK, listing.total()));
        }
        first_page(&ehr, listing)
    })
    .await
}

/// `Patient/[id]/$everything`: the patient, all that is theirs, and what that refers to.
pub(super) async fn everything(State(ehr): Ehr, Path(id): Path<String>, asked: Asked) -> Result<Response, Refused> {
    let grant = enter(&ehr, &asked.headers, "Patient")?;
    let lenient = asked.prefers("handling=lenient");
    blocking(move || {
        let wanted = Everything::read(&asked.query, &ehr, lenient)?;
        let snapshot = ehr.snapshot();
        if snapshot.index()?.kind("Patient").and_then(|all| all.row_of(&id)).is_none() {
            return Err(missing(&snapshot, "Patient", &id));
        }
        let items = wanted.items(&snapshot, &id, &grant)?;
        let listing = Listing {
            page: wanted.count,
            this: address(&format!("{}/Patient/{id}/$everything", ehr.base()), &asked.query),
            notes: wanted
                .ignored
                .iter()
                .map(|name| format!("the parameter `{name}` was ignored"))
                .collect(),
            ..listing(&ehr, snapshot, grant, items)
        };
        first_page(&ehr, listing)
    })
    .await
}

pub(super) async fn page(State(ehr): Ehr, Path((name, from)): Path<(String, usize)>, headers: HeaderMap) -> Result<Response, Refused> {
    let grant = enter(&ehr, &headers, "")?;
    let listing = ehr.listings.find(&name, &grant.client);
    let listing = listing.ok_or_else(|| Refused::new(StatusCode::GONE, "expired", "this page can no longer be had; search again"))?;
    blocking(move || give_page(&ehr, &listing, &name, from)).await
}

pub(super) async fn read(State(ehr): Ehr, Path((kind, id)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Refused> {
    enter(&ehr, &headers, &kind)?;
    blocking(move || {
        let snapshot = ehr.snapshot();
        let mut line = None;
        if kind == "Group" {
            let groups = groups::resources(&ehr, &snapshot)?;
            line = groups.into_iter().find(|(group, _)| *group == id).map(|(_, text)| text);
        }
        if line.is_none()
            && let Some(row) = snapshot.index()?.kind(&kind).and_then(|all| all.row_of(&id))
        {
            line = snapshot.lines(&kind, &[row])?.pop();
        }
        let line = line.ok_or_else(|| missing(&snapshot, &kind, &id))?;
        let version = span::get(&line, "meta")
            .and_then(|meta| span::get_plain(meta, "versionId"))
            .map(str::to_owned);
        let mut response = fhir_text(StatusCode::OK, shown(&line, ehr.temper.last_updated).into_owned());
        if let Some(version) = version {
            set(&mut response, "etag", &format!("W/\"{version}\""));
        }
        Ok(response)
    })
    .await
}

/// Who asks for a resource of this type, if they may. An empty type is decided elsewhere.
fn enter(ehr: &Shared, headers: &HeaderMap, kind: &str) -> Result<Grant, Refused> {
    let grant = bearer(ehr, headers)?;
    if ehr.faults.fires(Fault::Bearer401) {
        return Err(unauthorized());
    }
    if ehr.planted.shows(Misconfiguration::Read500) || ehr.faults.fires(Fault::Search500) {
        return Err(Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "an unexpected error occurred",
        ));
    }
    if ehr.faults.fires(Fault::Search429) {
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "too many requests");
        return Err(refused.retry_after(ehr.settings.retry_after_s));
    }
    if ehr.faults.fires(Fault::Search503) {
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "the server is busy; ask again");
        return Err(refused.retry_after(ehr.settings.retry_after_s));
    }
    let forbidden = || Refused::new(StatusCode::FORBIDDEN, "forbidden", "the client may not read this type");
    if kind == FORBIDDEN_TYPE && ehr.planted.shows(Misconfiguration::TypeForbidden) {
        return Err(forbidden());
    }
    // Whose list it is decides about a Group, not a scope.
    if kind.is_empty() || kind == "Group" {
        return Ok(grant);
    }
    if !ehr.offers(kind) {
        return Err(Refused::new(StatusCode::NOT_FOUND, "not-supported", "this server has no such type"));
    }
    match &grant.types {
        Some(types) if !types.contains(kind) => Err(forbidden()),
        _ => Ok(grant),
    }
}

/// Vendors want some searches narrowed.
fn refuse_incomplete(ehr: &Shared, query: &Query) -> Result<(), Refused> {
    let needs = ehr.temper.search_needs.iter().filter(|(kind, _)| *kind == query.kind);
    for name in needs.flat_map(|(_, names)| *names) {
        if !query.criteria.iter().any(|criterion| criterion.term.name == *name) {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "required",
                format!("a search of {} must name `{name}`", query.kind),
            ));
        }
    }
    Ok(())
}

fn missing(snapshot: &Snapshot, kind: &str, id: &str) -> Refused {
    if snapshot.world.deleted(kind).any(|(gone, _, _)| gone == id) {
        Refused::new(StatusCode::GONE, "deleted", "this resource was deleted")
    } else {
        Refused::new(StatusCode::NOT_FOUND, "not-found", "there is no such resource")
    }
}

fn listing(ehr: &Shared, snapshot: Arc<Snapshot>, grant: Grant, items: Vec<Item>) -> Listing {
    Listing {
        snapshot,
        client: grant.client,
        types: grant.types,
        items,
        page: super::query::PAGE,
        include: Vec::new(),
        this: String::new(),
        notes: Vec::new(),
        last_updated: ehr.temper.last_updated,
        endless: false.into(),
    }
}

fn first_page(ehr: &Shared, listing: Listing) -> Result<Response, Refused> {
    let listing = Arc::new(listing);
    let name = ehr.listings.keep(Arc::clone(&listing));
    give_page(ehr, &listing, &name, 0)
}

fn give_page(ehr: &Shared, listing: &Listing, name: &str, from: usize) -> Result<Response, Refused> {
    let address = |from: usize| format!("{}/page/{name}/{from}", ehr.base());
    let after = from.saturating_add(listing.page);
    let mut next = (after < listing.items.len()).then(|| address(after));
    if ehr.faults.fires(Fault::NextEndless) {
        listing.endless.store(true, std::sync::atomic::Ordering::SeqCst);
    }
    if listing.is_endless() {
        next = Some(address(after));
    }
    if ehr.faults.fires(Fault::NextLoops) {
        next = Some(address(from));
    } else if ehr.faults.fires(Fault::NextElsewhere) {
        next = Some(format!("{}/page/{name}/{after}", ehr.elsewhere));
    }
    let bundle = listing.bundle(ehr.base(), from, next.as_deref())?;
    if ehr.faults.fires(Fault::SearchCut) {
        let half = bundle.as_bytes()[..bundle.len() / 2].to_vec();
        let mut response = fhir_text(StatusCode::OK, String::new());
        *response.body_mut() = body::bytes(half, true);
        return Ok(response);
    }
    Ok(fhir_text(StatusCode::OK, bundle))
}

/// An address with its parameters, encoded.
fn address(path: &str, parameters: &Parameters) -> String {
    match reqwest::Url::parse_with_params(path, parameters) {
        Ok(url) if !parameters.is_empty() => url.into(),
        _ => path.to_owned(),
    }
}

/// Reads files on a thread that may wait for them.
async fn blocking(work: impl FnOnce() -> Result<Response, Refused> + Send + 'static) -> Result<Response, Refused> {
    let failed = || Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the data could not be read");
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(failed()))
}

/// What `$everything` asks for.
struct Everything {
    types: Option<BTreeSet<String>>,
    since: Option<Timestamp>,
    count: usize,
    ignored: Vec<String>,
}

impl Everything {
    fn read(parameters: &Parameters, ehr: &Shared, lenient: bool) -> Result<Self, Refused> {
        let mut wanted = Self {
            types: None,
            since: None,
            count: super::query::PAGE,
            ignored: Vec::new(),
        };
        let odd = |name: &str| Refused::invalid(format!("the value of `{name}` is not one that this server has"));
        for (name, value) in parameters {
            match name.as_str() {
                "_type" => wanted.types.get_or_insert_default().extend(value.split(',').map(str::to_owned)),
                "_since" if ehr.temper.last_updated => wanted.since = Some(value.parse().map_err(|_| odd(name))?),
                "_count" => wanted.count = value.parse().ok().filter(|count| *count > 0).ok_or_else(|| odd(name))?,
                _ if lenient => wanted.ignored.push(name.clone()),
                _ => return Err(Refused::invalid(format!("the parameter `{name}` is not supported"))),
            }
        }
        Ok(wanted)
    }

    fn items(&self, snapshot: &Snapshot, patient: &str, grant: &Grant) -> Result<Vec<Item>, SimulateError> {
        let index = snapshot.index()?;
        let wanted = |kind: &str| {
            let within = |types: &Option<BTreeSet<String>>| types.as_ref().is_none_or(|types| types.contains(kind));
            within(&self.types) && within(&grant.types)
        };
        let mut found = Vec::new();
        let mut referenced = HashSet::new();
        for (kind, rows) in index.of_patient(patient) {
            for line in snapshot.lines(kind, rows)? {
                collect_references(&line, &mut referenced);
            }
            found.extend(rows.iter().map(|row| (kind.to_owned(), *row)));
        }
        found.extend(targets(index, &referenced));
        found.retain(|(kind, row)| {
            let since = self
                .since
                .is_none_or(|since| index.kind(kind).is_some_and(|all| all.updated(*row) > since));
            wanted(kind) && since
        });
        Ok(found.into_iter().map(|(kind, row)| Item::Row(kind.into(), row)).collect())
    }
}
