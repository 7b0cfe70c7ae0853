//! The text of a string that holds escapes. The parser has already seen that every escape is a good one.

/// `text` with its escapes replaced.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (character, length) = escape(&rest.as_bytes()[at..]).unwrap_or((char::REPLACEMENT_CHARACTER, 1));
        out.push(character);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// The character of the escape at the start of `bytes`, and how many bytes it takes. `None` if it is no escape of
/// RFC 8259, or half of a surrogate pair.
pub(super) fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex(bytes.get(2..6)?)?;
            if (0xd800..0xdc00).contains(&first) {
                if bytes.get(6..8)? != b"\\u" {
                    return None;
                }
                let second = hex(bytes.get(8..12)?)?;
                if !(0xdc00..0xe000).contains(&second) {
                    return None;
                }
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Some((char::from_u32(pair)?, 12));
            }
            // A second half without its first is no character either.
            return Some((char::from_u32(first)?, 6));
        }
        _ => return None,
    };
    Some((character, 2))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let mut number = 0;
    for digit in digits {
        number = number * 16 + char::from(*digit).to_digit(16)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(escaped: &str, expected: Option<&str>) {
        let ours = escape(escaped.as_bytes()).map(|_| unescape(escaped));
        assert_eq!(ours.as_deref(), expected, "{escaped}");
        let theirs: Option<String> = serde_json::from_str(&format!("\"{escaped}\"")).ok();
        assert_eq!(theirs.as_deref(), expected, "{escaped}: serde_json");
    }

    #[test]
    fn every_escape_of_the_grammar_is_one_character() {
        check(r#"\""#, Some("\""));
        check(r"\\", Some("\\"));
        check(r"\/", Some("/"));
        check(r"\b\f\n\r\t", Some("\u{8}\u{c}\n\r\t"));
        check(r"\u0041\u00e9", Some("Aé"));
        check(r"\uD83D\ude00 und mehr", Some("😀 und mehr"));
    }

    #[test]
    fn half_a_surrogate_pair_and_unknown_escapes_are_refused() {
        for bad in [
            r"\ud83d",
            r"\ud83d\n",
            r"\ud83dx",
            r"\ude00",
            r"\ud83d\ud83d",
            r"\ud83d\u0041",
            r"\x",
            r"\u12",
            r"\u12g4",
            r"\u+123",
            r"\U0041",
        ] {
            check(bad, None);
        }
    }
}
