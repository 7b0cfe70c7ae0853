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
    /// `display`
    pub const DISPLAY: Name = Name(26);

    /// The interned name of `text`, or `Name::UNKNOWN`. `_birthDate` and `birthDate` are different names.
    pub fn of(text: &str) -> Name {
        Names::get().find_short(text.as_bytes())
    }

    /// The text of a known name; empty for `NONE` and `UNKNOWN`.
    pub fn as_str(self) -> &'static str {
        Names::get().texts.get(usize::from(self.0)).map_or("", String::as_str)
    }

    /// A name of FHIR R4, so neither `NONE` nor `UNKNOWN`.
    #[inline]
    pub fn is_known(self) -> bool {
        self.0 > 1
    }

    /// `_birthDate`: the companion that holds a primitive's id and extensions.
    #[inline]
    pub fn is_companion(self) -> bool {
        self.0 > 1 && self.0 & 1 == 1
    }

    /// `birthDate` for `_birthDate` and for `birthDate`; `NONE` and `UNKNOWN` stay.
    #[inline]
    pub fn element(self) -> Name {
        if self.is_companion() { Name(self.0 & !1) } else { self }
    }

    /// `_birthDate` for `birthDate` and for `_birthDate`; `NONE` and `UNKNOWN` stay.
    #[inline]
    pub fn companion(self) -> Name {
        if self.is_known() { Name(self.0 | 1) } else { self }
    }
}

/// The names with constants above, in the order of their numbers.
const FIRST: [&str; 13] = [
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
    "display",
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

/// No line has a name of this length: for what is no name, and for companions, which are rare.
const NEVER: Slot = Slot {
    head: 0,
    tail: 0,
    len: i32::MAX as u32,
    name: Name::UNKNOWN,
};

/// The table of all names: open addressing, a quarter full, companions by the name of their element.
pub(super) struct Names {
    slots: Box<[Slot; SLOTS]>,
    /// By number.
    texts: Vec<String>,
    /// By number.
    known: Vec<Slot>,
}

impl Names {
    pub(super) fn get() -> &'static Names {
        static NAMES: OnceLock<Names> = OnceLock::new();
        NAMES.get_or_init(Names::build)
    }

    fn build() -> Names {
        let mut types: Vec<_> = ELEMENT_MAP.entries().collect();
        types.sort_unstable_by_key(|(name, _)| **name);
        let empty = Slot { len: 0, ..NEVER };
        let mut names = Names {
            slots: Box::new([empty; SLOTS]),
            texts: vec![String::new(), String::new()],
            known: vec![NEVER; 2],
        };
        let elements = types.iter().flat_map(|(_, elements)| elements.iter().copied());
        for text in FIRST.into_iter().chain(elements) {
            if names.find_short(text.as_bytes()) == Name::UNKNOWN {
                names.add(text);
            }
        }
        names
    }

    fn add(&mut self, text: &str) {
        let number = u16::try_from(self.texts.len()).expect("FHIR R4 has fewer than 32768 member names");
        let mut padded = [0; PADDED];
        padded[8..8 + text.len()].copy_from_slice(text.as_bytes());
        let (head, tail) = words(&padded, 8, text.len()).expect("the text is padded");
        let mut at = slot(head, tail, text.len());
        while self.slots[at % SLOTS].name != Name::UNKNOWN {
            at += 1;
        }
        let found = Slot {
            head,
            tail,
            len: text.len() as u32,
            name: Name(number),
        };
        self.slots[at % SLOTS] = found;
        self.known.extend([found, NEVER]);
        self.texts.push(text.to_owned());
        self.texts.push(format!("_{text}"));
    }

    /// Where the name `guess` ends, if it is `guess` that stands in `line` from `start` to a quote.
    #[inline(always)]
    pub(super) fn is_at(&self, guess: Name, line: &[u8], start: usize) -> Option<usize> {
        let known = self.known.get(usize::from(guess.0))?;
        let len = known.len as usize;
        let end = start + len;
        if line.get(end) != Some(&b'"') || words(line, start, len)? != (known.head, known.tail) {
            return None;
        }
        (len <= 16 || self.same(guess, &line[start..end])).then_some(end)
    }

    /// The name that stands in `line` from `start` to `end`, which must be within the line.
    #[inline]
    pub(super) fn find(&self, line: &[u8], start: usize, end: usize) -> Name {
        let len = end - start;
        let Some((head, tail)) = words(line, start, len) else {
            return self.find_short(&line[start..end]);
        };
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
                return if head as u8 == b'_' {
                    self.companion(&line[start + 1..end])
                } else {
                    Name::UNKNOWN
                };
            }
            at += 1;
        }
    }

    /// The same where the line ends so soon behind the name that it cannot be read by words.
    #[cold]
    fn find_short(&self, text: &[u8]) -> Name {
        let mut padded = [0; PADDED];
        match padded.get_mut(8..8 + text.len()) {
            Some(room) if !text.is_empty() => room.copy_from_slice(text),
            _ => return Name::UNKNOWN,
        }
        self.find(&padded, 8, 8 + text.len())
    }

    #[cold]
    fn companion(&self, element: &[u8]) -> Name {
        if element.starts_with(b"_") {
            Name::UNKNOWN
        } else {
            self.find_short(element).companion()
        }
    }

    #[inline(never)]
    fn same(&self, name: Name, text: &[u8]) -> bool {
        self.texts[usize::from(name.0)].as_bytes() == text
    }
}

/// Longer than the longest name by a word on either side.
const PADDED: usize = 64;

/// The first and the last eight bytes of a text in a line, as numbers; of a shorter text, both are its bytes.
/// `None` where the line begins or ends too near for reading by words. Without branches on the length, which is hard
/// to predict.
#[inline(always)]
fn words(line: &[u8], start: usize, len: usize) -> Option<(u64, u64)> {
    let head = u64::from_le_bytes(*line.get(start..)?.first_chunk::<8>()?);
    let tail = u64::from_le_bytes(*line.get(..start + len)?.last_chunk::<8>()?);
    let unused = 8 * (8 - len.min(8)) as u32;
    Some((head & u64::MAX.checked_shr(unused)?, tail >> unused))
}

#[inline(always)]
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
