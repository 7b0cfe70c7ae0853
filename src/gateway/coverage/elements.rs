//! Walks a resource beside R4's tables and what the mapping reads: which elements are there that nobody looks at.
//! An element that nobody reads is told once, not again with everything below it. Shows names of R4 and urls of extensions only.

use std::collections::HashMap;

use super::patients::Patients;
use crate::fhir::name::Name;
use crate::fhir::path::Reads;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;

/// Different elements kept; the data decides how many urls of extensions there are.
const MAX_ELEMENTS: usize = 20_000;

/// Administration of the record itself, which no table is about.
const NOT_CONTENT: [&str; 4] = ["resourceType", "meta", "text", "implicitRules"];

#[derive(Default)]
pub(super) struct Elements {
    met: HashMap<String, Met>,
    path: String,
    /// Number of the resource, so that each counts once.
    now: u64,
    beyond: u64,
}

struct Met {
    state: State,
    last: u64,
    resources: u64,
    patients: Patients,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unread,
    /// Read, and what is below is looked at one by one.
    Through,
    Whole,
}

/// An element that is in the data and that nobody reads.
pub(super) struct Found {
    pub path: String,
    pub resources: u64,
    pub patients: u64,
}

impl Elements {
    pub(super) fn resource(&mut self, reads: &Reads, root: Node<'_, '_>, patient: Option<u64>) {
        let Some(type_id) = root.resource_type().and_then(TypeId::of) else {
            return;
        };
        self.now += 1;
        self.path.clear();
        self.path.push_str(type_id.as_str());
        self.object(reads, root, type_id, patient);
    }

    fn object(&mut self, reads: &Reads, node: Node<'_, '_>, type_id: TypeId, patient: Option<u64>) {
        for child in node.children() {
            let name = child.name();
            if name.as_str() == "resourceType" || (type_id.is_resource() && NOT_CONTENT.contains(&name.as_str())) {
                continue;
            }
            let known = Some(name)
                .filter(|name| *name != Name::UNKNOWN)
                .and_then(|name| type_id.child(name));
            let length = self.path.len();
            self.path.push('.');
            // A name that R4 does not have might be a value.
            self.path.push_str(if known.is_some() { name.as_str() } else { "?" });
            let below = known.map(|child| child.type_id).filter(|_| !name.is_companion());
            if child.kind() == Kind::Array {
                for item in child.children() {
                    self.element(reads, item, name, below, patient);
                }
            } else {
                self.element(reads, child, name, below, patient);
            }
            self.path.truncate(length);
        }
    }

    fn element(&mut self, reads: &Reads, node: Node<'_, '_>, name: Name, type_id: Option<TypeId>, patient: Option<u64>) {
        let length = self.path.len();
        if matches!(name, Name::EXTENSION | Name::MODIFIER_EXTENSION)
            && let Some(url) = node.get(Name::URL).map(Node::text).filter(|url| is_url(url))
        {
            self.path.push('[');
            self.path.push_str(&url);
            self.path.push(']');
        }
        if self.note(reads, patient) == Some(State::Through)
            && node.kind() == Kind::Object
            && let Some(type_id) = type_id.filter(|type_id| !type_id.is_resource())
        {
            self.object(reads, node, type_id, patient);
        }
        self.path.truncate(length);
    }

    /// Counts the element at `self.path`; `None` where there is no room to remember it.
    fn note(&mut self, reads: &Reads, patient: Option<u64>) -> Option<State> {
        if !self.met.contains_key(self.path.as_str()) {
            if self.met.len() >= MAX_ELEMENTS {
                self.beyond += 1;
                return None;
            }
            let state = if reads.takes_whole(&self.path) {
                State::Whole
            } else if reads.touches(&self.path) {
                State::Through
            } else {
                State::Unread
            };
            let met = Met {
                state,
                last: 0,
                resources: 0,
                patients: Patients::default(),
            };
            self.met.insert(self.path.clone(), met);
        }
        let met = self.met.get_mut(self.path.as_str())?;
        if met.state == State::Unread && met.last != self.now {
            met.last = self.now;
            met.resources += 1;
            if let Some(patient) = patient {
                met.patients.add(patient);
            }
        }
        Some(met.state)
    }

    /// The elements nobody reads, the most frequent first, and how many were met that there was no room for.
    pub(super) fn unread(self) -> (Vec<Found>, u64) {
        let unread = self.met.into_iter().filter(|(_, met)| met.state == State::Unread);
        let mut found: Vec<_> = unread
            .map(|(path, met)| Found {
                path,
                resources: met.resources,
                patients: met.patients.count(),
            })
            .collect();
        found.sort_by(|a, b| b.resources.cmp(&a.resources).then_with(|| a.path.cmp(&b.path)));
        (found, self.beyond)
    }
}

/// The url of an extension's definition, or the short name of one within another.
fn is_url(text: &str) -> bool {
    let definition = text.starts_with("http://") || text.starts_with("https://") || text.starts_with("urn:oid:");
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/#|~".contains(&byte);
    let short = text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    (definition && text.len() <= 200 && text.bytes().all(letters)) || short
}
