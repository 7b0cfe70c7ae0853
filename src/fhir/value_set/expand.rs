//! ValueSets and CodeSystems, as JSON, to the codes that belong. Each ValueSet is worked out once; one that leads back to itself
//! is a fault.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Codes, ValueSetFault, ValueSets};
use crate::fhir::path::place;
use crate::fhir::tree::{Kind, Limits, Node, Tree};

/// Limits on one file.
const LIMITS: Limits = Limits {
    line_bytes: 64 << 20,
    depth: 64,
};

/// One resource of a file.
#[derive(Clone, Copy)]
struct Given<'t, 'f> {
    file: &'f str,
    source: &'f str,
    root: Node<'t, 'f>,
}

impl Given<'_, '_> {
    fn fault(&self, offset: usize, message: impl Into<String>) -> ValueSetFault {
        let (line, column) = place(self.source, offset);
        ValueSetFault {
            file: self.file.to_owned(),
            line,
            column,
            message: message.into(),
        }
    }
}

pub(super) fn load(files: &[(String, String)]) -> Result<ValueSets, Vec<ValueSetFault>> {
    let mut trees: Vec<Tree> = files.iter().map(|_| Tree::new()).collect();
    let (mut faults, mut sets, mut systems) = (Vec::new(), Vec::new(), HashMap::new());
    for (tree, (file, source)) in trees.iter_mut().zip(files) {
        let root = match tree.parse(source.as_bytes(), &LIMITS) {
            Ok(root) => root,
            Err(error) => {
                let (line, column) = place(source, error.offset);
                faults.push(ValueSetFault {
                    file: file.clone(),
                    line,
                    column,
                    message: format!("is not JSON: {}", error.rule),
                });
                continue;
            }
        };
        let given = Given { file, source, root };
        let Some(url) = text(root, "url") else {
            faults.push(given.fault(0, "needs a `url`: expressions name it by that"));
            continue;
        };
        match root.resource_type() {
            Some("ValueSet") => sets.push((url, text(root, "version"), given)),
            Some("CodeSystem") => {
                if let Some(implied) = text(root, "valueSet") {
                    sets.push((implied, text(root, "version"), given));
                }
                if systems.insert(url.clone(), given).is_some() {
                    faults.push(given.fault(0, format!("a CodeSystem with the url `{url}` is already there")));
                }
            }
            _ => faults.push(given.fault(0, "is neither ValueSet nor CodeSystem")),
        }
    }
    for (at, (url, version, given)) in sets.iter().enumerate() {
        if sets[..at].iter().any(|(known, other, _)| known == url && other == version) {
            faults.push(given.fault(0, format!("a ValueSet with the url `{url}` and this version is already there")));
        }
    }
    let mut expander = Expander {
        done: sets.iter().map(|_| State::Waiting).collect(),
        sets,
        systems,
        faults,
    };
    let mut all = ValueSets::default();
    for at in 0..expander.sets.len() {
        let codes = expander.set(at);
        let (url, version, _) = &expander.sets[at];
        all.sets.entry(url.clone()).or_default().push((version.clone(), codes));
    }
    if expander.faults.is_empty() {
        Ok(all)
    } else {
        Err(expander.faults)
    }
}

enum State {
    Waiting,
    UnderWay,
    Done(Arc<Codes>),
}

struct Expander<'t, 'f> {
    /// Url, version, resource.
    sets: Vec<(String, Option<String>, Given<'t, 'f>)>,
    done: Vec<State>,
    systems: HashMap<String, Given<'t, 'f>>,
    faults: Vec<ValueSetFault>,
}

impl Expander<'_, '_> {
    fn set(&mut self, at: usize) -> Arc<Codes> {
        let given = self.sets[at].2;
        match &self.done[at] {
            State::Done(codes) => return Arc::clone(codes),
            State::UnderWay => {
                self.faults.push(given.fault(0, "the ValueSet includes itself, by way of others"));
                return Arc::default();
            }
            State::Waiting => self.done[at] = State::UnderWay,
        }
        let mut codes = Codes::default();
        if given.root.resource_type() == Some("CodeSystem") {
            codes = self.whole(given, given, 0);
        } else if let Some(expansion) = complete_expansion(given.root) {
            contained(expansion, &mut codes);
        } else if let Some(compose) = member(given.root, "compose") {
            for include in items(compose, "include") {
                let more = self.part(given, include);
                codes.add_all(&more);
            }
            for exclude in items(compose, "exclude") {
                let less = self.part(given, exclude);
                codes.take_away(&less);
            }
        } else {
            self.faults.push(given.fault(
                0,
                "has neither `compose` nor a complete `expansion`: nothing says which codes belong",
            ));
        }
        let codes = Arc::new(codes);
        self.done[at] = State::Done(Arc::clone(&codes));
        codes
    }

