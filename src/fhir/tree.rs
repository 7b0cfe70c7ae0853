//! One JSON text as a flat, reused vector of 16-byte nodes with spans into the input (the span tree).
//! Decimals keep their digits, duplicate member names are seen, nothing is copied. Knows JSON, not FHIR.

use std::borrow::Cow;

use super::name::Name;

/// Limits on one line.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub line_bytes: usize,
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes: 16 << 20,
            depth: 64,
        }
    }
}

/// Why a line is no tree: rule and byte offset, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} at byte {offset}")]
pub struct SyntaxError {
    pub rule: &'static str,
    pub offset: usize,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// 16 bytes: span, next sibling, name, kind, flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    _todo: [u32; 4],
}

/// The reusable buffer a line is parsed into.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Raw>,
}

impl Tree {
    pub fn new() -> Self {
        Self::default()
    }

    /// The root of `line`, parsed. `line` is one JSON text without its newline.
    /// # Errors: bad UTF-8, bad JSON, a broken limit, a duplicate member name.
    pub fn parse<'t, 'a>(&'t mut self, line: &'a [u8], limits: &Limits) -> Result<Node<'t, 'a>, SyntaxError> {
        let _ = (line, limits);
        todo!("fhir base")
    }
}

/// One value in a parsed line. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Node<'t, 'a> {
    nodes: &'t [Raw],
    text: &'a str,
    at: u32,
}

impl<'t, 'a> Node<'t, 'a> {
    pub fn kind(self) -> Kind {
        todo!("fhir base")
    }
    /// The interned name of this member; `Name::NONE` for the root and for items of an array.
    pub fn name(self) -> Name {
        todo!("fhir base")
    }
    /// The member name as it stands in the line.
    pub fn name_text(self) -> &'a str {
        todo!("fhir base")
    }
    /// The JSON text of the value: a string without its quotes and still escaped, a number with its digits,
    /// an array or object with its brackets.
    pub fn raw(self) -> &'a str {
        todo!("fhir base")
    }
    /// The text of a string, unescaped; borrowed when nothing was escaped. Numbers and booleans as they stand.
    pub fn text(self) -> Cow<'a, str> {
        todo!("fhir base")
    }
    /// Members of an object or items of an array, in order.
    pub fn children(self) -> Children<'t, 'a> {
        todo!("fhir base")
    }
    /// The member of this name.
    pub fn get(self, name: Name) -> Option<Node<'t, 'a>> {
        self.children().find(|child| child.name() == name)
    }
    /// Byte offset of the value in the line.
    pub fn offset(self) -> usize {
        todo!("fhir base")
    }
    /// The FHIR element path of this node, e.g. `Observation.component[1].valueQuantity`. Slow; for refusals.
    pub fn path(self) -> String {
        todo!("fhir base")
    }
    /// `resourceType` of an object.
    pub fn resource_type(self) -> Option<&'a str> {
        todo!("fhir base")
    }
    /// A number that tells two nodes of one tree apart and orders them as in the text.
    pub fn index(self) -> u32 {
        self.at
    }
}

/// Iterator over the children of a node.
pub struct Children<'t, 'a> {
    nodes: &'t [Raw],
    text: &'a str,
    next: u32,
    end: u32,
}

impl<'t, 'a> Iterator for Children<'t, 'a> {
    type Item = Node<'t, 'a>;
    fn next(&mut self) -> Option<Self::Item> {
        let _ = (self.nodes, self.text, self.next, self.end);
        todo!("fhir base")
    }
}
