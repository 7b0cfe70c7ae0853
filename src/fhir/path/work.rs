//! The work that all expressions on one resource may do together, counted in steps. What costs more than a step says so: a
//! comparison by what it compares, a text by its length, a pattern by its size. So no clock is needed to bound the time.

use std::cell::Cell;

/// Steps that all expressions on one resource may take together.
pub(super) const MAX_STEPS: u32 = 1_000_000;

/// Why an expression has no answer: the rule it broke and where in the expression. Never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub rule: &'static str,
    pub at: u32,
}

/// Steps taken so far.
#[derive(Debug, Default)]
pub(super) struct Work(Cell<u32>);

impl Work {
    /// Counts `steps`. Whoever adds without asking `spend` afterwards must stop when `is_over`.
    pub fn add(&self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.0.set(self.0.get().saturating_add(steps));
    }

    pub fn is_over(&self) -> bool {
        self.0.get() > MAX_STEPS
    }

    pub fn steps(&self) -> u32 {
        self.0.get()
    }

    /// # Errors: more steps than there are.
    pub fn spend(&self, steps: usize, at: u32) -> Result<(), Fault> {
        self.add(steps);
        if self.is_over() {
            return Err(Fault {
                rule: "the expressions take more than 1000000 steps on this resource",
                at,
            });
        }
        Ok(())
    }
}
