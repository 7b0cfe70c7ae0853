//! What a search found, page by page: a searchset Bundle of the resources' own bytes, so that a search and an export of
//! the same resource give the same text. Basis: FHIR R4 (4.0.1), Search, 3.1.1.7.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::error::SimulateError;
use super::super::span;
use super::super::world::patient;
use super::index::Snapshot;
use super::query::{Criterion, Query, Sort, at};
use super::shared::lock;
use super::terms::{Compare, Term};
use crate::platform::random;

/// Lines held against a search at a time.
const BATCH: usize = 512;
/// Searches whose further pages can be had; the oldest are forgotten first.
const LISTINGS_AT_MOST: usize = 2000;

/// One thing found.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Item {
    Row(Arc<str>, u32),
    /// A resource that stands in no file.
    Text(Arc<str>, Arc<str>),
}

/// What a search found.
pub(super) struct Listing {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) client: String,
    /// The types its client may read; None: all.
    pub(super) types: Option<BTreeSet<String>>,
    pub(super) items: Vec<Item>,
    pub(super) page: usize,
    pub(super) include: Vec<(&'static Term, Option<String>)>,
    /// The address that asks the same.
    pub(super) this: String,
    /// What the client shall know: parameters that were ignored.
    pub(super) notes: Vec<String>,
    /// Whether resources say when they were last updated.
    pub(super) last_updated: bool,
    /// Pages without end, on order.
    pub(super) endless: AtomicBool,
}

/// The rows of a type that a search finds, in its order.
pub(super) fn rows(snapshot: &Snapshot, query: &Query) -> Result<Vec<u32>, SimulateError> {
    let Some(kind) = snapshot.index()?.kind(&query.kind) else {
        return Ok(Vec::new());
    };
    // What the index knows narrows the rows; only the rest is read.
    let (mut narrowed, mut to_read): (Option<BTreeSet<u32>>, Vec<&Criterion>) = (None, Vec::new());
    let mut updated = Vec::new();
    for criterion in &query.criteria {
        let plain = criterion.is_plain();
        let found: Option<BTreeSet<u32>> = match (criterion.term.compare, criterion.term.name) {
            (Compare::Token, "_id") if plain => Some(criterion.values.iter().filter_map(|id| kind.row_of(id)).collect()),
            (Compare::Patient, _) if plain => Some(
                criterion
                    .patients()
                    .filter_map(|id| kind.of_patient(id))
                    .flatten()
                    .copied()
                    .collect(),
            ),
            (Compare::Token, "identifier") if plain => {
                to_read.push(criterion);
                let numbers = criterion
                    .values
                    .iter()
                    .map(|value| value.split_once('|').map_or(value.as_str(), |(_, number)| number));
                let rows: Option<Vec<_>> = numbers
                    .map(|number| kind.of_identifier(number).filter(|_| !number.is_empty()))
                    .collect();
                rows.map(|rows| rows.into_iter().flatten().copied().collect())
            }
            (_, "_lastUpdated") if plain => {
                updated.push(criterion);
                continue;
            }
            _ => {
                to_read.push(criterion);
                continue;
            }
        };
        if let Some(found) = found {
            narrowed = Some(match narrowed {
                None => found,
                Some(before) => &before & &found,
            });
        }
    }
    let mut rows: Vec<u32> = narrowed.map_or_else(|| (0..kind.len()).collect(), |rows| rows.into_iter().collect());
    rows.retain(|row| updated.iter().all(|criterion| criterion.at(kind.updated(*row))));
    if !to_read.is_empty() {
        let mut holding = Vec::new();
        for batch in rows.chunks(BATCH) {
            let lines = snapshot.lines(&query.kind, batch)?;
            holding.extend(
                batch
                    .iter()
                    .zip(lines)
                    .filter(|(_, line)| query.holds(&to_read, line))
                    .map(|(row, _)| *row),
            );
        }
        rows = holding;
    }
    match query.sort {
        None => {}
        Some(Sort::OldestFirst) => rows.sort_by_key(|row| kind.updated(*row)),
        Some(Sort::NewestFirst) => rows.sort_by_key(|row| std::cmp::Reverse(kind.updated(*row))),
    }
    Ok(rows)
}

