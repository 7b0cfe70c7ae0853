//! A policy's own lines: the law it claims, its version, how far dates move, and for an expert's policy who determined what.
//! Knows the keys under `[policy.…]`; the columns are `policy_file`'s.
//! Basis: 45 CFR 164.514(b)(1): a person with appropriate knowledge determines that the risk is very small, and documents it.

use toml::de::{DeTable, DeValue};

use super::rule::Basis;
use crate::cdm::date::is_date;

/// The days a date may move at most, where the policy does not say.
const MAX_SHIFT_DAYS: u16 = 182;
/// The most a policy may ask for: ten years.
const LONGEST_SHIFT_DAYS: i64 = 3650;
const DAYS_OF_A_WEEK: u16 = 7;

/// One policy's own lines.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    pub claims: String,
    pub version: String,
    pub shift: Shift,
    /// Expert only.
    pub determination: Option<Determination>,
}

/// How far the dates of one person move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    pub max_days: u16,
    /// In whole weeks, so that a Monday stays a Monday: a seventh of the shifts.
    pub keep_weekday: bool,
}

/// Who determined that the risk is very small, when, and where it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Determination {
    /// A person, not the program: what leaves under `expert` is as safe as their reading of it.
    pub by: String,
    /// YYYY-MM-DD.
    pub on: String,
    /// Where the methods and results of the analysis are documented.
    pub reference: String,
}

impl Heading {
    /// The lines under one policy's name, and what is wrong with them, as places in the file and words.
    pub(super) fn read(basis: Basis, at: usize, entries: &DeTable<'_>) -> (Self, Vec<(usize, String)>) {
        let mut faults = Vec::new();
        let mut texts = [
            ("claims", ""),
            ("version", ""),
            ("determined_by", ""),
            ("determined_on", ""),
            ("determination", ""),
        ];
        let mut shift = Shift {
            max_days: MAX_SHIFT_DAYS,
            keep_weekday: false,
        };
        for (key, value) in entries {
            let (at, word, value) = (key.span().start, key.get_ref().as_ref(), value.get_ref());
            let shifts = basis != Basis::SafeHarbor;
            match (word, value.as_str(), value.as_bool()) {
                ("max_shift_days", None, None) => match days(value) {
                    Some(days) => shift.max_days = days,
                    None => faults.push((at, format!("`max_shift_days` is a whole number from 1 to {LONGEST_SHIFT_DAYS}"))),
                },
                ("keep_weekday", _, Some(keep)) if shifts => shift.keep_weekday = keep,
                ("keep_weekday", _, None) if shifts => faults.push((at, "`keep_weekday` is true or false".to_owned())),
                (word, Some(text), _) => match texts.iter_mut().find(|(known, _)| *known == word) {
                    Some((word, _)) if word.starts_with("determin") && basis != Basis::Expert => {
                        faults.push((
                            at,
                            format!("`{word}` is for the policy `expert`: the law itself determines this one"),
                        ));
                    }
                    Some((_, place)) => *place = text.trim(),
                    None => faults.push((at, format!("`{word}` is not known here, or is no text"))),
                },
                _ => faults.push((at, format!("`{word}` is not known here, or is no text"))),
            }
        }
        let needed = if basis == Basis::Expert { texts.len() } else { 2 };
        for (word, _) in texts.iter().take(needed).filter(|(_, text)| text.is_empty()) {
            faults.push((at, format!("needs `{word}`")));
        }
        let [(_, claims), (_, version), (_, by), (_, on), (_, reference)] = texts;
        if !on.is_empty() && !is_date(on) {
            faults.push((at, "`determined_on` is a day, YYYY-MM-DD".to_owned()));
        }
        if shift.keep_weekday && shift.max_days < DAYS_OF_A_WEEK {
            faults.push((
                at,
                "`keep_weekday` needs `max_shift_days` of at least 7: less than a week is no shift".to_owned(),
            ));
        }
        let determination = (basis == Basis::Expert).then(|| Determination {
            by: by.to_owned(),
            on: on.to_owned(),
            reference: reference.to_owned(),
        });
        let heading = Self {
            claims: claims.to_owned(),
            version: version.to_owned(),
            shift,
            determination,
        };
        (heading, faults)
    }
}

fn days(value: &DeValue<'_>) -> Option<u16> {
    let number = value.as_integer().filter(|number| number.radix() == 10)?;
    let days: i64 = number.as_str().parse().ok()?;
    (1..=LONGEST_SHIFT_DAYS).contains(&days).then(|| u16::try_from(days).ok())?
}
