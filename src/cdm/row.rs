//! Rows on their way: flat cells that borrow from the line they were mapped from.
//! Knows the shape of a row, not what a column means; `table` says that.

use std::borrow::Cow;

use super::TableId;

/// One value of one column. Decimals keep their digits, so they are text here and a JSON number outside.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Cell<'a> {
    #[default]
    Null,
    Boolean(bool),
    Integer(i64),
    /// The digits as the source wrote them: a JSON number.
    Decimal(Cow<'a, str>),
    /// Text, unescaped.
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// The text of a text cell.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same cell, borrowing its text.
    pub fn borrowed(&self) -> Cell<'_> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Boolean(value) => Cell::Boolean(*value),
            Cell::Integer(value) => Cell::Integer(*value),
            Cell::Decimal(digits) => Cell::Decimal(Cow::Borrowed(digits)),
            Cell::Text(text) => Cell::Text(Cow::Borrowed(text)),
        }
    }

    /// Appends the cell as a JSON value.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Null => out.extend_from_slice(b"null"),
            Cell::Boolean(true) => out.extend_from_slice(b"true"),
            Cell::Boolean(false) => out.extend_from_slice(b"false"),
            Cell::Integer(number) => write_integer(*number, out),
            Cell::Decimal(digits) => out.extend_from_slice(digits.as_bytes()),
            Cell::Text(text) => write_json_string(text, out),
        }
    }
}

/// Appends the digits of `number`; concept ids and keys make this the most written kind of cell in some models.
fn write_integer(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `text` as a JSON string with the shortest escapes of RFC 8259: the same text gives the same bytes.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let plain = plain(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { break };
        write_escape(byte, out);
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

/// How many bytes stand before the first that must be escaped; eight at a time.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    // Bit 7 of each byte that is a quote, a backslash or a control character; above the first found it may be wrong.
    let special = |word: u64| {
        let (quotes, backslashes) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
        let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
        (zero(quotes) | zero(backslashes) | (word.wrapping_sub(ONES * 0x20) & !word)) & TOPS
    };
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<8>() {
        let found = special(u64::from_le_bytes(*block));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let end = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    end.map_or(bytes.len(), |end| at + end)
}

#[cold]
fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short: &[u8] = match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        0x08 => b"\\b",
        0x0c => b"\\f",
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(short);
}

/// The rows of one resource: cells side by side, each row as wide as its table. Reused from resource to resource.
#[derive(Debug, Default)]
pub struct Rows<'a> {
    cells: Vec<Cell<'a>>,
    rows: Vec<(TableId, usize)>,
}

impl<'a> Rows<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the rows and keeps the room.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.rows.clear();
    }

    /// Begins a row of `table`; exactly as many `push`es as the table has columns must follow.
    pub fn begin(&mut self, table: TableId) {
        self.rows.push((table, self.cells.len()));
    }

    pub fn push(&mut self, cell: Cell<'a>) {
        self.cells.push(cell);
    }

    /// The cells of the row begun last.
    pub fn last_mut(&mut self) -> &mut [Cell<'a>] {
        let start = self.rows.last().map_or(self.cells.len(), |(_, start)| *start);
        &mut self.cells[start..]
    }

    /// Takes back the row begun last.
    pub fn undo(&mut self) {
        if let Some((_, start)) = self.rows.pop() {
            self.cells.truncate(start);
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Each row with its table, in the order they were mapped.
    pub fn iter(&self) -> impl Iterator<Item = (TableId, &[Cell<'a>])> {
        self.rows.iter().enumerate().map(|(at, &(table, start))| {
            let end = self.rows.get(at + 1).map_or(self.cells.len(), |next| next.1);
            (table, &self.cells[start..end])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_string_is_escaped_as_serde_json_would_read_it_back() {
        let nasty = "a\"b\\c\nd\te\u{1}f\u{8}g\u{c}h\ré😀\u{7f}";
        let mut out = Vec::new();
        write_json_string(nasty, &mut out);
        let back: String = serde_json::from_slice(&out).expect("our own escape is JSON");
        assert_eq!(back, nasty);
    }

    #[test]
    fn an_integer_is_written_with_all_its_digits() {
        for number in [0, 7, -7, 10, 320_128, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            Cell::Integer(number).write_json(&mut out);
            assert_eq!(String::from_utf8(out).expect("digits"), number.to_string());
        }
    }

    #[test]
    fn every_byte_that_needs_an_escape_gets_it_at_every_place_and_no_other_does() {
        for byte in 0..0x80u8 {
            for at in 0..20 {
                let mut text = "x".repeat(20);
                text.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
                let mut out = Vec::new();
                write_json_string(&text, &mut out);
                let expected = serde_json::to_string(&text).expect("a text is JSON");
                assert_eq!(String::from_utf8_lossy(&out), expected);
            }
        }
    }

    #[test]
    fn a_row_begun_can_be_changed_and_taken_back() {
        let mut rows = Rows::new();
        rows.begin(TableId(0));
        rows.push(Cell::Integer(1));
        rows.begin(TableId(1));
        rows.push(Cell::Integer(2));
        rows.push(Cell::Null);
        rows.last_mut()[1] = Cell::Boolean(true);
        assert_eq!(rows.iter().last(), Some((TableId(1), &[Cell::Integer(2), Cell::Boolean(true)][..])));
        rows.undo();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [(TableId(0), &[Cell::Integer(1)][..])]);
    }

    #[test]
    fn rows_of_different_width_keep_their_cells() {
        let mut rows = Rows::new();
        rows.begin(TableId(0));
        rows.push(Cell::Integer(1));
        rows.begin(TableId(1));
        rows.push(Cell::Text("x".into()));
        rows.push(Cell::Null);
        let seen: Vec<_> = rows.iter().map(|(table, cells)| (table, cells.len())).collect();
        assert_eq!(seen, [(TableId(0), 1), (TableId(1), 2)]);
    }
}
