//! What an export proved, type by type: what is wrong with it is tied to the types it touches; what cannot be tied to one
//! touches all. A type is proven only when nothing touches it. Shows places, types and counts, never a value.

use std::collections::BTreeSet;

use super::error::PullError;
use super::job::{Job, Jobs, Note, State};
use super::outcome;
use crate::landing::{Kind, Landing, Segment};

/// At most so many files with problems are told one by one.
const TOLD: usize = 20;

/// What is wrong or odd, and which types it touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) problems: Vec<String>,
    spoilt: BTreeSet<String>,
    nothing_holds: bool,
}

impl Proof {
    /// What export `job` of `jobs.run` proved of the types in `asked`.
    /// # Errors: the database; an outcome file that cannot be read.
    pub(super) fn of(jobs: Jobs<'_>, job: &Job, landing: &Landing, segments: &[Segment], asked: &[String]) -> Result<Self, PullError> {
        let mut proof = Self::default();
        proof.files(jobs)?;
        proof.reports(landing, segments)?;
        let listed = jobs.listed_types()?;
        for note in jobs.notes()? {
            match note {
                Note::Told(text) => proof.tell(text),
                Note::Spoils(name, text) => proof.spoil(&name, text),
                Note::Ignored(text) => {
                    proof.tell(text);
                    // A file without a type may hold any.
                    let lacking = asked.iter().filter(|name| !listed.contains("") && !listed.contains(*name));
                    proof.spoilt.extend(lacking.cloned());
                }
            }
        }
        if matches!(job.state, State::Kicking | State::Polling) {
            proof.nothing_holds = true;
        }
        Ok(proof)
    }

    /// Something to say that touches no type.
    pub(super) fn tell(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Something that touches this type; without a name, every type.
    pub(super) fn spoil(&mut self, name: &str, text: String) {
        self.problems.push(text);
        self.touch(name);
    }

    /// Whether this type is all there.
    pub(super) fn holds_for(&self, name: &str) -> bool {
        !self.nothing_holds && !self.spoilt.contains(name)
    }

    /// Whether something touches this very type.
    pub(super) fn is_spoilt(&self, name: &str) -> bool {
        self.spoilt.contains(name)
    }

    /// Whether nothing touches any type.
    pub(super) fn holds(&self) -> bool {
        !self.nothing_holds && self.spoilt.is_empty()
    }

    fn touch(&mut self, name: &str) {
        if name.is_empty() {
            self.nothing_holds = true;
        } else {
            self.spoilt.insert(name.to_owned());
        }
    }

    fn files(&mut self, jobs: Jobs<'_>) -> Result<(), PullError> {
        let mut told = 0;
        for file in jobs.troubled()? {
            // Of a file of deletions or errors nobody knows which types it would have named.
            let name = if file.kind == Kind::Resources {
                file.resource_type.as_str()
            } else {
                ""
            };
            self.touch(name);
            let Some(problem) = file.problem else { continue };
            told += 1;
            if told <= TOLD {
                let shown = if file.resource_type.is_empty() {
                    "no type named"
                } else {
                    &file.resource_type
                };
                let (place, kind) = (file.place, file.kind.as_str());
                self.problems
                    .push(format!("file {place} of the export ({kind}, {shown}): {problem}"));
            }
        }
        if told > TOLD {
            self.problems.push(format!("and {} files more with problems", told - TOLD));
        }
        Ok(())
    }

    fn reports(&mut self, landing: &Landing, segments: &[Segment]) -> Result<(), PullError> {
        let reported = outcome::reported(landing, segments)?;
        if let Some(text) = reported.errors {
            self.problems.push(text);
            match reported.types {
                Some(types) => self.spoilt.extend(types),
                None => self.nothing_holds = true,
            }
        }
        if let Some(text) = reported.warnings {
            self.tell(text);
        }
        Ok(())
    }
}
