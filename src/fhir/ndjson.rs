//! NDJSON by lines, within limits: from a block in memory, or from a stream in memory bounded by the line limit.
//! Blank lines are skipped but counted; a line over the limit is reported with its number and the next one is read.
//! Knows nothing of compression: hand in the decompressed bytes.

use std::io::{self, BufRead, BufReader, Read};

use super::name::Name;
use super::tree::{Kind, Node, SyntaxError};

/// One line that is not blank.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1, blank lines counted.
    pub number: u64,
    /// The line without its end, or that it is over the limit.
    pub bytes: Result<&'a [u8], SyntaxError>,
}

impl<'a> Line<'a> {
    fn new(number: u64, bytes: &'a [u8], limit: usize) -> Option<Line<'a>> {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() > limit {
            let bytes = Err(too_long(limit));
            return Some(Line { number, bytes });
        }
        (!bytes.trim_ascii().is_empty()).then_some(Line { number, bytes: Ok(bytes) })
    }
}

/// Never shows the line.
impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.number)
    }
}

fn too_long(limit: usize) -> SyntaxError {
    SyntaxError {
        rule: "line too long",
        offset: limit,
    }
}

/// The lines of `block`, the first of which has the number `first`. `block` holds whole lines.
pub fn split(block: &[u8], first: u64, limit: usize) -> Split<'_> {
    Split {
        rest: block,
        number: first,
        limit,
    }
}

/// Iterator over the lines of a block.
pub struct Split<'a> {
    rest: &'a [u8],
    number: u64,
    limit: usize,
}

impl Split<'_> {
    /// The number of the line behind the last one given: where the next block goes on.
    pub fn next_number(&self) -> u64 {
        self.number
    }
}

impl<'a> Iterator for Split<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        while !self.rest.is_empty() {
            let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            let line = Line::new(self.number, &self.rest[..end], self.limit);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            self.number += 1;
            if line.is_some() {
                return line;
            }
        }
        None
    }
}

/// The lines of a stream, through one buffer that is used again for each.
pub struct Lines<R> {
    input: BufReader<R>,
    buffer: Vec<u8>,
    number: u64,
    limit: usize,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `limit` bytes.
    pub fn new(input: R, limit: usize) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            buffer: Vec::new(),
            number: 0,
            limit,
        }
    }

    /// The next line that is not blank; `None` at the end.
    /// # Errors: the input's own.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.buffer.clear();
            let Some(long) = self.read()? else {
                return Ok(None);
            };
            self.number += 1;
            if long {
                return Ok(Some(Line {
                    number: self.number,
                    bytes: Err(too_long(self.limit)),
                }));
            }
            if Line::new(self.number, &self.buffer, self.limit).is_some() {
                break;
            }
        }
        Ok(Line::new(self.number, &self.buffer, self.limit))
    }

    /// Reads up to the line's end, keeping no more than the limit allows. Says whether the line is too long; `None` at
    /// the end of the input.
    fn read(&mut self) -> io::Result<Option<bool>> {
        // One more than the limit, for the `\r` of a line that is just as long as allowed.
        let most = self.limit.saturating_add(1);
        let (mut any, mut long) = (false, false);
        loop {
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if block.is_empty() {
                return Ok(any.then_some(long));
            }
            any = true;
            let end = memchr::memchr(b'\n', block);
            let part = &block[..end.unwrap_or(block.len())];
            if self.buffer.len() + part.len() > most {
                long = true;
                self.buffer.clear();
            } else if !long {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(long));
            }
        }
    }
}

/// The resources of a parsed text: a Bundle's entries in order, or the resource itself.
pub fn resources<'t, 'a>(root: Node<'t, 'a>) -> impl Iterator<Item = Node<'t, 'a>> {
    let bundle = root.resource_type() == Some("Bundle");
    let itself = (!bundle).then_some(root);
    itself
        .into_iter()
        .chain(bundle.then_some(root).into_iter().flat_map(bundle_entries))
}

