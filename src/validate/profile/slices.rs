//! Which slice an item belongs to, and whether each slice has as many as it must and may.
//! FHIR R4 "Profiling", "Slicing": the first slice whose discriminators all hold; items that fit none are refused where the
//! slicing is closed, and must stand last where it is open at the end.
//!
//! Where a discriminator leads out of the line (`resolve()`), the item may belong to any slice: then nothing is said of it.

use super::rule::{Expect, Profile, Rule, Slicing, Step, Test};
use super::share::Item;
use super::target::Resolved;
use super::walk::Walk;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::Membership;
use crate::validate::issues::Stop;

/// Slices whose items are counted without room on the heap.
const SLOTS: usize = 32;

/// The items of one element, counted by slice.
pub(super) struct Counts {
    few: [u32; SLOTS],
    many: Vec<u32>,
    /// Items that may belong to any slice.
    open: u32,
    /// The slice of the item before, for slices in order.
    last: usize,
    /// An item fitted no slice.
    outside: bool,
}

impl Counts {
    fn of(&self, slot: usize) -> u32 {
        if slot < SLOTS {
            self.few[slot]
        } else {
            self.many.get(slot - SLOTS).copied().unwrap_or(0)
        }
    }

    fn add(&mut self, slot: usize) {
        if slot < SLOTS {
            self.few[slot] += 1;
        } else if let Some(count) = self.many.get_mut(slot - SLOTS) {
            *count += 1;
        }
    }
}

/// Whether something holds, as far as the line tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
    Open,
}

impl<'p, 't, 'a> Walk<'_, 'p, 't, 'a, '_> {
    pub(super) fn slices(&self, slicing: &Slicing) -> Counts {
        Counts {
            few: [0; SLOTS],
            many: vec![0; slicing.slots().saturating_sub(SLOTS)],
            open: 0,
            last: 0,
            outside: false,
        }
    }

    /// An item, held to the slice it belongs to.
    pub(super) fn slice(
        &mut self,
        profile: &'p Profile,
        slicing: &'p Slicing,
        item: Item<'t, 'a>,
        counts: &mut Counts,
    ) -> Result<(), Stop> {
        let mut found = None;
        let mut open = false;
        for (place, slice) in slicing.slices.iter().enumerate() {
            if slicing.default == Some(place) {
                continue;
            }
            self.spend(1 + slice.tests.len() as u64)?;
            match self.told(profile, &slice.tests, item) {
                Told::Yes => {
                    found = Some(place);
                    break;
                }
                Told::Open => open = true,
                Told::No => {}
            }
        }
        let Some(place) = found.or(slicing.default.filter(|_| !open)) else {
            if open {
                counts.open += 1;
                return Ok(());
            }
            counts.outside = true;
            return match (slicing.closed, item.node.or(item.under)) {
                (true, Some(node)) => self.issues.at(node, "fits no slice", self.source(profile)),
                _ => Ok(()),
            };
        };
        let slice = &slicing.slices[place];
        if let Some(node) = item.node.or(item.under)
            && ((slicing.ordered && place < counts.last) || (slicing.at_end && counts.outside))
        {
            self.issues.at(node, "order of slices", self.source(profile))?;
        }
        counts.last = place;
        counts.add(slice.slot);
        if let Some(element) = slice.support {
            self.supported(element);
        }
        self.item(profile, &slice.checks, slice.children, item)?;
        match &slice.slicing {
            Some(inner) => self.slice(profile, inner, item, counts),
            None => Ok(()),
        }
    }

    /// Says of each slice whether it has too few or too many; `counts` is none where the element is not there.
    pub(super) fn missing_slices(
        &mut self,
        profile: &'p Profile,
        rule: &'p Rule,
        slicing: &'p Slicing,
        parent: Node<'t, 'a>,
        counts: Option<&Counts>,
    ) -> Result<(), Stop> {
        for slice in &slicing.slices {
            let count = counts.map_or(0, |counts| counts.of(slice.slot));
            let open = counts.map_or(0, |counts| counts.open);
            if count.saturating_add(open) < slice.min {
                let name = format!("{}:{}", rule.label, slice.name);
                let word = match slice.min {
                    1 => "required".to_owned(),
                    min => format!("at least {min}"),
                };
                self.issues
                    .below(parent, &rule.label, format!("slice `{name}`: {word}"), self.source(profile))?;
            }
            if count > slice.max {
                let name = format!("{}:{}", rule.label, slice.name);
                let word = match slice.max {
                    0 => "not allowed".to_owned(),
                    max => format!("at most {max}"),
                };
                self.issues
                    .below(parent, &rule.label, format!("slice `{name}`: {word}"), self.source(profile))?;
            }
            if let Some(inner) = &slice.slicing
                && count > 0
            {
                self.missing_slices(profile, rule, inner, parent, counts)?;
            }
        }
        Ok(())
    }

    /// Whether all tests hold of the item.
    fn told(&mut self, profile: &'p Profile, tests: &'p [Test], item: Item<'t, 'a>) -> Told {
        let mut all = Told::Yes;
        for test in tests {
            match self.test(profile, test, item) {
                Told::No => return Told::No,
                Told::Open => all = Told::Open,
                Told::Yes => {}
            }
        }
        all
    }

