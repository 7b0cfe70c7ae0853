//! CodeSystems whose codes a grammar makes, or a short closed list of a standard: units (UCUM), languages (BCP 47), media types
//! (BCP 13), URIs (RFC 3986), countries (ISO 3166-1), currencies (ISO 4217), states of the USA (USPS). Of SNOMED CT, LOINC,
//! ISO 3166-2 (parts of countries) and UN M49 (regions) only what no code of theirs can be: a wrong shape or check digit.

use super::filter::{Filter, Operator};
use super::known;
use super::membership::Membership;
use crate::fhir::ucum::Unit;

const UCUM: &str = "http://unitsofmeasure.org";
const LANGUAGES: &str = "urn:ietf:bcp:47";
const MEDIA_TYPES: &str = "urn:ietf:bcp:13";
const URIS: &str = "urn:ietf:rfc:3986";
const COUNTRIES: &str = "urn:iso:std:iso:3166";
const CURRENCIES: &str = "urn:iso:std:iso:4217";
const STATES: &str = "https://www.usps.com/";
const SNOMED: &str = "http://snomed.info/sct";
const LOINC: &str = "http://loinc.org";
const PARTS_OF_COUNTRIES: &str = "urn:iso:std:iso:3166:-2";
const REGIONS: &str = "http://unstats.un.org/unsd/methods/m49/m49.htm";

/// How much we know of a CodeSystem that is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// Nearly every code is decided.
    Whole,
    /// What is no code of it, at most.
    Little,
}

pub(super) fn knowledge(system: &str) -> Knowledge {
    match system {
        UCUM | LANGUAGES | MEDIA_TYPES | URIS | COUNTRIES | CURRENCIES | STATES => Knowledge::Whole,
        _ => Knowledge::Little,
    }
}

/// Whether the system has the code.
pub(super) fn code(system: &str, code: &str) -> Membership {
    match system {
        UCUM => unit(code),
        LANGUAGES => Tag::parse(code).map_or(Membership::Out, |tag| tag.is_known()),
        MEDIA_TYPES => is_media_type(code).into(),
        URIS => is_uri(code).into(),
        COUNTRIES => known::is_country(code).into(),
        CURRENCIES => known::is_currency(code).into(),
        STATES => known::is_state(code).into(),
        SNOMED => unless(is_snomed(code)),
        LOINC => unless(is_loinc(code)),
        PARTS_OF_COUNTRIES => unless(is_part_of_country(code)),
        REGIONS => unless(code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit())),
        _ => Membership::Unknown,
    }
}

/// `filter` can be asked of codes of this system.
pub(super) fn can_filter(system: &str, filter: &Filter) -> bool {
    match (system, filter.property.as_str(), &filter.operator) {
        (UCUM, "canonical", Operator::Equal) => Unit::parse(&filter.value).is_some(),
        (LANGUAGES, name, Operator::Exists) => Tag::default().part(name).is_some(),
        (_, "code", Operator::Matches(_)) => knowledge(system) == Knowledge::Whole,
        _ => false,
    }
}

/// Whether `filter` lets a code of `system` through.
pub(super) fn filter(system: &str, filter: &Filter, code: &str) -> Membership {
    match (system, filter.property.as_str(), &filter.operator) {
        (UCUM, "canonical", Operator::Equal) => match (Unit::parse(&filter.value), Unit::parse(code)) {
            (Some(wanted), Some(unit)) => wanted.is_like(&unit).into(),
            _ => Membership::Unknown,
        },
        (LANGUAGES, name, Operator::Exists) => match Tag::parse(code).map(|tag| tag.part(name)) {
            Some(Some(is_there)) => (is_there == (filter.value == "true")).into(),
            Some(None) => Membership::Unknown,
            None => Membership::Out,
        },
        (_, "code", Operator::Matches(regex)) => regex.is_match(code).into(),
        _ => Membership::Unknown,
    }
}

/// Not a code, or nobody here knows.
fn unless(can_be: bool) -> Membership {
    if can_be { Membership::Unknown } else { Membership::Out }
}

/// Our table of units is not the whole of UCUM: what it does not know may still be one, if it is written like one.
fn unit(code: &str) -> Membership {
    if Unit::parse(code).is_some() {
        return Membership::In;
    }
    let is_written_so = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_graphic());
    unless(is_written_so && is_balanced(code))
}

