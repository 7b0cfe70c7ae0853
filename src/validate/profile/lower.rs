//! From a tree of elements to lists of rules: what says no more than FHIR's own types is left out, what cannot be checked is
//! said. One for each StructureDefinition.

use std::collections::HashMap;

use super::checks::Maker;
use super::discriminator::{Cursor, Said, Untold, words};
use super::draft::Draft;
use super::facts::{Facts, Sliced};
use super::rule::{Checks, Expect, List, ListId, MOST_RULES, Place, Rule, Slice, Slicing, Test};
use crate::fhir::name::Name;
use crate::fhir::types::{Child, TypeId};

/// Rules of one definition: more than any has.
const MOST: usize = 50_000;

pub(super) struct Lowering<'m, 'r> {
    pub maker: &'m mut Maker<'r>,
    pub lists: Vec<List>,
    pub support: Vec<String>,
    /// Of a type's own definition: the rules of the types of its backbone elements.
    pub backbones: Vec<(TypeId, Checks, ListId)>,
    /// The lists by the element's path, for those that another element says to be like.
    by_path: HashMap<String, ListId>,
    contents: Vec<(Owner, String)>,
    rules: usize,
}

/// Which rule of which list.
struct Owner {
    list: ListId,
    rule: usize,
}

impl<'m, 'r> Lowering<'m, 'r> {
    pub fn new(maker: &'m mut Maker<'r>) -> Self {
        Self {
            maker,
            lists: vec![List::default()],
            support: Vec::new(),
            backbones: Vec::new(),
            by_path: HashMap::new(),
            contents: Vec::new(),
            rules: 0,
        }
    }

    /// The whole tree below `draft`, and what of it refers to another part.
    pub fn whole(&mut self, draft: &Draft, kind: TypeId) -> (Checks, ListId) {
        let checks = self.maker.checks(&draft.facts, &[kind], None, &draft.path);
        let root = self.list(draft, &[kind], kind.as_str());
        for (owner, target) in std::mem::take(&mut self.contents) {
            let path = target.rsplit('#').next().unwrap_or(&target);
            let found = self.by_path.get(path).copied().unwrap_or(ListId::NONE);
            let rule = self.lists[owner.list.0 as usize].rules.get_mut(owner.rule);
            if let Some(rule) = rule.filter(|rule| rule.children == ListId::NONE) {
                rule.children = found;
            }
        }
        (checks, root)
    }

    /// The rules of the children of `draft`, whose types are `kinds` and whose path with slices is `at`.
    pub fn list(&mut self, draft: &Draft, kinds: &[TypeId], at: &str) -> ListId {
        if draft.children.is_empty() {
            return ListId::NONE;
        }
        let id = ListId(self.lists.len() as u32);
        self.lists.push(List::default());
        self.by_path.entry(at.to_owned()).or_insert(id);
        let mut list = List::default();
        for child in &draft.children {
            let Some((rule, names, refused)) = self.rule(child, kinds, at) else {
                continue;
            };
            if list.rules.len() >= MOST_RULES || self.rules >= MOST {
                self.maker
                    .fault(&child.path, "there are more rules than can be checked: leave some out");
                break;
            }
            self.rules += 1;
            let place = list.rules.len();
            for (names, is_refused) in [(names, false), (refused, true)] {
                list.names.extend(names.iter().copied());
                list.places.extend(names.iter().map(|_| Place {
                    rule: place as u8,
                    refused: is_refused,
                }));
            }
            if let Some(target) = &child.facts.content {
                self.contents.push((Owner { list: id, rule: place }, target.clone()));
            }
            list.rules.push(rule);
        }
        if list.rules.is_empty() {
            return ListId::NONE;
        }
        self.lists[id.0 as usize] = list;
        id
    }

