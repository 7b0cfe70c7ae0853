//! From StructureDefinitions to profiles that run: reads their heads, finds what each builds on, and makes the rules. Says every
//! fault it sees. Definitions of types (derivation `specialization`) give the invariants and bindings of FHIR's own types;
//! their numbers and most of their codes are in `fhir::types` already.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::base::Base;
use super::checks::{Index, Maker};
use super::draft::{Draft, Places, items, text};
use super::facts::{CORE, Facts};
use super::invariant::Known;
use super::lower::Lowering;
use super::rule::{Checks, Context, List, ListId, Profile};
use super::{Definition, Disposition, Extensions, Inner, Options, ProfileFault};
use crate::fhir::name::Name;
use crate::fhir::path::Canonicals;
use crate::fhir::types::TypeId;
use crate::fhir::value_set::ValueSets;
use crate::validate::questionnaire::{Forms, is_form};
use crate::validate::vital_signs;

/// Profiles built on profiles: more than anybody stacks.
const STACK: usize = 16;

/// What a definition says of itself.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Head {
    #[serde(rename = "resourceType")]
    resource_type: String,
    url: Option<String>,
    version: Option<String>,
    kind: String,
    #[serde(rename = "type")]
    type_name: String,
    derivation: Option<String>,
    context: Vec<Place>,
}

/// Where an extension says that it may stand.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Place {
    #[serde(rename = "type")]
    kind: String,
    expression: String,
}

/// A definition whose head is good.
struct Read<'d> {
    definition: Definition<'d>,
    head: Head,
    kind: TypeId,
}

pub(super) fn compile(
    definitions: &[Definition<'_>],
    value_sets: &Arc<ValueSets>,
    options: &Options,
) -> (Inner, Vec<String>, Vec<ProfileFault>) {
    let mut faults = Vec::new();
    let (mut types, mut profiles) = (Vec::new(), Vec::new());
    let (forms, definitions): (Vec<&Definition<'_>>, Vec<_>) = definitions.iter().partition(|definition| is_form(definition.json));
    for definition in definitions {
        match head(definition) {
            Ok(read) if read.head.derivation.as_deref() == Some("constraint") => profiles.push(read),
            Ok(read) => types.push(read),
            Err(message) => faults.push(ProfileFault {
                file: definition.file.to_owned(),
                element: String::new(),
                message,
                unchecked: !definition.own,
            }),
        }
    }
    let mut index = Index::default();
    for (number, read) in profiles.iter().enumerate() {
        index.kinds.push(read.kind);
        if let Some(url) = &read.head.url {
            index.versions.add(url, read.head.version.clone(), number as u32);
        }
    }
    let mut compiler = Compiler {
        profiles: &profiles,
        index: &index,
        canonicals: Canonicals {
            value_sets: Arc::clone(value_sets),
            profiles: Vec::new(),
        },
        repeats_base: options.base == Some(Disposition::Refuse),
        of_types: HashMap::new(),
        known: Known::new(),
        faults,
    };
    let base = compiler.types(&types, options);
    let mut modifiers = Vec::new();
    let mut all = Vec::new();
    for number in 0..profiles.len() {
        all.push(compiler.profile(number, options, &mut modifiers));
    }
    for asked in &options.asked {
        if index.find(asked).is_none() {
            compiler.faults.push(ProfileFault {
                file: asked.clone(),
                element: String::new(),
                message: "is asked for, but no such profile is loaded".to_owned(),
                unchecked: false,
            });
        }
    }
    let mut faults = std::mem::take(&mut compiler.faults);
    let forms = Forms::read(all.len() as u32, &forms, &compiler.canonicals, options, &mut faults);
    let own = profiles
        .iter()
        .enumerate()
        .filter(|(_, read)| read.definition.own && read.kind.is_resource());
    let own = own.map(|(number, read)| (read.kind, number as u32));
    let asked = options.asked.iter().filter_map(|asked| index.find(asked));
    let asked = asked.map(|number| (index.kinds[number as usize], number));
    let mut always: Vec<(TypeId, u32)> = own.chain(asked).collect();
    always.sort_by_key(|(_, number)| *number);
    always.dedup();
    let vital_signs = vital_signs::canonicals().filter(|_| options.vital_signs);
    let vital_signs: Vec<Option<u32>> = vital_signs.map(|canonical| index.find(&canonical)).collect();
    let extensions = profiles.iter().enumerate().filter(|(_, read)| read.kind.as_str() == "Extension");
    let extensions = extensions.filter_map(|(number, read)| Some((read.head.url.clone()?, number as u32)));
    let inner = Inner {
        extensions: extensions.collect::<Extensions>(),
        all,
        always,
        index,
        base,
        base_severity: options.base.map(Disposition::severity),
        forms,
        vital_signs,
        unknown_extensions: options.unknown_extensions.map(Disposition::severity),
    };
    (inner, modifiers, faults)
}

/// # Errors: why it is no definition of R4.
fn head<'d>(definition: &Definition<'d>) -> Result<Read<'d>, String> {
    let head: Head =
        serde_json::from_str(definition.json).map_err(|error| format!("no JSON at line {} column {}", error.line(), error.column()))?;
    if head.resource_type != "StructureDefinition" {
        return Err("`resourceType` must be `StructureDefinition`".to_owned());
    }
    if !matches!(head.kind.as_str(), "resource" | "complex-type" | "primitive-type") {
        return Err("`kind` must be `resource`, `complex-type` or `primitive-type`".to_owned());
    }
    match head.derivation.as_deref() {
        Some("constraint" | "specialization") => {}
        // `Resource` and `Element` derive from nothing.
        None if !definition.own => {}
        _ => return Err("`derivation` must be `constraint` or `specialization`".to_owned()),
    }
    let Some(kind) = TypeId::of(&head.type_name) else {
        return Err("`type` is no type of FHIR R4".to_owned());
    };
    Ok(Read {
        definition: *definition,
        head,
        kind,
    })
}

