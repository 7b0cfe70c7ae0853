//! fhirbolt's tables compiled into arrays: one hash table of names for each type, half full at most.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use fhirbolt_shared::element_map::r4::ELEMENT_MAP;
use fhirbolt_shared::type_hints::r4::TYPE_HINTS;

use super::facts::{CodeSet, Facts};
use super::temporal::TEMPORAL;
use super::text;
use super::{Child, Primitive, TypeId};
use crate::fhir::name::Name;

/// All types, by number.
pub(super) struct Types {
    pub(super) entries: Vec<Entry>,
    pub(super) numbers: Numbers,
    pub(super) sets: Vec<CodeSet>,
    places: Vec<Place>,
    slots: Vec<Slot>,
}

/// One type.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) resource: bool,
    pub(super) primitive: Option<Primitive>,
    pub(super) children: Vec<Child>,
    pub(super) choices: Vec<(&'static str, Vec<Child>)>,
    pub(super) required: u32,
}

/// Where the slots of a type begin, and how many there are (a power of two) less one.
#[derive(Clone, Copy)]
struct Place {
    first: u32,
    mask: u32,
}

/// Types by name.
pub(super) type Numbers = HashMap<&'static str, TypeId, BuildHasherDefault<ShortHasher>>;

/// Asked once for every resource and every reference; nobody can add names of his own.
#[derive(Default)]
pub(super) struct ShortHasher(u64);

impl Hasher for ShortHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[derive(Clone, Copy)]
struct Slot {
    name: Name,
    child: Child,
}

/// The elements of `Resource`, which has no entry in the tables.
const RESOURCE_ELEMENTS: [&str; 4] = ["id", "meta", "implicitRules", "language"];

impl Types {
    #[inline]
    pub(super) fn get() -> &'static Types {
        static TYPES: OnceLock<Types> = OnceLock::new();
        TYPES.get_or_init(Types::build)
    }

    #[inline]
    pub(super) fn child(&self, kind: TypeId, name: Name) -> Option<Child> {
        let place = self.places[usize::from(kind.0)];
        let mut at = spread(name);
        loop {
            let slot = &self.slots[(place.first + (at & place.mask)) as usize];
            if slot.name == Name::NONE {
                return None;
            }
            if slot.name == name {
                return Some(slot.child);
            }
            at += 1;
        }
    }

    fn build() -> Types {
        let mut names: Vec<&'static str> = ELEMENT_MAP.keys().copied().collect();
        names.sort_unstable();
        names.insert(0, "Resource");
        let numbers = names.iter().enumerate().map(|(at, name)| (*name, TypeId(at as u16))).collect();
        let mut types = Types {
            entries: Vec::new(),
            numbers,
            sets: Vec::new(),
            places: Vec::new(),
            slots: Vec::new(),
        };
        let facts = Facts::read();
        for name in &names {
            let entry = types.entry(name, &names, &facts);
            types.entries.push(entry);
        }
        types.sets = facts.sets;
        types
    }

    fn entry(&mut self, name: &'static str, names: &[&'static str], facts: &Facts) -> Entry {
        let elements: Vec<&'static str> = match ELEMENT_MAP.get(name) {
            Some(elements) => elements.iter().copied().collect(),
            None => RESOURCE_ELEMENTS.to_vec(),
        };
        let resource = elements.contains(&"implicitRules");
        let primitive = primitive(name);
        let mut children: Vec<Child> = elements
            .into_iter()
            // A primitive's value is the JSON value itself.
            .filter(|element| primitive.is_none() || *element != "value")
            .map(|element| self.element(name, element, resource))
            .collect();
        let mut choices = choices(name, &mut children, names, &self.numbers);
        let required = state(name, &mut children, &mut choices, facts);
        self.place(&children, names);
        Entry {
            name,
            resource,
            primitive,
            children,
            choices,
            required,
        }
    }

    fn element(&self, parent: &str, element: &'static str, resource: bool) -> Child {
        let path = format!("{parent}.{element}");
        let path = path.as_str();
        let (type_name, many) = match element {
            "extension" | "modifierExtension" => ("Extension", true),
            "contained" if resource => ("Resource", true),
            _ => (self.type_of(path, element, resource), TYPE_HINTS.array_paths.contains(path)),
        };
        Child {
            name: Name::of(element),
            type_id: self.numbers.get(type_name).copied().unwrap_or(TypeId::RESOURCE),
            many,
            choice: 0,
            required: 0,
            codes: 0,
        }
    }

    fn type_of<'p>(&self, path: &'p str, element: &'static str, resource: bool) -> &'p str {
        let hints = &TYPE_HINTS;
        if let Some(target) = hints.content_reference_paths.get(path) {
            return target;
        }
        if ELEMENT_MAP.contains_key(path) {
            return path;
        }
        if let Some(target) = hints.type_paths.get(path) {
            return target;
        }
        for (paths, name) in [
            (&hints.boolean_paths, "boolean"),
            (&hints.integer_paths, "integer"),
            (&hints.unsigned_integer_paths, "unsignedInt"),
            (&hints.positive_integer_paths, "positiveInt"),
            (&hints.decimal_paths, "decimal"),
        ] {
            if paths.contains(path) {
                return name;
            }
        }
        if let Some((name, _)) = TEMPORAL.iter().find(|(_, paths)| paths.contains(&path)) {
            return name;
        }
        match (element, resource) {
            ("id", true) => "id",
            ("meta", true) => "Meta",
            ("implicitRules", true) => "uri",
            ("language", true) => "code",
            ("text", true) if !hints.all_primitives_paths.contains(path) => "Narrative",
            _ if path == "Extension.url" => "uri",
            _ if path == "Narrative.div" => "xhtml",
            _ => text_type(path, element),
        }
    }

    /// Puts the children into slots: the elements, and the companions of the primitives.
    fn place(&mut self, children: &[Child], names: &[&'static str]) {
        let size = (children.len() * 4).next_power_of_two();
        let first = self.slots.len();
        let none = Child {
            name: Name::NONE,
            type_id: TypeId::RESOURCE,
            many: false,
            choice: 0,
            required: 0,
            codes: 0,
        };
        self.slots.resize(
            first + size,
            Slot {
                name: Name::NONE,
                child: none,
            },
        );
        let mask = size - 1;
        for child in children {
            self.put(first, mask, child.name, *child);
            if primitive(names[usize::from(child.type_id.0)]).is_some() {
                self.put(first, mask, child.name.companion(), *child);
            }
        }
        self.places.push(Place {
            first: first as u32,
            mask: mask as u32,
        });
    }

    fn put(&mut self, first: usize, mask: usize, name: Name, child: Child) {
        let mut at = spread(name) as usize;
        while self.slots[first + (at & mask)].name != Name::NONE {
            at += 1;
        }
        self.slots[first + (at & mask)] = Slot { name, child };
    }
}

