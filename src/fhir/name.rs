//! Field names as numbers: every member name of FHIR R4 (from fhirbolt's tables) is interned once; comparing two names is
//! comparing two u16. A name FHIR does not know is `Name::UNKNOWN` and is compared by its text (`Node::name_text`).
//!
//! An element has an even number, its primitive's companion (`_birthDate`) the odd number behind it.

use std::sync::OnceLock;

use fhirbolt_shared::element_map::r4::ELEMENT_MAP;

/// An interned member name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub u16);

impl Name {
    /// No name: the root, or an item of an array.
    pub const NONE: Name = Name(0);
    /// A member name that FHIR R4 does not have.
    pub const UNKNOWN: Name = Name(1);
    /// `resourceType`
    pub const RESOURCE_TYPE: Name = Name(2);
    /// `id`
    pub const ID: Name = Name(4);
    /// `extension`
    pub const EXTENSION: Name = Name(6);
    /// `modifierExtension`
    pub const MODIFIER_EXTENSION: Name = Name(8);
    /// `url`
    pub const URL: Name = Name(10);
    /// `entry`
    pub const ENTRY: Name = Name(12);
    /// `resource`
    pub const RESOURCE: Name = Name(14);
    /// `contained`
    pub const CONTAINED: Name = Name(16);
    /// `coding`
    pub const CODING: Name = Name(18);
    /// `system`
    pub const SYSTEM: Name = Name(20);
    /// `code`
    pub const CODE: Name = Name(22);
    /// `reference`
    pub const REFERENCE: Name = Name(24);

    /// The interned name of `text`, or `Name::UNKNOWN`. `_birthDate` and `birthDate` are different names.
    pub fn of(text: &str) -> Name {
        Names::get().find(text.as_bytes(), 0, text.len())
    }

    /// The text of a known name; empty for `NONE` and `UNKNOWN`.
    pub fn as_str(self) -> &'static str {
        Names::get().texts.get(usize::from(self.0)).map_or("", String::as_str)
    }

    /// A name of FHIR R4, so neither `NONE` nor `UNKNOWN`.
    pub fn is_known(self) -> bool {
        self.0 > 1
    }

    /// `_birthDate`: the companion that holds a primitive's id and extensions.
    pub fn is_companion(self) -> bool {
        self.0 > 1 && self.0 & 1 == 1
    }

    /// `birthDate` for `_birthDate` and for `birthDate`; `NONE` and `UNKNOWN` stay.
    pub fn element(self) -> Name {
        if self.is_companion() { Name(self.0 & !1) } else { self }
    }

    /// `_birthDate` for `birthDate` and for `_birthDate`; `NONE` and `UNKNOWN` stay.
    pub fn companion(self) -> Name {
        if self.is_known() { Name(self.0 | 1) } else { self }
    }
}

/// The names with constants above, in the order of their numbers.
const FIRST: [&str; 12] = [
    "resourceType",
    "id",
    "extension",
    "modifierExtension",
    "url",
    "entry",
    "resource",
    "contained",
    "coding",
    "system",
    "code",
    "reference",
];

const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 13;

/// One place of the hash table. A name of up to 16 bytes is wholly in `head` and `tail`.
#[derive(Clone, Copy)]
struct Slot {
    head: u64,
    tail: u64,
    len: u32,
    name: Name,
}

/// The table of all names: open addressing, at most half full.
pub(super) struct Names {
    slots: Box<[Slot; SLOTS]>,
    texts: Vec<String>,
}

