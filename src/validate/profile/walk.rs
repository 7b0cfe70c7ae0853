//! A resource, or a part of it, against a profile: one pass over the members that have a rule. Allocates nothing while all is
//! well and the work is bounded: whoever makes a profile or a resource that asks for more is told so.

use super::rule::{Checks, ListId, Profile, Rule};
use super::share::{Here, Item, Shared};
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::validate::issues::{Issues, Severity, Source, Stop};

/// Objects in one another, followed through elements, profiles of elements and references.
const DEPTH: usize = 300;

/// Profiles of elements and of targets in one another.
const NESTED: usize = 12;

pub(in crate::validate) struct Walk<'w, 'p, 't, 'a, 'c> {
    pub shared: &'w Shared<'p, 't, 'a>,
    pub issues: &'w mut Issues<'t, 'a, 'c>,
    pub here: Here<'t, 'a>,
    depth: usize,
    /// Profiles that are being checked, each with the node that it is checked of.
    open: [(u32, u32); NESTED],
    nested: usize,
    /// The profile whose must-support elements are counted.
    counted: Option<u32>,
    /// What a fault means: as the profile says that the resource is held to for its own sake. A verdict on a part is a verdict.
    means: Severity,
}

impl<'w, 'p, 't, 'a, 'c> Walk<'w, 'p, 't, 'a, 'c> {
    pub fn new(shared: &'w Shared<'p, 't, 'a>, issues: &'w mut Issues<'t, 'a, 'c>, here: Here<'t, 'a>) -> Self {
        Self {
            shared,
            issues,
            here,
            depth: 0,
            open: [(0, 0); NESTED],
            nested: 0,
            counted: None,
            means: Severity::Error,
        }
    }

