//! One unit of the crawl under way: resources sorted by type, each once in a run, with all that must be entered with them.
//! Two units at a time never take the same resource: what one holds, the other leaves to it, and both are entered or repeated.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::body::NotTaken;
use super::super::by_type::{ByType, resource_line};
use super::super::error::PullError;
use super::super::outcome::{Issues, Severity};
use super::super::veil::Key;
use super::journal::Journal;
use super::page::{self, Mode};
use super::rows::{Entry, Member};
use crate::fhir::name::Name;
use crate::fhir::tree::{Node, Tree};
use crate::landing::{Kind, Landing, LandingError};
use crate::platform::database;

pub(super) const MERGED: &str = "patients go on under another id: the old id was not searched";

const OTHERS: &str = "resources of other patients came when one patient's were asked for, and were not taken: the EHR does not know the \
     search parameter";

/// What is asked of every resource of a run. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sieve {
    pub(super) landing: Landing,
    pub(super) journal: Journal,
    /// Types that are landed.
    wanted: Arc<BTreeSet<String>>,
    /// Types that are read where others refer to them.
    pub(super) referred: Arc<BTreeSet<String>>,
    attachments: bool,
    /// Whether some type is searched patient by patient, and so whoever a merged patient goes on as.
    by_patient: bool,
    /// The FHIR base, with a slash at its end.
    pub(super) base: Arc<str>,
    claims: Arc<Mutex<HashSet<(Key, Key)>>>,
}

impl Sieve {
    pub(super) fn new(
        landing: &Landing,
        journal: &Journal,
        (wanted, referred): (BTreeSet<String>, BTreeSet<String>),
        attachments: bool,
        by_patient: bool,
        base: &str,
    ) -> Self {
        Self {
            landing: landing.clone(),
            journal: journal.clone(),
            wanted: Arc::new(wanted),
            referred: Arc::new(referred),
            attachments,
            by_patient,
            base: base.into(),
            claims: Arc::default(),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.contains(name)
    }

    fn claims(&self) -> MutexGuard<'_, HashSet<(Key, Key)>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Its resources.
    Land,
    /// Its resources, and whom it names.
    LandAndMeet,
    /// Whom it names, and nothing else.
    Meet,
}

/// What a page gave besides its resources.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) next: Option<String>,
    pub(super) total: Option<u64>,
    /// Hashes of the matches, by type and id.
    pub(super) matches: Vec<Key>,
    /// OperationOutcomes that say that something is missing.
    pub(super) errors: u64,
    pub(super) people: People,
    /// Of a single resource that is a merged Patient.
    pub(super) merged: bool,
}

/// Who an answer to a search for the cohort names. Ids, so without `Debug`.
#[derive(Default)]
pub(super) struct People {
    pub(super) members: Vec<Member>,
    /// Entries that name no patient of this server.
    pub(super) strangers: u64,
}

/// Resources under way.
pub(super) struct Basket {
    sieve: Sieve,
    lines: ByType,
    tree: Tree,
    /// Whose resources are searched; `None`: not one patient's.
    pub(super) patient: Option<String>,
    /// Landed by this unit.
    pub(super) resources: u64,
    pub(super) entry: Entry,
}

impl Basket {
    pub(super) fn new(sieve: &Sieve) -> Self {
        Self {
            lines: ByType::new(sieve.landing.clone(), sieve.journal.run),
            tree: Tree::new(),
            patient: None,
            resources: 0,
            entry: Entry::default(),
            sieve: sieve.clone(),
        }
    }

    /// Plain bytes taken.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// Takes the page of a search for `name` (of `$everything` when that is `None`).
    /// # Errors: `Refused` when it is no page; nothing of it was taken then.
    pub(super) fn page(&mut self, text: &[u8], name: Option<&str>, of: Use) -> Result<Taken, NotTaken> {
        let mut tree = std::mem::take(&mut self.tree);
        let taken = self.entries(&mut tree, text, name, of);
        self.tree = tree;
        taken
    }