fn is_balanced(code: &str) -> bool {
    let mut open = Vec::new();
    for character in code.chars() {
        match character {
            '(' | '[' | '{' => open.push(character),
            ')' if open.pop() != Some('(') => return false,
            ']' if open.pop() != Some('[') => return false,
            '}' if open.pop() != Some('{') => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// The parts of a language tag. RFC 5646, section 2.1.
#[derive(Debug, Default)]
struct Tag<'c> {
    language: &'c str,
    has_extlang: bool,
    has_script: bool,
    region: Option<&'c str>,
    has_variant: bool,
    has_extension: bool,
    has_private: bool,
}

impl<'c> Tag<'c> {
    fn parse(code: &'c str) -> Option<Self> {
        let is_letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_plain = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !code.split('-').all(is_plain) {
            return None;
        }
        let mut parts = code.split('-').peekable();
        let mut tag = Self::default();
        let first = parts.next()?;
        if first.eq_ignore_ascii_case("x") || first.eq_ignore_ascii_case("i") {
            tag.language = first;
            tag.has_private = true;
            return parts.next().map(|_| tag);
        }
        if first.len() < 2 || !is_letters(first) {
            return None;
        }
        tag.language = first;
        let mut extlangs = 0;
        while extlangs < 3 && first.len() < 4 && parts.next_if(|part| part.len() == 3 && is_letters(part)).is_some() {
            extlangs += 1;
            tag.has_extlang = true;
        }
        tag.has_script = parts.next_if(|part| part.len() == 4 && is_letters(part)).is_some();
        tag.region =
            parts.next_if(|part| (part.len() == 2 && is_letters(part)) || (part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit())));
        let is_variant = |part: &&str| part.len() >= 5 || (part.len() == 4 && part.as_bytes()[0].is_ascii_digit());
        while parts.next_if(is_variant).is_some() {
            tag.has_variant = true;
        }
        while let Some(single) = parts.next() {
            if single.len() != 1 {
                return None;
            }
            if single.eq_ignore_ascii_case("x") {
                tag.has_private = true;
                return parts.next().map(|_| tag);
            }
            parts.next_if(|part| part.len() >= 2)?;
            while parts.next_if(|part| part.len() >= 2).is_some() {}
            tag.has_extension = true;
        }
        Some(tag)
    }

    /// Languages of two letters and regions of two are all known; the longer ones are not.
    fn is_known(&self) -> Membership {
        let region = self.region.filter(|region| region.len() == 2);
        if region.is_some_and(|region| !known::is_country(&region.to_ascii_uppercase())) {
            return Membership::Out;
        }
        match self.language.len() {
            2 => known::is_language(&self.language.to_ascii_lowercase()).into(),
            _ => Membership::In,
        }
    }

    fn part(&self, name: &str) -> Option<bool> {
        Some(match name {
            "language" => !self.has_private || self.language.len() > 1,
            "ext-lang" => self.has_extlang,
            "script" => self.has_script,
            "region" => self.region.is_some(),
            "variant" => self.has_variant,
            "extension" => self.has_extension,
            "private-use" => self.has_private,
            _ => return None,
        })
    }
}

/// `type/subtype`, with parameters or without. RFC 6838, section 4.2; RFC 2045, section 5.1.
fn is_media_type(code: &str) -> bool {
    let (name, parameters) = code.split_once(';').unwrap_or((code, ""));
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*'`|~%".contains(&byte))
    };
    let parameters_fit = code.find(';').is_none_or(|_| {
        parameters.split(';').all(|parameter| match parameter.trim().split_once('=') {
            Some((name, value)) => is_token(name.trim()) && (is_token(value.trim()) || is_quoted(value.trim())),
            None => parameter.trim().is_empty(),
        })
    });
    name.trim_end()
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && parameters_fit
}

fn is_quoted(text: &str) -> bool {
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"')
}

/// A scheme and no white space.
fn is_uri(code: &str) -> bool {
    let scheme = code.split_once(':').map(|(scheme, _)| scheme);
    let fits = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    scheme.is_some_and(fits) && !code.contains(char::is_whitespace)
}

/// A concept id of SNOMED CT (6 to 18 digits, a partition, Verhoeff's check digit), or an expression, which we do not read.
fn is_snomed(code: &str) -> bool {
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return code.contains([':', '+', '|', '=']) && code.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | '=' | '<'));
    }
    let digits = code.as_bytes();
    (6..=18).contains(&digits.len())
        && digits[0] != b'0'
        && matches!(&digits[digits.len() - 3..digits.len() - 1], b"00" | b"10")
        && verhoeff(digits)
}

/// The last digit is the check digit of those before it.
fn verhoeff(digits: &[u8]) -> bool {
    // A step of the dihedral group of ten, and the permutation of each place.
    let product = |a: usize, b: usize| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    const STEP: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut check = 0;
    for (place, digit) in digits.iter().rev().enumerate() {
        let mut digit = usize::from(digit - b'0');
        for _ in 0..place % 8 {
            digit = STEP[digit];
        }
        check = product(check, digit);
    }
    check == 0
}