/// Says of each child what R4 says of it, and gives the bits of those that must be there.
fn state(parent: &str, children: &mut [Child], choices: &mut [(&'static str, Vec<Child>)], facts: &Facts) -> u32 {
    let needed = facts.required.get(parent).map_or(&[][..], Vec::as_slice);
    for child in children.iter_mut() {
        let stem = usize::from(child.choice).checked_sub(1).map(|at| choices[at].0);
        let is = |element: &&str| match stem {
            Some(stem) => element.strip_suffix("[x]") == Some(stem),
            None => *element == child.name.as_str(),
        };
        child.required = needed.iter().position(is).map_or(0, |at| at as u8 + 1);
        if stem.is_none() {
            let path = format!("{parent}.{}", child.name.as_str());
            child.codes = facts.bound.get(path.as_str()).map_or(0, |number| number + 1);
        }
    }
    for (_, typed) in choices.iter_mut() {
        for one in typed {
            if let Some(child) = children.iter().find(|child| child.name == one.name) {
                *one = *child;
            }
        }
    }
    (1..=needed.len()).fold(0, |bits, number| bits | 1 << number)
}

/// The exact type of a text.
fn text_type(path: &str, element: &str) -> &'static str {
    let named =
        |table: &[(&'static str, &[&str])], word: &str| table.iter().find(|(_, words)| words.contains(&word)).map(|(name, _)| *name);
    named(&text::BY_PATH, path)
        .or_else(|| named(&text::BY_NAME, element))
        .unwrap_or("string")
}

#[inline]
fn spread(name: Name) -> u32 {
    u32::from(name.0).wrapping_mul(0x9e37_79b1) >> 15
}

fn primitive(name: &str) -> Option<Primitive> {
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return None;
    }
    Some(match name {
        "boolean" => Primitive::Boolean,
        "integer" | "positiveInt" | "unsignedInt" => Primitive::Integer,
        "decimal" => Primitive::Decimal,
        _ => Primitive::Text,
    })
}

/// Two elements of `PaymentReconciliation` that look like a choice and are none.
const NO_CHOICE: (&str, &str) = ("PaymentReconciliation", "payment");

/// Finds the choices among the children: two or more single elements of one stem, each followed by its own type.
/// The tables say of a text only that it is a primitive, so its exact type comes from its name here.
fn choices(parent: &str, children: &mut [Child], names: &[&'static str], numbers: &Numbers) -> Vec<(&'static str, Vec<Child>)> {
    let mut stems: Vec<(&'static str, Vec<(usize, TypeId)>)> = Vec::new();
    for (at, child) in children.iter().enumerate().filter(|(_, child)| !child.many) {
        let text = child.name.as_str();
        for (split, _) in text.char_indices().skip(1).filter(|(_, letter)| letter.is_ascii_uppercase()) {
            let (stem, suffix) = text.split_at(split);
            let lower = suffix[..1].to_ascii_lowercase() + &suffix[1..];
            let Some(kind) = numbers.get(suffix).or_else(|| numbers.get(lower.as_str())) else {
                continue;
            };
            let found = names[usize::from(child.type_id.0)];
            let fits = *kind == child.type_id
                || (primitive(found) == Some(Primitive::Text) && primitive(names[usize::from(kind.0)]) == Some(Primitive::Text));
            if !fits || (parent, stem) == NO_CHOICE {
                continue;
            }
            match stems.iter_mut().find(|(known, _)| *known == stem) {
                Some((_, members)) => members.push((at, *kind)),
                None => stems.push((stem, vec![(at, *kind)])),
            }
        }
    }
    stems.retain(|(_, members)| members.len() > 1);
    let mut choices = Vec::new();
    for (number, (stem, members)) in stems.into_iter().enumerate() {
        let mut typed = Vec::new();
        for (at, kind) in members {
            children[at].type_id = kind;
            children[at].choice = number as u8 + 1;
            typed.push(children[at]);
        }
        choices.push((stem, typed));
    }
    choices
}
