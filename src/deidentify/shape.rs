//! Texts that look like an identifier of anybody: mail, phone, social security number, card, vehicle, address of a page or
//! machine, date.
//! Knows no person; `guard` knows whose words must not leave. Basis: 45 CFR 164.514(b)(2)(i)(C)-(O).
//!
//! What passes on purpose, because codes look like it: numbers of any length without separators (SNOMED, RxNorm),
//! LOINC (`8480-6`), race codes (`2054-5`), drug codes of 4-4-2, 5-3-2 and 5-4-2 digits, object identifiers, decimals,
//! versions of three parts. A person's own phone or birth date without separators is caught by `guard`.

use std::borrow::Cow;

use super::date::MONTHS;
use super::words::{Run, Words};

mod machine;
mod number;

/// Hosts whose addresses name a terminology, never a person.
const TERMINOLOGIES: [&str; 13] = [
    "hl7.org",
    "terminology.hl7.org",
    "loinc.org",
    "snomed.info",
    "unitsofmeasure.org",
    "nlm.nih.gov",
    "www.nlm.nih.gov",
    "fdasis.nlm.nih.gov",
    "www.ama-assn.org",
    "www.cms.gov",
    "nucc.org",
    "www.nubc.org",
    "www.whocc.no",
];

/// The shape of an identifier that `text` has; `words` are its words. Full dates are looked for only where asked.
pub(super) fn identifier_in(text: &str, words: &Words, dates: bool) -> Option<&'static str> {
    if has_foreign_url(text) {
        return Some("web address");
    }
    if text.contains('@') && is_mail(text) {
        return Some("mail address");
    }
    if words.runs.len() >= 3 {
        if has_social_security_number(words) {
            return Some("social security number");
        }
        if has_phone(words) {
            return Some("phone number");
        }
        if dates && has_full_date(words) {
            return Some("full date");
        }
    }
    if words.runs.len() >= 4 && (has_machine_address(text, words) || machine::is_internet_six(text)) {
        return Some("machine address");
    }
    // The shorter ones cannot be any of these: what is asked of every code must cost nothing.
    if text.len() >= 17 {
        if machine::is_network_card(text) {
            return Some("machine address");
        }
        if machine::is_vehicle(text) {
            return Some("vehicle");
        }
        if number::is_card(words) {
            return Some("payment card");
        }
    }
    if text.len() >= 9 && text.contains('+') && number::is_phone_abroad(text) {
        return Some("phone number");
    }
    if text.len() >= 8 && words.runs.len() >= 2 {
        return number::labelled(words);
    }
    None
}

/// Letters or digits, `@`, a word, a dot, a word.
fn is_mail(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let host: &str = text[at + 1..]
            .split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'))
            .next()
            .unwrap_or("");
        before && host.split('.').filter(|label| !label.is_empty()).count() >= 2
    })
}

