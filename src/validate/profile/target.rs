//! What a reference leads to, as far as the line holds it: a contained resource, or another entry of the same Bundle. What
//! stands elsewhere is not asked for; its type may be in the reference's text.
//! Basis: FHIR R4, "Contained Resources", "Resolving references in Bundles".

use std::borrow::Cow;
use std::collections::HashMap;

use super::rule::{Aggregation, Profile, Targets};
use super::share::{Here, Item};
use super::walk::Walk;
use crate::fhir::name::Name;
use crate::fhir::reference::{Form, Reference};
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::validate::issues::Stop;

/// What is known of a reference's target.
pub(in crate::validate) enum Resolved<'t, 'a> {
    Found(Node<'t, 'a>),
    /// It is not here, but its type is said.
    Typed(TypeId),
    Unknown,
}

/// The entries of a Bundle, by what a reference may say of them.
#[derive(Default)]
pub(in crate::validate) struct Bundle<'t, 'a> {
    by_url: HashMap<Cow<'a, str>, Node<'t, 'a>>,
    /// Where each resource begins, and its url.
    resources: Vec<(u32, Cow<'a, str>)>,
}

impl<'t, 'a> Bundle<'t, 'a> {
    /// Empty if `root` is none.
    pub fn of(root: Node<'t, 'a>) -> Self {
        let mut bundle = Bundle::default();
        if root.resource_type() != Some("Bundle") {
            return bundle;
        }
        let full_url = Name::of("fullUrl");
        let entries = root.get(Name::ENTRY).filter(|list| list.kind() == Kind::Array);
        for entry in entries.into_iter().flat_map(Node::children) {
            let Some(resource) = entry.get(Name::RESOURCE).filter(|resource| resource.kind() == Kind::Object) else {
                continue;
            };
            let url = entry.get(full_url).filter(|url| url.kind() == Kind::String).map(Node::text);
            if let Some(url) = &url {
                bundle.by_url.entry(url.clone()).or_insert(resource);
            }
            // Without a url, an entry is called by its type and id.
            let id = resource.get(Name::ID).filter(|id| id.kind() == Kind::String);
            if let (None, Some(kind), Some(id)) = (&url, resource.resource_type(), id) {
                bundle.by_url.entry(format!("{kind}/{}", id.text()).into()).or_insert(resource);
            }
            bundle.resources.push((resource.index(), url.unwrap_or_default()));
        }
        bundle
    }

    fn find(&self, text: &str, form: Form, from: Node<'_, '_>) -> Option<Node<'t, 'a>> {
        let text = text.split("/_history/").next().unwrap_or(text);
        if let Some(found) = self.by_url.get(text) {
            return Some(*found);
        }
        if form != Form::Relative {
            return None;
        }
        // Relative to the server of the entry it stands in.
        let at = self.resources.partition_point(|(first, _)| *first <= from.index()).checked_sub(1)?;
        let base = self.resources.get(at)?.1.rsplitn(3, '/').nth(2)?;
        self.by_url.get(format!("{base}/{text}").as_str()).copied()
    }
}

impl<'p, 't, 'a> Walk<'_, 'p, 't, 'a, '_> {
    /// What the Reference, or the text of one, at `node` leads to.
    pub fn resolve(&mut self, node: Node<'t, 'a>) -> Resolved<'t, 'a> {
        let text = match node.kind() {
            Kind::String => Some(node),
            Kind::Object => node.get(Name::REFERENCE).filter(|text| text.kind() == Kind::String),
            _ => None,
        };
        let said = || {
            let kind = node.get(Name::of("type")).filter(|kind| kind.kind() == Kind::String);
            match kind.and_then(|kind| TypeId::of(&kind.text())).filter(|kind| kind.is_resource()) {
                Some(kind) => Resolved::Typed(kind),
                None => Resolved::Unknown,
            }
        };
        let Some(text) = text else { return said() };
        let text = text.text();
        let Some(reference) = Reference::parse(&text) else {
            return match self.shared.root.resource_type() {
                Some("Bundle") => match self.shared.bundle().by_url.get(&text) {
                    Some(found) => Resolved::Found(*found),
                    None => said(),
                },
                _ => said(),
            };
        };
        let found = match reference.form {
            Form::Contained if reference.id.is_empty() => Some(self.here.container),
            Form::Contained => self.contained(reference.id),
            Form::Conditional => None,
            form if self.shared.root.resource_type() == Some("Bundle") => self.shared.bundle().find(&text, form, node),
            _ => None,
        };
        match (found, reference.type_name.and_then(TypeId::of)) {
            (Some(found), _) => Resolved::Found(found),
            (None, Some(kind)) => Resolved::Typed(kind),
            (None, None) => said(),
        }
    }

    /// The contained resource of this id.
    pub fn contained(&mut self, id: &str) -> Option<Node<'t, 'a>> {
        let list = self.here.container.get(Name::CONTAINED).filter(|list| list.kind() == Kind::Array)?;
        let mut steps = 0;
        let found = list.children().find(|resource| {
            steps += 1;
            resource
                .get(Name::ID)
                .is_some_and(|own| own.kind() == Kind::String && own.is_text(id))
        });
        self.spend(steps).ok()?;
        found
    }

    /// Where a resource that a reference led to stands.
    pub(super) fn led_to(&self, resource: Node<'t, 'a>) -> Here<'t, 'a> {
        let is_contained = resource.name() == Name::NONE;
        Here {
            resource,
            container: if is_contained { self.here.container } else { resource },
        }
    }

    /// The target of a reference is of a type, and fits a profile, that is allowed.
    pub(super) fn target(&mut self, profile: &'p Profile, targets: &'p Targets, node: Node<'t, 'a>) -> Result<(), Stop> {
        let resolved = self.resolve(node);
        if !targets.aggregation.is_empty() && !self.is_aggregated(targets, node, &resolved) {
            self.issues.at(node, "reference aggregation", self.source(profile))?;
        }
        if targets.allowed.is_empty() {
            return Ok(());
        }
        let kind = match resolved {
            Resolved::Found(resource) => resource.resource_type().and_then(TypeId::of),
            Resolved::Typed(kind) => Some(kind),
            Resolved::Unknown => None,
        };
        let Some(kind) = kind else { return Ok(()) };
        if !targets.allowed.iter().any(|(allowed, _)| *allowed == kind) {
            return self.issues.at(node, "reference type", self.source(profile));
        }
        let Resolved::Found(resource) = resolved else { return Ok(()) };
        let here = self.led_to(resource);
        let mut fitting = targets.allowed.iter().filter(|(allowed, _)| *allowed == kind);
        let fits = fitting.any(|(_, number)| match number {
            None => true,
            Some(number) => self.fits(here, |walk| walk.profile(*number, Item::resource(resource))),
        });
        if fits {
            return Ok(());
        }
        self.issues.at(node, "profile of the reference's target", self.source(profile))
    }

    fn is_aggregated(&self, targets: &Targets, node: Node<'t, 'a>, resolved: &Resolved<'t, 'a>) -> bool {
        let text = node.get(Name::REFERENCE).filter(|text| text.kind() == Kind::String);
        let Some(text) = text else { return true };
        let contained = text.raw().starts_with('#');
        targets.aggregation.iter().any(|way| match way {
            Aggregation::Contained => contained,
            Aggregation::Referenced => !contained,
            Aggregation::Bundled => !contained && matches!(resolved, Resolved::Found(_)),
        })
    }
}
