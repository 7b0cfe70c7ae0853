//! The command line: verbs, exit codes, what stands on stdout and stderr. One file per verb below.
//! Progress bars and tables live here and nowhere lower.

pub mod fhirpath;
pub mod validate;
pub mod view;

use std::process::ExitCode;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 1: our own error.
    Ours = 1,
    /// 2: wrong use or wrong configuration.
    Usage = 2,
    /// 3: the other side did not give everything; the next run goes on.
    Partial = 3,
    /// 4: a safety brake stopped it; a person must decide.
    Brake = 4,
}

/// Why a verb did not end with 0: the exit code and one message for a person.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Our own error, with its chain of causes.
    pub fn ours(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(Exit::Ours, message)
    }
}

pub fn main() -> ExitCode {
    ExitCode::from(2)
}
