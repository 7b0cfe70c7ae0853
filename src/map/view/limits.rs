//! How large a view may be. Far above what a table needs, and low enough that a hostile file is refused before it costs
//! memory, time or stack.

use super::{Part, Select};

/// Columns of one view.
pub(super) const MAX_COLUMNS: usize = 1000;
/// `column`s of one file: branches of a `unionAll` fill the same columns each in their way.
pub(super) const MAX_SOURCES: usize = 4 * MAX_COLUMNS;
/// `select`s and branches of one file.
pub(super) const MAX_SELECTS: usize = 1000;
/// `select`s that one row goes through, in one another or side by side: each is a few calls on the stack.
pub(super) const MAX_OPEN: usize = 64;
pub(super) const MAX_CONSTANTS: usize = 1000;
pub(super) const MAX_WHERES: usize = 100;
/// Bytes of a constant's value, which is copied into each field that gives it.
pub(super) const MAX_VALUE: usize = 4 << 10;
/// Paths of one `repeat`, and tags of one column.
pub(super) const MAX_LIST: usize = 32;
/// Bytes of a column's or a constant's name: what PostgreSQL takes is 63.
pub(super) const MAX_NAME: usize = 128;
/// Bytes of the `forEach`s around one column, together, and of one tag's value.
pub(super) const MAX_WORDS: usize = 4 << 10;
/// What all patterns of one file may cost to make: some hundred small ones, or a few large ones.
pub(super) const MAX_MAKING: usize = 16 << 10;

/// How many `select`s a row of `select` goes through.
pub(super) fn open(select: &Select) -> usize {
    let part = |part: &Part| match part {
        Part::Columns(_) => 0,
        Part::Select(select) => open(select),
        Part::Union(branches) => branches.iter().map(open).max().unwrap_or(0),
    };
    1 + select.parts.iter().map(part).sum::<usize>()
}
