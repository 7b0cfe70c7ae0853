//! Dates in a `strptime` format, as Python reads them: what a schema's date feature is held against. What is compared are the
//! digits of year, month and day. A FHIR date is written in the format before it is read by it.

use std::fmt::Write;

use regex::{Captures, Regex, RegexBuilder};

use crate::deidentify::date::MONTHS;
use jiff::civil::Date;

/// A format, ready to read.
#[derive(Clone, Debug)]
pub struct DateFormat {
    source: String,
    regex: Regex,
}

impl DateFormat {
    /// # Errors: what of the format is not read here.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let mut regex = String::from(r"\A");
        let mut seen = String::new();
        let mut letters = source.chars();
        while let Some(letter) = letters.next() {
            if letter.is_whitespace() {
                if !regex.ends_with(r"\s+") {
                    regex.push_str(r"\s+");
                }
                continue;
            }
            if letter != '%' {
                regex.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
                continue;
            }
            let directive = letters.next().ok_or("ends with a lone %")?;
            if directive != '%' && seen.contains(directive) {
                return Err(format!("has %{directive} twice"));
            }
            seen.push(directive);
            regex.push_str(
                pattern(directive).ok_or_else(|| format!("%{directive} is not read here; %Y %y %m %d %b %B %j %H %M %S %f %% are"))?,
            );
        }
        let whole = seen.contains('d') && (seen.contains('m') || seen.contains('b') || seen.contains('B')) || seen.contains('j');
        if !whole || !(seen.contains('Y') || seen.contains('y')) {
            return Err("names no whole date: year, month and day".to_owned());
        }
        let regex = RegexBuilder::new(&regex)
            .case_insensitive(true)
            .size_limit(1 << 20)
            .build()
            .map_err(|_| "cannot be read".to_owned())?;
        Ok(Self {
            source: source.to_owned(),
            regex,
        })
    }

    /// Year, month and day without anything between; `None` if the text is no such date.
    pub(super) fn digits(&self, text: &str) -> Option<String> {
        // Python reads from the left as far as it goes, and then wants nothing left over.
        let found = self
            .regex
            .captures(text)
            .filter(|found| found.get(0).is_some_and(|all| all.end() == text.len()))?;
        let date = date(&found)?;
        Some(format!("{}{:02}{:02}", date.year(), date.month(), date.day()))
    }

    /// The date in this format.
    pub(super) fn write(&self, date: Date) -> String {
        let mut out = String::new();
        let mut letters = self.source.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let name = MONTHS[usize::from(date.month().unsigned_abs()).saturating_sub(1) % 12];
            let _ = match letters.next() {
                Some('Y') => write!(out, "{:04}", date.year()),
                Some('y') => write!(out, "{:02}", date.year() % 100),
                Some('m') => write!(out, "{:02}", date.month()),
                Some('d') => write!(out, "{:02}", date.day()),
                Some('j') => write!(out, "{:03}", date.day_of_year()),
                Some('B') => write!(out, "{name}"),
                Some('b') => write!(out, "{}", &name[..3]),
                Some('f') => write!(out, "000000"),
                Some('H' | 'M' | 'S') => write!(out, "00"),
                _ => write!(out, "%"),
            };
        }
        out
    }
}

fn pattern(directive: char) -> Option<&'static str> {
    Some(match directive {
        'Y' => r"(?P<Y>[0-9]{4})",
        'y' => r"(?P<y>[0-9]{2})",
        'm' => r"(?P<m>1[0-2]|0[1-9]|[1-9])",
        'd' => r"(?P<d>3[01]|[12][0-9]|0[1-9]|[1-9]| [1-9])",
        'j' => r"(?P<j>36[0-6]|3[0-5][0-9]|[12][0-9]{2}|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9])",
        'b' => r"(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
        'B' => r"(?P<B>january|february|march|april|may|june|july|august|september|october|november|december)",
        'H' => r"(?P<H>2[0-3]|[01][0-9]|[0-9])",
        'M' => r"(?P<M>[0-5][0-9]|[0-9])",
        'S' => r"(?P<S>6[01]|[0-5][0-9]|[0-9])",
        'f' => r"(?P<f>[0-9]{1,6})",
        '%' => "%",
        _ => return None,
    })
}

fn date(found: &Captures<'_>) -> Option<Date> {
    let number = |name: &str| found.name(name).and_then(|text| text.as_str().trim().parse::<i16>().ok());
    // POSIX: 69 to 99 are of the twentieth century.
    let short = number("y").map(|year| if year < 69 { 2000 + year } else { 1900 + year });
    let year = number("Y").or(short)?;
    let month = |name: &str| {
        let text = found.name(name)?.as_str().to_lowercase();
        let at = MONTHS.iter().position(|month| month.starts_with(&text))?;
        i16::try_from(at + 1).ok()
    };
    let month = number("m").or_else(|| month("b")).or_else(|| month("B"));
    match (month, number("d"), number("j")) {
        (Some(month), Some(day), _) => Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok(),
        (_, _, Some(day)) => Date::new(year, 1, 1).ok()?.with().day_of_year(day).build().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_python_reads_it_and_only_its_digits_stay() {
        for (format, text, expected) in [
            ("%Y-%m-%d", "2010-03-14", Some("20100314")),
            ("%Y-%m-%d", "2010-3-4", Some("20100304")),
            ("%Y-%m-%d", "2010-02-30", None),
            ("%Y-%m-%d", "2010-03-14 ", None),
            ("%Y-%m-%d", "10-03-14", None),
            ("%Y%m%d", "20100314", Some("20100314")),
            ("%d/%m/%y", "14/03/69", Some("19690314")),
            ("%d/%m/%y", "14/03/68", Some("20680314")),
            ("%d %b %Y", "14  MAR 2010", Some("20100314")),
            ("%B %d, %Y", "March 14, 2010", Some("20100314")),
            ("%Y%j", "2010073", Some("20100314")),
            ("%Y-%m-%d %H:%M", "2010-03-14 23:59", Some("20100314")),
        ] {
            assert_eq!(
                DateFormat::new(format).unwrap().digits(text).as_deref(),
                expected,
                "{format} {text}"
            );
        }
    }

    #[test]
    fn what_is_written_in_a_format_is_read_by_it() {
        let date = Date::new(2010, 3, 4).unwrap();
        for format in [
            "%Y-%m-%d",
            "%Y%m%d",
            "%d/%m/%Y",
            "%d %b %Y",
            "%B %d, %Y",
            "%Y%j",
            "%y%m%d",
            "%Y.%m.%d %H:%M:%S.%f",
        ] {
            let format = DateFormat::new(format).unwrap();
            assert_eq!(format.digits(&format.write(date)).as_deref(), Some("20100304"), "{format:?}");
        }
    }

    #[test]
    fn a_format_that_is_not_read_here_is_refused_when_the_schema_is() {
        for format in ["%Y", "%Y-%m", "%m-%d", "%Y-%m-%d %Z", "%Y-%m-%d%", "%Y-%Y-%m-%d", "", "%G-%V-%u"] {
            assert!(DateFormat::new(format).is_err(), "{format}");
        }
    }
}
