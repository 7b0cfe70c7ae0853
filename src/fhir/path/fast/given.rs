//! What a straight way is given besides its focus: the view's constants, and the work it may do. A walk counts what it goes
//! over, list by list; when the work is over it is `Unsure`, and the evaluator, which is asked then, says so.

use super::{Told, Unsure};
use crate::fhir::path::ast::Literal;
use crate::fhir::path::work::Work;

/// How many items of a list, or tests in a row, are one step.
const A_STEP: usize = 4;

#[derive(Clone, Copy)]
pub struct Given<'g> {
    pub(super) constants: &'g [Literal],
    work: &'g Work,
}

impl<'g> Given<'g> {
    pub(in crate::fhir::path) fn new(constants: &'g [Literal], work: &'g Work) -> Self {
        Self { constants, work }
    }

    /// Counts so many items of a list, or tests.
    #[inline]
    pub fn went_over(self, items: usize) -> Told<()> {
        self.spent(1 + items / A_STEP)
    }

    /// Counts reading a text of so many bytes; most are short.
    #[inline]
    pub fn read(self, bytes: usize) -> Told<()> {
        if bytes < 256 { Ok(()) } else { self.spent(bytes / 32) }
    }

    pub(super) fn spent(self, steps: usize) -> Told<()> {
        self.work.add(steps);
        if self.work.is_over() { Err(Unsure) } else { Ok(()) }
    }
}
