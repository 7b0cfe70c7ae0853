//! The leak guard: no text leaves that holds a word of its own patient's identifiers, or looks like anybody's.
//! Knows a person only as keyed hashes; `identifiers` says which words of a Patient resource count.
//! It is the last net under the policy, not the policy: what it catches is a fault of the mapping or of the source.
//!
//! A text is read as words and as runs of letters and digits; every window of one to five words (a UUID is five) and of
//! one to four runs is compared. Shorter than three bytes nothing is compared: two letters are in every code.

use super::date::Partial;
use super::shape;
use super::words::Words;
use crate::cdm::siphash::siphash;

/// Words in one window: as many as a UUID has.
pub(super) const WINDOW_WORDS: usize = 5;
const WINDOW_RUNS: usize = 4;
/// The shortest text that is compared.
pub(super) const SHORTEST: usize = 3;

/// The key of the guard's hashes.
pub(super) type GuardKey = [u64; 2];

/// Whose words must not leave.
#[derive(Clone, Copy)]
pub(super) struct Subject<'p> {
    /// Sorted keyed hashes.
    pub words: &'p [u64],
    pub birth: Option<Partial>,
}

/// The guard with room for one text's words.
pub(super) struct Guard {
    key: GuardKey,
    /// Whether a full date of anybody may not leave either.
    dates: bool,
    words: Words,
}

impl Guard {
    pub(super) fn new(key: GuardKey, dates: bool) -> Self {
        Self {
            key,
            dates,
            words: Words::default(),
        }
    }