impl Names {
    pub(super) fn get() -> &'static Names {
        static NAMES: OnceLock<Names> = OnceLock::new();
        NAMES.get_or_init(Names::build)
    }

    fn build() -> Names {
        let mut types: Vec<_> = ELEMENT_MAP.entries().collect();
        types.sort_unstable_by_key(|(name, _)| **name);
        let empty = Slot {
            head: 0,
            tail: 0,
            len: 0,
            name: Name::UNKNOWN,
        };
        let mut names = Names {
            slots: Box::new([empty; SLOTS]),
            texts: vec![String::new(), String::new()],
        };
        let elements = types.iter().flat_map(|(_, elements)| elements.iter().copied());
        for text in FIRST.into_iter().chain(elements) {
            if names.find(text.as_bytes(), 0, text.len()) == Name::UNKNOWN {
                names.add(text.to_owned());
                names.add(format!("_{text}"));
            }
        }
        names
    }

    fn add(&mut self, text: String) {
        let number = u16::try_from(self.texts.len()).expect("FHIR R4 has fewer than 32768 member names");
        let (head, tail) = words(text.as_bytes(), 0, text.len());
        let mut at = slot(head, tail, text.len());
        while self.slots[at].name != Name::UNKNOWN {
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = Slot {
            head,
            tail,
            len: text.len() as u32,
            name: Name(number),
        };
        self.texts.push(text);
    }

    /// The name that stands in `line` from `start` to `end`, which must be within the line.
    #[inline]
    pub(super) fn find(&self, line: &[u8], start: usize, end: usize) -> Name {
        let len = end - start;
        let (head, tail) = words(line, start, len);
        let mut at = slot(head, tail, len);
        loop {
            let found = &self.slots[at % SLOTS];
            if found.head == head
                && found.tail == tail
                && found.len == len as u32
                && (len <= 16 || self.same(found.name, &line[start..end]))
            {
                return found.name;
            }
            if found.name == Name::UNKNOWN {
                return Name::UNKNOWN;
            }
            at += 1;
        }
    }

    fn same(&self, name: Name, text: &[u8]) -> bool {
        self.texts[usize::from(name.0)].as_bytes() == text
    }
}

/// The first and the last eight bytes of a text in a line, as numbers; a shorter text is filled with zeros.
#[inline]
fn words(line: &[u8], start: usize, len: usize) -> (u64, u64) {
    match line[start..].first_chunk::<8>() {
        Some(head) if len >= 8 => {
            let tail = line[..start + len].last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
            (u64::from_le_bytes(*head), tail)
        }
        // The bytes behind a short name are cut off.
        Some(head) => (u64::from_le_bytes(*head) & ((1 << (8 * len)) - 1), 0),
        None => {
            let mut head = [0; 8];
            head[..len].copy_from_slice(&line[start..start + len]);
            (u64::from_le_bytes(head), 0)
        }
    }
}

#[inline]
fn slot(head: u64, tail: u64, len: usize) -> usize {
    let mixed = (head ^ tail.rotate_left(29) ^ ((len as u64) << 59)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - SLOT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_the_names_they_say() {
        for (at, text) in FIRST.into_iter().enumerate() {
            assert_eq!(Name::of(text), Name(2 + 2 * at as u16), "{text}");
        }
        assert_eq!(Name::REFERENCE, Name::of("reference"));
    }

    #[test]
    fn every_element_of_r4_has_a_number_of_its_own_and_gives_its_text_back() {
        let mut seen = std::collections::HashMap::new();
        for (_, elements) in ELEMENT_MAP.entries() {
            for text in elements.iter().copied() {
                let name = Name::of(text);
                assert!(name.is_known() && !name.is_companion());
                assert_eq!(name.as_str(), text);
                assert_eq!(*seen.entry(name).or_insert(text), text);
                assert_eq!(name.companion(), Name::of(&format!("_{text}")));
                assert_eq!(name.companion().element(), name);
            }
        }
        assert!(seen.len() > 1700);
    }

    #[test]
    fn a_name_r4_does_not_have_is_unknown_wherever_it_stands_in_the_line() {
        for text in [
            "",
            "i",
            "idd",
            "statuss",
            "Status",
            "__status",
            "_",
            "characteristicCodeableConcepT",
            "medicationCodeableConcep",
        ] {
            assert_eq!(Name::of(text), Name::UNKNOWN, "{text}");
            let line = format!("xx{text}yyyyyyyyyyyyyyyy");
            assert_eq!(Names::get().find(line.as_bytes(), 2, 2 + text.len()), Name::UNKNOWN, "{text}");
        }
        assert_eq!(Name::UNKNOWN.as_str(), "");
    }

    #[test]
    fn names_of_every_length_are_found_at_the_end_and_in_the_middle_of_a_line() {
        for number in 2..Names::get().texts.len() {
            let text = &Names::get().texts[number];
            let line = format!("abc{text}defghijklmnop");
            assert_eq!(Names::get().find(line.as_bytes(), 3, 3 + text.len()).0 as usize, number);
            let line = format!("abc{text}");
            assert_eq!(Names::get().find(line.as_bytes(), 3, 3 + text.len()).0 as usize, number);
        }
    }
}