    fn entries(&mut self, tree: &mut Tree, text: &[u8], name: Option<&str>, of: Use) -> Result<Taken, NotTaken> {
        let page = page::read(tree, text, name).map_err(|why| NotTaken::Refused(why.to_owned()))?;
        let mut taken = Taken {
            next: page.next.map(std::borrow::Cow::into_owned),
            total: page.total,
            ..Taken::default()
        };
        let mut resources = Vec::with_capacity(page.entries.len());
        for (mode, resource) in page.entries {
            let of_type = resource.resource_type().unwrap_or_default();
            let id = page::id(resource).unwrap_or_default();
            match mode {
                Mode::Outcome => {
                    let issues = Issues::parse(resource.raw().as_bytes()).unwrap_or_default();
                    taken.errors += u64::from(issues.severity() == Severity::Error);
                    self.lines.write(Kind::Outcome, "OperationOutcome", &resource_line(resource))?;
                    continue;
                }
                Mode::Match => taken.matches.push(self.sieve.journal.veil.resource(of_type, &id)),
                Mode::Include => {}
            }
            if mode == Mode::Match && self.is_of_another(resource) {
                // FHIR lets a server ignore a parameter it does not know: the answer is everybody's then.
                *self.entry.notes.entry((OTHERS, true)).or_default() += 1;
                self.entry.types.entry(of_type.to_owned()).or_default().failures += 1;
                continue;
            }
            if of != Use::Land && mode == Mode::Match {
                self.person(resource, of_type, &id, of, &mut taken.people);
            }
            resources.push(resource);
        }
        if of != Use::Meet {
            self.resources(&resources)?;
        }
        Ok(taken)
    }

    /// Whether one patient's resources are searched, and this one says it is another's.
    fn is_of_another(&self, resource: Node<'_, '_>) -> bool {
        let Some(patient) = &self.patient else { return false };
        let subject = page::subject(resource);
        let named = subject.as_deref().and_then(|subject| page::local(subject, &self.sieve.base));
        matches!(named, Some(("Patient", id)) if id != patient)
    }

    /// Takes the answer to a read of `name`/`id`.
    /// # Errors: `Refused` when it is another resource; nothing was taken then.
    pub(super) fn single(&mut self, text: &[u8], name: &str, id: &str) -> Result<Taken, NotTaken> {
        let mut tree = std::mem::take(&mut self.tree);
        let taken = page::parse(&mut tree, text)
            .map_err(|why| NotTaken::Refused(why.to_owned()))
            .and_then(|resource| {
                let is_it = resource.resource_type() == Some(name) && page::id(resource).is_some_and(|found| found == id);
                if !is_it {
                    return Err(NotTaken::Refused("it is another resource than the one asked for".to_owned()));
                }
                self.resources(&[resource])?;
                Ok(Taken {
                    merged: name == "Patient" && page::replaced_by(resource).is_some(),
                    ..Taken::default()
                })
            });
        self.tree = tree;
        taken
    }

    fn resources(&mut self, resources: &[Node<'_, '_>]) -> Result<(), NotTaken> {
        let mut lines = Vec::with_capacity(resources.len());
        for &resource in resources {
            let name = resource.resource_type().unwrap_or_default();
            let Some(id) = page::id(resource).filter(|_| self.sieve.wants(name)) else {
                continue;
            };
            if name == "Patient"
                && let Some(next) = page::replaced_by(resource)
            {
                self.merged(&id, &next)?;
                continue;
            }
            let line = resource_line(resource);
            let veil = &self.sieve.journal.veil;
            let version = match page::version(resource) {
                Some(version) => veil.hash(&[b"version", version.as_bytes()]),
                None => veil.hash(&[b"content", &line]),
            };
            lines.push(((veil.resource(name, &id), version), name, resource, line));
        }
        let keys: Vec<(Key, Key)> = lines.iter().map(|(key, ..)| *key).collect();
        let fresh = self.claim(&keys)?;
        for ((_, name, resource, line), fresh) in lines.into_iter().zip(fresh) {
            if let Some(changed) = page::changed(resource) {
                let newest = &mut self.entry.types.entry(name.to_owned()).or_default().newest;
                *newest = (*newest).max(Some(changed));
            }
            if fresh {
                self.lines.write(Kind::Resources, name, &line)?;
                self.resources += 1;
                self.follow(name, resource);
            }
        }
        Ok(())
    }