struct Compiler<'c, 'd> {
    profiles: &'c [Read<'d>],
    index: &'c Index,
    canonicals: Canonicals,
    repeats_base: bool,
    /// Expressions by key, of the types' own definitions.
    of_types: HashMap<String, String>,
    known: Known,
    faults: Vec<ProfileFault>,
}

impl<'c, 'd> Compiler<'c, 'd> {
    /// The rules of FHIR's own types, by the type's number.
    fn types(&mut self, types: &[Read<'d>], options: &Options) -> Base {
        let mut lists = vec![List::default()];
        if options.base.is_none() {
            return Base::new(lists, Vec::new(), options);
        }
        let mut by_type: Vec<Option<(Checks, ListId)>> = TypeId::all().map(|_| None).collect();
        for read in types {
            // A primitive's value has its format; all else of it is an element's.
            if read.kind.primitive().is_some() {
                continue;
            }
            let mut draft = Draft::default();
            if let Err(message) = self.read(read, &mut draft, 0) {
                self.fault(read, "", message);
                continue;
            }
            self.keys(&draft);
            let mut maker = self.maker(read, true);
            let mut lowering = Lowering::new(&mut maker);
            let (checks, root) = lowering.whole(&draft, read.kind);
            let mut found = std::mem::take(&mut lowering.backbones);
            found.push((read.kind, checks, root));
            let offset = lists.len() as u32 - 1;
            let moved = |id: ListId| if id == ListId::NONE { id } else { ListId(id.0 + offset) };
            let own = lowering.lists.drain(1..).map(|mut list| {
                list.rules.iter_mut().for_each(|rule| rule.children = moved(rule.children));
                list
            });
            lists.extend(own);
            for (kind, checks, root) in found {
                if !checks.is_empty() || root != ListId::NONE {
                    by_type[usize::from(kind.0)] = Some((checks, moved(root)));
                }
            }
        }
        Base::new(lists, by_type, options)
    }

    fn keys(&mut self, draft: &Draft) {
        for constraint in &draft.facts.constraints {
            if let (Some(key), Some(expression)) = (text(constraint, "key"), text(constraint, "expression")) {
                self.of_types.entry(key.to_owned()).or_insert_with(|| expression.to_owned());
            }
        }
        draft.children.iter().for_each(|child| self.keys(child));
    }

    fn profile(&mut self, number: usize, options: &Options, modifiers: &mut Vec<String>) -> Option<Profile> {
        let read = &self.profiles[number];
        let mut draft = Draft::default();
        if let Err(message) = self.read(read, &mut draft, 0) {
            self.fault(read, "", message);
            return None;
        }
        if read.definition.own {
            known_modifiers(&draft, modifiers);
        }
        let mut maker = self.maker(read, false);
        let mut lowering = Lowering::new(&mut maker);
        let (checks, root) = lowering.whole(&draft, read.kind);
        let (lists, support) = (std::mem::take(&mut lowering.lists), std::mem::take(&mut lowering.support));
        let contexts = contexts(&read.head.context);
        let (url, version) = (read.head.url.clone(), read.head.version.clone());
        let name = match &url {
            Some(url) if !read.definition.own => url.clone(),
            _ => read.definition.file.to_owned(),
        };
        let severity = options
            .disposition(read.definition.file, &url, &version, read.definition.own)
            .severity();
        Some(Profile {
            number: number as u32,
            name,
            url,
            kind: read.kind,
            severity,
            checks,
            root,
            lists,
            support,
            contexts,
        })
    }

    fn maker<'m>(&'m mut self, read: &'m Read<'_>, of_type: bool) -> Maker<'m> {
        Maker {
            file: read.definition.file,
            own: read.definition.own,
            of_type,
            repeats_base: self.repeats_base,
            quiet: false,
            resource: Some(read.kind).filter(|kind| kind.is_resource() && *kind != TypeId::RESOURCE),
            others: self.index,
            canonicals: &self.canonicals,
            of_types: &self.of_types,
            known: &mut self.known,
            faults: &mut self.faults,
        }
    }

    fn fault(&mut self, read: &Read<'_>, element: &str, message: String) {
        self.maker(read, false).fault(element, message);
    }

    /// The definition's elements: its snapshot, or its differential over those of the profile it builds on.
    /// # Errors: why there are none.
    fn read(&mut self, read: &Read<'_>, draft: &mut Draft, depth: usize) -> Result<(), String> {
        if depth > STACK {
            return Err("the profile builds on itself, by way of others, or on too many".to_owned());
        }
        let value: Value = serde_json::from_str(read.definition.json).map_err(|_| "no JSON".to_owned())?;
        let elements = |part: &str| value.get(part).filter(|part| items(part, "element").next().is_some());
        let (found, is_whole) = match (elements("snapshot"), elements("differential")) {
            (Some(snapshot), _) => (snapshot, true),
            (None, Some(differential)) => (differential, false),
            (None, None) => return Err("`snapshot.element` and `differential.element` are both missing or empty".to_owned()),
        };
        if !is_whole && let Some(base) = text(&value, "baseDefinition").and_then(|base| self.index.find(base)) {
            self.read(&self.profiles[base as usize], draft, depth + 1)?;
        }
        let mut places = Places::default();
        for element in items(found, "element") {
            self.element(read, element, &mut places, draft);
        }
        Ok(())
    }

    fn element(&mut self, read: &Read<'_>, element: &Value, places: &mut Places, draft: &mut Draft) {
        let path = text(element, "path").unwrap_or_default();
        let mut messages = Vec::new();
        let mut facts = Facts::read(element, &mut |message| messages.push(message));
        if read.head.url.as_deref().is_some_and(|url| url.starts_with(CORE)) {
            facts.correct();
        }
        let parts = places.parts(element);
        let name = read.kind.as_str();
        match parts.split_first() {
            Some((first, rest)) if first.label == name => match draft.place(&[read.kind], rest, path) {
                Ok((found, _)) => found.facts.merge(facts),
                Err(message) => messages.push(message),
            },
            _ => messages.push(format!("the path must begin with `{name}`")),
        }
        for message in messages {
            self.fault(read, path, message);
        }
    }
}

