//! What holds of every element and resource of FHIR R4, decided without an expression: what must be there, `ext-1` (a value or
//! extensions), `dom-2` to `dom-5` and `ref-1` (contained resources); and the definition of each extension.
//! FHIR 4.0.1, "Element", "DomainResource", "Extension", "Reference".

use super::issues::{Source, Stop};
use super::narrative;
use super::profile::Item;
use super::structure::{At, Check};
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;

/// What an extension is without: it says nothing.
const URL: &str = "url";

impl<'t, 'a> Check<'_, '_, 't, 'a, '_> {
    /// Elements of `bits` must be there and are not.
    #[cold]
    pub(super) fn missing(&mut self, node: Node<'t, 'a>, kind: TypeId, bits: u32) -> Result<(), Stop> {
        let mut bits = bits;
        for child in kind.children() {
            if bits & (1 << child.required) == 0 || child.required == 0 {
                continue;
            }
            bits &= !(1 << child.required);
            let label = match kind.stem(*child) {
                Some(stem) => format!("{stem}[x]"),
                None => child.name.as_str().to_owned(),
            };
            // Without its url nobody can tell what an extension is: that is no matter of rules.
            let source = match self.base {
                _ if kind == self.known.extension && label == URL => Source::STRUCTURE,
                Some(source) => source,
                None => continue,
            };
            self.walk.issues.below(node, &label, "required", source)?;
        }
        Ok(())
    }

    /// An extension has a value or extensions, and is what its definition says.
    pub(super) fn extension(&mut self, node: Node<'t, 'a>, above: At) -> Result<(), Stop> {
        let mut url = None;
        let (mut extensions, mut value) = (false, false);
        for member in node.children() {
            match member.name() {
                Name::URL => url = Some(member).filter(|url| url.kind() == Kind::String),
                Name::EXTENSION => extensions = true,
                Name::ID => {}
                // `_url` and what FHIR does not know are no value.
                name => value |= self.known.extension.child(name).is_some_and(|child| child.choice != 0),
            }
        }
        if let Some(source) = self.base
            && extensions == value
        {
            self.walk.issues.at(node, "invariant ext-1", source)?;
        }
        let Some(url) = url else { return Ok(()) };
        let definition = match url.is_escaped() {
            false => self.walk.shared.inner.extension(url.raw()),
            true => self.walk.shared.inner.extension(&url.text()),
        };
        let item = Item {
            node: Some(node),
            under: None,
            kind: Some(self.known.extension),
            name: Name::EXTENSION,
        };
        let Some(number) = definition else {
            return match self.walk.shared.inner.unknown_extensions() {
                Some(source) if is_foreign(&url.text()) => self.walk.issues.at(node, "unknown extension", source),
                _ => Ok(()),
            };
        };
        self.walk.of_itself(number, |walk, profile| {
            if !profile.may_stand(above.kind, above.parent, above.name) {
                let source = walk.source(profile);
                walk.issues.at(node, "an extension of other elements", source)?;
            }
            walk.profile(number, item)
        })
    }

    /// What holds of the objects of one type.
    #[inline]
    pub(super) fn of_kind(&mut self, node: Node<'t, 'a>, kind: TypeId, source: Source<'_>) -> Result<(), Stop> {
        if kind == self.known.reference {
            self.reference(node, source)
        } else if kind == self.known.entry {
            self.entry(node, source)
        } else if kind == self.known.narrative {
            self.narrative(node, source)
        } else if kind == self.known.bundle {
            self.found(node, source)
        } else {
            Ok(())
        }
    }

    /// `fullUrl` is absolute.
    fn entry(&mut self, node: Node<'t, 'a>, source: Source<'_>) -> Result<(), Stop> {
        let url = node.get(Name::of("fullUrl")).filter(|url| url.kind() == Kind::String);
        match url {
            Some(url) if !is_absolute(&url.text()) => self.walk.issues.at(url, "absolute url", source),
            _ => Ok(()),
        }
    }

    /// What a search found has an id: it stands on a server. FHIR 4.0.1 "Bundle", "Resource URL & Uniqueness rules".
    fn found(&mut self, bundle: Node<'t, 'a>, source: Source<'_>) -> Result<(), Stop> {
        let is_search = bundle
            .get(Name::of("type"))
            .is_some_and(|kind| kind.kind() == Kind::String && kind.is_text("searchset"));
        let entries = bundle.get(Name::ENTRY).filter(|list| is_search && list.kind() == Kind::Array);
        for entry in entries.into_iter().flat_map(Node::children) {
            let Some(resource) = entry.get(Name::RESOURCE).filter(|resource| resource.kind() == Kind::Object) else {
                continue;
            };
            if resource.get(Name::ID).is_none() && resource.resource_type() != Some("OperationOutcome") {
                self.walk.issues.below(resource, "id", "required", source)?;
            }
        }
        Ok(())
    }

    /// `txt-1` and `txt-2`.
    fn narrative(&mut self, node: Node<'t, 'a>, source: Source<'_>) -> Result<(), Stop> {
        let div = node.get(Name::of("div")).filter(|div| div.kind() == Kind::String);
        match div {
            Some(div) if !narrative::is_sound(&div.text()) => self.walk.issues.at(div, "narrative", source),
            _ => Ok(()),
        }
    }

    /// `ref-1`: a reference to a contained resource leads to one.
    fn reference(&mut self, node: Node<'t, 'a>, source: Source<'_>) -> Result<(), Stop> {
        let Some(text) = node.get(Name::REFERENCE).filter(|text| text.kind() == Kind::String) else {
            return Ok(());
        };
        if !text.raw().starts_with('#') || text.size() == 1 {
            return Ok(());
        }
        let text = text.text();
        let id = text.strip_prefix('#').unwrap_or_default();
        if self.walk.contained(id).is_none() {
            return self.walk.issues.at(node, "invariant ref-1", source);
        }
        Ok(())
    }

    /// `dom-2` to `dom-5`, of a resource that contains others.
    pub(super) fn contained(&mut self, resource: Node<'t, 'a>, source: Source<'_>) -> Result<(), Stop> {
        let Some(list) = resource.get(Name::CONTAINED).filter(|list| list.kind() == Kind::Array) else {
            return Ok(());
        };
        let meta = Name::of("meta");
        let mut asked = Vec::new();
        let mut least = None;
        for inner in list.children().filter(|inner| inner.kind() == Kind::Object) {
            if inner.get(Name::CONTAINED).is_some() {
                least = least.or(Some("invariant dom-2"));
            }
            for member in inner.get(meta).into_iter().flat_map(Node::children) {
                match member.name().as_str() {
                    "versionId" | "lastUpdated" => least = least.or(Some("invariant dom-4")),
                    "security" => least = least.or(Some("invariant dom-5")),
                    _ => {}
                }
            }
            asked.push(inner);
        }
        if let Some(rule) = least {
            self.walk.issues.at(resource, rule, source)?;
        }
        let said = Said::of(resource, list);
        self.walk.spend(said.steps)?;
        let all_said = asked.iter().all(|inner| {
            let id = inner.get(Name::ID).filter(|id| id.kind() == Kind::String).map(Node::text);
            id.is_some_and(|id| said.has(&id)) || Said::of(*inner, *inner).to_container
        });
        if all_said {
            return Ok(());
        }
        self.walk.issues.at(resource, "invariant dom-3", source)
    }
}

