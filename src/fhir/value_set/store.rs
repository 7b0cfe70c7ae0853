//! Every ValueSet and CodeSystem that was given, by canonical. Keeps texts, and reads one when it is first asked for.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::OnceLock;

use super::File;
use super::ask::Systems;
use super::code_system::CodeSystem;
use super::compose::{self, Compiled};
use super::grammar;
use super::json::{LIMITS, text};
use super::membership::Membership;
use crate::fhir::path::place;
use crate::fhir::tree::Tree;

/// Why a file cannot be used. Lines and columns begin at 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ValueSetFault {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    sets: Vec<Set>,
    set_by_url: HashMap<String, Vec<usize>>,
    systems: Vec<System>,
    system_by_url: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
struct Set {
    head: Head,
    /// All codes of this CodeSystem, by its own `valueSet`.
    of_system: Option<usize>,
    compiled: OnceLock<Compiled>,
    systems: OnceLock<Systems>,
}

#[derive(Debug)]
struct System {
    head: Head,
    read: OnceLock<CodeSystem>,
}

#[derive(Clone, Debug)]
struct Head {
    file: String,
    text: String,
    url: String,
    version: Option<String>,
    /// The network's own, and not a package's.
    own: bool,
}

/// Why a canonical names no ValueSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    None,
    Several,
}

impl Store {
    pub(super) fn read(own: &[File], packages: Vec<File>) -> (Self, Vec<ValueSetFault>) {
        let (mut store, mut faults, mut implied) = (Self::default(), Vec::new(), Vec::new());
        let mut tree = Tree::new();
        let own = own.iter().map(|file| (file.clone(), true));
        for ((file, text), own) in own.chain(packages.into_iter().map(|file| (file, false))) {
            store.add(&mut tree, file, text, own, &mut implied, &mut faults);
        }
        for (url, system) in implied {
            let head = store.systems[system].head.clone();
            if !store.set_by_url.contains_key(&url) {
                store.add_set(Head { url, ..head }, Some(system));
            }
        }
        for at in 0..store.sets.len() {
            let set = &store.sets[at];
            if set.head.own {
                let undecided = store.compiled(at).undecided.iter();
                faults.extend(undecided.map(|(offset, message)| set.head.fault(*offset, message)));
            }
        }
        (store, faults)
    }

    fn add(
        &mut self,
        tree: &mut Tree,
        file: String,
        source: String,
        own: bool,
        implied: &mut Vec<(String, usize)>,
        faults: &mut Vec<ValueSetFault>,
    ) {
        let root = match tree.parse(source.as_bytes(), &LIMITS) {
            Ok(root) => root,
            Err(error) => {
                let (line, column) = place(&source, error.offset);
                let message = format!("is not JSON: {}", error.rule);
                faults.push(ValueSetFault {
                    file,
                    line,
                    column,
                    message,
                });
                return;
            }
        };
        let fault = |message: String| {
            let (line, column) = (1, 1);
            let file = file.clone();
            ValueSetFault {
                file,
                line,
                column,
                message,
            }
        };
        let is_set = match root.resource_type() {
            Some("ValueSet") => true,
            Some("CodeSystem") => false,
            _ if own => return faults.push(fault("is neither ValueSet nor CodeSystem".to_owned())),
            _ => return,
        };
        let (url, version, value_set) = (text(root, "url"), text(root, "version"), text(root, "valueSet"));
        let Some(url) = url else {
            if own {
                faults.push(fault("needs a `url`: expressions name it by that".to_owned()));
            }
            return;
        };
        let known = if is_set {
            self.set_by_url.get(&url)
        } else {
            self.system_by_url.get(&url)
        };
        let head = |at: &usize| if is_set { &self.sets[*at].head } else { &self.systems[*at].head };
        if let Some(known) = known.into_iter().flatten().map(head).find(|known| known.version == version) {
            if own && known.own {
                let kind = if is_set { "ValueSet" } else { "CodeSystem" };
                faults.push(fault(format!("a {kind} with the url `{url}` and this version is already there")));
            }
            return;
        }
        let text = source;
        let head = Head {
            file,
            text,
            url,
            version,
            own,
        };
        if is_set {
            return self.add_set(head, None);
        }
        let at = self.systems.len();
        implied.extend(value_set.map(|url| (url, at)));
        self.system_by_url.entry(head.url.clone()).or_default().push(at);
        let read = OnceLock::new();
        self.systems.push(System { head, read });
    }

