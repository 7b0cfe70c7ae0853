//! From a StructureDefinition's differential to a small tree of rules. Says every fault it sees.

use std::sync::Arc;

use serde_json::Value;

use super::invariant::Invariant;
use super::{Pattern, Profile, ProfileFault, Profiles, Rule};
use crate::fhir::name::Name;
use crate::fhir::path::Canonicals;
use crate::fhir::types::{Child, TypeId};

/// Keys of an ElementDefinition that narrow an element in a way we do not check.
const UNCHECKED: [&str; 2] = ["contentReference", "maxLength"];

/// Where FHIR's own definitions stand: the last part of a target profile there is a resource type.
const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";

pub(super) fn compile(file: &str, json: &str, canonicals: &Canonicals, profiles: &mut Profiles, faults: &mut Vec<ProfileFault>) {
    let mut compiler = Compiler {
        file,
        canonicals,
        invariants: Vec::new(),
        modifiers: Vec::new(),
        faults: Vec::new(),
    };
    if let Some((kind, url, elements)) = compiler.profile(json) {
        let profile = Arc::new(Profile {
            file: file.to_owned(),
            url,
            kind,
            invariants: std::mem::take(&mut compiler.invariants),
            elements,
        });
        match profiles.by_type.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, known)) => known.push(profile),
            None => profiles.by_type.push((kind, vec![profile])),
        }
    }
    profiles.modifiers.append(&mut compiler.modifiers);
    faults.append(&mut compiler.faults);
}

struct Compiler<'f> {
    file: &'f str,
    canonicals: &'f Canonicals,
    /// Of the resource itself.
    invariants: Vec<Invariant>,
    modifiers: Vec<String>,
    faults: Vec<ProfileFault>,
}

/// A rule while it is built: with the type its elements are of.
struct Draft {
    rule: Rule,
    children: Vec<Child>,
    elements: Vec<Draft>,
}

