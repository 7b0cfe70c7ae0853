//! What a feature's values look like, by the formats of clkhash's schema: held against the format, and brought into the one
//! spelling that is compared. As clkhash 0.18.3 does it; a fault is a rule, never the value.

use std::borrow::Cow;

use regex::Regex;

use super::date::DateFormat;

/// One feature's format.
#[derive(Clone, Debug)]
pub enum Format {
    Text {
        case: Case,
        /// In characters.
        least: usize,
        most: Option<usize>,
    },
    /// The whole value must match.
    Pattern(Regex),
    Integer {
        least: Option<i128>,
        most: Option<i128>,
    },
    Date(DateFormat),
    Enum(Vec<String>),
}

/// How letters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Upper,
    Lower,
    Mixed,
}

/// How a token becomes bytes before it is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Ascii,
    Utf8,
    Utf16,
    Utf32,
}

impl Encoding {
    pub(super) fn holds(self, text: &str) -> bool {
        self != Self::Ascii || text.is_ascii()
    }

    /// The bytes of a token. UTF-16 and UTF-32 begin with the byte order mark that Python writes, and are little-endian.
    pub(super) fn bytes(self, text: &str) -> Cow<'_, [u8]> {
        match self {
            Self::Ascii | Self::Utf8 => Cow::Borrowed(text.as_bytes()),
            Self::Utf16 => {
                let units = std::iter::once(0xfeff).chain(text.encode_utf16());
                Cow::Owned(units.flat_map(u16::to_le_bytes).collect())
            }
            Self::Utf32 => {
                let signs = std::iter::once('\u{feff}').chain(text.chars());
                Cow::Owned(signs.flat_map(|sign| u32::from(sign).to_le_bytes()).collect())
            }
        }
    }
}

impl Format {
    /// The value as it is compared.
    /// # Errors: the rule it breaks.
    pub(super) fn canonical<'v>(&self, value: &'v str) -> Result<Cow<'v, str>, &'static str> {
        let kept = Ok(Cow::Borrowed(value));
        match self {
            Self::Text { case, least, most } => {
                let length = value.chars().count();
                if length < *least {
                    return Err("text shorter than its least length");
                }
                if most.is_some_and(|most| length > most) {
                    return Err("text longer than its greatest length");
                }
                match case {
                    Case::Upper if value.to_uppercase() != value => Err("text in upper case"),
                    Case::Lower if value.to_lowercase() != value => Err("text in lower case"),
                    _ => kept,
                }
            }
            Self::Pattern(pattern) => {
                if pattern.is_match(value) {
                    kept
                } else {
                    Err("text of the pattern")
                }
            }
            Self::Enum(values) => {
                if values.iter().any(|one| one == value) {
                    kept
                } else {
                    Err("one of the listed values")
                }
            }
            Self::Date(format) => format.digits(value).map(Cow::Owned).ok_or("a date of the format"),
            Self::Integer { least, most } => {
                let text = integer(value).ok_or("an integer")?;
                let number: i128 = text.parse().map_err(|_| "an integer of at most 38 digits")?;
                if least.is_some_and(|least| number < least) {
                    return Err("integer below its minimum");
                }
                if most.is_some_and(|most| number > most) {
                    return Err("integer above its maximum");
                }
                Ok(Cow::Owned(text))
            }
        }
    }
}

/// The integer that Python's `int(text, base=10)` reads, in plain digits; `None` if it reads none.
pub(super) fn integer(text: &str) -> Option<String> {
    let text = text.trim();
    let (minus, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    // An underscore may stand between two digits.
    let is_sound = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits.split('_').all(is_sound) {
        return None;
    }
    let plain: String = digits.bytes().filter(u8::is_ascii_digit).map(char::from).collect();
    let plain = plain.trim_start_matches('0');
    Some(match (plain, minus) {
        ("", _) => "0".to_owned(),
        (plain, true) => format!("-{plain}"),
        (plain, false) => plain.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &Format, good: &[(&str, &str)], bad: &[&str]) {
        for (value, expected) in good {
            assert_eq!(format.canonical(value).as_deref(), Ok(*expected), "{value}");
        }
        for value in bad {
            assert!(format.canonical(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_text_has_its_length_and_case() {
        let text = |case, least, most| Format::Text { case, least, most };
        check(
            &text(Case::Lower, 2, Some(3)),
            &[("añ", "añ"), ("abc", "abc"), ("12", "12")],
            &["a", "abcd", "aB", ""],
        );
        check(&text(Case::Upper, 0, None), &[("", ""), ("O'NEIL", "O'NEIL")], &["O'Neil"]);
        check(&text(Case::Mixed, 0, None), &[("aB", "aB")], &[]);
    }

    #[test]
    fn an_integer_has_one_spelling_and_its_bounds() {
        let integer = Format::Integer {
            least: Some(-5),
            most: Some(1000),
        };
        check(
            &integer,
            &[
                ("+13", "13"),
                (" 13", "13"),
                ("0013", "13"),
                ("-0", "0"),
                ("1_000", "1000"),
                ("-5", "-5"),
            ],
            &[
                "",
                "-",
                "1.0",
                "1__0",
                "_1",
                "1 3",
                "-6",
                "1001",
                "0x1",
                "99999999999999999999999999999999999999999",
            ],
        );
    }

    #[test]
    fn other_encodings_begin_with_a_mark_and_ascii_holds_ascii_only() {
        assert_eq!(Encoding::Utf16.bytes("é").as_ref(), [0xff, 0xfe, 0xe9, 0]);
        assert_eq!(Encoding::Utf32.bytes("a").as_ref(), [0xff, 0xfe, 0, 0, b'a', 0, 0, 0]);
        assert!(!Encoding::Ascii.holds("é") && Encoding::Utf8.holds("é"));
    }
}
