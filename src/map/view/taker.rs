//! Who takes a view's rows, and why none may come.

use super::row::{Asked, Row};
use crate::fhir::path::Fault;

/// Why a resource has no rows: the column (or `where`, `forEach`) and the rule. Never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} at `{place}`")]
pub struct RowFault {
    pub place: String,
    pub rule: &'static str,
}

pub type Done = Result<(), RowFault>;

/// Who takes a view's rows.
pub trait Taker<'t, 'a> {
    /// Whether any row is wanted with what the gate at this place of `View::sources` gives, which `look` tells: asked before
    /// the other columns beside it are looked at, so that a row nobody wants costs nothing.
    /// # Errors: those of `look`.
    fn wants(&mut self, _place: usize, look: &mut dyn FnMut() -> Result<Asked<'t, 'a>, RowFault>) -> Result<bool, RowFault> {
        look().map(|_| true)
    }

    /// Takes one row.
    /// # Errors: why no further row is wanted.
    fn take(&mut self, row: &Row<'t, 'a>) -> Done;
}

impl<'t, 'a, F: FnMut(&Row<'t, 'a>) -> Done> Taker<'t, 'a> for F {
    fn take(&mut self, row: &Row<'t, 'a>) -> Done {
        self(row)
    }
}

pub(super) fn fault_at(place: String, fault: Fault) -> RowFault {
    RowFault { place, rule: fault.rule }
}

/// What the rows come to together, no one expression of them.
pub(super) fn of_rows(fault: Fault) -> RowFault {
    fault_at("select".to_owned(), fault)
}