impl Compiler<'_> {
    fn fault(&mut self, element: &str, message: impl Into<String>) {
        self.faults.push(ProfileFault {
            file: self.file.to_owned(),
            element: element.to_owned(),
            message: message.into(),
            unchecked: false,
        });
    }

    fn profile(&mut self, json: &str) -> Option<(TypeId, Option<String>, Vec<Rule>)> {
        let profile: Value = match serde_json::from_str(json) {
            Ok(profile) => profile,
            Err(error) => {
                self.fault("", format!("no JSON at line {} column {}", error.line(), error.column()));
                return None;
            }
        };
        for (key, expected) in [
            ("resourceType", "StructureDefinition"),
            ("kind", "resource"),
            ("derivation", "constraint"),
        ] {
            if text(&profile, key) != Some(expected) {
                self.fault("", format!("`{key}` must be `{expected}`"));
                return None;
            }
        }
        let kind = text(&profile, "type").and_then(TypeId::of);
        let Some(kind) = kind.filter(|kind| kind.is_resource() && *kind != TypeId::RESOURCE) else {
            self.fault("", "`type` is no resource type of FHIR R4");
            return None;
        };
        let Some(elements) = profile.pointer("/differential/element").and_then(Value::as_array) else {
            self.fault("", "`differential.element` is missing: a snapshot alone is not read");
            return None;
        };
        let mut drafts = Vec::new();
        for element in elements {
            self.element(element, kind, &mut drafts);
        }
        let url = text(&profile, "url").map(str::to_owned);
        Some((kind, url, drafts.into_iter().map(Draft::finish).collect()))
    }

    /// One ElementDefinition.
    fn element(&mut self, element: &Value, kind: TypeId, drafts: &mut Vec<Draft>) {
        let path = text(element, "path").unwrap_or_default();
        let mut parts = path.split('.');
        if parts.next() != Some(kind.as_str()) {
            self.fault(path, format!("the path must begin with `{}`", kind.as_str()));
            return;
        }
        let parts: Vec<&str> = parts.collect();
        self.unchecked(element, path, parts.last().is_some_and(|last| is_extension(last)));
        if parts.last() == Some(&"modifierExtension") {
            let urls = types(element).flat_map(|kind| texts(kind, "profile"));
            self.modifiers.extend(urls.map(str::to_owned));
        }
        if parts.is_empty() {
            let found = self.constraints(element, path, kind, &[kind]);
            self.invariants.extend(found);
            return;
        }
        // A slice of extensions by its url: its members are known, its number is not checked.
        if element.get("sliceName").is_some() {
            if element.get("constraint").is_some() {
                self.fault(
                    path,
                    "`constraint` of one extension is not checked here: put it on the element that has the extension",
                );
            }
            return;
        }
        match place(drafts, kind, &parts) {
            Ok(draft) => {
                self.narrow(element, path, draft);
                let types: Vec<_> = draft.children.iter().map(|child| child.type_id).collect();
                let found = self.constraints(element, path, kind, &types);
                draft.rule.invariants.extend(found);
            }
            Err(message) => self.fault(path, message),
        }
    }

    /// The invariants that an ElementDefinition says, of elements of `types` in a resource of type `kind`.
    fn constraints(&mut self, element: &Value, path: &str, kind: TypeId, types: &[TypeId]) -> Vec<Invariant> {
        let all = element.get("constraint").and_then(Value::as_array).into_iter().flatten();
        let read: Vec<_> = all
            .map(|constraint| Invariant::read(constraint, kind, types, self.canonicals))
            .collect();
        let mut found = Vec::new();
        for one in read {
            match one {
                Ok(invariant) => found.push(invariant),
                Err(message) => self.fault(path, message),
            }
        }
        found
    }

    /// Says what of the element would be passed over.
    fn unchecked(&mut self, element: &Value, path: &str, extension: bool) {
        let Some(members) = element.as_object() else {
            self.fault(path, "an element must be an object");
            return;
        };
        for key in members.keys() {
            let slice = matches!(key.as_str(), "slicing" | "sliceName");
            let bound = key.starts_with("minValue") || key.starts_with("maxValue");
            if bound || UNCHECKED.contains(&key.as_str()) || (slice && !extension) {
                self.fault(path, format!("`{key}` is not checked here: say it another way, or leave it out"));
            }
        }
        if element.pointer("/binding/strength").and_then(Value::as_str) == Some("required") {
            self.fault(
                path,
                "a required binding is not checked here: let a mapping's ConceptMap refuse other codes",
            );
        }
        let counted = members.contains_key("min") || members.contains_key("max");
        if extension && counted && members.contains_key("sliceName") {
            self.fault(path, "`min` and `max` of one extension are not checked here");
        }
    }

    fn narrow(&mut self, element: &Value, path: &str, draft: &mut Draft) {
        if let Some(min) = element.get("min") {
            match min.as_u64().and_then(|min| u32::try_from(min).ok()) {
                Some(min) => draft.rule.min = min,
                None => self.fault(path, "`min` must be a whole number"),
            }
        }
        match element.get("max").map(Value::as_str) {
            None | Some(Some("*")) => {}
            Some(max) => match max.and_then(|max| max.parse().ok()) {
                Some(max) => draft.rule.max = max,
                None => self.fault(path, "`max` must be `*` or a whole number in quotes"),
            },
        }
        if draft.rule.min > draft.rule.max {
            self.fault(path, "`min` is more than `max`");
        }
        self.types(element, path, draft);
        for (key, value) in element.as_object().into_iter().flatten() {
            let exact = key.starts_with("fixed");
            if exact || key.starts_with("pattern") {
                let value = value.clone();
                draft.rule.patterns.push(Pattern { exact, value });
            }
        }
    }

    /// `type`: which types of a choice are allowed, and where references may go.
    fn types(&mut self, element: &Value, path: &str, draft: &mut Draft) {
        let codes: Vec<&str> = types(element).filter_map(|kind| text(kind, "code")).collect();
        if !codes.is_empty() && draft.rule.label.ends_with("[x]") {
            let (kept, refused): (Vec<Child>, Vec<Child>) =
                draft.children.iter().partition(|child| codes.contains(&child.type_id.as_str()));
            if kept.len() != codes.len() {
                self.fault(path, "`type` names a type that this choice does not have");
            }
            draft.rule.names = kept.iter().map(|child| child.name).collect();
            draft.rule.refused = refused.iter().map(|child| child.name).collect();
            draft.children = kept;
        } else if let ([code], [child]) = (codes.as_slice(), draft.children.as_slice()) {
            // The tables know most texts only as `string`.
            let ours = child.type_id;
            let theirs = TypeId::of(code);
            if theirs != Some(ours)
                && theirs.is_none_or(|theirs| theirs.primitive() != ours.primitive() || ours.primitive().is_none())
                && !is_backbone(ours)
            {
                self.fault(path, format!("`type` is `{}` in FHIR R4", ours.as_str()));
            }
        }
        let targets: Vec<&str> = types(element).flat_map(|kind| texts(kind, "targetProfile")).collect();
        let known: Vec<_> = targets.iter().filter_map(|target| TypeId::of(target.strip_prefix(CORE)?)).collect();
        if known.len() != targets.len() {
            self.fault(
                path,
                "`targetProfile` must be a resource type of FHIR R4: profiles of targets are not checked here",
            );
        }
        if known.contains(&TypeId::RESOURCE) {
            return;
        }
        draft.rule.targets = known.iter().map(|kind| kind.as_str()).collect();
    }
}