    /// The rule of one element, and the names it is for: those that count, and those that are not allowed.
    fn rule(&mut self, draft: &Draft, parents: &[TypeId], above: &str) -> Option<(Rule, Vec<Name>, Vec<Name>)> {
        let at = format!("{above}.{}", draft.label);
        let kinds = draft.kinds(parents);
        let (names, refused) = self.names(draft, parents);
        if names.is_empty() && refused.is_empty() {
            return None;
        }
        let base = self.base(draft, parents);
        self.types(draft, base);
        let (min, max) = self.range(&draft.facts, base);
        let support = self.support(&draft.facts, &at);
        let checks = self.maker.checks(&draft.facts, &kinds, base, &draft.path);
        let children = self.list(draft, &kinds, &at);
        let mut slot = 0;
        let slicing = self.slicing(draft, parents, &kinds, &at, &mut slot);
        let mut rule = Rule {
            label: draft.label.clone(),
            min,
            max,
            support,
            checks,
            children,
            slicing,
        };
        if self.maker.of_type
            && let [kind] = kinds.as_slice()
            && kind.as_str() == at
        {
            let checks = std::mem::take(&mut rule.checks);
            self.backbones.push((*kind, checks, rule.children));
            rule.children = ListId::NONE;
        }
        let says_more = min > 0 || max < u32::MAX || support.is_some() || !refused.is_empty() || draft.facts.content.is_some();
        (says_more || !rule.is_idle()).then_some((rule, names, refused))
    }

    /// Says where a network's own profile names a type that an element does not have.
    fn types(&mut self, draft: &Draft, base: Option<Child>) {
        let ([named], Some(base)) = (draft.facts.types.as_slice(), base) else {
            return;
        };
        let ours = base.type_id;
        if !self.maker.own || draft.label.ends_with("[x]") || ours == TypeId::RESOURCE || ours.as_str().contains('.') {
            return;
        }
        // The tables know some texts only as `string`.
        let is_alike = |theirs: TypeId| theirs == ours || (ours.primitive().is_some() && theirs.primitive() == ours.primitive());
        if !TypeId::of(&named.code).is_some_and(is_alike) && !named.code.starts_with("http") {
            self.maker.fault(&draft.path, format!("`type` is `{}` in FHIR R4", ours.as_str()));
        }
    }

    /// The element of R4 that this is, where there is only one.
    fn base(&self, draft: &Draft, parents: &[TypeId]) -> Option<Child> {
        let [parent] = parents else { return None };
        match draft.label.strip_suffix("[x]") {
            Some(stem) => parent.choice(stem).first().copied(),
            None => parent.child(Name::of(&draft.label)),
        }
    }

    /// How many there must and may be, where that is more than R4 says.
    fn range(&self, facts: &Facts, base: Option<Child>) -> (u32, u32) {
        let (min, max) = (facts.min.unwrap_or(0), facts.max.unwrap_or(u32::MAX));
        let said = base.is_some_and(|base| base.required > 0) && self.maker.repeats_base;
        let single = base.is_some_and(|base| !base.many);
        let of_type = self.maker.of_type;
        (
            if of_type || (min == 1 && said) { 0 } else { min },
            if of_type || (max == 1 && single) { u32::MAX } else { max },
        )
    }

    fn support(&mut self, facts: &Facts, at: &str) -> Option<u32> {
        if !facts.must_support || self.maker.quiet {
            return None;
        }
        self.support.push(at.to_owned());
        Some(self.support.len() as u32 - 1)
    }

    /// The names that count, and those of the types that a choice does not allow.
    fn names(&mut self, draft: &Draft, parents: &[TypeId]) -> (Vec<Name>, Vec<Name>) {
        let Some(stem) = draft.label.strip_suffix("[x]") else {
            return match Name::of(&draft.label) {
                Name::UNKNOWN => (Vec::new(), Vec::new()),
                name => (vec![name], Vec::new()),
            };
        };
        let all: Vec<Child> = parents.iter().flat_map(|parent| parent.choice(stem).iter().copied()).collect();
        let named: Vec<&str> = draft.facts.types.iter().map(|one| one.code.as_str()).collect();
        let is_kept = |child: &&Child| named.is_empty() || named.contains(&child.type_id.as_str());
        let kept: Vec<Name> = all.iter().filter(is_kept).map(|child| child.name).collect();
        let refused: Vec<Name> = all.iter().filter(|child| !is_kept(child)).map(|child| child.name).collect();
        let is_unknown = |code: &&&str| !all.iter().any(|child| child.type_id.as_str() == **code);
        if !all.is_empty() && named.iter().any(|code| is_unknown(&code)) {
            self.maker.fault(&draft.path, "`type` names a type that this choice does not have");
        }
        if kept.is_empty() {
            return (all.iter().map(|child| child.name).collect(), Vec::new());
        }
        (kept, refused)
    }

