//! One line of a chunk: a row to write or a key to delete. Written and read in one exact form, so that two readers cannot
//! read one line in two ways: members in the order `table`, `key`, `op`, `row`, no space outside the row.
//! The row's own bytes pass untouched: digits of a decimal arrive as they left.

use std::borrow::Cow;

use super::{KEY_MAX_BYTES, LINE_MAX_BYTES, is_word};
use crate::cdm::row::write_json_string;

/// What to do with the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Write the row; its JSON object as it stands in the line (not yet read).
    Upsert(&'a str),
    Delete,
}

/// One line, borrowed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub table: &'a str,
    pub key: Cow<'a, str>,
    pub op: Op<'a>,
}

/// Why a line is none of ours; names the part, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("is longer than {LINE_MAX_BYTES} bytes")]
    TooLong,
    #[error("is not UTF-8")]
    Utf8,
    #[error("has no `table` of lower-case letters, digits, `_` and `-` at its start")]
    Table,
    #[error("has no `key` of 1 to {KEY_MAX_BYTES} bytes after `table`")]
    Key,
    #[error("has no `op` of `upsert` with a `row`, or of `delete`, after `key`")]
    Op,
}

/// Appends the line that writes `row` (a JSON object, as `cdm::Table::write_json` gives it), with its newline.
pub fn write_upsert(table: &str, key: &str, row: &[u8], out: &mut Vec<u8>) {
    write_head(table, key, out);
    out.extend_from_slice(br#","op":"upsert","row":"#);
    out.extend_from_slice(row);
    out.extend_from_slice(b"}\n");
}

/// Appends the line that deletes the row `key`, with its newline.
pub fn write_delete(table: &str, key: &str, out: &mut Vec<u8>) {
    write_head(table, key, out);
    out.extend_from_slice(b",\"op\":\"delete\"}\n");
}

fn write_head(table: &str, key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"table":"#);
    write_json_string(table, out);
    out.extend_from_slice(br#","key":"#);
    write_json_string(key, out);
}

impl<'a> Line<'a> {
    /// Reads one line without its newline.
    /// # Errors: the part that is not as it is written.
    pub fn read(line: &'a [u8]) -> Result<Self, LineFault> {
        if line.len() > LINE_MAX_BYTES {
            return Err(LineFault::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| LineFault::Utf8)?;
        let rest = text.strip_prefix(r#"{"table":""#).ok_or(LineFault::Table)?;
        let (table, rest) = rest.split_once('"').ok_or(LineFault::Table)?;
        if !is_word(table) {
            return Err(LineFault::Table);
        }
        let rest = rest.strip_prefix(r#","key":"#).ok_or(LineFault::Key)?;
        let (key, rest) = read_string(rest).ok_or(LineFault::Key)?;
        if key.is_empty() || key.len() > KEY_MAX_BYTES {
            return Err(LineFault::Key);
        }
        let rest = rest.strip_prefix(r#","op":""#).ok_or(LineFault::Op)?;
        let op = if rest == r#"delete"}"# {
            Op::Delete
        } else {
            let row = rest
                .strip_prefix(r#"upsert","row":{"#)
                .and_then(|rest| rest.strip_suffix("}}"))
                .ok_or(LineFault::Op)?;
            // The braces belong to the row: widen the span by the one before and the one behind.
            let end = text.len() - 1;
            Op::Upsert(&text[end - row.len() - 2..end])
        };
        Ok(Self { table, key, op })
    }
}

/// A JSON string at the start of `text`, and what follows it.
fn read_string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    let mut plain = true;
    loop {
        match *bytes.get(at)? {
            b'"' => break,
            b'\\' => {
                plain = false;
                at += 2;
            }
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
    let value = if plain {
        Cow::Borrowed(&text[1..at])
    } else {
        Cow::Owned(serde_json::from_str(text.get(..=at)?).ok()?)
    };
    Some((value, &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let mut out = Vec::new();
        write_upsert("lab_result", "k\"1\\é", br#"{"k":"k\"1\\","n":1.50}"#, &mut out);
        write_delete("lab_result", "k2", &mut out);
        let lines: Vec<_> = out.split(|byte| *byte == b'\n').collect();
        let first = Line::read(lines[0]).expect("written by us");
        assert_eq!((first.table, first.key.as_ref()), ("lab_result", "k\"1\\é"));
        assert_eq!(first.op, Op::Upsert(r#"{"k":"k\"1\\","n":1.50}"#));
        let second = Line::read(lines[1]).expect("written by us");
        assert_eq!((second.key.as_ref(), second.op), ("k2", Op::Delete));
    }

    #[test]
    fn an_empty_row_is_a_row() {
        let line = Line::read(br#"{"table":"t","key":"k","op":"upsert","row":{}}"#).expect("a line");
        assert_eq!(line.op, Op::Upsert("{}"));
    }

    #[test]
    fn another_form_of_the_same_json_is_refused() {
        let check = |line: &str, fault| assert_eq!(Line::read(line.as_bytes()), Err(fault), "{line}");
        check(r#"{ "table":"t","key":"k","op":"delete"}"#, LineFault::Table);
        check(r#"{"table":"../t","key":"k","op":"delete"}"#, LineFault::Table);
        check(r#"{"table":"t","table":"u","key":"k","op":"delete"}"#, LineFault::Key);
        check(r#"{"table":"t","key":"","op":"delete"}"#, LineFault::Key);
        check(r#"{"table":"t","key":"k\"#, LineFault::Key);
        check(r#"{"table":"t","key":"k\x","op":"delete"}"#, LineFault::Key);
        check(r#"{"table":"t","key":"k","op":"delete","row":{}}"#, LineFault::Op);
        check(r#"{"table":"t","key":"k","op":"upsert"}"#, LineFault::Op);
        check(r#"{"table":"t","key":"k","op":"upsert","row":[]}"#, LineFault::Op);
        check(r#"{"table":"t","key":"k","op":"delete"} "#, LineFault::Op);
        assert_eq!(Line::read(b"{\"table\":\"t\xff"), Err(LineFault::Utf8));
    }

    #[test]
    fn a_key_and_a_line_have_a_longest_length() {
        let with_key = |length: usize| format!(r#"{{"table":"t","key":"{}","op":"delete"}}"#, "k".repeat(length));
        assert!(Line::read(with_key(KEY_MAX_BYTES).as_bytes()).is_ok());
        assert_eq!(Line::read(with_key(KEY_MAX_BYTES + 1).as_bytes()), Err(LineFault::Key));
        assert_eq!(Line::read(&vec![b' '; LINE_MAX_BYTES + 1]), Err(LineFault::TooLong));
    }
}
