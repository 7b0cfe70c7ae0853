//! In, out, or not known: logic of three values, in which what is not known never decides.

/// Whether a code belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    In,
    Out,
    /// It would take a terminology server, or definitions that are not loaded.
    Unknown,
}

impl Membership {
    /// In one, or in the other.
    pub(super) fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Membership::In => Membership::In,
            Membership::Out => other(),
            Membership::Unknown => match other() {
                Membership::In => Membership::In,
                _ => Membership::Unknown,
            },
        }
    }

    /// In both.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Membership::Out => Membership::Out,
            Membership::In => other(),
            Membership::Unknown => match other() {
                Membership::Out => Membership::Out,
                _ => Membership::Unknown,
            },
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Membership::In => Membership::Out,
            Membership::Out => Membership::In,
            Membership::Unknown => Membership::Unknown,
        }
    }
}

impl From<bool> for Membership {
    fn from(belongs: bool) -> Self {
        if belongs { Membership::In } else { Membership::Out }
    }
}