/// `scheme://host` of no terminology, `www.host` without scheme, or the name of one single thing (`urn:uuid:`).
fn has_foreign_url(text: &str) -> bool {
    let lower = |word: &str| {
        text.as_bytes()
            .windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut rest = text;
    let mut any = false;
    while let Some((_, after)) = rest.split_once("://") {
        any = true;
        let authority = after.split(['/', '?', '#', ' ']).next().unwrap_or("");
        if !TERMINOLOGIES.iter().any(|host| authority.eq_ignore_ascii_case(host)) {
            return true;
        }
        rest = after;
    }
    (!any && text.len() > 4 && lower("www.")) || (text.len() > 9 && lower("urn:uuid:"))
}

/// Three runs of digits of these lengths, joined by one separator each out of `allowed`.
fn grouped(words: &Words, at: usize, lengths: [u32; 3], allowed: &[u8]) -> bool {
    let Some([a, b, c]) = words.runs.get(at..at + 3) else {
        return false;
    };
    let fits = |run: &Run, length| run.is_number && run.end - run.start == length;
    let apart = |run: &Run| allowed.contains(&run.before);
    // A letter glued to either end makes it a code, not a number.
    let glued = (a.before == 0 && at > 0) || words.runs.get(at + 3).is_some_and(|next| next.before == 0);
    fits(a, lengths[0]) && fits(b, lengths[1]) && fits(c, lengths[2]) && apart(b) && apart(c) && !glued
}

fn has_social_security_number(words: &Words) -> bool {
    (0..words.runs.len()).any(|at| grouped(words, at, [3, 2, 4], b"- ."))
}

/// North American numbers in groups of 3-3-4, `(617) 555-0100` included; area and exchange begin with 2 to 9.
fn has_phone(words: &Words) -> bool {
    (0..words.runs.len()).any(|at| {
        grouped(words, at, [3, 3, 4], &[b'-', b' ', b'.', b'/', b')', 255])
            && [at, at + 1].into_iter().all(|at| words.run(words.runs[at])[0] >= b'2')
    })
}

/// Four numbers of at most 255 with dots between, and no fifth: an object identifier has more, a version fewer.
fn has_machine_address(text: &str, words: &Words) -> bool {
    if text.to_ascii_lowercase().contains("oid:") {
        return false;
    }
    let small = |run: &Run| run.is_number && number(words.run(*run)).is_some_and(|number| number <= 255);
    let dot = |at: usize| words.runs.get(at).is_some_and(|run| run.before == b'.');
    (0..words.runs.len().saturating_sub(3)).any(|at| {
        let four = &words.runs[at..at + 4];
        let glued = at > 0 && matches!(four[0].before, 0 | b'.');
        four.iter().all(small) && dot(at + 1) && dot(at + 2) && dot(at + 3) && !dot(at + 4) && !glued
    })
}

/// A day of a year from 1900 to 2099, with its parts apart or its month spelled.
fn has_full_date(words: &Words) -> bool {
    let mut found = false;
    each_date(words, |date| {
        found |= date.is_plain && (1900..2100).contains(&date.year);
    });
    found
}

/// A day that a text may mean.
pub(super) struct Date {
    pub year: i16,
    pub month: i8,
    pub day: i8,
    /// Written so that a reader would call it a date: four digits for the year, parts apart by one kind of separator,
    /// or a spelled month.
    pub is_plain: bool,
}

/// Every day the text may mean, in every usual order of its parts; two-digit years mean both centuries.
pub(super) fn each_date(words: &Words, mut see: impl FnMut(Date)) {
    let runs = without_ordinals(words);
    for (at, first) in runs.iter().enumerate() {
        // Eight digits are a day; twelve and fourteen are a day with its time.
        if first.is_number && matches!(first.end - first.start, 8 | 12 | 14) {
            // `20100315T1015`: what has the form of a day and a time glued to it is one.
            let stamp = matches!(runs.get(at + 1..at + 3), Some([t, time])
                if words.run(*t) == b"t" && t.before == 0 && time.before == 0 && time.is_number && time.end - time.start >= 4);
            compact(&words.run(*first)[..8], stamp, &mut see);
        }
        // Six digits alone are a code; in a longer text they may be a day.
        if first.is_number && first.end - first.start == 6 && runs.len() > 1 {
            compact_short(words.run(*first), &mut see);
        }
        let Some(&[a, b, c]) = runs.get(at..at + 3) else { continue };
        let digits = |run: Run| run.end - run.start;
        let value = |run: Run| if run.is_number { number(words.run(run)) } else { None };
        let spelled = |run: Run| if run.is_number { None } else { month(words.run(run)) };
        // The `T` of `2010-03-15T10:00` may touch a date; any other letter makes it a code.
        let is_time = |next: &Run| words.run(*next) == b"t";
        let glued = at > 0 && a.before == 0 || runs.get(at + 3).is_some_and(|next| next.before == 0 && !is_time(next));
        let mut tell = |year: Run, month: Option<i16>, day: Run, is_plain: bool| {
            let (Some(number), Some(month), Some(day)) = (value(year), month, value(day)) else {
                return;
            };
            let years = match digits(year) {
                4 => [number, 0],
                2 => [1900 + number, 2000 + number],
                _ => return,
            };
            for year in years.into_iter().filter(|year| *year > 0) {
                if (1..=12).contains(&month) && (1..=31).contains(&day) {
                    see(Date {
                        year,
                        month: i8::try_from(month).unwrap_or(0),
                        day: i8::try_from(day).unwrap_or(0),
                        is_plain,
                    });
                }
            }
        };
        let same = b.before == c.before && matches!(b.before, b'-' | b'/' | b'.') && !glued;
        let full = |year: Run, others: [Run; 2]| same && digits(year) == 4 && others.iter().all(|run| digits(*run) <= 2);
        // `2000-1-2` is how chemicals are numbered; a date in that order has two digits each.
        tell(
            a,
            value(b),
            c,
            full(a, [b, c]) && (b.before != b'-' || digits(b) == 2 && digits(c) == 2),
        );
        // `3/15/10`: with slashes and a year of two digits, no code we know of.
        let short = same && b.before == b'/' && digits(c) == 2 && digits(a) <= 2 && digits(b) <= 2;
        tell(c, value(a), b, full(c, [a, b]) || short);
        tell(c, value(b), a, full(c, [a, b]) || short);
        tell(c, spelled(a), b, digits(c) == 4);
        tell(c, spelled(b), a, digits(c) == 4 || same);
        tell(a, spelled(b), c, digits(a) == 4);
    }
}

/// Eight digits: 20100315, 03152010, 15032010.
fn compact(digits: &[u8], stamp: bool, see: &mut impl FnMut(Date)) {
    let part = |range: std::ops::Range<usize>| number(&digits[range]).unwrap_or(0);
    for (year, month, day) in [(0..4, 4..6, 6..8), (4..8, 0..2, 2..4), (4..8, 2..4, 0..2)] {
        let (year, month, day) = (part(year), part(month), part(day));
        if (1..=12).contains(&month) && (1..=31).contains(&day) {
            see(Date {
                year,
                month: i8::try_from(month).unwrap_or(0),
                day: i8::try_from(day).unwrap_or(0),
                is_plain: stamp,
            });
        }
    }
}

/// Six digits: 100315, 031510, 150310; the year of either century.
fn compact_short(digits: &[u8], see: &mut impl FnMut(Date)) {
    let part = |range: std::ops::Range<usize>| number(&digits[range]).unwrap_or(0);
    for (year, month, day) in [(0..2, 2..4, 4..6), (4..6, 0..2, 2..4), (4..6, 2..4, 0..2)] {
        let (year, month, day) = (part(year), part(month), part(day));
        for century in [1900, 2000] {
            see(Date {
                year: century + year,
                month: i8::try_from(month).unwrap_or(0),
                day: i8::try_from(day).unwrap_or(0),
                is_plain: false,
            });
        }
    }
}

/// The runs of a text without the `th` of `5th` and the `of` of `5th of March`.
fn without_ordinals(words: &Words) -> Cow<'_, [Run]> {
    let is_filler = |run: &Run| !run.is_number && matches!(words.run(*run), b"st" | b"nd" | b"rd" | b"th" | b"of" | b"the");
    if words.runs.iter().any(is_filler) {
        Cow::Owned(words.runs.iter().filter(|run| !is_filler(run)).copied().collect())
    } else {
        Cow::Borrowed(&words.runs)
    }
}

