//! One line of a table's `columns`: `name  type[!]  [-> table]  what it holds`.

use std::collections::BTreeMap;

use toml::Spanned;

use super::TableText;

/// What a line may refer to.
pub(super) struct Words<'w> {
    pub patterns: &'w BTreeMap<String, Spanned<String>>,
    pub sets: &'w BTreeMap<String, Spanned<String>>,
    pub tables: &'w BTreeMap<String, Spanned<TableText>>,
}

/// One column, as the schema will say it.
pub(super) struct Column {
    pub name: String,
    pub required: bool,
    pub references: Option<String>,
    pub about: String,
    /// JSON Schema keywords in order, but for `description` and `x-references`.
    pub keywords: Vec<(&'static str, serde_json::Value)>,
    /// Each code of a value set and its meaning, where the set says one.
    pub meanings: Vec<(String, String)>,
}

const TYPES: &str =
    "boolean, integer, decimal, text, text(N), date, partial-date, datetime, time, id, key, set(NAME), like(NAME), like(NAME,LENGTH)";

/// Dates and times by their form; a month's length is checked where rows are.
const PARTIAL_DATE: &str = "^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$";
const DATE: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";
const DATETIME: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$";
const TIME: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
const KEY: &str = "^[A-Za-z0-9][A-Za-z0-9._:/#-]*$";

/// # Errors: what is wrong with the line.
pub(super) fn read(line: &str, words: &Words<'_>) -> Result<Column, String> {
    let (name, rest) = word(line);
    let named =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !named {
        return Err(format!(
            "`{name}` is no column's name: letters, digits and `_`, beginning with a letter"
        ));
    }
    let (mut kind, rest) = word(rest);
    let required = kind.ends_with('!');
    kind = kind.trim_end_matches('!');
    let (arrow, behind) = word(rest);
    let (references, about) = if arrow == "->" {
        let (table, about) = word(behind);
        if !words.tables.contains_key(table) {
            return Err(format!(
                "column `{name}` refers to the table `{table}`, which the model does not have"
            ));
        }
        (Some(table.to_owned()), about)
    } else {
        (None, rest)
    };
    let mut column = Column {
        name: name.to_owned(),
        required,
        references,
        about: about.trim().to_owned(),
        keywords: Vec::new(),
        meanings: Vec::new(),
    };
    column.typed(kind, words).map_err(|message| format!("column `{name}`: {message}"))?;
    Ok(column)
}

/// The first word and what comes behind it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

fn length_of(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no length"))
}

impl Column {
    fn typed(&mut self, kind: &str, words: &Words<'_>) -> Result<(), String> {
        let (stem, argument) = match kind.split_once(['(', '[']) {
            Some((stem, rest)) => (stem, Some(rest.trim_end_matches([')', ']']))),
            None => (kind, None),
        };
        match (stem, argument) {
            ("boolean", None) => self.say("type", "boolean"),
            ("integer", range) => self.number("integer", range)?,
            ("decimal", range) => self.number("number", range)?,
            ("id", None) => {
                self.say("type", "integer");
                self.say("minimum", 1);
            }
            ("key", None) => self.text(1, Some(200), Some(KEY)),
            ("text", None) => self.text(0, None, None),
            ("text", Some(length)) => {
                let length = length_of(length)?;
                self.text(0, Some(length), None);
            }
            ("date", None) => self.dated("date", DATE, 10, 10),
            ("partial-date", None) => self.dated("x-partial-date", PARTIAL_DATE, 4, 10),
            ("datetime", None) => self.dated("x-datetime", DATETIME, 19, 19),
            ("time", None) => self.dated("x-time", TIME, 5, 5),
            ("set", Some(name)) => {
                let set = words.sets.get(name).ok_or_else(|| format!("there is no `{name}` under `[sets]`"))?;
                self.say("type", "string");
                for entry in set.get_ref().split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
                    let (code, meaning) = word(entry);
                    self.meanings.push((code.to_owned(), meaning.trim().to_owned()));
                }
                let codes: Vec<_> = self.meanings.iter().map(|(code, _)| code.clone()).collect();
                self.say("enum", codes);
            }
            ("like", Some(argument)) => {
                let (name, longest) = match argument.split_once(',') {
                    Some((name, length)) => (name, Some(length_of(length)?)),
                    None => (argument, None),
                };
                let pattern = words.patterns.get(name);
                let pattern = pattern.ok_or_else(|| format!("there is no `{name}` under `[patterns]`"))?;
                self.text(1, longest, Some(pattern.get_ref()));
            }
            _ => return Err(format!("`{kind}` is no type; types are: {TYPES}")),
        }
        Ok(())
    }

    fn say(&mut self, word: &'static str, value: impl Into<serde_json::Value>) {
        self.keywords.push((word, value.into()));
    }

    /// `integer[1..9]`, `decimal[0..]`: a bound that is left out does not bind.
    fn number(&mut self, kind: &str, range: Option<&str>) -> Result<(), String> {
        self.say("type", kind);
        let Some(range) = range else { return Ok(()) };
        let no_range = || format!("`{range}` is no range: `0..9`, `0..` or `..9`");
        let (low, high) = range.split_once("..").ok_or_else(no_range)?;
        for (word, bound) in [("minimum", low), ("maximum", high)] {
            if !bound.is_empty() {
                let number: serde_json::Number = bound.parse().map_err(|_| no_range())?;
                self.say(word, number);
            }
        }
        Ok(())
    }

    fn text(&mut self, shortest: u64, longest: Option<u64>, pattern: Option<&str>) {
        self.say("type", "string");
        if shortest > 0 {
            self.say("minLength", shortest);
        }
        if let Some(longest) = longest {
            self.say("maxLength", longest);
        }
        if let Some(pattern) = pattern {
            self.say("pattern", pattern);
        }
    }

    fn dated(&mut self, format: &'static str, pattern: &str, shortest: u64, longest: u64) {
        self.say("type", "string");
        self.say("format", format);
        self.say("minLength", shortest);
        self.say("maxLength", longest);
        self.say("pattern", pattern);
    }
}