impl Listing {
    /// The page that begins at item `from`, as a Bundle; `next` is its next page's address.
    pub(super) fn bundle(&self, base: &str, from: usize, next: Option<&str>) -> Result<String, SimulateError> {
        let items = self.items.get(from..).unwrap_or_default();
        let items = &items[..items.len().min(self.page)];
        let mut entries = Vec::new();
        let mut there = HashSet::new();
        let (mut wanted, mut notes) = (Vec::new(), self.notes.clone());
        for (item, line) in items.iter().zip(self.texts(items)?) {
            let kind = item.kind();
            there.insert((kind.to_owned(), span::get_plain(&line, "id").unwrap_or_default().to_owned()));
            self.targets(kind, &line, &mut wanted);
            entries.push(self.entry(base, kind, &line, "match"));
        }
        for (kind, id) in wanted {
            let Some(row) = self.snapshot.index()?.kind(&kind).and_then(|all| all.row_of(&id)) else {
                continue;
            };
            if !there.insert((kind.clone(), id)) {
                continue;
            }
            if self.types.as_ref().is_some_and(|types| !types.contains(&kind)) {
                notes.push(format!("{kind} is not within the token's scopes and was not included"));
                continue;
            }
            for line in self.snapshot.lines(&kind, &[row])? {
                entries.push(self.entry(base, &kind, &line, "include"));
            }
        }
        notes.sort();
        notes.dedup();
        if !notes.is_empty() && from == 0 {
            let issues: Vec<_> = notes
                .iter()
                .map(|note| json!({ "severity": "warning", "code": "not-supported", "diagnostics": note }))
                .collect();
            let outcome = json!({ "resourceType": "OperationOutcome", "issue": issues });
            entries.push(format!(r#"{{"resource":{outcome},"search":{{"mode":"outcome"}}}}"#));
        }
        Ok(bundle(self.items.len(), &self.this, next, &entries))
    }

    /// The number alone.
    pub(super) fn total(&self) -> String {
        bundle(self.items.len(), &self.this, None, &[])
    }

    fn entry(&self, base: &str, kind: &str, line: &str, mode: &str) -> String {
        let id = span::get_plain(line, "id").unwrap_or_default();
        let line = shown(line, self.last_updated);
        format!(r#"{{"fullUrl":"{base}/{kind}/{id}","resource":{line},"search":{{"mode":"{mode}"}}}}"#)
    }

    /// The texts of items, in their order.
    fn texts(&self, items: &[Item]) -> Result<Vec<String>, SimulateError> {
        let mut texts = vec![String::new(); items.len()];
        let mut rows: HashMap<&str, Vec<(u32, usize)>> = HashMap::new();
        for (place, item) in items.iter().enumerate() {
            match item {
                Item::Text(_, text) => texts[place] = text.to_string(),
                Item::Row(kind, row) => rows.entry(kind).or_default().push((*row, place)),
            }
        }
        for (kind, mut rows) in rows {
            rows.sort_unstable();
            let numbers: Vec<u32> = rows.iter().map(|(row, _)| *row).collect();
            for ((_, place), line) in rows.iter().zip(self.snapshot.lines(kind, &numbers)?) {
                texts[*place] = line;
            }
        }
        Ok(texts)
    }

    /// What a resource refers to by the parameters to include: types and ids.
    fn targets(&self, kind: &str, line: &str, targets: &mut Vec<(String, String)>) {
        if self.include.is_empty() {
            return;
        }
        let resource: Value = serde_json::from_str(line).unwrap_or_default();
        for (term, only) in &self.include {
            let found: Vec<(String, String)> = if term.compare == Compare::Patient {
                patient(kind, line)
                    .map(|id| ("Patient".to_owned(), id.to_owned()))
                    .into_iter()
                    .collect()
            } else {
                let values = term.paths.split(' ').flat_map(|path| at(&resource, path));
                values.filter_map(|value| split(value.get("reference")?.as_str()?)).collect()
            };
            targets.extend(found.into_iter().filter(|(kind, _)| only.as_ref().is_none_or(|only| only == kind)));
        }
    }
}

impl Item {
    fn kind(&self) -> &str {
        match self {
            Self::Row(kind, _) | Self::Text(kind, _) => kind,
        }
    }
}

/// Type and id of a reference.
pub(super) fn split(reference: &str) -> Option<(String, String)> {
    let reference = reference.split("/_history/").next()?;
    let (before, id) = reference.rsplit_once('/')?;
    Some((before.rsplit('/').next()?.to_owned(), id.to_owned()))
}

/// A resource as this EHR shows it.
pub(super) fn shown(line: &str, last_updated: bool) -> std::borrow::Cow<'_, str> {
    if last_updated {
        return line.into();
    }
    match span::get(line, "meta") {
        Some(meta) if span::get(meta, "lastUpdated").is_some() => span::set(line, "meta", &span::without(meta, "lastUpdated")).into(),
        _ => line.into(),
    }
}

fn bundle(total: usize, this: &str, next: Option<&str>, entries: &[String]) -> String {
    let mut links = vec![json!({ "relation": "self", "url": this })];
    links.extend(next.map(|url| json!({ "relation": "next", "url": url })));
    let links = Value::from(links);
    let entries = if entries.is_empty() {
        String::new()
    } else {
        format!(r#","entry":[{}]"#, entries.join(","))
    };
    format!(r#"{{"resourceType":"Bundle","type":"searchset","total":{total},"link":{links}{entries}}}"#)
}

/// Searches whose further pages can be had.
#[derive(Default)]
pub(super) struct Listings(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Names, the oldest first.
    order: VecDeque<String>,
    all: HashMap<String, Arc<Listing>>,
}

impl Listings {
    /// Keeps a listing; the name that stands in the addresses of its pages.
    pub(super) fn keep(&self, listing: Arc<Listing>) -> String {
        let name = random::hex(12);
        let mut kept = lock(&self.0);
        kept.order.push_back(name.clone());
        kept.all.insert(name.clone(), listing);
        if kept.order.len() > LISTINGS_AT_MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.all.remove(&oldest);
        }
        name
    }

    pub(super) fn find(&self, name: &str, client: &str) -> Option<Arc<Listing>> {
        lock(&self.0).all.get(name).filter(|listing| listing.client == client).cloned()
    }
}

impl Listing {
    pub(super) fn is_endless(&self) -> bool {
        self.endless.load(Ordering::SeqCst)
    }
}