    /// # Errors: the checks of this resource take more than they may.
    #[inline]
    pub fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        let left = self.shared.left.get();
        if steps < left {
            self.shared.left.set(left - steps);
            return Ok(());
        }
        self.shared.left.set(0);
        self.finish()?;
        Err(Stop)
    }

    /// Says once that the work was not done, if it was not. A verdict on a part says it only by failing, so that whoever is done
    /// with a resource asks again.
    #[inline]
    pub fn finish(&mut self) -> Result<(), Stop> {
        if self.shared.left.get() > 0 || self.shared.told.get() || self.issues.is_verdict() {
            return Ok(());
        }
        self.shared.told.set(true);
        self.issues.at(self.here.container, "more to check than may be", Source::STRUCTURE)
    }

    /// Whether `check` finds no error.
    pub(super) fn fits(&mut self, here: Here<'t, 'a>, check: impl FnOnce(&mut Walk<'_, 'p, 't, 'a, '_>) -> Result<(), Stop>) -> bool {
        let mut issues = Issues::verdict(here.resource);
        let mut inner = Walk {
            shared: self.shared,
            issues: &mut issues,
            here,
            depth: self.depth,
            open: self.open,
            nested: self.nested,
            counted: None,
            means: Severity::Error,
        };
        check(&mut inner).is_ok()
    }

    /// Whose rule it is.
    pub fn source(&self, profile: &'p Profile) -> Source<'p> {
        let is_profile = profile.number != super::TYPES;
        Source {
            number: Some(profile.number).filter(|_| is_profile),
            name: Some(profile.name.as_str()).filter(|_| is_profile),
            severity: if is_profile { self.means } else { profile.severity },
        }
    }

    /// `check` by a profile that applies for its own sake, and not since another leads to it: it says what its faults mean.
    pub fn of_itself(&mut self, number: u32, check: impl FnOnce(&mut Self, &'p Profile) -> Result<(), Stop>) -> Result<(), Stop> {
        let Some(profile) = self.shared.inner.profile(number) else {
            return Ok(());
        };
        if self.nested > 0 || self.issues.is_verdict() {
            return check(self, profile);
        }
        let means = std::mem::replace(&mut self.means, profile.severity);
        let result = check(self, profile);
        self.means = means;
        result
    }

    /// A resource against a profile that applies to it as a whole.
    pub fn resource(&mut self, number: u32, node: Node<'t, 'a>) -> Result<(), Stop> {
        self.of_itself(number, |walk, profile| {
            let is_top = walk.nested == 0;
            if is_top && let Some(tally) = walk.issues.tally.as_deref_mut() {
                tally.resource(number, profile.support.len());
                walk.counted = Some(number);
            }
            let result = walk.profile(number, Item::resource(node));
            if is_top {
                walk.counted = None;
            }
            result
        })
    }

    /// An item against a profile.
    pub fn profile(&mut self, number: u32, item: Item<'t, 'a>) -> Result<(), Stop> {
        let (Some(profile), Some(node)) = (self.shared.inner.profile(number), item.place()) else {
            return Ok(());
        };
        let own = (number, node.index());
        // A profile that leads back to itself says nothing new there.
        if self.nested == NESTED || self.depth >= DEPTH || self.open[..self.nested].contains(&own) {
            return Ok(());
        }
        if item
            .kind
            .is_some_and(|kind| kind != profile.kind && profile.kind != TypeId::RESOURCE)
        {
            return self.issues.at(node, "profile of another type", self.source(profile));
        }
        self.open[self.nested] = own;
        self.nested += 1;
        let result = self.item(profile, &profile.checks, profile.root, item);
        self.nested -= 1;
        result
    }

    /// What one item must be, and its elements.
    pub fn item(&mut self, profile: &'p Profile, checks: &'p Checks, children: ListId, item: Item<'t, 'a>) -> Result<(), Stop> {
        if !checks.is_empty() {
            self.checks(profile, checks, item)?;
        }
        if children == ListId::NONE {
            return Ok(());
        }
        // The elements of a resource within another are of that one.
        if let (Some(node), Some(kind)) = (item.node, item.kind)
            && kind.is_resource()
            && node.index() != self.here.resource.index()
        {
            let inside = self.inside(node);
            let before = std::mem::replace(&mut self.here, inside);
            let result = self.object(profile, children, node, item.kind);
            self.here = before;
            return result;
        }
        match (item.node.filter(|node| node.kind() == Kind::Object), item.under) {
            (Some(node), _) => self.object(profile, children, node, item.kind),
            (None, Some(under)) => self.object(profile, children, under, item.kind),
            (None, None) => match item.node {
                Some(node) => self.absent(profile, children, node),
                None => Ok(()),
            },
        }
    }

    /// The members of an object against the rules of their names.
    fn object(&mut self, profile: &'p Profile, list: ListId, node: Node<'t, 'a>, kind: Option<TypeId>) -> Result<(), Stop> {
        if self.depth >= DEPTH {
            return Ok(());
        }
        self.depth += 1;
        let list = &profile.lists[list.0 as usize];
        let mut seen = 0u128;
        let mut steps = 1;
        for member in node.children() {
            steps += 1;
            let name = member.name();
            let Some(place) = list.find(name.element()) else { continue };
            seen |= 1 << place.rule;
            if place.refused {
                self.issues.at(member, "type not allowed", self.source(profile))?;
                continue;
            }
            self.member(profile, &list.rules[usize::from(place.rule)], node, member, kind)?;
        }
        self.spend(steps)?;
        for (place, rule) in list.rules.iter().enumerate() {
            if seen & (1 << place) == 0 {
                self.missing(profile, rule, node)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// An object that is not there, so none of its elements is either.
    #[cold]
    fn absent(&mut self, profile: &'p Profile, list: ListId, node: Node<'t, 'a>) -> Result<(), Stop> {
        for rule in &profile.lists[list.0 as usize].rules {
            self.missing(profile, rule, node)?;
        }
        Ok(())
    }

    /// An element that is not there, in `node`.
    #[inline]
    fn missing(&mut self, profile: &'p Profile, rule: &'p Rule, node: Node<'t, 'a>) -> Result<(), Stop> {
        if rule.min > 0 {
            let word: std::borrow::Cow<'static, str> = match rule.min {
                1 => "required".into(),
                min => format!("at least {min}").into(),
            };
            return self.issues.below(node, &rule.label, word, self.source(profile));
        }
        match &rule.slicing {
            Some(slicing) => self.missing_slices(profile, rule, slicing, node, None),
            None => Ok(()),
        }
    }

    /// The items of one member.
    fn member(
        &mut self,
        profile: &'p Profile,
        rule: &'p Rule,
        parent: Node<'t, 'a>,
        member: Node<'t, 'a>,
        kind: Option<TypeId>,
    ) -> Result<(), Stop> {
        let name = member.name();
        let is_companion = name.is_companion();
        // A value and its companion are one element: they are looked at together, where the value stands.
        if is_companion && parent.get(name.element()).is_some() {
            return Ok(());
        }
        if let Some(element) = rule.support {
            self.supported(element);
        }
        if rule.is_idle() {
            let count = if member.kind() == Kind::Array {
                member.children().count()
            } else {
                1
            };
            return self.count(profile, rule, parent, count);
        }
        let child = kind.and_then(|kind| kind.child(name));
        let kind = child.map(|child| child.type_id);
        let is_primitive = kind.is_none_or(|kind| kind.primitive().is_some());
        let under = if is_primitive && !is_companion {
            parent.get(name.companion())
        } else {
            None
        };
        let item = |value: Option<Node<'t, 'a>>, under: Option<Node<'t, 'a>>| Item {
            node: value,
            under,
            kind: match kind {
                Some(TypeId::RESOURCE) => value.and_then(Node::resource_type).and_then(TypeId::of),
                known => known,
            },
            name: name.element(),
        };
        let both = |value: Node<'t, 'a>, under| {
            if is_companion {
                item(None, Some(value))
            } else {
                item(Some(value), under)
            }
        };
        let mut slices = rule.slicing.as_deref().map(|slicing| self.slices(slicing));
        let mut count = 0;
        if member.kind() == Kind::Array {
            let mut beside = under.into_iter().flat_map(Node::children);
            for value in member.children() {
                let under = beside.next().filter(|under| under.kind() == Kind::Object);
                count += 1;
                let item = match value.kind() {
                    Kind::Null => match under {
                        Some(under) => item(None, Some(under)),
                        None => continue,
                    },
                    _ => both(value, under),
                };
                self.one(profile, rule, item, slices.as_mut())?;
            }
        } else {
            count = 1;
            self.one(profile, rule, both(member, under), slices.as_mut())?;
        }
        if let (Some(slicing), Some(slices)) = (&rule.slicing, slices) {
            self.missing_slices(profile, rule, slicing, parent, Some(&slices))?;
        }
        self.count(profile, rule, parent, count)
    }

    fn one(
        &mut self,
        profile: &'p Profile,
        rule: &'p Rule,
        item: Item<'t, 'a>,
        slices: Option<&mut super::slices::Counts>,
    ) -> Result<(), Stop> {
        self.item(profile, &rule.checks, rule.children, item)?;
        match (&rule.slicing, slices) {
            (Some(slicing), Some(counts)) => self.slice(profile, slicing, item, counts),
            _ => Ok(()),
        }
    }

    fn count(&mut self, profile: &'p Profile, rule: &Rule, parent: Node<'t, 'a>, count: usize) -> Result<(), Stop> {
        if count < rule.min as usize {
            self.issues
                .below(parent, &rule.label, format!("at least {}", rule.min), self.source(profile))?;
        }
        if count > rule.max as usize {
            let word: std::borrow::Cow<'static, str> = match rule.max {
                0 => "not allowed".into(),
                max => format!("at most {max}").into(),
            };
            self.issues.below(parent, &rule.label, word, self.source(profile))?;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn supported(&mut self, element: u32) {
        if let (Some(number), 1, Some(tally)) = (self.counted, self.nested, self.issues.tally.as_deref_mut()) {
            tally.present(number, element as usize);
        }
    }

    /// Where a resource within this one stands.
    pub fn inside(&self, resource: Node<'t, 'a>) -> Here<'t, 'a> {
        Here {
            resource,
            container: if resource.name() == Name::RESOURCE {
                resource
            } else {
                self.here.container
            },
        }
    }
}
