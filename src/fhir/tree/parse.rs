//! One pass over the line, without recursion: RFC 8259 to nodes.

use std::borrow::Cow;

use super::{Kind, Limits, MEMBERS, NAME_BYTES, NUMBER_BYTES, Node, Raw, SyntaxError, scan, unescape};
use crate::fhir::name::{Name, Names};

/// Room that is kept from line to line.
#[derive(Debug, Default)]
pub(super) struct Room {
    open: Vec<Open>,
    members: Vec<(Name, u32)>,
    guesses: Guesses,
}

/// Which name came last behind a name at a depth: lines of one kind repeat their names in one order, and to see that the
/// guess is right is quicker than to find the end of a name and look it up.
#[derive(Debug)]
struct Guesses(Box<[Name; GUESSES]>);

const GUESSES: usize = 4096;

impl Default for Guesses {
    fn default() -> Self {
        Guesses(Box::new([Name::NONE; GUESSES]))
    }
}

impl Guesses {
    #[inline(always)]
    fn behind(&mut self, name: Name, depth: usize) -> &mut Name {
        &mut self.0[(usize::from(name.0) ^ (depth << 8)) % GUESSES]
    }
}

/// An array or object that is not closed yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    node: u32,
    object: bool,
    /// Two members may have one name: their bits in `seen` were the same.
    suspect: bool,
    /// One bit for each member name seen, by the name's number: two names may share one.
    seen: u64,
}

pub(super) fn parse(nodes: &mut Vec<Raw>, room: &mut Room, text: &str, limits: &Limits) -> Result<(), SyntaxError> {
    let line = text.as_bytes();
    if text.starts_with('\u{feff}') {
        return error("byte order mark", 0);
    }
    room.open.clear();
    let names = Names::get();
    let guesses = &mut room.guesses;
    let mut open = Open {
        node: u32::MAX,
        object: false,
        suspect: false,
        seen: 0,
    };
    let mut name = Name::NONE;
    let mut at = space(line, 0);
    'value: loop {
        let Some(&byte) = line.get(at) else {
            return error("line ends too early", at);
        };
        match byte {
            b'"' => {
                let (end, escaped) = string(line, at + 1)?;
                leaf(nodes, name, Kind::String, escaped, at + 1, end);
                at = end + 1;
            }
            b'{' | b'[' => {
                if room.open.len() >= limits.depth {
                    return error("too deep", at);
                }
                room.open.push(open);
                open = Open {
                    node: nodes.len() as u32,
                    object: byte == b'{',
                    suspect: false,
                    seen: 0,
                };
                let kind = if open.object { Kind::Object } else { Kind::Array };
                leaf(nodes, name, kind, false, at, at);
                at = space(line, at + 1);
                match (open.object, line.get(at)) {
                    (true, Some(b'}')) | (false, Some(b']')) => {}
                    (true, _) => {
                        (name, at) = member(names, line, at, &mut open, guesses.behind(name, room.open.len()))?;
                        continue 'value;
                    }
                    (false, _) => {
                        name = Name::NONE;
                        continue 'value;
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                let end = number(line, at)?;
                leaf(nodes, name, Kind::Number, false, at, end);
                at = end;
            }
            b't' => at = word(nodes, name, line, at, b"true", Kind::Boolean)?,
            b'f' => at = word(nodes, name, line, at, b"false", Kind::Boolean)?,
            b'n' => at = word(nodes, name, line, at, b"null", Kind::Null)?,
            _ => return error("no value", at),
        }
        // A value is read: what follows closes arrays and objects, or leads to the next value.
        loop {
            at = space(line, at);
            if open.node == u32::MAX {
                break 'value;
            }
            match line.get(at) {
                Some(b',') => {
                    at = space(line, at + 1);
                    if open.object {
                        (name, at) = member(names, line, at, &mut open, guesses.behind(name, room.open.len()))?;
                    } else {
                        name = Name::NONE;
                    }
                    continue 'value;
                }
                Some(b'}') if open.object => {
                    if open.suspect {
                        duplicate(nodes, &mut room.members, text, open.node)?;
                    }
                }
                Some(b']') if !open.object => {}
                Some(_) if open.object => return error("no comma or closing brace", at),
                Some(_) => return error("no comma or closing bracket", at),
                None => return error("line ends too early", at),
            }
            at += 1;
            let next = nodes.len() as u32;
            let node = &mut nodes[open.node as usize];
            node.end = at as u32;
            node.next = next;
            let Some(outer) = room.open.pop() else {
                return error("no value", at);
            };
            open = outer;
        }
    }
    if at == line.len() {
        Ok(())
    } else {
        error("text behind the value", at)
    }
}

fn error<T>(rule: &'static str, offset: usize) -> Result<T, SyntaxError> {
    Err(SyntaxError { rule, offset })
}

#[inline(always)]
fn leaf(nodes: &mut Vec<Raw>, name: Name, kind: Kind, escaped: bool, start: usize, end: usize) {
    let next = nodes.len() as u32 + 1;
    nodes.push(Raw {
        start: start as u32,
        end: end as u32,
        next,
        name,
        kind,
        escaped,
    });
}

#[inline(always)]
fn space(line: &[u8], mut at: usize) -> usize {
    while line
        .get(at)
        .is_some_and(|byte| *byte <= b' ' && matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    {
        at += 1;
    }
    at
}

/// The name of the member that begins at `at`, and where its value begins.
#[inline(always)]
fn member(names: &Names, line: &[u8], at: usize, open: &mut Open, guess: &mut Name) -> Result<(Name, usize), SyntaxError> {
    if line.get(at) != Some(&b'"') {
        return error("no member name", at);
    }
    let end = match names.is_at(*guess, line, at + 1) {
        Some(end) => end,
        None => {
            let (end, escaped) = string(line, at + 1)?;
            if end - at - 1 > NAME_BYTES {
                return error("member name too long", at);
            }
            *guess = if escaped {
                Name::of(&unescaped(line, at + 1, end))
            } else {
                names.find(line, at + 1, end)
            };
            end
        }
    };
    let name = *guess;
    let bit = 1 << ((name.0 >> 1) % 64);
    open.suspect |= open.seen & bit != 0;
    open.seen |= bit;
    let mut at = end + 1;
    if line.get(at) != Some(&b':') {
        at = space(line, at);
        if line.get(at) != Some(&b':') {
            return error("no colon", at);
        }
        // A name is found again by looking back from its value.
        if at - end > NAME_BYTES {
            return error("too much space before a colon", end);
        }
    }
    Ok((name, space(line, at + 1)))
}

/// The end of the string whose text begins at `at` (its closing quote), and whether it holds escapes.
#[inline(always)]
fn string(line: &[u8], at: usize) -> Result<(usize, bool), SyntaxError> {
    let end = scan::plain(line, at);
    if line.get(end) == Some(&b'"') {
        return Ok((end, false));
    }
    string_with_escapes(line, end)
}

#[inline(never)]
fn string_with_escapes(line: &[u8], mut at: usize) -> Result<(usize, bool), SyntaxError> {
    loop {
        match line.get(at) {
            Some(b'"') => return Ok((at, true)),
            Some(b'\\') => match unescape::escape(&line[at..]) {
                Some((_, length)) => at = scan::plain(line, at + length),
                None => return error("bad escape", at),
            },
            Some(_) => return error("control character", at),
            None => return error("line ends too early", at),
        }
    }
}

#[cold]
fn unescaped(line: &[u8], start: usize, end: usize) -> String {
    unescape::unescape(std::str::from_utf8(&line[start..end]).unwrap_or_default())
}

#[inline(always)]
fn word(nodes: &mut Vec<Raw>, name: Name, line: &[u8], at: usize, word: &[u8], kind: Kind) -> Result<usize, SyntaxError> {
    if !line[at..].starts_with(word) {
        return error("no value", at);
    }
    leaf(nodes, name, kind, false, at, at + word.len());
    Ok(at + word.len())
}

/// The end of the number that begins at `start`.
#[inline(always)]
fn number(line: &[u8], start: usize) -> Result<usize, SyntaxError> {
    let mut at = start + usize::from(line[start] == b'-');
    match line.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at = digits(line, at),
        _ => return error("bad number", start),
    }
    if line.get(at) == Some(&b'.') {
        let end = digits(line, at + 1);
        if end == at + 1 {
            return error("bad number", start);
        }
        at = end;
    }
    if let Some(b'e' | b'E') = line.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = line.get(at) {
            at += 1;
        }
        let end = digits(line, at);
        if end == at {
            return error("bad number", start);
        }
        at = end;
    }
    if at - start > NUMBER_BYTES {
        error("number too long", start)
    } else {
        Ok(at)
    }
}

