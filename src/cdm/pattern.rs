//! A column's `pattern`: a regular expression; where it is a plain row of ASCII classes (`^[A-Z][A-Za-z0-9.]{0,17}$`), as
//! nearly all are, it is matched by a loop over bytes, because it runs once per cell of every row.

use regex::Regex;

#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    plain: Option<Vec<Part>>,
}

/// So many bytes of one class.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// One bit for each ASCII character.
    class: u128,
    least: usize,
    most: usize,
}

impl Pattern {
    /// `None` if the text is no regular expression.
    pub fn new(text: &str) -> Option<Self> {
        let regex = Regex::new(text).ok()?;
        Some(Self {
            regex,
            plain: parts(text.as_bytes()),
        })
    }

    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    pub fn is_match(&self, text: &str) -> bool {
        match &self.plain {
            Some(parts) => matches(parts, text.as_bytes()),
            None => self.regex.is_match(text),
        }
    }
}

fn holds(class: u128, byte: u8) -> bool {
    byte.is_ascii() && class >> byte & 1 == 1
}

/// Each part takes all it can: `parts` made sure that no later one could want what it took.
fn matches(parts: &[Part], text: &[u8]) -> bool {
    let mut rest = text;
    for part in parts {
        let taken = rest.iter().take(part.most).take_while(|byte| holds(part.class, **byte)).count();
        if taken < part.least {
            return false;
        }
        rest = &rest[taken..];
    }
    rest.is_empty()
}

/// The parts of a pattern that is a row of classes from its beginning to its end; `None` for any other.
fn parts(pattern: &[u8]) -> Option<Vec<Part>> {
    let mut rest = pattern.strip_prefix(b"^")?.strip_suffix(b"$")?;
    let mut parts: Vec<Part> = Vec::new();
    while let Some(&first) = rest.first() {
        let class;
        (class, rest) = if first == b'[' {
            class_of(&rest[1..])?
        } else {
            (literal(first)?, &rest[1..])
        };
        let (least, most);
        (least, most, rest) = count(rest)?;
        parts.push(Part { class, least, most });
    }
    let clear = |pair: &[Part]| pair[0].least == pair[0].most || (pair[0].class & pair[1].class == 0 && pair[1].least > 0);
    parts.windows(2).all(clear).then_some(parts)
}

/// A character that stands for itself.
fn literal(byte: u8) -> Option<u128> {
    (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b':')).then(|| 1 << byte)
}

/// A class whose `[` is read, and what follows its `]`. Nothing but characters, ranges and escaped brackets.
fn class_of(text: &[u8]) -> Option<(u128, &[u8])> {
    let mut class = 0;
    let mut at = 0;
    loop {
        let mut byte = *text.get(at)?;
        match byte {
            b']' if at > 0 => return Some((class, &text[at + 1..])),
            b'\\' => {
                at += 1;
                byte = *text.get(at).filter(|byte| matches!(byte, b'[' | b']' | b'\\'))?;
            }
            b'[' | b']' | b'&' | b'~' => return None,
            b'^' if at == 0 => return None,
            _ => {}
        }
        if !byte.is_ascii_graphic() {
            return None;
        }
        match (text.get(at + 1), text.get(at + 2)) {
            (Some(b'-'), Some(&end)) if end != b']' => {
                if !end.is_ascii_alphanumeric() || end < byte {
                    return None;
                }
                (byte..=end).for_each(|byte| class |= 1 << byte);
                at += 3;
            }
            _ => {
                class |= 1 << byte;
                at += 1;
            }
        }
    }
}

/// How often, and what follows: `{3}`, `{1,18}`, `*`, `+`, `?`, or once.
fn count(text: &[u8]) -> Option<(usize, usize, &[u8])> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<usize>().ok();
    let found = match text.first() {
        Some(b'*') => (0, usize::MAX, &text[1..]),
        Some(b'+') => (1, usize::MAX, &text[1..]),
        Some(b'?') => (0, 1, &text[1..]),
        Some(b'{') => {
            let end = memchr::memchr(b'}', text)?;
            let inside = &text[1..end];
            let (least, most) = match memchr::memchr(b',', inside) {
                Some(comma) => (number(&inside[..comma])?, number(&inside[comma + 1..])?),
                None => (number(inside)?, number(inside)?),
            };
            (least, most, &text[end + 1..])
        }
        _ => return Some((1, 1, text)),
    };
    // A second sign (`+?`) makes it lazy or possessive.
    (!matches!(found.2.first(), Some(b'?' | b'+' | b'*' | b'{'))).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: [&str; 10] = [
        "^[0-9]{1,3}$",
        "^[0-9]{1,7}-[0-9]$",
        "^[A-Z0-9][A-Z0-9.]{0,17}$",
        "^[A-Za-z0-9._/*^%()'{}\\[\\]+#-]{1,32}$",
        "^[A-Za-z0-9][A-Za-z0-9._:/#-]*$",
        "^a[-b]+$",
        "^[0-9]{2}[0-9]{2}$",
        "^x?-y$",
        "^$",
        "^[a-c]{2}[b-d]*$",
    ];

    #[test]
    fn a_row_of_classes_is_plain_and_anything_else_is_left_to_the_regular_expression() {
        for pattern in PLAIN {
            assert!(parts(pattern.as_bytes()).is_some(), "{pattern}");
        }
        for pattern in [
            "[0-9]",
            "^a|b$",
            "^(ab)$",
            "^.$",
            "^[^a]$",
            "^\\d$",
            "^[a-z]*[a-z]$",
            "^[a-z]+?$",
            "^[\u{e4}]$",
            "^a{2,}$",
            "^[a&&b]$",
            "^[[:alpha:]]$",
            "^x?y?x$",
        ] {
            assert!(parts(pattern.as_bytes()).is_none(), "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_plain_pattern_matches_what_its_regular_expression_matches(
            pattern in 0..PLAIN.len(),
            text in "[a-dxyA-C0-3._:/#\n \u{e4}^-]{0,9}",
        ) {
            let pattern = Pattern::new(PLAIN[pattern]).expect("a regular expression");
            prop_assert_eq!(pattern.is_match(&text), pattern.regex.is_match(&text));
        }
    }
}