/// Where an extension may stand; empty if that is anywhere, or some of it cannot be told here.
fn contexts(places: &[Place]) -> Vec<Context> {
    let context = |place: &Place| {
        let expression = place.expression.as_str();
        match place.kind.as_str() {
            "extension" => return Some(Context::Extension),
            "element" => {}
            _ => return None,
        }
        if matches!(expression, "Resource" | "DomainResource") {
            return Some(Context::Resource);
        }
        if let Some(kind) = TypeId::of(expression) {
            return Some(Context::Of(kind));
        }
        let (parent, label) = expression.rsplit_once('.')?;
        let parent = TypeId::of(parent)?;
        let names: Vec<Name> = match label.strip_suffix("[x]") {
            Some(stem) => parent.choice(stem).iter().map(|child| child.name).collect(),
            None => parent.child(Name::of(label)).map(|child| child.name).into_iter().collect(),
        };
        (!names.is_empty()).then_some(Context::Child(parent, names))
    };
    places.iter().map(context).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The modifier extensions that a profile names.
fn known_modifiers(draft: &Draft, found: &mut Vec<String>) {
    if draft.label == "modifierExtension" {
        let slices = draft.slices.iter().map(|(_, slice)| slice);
        let types = std::iter::once(draft).chain(slices).flat_map(|draft| &draft.facts.types);
        let urls = types.flat_map(|one| &one.profiles);
        found.extend(urls.map(|url| url.split('|').next().unwrap_or(url).to_owned()));
    }
    let slices = draft.slices.iter().map(|(_, slice)| slice);
    draft.children.iter().chain(slices).for_each(|inner| known_modifiers(inner, found));
}