/// `US-MA`: a country of two letters and up to three letters or digits.
fn is_part_of_country(code: &str) -> bool {
    let is_part = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    code.split_once('-')
        .is_some_and(|(country, part)| country.len() == 2 && known::is_country(country) && is_part(part))
}

/// A term (`2339-0`) with its check digit (Luhn's); a part (`LP43571-6`), an answer or a list of LOINC, whose digit is another.
fn is_loinc(code: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let split = |text: &str| match text.split_once('-') {
        Some((number, check)) if is_digits(number) && number.len() <= 8 && is_digits(check) && check.len() == 1 => {
            Some((number.to_owned(), check.as_bytes()[0] - b'0'))
        }
        _ => None,
    };
    if code.strip_prefix("MTHU").is_some_and(is_digits) {
        return true;
    }
    match ["LP", "LA", "LL", "LG"].iter().find_map(|prefix| code.strip_prefix(prefix)) {
        Some(rest) => split(rest).is_some(),
        None => split(code).is_some_and(|(number, check)| luhn(&number) == check),
    }
}

fn luhn(number: &str) -> u8 {
    let mut sum = 0u32;
    for (place, digit) in number.bytes().rev().enumerate() {
        let digit = u32::from(digit - b'0');
        let weighed = if place % 2 == 0 { digit * 2 } else { digit };
        sum += weighed / 10 + weighed % 10;
    }
    ((10 - sum % 10) % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::Membership::{In, Out, Unknown};
    use super::*;

    #[test]
    fn codes_of_a_grammar_are_decided_by_it() {
        for (system, text, expected) in [
            (UCUM, "mg/dL", In),
            (UCUM, "10*3/uL", In),
            (UCUM, "{beats}/min", In),
            (UCUM, "mm Hg", Out),
            (UCUM, "mg/(dL", Out),
            // A unit of UCUM that our table does not have.
            (UCUM, "[bu_us]", Unknown),
            (LANGUAGES, "en", In),
            (LANGUAGES, "en-US", In),
            (LANGUAGES, "zh-Hant-TW", In),
            (LANGUAGES, "de-CH-1996", In),
            (LANGUAGES, "x-private", In),
            (LANGUAGES, "sl-rozaj-u-co-standard", In),
            (LANGUAGES, "e", Out),
            (LANGUAGES, "en_US", Out),
            (LANGUAGES, "en-", Out),
            (LANGUAGES, "qq", Out),
            (LANGUAGES, "en-QQ", Out),
            (LANGUAGES, "en-a", Out),
            (MEDIA_TYPES, "text/plain; charset=UTF-8", In),
            (MEDIA_TYPES, "application/fhir+json", In),
            (MEDIA_TYPES, "text", Out),
            (MEDIA_TYPES, "text/", Out),
            (MEDIA_TYPES, "text/plain; charset", Out),
            (URIS, "urn:oid:1.2", In),
            (URIS, "no uri", Out),
            (COUNTRIES, "DE", In),
            (COUNTRIES, "DEU", In),
            (COUNTRIES, "DX", Out),
            (CURRENCIES, "USD", In),
            (CURRENCIES, "usd", Out),
            (STATES, "MA", In),
            (STATES, "ZZ", Out),
            (PARTS_OF_COUNTRIES, "US-MA", Unknown),
            (PARTS_OF_COUNTRIES, "QQ-MA", Out),
            (PARTS_OF_COUNTRIES, "US", Out),
            (REGIONS, "150", Unknown),
            (REGIONS, "EU", Out),
            ("http://elsewhere", "x", Unknown),
        ] {
            assert_eq!(code(system, text), expected, "{system} {text}");
        }
    }

    #[test]
    fn a_wrong_check_digit_is_no_code_and_a_right_one_may_be() {
        for text in [
            "22298006",
            "73211009",
            "404684003",
            "900000000000207008",
            "22298006 | heart |",
            "447562003",
        ] {
            assert_eq!(code(SNOMED, text), Unknown, "{text}");
        }
        for text in ["22298007", "12345", "abc", "", "022298006"] {
            assert_eq!(code(SNOMED, text), Out, "{text}");
        }
        for text in ["2339-0", "85354-9", "LP43571-6", "LA6576-8", "8480-6", "59576-9", "82810-3"] {
            assert_eq!(code(LOINC, text), Unknown, "{text}");
        }
        for text in ["2339-1", "85354", "XX1-2", "", "8480-66"] {
            assert_eq!(code(LOINC, text), Out, "{text}");
        }
    }
}
