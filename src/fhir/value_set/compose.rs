//! A ValueSet's `compose` or `expansion` in parts that can be asked: what each include and exclude wants of a code, and what of
//! it nobody can decide here.

use std::collections::{HashMap, HashSet};

use super::filter::Filter;
use super::grammar::{self, Knowledge};
use super::json::{LIMITS, items, member, text};
use super::store::{Lost, Store};
use crate::fhir::tree::{Kind, Node, Tree};

/// A ValueSet in parts.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) include: Vec<Part>,
    pub(super) exclude: Vec<Part>,
    /// What cannot be decided: byte offset in its text, and why.
    pub(super) undecided: Vec<(usize, String)>,
}

/// One include or exclude: a code belongs if every line of it says so.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) system: Option<String>,
    pub(super) source: Source,
    pub(super) filters: Vec<Filter>,
    pub(super) sets: Vec<usize>,
    /// Something that it asks for is not there.
    pub(super) is_broken: bool,
}

/// Where the codes of a part's system are known from.
#[derive(Debug)]
pub(super) enum Source {
    /// It names only other ValueSets.
    Any,
    Listed(HashSet<String>),
    /// In lower case: the system does not tell cases apart.
    ListedFolded(HashSet<String>),
    /// A CodeSystem that is loaded; whether it is the version asked for.
    Loaded {
        system: usize,
        exact: bool,
    },
    /// A CodeSystem that is not loaded: its grammar says what it can.
    Grammar,
    Nothing,
}

impl Compiled {
    /// Every code of a CodeSystem.
    pub(super) fn whole(store: &Store, system: usize, url: &str) -> Self {
        let mut compiled = Self::default();
        if !store.code_system(system).is_whole {
            compiled
                .undecided
                .push((0, "the CodeSystem is not complete: list the codes".to_owned()));
        }
        let source = Source::Loaded { system, exact: true };
        compiled.include.push(Part {
            system: Some(url.to_owned()),
            source,
            filters: Vec::new(),
            sets: Vec::new(),
            is_broken: false,
        });
        compiled
    }

    /// The ValueSet number `at`, whose text this is.
    pub(super) fn read(store: &Store, at: usize, source: &str) -> Self {
        let mut tree = Tree::new();
        let mut compiled = Self::default();
        let Ok(root) = tree.parse(source.as_bytes(), &LIMITS) else {
            return compiled;
        };
        let mut reader = Reader {
            store,
            at,
            undecided: Vec::new(),
        };
        if let Some(expansion) = complete_expansion(root) {
            compiled.include = listed(store, expansion);
        } else if let Some(compose) = member(root, "compose") {
            compiled.include = items(compose, "include").map(|part| reader.part(part)).collect();
            compiled.exclude = items(compose, "exclude").map(|part| reader.part(part)).collect();
        } else {
            let message = "has neither `compose` nor a complete `expansion`: nothing says which codes belong";
            reader.undecided.push((0, message.to_owned()));
            compiled.include.push(Part::nothing());
        }
        compiled.undecided = reader.undecided;
        compiled
    }

    /// The ValueSets it names.
    pub(super) fn imports(&self) -> impl Iterator<Item = usize> {
        self.include.iter().chain(&self.exclude).flat_map(|part| part.sets.iter().copied())
    }
}

impl Part {
    fn nothing() -> Self {
        Self {
            system: None,
            source: Source::Nothing,
            filters: Vec::new(),
            sets: Vec::new(),
            is_broken: true,
        }
    }
}

