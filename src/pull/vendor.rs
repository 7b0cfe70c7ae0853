//! What a vendor's EHR does otherwise than the standards say, as data: one TOML file per vendor in `profiles/vendors/`.
//! Each quirk stands in a section of its own with its `value` and its `source`: where it was seen, or who wrote it.
//! A quirk that is not in the file has the standard's value. Knows no server; `bulk` and `crawl` ask.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// What is wrong with a vendor's file, one line each.
#[derive(Debug, thiserror::Error)]
#[error("vendor profile `{file}` has {} fault(s):\n{}", faults.len(), faults.join("\n"))]
pub struct VendorFault {
    pub file: String,
    pub faults: Vec<String>,
}

/// How a kick-off is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KickOff {
    /// GET, and POST where the server does not take GET (and the other way round).
    #[default]
    Either,
    Get,
    Post,
}

/// Which way is tried first where both are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preferred {
    #[default]
    Bulk,
    Search,
}

/// One vendor's quirks. `Default` is the plain reading of the standards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a quirk with a name, read from a file")]
pub struct Vendor {
    /// The name of its file.
    pub name: String,
    /// The name people know it by.
    pub title: String,
    /// `preferred`: which way is tried first where both are there.
    pub preferred: Preferred,
    /// `kick_off`: the method of the kick-off.
    pub kick_off: KickOff,
    /// `export_levels`: the levels at which it exports: `system`, `patient`, `group`.
    pub export_levels: Vec<String>,
    /// `export_since`: `_since` is understood.
    pub export_since: bool,
    /// `repeated_type`: `_type` is repeated instead of written as one list.
    pub repeated_type: bool,
    /// `type_filters_per_type`: `_typeFilter`s of one type, at most.
    pub type_filters_per_type: usize,
    /// `no_type_filter`: types that take none.
    pub no_type_filter: Vec<String>,
    /// `export_elements`: `_elements` is understood.
    pub export_elements: bool,
    /// `export_patient`: `patient` is understood.
    pub export_patient: bool,
    /// `not_exported`: types that never come by bulk.
    pub not_exported: Vec<String>,
    /// `with_clinical_only`: types that come only together with a clinical type.
    pub with_clinical_only: Vec<String>,
    /// `one_job`: a second kick-off is refused while a job of this client is there; an own old one is deleted first.
    pub one_job: bool,
    /// `lenient`: the kick-off says `Prefer: handling=lenient`.
    pub lenient: bool,
    /// `duplicate_is_refused`: the same `_since` and `_type` a second time is answered 409.
    pub duplicate_is_refused: bool,
    /// `search_last_updated`: `_lastUpdated` is understood in searches.
    pub search_last_updated: bool,
    /// `search_parameters`: what a search of a type needs besides the patient, by type.
    pub search_parameters: BTreeMap<String, String>,
    /// `by_reference`: types that cannot be searched by patient alone, and are read where others refer to them.
    pub by_reference: Vec<String>,
    /// `page_size`: `_count` of a search.
    pub page_size: u32,
    /// `client_id_header`: a header that names the client.
    pub client_id_header: Option<String>,
    /// `jwks_url`: keys are registered by the address of a JWK Set only.
    pub jwks_url: bool,
    /// `concurrency`: requests at a time that it bears.
    pub concurrency: usize,
    /// `tokens_per_minute`: more token requests than this block the client.
    pub tokens_per_minute: u32,
    /// Where each quirk is from.
    pub sources: BTreeMap<String, String>,
}

impl Default for Vendor {
    fn default() -> Self {
        Self {
            name: "generic".to_owned(),
            title: "any EHR that keeps to the standards".to_owned(),
            preferred: Preferred::Bulk,
            kick_off: KickOff::Either,
            export_levels: ["system", "patient", "group"].map(str::to_owned).to_vec(),
            export_since: true,
            repeated_type: false,
            type_filters_per_type: usize::MAX,
            no_type_filter: Vec::new(),
            export_elements: true,
            export_patient: true,
            not_exported: Vec::new(),
            with_clinical_only: Vec::new(),
            one_job: false,
            lenient: false,
            duplicate_is_refused: false,
            search_last_updated: true,
            search_parameters: BTreeMap::new(),
            by_reference: Vec::new(),
            page_size: 200,
            client_id_header: None,
            jwks_url: false,
            concurrency: usize::MAX,
            tokens_per_minute: u32::MAX,
            sources: BTreeMap::new(),
        }
    }
}

impl Vendor {
    /// The profile in `text`, which stands in the file `<name>.toml`.
    /// # Errors: every fault at once, each with the quirk's name.
    pub fn parse(name: &str, text: &str) -> Result<Self, VendorFault> {
        let mut vendor = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let mut faults = Vec::new();
        match text.parse::<Table>() {
            Ok(table) => {
                for (key, value) in &table {
                    if let Err(fault) = vendor.take(key, value) {
                        faults.push(format!("{key}: {fault}"));
                    }
                }
            }
            Err(error) => faults.push(format!("is not TOML: {}", error.message())),
        }
        if faults.is_empty() {
            Ok(vendor)
        } else {
            Err(VendorFault {
                file: format!("{name}.toml"),
                faults,
            })
        }
    }