    fn test(&mut self, profile: &'p Profile, test: &'p Test, item: Item<'t, 'a>) -> Told {
        match &test.expect {
            Expect::Names(names) => if_so(names.contains(&item.name)),
            Expect::Exists(there) => match self.reach(profile, &test.way, item, None) {
                Told::Open => Told::Open,
                found => if_so((found == Told::Yes) == *there),
            },
            expect => self.reach(profile, &test.way, item, Some(expect)),
        }
    }

    /// Whether some item at the end of the way is as expected; where nothing is expected, whether there is one.
    fn reach(&mut self, profile: &'p Profile, way: &'p [Step], item: Item<'t, 'a>, expect: Option<&'p Expect>) -> Told {
        if self.spend(1).is_err() {
            return Told::Open;
        }
        let Some((step, rest)) = way.split_first() else {
            return match expect {
                None => Told::Yes,
                Some(expect) => self.is_expected(profile, expect, item),
            };
        };
        let mut told = Told::No;
        let mut hear = |found: Told| {
            if found != Told::No && told != Told::Yes {
                told = found;
            }
            told == Told::Yes
        };
        match step {
            Step::Child(names) => {
                let holder = item.node.filter(|node| node.kind() == Kind::Object).or(item.under);
                for member in holder.into_iter().flat_map(Node::children) {
                    let name = member.name();
                    if !names.contains(&name.element()) {
                        continue;
                    }
                    let kind = item.kind.and_then(|kind| kind.child(name)).map(|child| child.type_id);
                    let is_companion = name.is_companion();
                    let child = |node: Node<'t, 'a>| Item {
                        node: Some(node).filter(|_| !is_companion),
                        under: Some(node).filter(|_| is_companion),
                        kind: match kind {
                            Some(TypeId::RESOURCE) => node.resource_type().and_then(TypeId::of),
                            known => known,
                        },
                        name: name.element(),
                    };
                    if member.kind() == Kind::Array {
                        for node in member.children().filter(|node| node.kind() != Kind::Null) {
                            if hear(self.reach(profile, rest, child(node), expect)) {
                                return Told::Yes;
                            }
                        }
                    } else if hear(self.reach(profile, rest, child(member), expect)) {
                        return Told::Yes;
                    }
                }
            }
            Step::Extension(url) => {
                let holders = [item.node.filter(|node| node.kind() == Kind::Object), item.under];
                for holder in holders.into_iter().flatten() {
                    let list = holder.get(Name::EXTENSION).filter(|list| list.kind() == Kind::Array);
                    for node in list.into_iter().flat_map(Node::children) {
                        let is_it = node
                            .get(Name::URL)
                            .is_some_and(|own| own.kind() == Kind::String && own.is_text(url));
                        let item = Item {
                            node: Some(node),
                            under: None,
                            kind: TypeId::of("Extension"),
                            name: Name::EXTENSION,
                        };
                        if is_it && hear(self.reach(profile, rest, item, expect)) {
                            return Told::Yes;
                        }
                    }
                }
            }
            Step::OfType(kind) => {
                if item.kind == Some(*kind) {
                    return self.reach(profile, rest, item, expect);
                }
            }
            Step::Resolve => {
                let Some(node) = item.node else { return Told::No };
                return match self.resolve(node) {
                    Resolved::Found(resource) => {
                        let here = self.led_to(resource);
                        let before = std::mem::replace(&mut self.here, here);
                        let told = self.reach(profile, rest, Item::resource(resource), expect);
                        self.here = before;
                        told
                    }
                    Resolved::Typed(kind) => match (rest, expect) {
                        ([], Some(Expect::Types(kinds))) => if_so(kinds.contains(&kind)),
                        _ => Told::Open,
                    },
                    Resolved::Unknown => Told::Open,
                };
            }
        }
        told
    }

    fn is_expected(&mut self, profile: &'p Profile, expect: &'p Expect, item: Item<'t, 'a>) -> Told {
        match expect {
            Expect::Values(values) => if_so(item.node.is_some_and(|node| values.iter().any(|value| value.matches(node)))),
            Expect::Codes(codes) => match item.node.and_then(|node| super::binding::membership(codes, node, item.kind)) {
                Some(Membership::In) => Told::Yes,
                Some(Membership::Unknown) => Told::Open,
                Some(Membership::Out) | None => Told::No,
            },
            Expect::Types(kinds) => if_so(item.kind.is_some_and(|kind| kinds.contains(&kind))),
            Expect::Names(names) => if_so(names.contains(&item.name)),
            Expect::Exists(there) => if_so(*there),
            Expect::Meets(checks, children) => {
                let here = self.here;
                if_so(self.fits(here, |walk| walk.item(profile, checks, *children, item)))
            }
            Expect::Profiles(numbers) => {
                let here = self.here;
                if_so(numbers.iter().any(|number| self.fits(here, |walk| walk.profile(*number, item))))
            }
        }
    }
}

fn if_so(holds: bool) -> Told {
    if holds { Told::Yes } else { Told::No }
}