    /// One `include` or `exclude`: what its system, its list and every ValueSet it names have in common.
    fn part(&mut self, given: Given<'_, '_>, part: Node<'_, '_>) -> Codes {
        if items(part, "filter").next().is_some() {
            let message = "a filter needs a terminology server: list the codes, or give the ValueSet with its complete expansion";
            self.faults.push(given.fault(part.offset(), message));
            return Codes::default();
        }
        let mut common: Option<Codes> = text(part, "system").map(|system| {
            let mut listed = Codes::default();
            let mut any = false;
            for concept in items(part, "concept") {
                any = true;
                if let Some(code) = text(concept, "code") {
                    listed.add(&system, code);
                }
            }
            if any { listed } else { self.system(given, part, &system) }
        });
        for canonical in items(part, "valueSet").filter(|node| node.kind() == Kind::String) {
            let other = self.import(given, canonical);
            match &mut common {
                Some(common) => common.keep(&other),
                None => common = Some(other.as_ref().clone()),
            }
        }
        common.unwrap_or_else(|| {
            self.faults.push(given.fault(part.offset(), "needs a `system` or a `valueSet`"));
            Codes::default()
        })
    }

    fn import(&mut self, given: Given<'_, '_>, canonical: Node<'_, '_>) -> Arc<Codes> {
        let name = canonical.text();
        let (url, version) = match name.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (&*name, None),
        };
        let fits = |(own, of, _): &&(String, Option<String>, Given<'_, '_>)| own == url && (version.is_none() || of.as_deref() == version);
        let found: Vec<usize> = (0..self.sets.len()).filter(|at| fits(&&self.sets[*at])).collect();
        match found.as_slice() {
            [at] => self.set(*at),
            [] => {
                let message = format!("the ValueSet `{name}` is not in the package");
                self.faults.push(given.fault(canonical.offset(), message));
                Arc::default()
            }
            _ => {
                let message = format!("the package has several versions of the ValueSet `{name}`: say which, with `|`");
                self.faults.push(given.fault(canonical.offset(), message));
                Arc::default()
            }
        }
    }

    /// Every code of a CodeSystem.
    fn system(&mut self, given: Given<'_, '_>, part: Node<'_, '_>, system: &str) -> Codes {
        let Some(found) = self.systems.get(system).copied() else {
            let message = format!("the CodeSystem `{system}` is not in the package: add it, or list the codes");
            self.faults.push(given.fault(part.offset(), message));
            return Codes::default();
        };
        if let Some(version) = text(part, "version").filter(|version| text(found.root, "version").as_deref() != Some(version)) {
            let message = format!("asks for version `{version}` of the CodeSystem `{system}`; the package has another");
            self.faults.push(given.fault(part.offset(), message));
        }
        self.whole(found, given, part.offset())
    }

    /// `asking`, at `offset`, wants all codes of the CodeSystem `found`.
    fn whole(&mut self, found: Given<'_, '_>, asking: Given<'_, '_>, offset: usize) -> Codes {
        let mut codes = Codes::default();
        if text(found.root, "content").as_deref() != Some("complete") {
            let message = format!("the CodeSystem in {} is not complete: list the codes", found.file);
            self.faults.push(asking.fault(offset, message));
        }
        let system = text(found.root, "url").unwrap_or_default();
        // A stack of our own: how deep concepts nest is their author's choice.
        let mut left: Vec<_> = items(found.root, "concept").collect();
        while let Some(concept) = left.pop() {
            codes.systems.entry(system.clone()).or_default().extend(text(concept, "code"));
            left.extend(items(concept, "concept"));
        }
        codes
    }
}

/// `expansion`, unless it is a page or says that it is cut.
fn complete_expansion<'t, 'a>(root: Node<'t, 'a>) -> Option<Node<'t, 'a>> {
    let expansion = member(root, "expansion")?;
    let number = |name| member(expansion, name).and_then(|number| number.raw().parse::<usize>().ok());
    let mut count = 0;
    each_contained(expansion, &mut |_| count += 1);
    let cut = items(expansion, "parameter").any(|parameter| matches!(text(parameter, "name").as_deref(), Some("limitedExpansion")));
    let whole = number("offset").unwrap_or(0) == 0 && number("total").is_none_or(|total| total == count);
    (count > 0 && whole && !cut).then_some(expansion)
}

fn contained(expansion: Node<'_, '_>, codes: &mut Codes) {
    each_contained(expansion, &mut |entry| {
        let is_abstract = member(entry, "abstract").is_some_and(|flag| flag.raw() == "true");
        if let (Some(system), Some(code), false) = (text(entry, "system"), text(entry, "code"), is_abstract) {
            codes.add(&system, code);
        }
    });
}

fn each_contained<'t, 'a>(expansion: Node<'t, 'a>, visit: &mut dyn FnMut(Node<'t, 'a>)) {
    let mut left: Vec<_> = items(expansion, "contains").collect();
    while let Some(entry) = left.pop() {
        visit(entry);
        left.extend(items(entry, "contains"));
    }
}

fn member<'t, 'a>(node: Node<'t, 'a>, name: &str) -> Option<Node<'t, 'a>> {
    node.children().find(|child| child.name_text() == name)
}

fn items<'t, 'a>(node: Node<'t, 'a>, name: &str) -> impl Iterator<Item = Node<'t, 'a>> + use<'t, 'a> {
    let list = member(node, name).filter(|list| list.kind() == Kind::Array);
    list.into_iter().flat_map(Node::children)
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    let value = member(node, name).filter(|value| value.kind() == Kind::String)?;
    Some(value.text().into_owned())
}
