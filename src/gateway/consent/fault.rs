//! Why it cannot be decided who may leave. Nothing is sent then.

use super::lists::ListError;

/// Why it cannot be decided who may leave.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(
        "the EHR did not give every {of} resource, and who may leave hangs on them: nothing was sent. \
         The next run asks again; if this comes back, `headwater doctor` says whether the EHR gives that type at all"
    )]
    NotAll { of: &'static str },
    #[error(
        "a line that cannot be read stands where a consent, a flag or its deletion may stand ({lines} in all), and it may say no: nothing was \
         sent. The next run pulls again; if this comes back, ask the EHR's team for a whole export of the types that `[consent]` is about"
    )]
    Unreadable { lines: u64 },
    #[error("a patient was withdrawn while this run was under way: nothing was sent; run `headwater sync` again, it decides anew")]
    WithdrawnMeanwhile,
}
