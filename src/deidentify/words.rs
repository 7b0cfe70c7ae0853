//! A text as the words a reader would see in it: lower case, without accents, punctuation or spacing.
//! The guard and the facts about a person read text by the same eyes, so that `O'Brien`, `OBRIEN` and `o brien` meet.

/// A run of letters or a run of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub start: u32,
    pub end: u32,
    pub is_number: bool,
    /// The one ASCII byte between this run and the one before: 0 if nothing is between, 255 if more than one byte is.
    pub before: u8,
}

/// The words of one text; reused from text to text.
#[derive(Default)]
pub(super) struct Words {
    /// All words side by side, nothing between them.
    pub folded: Vec<u8>,
    /// Where each word stands in `folded`: a word is letters and digits without anything between.
    pub words: Vec<(u32, u32)>,
    /// The same text, cut also where letters meet digits.
    pub runs: Vec<Run>,
}

impl Words {
    /// The words of `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.read(text);
        words
    }

    /// Reads another text.
    pub(super) fn read(&mut self, text: &str) {
        self.folded.clear();
        self.words.clear();
        self.runs.clear();
        let mut between = Between::Start;
        for character in text.chars() {
            let at = self.folded.len();
            let is_number = character.is_ascii_digit();
            if character.is_ascii_alphanumeric() {
                self.folded.push(character.to_ascii_lowercase() as u8);
            } else if character.is_ascii() {
                between = between.and(character as u8);
                continue;
            } else if is_combining(character) {
                continue;
            } else if character.is_alphanumeric() {
                fold(character, &mut self.folded);
            } else {
                between = Between::Several;
                continue;
            }
            self.extend(at, is_number, between);
            between = Between::Nothing;
        }
    }

    fn extend(&mut self, at: usize, is_number: bool, between: Between) {
        let (start, end) = (position(at), position(self.folded.len()));
        match (self.words.last_mut(), between) {
            (Some(word), Between::Nothing) => word.1 = end,
            _ => self.words.push((start, end)),
        }
        match self.runs.last_mut() {
            Some(run) if between == Between::Nothing && run.is_number == is_number => run.end = end,
            _ => self.runs.push(Run {
                start,
                end,
                is_number,
                before: match between {
                    Between::Nothing | Between::Start => 0,
                    Between::One(byte) => byte,
                    Between::Several => 255,
                },
            }),
        }
    }

    /// Bytes of all words from one to another.
    pub(super) fn slice(&self, start: u32, end: u32) -> &[u8] {
        &self.folded[start as usize..end as usize]
    }

    /// The bytes of one run.
    pub(super) fn run(&self, run: Run) -> &[u8] {
        self.slice(run.start, run.end)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Start,
    Nothing,
    One(u8),
    Several,
}

impl Between {
    fn and(self, byte: u8) -> Self {
        match self {
            Between::Start | Between::Nothing => Between::One(byte),
            Between::One(_) | Between::Several => Between::Several,
        }
    }
}

/// Texts are cut to the line limit (16 MiB) long before this could overflow.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

pub(super) fn is_combining(character: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&character)
}

/// Appends the lower-case letter without its accent (Latin-1 and Latin Extended-A); other letters as they are.
pub(super) fn fold(character: char, out: &mut Vec<u8>) {
    let plain = match character {
        'À'..='Å' | 'à'..='å' | 'Ā'..='ą' => "a",
        'Æ' | 'æ' => "ae",
        'Ç' | 'ç' | 'Ć'..='č' => "c",
        'Ď'..='đ' | 'Ð' | 'ð' => "d",
        'È'..='Ë' | 'è'..='ë' | 'Ē'..='ě' => "e",
        'Ĝ'..='ģ' => "g",
        'Ĥ'..='ħ' => "h",
        'Ì'..='Ï' | 'ì'..='ï' | 'Ĩ'..='ı' => "i",
        'Ĵ' | 'ĵ' => "j",
        'Ķ'..='ĸ' => "k",
        'Ĺ'..='ł' => "l",
        'Ñ' | 'ñ' | 'Ń'..='ŋ' => "n",
        'Ò'..='Ö' | 'Ø' | 'ò'..='ö' | 'ø' | 'Ō'..='ő' => "o",
        'Œ' | 'œ' => "oe",
        'Ŕ'..='ř' => "r",
        'Ś'..='š' => "s",
        'ß' | 'ẞ' => "ss",
        'Ţ'..='ŧ' => "t",
        'Þ' | 'þ' => "th",
        'Ù'..='Ü' | 'ù'..='ü' | 'Ũ'..='ų' => "u",
        'Ŵ' | 'ŵ' => "w",
        'Ý' | 'ý' | 'ÿ' | 'Ŷ'..='Ÿ' => "y",
        'Ź'..='ž' => "z",
        other => {
            let mut bytes = [0u8; 4];
            for lower in other.to_lowercase() {
                out.extend_from_slice(lower.encode_utf8(&mut bytes).as_bytes());
            }
            return;
        }
    };
    out.extend_from_slice(plain.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let words = Words::of(text);
        let text = |(start, end): &(u32, u32)| String::from_utf8(words.slice(*start, *end).to_vec()).expect("UTF-8");
        words.words.iter().map(text).collect()
    }

    fn runs(text: &str) -> Vec<String> {
        let words = Words::of(text);
        let text = |run: &Run| String::from_utf8(words.run(*run).to_vec()).expect("UTF-8");
        words.runs.iter().map(text).collect()
    }

    #[test]
    fn case_accents_and_punctuation_fall_away() {
        assert_eq!(words("José O'Brien-ÅSTRÖM"), ["jose", "o", "brien", "astrom"]);
        assert_eq!(words("Jose\u{301}"), ["jose"], "a combining accent is no letter and no gap");
        assert_eq!(words("  ,; "), [""; 0]);
        assert_eq!(words("李明 Straße"), ["李明", "strasse"]);
    }

    #[test]
    fn runs_are_cut_where_letters_meet_digits_and_words_are_not() {
        assert_eq!(words("MRN00123-x"), ["mrn00123", "x"]);
        assert_eq!(runs("MRN00123-x"), ["mrn", "00123", "x"]);
    }

    #[test]
    fn what_stands_between_two_runs_is_remembered() {
        let words = Words::of("1/2 - 3a");
        let before: Vec<u8> = words.runs.iter().map(|run| run.before).collect();
        assert_eq!(before, [0, b'/', 255, 0]);
    }
}