    fn take(&mut self, key: &str, section: &Value) -> Result<(), String> {
        if key == "title" {
            self.title = text(section)?;
            return Ok(());
        }
        let section = section.as_table().ok_or("a quirk is a section with `value` and `source`")?;
        if let Some(odd) = section.keys().find(|key| !matches!(key.as_str(), "value" | "source")) {
            return Err(format!("`{odd}` is not known here; a quirk has `value` and `source`"));
        }
        let source = section
            .get("source")
            .and_then(Value::as_str)
            .filter(|source| !source.trim().is_empty());
        let source = source.ok_or("a quirk without `source` is a rumour: say where it was seen, or who wrote it")?;
        self.set(key, section.get("value").ok_or("it has no `value`")?)?;
        self.sources.insert(key.to_owned(), source.to_owned());
        Ok(())
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "preferred" => {
                self.preferred = match text(value)?.as_str() {
                    "bulk" => Preferred::Bulk,
                    "search" => Preferred::Search,
                    _ => return Err("it is `bulk` or `search`".to_owned()),
                }
            }
            "kick_off" => {
                self.kick_off = match text(value)?.as_str() {
                    "either" => KickOff::Either,
                    "get" => KickOff::Get,
                    "post" => KickOff::Post,
                    _ => return Err("it is `either`, `get` or `post`".to_owned()),
                }
            }
            "export_levels" => self.export_levels = texts(value)?,
            "export_since" => self.export_since = switch(value)?,
            "repeated_type" => self.repeated_type = switch(value)?,
            "type_filters_per_type" => self.type_filters_per_type = number(value)?,
            "no_type_filter" => self.no_type_filter = texts(value)?,
            "export_elements" => self.export_elements = switch(value)?,
            "export_patient" => self.export_patient = switch(value)?,
            "not_exported" => self.not_exported = texts(value)?,
            "with_clinical_only" => self.with_clinical_only = texts(value)?,
            "one_job" => self.one_job = switch(value)?,
            "lenient" => self.lenient = switch(value)?,
            "duplicate_is_refused" => self.duplicate_is_refused = switch(value)?,
            "search_last_updated" => self.search_last_updated = switch(value)?,
            "search_parameters" => {
                let table = value.as_table().ok_or("it is a table of type = \"name=value\"")?;
                for (name, parameter) in table {
                    self.search_parameters.insert(name.clone(), text(parameter)?);
                }
            }
            "by_reference" => self.by_reference = texts(value)?,
            "page_size" => self.page_size = number(value)?,
            "client_id_header" => self.client_id_header = Some(text(value)?),
            "jwks_url" => self.jwks_url = switch(value)?,
            "concurrency" => self.concurrency = number(value)?,
            "tokens_per_minute" => self.tokens_per_minute = number(value)?,
            _ => return Err("there is no such quirk".to_owned()),
        }
        Ok(())
    }
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "it is a text".to_owned())
}

fn switch(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "it is true or false".to_owned())
}

fn number<N: TryFrom<i64>>(value: &Value) -> Result<N, String> {
    let positive = value.as_integer().filter(|number| *number > 0);
    positive
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| "it is a whole number above 0".to_owned())
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or("it is a list of texts")?;
    items.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quirk_that_is_not_named_has_the_standards_value() {
        let vendor = Vendor::parse("plain", "title = \"Plain\"").unwrap();
        let expected = Vendor {
            name: "plain".to_owned(),
            title: "Plain".to_owned(),
            ..Vendor::default()
        };
        assert_eq!(vendor, expected);
    }

    #[test]
    fn a_quirk_is_kept_with_its_source() {
        let text = "[one_job]\nvalue = true\nsource = \"seen 2026-03\"\n[search_parameters]\nvalue = { EpisodeOfCare = \"type=x\" }\nsource = \"y\"";
        let vendor = Vendor::parse("v", text).unwrap();
        assert!(vendor.one_job);
        assert_eq!(vendor.search_parameters["EpisodeOfCare"], "type=x");
        assert_eq!(vendor.sources["one_job"], "seen 2026-03");
    }

    #[test]
    fn every_fault_is_named_with_its_quirk() {
        let text = "[one_job]\nvalue = 1\nsource = \"x\"\n[lenient]\nvalue = true\n[colour]\nvalue = 1\nsource = \"x\"\n\
                    [page_size]\nvalue = 0\nsource = \"x\"\n[kick_off]\nvalue = \"put\"\nsource = \"x\"";
        let fault = Vendor::parse("v", text).unwrap_err();
        for key in ["one_job:", "lenient:", "colour:", "page_size:", "kick_off:"] {
            assert!(fault.faults.iter().any(|fault| fault.starts_with(key)), "{key} {fault}");
        }
        assert_eq!(fault.faults.len(), 5);
    }
}