/// The url is absolute, so that the extension is not a part of another's definition; and none of HL7's.
fn is_foreign(url: &str) -> bool {
    is_absolute(url) && !url.starts_with("http://hl7.org/fhir/")
}

/// The url begins with a scheme.
fn is_absolute(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    scheme.is_some_and(|scheme| scheme.starts_with(|letter: char| letter.is_ascii_alphabetic()) && scheme.chars().all(is_letter))
}

/// What the references of a resource say of contained ones.
struct Said {
    /// In order.
    ids: Vec<String>,
    /// `#`, from within a contained resource.
    to_container: bool,
    steps: u64,
}

impl Said {
    /// Texts that begin with `#`, below `node`.
    fn of(node: Node<'_, '_>, contained: Node<'_, '_>) -> Said {
        let mut said = Said {
            ids: Vec::new(),
            to_container: false,
            steps: 0,
        };
        let end = contained.offset() + contained.size();
        let mut left = vec![node];
        while let Some(node) = left.pop() {
            said.steps += 1;
            if node.kind() == Kind::String && node.raw().starts_with('#') {
                match node.text().strip_prefix('#') {
                    Some("") => said.to_container |= (contained.offset()..end).contains(&node.offset()),
                    Some(id) => said.ids.push(id.to_owned()),
                    None => {}
                }
            }
            left.extend(node.children());
        }
        said.ids.sort_unstable();
        said
    }

    fn has(&self, id: &str) -> bool {
        self.ids.binary_search_by(|known| known.as_str().cmp(id)).is_ok()
    }
}
