//! Numbers that somebody was given: phones abroad, payment cards, and any number whose label says what it is.
//! Knows forms only. Basis: 45 CFR 164.514(b)(2)(i)(D), (E), (G), (H), (I), (J).

use crate::deidentify::words::{Run, Words};

/// `+`, a country's digit, and eight to fifteen digits in all, in groups or in one piece (ITU-T E.164).
pub(super) fn is_phone_abroad(text: &str) -> bool {
    text.match_indices('+').any(|(at, _)| {
        let glued = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let rest = &text[at + 1..];
        if glued || !rest.starts_with(|c: char| ('1'..='9').contains(&c)) {
            return false;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')))
            .unwrap_or(rest.len());
        let number = &rest[..end];
        let glued = rest[end..].starts_with(char::is_alphabetic) && number.ends_with(|c: char| c.is_ascii_digit());
        // A decimal with its sign has one point and nothing else between its digits.
        let is_decimal = number.matches('.').count() == 1 && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        !glued && !is_decimal && (8..=15).contains(&digits)
    })
}

/// Four groups of four digits (or 4-6-5) that pass the check of ISO/IEC 7812-1.
pub(super) fn is_card(words: &Words) -> bool {
    let runs = &words.runs;
    let fits = |at: usize, lengths: &[u32]| {
        let Some(groups) = runs.get(at..at + lengths.len()) else {
            return false;
        };
        let even = groups[1..]
            .iter()
            .all(|run| matches!(run.before, b'-' | b' ') && run.before == groups[1].before);
        let glued = (groups[0].before == 0 && at > 0) || runs.get(at + lengths.len()).is_some_and(|next| next.before == 0);
        let long = |(run, length): (&Run, &u32)| run.is_number && run.end - run.start == *length;
        even && !glued && groups.iter().zip(lengths).all(long) && luhn(words.slice(groups[0].start, groups[lengths.len() - 1].end))
    };
    (0..runs.len()).any(|at| fits(at, &[4, 4, 4, 4]) || fits(at, &[4, 6, 5]))
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (u32::from(digit - b'0'), at % 2) {
            (digit, 0) => digit,
            (digit, _) if digit > 4 => 2 * digit - 9,
            (digit, _) => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Labels and what they say of the number behind them.
const LABELS: [(&[u8], u32, &str); 9] = [
    (b"ssn", 9, "social security number"),
    (b"mrn", 4, "labelled number"),
    (b"acct", 4, "labelled number"),
    (b"account", 4, "labelled number"),
    (b"passport", 6, "labelled number"),
    (b"license", 5, "labelled number"),
    (b"phone", 7, "phone number"),
    (b"tel", 7, "phone number"),
    (b"fax", 7, "phone number"),
];

/// A number of at least so many digits, in one piece, next after its label (`MRN: 0041789`, `ssn 123456789`).
pub(super) fn labelled(words: &Words) -> Option<&'static str> {
    let label = |run: &Run| LABELS.iter().find(|(label, ..)| words.run(*run) == *label);
    words.runs.iter().enumerate().find_map(|(at, run)| {
        let (_, least, kind) = label(run)?;
        let skips = |run: &&Run| matches!(words.run(**run), b"no" | b"number" | b"is" | b"nr");
        let next = words.runs.get(at + 1..)?.iter().find(|run| !skips(run))?;
        (next.is_number && next.end - next.start >= *least).then_some(*kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_abroad_are_seen_and_numbers_with_a_plus_are_not() {
        for text in [
            "+44 20 7946 0958",
            "+49(30)901820",
            "+4915123456789",
            "tel:+33-1-40-20-50-50",
            "(+91) 98765 43210",
        ] {
            assert!(is_phone_abroad(text), "{text}");
        }
        for text in [
            "+1",
            "+12345.6789",
            "10*3+5",
            "64572001+404684003",
            "64572001 + 404684003",
            "+0123456789",
            "+1234567",
            "+1234567890123456",
            "A+",
            "+",
            "+12345678x",
        ] {
            assert!(!is_phone_abroad(text), "{text}");
        }
    }

    #[test]
    fn cards_are_seen_by_their_groups_and_check() {
        let card = |text: &str| is_card(&Words::of(text));
        for text in ["4111 1111 1111 1111", "5500-0000-0000-0004", "card 3782 822463 10005."] {
            assert!(card(text), "{text}");
        }
        for text in [
            "4111 1111 1111 1112",
            "4111111111111111",
            "4111-1111 1111-1111",
            "4111 1111 1111",
            "x4111 1111 1111 1111",
        ] {
            assert!(!card(text), "{text}");
        }
    }

    #[test]
    fn a_label_says_what_a_number_is() {
        let labelled = |text: &str| labelled(&Words::of(text));
        assert_eq!(labelled("SSN 123456789"), Some("social security number"));
        assert_eq!(labelled("ssn:123456789"), Some("social security number"));
        assert_eq!(labelled("MRN: 0041789"), Some("labelled number"));
        assert_eq!(labelled("acct no. 99812"), Some("labelled number"));
        assert_eq!(labelled("Passport number 123456789"), Some("labelled number"));
        assert_eq!(labelled("Fax=5550100"), Some("phone number"));
        for text in ["SSN", "mrn12", "ssn 1234", "account", "tel", "phone 911", "123456789 SSN"] {
            assert_eq!(labelled(text), None, "{text}");
        }
    }
}