#[inline(always)]
fn digits(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Looks closely at an object whose names share a bit, as those of every large one do. No worse than sorting its members.
#[inline(never)]
fn duplicate(nodes: &[Raw], members: &mut Vec<(Name, u32)>, text: &str, object: u32) -> Result<(), SyntaxError> {
    members.clear();
    let mut unknown = 0;
    let mut at = object + 1;
    while let Some(node) = nodes.get(at as usize) {
        if node.name == Name::UNKNOWN {
            unknown += 1;
        } else {
            members.push((node.name, at));
        }
        at = node.next;
    }
    if members.len() + unknown > MEMBERS {
        return error("too many members", nodes[object as usize].start as usize);
    }
    if unknown > 1 {
        duplicate_unknown(nodes, text, object)?;
    }
    if members.len() <= 12 {
        for (number, (name, at)) in members.iter().enumerate() {
            if members[..number].iter().any(|(earlier, _)| earlier == name) {
                return error("duplicate member", nodes[*at as usize].start as usize);
            }
        }
        return Ok(());
    }
    members.sort_unstable();
    match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => error("duplicate member", nodes[pair[1].1 as usize].start as usize),
        None => Ok(()),
    }
}

/// The same for names that FHIR does not have: by their text.
#[cold]
fn duplicate_unknown(nodes: &[Raw], text: &str, object: u32) -> Result<(), SyntaxError> {
    let mut members = Vec::new();
    let mut at = object + 1;
    while let Some(raw) = nodes.get(at as usize) {
        if raw.name == Name::UNKNOWN {
            let name = Node { nodes, text, at }.name_text();
            let plain = if name.contains('\\') {
                Cow::Owned(unescape::unescape(name))
            } else {
                Cow::Borrowed(name)
            };
            members.push((plain, at));
        }
        at = raw.next;
    }
    members.sort_unstable();
    match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => error("duplicate member", nodes[pair[1].1 as usize].start as usize),
        None => Ok(()),
    }
}
