//! Sorts resources into one segment per type, for sources that mix them. Texts go through as they stand: a decimal keeps
//! its digits, a string its escapes; only white space between tokens goes, so that a resource is one line.

use std::collections::BTreeMap;

use super::body::{NotTaken, is_whole};
use super::lines::is_header;
use super::manifest::is_type_name;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind as Json, Limits, Node, Tree};
use crate::landing::{Kind, Landing, LandingError, Sealed, SegmentWriter};

/// FHIR R4 has fewer types; what a source names beyond is landed without a type.
const TYPES: usize = 200;

/// Resources under way to the segments of their types.
pub(super) struct ByType {
    landing: Landing,
    run: i64,
    writers: BTreeMap<(&'static str, String), SegmentWriter>,
    /// The line under way.
    line: Vec<u8>,
    bytes: u64,
    tree: Tree,
    limits: Limits,
    /// Whether the lines that begin a block of an organized file are taken.
    with_headers: bool,
}

impl ByType {
    pub(super) fn new(landing: Landing, run: i64) -> Self {
        let limits = Limits {
            line_bytes: landing.line_limit(),
            ..Limits::default()
        };
        Self {
            landing,
            run,
            writers: BTreeMap::new(),
            line: Vec::new(),
            bytes: 0,
            tree: Tree::new(),
            limits,
            with_headers: true,
        }
    }

    /// The same, passing over the lines that begin a block of a file organized by patient: they are no resources of anyone.
    pub(super) fn without_headers(mut self) -> Self {
        self.with_headers = false;
        self
    }

    /// Plain bytes taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes NDJSON, cut anywhere. A line that is no JSON goes to the segment without a type: refusing it is `validate`'s.
    pub(super) fn take(&mut self, mut plain: &[u8]) -> Result<(), NotTaken> {
        while let Some(end) = memchr::memchr(b'\n', plain) {
            self.gather(&plain[..end]);
            self.close_line()?;
            plain = &plain[end + 1..];
        }
        self.gather(plain);
        Ok(())
    }

    /// A line beyond the limit is cut one byte after it, as the landing store does: it is refused when it is read.
    fn gather(&mut self, part: &[u8]) {
        let room = (self.limits.line_bytes + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Takes the last line when it lacks its line end.
    /// # Errors: it is cut.
    pub(super) fn end(&mut self) -> Result<(), NotTaken> {
        if self.line.len() <= self.limits.line_bytes && !is_whole(&self.line) {
            return Err(NotTaken::Cut("its last line is cut"));
        }
        self.close_line()
    }

    fn close_line(&mut self) -> Result<(), NotTaken> {
        let mut line = std::mem::take(&mut self.line);
        if !line.trim_ascii().is_empty() {
            let parsed = self.tree.parse(&line, &self.limits).ok();
            let is_taken = self.with_headers || !parsed.is_some_and(is_header);
            let name = parsed.and_then(Node::resource_type).unwrap_or_default().to_owned();
            line.push(b'\n');
            if is_taken {
                self.write(Kind::Resources, &name, &line)?;
            }
        }
        line.clear();
        self.line = line;
        Ok(())
    }

    /// Takes a JSON text that is a Bundle or one resource.
    /// # Errors: it is neither; nothing of it was taken then.
    pub(super) fn bundle(&mut self, text: &[u8]) -> Result<(), NotTaken> {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let limits = Limits {
            line_bytes: usize::MAX,
            ..self.limits
        };
        let mut tree = std::mem::take(&mut self.tree);
        let taken = self.entries(&mut tree, text, &limits);
        self.tree = tree;
        taken
    }

    fn entries(&mut self, tree: &mut Tree, text: &[u8], limits: &Limits) -> Result<(), NotTaken> {
        // The rule and the place are ours to tell; the text is not.
        let root = tree
            .parse(text, limits)
            .map_err(|error| NotTaken::Refused(format!("it is no JSON: {error}")))?;
        let name = root
            .resource_type()
            .ok_or_else(|| NotTaken::Refused("it is no FHIR resource".to_owned()))?;
        let mut lines = Vec::new();
        if name == "Bundle" {
            let entries = root.get(Name::of("entry")).filter(|entries| entries.kind() == Json::Array);
            lines.extend(entries.iter().flat_map(|entries| entries.children()).filter_map(line_of));
        } else {
            lines.push((Kind::Resources, name, resource_line(root)));
        }
        lines.iter().try_for_each(|(kind, name, line)| self.write(*kind, name, line))
    }

    /// Takes one line, with its line end, as of type `name`.
    pub(super) fn write(&mut self, kind: Kind, name: &str, line: &[u8]) -> Result<(), NotTaken> {
        let name = if is_type_name(name) && self.writers.len() < TYPES {
            name
        } else {
            ""
        };
        let key = (kind.as_str(), name.to_owned());
        if !self.writers.contains_key(&key) {
            let writer = self.landing.begin(self.run, name, kind)?;
            self.writers.insert(key.clone(), writer);
        }
        if let Some(writer) = self.writers.get_mut(&key) {
            writer.write(line)?;
            self.bytes += line.len() as u64;
        }
        Ok(())
    }

    /// The finished files, one per type, in order of type.
    pub(super) fn finish(self) -> Result<Vec<Sealed>, LandingError> {
        self.writers.into_values().map(SegmentWriter::finish).collect()
    }
}

/// The line of one Bundle entry: its resource, or, when it deletes, a Bundle of this entry as Bulk Data writes deletions.
/// `None` when it holds neither, as the entries of a response.
fn line_of<'a>(entry: Node<'_, 'a>) -> Option<(Kind, &'a str, Vec<u8>)> {
    if let Some(resource) = entry.get(Name::of("resource")) {
        return Some((
            Kind::Resources,
            resource.resource_type().unwrap_or_default(),
            resource_line(resource),
        ));
    }
    let method = entry.get(Name::of("request"))?.get(Name::of("method"))?;
    (method.text() == "DELETE").then_some(())?;
    let mut line = br#"{"resourceType":"Bundle","type":"transaction","entry":["#.to_vec();
    one_line(entry.raw().as_bytes(), &mut line);
    line.extend_from_slice(b"]}\n");
    Some((Kind::Deleted, "Bundle", line))
}

/// The resource as one line, with its line end.
pub(super) fn resource_line(resource: Node<'_, '_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(resource.raw().len() + 1);
    one_line(resource.raw().as_bytes(), &mut line);
    line.push(b'\n');
    line
}

/// JSON without the white space between its tokens.
fn one_line(json: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            out.push(byte);
            in_string = byte == b'"';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_between_tokens_and_stays_in_strings() {
        let json = "{ \"a b\" :\r\n [ 1.50 , \"x \\\" y\\\\\" ,\t\"\\\\\\\" z\" ] }";
        let mut out = Vec::new();
        one_line(json.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a b\":[1.50,\"x \\\" y\\\\\",\"\\\\\\\" z\"]}");
    }
}