/// The resources in the entries of a Bundle; entries without one (a search's or a response's) are passed over.
pub fn bundle_entries<'t, 'a>(bundle: Node<'t, 'a>) -> impl Iterator<Item = Node<'t, 'a>> {
    let entries = bundle.get(Name::ENTRY).filter(|entry| entry.kind() == Kind::Array);
    entries.into_iter().flat_map(Node::children).filter_map(|entry| {
        let resource = (entry.kind() == Kind::Object).then(|| entry.get(Name::RESOURCE)).flatten();
        resource.filter(|resource| resource.kind() == Kind::Object)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fhir::tree::{Limits, Tree};

    type Seen = Vec<(u64, Option<String>)>;

    fn seen(line: Line<'_>) -> (u64, Option<String>) {
        let text = line.bytes.ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        (line.number, text)
    }

    fn by_block(text: &[u8], limit: usize) -> Seen {
        split(text, 1, limit).map(seen).collect()
    }

    fn by_stream(text: &[u8], limit: usize) -> Seen {
        let mut lines = Lines::new(text, limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("reading memory") {
            all.push(seen(line));
            assert!(lines.buffer.capacity() <= 2 * (limit + 9), "the buffer follows the limit");
        }
        all
    }

    fn check(text: &str, limit: usize, expected: &[(u64, Option<&str>)]) {
        let expected: Seen = expected.iter().map(|(number, text)| (*number, text.map(str::to_owned))).collect();
        assert_eq!(by_block(text.as_bytes(), limit), expected);
        assert_eq!(by_stream(text.as_bytes(), limit), expected);
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        check("{}\n\n \t\r\n{\"a\":1}\r\n", 99, &[(1, Some("{}")), (4, Some("{\"a\":1}"))]);
        check("", 99, &[]);
        check("\n\n", 99, &[]);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        check("{}\n[]", 99, &[(1, Some("{}")), (2, Some("[]"))]);
    }

    #[test]
    fn a_line_over_the_limit_is_reported_and_the_next_one_is_read() {
        check(
            "12345\n123456\n1234567\r\n12345\r\n",
            5,
            &[(1, Some("12345")), (2, None), (3, None), (4, Some("12345"))],
        );
        let long = format!("1\n{}\n2", "x".repeat(300_000));
        check(&long, 10, &[(1, Some("1")), (2, None), (3, Some("2"))]);
    }

    #[test]
    fn numbers_go_on_from_block_to_block() {
        let mut first = split(b"a\n\nb\n", 7, 99);
        assert_eq!(first.by_ref().map(|line| line.number).collect::<Vec<_>>(), [7, 9]);
        assert_eq!(first.next_number(), 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_stream_gives_the_lines_of_the_block(text in "[a\n\r ]{0,60}", limit in 0..12usize) {
            prop_assert_eq!(by_stream(text.as_bytes(), limit), by_block(text.as_bytes(), limit));
        }
    }

    #[test]
    fn a_bundle_gives_the_resources_of_its_entries_and_anything_else_itself() {
        let ids = |line: &str| {
            let mut tree = Tree::new();
            let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
            resources(root)
                .map(|node| node.get(Name::ID).map(|id| id.raw().to_owned()))
                .collect::<Vec<_>>()
        };
        let id = |text: &str| Some(text.to_owned());
        assert_eq!(
            ids(r#"{"resourceType":"Patient","id":"1","entry":[{"resource":{"id":"2"}}]}"#),
            [id("1")]
        );
        let bundle = r#"{"resourceType":"Bundle","id":"b","entry":[{"resource":{"id":"1"}},{"fullUrl":"x"},7,{"resource":[]},{"resource":{"id":"2"}}]}"#;
        assert_eq!(ids(bundle), [id("1"), id("2")]);
        assert_eq!(ids(r#"{"resourceType":"Bundle","entry":{}}"#), Vec::<Option<String>>::new());
    }
}