struct Reader<'s> {
    store: &'s Store,
    at: usize,
    undecided: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn part(&mut self, part: Node<'_, '_>) -> Part {
        let system = text(part, "system");
        let names = items(part, "valueSet").filter(|node| node.kind() == Kind::String);
        let names: Vec<_> = names.collect();
        if system.is_none() && names.is_empty() {
            self.undecided.push((part.offset(), "needs a `system` or a `valueSet`".to_owned()));
            return Part::nothing();
        }
        let (mut sets, mut is_broken) = (Vec::new(), false);
        for name in names {
            match self.import(name) {
                Some(set) => sets.push(set),
                None => is_broken = true,
            }
        }
        let filters: Vec<Filter> = items(part, "filter").map(Filter::read).collect();
        let source = match &system {
            None => Source::Any,
            Some(system) => {
                let codes: HashSet<String> = items(part, "concept").filter_map(|concept| text(concept, "code")).collect();
                if codes.is_empty() {
                    self.system(part, system, &filters)
                } else {
                    list(self.store, system, codes)
                }
            }
        };
        Part {
            system,
            source,
            filters,
            sets,
            is_broken,
        }
    }

    fn import(&mut self, canonical: Node<'_, '_>) -> Option<usize> {
        let name = canonical.text();
        let message = match self.store.find(&name) {
            Ok(set) if set == self.at || self.store.reaches(set, self.at) => "the ValueSet includes itself, by way of others".to_owned(),
            Ok(set) => return Some(set),
            Err(Lost::None) => format!("the ValueSet `{name}` is not in the package"),
            Err(Lost::Several) => format!("the package has several versions of the ValueSet `{name}`: say which, with `|`"),
        };
        self.undecided.push((canonical.offset(), message));
        None
    }

    /// All codes of a system, or those that its filters leave.
    fn system(&mut self, part: Node<'_, '_>, system: &str, filters: &[Filter]) -> Source {
        let version = text(part, "version");
        let loaded = self.store.system(system, version.as_deref());
        let mut tell = |message: String| self.undecided.push((part.offset(), message));
        let (source, is_decided) = match loaded {
            None => {
                let decided = grammar::knowledge(system) == Knowledge::Whole;
                if !decided && filters.is_empty() {
                    tell(format!(
                        "the CodeSystem `{system}` is not in the package: add it, or list the codes"
                    ));
                }
                let can = decided && filters.iter().all(|filter| grammar::can_filter(system, filter));
                (Source::Grammar, can || filters.is_empty())
            }
            Some((at, exact)) => {
                if let (false, Some(version)) = (exact, &version) {
                    tell(format!(
                        "asks for version `{version}` of the CodeSystem `{system}`; the package has another"
                    ));
                }
                let known = self.store.code_system(at);
                if !known.is_whole && filters.is_empty() {
                    let file = self.store.system_file(at);
                    tell(format!("the CodeSystem in {file} is not complete: list the codes"));
                }
                let can = known.is_whole && filters.iter().all(Filter::is_understood);
                (Source::Loaded { system: at, exact }, can || filters.is_empty())
            }
        };
        if !is_decided {
            tell(format!(
                "a filter needs a terminology server that knows `{system}`: list the codes, or give the ValueSet with its complete expansion"
            ));
        }
        source
    }
}

fn list(store: &Store, system: &str, codes: HashSet<String>) -> Source {
    let folds = store.system(system, None).is_some_and(|(at, _)| store.code_system(at).folds);
    if folds {
        Source::ListedFolded(codes.iter().map(|code| code.to_lowercase()).collect())
    } else {
        Source::Listed(codes)
    }
}

/// The canonicals of ValueSets that a ValueSet's text names.
pub(super) fn imports(source: &str) -> Vec<String> {
    let mut tree = Tree::new();
    let Ok(root) = tree.parse(source.as_bytes(), &LIMITS) else {
        return Vec::new();
    };
    let compose = member(root, "compose").filter(|_| complete_expansion(root).is_none());
    let parts = compose
        .into_iter()
        .flat_map(|compose| items(compose, "include").chain(items(compose, "exclude")));
    let names = parts
        .flat_map(|part| items(part, "valueSet"))
        .filter(|name| name.kind() == Kind::String);
    names.map(|name| name.text().into_owned()).collect()
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

fn listed(store: &Store, expansion: Node<'_, '_>) -> Vec<Part> {
    let mut by_system: HashMap<String, HashSet<String>> = HashMap::new();
    each_contained(expansion, &mut |entry| {
        let is_abstract = member(entry, "abstract").is_some_and(|flag| flag.raw() == "true");
        if let (Some(system), Some(code), false) = (text(entry, "system"), text(entry, "code"), is_abstract) {
            by_system.entry(system).or_default().insert(code);
        }
    });
    let mut parts: Vec<_> = by_system.into_iter().collect();
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    let part = |(system, codes): (String, HashSet<String>)| Part {
        source: list(store, &system, codes),
        system: Some(system),
        filters: Vec::new(),
        sets: Vec::new(),
        is_broken: false,
    };
    parts.into_iter().map(part).collect()
}

fn each_contained<'t, 'a>(expansion: Node<'t, 'a>, visit: &mut dyn FnMut(Node<'t, 'a>)) {
    // A stack of our own: how deep entries nest is their author's choice.
    let mut left: Vec<_> = items(expansion, "contains").collect();
    while let Some(entry) = left.pop() {
        visit(entry);
        left.extend(items(entry, "contains"));
    }
}
