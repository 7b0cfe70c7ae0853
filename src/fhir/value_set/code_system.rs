//! The concepts of one CodeSystem: codes, what stands above each, properties. Basis: FHIR R4 CodeSystem.

use std::collections::{HashMap, HashSet};

use super::json::{LIMITS, choice, items, member, text};
use super::membership::Membership;
use crate::fhir::tree::Tree;

/// What is loaded of a CodeSystem.
#[derive(Debug, Default)]
pub(super) struct CodeSystem {
    /// It says that it is complete.
    pub(super) is_whole: bool,
    /// It does not tell upper and lower case apart; its codes are kept in lower case.
    pub(super) folds: bool,
    concepts: HashMap<String, Concept>,
}

#[derive(Debug, Default)]
pub(super) struct Concept {
    pub(super) parents: Vec<String>,
    pub(super) display: Option<String>,
    /// Property and value, as text.
    pub(super) properties: Vec<(String, String)>,
}

impl CodeSystem {
    pub(super) fn read(source: &str) -> Self {
        let mut tree = Tree::new();
        let mut system = Self::default();
        let Ok(root) = tree.parse(source.as_bytes(), &LIMITS) else {
            return system;
        };
        system.folds = member(root, "caseSensitive").is_some_and(|flag| flag.raw() == "false");
        // A stack of our own: how deep concepts nest is their author's choice.
        let mut left: Vec<_> = items(root, "concept").map(|concept| (concept, None)).collect();
        while let Some((node, above)) = left.pop() {
            let Some(code) = text(node, "code") else { continue };
            let code = system.spelled(&code).into_owned();
            let mut children: Vec<String> = Vec::new();
            let mut concept = Concept {
                parents: above.into_iter().collect(),
                display: text(node, "display"),
                properties: Vec::new(),
            };
            for property in items(node, "property") {
                let (Some(name), Some(value)) = (text(property, "code"), choice(property, "value")) else {
                    continue;
                };
                match name.as_str() {
                    "parent" | "subsumedBy" => concept.parents.push(system.spelled(&value).into_owned()),
                    "child" => children.push(system.spelled(&value).into_owned()),
                    _ => {}
                }
                concept.properties.push((name, value));
            }
            left.extend(items(node, "concept").map(|child| (child, Some(code.clone()))));
            for child in children {
                system.concepts.entry(child).or_default().parents.push(code.clone());
            }
            let known = system.concepts.entry(code).or_default();
            known.parents.append(&mut concept.parents);
            known.properties.append(&mut concept.properties);
            known.display = concept.display;
        }
        system.is_whole = text(root, "content").as_deref() == Some("complete") && !system.concepts.is_empty();
        system
    }

    /// The code as it is kept.
    pub(super) fn spelled<'c>(&self, code: &'c str) -> std::borrow::Cow<'c, str> {
        if self.folds { code.to_lowercase().into() } else { code.into() }
    }

    pub(super) fn code(&self, code: &str) -> Membership {
        match self.concepts.contains_key(&*self.spelled(code)) {
            true => Membership::In,
            false if self.is_whole => Membership::Out,
            false => Membership::Unknown,
        }
    }

    pub(super) fn concept(&self, code: &str) -> Option<&Concept> {
        self.concepts.get(&*self.spelled(code))
    }

    /// `above` stands above `code`, however far.
    pub(super) fn is_below(&self, code: &str, above: &str) -> bool {
        let (above, code) = (self.spelled(above), self.spelled(code));
        let mut seen = HashSet::new();
        let mut left = vec![&*code];
        while let Some(at) = left.pop() {
            for parent in self.concepts.get(at).into_iter().flat_map(|concept| &concept.parents) {
                if *parent == above {
                    return true;
                }
                if seen.insert(parent.as_str()) {
                    left.push(parent);
                }
            }
        }
        false
    }

    /// `parent` stands directly above `code`.
    pub(super) fn is_child(&self, code: &str, parent: &str) -> bool {
        let parent = self.spelled(parent);
        self.concept(code)
            .is_some_and(|concept| concept.parents.iter().any(|own| *own == parent))
    }

    /// Some code names `code` as what stands above it.
    pub(super) fn has_below(&self, code: &str) -> bool {
        let code = self.spelled(code);
        self.concepts
            .values()
            .any(|concept| concept.parents.iter().any(|parent| *parent == code))
    }
}
