//! How the JSON value of each type must look: its kind, its range, its format.
//! FHIR 4.0.1, "Primitive Types" and "JSON Representation of Resources".

use std::sync::OnceLock;

use crate::fhir::datetime::{DateTime, Form};
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::{Primitive, TypeId};

/// What a value of one type is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Any resource.
    Resource,
    /// An object with the elements of its type.
    Object,
    Boolean,
    /// A whole number of 32 bits, not below this.
    Integer(i32),
    Decimal,
    /// A string that is not empty.
    Text,
    /// A string without white space.
    Uri,
    /// A string without white space at its ends or more than one space within.
    Code,
    Id,
    Oid,
    Uuid,
    Base64,
    Temporal(Form),
}

impl Format {
    /// By the type's number.
    pub(super) fn table() -> &'static [Format] {
        static TABLE: OnceLock<Vec<Format>> = OnceLock::new();
        TABLE.get_or_init(|| TypeId::all().map(Format::of).collect())
    }

    fn of(kind: TypeId) -> Format {
        if kind == TypeId::RESOURCE {
            return Format::Resource;
        }
        let Some(primitive) = kind.primitive() else {
            return Format::Object;
        };
        if let Some(form) = Form::of_type(kind.as_str()) {
            return Format::Temporal(form);
        }
        match (primitive, kind.as_str()) {
            (Primitive::Boolean, _) => Format::Boolean,
            (Primitive::Integer, "positiveInt") => Format::Integer(1),
            (Primitive::Integer, "unsignedInt") => Format::Integer(0),
            (Primitive::Integer, _) => Format::Integer(i32::MIN),
            (Primitive::Decimal, _) => Format::Decimal,
            (Primitive::Text, "id") => Format::Id,
            (Primitive::Text, "code") => Format::Code,
            (Primitive::Text, "oid") => Format::Oid,
            (Primitive::Text, "uuid") => Format::Uuid,
            (Primitive::Text, "base64Binary") => Format::Base64,
            (Primitive::Text, "uri" | "url" | "canonical") => Format::Uri,
            (Primitive::Text, _) => Format::Text,
        }
    }

    /// The rule that a primitive's value breaks, if it breaks one.
    #[inline]
    pub(super) fn fault(self, node: Node<'_, '_>) -> Option<&'static str> {
        let kind = node.kind();
        match self {
            Format::Resource | Format::Object => (kind != Kind::Object).then_some("type object"),
            Format::Boolean => (kind != Kind::Boolean).then_some("type boolean"),
            Format::Decimal => (kind != Kind::Number).then_some("type decimal"),
            Format::Integer(least) if kind == Kind::Number => integer(node.raw(), least),
            Format::Integer(_) => Some("type integer"),
            _ if kind != Kind::String => Some("type string"),
            _ if node.raw().is_empty() => Some("empty string"),
            Format::Text => None,
            Format::Uri => has_space(node).then_some("uri"),
            Format::Code => is_padded(node).then_some("code"),
            Format::Oid => (!is_oid(&node.text())).then_some("oid"),
            Format::Uuid => (!is_uuid(&node.text())).then_some("uuid"),
            Format::Base64 => (!is_base64(&node.text())).then_some("base64Binary"),
            Format::Id => (!is_id(node.raw())).then_some("id"),
            // An escape is no character of a date, and an id's are not either.
            Format::Temporal(form) => DateTime::parse(node.raw(), form).is_none().then_some(match form {
                Form::Date => "date",
                Form::DateTime | Form::Literal => "dateTime",
                Form::Instant => "instant",
                Form::Time | Form::Clock => "time",
            }),
        }
    }
}

fn integer(digits: &str, least: i32) -> Option<&'static str> {
    if digits.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'-')) {
        return Some("type integer");
    }
    match digits.parse::<i64>() {
        Ok(number) if number >= i64::from(i32::MIN) && number <= i64::from(i32::MAX) => match least {
            1 if number < 1 => Some("positive"),
            0 if number < 0 => Some("not negative"),
            _ => None,
        },
        _ => Some("integer of 32 bits"),
    }
}

/// Control characters stand in a line only as escapes, so that what has none can only hold spaces.
#[inline]
fn has_space(node: Node<'_, '_>) -> bool {
    if node.is_escaped() {
        return node.text().contains([' ', '\t', '\n', '\r']);
    }
    memchr::memchr(b' ', node.raw().as_bytes()).is_some()
}

#[inline]
fn is_padded(node: Node<'_, '_>) -> bool {
    let raw = node.raw().as_bytes();
    let is_plain = |end: Option<&u8>| end.is_some_and(|byte| byte.is_ascii_graphic());
    if !node.is_escaped() && is_plain(raw.first()) && is_plain(raw.last()) {
        return memchr::memmem::find(raw, b"  ").is_some();
    }
    let text = node.text();
    let is_space = |letter: char| matches!(letter, ' ' | '\t' | '\n' | '\r');
    let mut before = ' ';
    let doubled = text
        .chars()
        .any(|letter| is_space(std::mem::replace(&mut before, letter)) && is_space(letter));
    text.trim().len() != text.len() || doubled
}

/// `urn:oid:` and numbers without leading zeros.
fn is_oid(text: &str) -> bool {
    let Some(numbers) = text.strip_prefix("urn:oid:") else {
        return false;
    };
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = numbers.split('.');
    let root = parts.next().is_some_and(|first| matches!(first, "0" | "1" | "2"));
    let rest = numbers.split('.').skip(1);
    root && rest.clone().count() > 0 && { rest }.all(|number| is_number(number) && (number == "0" || !number.starts_with('0')))
}

/// `urn:uuid:` and 32 digits in five groups, in small letters.
fn is_uuid(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("urn:uuid:") else {
        return false;
    };
    digits.len() == 36
        && digits.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// Groups of four of its 64 characters, `=` only at the end; white space may stand between.
fn is_base64(text: &str) -> bool {
    const KIND: [u8; 256] = {
        let mut kind = [3; 256];
        let mut byte = 0;
        while byte < 256 {
            kind[byte] = match byte as u8 {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => 0,
                b'=' => 1,
                b' ' | b'\t' | b'\n' | b'\r' => 2,
                _ => 3,
            };
            byte += 1;
        }
        kind
    };
    let (mut digits, mut padding) = (0usize, 0usize);
    for byte in text.bytes() {
        match KIND[usize::from(byte)] {
            0 if padding == 0 => digits += 1,
            1 => padding += 1,
            2 => {}
            _ => return false,
        }
    }
    padding <= 2 && (digits + padding).is_multiple_of(4)
}

fn is_id(text: &str) -> bool {
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            allowed[byte] = (byte as u8).is_ascii_alphanumeric() || byte == b'-' as usize || byte == b'.' as usize;
            byte += 1;
        }
        allowed
    };
    text.len() <= 64 && text.bytes().all(|byte| ALLOWED[usize::from(byte)])
}
