//! ConceptMaps as an index from (system, code) to the target code. Basis: FHIR R4 ConceptMap; the first target whose
//! equivalence is neither `unmatched` nor `disjoint` counts.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::fhir::tree::{Kind, Node, Tree};

use super::fault::MappingFault;
use super::file::{Faults, items, member, read, text};

/// One ConceptMap, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct ConceptMap {
    groups: HashMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    codes: HashMap<String, String>,
    /// Codes that the map says have no target.
    unmatched: HashSet<String>,
    unmapped: Unmapped,
}

/// `group.unmapped`
#[derive(Debug, Default)]
enum Unmapped {
    #[default]
    None,
    /// The source's code stands for itself.
    Provided,
    Fixed(String),
}

impl ConceptMap {
    /// The target code that the map has for this code itself.
    pub(super) fn target(&self, system: &str, code: &str) -> Option<&str> {
        self.groups.get(system)?.codes.get(code).map(String::as_str)
    }

    /// What the map says of codes of this system that it does not know.
    fn otherwise(&self, system: &str, code: &str) -> Option<Cow<'_, str>> {
        match &self.groups.get(system)?.unmapped {
            Unmapped::None => None,
            Unmapped::Provided => Some(Cow::Owned(code.to_owned())),
            Unmapped::Fixed(fixed) => Some(Cow::Borrowed(fixed)),
        }
    }

    /// Why the map has no target for a code.
    fn reason(&self, system: &str, code: &str) -> &'static str {
        match self.groups.get(system) {
            None => "no-group",
            Some(group) if group.unmatched.contains(code) => "no-target",
            Some(_) => "no-code",
        }
    }

    /// The map's canonical url and the map.
    /// # Errors: every fault of the file.
    pub(super) fn load(file: &str, source: &str) -> Result<(String, ConceptMap), Vec<MappingFault>> {
        let mut faults = Faults::new(file, source);
        let mut tree = Tree::new();
        let root = match read(&mut tree, source) {
            Ok(root) => root,
            Err(error) => {
                faults.syntax(error);
                return Err(faults.all);
            }
        };
        if root.resource_type() != Some("ConceptMap") {
            faults.at(0, "is no ConceptMap");
            return Err(faults.all);
        }
        let url = text(root, "url").unwrap_or_else(|| {
            faults.at(0, "the ConceptMap needs a `url`: views name it by that");
            String::new()
        });
        let mut map = ConceptMap::default();
        for group in items(root, "group") {
            map.group(group, &mut faults);
        }
        if faults.all.is_empty() { Ok((url, map)) } else { Err(faults.all) }
    }

    fn group(&mut self, node: Node<'_, '_>, faults: &mut Faults<'_>) {
        let Some(source) = text(node, "source") else {
            faults.at(node.offset(), "a group needs a `source`: the code system it reads");
            return;
        };
        let group = self.groups.entry(source).or_default();
        for element in items(node, "element") {
            let Some(code) = text(element, "code") else {
                faults.at(element.offset(), "an element needs a `code`");
                continue;
            };
            let counts = |target: &Node<'_, '_>| !matches!(text(*target, "equivalence").as_deref(), Some("unmatched" | "disjoint"));
            let Some(target) = items(element, "target").filter(counts).find_map(|target| text(target, "code")) else {
                group.unmatched.insert(code);
                continue;
            };
            if group.codes.insert(code.clone(), target).is_some() {
                faults.at(element.offset(), format!("code `{code}` stands twice in the map"));
            }
        }
        let Some(unmapped) = member(node, "unmapped").filter(|unmapped| unmapped.kind() == Kind::Object) else {
            return;
        };
        group.unmapped = match (text(unmapped, "mode").as_deref(), text(unmapped, "code")) {
            (Some("provided"), _) => Unmapped::Provided,
            (Some("fixed"), Some(code)) => Unmapped::Fixed(code),
            (Some("fixed"), None) => {
                faults.at(unmapped.offset(), "`unmapped` of mode `fixed` needs a `code`");
                return;
            }
            _ => {
                faults.at(
                    unmapped.offset(),
                    "`unmapped.mode` must be `provided` or `fixed`; other maps are not followed",
                );
                return;
            }
        };
    }
}