    /// Which of `keys` neither this run landed nor a unit under way holds; they are this unit's now.
    fn claim(&mut self, keys: &[(Key, Key)]) -> Result<Vec<bool>, NotTaken> {
        let journal = &self.sieve.journal;
        // Under the claims' lock, so that no unit ends between the two looks.
        let mut claims = self.sieve.claims();
        let seen: Vec<bool> = database::read(&journal.database, |db| {
            keys.iter()
                .map(|(resource, version)| Journal::is_seen(db, journal.run, resource, version))
                .collect()
        })
        .map_err(|error| NotTaken::Landing(error.into()))?;
        let fresh: Vec<bool> = keys.iter().zip(seen).map(|(key, seen)| !seen && claims.insert(*key)).collect();
        drop(claims);
        let ours = keys.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(key, _)| *key);
        self.entry.seen.extend(ours);
        Ok(fresh)
    }

    /// A merged patient is landed as a deletion: whoever goes on is a patient already, or becomes one of the cohort.
    fn merged(&mut self, id: &str, next: &str) -> Result<(), NotTaken> {
        *self.entry.notes.entry((MERGED, false)).or_default() += 1;
        if self.sieve.by_patient
            && let Some(("Patient", next)) = page::local(next, &self.sieve.base)
        {
            self.entry.members.push(Member {
                id: next.to_owned(),
                landed: false,
            });
        }
        self.deleted(id)
    }

    /// Lands the deletion of `Patient/id`, as Bulk Data writes deletions.
    pub(super) fn deleted(&mut self, id: &str) -> Result<(), NotTaken> {
        if !self.sieve.wants("Patient") {
            return Ok(());
        }
        let url = format!("Patient/{id}");
        let bundle = serde_json::json!({"resourceType": "Bundle", "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": url}}]});
        let key = (
            self.sieve.journal.veil.resource("Patient", id),
            self.sieve.journal.veil.hash(&[b"deleted"]),
        );
        if self.claim(&[key])?[0] {
            self.lines.write(Kind::Deleted, "Bundle", format!("{bundle}\n").as_bytes())?;
        }
        Ok(())
    }

    fn person(&self, resource: Node<'_, '_>, of_type: &str, id: &str, of: Use, people: &mut People) {
        let member = |id: &str, landed| Member { id: id.to_owned(), landed };
        if of_type == "Patient" {
            match page::replaced_by(resource) {
                None if !id.is_empty() => people
                    .members
                    .push(member(id, of == Use::LandAndMeet && self.sieve.wants("Patient"))),
                // A merged one is taken care of where it would be landed.
                Some(next) if of == Use::Meet => match page::local(&next, &self.sieve.base) {
                    Some(("Patient", next)) => people.members.push(member(next, false)),
                    _ => people.strangers += 1,
                },
                _ => {}
            }
            return;
        }
        let subject = page::subject(resource);
        match subject.as_deref().and_then(|subject| page::local(subject, &self.sieve.base)) {
            Some(("Patient", id)) => people.members.push(member(id, false)),
            _ => people.strangers += 1,
        }
    }

    /// Remembers what the resource refers to and shall be read.
    fn follow(&mut self, name: &str, resource: Node<'_, '_>) {
        let (sieve, references) = (&self.sieve, &mut self.entry.references);
        if !sieve.referred.is_empty() {
            page::references(resource, &mut |holder: Name, reference| {
                let Some((of_type, id)) = page::local(reference, &sieve.base) else {
                    return;
                };
                // A patient's Observations come by search; only those that a panel or a report names might be kept back.
                let wanted = of_type != "Observation" || matches!(holder.as_str(), "hasMember" | "result");
                if wanted && sieve.referred.contains(of_type) {
                    references.insert((of_type.to_owned(), id.to_owned()));
                }
            });
        }
        if sieve.attachments && name == "DocumentReference" {
            let mut elsewhere = 0;
            page::attachments(resource, &mut |url| match page::local(url, &sieve.base) {
                Some(("Binary", id)) => {
                    references.insert(("Binary".to_owned(), id.to_owned()));
                }
                _ => elsewhere += 1,
            });
            if elsewhere > 0 {
                let note = "attachments lie elsewhere than in a Binary of this EHR: not fetched";
                *self.entry.notes.entry((note, false)).or_default() += elsewhere;
            }
        }
    }

    /// Enters the unit: durable files first, then their rows with all that the unit saw, in one transaction.
    /// # Errors: the disk, the database, or another call that took the run over.
    pub(super) fn enter(self) -> Result<(), PullError> {
        let Self { sieve, lines, entry, .. } = self;
        let sealed = lines.finish()?;
        let entered = sieve.landing.register(sealed, |tx, _| sieve.journal.enter(tx, &entry));
        let entered = entered.map_err(|error| match error {
            LandingError::Database(database::DatabaseError::Statement {
                source: rusqlite::Error::StatementChangedRows(_),
                ..
            }) => PullError::Overtaken,
            other => other.into(),
        });
        // Rows before claims: whoever finds no claim finds the row.
        let mut claims = sieve.claims();
        for key in &entry.seen {
            claims.remove(key);
        }
        entered.map(drop)
    }
}
