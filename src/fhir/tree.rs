//! One JSON text as a flat, reused vector of 16-byte nodes with spans into the input (the span tree).
//! Decimals keep their digits, duplicate member names are seen, nothing is copied. Knows JSON, not FHIR; only `path`
//! asks the names of the resource types, so that a refusal can begin with one.
//!
//! The grammar is RFC 8259, whole: `parse` reads it, `scan` finds the ends of strings, `unescape` gives their text.

mod parse;
mod path;
mod scan;
mod unescape;

use std::borrow::Cow;

use super::name::Name;

/// A number longer than this is refused: no measurement needs it, and readers behind us may be quadratic in it.
pub const NUMBER_BYTES: usize = 64;

/// Members of one object: FHIR's widest type has far fewer, and whoever asks for a member looks through all of them.
pub const MEMBERS: usize = 256;

/// Bytes of a member's name.
pub const NAME_BYTES: usize = 256;

/// Limits on one line.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most this many bytes.
    pub line_bytes: usize,
    /// At most this many arrays and objects in one another.
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

/// 16 bytes: span, next sibling, name, kind, flags. A string's span has no quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    start: u32,
    end: u32,
    /// The first node that is not inside this one.
    next: u32,
    name: Name,
    kind: Kind,
    escaped: bool,
}

/// The reusable buffer a line is parsed into.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Raw>,
    room: parse::Room,
}

impl Tree {
    pub fn new() -> Self {
        Self::default()
    }

    /// The root of `line`, parsed. `line` is one JSON text without its newline.
    /// # Errors: bad UTF-8, bad JSON, a broken limit, a duplicate member name.
    pub fn parse<'t, 'a>(&'t mut self, line: &'a [u8], limits: &Limits) -> Result<Node<'t, 'a>, SyntaxError> {
        self.nodes.clear();
        if line.len() > limits.line_bytes || u32::try_from(line.len()).is_err() {
            return Err(SyntaxError {
                rule: "line too long",
                offset: limits.line_bytes,
            });
        }
        let text = std::str::from_utf8(line).map_err(|error| SyntaxError {
            rule: "not UTF-8",
            offset: error.valid_up_to(),
        })?;
        parse::parse(&mut self.nodes, &mut self.room, text, limits)?;
        Ok(Node {
            nodes: &self.nodes,
            text,
            at: 0,
        })
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
    #[inline]
    fn node(self) -> &'t Raw {
        &self.nodes[self.at as usize]
    }

    #[inline]
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// The interned name of this member; `Name::NONE` for the root and for items of an array.
    #[inline]
    pub fn name(self) -> Name {
        self.node().name
    }

    /// The member name as it stands in the line (still escaped); empty for the root and for items of an array.
    /// Reads back from the value, so ask `name` first.
    pub fn name_text(self) -> &'a str {
        if self.name() == Name::NONE {
            return "";
        }
        let before = self.text[..self.offset()].trim_end().trim_end_matches(':').trim_end();
        let name = before.strip_suffix('"').unwrap_or(before);
        // The quote before the name is the last one that no odd row of backslashes escapes.
        let mut end = name.len();
        while let Some(quote) = name[..end].rfind('"') {
            let row = name[..quote].bytes().rev().take_while(|byte| *byte == b'\\').count();
            if row % 2 == 0 {
                return &name[quote + 1..];
            }
            end = quote;
        }
        name
    }

    /// Bytes of the value's JSON text, without a string's quotes.
    #[inline]
    pub fn size(self) -> usize {
        let node = self.node();
        (node.end - node.start) as usize
    }

    /// The JSON text of the value: a string without its quotes and still escaped, a number with its digits,
    /// an array or object with its brackets.
    #[inline]
    pub fn raw(self) -> &'a str {
        let node = self.node();
        &self.text[node.start as usize..node.end as usize]
    }

    /// The text of a string, unescaped; borrowed when nothing was escaped. Numbers and booleans as they stand.
    #[inline]
    pub fn text(self) -> Cow<'a, str> {
        if self.node().escaped {
            Cow::Owned(unescape::unescape(self.raw()))
        } else {
            Cow::Borrowed(self.raw())
        }
    }

    /// The value's text is this.
    #[inline]
    pub fn is_text(self, text: &str) -> bool {
        // An escape is at most six bytes for one: what is longer need not be read.
        match self.is_escaped() {
            false => self.raw() == text,
            true => self.size() <= text.len().saturating_mul(6) && self.text() == text,
        }
    }

    /// Some character of this string is written as an escape, so `raw` is not its text.
    #[inline]
    pub fn is_escaped(self) -> bool {
        self.node().escaped
    }

    /// Members of an object or items of an array, in order.
    #[inline]
    pub fn children(self) -> Children<'t, 'a> {
        Children {
            nodes: self.nodes,
            text: self.text,
            next: self.at + 1,
            end: self.node().next,
        }
    }

    /// The member of this name.
    #[inline]
    pub fn get(self, name: Name) -> Option<Node<'t, 'a>> {
        self.children().find(|child| child.name() == name)
    }

    /// Byte offset of the value in the line; of a string, its quote.
    pub fn offset(self) -> usize {
        self.node().start as usize - usize::from(self.kind() == Kind::String)
    }

    /// The FHIR element path of this node, e.g. `Observation.component[1].valueQuantity`. Slow; for refusals.
    /// A member name that does not look like an element's name is shown as `?`: it might be a value.
    pub fn path(self) -> String {
        path::path(self.root(), self)
    }

    /// The same, beginning at `top`, which this node is or stands in: for a resource in a Bundle.
    pub fn path_below(self, top: Node<'t, 'a>) -> String {
        path::path(top, self)
    }

    /// `resourceType` of an object.
    #[inline]
    pub fn resource_type(self) -> Option<&'a str> {
        let named = self.get(Name::RESOURCE_TYPE)?;
        (named.kind() == Kind::String && !named.is_escaped()).then(|| named.raw())
    }

    /// A number that tells two nodes of one tree apart and orders them as in the text.
    #[inline]
    pub fn index(self) -> u32 {
        self.at
    }

    /// The node of this number in the same tree.
    #[inline]
    pub fn numbered(self, index: u32) -> Node<'t, 'a> {
        debug_assert!((index as usize) < self.nodes.len(), "a node of this tree");
        Node { at: index, ..self }
    }

    /// The top of the tree this node is in.
    pub fn root(self) -> Node<'t, 'a> {
        Node { at: 0, ..self }
    }
}

/// Never shows a value.
impl std::fmt::Debug for Node<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at `{}`", self.kind(), self.path())
    }
}

/// Iterator over the children of a node.
#[derive(Clone)]
pub struct Children<'t, 'a> {
    nodes: &'t [Raw],
    text: &'a str,
    next: u32,
    end: u32,
}

impl<'t, 'a> Iterator for Children<'t, 'a> {
    type Item = Node<'t, 'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let at = self.next;
        self.next = self.nodes[at as usize].next;
        Some(Node {
            nodes: self.nodes,
            text: self.text,
            at,
        })
    }
}

#[cfg(test)]
mod tests;