    /// Why `text` must not leave; `None` if it may. `subject` is the patient the row is about, if any.
    pub(super) fn finding(&mut self, text: &str, subject: Option<Subject<'_>>) -> Option<&'static str> {
        self.words.read(text);
        if let Some(subject) = subject {
            if self.has_word_of(subject.words) {
                return Some("leak guard: an identifier of its patient");
            }
            if let Some(birth) = subject.birth.filter(|birth| birth.is_full())
                && self.has_date(birth)
            {
                return Some("leak guard: the birth date of its patient");
            }
        }
        shape::identifier_in(text, &self.words, self.dates).map(|shape| match shape {
            "mail address" => "leak guard: shape of a mail address",
            "web address" => "leak guard: shape of a web address",
            "social security number" => "leak guard: shape of a social security number",
            "phone number" => "leak guard: shape of a phone number",
            "machine address" => "leak guard: shape of a machine address",
            "vehicle" => "leak guard: shape of a vehicle's number",
            "payment card" => "leak guard: shape of a payment card's number",
            "labelled number" => "leak guard: a number with its label",
            _ => "leak guard: shape of a full date",
        })
    }

    /// The same, and full dates whatever the policy says of them: a true day in a text beside moved ones would tell the shift.
    pub(super) fn any_finding(&mut self, text: &str, subject: Subject<'_>) -> Option<&'static str> {
        let dates = std::mem::replace(&mut self.dates, true);
        let finding = self.finding(text, Some(subject));
        self.dates = dates;
        finding
    }

    /// Why a number must not leave: all its digits are an identifier of its patient. Measured numbers have a point or few
    /// digits; five digits and more without one are compared.
    pub(super) fn number_finding(&self, digits: &str, subject: Subject<'_>) -> Option<&'static str> {
        let is_number = digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_hit = || subject.words.binary_search(&siphash(self.key, digits.as_bytes())).is_ok();
        (is_number && is_hit()).then_some("leak guard: an identifier of its patient")
    }

    fn has_word_of(&self, set: &[u64]) -> bool {
        if set.is_empty() {
            return false;
        }
        let words = &self.words;
        let is_hit = |start: u32, end: u32| {
            let text = words.slice(start, end);
            text.len() >= SHORTEST && set.binary_search(&siphash(self.key, text)).is_ok()
        };
        let word_windows =
            |from: usize| (from..words.words.len().min(from + WINDOW_WORDS)).map(move |to| (words.words[from].0, words.words[to].1));
        let run_windows =
            |from: usize| (from..words.runs.len().min(from + WINDOW_RUNS)).map(move |to| (words.runs[from].start, words.runs[to].end));
        (0..words.words.len()).flat_map(word_windows).any(|(start, end)| is_hit(start, end))
            || (words.runs.len() != words.words.len() && (0..words.runs.len()).flat_map(run_windows).any(|(start, end)| is_hit(start, end)))
    }

    fn has_date(&self, birth: Partial) -> bool {
        let mut found = false;
        shape::each_date(&self.words, |date| {
            found |= (date.year, date.month, date.day) == (birth.year, birth.month, birth.day);
        });
        found
    }
}

/// The id of a resource as the EHR writes it: what a row's key has behind its type. Short numbers are in every code: an id
/// counts from five characters, one of digits only from seven.
pub(super) fn id_of(source: &str) -> Option<&str> {
    let whole = source.split_once('#').map_or(source, |(whole, _)| whole);
    let id = whole.rsplit_once('/').map_or(whole, |(_, id)| id);
    let least = if id.bytes().all(|byte| byte.is_ascii_digit()) { 7 } else { 5 };
    (id.len() >= least).then_some(id)
}

/// Whether the text holds the id, with no letter or digit touching it.
pub(super) fn has_id(text: &str, id: &str) -> bool {
    let (text, id) = (text.as_bytes(), id.as_bytes());
    let apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    text.windows(id.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        window.eq_ignore_ascii_case(id) && apart(before) && apart(text.get(at + id.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: GuardKey = [7, 8];

    fn finding(text: &str, planted: &[&str]) -> Option<&'static str> {
        let mut words: Vec<u64> = planted.iter().map(|word| siphash(KEY, word.as_bytes())).collect();
        words.sort_unstable();
        let subject = Subject {
            words: &words,
            birth: Partial::parse("2010-03-15"),
        };
        Guard::new(KEY, false).finding(text, Some(subject))
    }

    #[test]
    fn a_planted_word_is_caught_however_it_is_written() {
        for text in [
            "okonkwo",
            "OKONKWO",
            "Ms. Okonkwo",
            "okonkwo2",
            "x_Okonkwo_y",
            "Ökonkwo",
            "seen/okonkwo/today",
            "o-kon-kwo",
            "12okonkwo34",
        ] {
            assert_eq!(
                finding(text, &["okonkwo"]),
                Some("leak guard: an identifier of its patient"),
                "{text}"
            );
        }
        for text in ["00012345678", "000-123-45678", "id000 12345678.", "MRN00012345678"] {
            assert!(finding(text, &["00012345678"]).is_some(), "{text}");
        }
    }

    #[test]
    fn a_clean_text_passes() {
        for text in ["okonkw", "okonkwos", "8480-6", "positive", "mg/dL", "", "konkwo"] {
            assert_eq!(finding(text, &["okonkwo"]), None, "{text}");
        }
    }

    #[test]
    fn the_birth_date_is_caught_in_every_usual_spelling_and_another_day_is_not() {
        for text in [
            "2010-03-15",
            "3/15/2010",
            "03/15/2010",
            "15/3/2010",
            "15.03.2010",
            "20100315",
            "03152010",
            "dob20100315",
            "March 15, 2010",
            "Mar 15th 2010",
            "15 March 2010",
            "15-MAR-2010",
            "15Mar2010",
            "2010 March 15",
            "3/15/10",
            "2010.3.15",
            "15.3.10",
            "10-03-15",
            "15-Mar-10",
            "Monday, March 15th, 2010",
            "Mon 15 Mar 2010",
            "20100315T101500",
            "201003151015",
            "dob 031510",
            "dob:100315",
            "born 150310",
        ] {
            assert_eq!(finding(text, &[]), Some("leak guard: the birth date of its patient"), "{text}");
        }
        for text in [
            "2010-03-16",
            "3/14/2010",
            "20100316",
            "2010",
            "2010-03",
            "15",
            "3-15",
            "April 15, 2010",
            "031510",
            "100315",
        ] {
            assert_eq!(finding(text, &[]), None, "{text}");
        }
    }

    #[test]
    fn the_id_of_a_row_s_own_resources_is_found_in_its_texts() {
        let uuid = "Encounter/9d3f1c2a-77aa-4c1b-8e11-0a2b3c4d5e6f#2";
        for (text, source) in [
            ("9D3F1C2A-77AA-4C1B-8E11-0A2B3C4D5E6F", uuid),
            ("enc:9d3f1c2a-77aa-4c1b-8e11-0a2b3c4d5e6f.", uuid),
            ("e-77-x", "Encounter/e-77-x"),
            ("1234567", "Encounter/1234567#"),
        ] {
            assert!(id_of(source).is_some_and(|id| has_id(text, id)), "{text}");
        }
        for (text, source) in [
            ("123456", "Encounter/123456"),
            ("8480-6", "Observation/8480"),
            ("x1234567", "Encounter/1234567"),
            ("9d3f1c2a", uuid),
            ("", uuid),
            ("code", "Encounter/"),
        ] {
            assert!(!id_of(source).is_some_and(|id| has_id(text, id)), "{text}");
        }
    }

    #[test]
    fn a_row_about_nobody_is_still_held_against_shapes() {
        let mut guard = Guard::new(KEY, true);
        assert_eq!(guard.finding("a@b.example", None), Some("leak guard: shape of a mail address"));
        assert_eq!(guard.finding("2020-01-01", None), Some("leak guard: shape of a full date"));
        assert_eq!(guard.finding("8480-6", None), None);
    }

    proptest! {
        #[test]
        fn a_planted_word_is_found_wherever_it_stands(before in "[ -/:-@]{0,6}[a-z0-9]{0,9}[ -/:-@]", after in "[ -/:-@][a-z0-9]{0,9}[ -/:-@]{0,6}", upper: bool) {
            let word = if upper { "OKONKWO" } else { "okonkwo" };
            let text = format!("{before}{word}{after}");
            prop_assert_eq!(finding(&text, &["okonkwo"]), Some("leak guard: an identifier of its patient"));
        }

        #[test]
        fn any_text_is_read_without_a_fault_and_a_code_of_other_letters_passes(text in any::<String>(), code in "[A-DF-IK-MP-Za-df-ik-mp-z]{1,12}-[0-9]{1,2}") {
            let _ = finding(&text, &["okonkwo"]);
            prop_assert_eq!(finding(&code, &["okonkwo"]), None);
        }
    }
}
