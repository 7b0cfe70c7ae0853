//! Reads one key of `site.toml` at a time and notes what is wrong with it, with the key's path. Knows no setting by name,
//! but those that people look for to switch the verification of certificates off: there is none, and they are told what to do.

use toml::{Table, Value};

use crate::platform::http::Url;

const VERIFIED: &str = "there is no such switch: certificates are always verified. Trust the hospital's own certificate authority instead: \
                        `ca_file = \"/path/ca.pem\"` in the section [http]";

/// Whether whoever wrote this key wants certificates to go unchecked.
fn switches_verification(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "insecure",
        "verif",
        "invalid_cert",
        "self_signed",
        "skip_tls",
        "trust_all",
        "no_check",
    ]
    .iter()
    .any(|word| key.contains(word))
}

/// A section of the file and the path of its keys, which ends with a dot.
pub(super) struct Section<'a> {
    pub(super) path: String,
    pub(super) table: &'a Table,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(table: &'a Table) -> Self {
        Self {
            path: String::new(),
            table,
        }
    }

    fn empty(parent: &Section<'a>, key: &str) -> Self {
        static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
        Self {
            path: format!("{}{key}.", parent.path),
            table: &EMPTY,
        }
    }
}

/// Collects what is wrong while it reads.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<String>,
}

impl Reader {
    /// Notes what is wrong with `key`.
    pub(super) fn fault(&mut self, section: &Section<'_>, key: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{}{key}: {what}", section.path));
    }

    /// The section `key`, which must be there.
    pub(super) fn section<'a>(&mut self, parent: &Section<'a>, key: &str) -> Section<'a> {
        if !parent.table.contains_key(key) {
            self.fault(parent, key, format!("is missing; add a [{}{key}] section", parent.path));
        }
        self.optional_section(parent, key).unwrap_or_else(|| Section::empty(parent, key))
    }

    /// The section `key`, if it is there.
    pub(super) fn optional_section<'a>(&mut self, parent: &Section<'a>, key: &str) -> Option<Section<'a>> {
        match parent.table.get(key)? {
            Value::Table(table) => Some(Section {
                path: format!("{}{key}.", parent.path),
                table,
            }),
            _ => {
                self.fault(parent, key, "must be a section");
                Some(Section::empty(parent, key))
            }
        }
    }

    /// Reports what stands in `section` and is no setting.
    pub(super) fn only(&mut self, section: &Section<'_>, known: &[&str]) {
        // A section that is missing was reported already.
        for key in section.table.keys().filter(|key| !known.contains(&key.as_str())) {
            if switches_verification(key) {
                self.fault(section, key, VERIFIED);
            } else if matches!(key.as_str(), "ca_file" | "proxy" | "proxy_file") {
                self.fault(
                    section,
                    key,
                    "stands in the section [http]; it is for the EHR and the registry alike",
                );
            } else {
                self.fault(section, key, format!("is not a setting; known here: {}", known.join(", ")));
            }
        }
    }

    /// A text, if one is given.
    pub(super) fn optional_text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        match section.table.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => {
                self.fault(section, key, "must be a text that is not empty");
                None
            }
        }
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, section: &Section<'_>, key: &str) -> String {
        if !section.table.contains_key(key) {
            self.fault(section, key, "is missing");
        }
        self.optional_text(section, key).unwrap_or_default()
    }

    /// An address that must be there. A bad one is reported, and another stands in its place.
    pub(super) fn url(&mut self, section: &Section<'_>, key: &str) -> Url {
        let text = self.text(section, key);
        self.address(section, key, &text)
    }

    /// The same, as it is written.
    pub(super) fn url_text(&mut self, section: &Section<'_>, key: &str) -> String {
        self.url(section, key);
        section.table.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// An address, if one is given.
    pub(super) fn optional_url(&mut self, section: &Section<'_>, key: &str) -> Option<Url> {
        let text = self.optional_text(section, key)?;
        Some(self.address(section, key, &text))
    }

    fn address(&mut self, section: &Section<'_>, key: &str, text: &str) -> Url {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        if url.is_none() && !text.is_empty() {
            self.fault(section, key, "must be an absolute https address");
        }
        url.unwrap_or_else(|| Url::parse("https://unknown.invalid/").expect("this address is one"))
    }

    /// Yes or no.
    pub(super) fn switch(&mut self, section: &Section<'_>, key: &str, default: bool) -> bool {
        match section.table.get(key) {
            None => default,
            Some(Value::Boolean(switch)) => *switch,
            Some(_) => {
                self.fault(section, key, "must be true or false");
                default
            }
        }
    }

    /// One of several words, if one is given.
    pub(super) fn optional_one_of(&mut self, section: &Section<'_>, key: &str, known: &[&str]) -> Option<String> {
        section.table.contains_key(key).then(|| self.one_of(section, key, known))
    }

    /// One of several words, which must be there.
    pub(super) fn one_of(&mut self, section: &Section<'_>, key: &str, known: &[&str]) -> String {
        let text = self.text(section, key);
        if !text.is_empty() && !known.contains(&text.as_str()) {
            self.fault(section, key, format!("must be one of: {}", known.join(", ")));
        }
        text
    }

    /// A whole number within `range`.
    pub(super) fn number(&mut self, section: &Section<'_>, key: &str, range: std::ops::RangeInclusive<usize>, default: usize) -> usize {
        match section.table.get(key) {
            None => default,
            Some(Value::Integer(number)) if usize::try_from(*number).is_ok_and(|number| range.contains(&number)) => {
                usize::try_from(*number).unwrap_or(default)
            }
            Some(_) => {
                self.fault(
                    section,
                    key,
                    format!("must be a whole number from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    /// A list of texts, if one is given.
    pub(super) fn list(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<String>> {
        let value = section.table.get(key)?;
        let list: Option<Vec<String>> = value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        match list {
            Some(list) if !list.is_empty() => Some(list),
            // An empty allow-list allows nothing; it is never read as "everything".
            _ => {
                self.fault(section, key, "must be a list of texts that is not empty");
                None
            }
        }
    }
}
