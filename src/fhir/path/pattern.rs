//! Regular expressions: linear in the text, limited in size, and paid for by both. The last one that was made while
//! evaluating is kept, so that one pattern for many items is made once.

use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::ast::Call;
use super::collection::text_of;
use super::eval::{Answer, Evaluator, Fault, MAX_TEXT, boolean, text, too_long};
use super::function::Function as F;
use super::items::Collection;

/// A compiled pattern and what a byte of text costs with it.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    steps: usize,
}

/// The pattern made last, and from what.
pub(super) type Kept = Option<(String, bool, Rc<Pattern>)>;

/// The sizes of program that are told apart, and the steps of 16 bytes of text in each.
const SIZES: [(usize, usize); 3] = [(8 << 10, 8), (64 << 10, 64), (256 << 10, 512)];
/// Steps that making a pattern takes, per step of its text.
const MAKING: usize = 100;
/// Longest pattern, in bytes: classes of Unicode make a large program of few characters.
const LONGEST: usize = 1 << 10;
/// What all patterns of one expression may cost to make.
pub(super) const MAX_MAKING: usize = 8 * SIZES[2].1;

impl Pattern {
    /// What making it cost, in the same measure as `MAX_MAKING`.
    pub(super) fn making(&self) -> usize {
        self.steps
    }

    /// Steps that looking through `text` takes.
    pub(super) fn cost(&self, text: &str) -> usize {
        text.len().saturating_mul(self.steps) / 16
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// A pattern in single-line mode; `None` if it is no regular expression or too large a one.
    pub fn compile(pattern: &str, whole: bool) -> Option<Self> {
        if pattern.len() > LONGEST {
            return None;
        }
        let anchored;
        let pattern = if whole {
            anchored = format!("^(?:{pattern})$");
            &anchored
        } else {
            pattern
        };
        SIZES.iter().find_map(|(size, steps)| {
            let regex = RegexBuilder::new(pattern)
                .dot_matches_new_line(true)
                .size_limit(*size)
                .dfa_size_limit(1 << 20)
                .build()
                .ok()?;
            Some(Self { regex, steps: *steps })
        })
    }
}

impl<'t, 'a> Evaluator<'_, 't, 'a> {
    /// `matches`, `matchesFull` and `replaceMatches`.
    pub(super) fn matched(
        &self,
        call: &'t Call,
        input: &Collection<'t, 'a>,
        first: &Collection<'t, 'a>,
        second: &Collection<'t, 'a>,
    ) -> Answer<'t, 'a> {
        let at = call.at;
        let (Some(own), Some(source)) = (text_of(input, at)?, text_of(first, at)?) else {
            return Ok(Collection::None);
        };
        let made;
        let pattern = match &call.pattern {
            Some(pattern) => &**pattern,
            None => {
                made = self.made(&source, call.function == F::MatchesFull, at)?;
                &*made
            }
        };
        self.context.spend(pattern.cost(&own), at)?;
        if call.function != F::ReplaceMatches {
            return Ok(boolean(Some(pattern.regex.is_match(&own))));
        }
        let Some(by) = text_of(second, at)? else {
            return Ok(Collection::None);
        };
        if pattern.regex.as_str().is_empty() {
            return text(own.to_string(), at);
        }
        // To look for the next place may take the whole rest of the text, all of them together its square.
        let mut square = own.len().saturating_mul(own.len()) / 256;
        let mut places = 0usize;
        for place in pattern.regex.find_iter(&own) {
            let steps = pattern.cost(&own[place.end()..]).min(square);
            square -= steps;
            self.context.spend(1 + steps, at)?;
            places += 1;
        }
        if places.saturating_mul(by.len() + own.len()) > MAX_TEXT * 16 {
            return too_long(at);
        }
        text(pattern.regex.replace_all(&own, &*by).into_owned(), at)
    }

    fn made(&self, source: &str, whole: bool, at: u32) -> Result<Rc<Pattern>, Fault> {
        let mut kept = self.context.pattern.borrow_mut();
        if let Some((text, own, pattern)) = &*kept
            && text == source
            && *own == whole
        {
            return Ok(Rc::clone(pattern));
        }
        let made = Pattern::compile(source, whole);
        let steps = made.as_ref().map_or(SIZES[2].1, |pattern| pattern.steps);
        self.context.spend(steps * MAKING, at)?;
        let made = Rc::new(made.ok_or(Fault {
            rule: "the pattern is no regular expression that we can run in linear time",
            at,
        })?);
        *kept = Some((source.to_owned(), whole, Rc::clone(&made)));
        Ok(made)
    }
}