    fn add_set(&mut self, head: Head, of_system: Option<usize>) {
        self.set_by_url.entry(head.url.clone()).or_default().push(self.sets.len());
        let (compiled, systems) = (OnceLock::new(), OnceLock::new());
        self.sets.push(Set {
            head,
            of_system,
            compiled,
            systems,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn url(&self, at: usize) -> &str {
        &self.sets[at].head.url
    }

    pub(super) fn find(&self, canonical: &str) -> Result<usize, Lost> {
        let (url, version) = split(canonical);
        let known = self.set_by_url.get(url).ok_or(Lost::None)?;
        let head = |at: usize| &self.sets[at].head;
        if version.is_none() && known.iter().filter(|at| head(**at).own).count() > 1 {
            return Err(Lost::Several);
        }
        choose(known, version, head).ok_or(Lost::None)
    }

    /// The CodeSystem, and whether it is the version that is asked for.
    pub(super) fn system(&self, url: &str, version: Option<&str>) -> Option<(usize, bool)> {
        // Some write the version into the system itself.
        let (plain, inner) = split(url);
        let known = self.system_by_url.get(url).or_else(|| self.system_by_url.get(plain))?;
        let version = version.or(inner);
        let head = |at: usize| &self.systems[at].head;
        match choose(known, version, head) {
            Some(at) => Some((at, true)),
            None => Some((choose(known, None, head)?, false)),
        }
    }

    pub(super) fn code_system(&self, at: usize) -> &CodeSystem {
        let System { head, read } = &self.systems[at];
        read.get_or_init(|| CodeSystem::read(&head.text))
    }

    pub(super) fn system_file(&self, at: usize) -> &str {
        &self.systems[at].head.file
    }

    pub(super) fn has_whole_system(&self, system: &str) -> bool {
        self.system(system, None)
            .is_some_and(|(at, exact)| exact && self.code_system(at).is_whole)
    }

    pub(super) fn code(&self, system: &str, code: &str) -> Membership {
        match self.system(system, None) {
            Some((at, exact)) => match self.code_system(at).code(code) {
                Membership::Out if !exact => Membership::Unknown,
                Membership::Unknown => grammar::code(system, code),
                known => known,
            },
            None => grammar::code(system, code),
        }
    }

    pub(super) fn compiled(&self, at: usize) -> &Compiled {
        let Set {
            head, of_system, compiled, ..
        } = &self.sets[at];
        compiled.get_or_init(|| match of_system {
            Some(system) => Compiled::whole(self, *system, &self.systems[*system].head.url),
            None => Compiled::read(self, at, &head.text),
        })
    }

    pub(super) fn systems(&self, at: usize) -> &Systems {
        self.sets[at].systems.get_or_init(|| self.find_systems(at))
    }

    /// `from` names `wanted`, by way of others or itself. Read from their texts: none need be compiled for it.
    pub(super) fn reaches(&self, from: usize, wanted: usize) -> bool {
        let (mut seen, mut left) = (vec![false; self.sets.len()], vec![from]);
        while let Some(at) = left.pop() {
            if at == wanted {
                return true;
            }
            if std::mem::replace(&mut seen[at], true) || self.sets[at].of_system.is_some() {
                continue;
            }
            left.extend(
                compose::imports(&self.sets[at].head.text)
                    .iter()
                    .filter_map(|name| self.find(name).ok()),
            );
        }
        false
    }

    pub(super) fn undecided(&self, at: usize) -> Vec<String> {
        let (mut seen, mut left, mut found) = (vec![false; self.sets.len()], vec![at], Vec::new());
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let compiled = self.compiled(at);
            found.extend(compiled.undecided.iter().map(|(_, message)| message.clone()));
            left.extend(compiled.imports());
        }
        found.dedup();
        found
    }
}

impl Head {
    fn fault(&self, offset: usize, message: &str) -> ValueSetFault {
        let (line, column) = place(&self.text, offset);
        ValueSetFault {
            file: self.file.clone(),
            line,
            column,
            message: message.to_owned(),
        }
    }
}

/// Url and version of a canonical.
pub(super) fn split(canonical: &str) -> (&str, Option<&str>) {
    match canonical.split_once('|') {
        Some((url, version)) => (url, Some(version)),
        None => (canonical, None),
    }
}

/// Of several with one url, the version that is asked for; else the network's own; else the latest.
fn choose<'s>(known: &[usize], version: Option<&str>, head: impl Fn(usize) -> &'s Head) -> Option<usize> {
    let fits = known
        .iter()
        .copied()
        .filter(|at| version.is_none() || head(*at).version.as_deref() == version);
    fits.max_by(|a, b| {
        let (a, b) = (head(*a), head(*b));
        a.own.cmp(&b.own).then_with(|| compare(a.version.as_deref(), b.version.as_deref()))
    })
}

/// `4.0.10` is later than `4.0.9`; where no numbers stand, by the letter.
fn compare(a: Option<&str>, b: Option<&str>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_some().cmp(&b.is_some());
    };
    let (mut left, mut right) = (a.split(['.', '-']), b.split(['.', '-']));
    loop {
        let (one, other) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => (one, other),
        };
        let order = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => one.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
