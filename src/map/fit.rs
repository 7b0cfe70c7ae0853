//! A cell as its column writes it: whole numbers, texts cut to their length, the parts of a key. Changed in place, for this is
//! done for every cell of every row.

use std::borrow::Cow;

use super::mapping::WhenUnmapped;
use crate::cdm::{Cell, Column, Kind};

/// Makes the cell what the column's kind writes: a whole number is an integer where the column is one, a value of another
/// kind is text where the column is text, a partial date is nothing where only a whole one fits and none is needed.
/// What does not fit stays and is refused by the check.
#[inline]
pub(super) fn fit(cell: &mut Cell<'_>, column: &Column) {
    match (column.kind, &mut *cell) {
        (_, Cell::Null) => {}
        (Kind::Integer, Cell::Decimal(digits)) => {
            if let Ok(number) = digits.parse() {
                *cell = Cell::Integer(number);
            }
        }
        (Kind::Text, Cell::Decimal(digits)) => *cell = Cell::Text(std::mem::take(digits)),
        (Kind::Text, Cell::Integer(number)) => *cell = Cell::Text(number.to_string().into()),
        (Kind::Text, Cell::Boolean(value)) => *cell = Cell::Text(if *value { "true".into() } else { "false".into() }),
        (Kind::Date, Cell::Text(date)) if !column.required && matches!(date.len(), 4 | 7) => *cell = Cell::Null,
        _ => {}
    }
}

/// What stands in a cell where no target or unit was found.
pub(super) fn otherwise<'a>(unmapped: &'a WhenUnmapped, own: Cell<'a>, kind: Kind) -> Result<Cell<'a>, &'static str> {
    match unmapped {
        WhenUnmapped::Source => Ok(own),
        WhenUnmapped::Literal(literal) => target_cell(Cow::Borrowed(literal), kind),
        WhenUnmapped::Null | WhenUnmapped::Refuse => Ok(Cell::Null),
    }
}

/// A translation's target as its column wants it.
pub(super) fn target_cell(target: Cow<'_, str>, kind: Kind) -> Result<Cell<'_>, &'static str> {
    match kind {
        Kind::Integer => target.parse().map(Cell::Integer).map_err(|_| "type"),
        _ => Ok(Cell::Text(target)),
    }
}

/// Keeps so many characters of a text.
pub(super) fn truncate(cell: &mut Cell<'_>, length: usize) {
    let Cell::Text(text) = cell else { return };
    // No text has more characters than bytes.
    if text.len() <= length {
        return;
    }
    let Some((end, _)) = text.char_indices().nth(length) else {
        return;
    };
    match text {
        Cow::Borrowed(text) => *text = &text[..end],
        Cow::Owned(text) => text.truncate(end),
    }
}

/// The key with what follows it: `Type/id#part#part`.
pub(super) fn joined(own: &str, columns: &[usize], cells: &[Cell<'_>]) -> String {
    let mut text = own.to_owned();
    for &column in columns {
        text.push('#');
        match &cells[column] {
            Cell::Null => {}
            Cell::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
            Cell::Integer(number) => text.push_str(&number.to_string()),
            Cell::Decimal(digits) => text.push_str(digits),
            Cell::Text(part) => text.push_str(part),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_characters_and_never_within_one() {
        for (text, length, kept) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("äöü", 2, "äö"),
            ("äöü", 3, "äöü"),
            ("", 0, ""),
            ("é", 0, ""),
        ] {
            let mut borrowed = Cell::Text(text.into());
            truncate(&mut borrowed, length);
            assert_eq!(borrowed, Cell::Text(kept.into()));
            let mut owned = Cell::Text(text.to_owned().into());
            truncate(&mut owned, length);
            assert_eq!(owned, Cell::Text(kept.into()));
        }
    }

    #[test]
    fn a_key_takes_the_texts_of_the_columns_that_follow_it() {
        let cells = [
            Cell::Null,
            Cell::Boolean(true),
            Cell::Integer(7),
            Cell::Decimal("1.50".into()),
            Cell::Text("x".into()),
        ];
        assert_eq!(joined("Type/id", &[0, 1, 2, 3, 4], &cells), "Type/id##true#7#1.50#x");
    }
}
