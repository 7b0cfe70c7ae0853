//! Looks at the lines of a file on their way to the landing store: how many resources they are, and whether they are of the
//! type the manifest says. Nearly every server writes `resourceType` first, so nearly every line is judged by its first bytes;
//! only the others are parsed. Decides nothing and changes nothing.

use crate::fhir::name::Name;
use crate::fhir::tree::{Limits, Node, Tree};

/// What stands where in a line.
enum At {
    Start,
    /// In a line that is judged already.
    Judged,
    /// In a line that is gathered, to be parsed at its end.
    Gathering,
}

/// The lines of one file.
pub(super) struct Lines {
    /// How a line of the expected type begins, with and without a space after the colon.
    beginnings: [Vec<u8>; 2],
    /// Empty when lines may be of any type; then `header` lines of an organized file are told apart.
    expected: String,
    at: At,
    line: Vec<u8>,
    count: u64,
    headers: u64,
    strange: u64,
    tree: Tree,
    limits: Limits,
}

impl Lines {
    /// `line_bytes`: lines longer than this are counted, but not judged.
    pub(super) fn of(expected: &str, line_bytes: usize) -> Self {
        Self {
            beginnings: ["", " "].map(|space| format!("{{\"resourceType\":{space}\"{expected}\"").into_bytes()),
            expected: expected.to_owned(),
            at: At::Start,
            line: Vec::new(),
            count: 0,
            headers: 0,
            strange: 0,
            tree: Tree::new(),
            limits: Limits {
                line_bytes,
                ..Limits::default()
            },
        }
    }

    /// Looks at the next bytes, cut anywhere.
    pub(super) fn look(&mut self, mut plain: &[u8]) {
        while !plain.is_empty() {
            let end = memchr::memchr(b'\n', plain);
            let part = &plain[..end.unwrap_or(plain.len())];
            if matches!(self.at, At::Start) {
                self.begin(part);
            }
            if matches!(self.at, At::Gathering) {
                // One byte beyond the limit shows that it is beyond.
                let room = (self.limits.line_bytes + 1).saturating_sub(self.line.len());
                self.line.extend_from_slice(&part[..part.len().min(room)]);
            }
            let Some(end) = end else { return };
            self.end();
            plain = &plain[end + 1..];
        }
    }

    fn begin(&mut self, part: &[u8]) {
        // A header is parsed, to be sure that it is one; a resource of the expected type need not be.
        if !self.expected.is_empty() && self.beginnings.iter().any(|beginning| part.starts_with(beginning)) {
            self.count += 1;
            self.at = At::Judged;
        } else {
            self.line.clear();
            self.at = At::Gathering;
        }
    }

    /// The line under way is at its end; also to be called at the end of the file.
    pub(super) fn end(&mut self) {
        if matches!(self.at, At::Gathering) && !self.line.trim_ascii().is_empty() {
            self.count += 1;
            let may_be_header = self.expected.is_empty() && memchr::memmem::find(&self.line, b"\"Parameters\"").is_some();
            if may_be_header || !self.expected.is_empty() {
                let root = self.tree.parse(&self.line, &self.limits).ok();
                if may_be_header {
                    self.headers += u64::from(root.is_some_and(is_header));
                } else if root.and_then(Node::resource_type).is_some_and(|name| name != self.expected) {
                    self.strange += 1;
                }
            }
        }
        self.at = At::Start;
    }

    /// Lines that hold something.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether so many resources are what the manifest counted. Whether it counts the header lines of an organized file is
    /// not said (3.0.0, "organizeOutputBy"), so both are right.
    pub(super) fn is_counted(&self, expected: u64) -> bool {
        (self.count - self.headers..=self.count).contains(&expected)
    }

    /// Resources of another type than the file's.
    pub(super) fn strange(&self) -> u64 {
        self.strange
    }
}

/// Whether this begins a block of an organized file: a Parameters resource with a `header` (3.0.0, "organizeOutputBy").
pub(super) fn is_header(root: Node<'_, '_>) -> bool {
    let first = root.get(Name::of("parameter")).and_then(|list| list.children().next());
    let name = first.and_then(|parameter| parameter.get(Name::of("name")));
    root.resource_type() == Some("Parameters") && name.is_some_and(|name| name.text() == "header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(expected: &str, text: &str) -> Vec<(u64, u64, u64)> {
        let whole = |piece: usize| {
            let mut lines = Lines::of(expected, 100);
            text.as_bytes().chunks(piece).for_each(|part| lines.look(part));
            lines.end();
            (lines.count, lines.headers, lines.strange)
        };
        let mut found: Vec<_> = (1..=text.len()).map(whole).collect();
        found.dedup();
        found
    }

    #[test]
    fn lines_are_counted_and_judged_the_same_however_they_are_cut() {
        let text = "{\"resourceType\":\"Patient\",\"id\":\"a\"}\n\n  \r\n{\"resourceType\": \"Patient\"}\n{\"id\":\"x\",\"resourceType\":\"Patient\"}\n\
                    {\"resourceType\":\"PatientX\"}\n{\"id\":\"x\",\"resourceType\":\"Observation\"}\nno json\n{\"resourceType\":\"Patient\"}";
        assert_eq!(looked("Patient", text), [(7, 0, 2)]);
    }

    #[test]
    fn what_is_no_json_and_what_is_too_long_is_counted_but_not_judged() {
        let long = format!("{{\"x\":\"{}\",\"resourceType\":\"Observation\"}}\n", "y".repeat(100));
        assert_eq!(looked("Patient", &format!("{long}{{\n{long}")), [(3, 0, 0)]);
    }

    #[test]
    fn headers_of_an_organized_file_are_told_apart() {
        let header = r#"{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/1"}}]}"#;
        let other = r#"{"resourceType":"Parameters","parameter":[{"name":"x"}]}"#;
        // A member may stand anywhere.
        let header = header
            .replace(r#"{"resourceType":"Parameters","#, "{")
            .replace("]}", r#"],"resourceType":"Parameters"}"#);
        let text = format!("{header}\n{{\"resourceType\":\"Patient\"}}\n{other}\n");
        let mut lines = Lines::of("", 1000);
        lines.look(text.as_bytes());
        assert_eq!((lines.count, lines.headers, lines.strange), (3, 1, 0));
        assert!(lines.is_counted(2) && lines.is_counted(3) && !lines.is_counted(1) && !lines.is_counted(4));
    }
}
