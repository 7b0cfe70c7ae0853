//! One answer against its question: its type, whether it is among the options or of the ValueSet, and what the question says of
//! its value. Where nobody here can tell whether a code is of a ValueSet, nothing is said.

use super::form::{Asking, Question};
use super::value::{Sort, chosen, text};
use super::walk::Hold;
use crate::fhir::name::Name;
use crate::fhir::reference::Reference;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::{Membership, ValueSet};
use crate::validate::issues::Stop;
use crate::validate::profile::Resolved;

impl<'h, 't, 'a> Hold<'h, '_, '_, 't, 'a, '_> {
    /// `several`: it is one of several answers to its question.
    pub(super) fn answer(&mut self, question: &'h Question, answer: Node<'t, 'a>, several: bool) -> Result<(), Stop> {
        let (sorts, is_open) = match question.kind {
            Asking::For(sorts) => (sorts, false),
            Asking::Open(sorts) => (sorts, true),
            Asking::Group | Asking::Display | Asking::Unknown => return Ok(()),
        };
        let Some((sort, value)) = chosen(answer, "value") else {
            return Ok(());
        };
        if !sorts.contains(&sort) {
            return self.fault(value, "type of the answer");
        }
        self.walk.spend(1 + (question.options.len() + value.size() / 16) as u64)?;
        let is_own = is_open && sort == Sort::String;
        if !question.options.is_empty() && (sorts.len() > 1 || may_be_option(sort)) {
            let option = question.options.iter().find(|option| option.value.is(sort, value));
            match option {
                None if is_own => {}
                None => self.fault(value, "answer option")?,
                Some(option) if option.exclusive && several => self.fault(value, "exclusive option beside another")?,
                Some(_) => {}
            }
        } else if let Some(set) = question.set.as_ref().filter(|_| !is_own)
            && is_outside(set, sort, value, is_open)
        {
            self.fault(value, "answer value set")?;
        }
        if sort == Sort::Reference {
            self.reference(question, value)?;
        }
        for rule in question.bounds.faults(sort, value) {
            self.fault(value, rule)?;
        }
        Ok(())
    }

    /// A reference is one, and leads to a type that is allowed.
    fn reference(&mut self, question: &'h Question, value: Node<'t, 'a>) -> Result<(), Stop> {
        let said = value.get(Name::REFERENCE).filter(|said| said.kind() == Kind::String);
        if let Some(said) = said {
            let said = said.text();
            if Reference::parse(&said).is_none() {
                match of_no_type(&said) {
                    Some(true) => return self.fault(value, "reference type"),
                    Some(false) => {}
                    None => return self.fault(value, "reference"),
                }
            }
        }
        let targets = &question.bounds.targets;
        if targets.is_empty() {
            return Ok(());
        }
        let kind = match self.walk.resolve(value) {
            Resolved::Found(resource) => resource.resource_type().and_then(TypeId::of),
            Resolved::Typed(kind) => Some(kind),
            Resolved::Unknown => None,
        };
        match kind {
            Some(kind) if !targets.contains(&kind) => self.fault(value, "reference type"),
            _ => Ok(()),
        }
    }
}

/// R4's types of an option. An item of another type may name options only by mistake.
fn may_be_option(sort: Sort) -> bool {
    matches!(
        sort,
        Sort::Integer | Sort::Date | Sort::Time | Sort::String | Sort::Coding | Sort::Reference
    )
}

/// Codes are held to the set, and texts that stand for one.
fn is_outside(set: &ValueSet, sort: Sort, value: Node<'_, '_>, is_open: bool) -> bool {
    match sort {
        Sort::String => set.membership_of_code(&value.text()) == Membership::Out,
        Sort::Coding => match (text(value, Name::SYSTEM), text(value, Name::CODE)) {
            (Some(system), Some(code)) => set.membership(&system, &code) == Membership::Out,
            // A code without a system is one of none.
            (None, Some(_)) => true,
            // Words of one's own.
            (None, None) if is_open => false,
            // What is missing may be said by an extension.
            (_, None) => value.get(Name::EXTENSION).is_none(),
        },
        _ => false,
    }
}

/// Whether an absolute url ends like a type and an id, of which the type is none of R4's; none if it is no absolute url.
fn of_no_type(url: &str) -> Option<bool> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    if !scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        || !scheme.chars().all(is_scheme)
        || rest.is_empty()
        || rest.contains(char::is_whitespace)
    {
        return None;
    }
    let path = rest.split(['?', '#']).next().unwrap_or(rest);
    let mut parts = path.trim_start_matches('/').rsplit('/');
    let (id, kind, before) = (parts.next(), parts.next(), parts.next());
    let is_like = kind.is_some_and(|kind| {
        kind.starts_with(|letter: char| letter.is_ascii_uppercase()) && kind.chars().all(|letter| letter.is_ascii_alphabetic())
    });
    let is_web = matches!(scheme, "http" | "https");
    Some(is_web && id.is_some_and(|id| !id.is_empty()) && is_like && before.is_some() && !kind.is_some_and(is_resource))
}

fn is_resource(kind: &str) -> bool {
    TypeId::of(kind).is_some_and(TypeId::is_resource)
}
