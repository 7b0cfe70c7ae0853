//! Marks for a canary: words and numbers that stand nowhere else, planted into everything that identifies a patient, so
//! that a test can search what left the hospital for each of them.

/// Words that stand nowhere else, for a test that searches for them.
#[derive(Clone, Debug)]
pub struct Marks {
    /// What every planted word begins with, so that a person sees where it came from.
    pub prefix: String,
}

impl Default for Marks {
    fn default() -> Self {
        Self { prefix: "Qzv".to_owned() }
    }
}

/// Hands out marks and remembers them all.
pub(super) struct Marker {
    marks: Option<Marks>,
    count: u64,
    planted: Vec<String>,
}

impl Marker {
    pub(super) fn new(marks: Option<Marks>) -> Self {
        Self {
            marks,
            count: 0,
            planted: Vec::new(),
        }
    }

    /// The unmarked value, or a new word of letters (capitalised) where marks are asked for.
    pub(super) fn word(&mut self, plain: impl Into<String>) -> String {
        let Some(marks) = &self.marks else { return plain.into() };
        let word = format!("{}{}", marks.prefix, letters(self.count));
        self.count += 1;
        self.planted.push(word.clone());
        word
    }

    /// The unmarked value followed by a new word: `12 Mill Road` becomes `12 Mill Road Qzvbabab`.
    pub(super) fn tail(&mut self, plain: impl Into<String>, between: &str) -> String {
        let plain = plain.into();
        if self.marks.is_none() {
            return plain;
        }
        let word = self.word("");
        format!("{plain}{between}{word}")
    }

    /// The unmarked number, or a new one of ten digits.
    pub(super) fn number(&mut self, plain: impl Into<String>) -> String {
        if self.marks.is_none() {
            return plain.into();
        }
        // A walk over all ten-digit numbers: odd steps through a ring of 9 * 10^9 never meet before the end.
        let number = (1_000_000_000 + (self.count.wrapping_mul(4_768_371_589) % 9_000_000_000)).to_string();
        self.count += 1;
        self.planted.push(number.clone());
        number
    }

    /// Remembers a value that is distinctive by itself: an id, a piece of base64.
    pub(super) fn remember(&mut self, value: &str) {
        if self.marks.is_some() {
            self.planted.push(value.to_owned());
        }
    }

    /// Everything that was planted, in the order of planting.
    pub(super) fn into_planted(self) -> Vec<String> {
        self.planted
    }
}

/// A number as letters, at least six of them.
fn letters(mut number: u64) -> String {
    const LETTERS: &[u8; 16] = b"bdfghjklmnprstvz";
    let mut word = String::new();
    for _ in 0..6 {
        word.push(char::from(LETTERS[(number % 16) as usize]));
        number /= 16;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_marks_the_plain_values_stay() {
        let mut marker = Marker::new(None);
        assert_eq!(marker.word("Ada"), "Ada");
        assert_eq!(marker.tail("1 Elm Road", " "), "1 Elm Road");
        assert_eq!(marker.number("555-0100"), "555-0100");
        assert!(marker.into_planted().is_empty());
    }

    #[test]
    fn marks_are_all_different_and_all_remembered() {
        let mut marker = Marker::new(Some(Marks::default()));
        for _ in 0..2_000 {
            marker.word("x");
            marker.number("1");
        }
        let planted = marker.into_planted();
        let different: std::collections::BTreeSet<_> = planted.iter().collect();
        assert_eq!((planted.len(), different.len()), (4_000, 4_000));
    }
}
