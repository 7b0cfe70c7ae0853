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
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..=0x1f => {
                out.extend_from_slice(&bytes[start..at]);
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
                start = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(escape);
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
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