/// Every code of a ConceptMap with its target, whatever its code system, in the order of the codes.
/// # Errors: every fault of the file.
pub fn code_pairs(file: &str, source: &str) -> Result<Vec<(String, String)>, Vec<MappingFault>> {
    let (_, map) = ConceptMap::load(file, source)?;
    let mut pairs: Vec<_> = map.groups.into_values().flat_map(|group| group.codes).collect();
    pairs.sort_unstable();
    Ok(pairs)
}

/// Codes met on the way to a target, in order: the first that the map itself knows wins, then the first that it has a
/// word for otherwise.
pub(super) struct Codes<'m> {
    map: &'m ConceptMap,
    target: Option<&'m str>,
    otherwise: Option<Cow<'m, str>>,
    /// The first code without a target, and why it has none.
    first: Option<(String, String, &'static str)>,
    met: bool,
}

impl<'m> Codes<'m> {
    pub(super) fn new(map: &'m ConceptMap) -> Self {
        Self {
            map,
            target: None,
            otherwise: None,
            first: None,
            met: false,
        }
    }

    /// `true` while more codes are wanted.
    pub(super) fn meet(&mut self, system: &str, code: &str) -> bool {
        self.met = true;
        if self.target.is_some() {
            return false;
        }
        self.target = self.map.target(system, code);
        if self.target.is_some() {
            return false;
        }
        if self.otherwise.is_none() {
            self.otherwise = self.map.otherwise(system, code);
        }
        if self.first.is_none() {
            self.first = Some((system.to_owned(), code.to_owned(), self.map.reason(system, code)));
        }
        true
    }

    pub(super) fn met(&self) -> bool {
        self.met
    }

    pub(super) fn target(&self) -> Option<Cow<'m, str>> {
        self.target.map(Cow::Borrowed).or_else(|| self.otherwise.clone())
    }

    /// System, code and why, of the first code met that has no target.
    pub(super) fn unmapped(&self) -> Option<(&str, &str, &'static str)> {
        self.first
            .as_ref()
            .map(|(system, code, reason)| (system.as_str(), code.as_str(), *reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"{"resourceType":"ConceptMap","url":"u","group":[
        {"source":"a","element":[{"code":"1","target":[{"code":"no","equivalence":"unmatched"},{"code":"one","equivalence":"wider"}]},
                                 {"code":"2","target":[{"code":"no","equivalence":"disjoint"}]}],
         "unmapped":{"mode":"fixed","code":"other"}},
        {"source":"b","element":[],"unmapped":{"mode":"provided"}}]}"#;

    #[test]
    fn a_code_maps_by_its_system_and_its_first_real_target() {
        let (_, map) = ConceptMap::load("m.json", MAP).expect("a ConceptMap");
        assert_eq!(map.target("a", "1"), Some("one"));
        assert_eq!(map.target("a", "2"), None);
        assert_eq!(map.target("b", "1"), None);
        assert_eq!(map.otherwise("a", "2").as_deref(), Some("other"));
        assert_eq!(map.otherwise("b", "7").as_deref(), Some("7"));
        assert_eq!(map.otherwise("c", "7"), None);
        let reasons = [("a", "2"), ("a", "3"), ("c", "7")].map(|(system, code)| map.reason(system, code));
        assert_eq!(reasons, ["no-target", "no-code", "no-group"]);
    }

    #[test]
    fn a_fault_names_file_line_and_column() {
        let faults = ConceptMap::load("m.json", "{\"resourceType\":\"ConceptMap\",\n \"url\":\"u\",\"group\":[{}]}").expect_err("a fault");
        assert_eq!((faults[0].file.as_str(), faults[0].line, faults[0].column), ("m.json", 2, 21));
    }
}