    /// The slices of an element. Where one of them cannot be told, none is checked.
    fn slicing(&mut self, draft: &Draft, parents: &[TypeId], kinds: &[TypeId], at: &str, slot: &mut usize) -> Option<Box<Slicing>> {
        if draft.slices.is_empty() {
            return None;
        }
        let mut sliced = draft.facts.slicing.clone().unwrap_or_default();
        if sliced.discriminators.is_empty() {
            sliced.discriminators = match draft.label.as_str() {
                "extension" | "modifierExtension" => Sliced::by_url().discriminators,
                label if label.ends_with("[x]") => Sliced::by_type().discriminators,
                _ => {
                    let message = "its slices are not told apart by a `slicing.discriminator`, so they are not checked";
                    self.maker.fault(&draft.path, message);
                    return None;
                }
            };
        }
        let mut found = Slicing {
            closed: sliced.closed,
            at_end: sliced.at_end,
            ordered: sliced.ordered,
            slices: Vec::new(),
            default: None,
        };
        for (name, slice) in &draft.slices {
            let own = slice.slice_kinds(parents, name, kinds);
            let own_at = format!("{at}:{name}");
            let is_default = name == "@default";
            let tests = match self.tests(slice, parents, &own, &sliced) {
                _ if is_default => Vec::new(),
                Ok(tests) => tests,
                Err(message) => {
                    let message = format!("slice `{name}` cannot be told from others, so the slices here are not checked: {message}");
                    self.maker.fault(&slice.path, message);
                    return None;
                }
            };
            if is_default {
                found.default = Some(found.slices.len());
            }
            let place = *slot;
            *slot += 1;
            let support = self.support(&slice.facts, &own_at);
            let checks = self.maker.checks(&slice.facts, &own, None, &slice.path);
            let children = self.list(slice, &own, &own_at);
            let slicing = self.slicing(slice, parents, &own, &own_at, slot);
            let (min, max) = (slice.facts.min.unwrap_or(0), slice.facts.max.unwrap_or(u32::MAX));
            found.slices.push(Slice {
                name: name.clone(),
                slot: place,
                min,
                max,
                support,
                tests,
                checks,
                children,
                slicing,
            });
        }
        Some(Box::new(found))
    }

    /// What must hold of an item of the slice.
    fn tests(&mut self, slice: &Draft, parents: &[TypeId], kinds: &[TypeId], sliced: &Sliced) -> Result<Vec<Test>, String> {
        let (mut tests, mut silent) = (Vec::new(), None);
        for (kind, path) in &sliced.discriminators {
            let words = words(path)?;
            // The type of a choice is in its name.
            if let (Some(stem), true, "type") = (slice.label.strip_suffix("[x]"), words.is_empty(), kind.as_str()) {
                let of_choice = parents.iter().flat_map(|parent| parent.choice(stem));
                let names: Vec<Name> = of_choice
                    .filter(|child| kinds.contains(&child.type_id))
                    .map(|child| child.name)
                    .collect();
                if !names.is_empty() {
                    tests.push(Test {
                        way: Vec::new(),
                        expect: Expect::Names(names),
                    });
                    continue;
                }
            }
            let (way, said) = match Cursor::at(slice, kinds).follow(kind, &words, self.maker.others) {
                Ok(found) => found,
                Err(Untold::Unusable(message)) => return Err(format!("by `{path}`, {message}")),
                Err(Untold::Silent(message)) => {
                    silent = silent.or(Some(format!("by `{path}`, {message}")));
                    continue;
                }
            };
            let expect = match said {
                Said::Expects(expect) => expect,
                Said::Element(draft, kinds) => self.element(draft, &kinds),
            };
            tests.push(Test { way, expect });
        }
        // Where one discriminator tells nothing of a slice, the others do.
        match silent {
            Some(message) if tests.is_empty() => Err(message),
            _ => Ok(tests),
        }
    }

    /// What an element says, its children included, as a test: no fault is said twice, nothing is counted.
    fn element(&mut self, draft: &Draft, kinds: &[TypeId]) -> Expect {
        let before = std::mem::replace(&mut self.maker.quiet, true);
        let mut checks = self.maker.checks(&draft.facts, kinds, None, &draft.path);
        let children = self.list(draft, kinds, &format!("{}?", draft.path));
        self.maker.quiet = before;
        let only_codes = children == ListId::NONE && checks.patterns.is_empty() && checks.bindings.len() == 1;
        if only_codes && let Some(binding) = checks.bindings.pop() {
            return Expect::Codes(binding.codes);
        }
        Expect::Meets(Box::new(checks), children)
    }
}