/// The draft of the element at `parts`, made if it is new.
fn place<'d>(drafts: &'d mut Vec<Draft>, kind: TypeId, parts: &[&str]) -> Result<&'d mut Draft, String> {
    let (first, rest) = parts.split_first().ok_or("the path must name an element")?;
    let at = match drafts.iter().position(|draft| draft.rule.label == *first) {
        Some(at) => at,
        None => {
            drafts.push(Draft::new(kind, first)?);
            drafts.len() - 1
        }
    };
    let draft = &mut drafts[at];
    if rest.is_empty() {
        return Ok(draft);
    }
    match draft.children.as_slice() {
        [only] => place(&mut draft.elements, only.type_id, rest),
        _ => Err("name one `type` of the choice before its elements".to_owned()),
    }
}

impl Draft {
    fn new(kind: TypeId, label: &str) -> Result<Draft, String> {
        let children = match label.strip_suffix("[x]") {
            Some(stem) => kind.choice(stem).to_vec(),
            None => kind.child(Name::of(label)).into_iter().collect(),
        };
        if children.is_empty() {
            return Err(format!("`{}` has no element `{label}` in FHIR R4", kind.as_str()));
        }
        let rule = Rule {
            label: label.to_owned(),
            names: children.iter().map(|child| child.name).collect(),
            refused: Vec::new(),
            min: 0,
            max: u32::MAX,
            patterns: Vec::new(),
            targets: Vec::new(),
            invariants: Vec::new(),
            elements: Vec::new(),
        };
        let elements = Vec::new();
        Ok(Draft { rule, children, elements })
    }

    fn finish(self) -> Rule {
        let elements = self.elements.into_iter().map(Draft::finish).collect();
        Rule { elements, ..self.rule }
    }
}

fn is_extension(part: &str) -> bool {
    matches!(part, "extension" | "modifierExtension")
}

/// Backbone elements have `BackboneElement` or `Element` for their type in a StructureDefinition.
fn is_backbone(kind: TypeId) -> bool {
    kind.as_str().contains('.')
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn texts<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn types(element: &Value) -> impl Iterator<Item = &Value> {
    element.get("type").and_then(Value::as_array).into_iter().flatten()
}