/// At most four digits.
fn number(digits: &[u8]) -> Option<i16> {
    (digits.len() <= 4).then(|| digits.iter().fold(0i16, |sum, digit| sum * 10 + i16::from(digit - b'0')))
}

/// The month an English word names: its first three letters, or more of it.
fn month(word: &[u8]) -> Option<i16> {
    if word.len() < 3 {
        return None;
    }
    let at = MONTHS.iter().position(|month| month.as_bytes().starts_with(word))?;
    i16::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Option<&'static str> {
        identifier_in(text, &Words::of(text), true)
    }

    #[test]
    fn identifiers_of_anybody_are_seen() {
        for (text, expected) in [
            ("jane.doe@example.org", "mail address"),
            ("<Jane@mail.example.co.uk>", "mail address"),
            ("(617) 555-0100", "phone number"),
            ("617-555-0100", "phone number"),
            ("617.555.0100", "phone number"),
            ("+1 617 555 0100", "phone number"),
            ("call:617/555-0100", "phone number"),
            ("123-45-6789", "social security number"),
            ("123 45 6789", "social security number"),
            ("http://clinic.example/fhir/Patient/1", "web address"),
            ("HTTPS://loinc.org.evil.example/x", "web address"),
            ("http://loinc.org@evil.example/", "web address"),
            ("www.janedoe.example", "web address"),
            ("http://loinc.org and http://me.example", "web address"),
            ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "web address"),
            ("10.0.12.255", "machine address"),
            ("at 192.168.1.1.", "machine address"),
            ("2010-03-15", "full date"),
            ("2010-03-15T10:00:00Z", "full date"),
            ("3/15/2010", "full date"),
            ("15.03.2010", "full date"),
            ("2010/3/15", "full date"),
            ("March 15, 2010", "full date"),
            ("15-Mar-2010", "full date"),
            ("the 15th of March 2010", "full date"),
            ("Monday, March 15, 2010", "full date"),
            ("3/15/10", "full date"),
            ("15-Mar-10", "full date"),
            ("20100315T101500", "full date"),
            ("+44 20 7946 0958", "phone number"),
            ("4111 1111 1111 1111", "payment card"),
            ("1M8GDM9AXKP042788", "vehicle"),
            ("00:1B:44:11:3A:B7", "machine address"),
            ("2001:db8::8a2e:370:7334", "machine address"),
            ("SSN 123456789", "social security number"),
            ("MRN 0041789", "labelled number"),
        ] {
            assert_eq!(shape(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn codes_and_numbers_pass() {
        for text in [
            "2054-5",
            "8480-6",
            "LA6576-8",
            "K50.90",
            "K50.90-01",
            "849727",
            "6175550100",
            "34000006",
            "20100315",
            "12345678901234567",
            "http://loinc.org",
            "http://hl7.org/fhir/sid/icd-10-cm",
            "http://www.nlm.nih.gov/research/umls/rxnorm",
            "urn:oid:2.16.840.1.113883.6.238",
            "2.16.840.1.113883.6.238",
            "urn:oid:1.2.3.4",
            "0002-8215-01",
            "57894-030-01",
            "12345-6789-01",
            "70.12345678901234",
            "-1.5e-3",
            "1.2.3",
            "256.1.1.1",
            "170277-31-3",
            "2000-1-2",
            "mg/dL",
            "10*3/uL",
            "{score}",
            "2010",
            "2010-03",
            "A1/a",
            "E1-L3-B2p",
            "031510",
            "dob031510",
            "1/1000",
            "5-FU-10",
            "A*02:01:01",
            "99213-25",
            "0169-2231-1",
            "NDC 0002-8215-01",
            "LP7839-6",
            "a@b",
            "@",
            "",
        ] {
            assert_eq!(shape(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_looked_for_only_where_asked() {
        let text = "2010-03-15";
        assert_eq!(identifier_in(text, &Words::of(text), false), None);
    }
}
