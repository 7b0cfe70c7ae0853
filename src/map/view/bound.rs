//! What the rows of one resource may come to together: how many, and how much is written with them. Paid in the steps of its
//! expressions, so that a view cannot multiply what it reads without end.

use crate::fhir::path::{Context, Fault};
use crate::fhir::tree::Node;

use super::View;
use super::row::Row;

/// Rows of one resource: a few lists side by side multiply.
const MAX_ROWS: usize = 100_000;
/// Bytes of a first row that need no weighing: nearly every resource gives one row, and a small one.
const LIGHT: usize = 16 << 20;

pub(super) struct Bound {
    rows_left: usize,
    /// Steps of a row of empty fields.
    row: usize,
    /// A row may be heavy: the resource is large, or rows came before.
    heavy: bool,
}

impl Bound {
    #[inline]
    pub(super) fn new(view: &View, root: Node<'_, '_>) -> Self {
        Self {
            rows_left: MAX_ROWS,
            row: view.row_steps,
            heavy: root.size().saturating_mul(view.columns.len()) > LIGHT,
        }
    }

    /// Pays for one more row.
    /// # Errors: too many rows, or too much in them.
    #[inline]
    pub(super) fn pay(&mut self, row: &Row<'_, '_>, context: &Context<'_, '_>) -> Result<(), Fault> {
        let at = 0;
        let Some(left) = self.rows_left.checked_sub(1) else {
            return Err(Fault {
                rule: "more than 100000 rows",
                at,
            });
        };
        self.rows_left = left;
        let weight = if self.heavy { row.size() / 32 } else { 0 };
        self.heavy = true;
        context.spend(self.row + weight, at)
    }
}

/// Steps of a row of `names`: its cells, and the names that some forms write with each row.
pub(super) fn row_steps<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    let (width, bytes) = names.fold((0, 0), |(width, bytes), name| (width + 1, bytes + name.len()));
    1 + width / 2 + bytes / 64
}
