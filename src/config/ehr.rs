//! The section `[ehr]`: which server or folder, whose data, by which way, how gently. Knows the names of the keys; what they
//! mean is said where they are used, in `pull::EhrSettings` and `pull::Limits`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::hours::{self, FinishBy};
use super::reader::{Reader, Section};
use crate::platform::http::{KnownHost, Network, Url, WebOrigin};
use crate::pull::{Cohort, EhrSettings, ExportOptions, Level, Limits, Method, Vendor};

/// Where the patients' data come from.
#[derive(Clone, Debug)]
pub enum EhrConfig {
    /// A FHIR server.
    Fhir(Box<FhirConfig>),
    Files {
        folder: PathBuf,
    },
}

/// A FHIR server, as the file describes it.
#[derive(Clone, Debug)]
pub struct FhirConfig {
    /// All but types and vendor, which the network package knows.
    plain: EhrSettings,
    /// All but the deadline, which depends on the hour of the run.
    pace: Limits,
    /// `None`: the types the mappings read.
    pub types: Option<Vec<String>>,
    /// Asked for in any case: who may leave hangs on them.
    also: Vec<String>,
    pub vendor: VendorFile,
    pub finish_by: Option<FinishBy>,
    /// Where the addresses of the EHR's own name are expected to lie; empty: anywhere.
    networks: Vec<Network>,
}

/// Where a vendor's profile is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VendorFile {
    /// `profiles/vendors/<name>.toml` of the network package.
    Packaged(String),
    /// A file of the site's own.
    Own(PathBuf),
}

impl EhrConfig {
    /// The same, asking for these types, too, whatever the mappings read.
    pub(super) fn also_asking(mut self, types: &[&str]) -> Self {
        if let EhrConfig::Fhir(ehr) = &mut self {
            ehr.also = types.iter().map(|name| (*name).to_owned()).collect();
        }
        self
    }
}

impl FhirConfig {
    /// What to ask the server for, by its `vendor`'s profile. `mapped` are the types the mappings read.
    pub fn settings(&self, vendor: Vendor, mapped: &[String]) -> EhrSettings {
        let mut types = self.types.clone().unwrap_or_else(|| mapped.to_vec());
        let more: Vec<String> = self.also.iter().filter(|name| !types.contains(name)).cloned().collect();
        types.extend(more);
        EhrSettings {
            types,
            vendor,
            ..self.plain.clone()
        }
    }

    /// How gently to ask in a run that begins `now`: never harder than the `vendor` bears.
    pub fn limits(&self, vendor: &Vendor, now: Timestamp) -> Limits {
        Limits {
            concurrency: self.pace.concurrency.min(vendor.concurrency),
            tokens_per_minute: self.pace.tokens_per_minute.min(vendor.tokens_per_minute),
            deadline: self.finish_by.as_ref().and_then(|hour| hour.next(now)),
            ..self.pace.clone()
        }
    }

    /// Says of the EHR's own host where it is expected.
    pub(super) fn expect(&self, hosts: &mut [KnownHost]) {
        let own = hosts.iter_mut().filter(|host| self.plain.base.host_str() == Some(&host.name));
        own.for_each(|host| host.expected.clone_from(&self.networks));
    }

    /// The addresses the operator named: a name that comes from elsewhere must not lead into a private network.
    pub fn named_addresses(&self) -> Vec<Url> {
        let origins = self
            .plain
            .token_origins
            .iter()
            .filter_map(|origin| Url::parse(&origin.to_string()).ok());
        let addresses = [Some(&self.plain.base), self.plain.token_url.as_ref(), self.plain.jwks_url.as_ref()];
        addresses.into_iter().flatten().cloned().chain(origins).collect()
    }

    /// The address at which the EHR finds our public keys, if we host them.
    pub fn jwks_url(&self) -> Option<&Url> {
        self.plain.jwks_url.as_ref()
    }
}

/// Every key of `[ehr]` for a FHIR server.
const KEYS: [&str; 26] = [
    "kind",
    "base",
    "client_id",
    "method",
    "level",
    "group",
    "cohort",
    "types",
    "ask_unlisted",
    "export",
    "hydrate",
    "attachments",
    "vendor",
    "scope",
    "accept_wider_scope",
    "sign_in",
    "token_url",
    "jwks_url",
    "extra_origins",
    "networks",
    "parallel",
    "tokens_per_minute",
    "quiet",
    "time_zone",
    "finish_by",
    "job_patience_days",
];

pub(super) fn read(reader: &mut Reader, ehr: &Section<'_>, base: &Path) -> EhrConfig {
    let kind = reader.one_of(ehr, "kind", &["fhir", "bulk", "files"]);
    if kind == "files" {
        reader.only(ehr, &["kind", "folder"]);
        return EhrConfig::Files {
            folder: base.join(reader.text(ehr, "folder")),
        };
    }
    reader.only(ehr, &KEYS);
    // `bulk` is the kind's name of old: a FHIR server asked by `$export`.
    let method = match reader
        .optional_one_of(ehr, "method", &["planned", "bulk", "search", "everything"])
        .as_deref()
    {
        Some("bulk") => Method::Bulk,
        Some("search") => Method::Search,
        Some("everything") => Method::Everything,
        None if kind == "bulk" => Method::Bulk,
        _ => Method::Planned,
    };
    let zone = hours::zone(reader, ehr);
    let default = Limits::default();
    let patience = reader.number(ehr, "job_patience_days", 1..=365, 30);
    let plain = EhrSettings {
        method,
        level: level(reader, ehr),
        cohort: cohort(reader, ehr, base),
        ask_unlisted: reader.switch(ehr, "ask_unlisted", false),
        export: export(reader, ehr),
        hydrate: reader.switch(ehr, "hydrate", true),
        attachments: reader.switch(ehr, "attachments", false),
        scope: reader.optional_text(ehr, "scope"),
        accept_wider_scope: reader.switch(ehr, "accept_wider_scope", false),
        signs_in: reader.optional_one_of(ehr, "sign_in", &["smart", "none"]).as_deref() != Some("none"),
        token_url: reader.optional_url(ehr, "token_url"),
        jwks_url: reader.optional_url(ehr, "jwks_url"),
        token_origins: origins(reader, ehr),
        ..EhrSettings::new(reader.url(ehr, "base"), reader.text(ehr, "client_id"))
    };
    EhrConfig::Fhir(Box::new(FhirConfig {
        plain,
        pace: Limits {
            concurrency: reader.number(ehr, "parallel", 1..=32, default.concurrency),
            tokens_per_minute: reader
                .number(ehr, "tokens_per_minute", 1..=1000, 30)
                .try_into()
                .unwrap_or(default.tokens_per_minute),
            quiet: hours::quiet(reader, ehr, &zone),
            job_patience: Duration::from_secs(patience as u64 * 24 * 3600),
            ..default
        },
        types: reader.list(ehr, "types"),
        also: Vec::new(),
        vendor: vendor(reader, ehr, base),
        finish_by: hours::finish_by(reader, ehr, &zone),
        networks: networks(reader, ehr),
    }))
}

/// `level` and `group`: a group without a level is the level.
fn level(reader: &mut Reader, ehr: &Section<'_>) -> Level {
    let group = reader.optional_text(ehr, "group");
    match reader.optional_one_of(ehr, "level", &["group", "patient", "system"]).as_deref() {
        Some("group") if group.is_none() => Level::Group(reader.text(ehr, "group")),
        Some("patient" | "system") if group.is_some() => {
            reader.fault(ehr, "group", "is not used at this level; leave it out, or say level = \"group\"");
            Level::Patient
        }
        Some("system") => Level::System,
        _ => group.map_or(Level::Patient, Level::Group),
    }
}

fn cohort(reader: &mut Reader, ehr: &Section<'_>, base: &Path) -> Cohort {
    let Some(cohort) = reader.optional_section(ehr, "cohort") else {
        return Cohort::Level;
    };
    reader.only(&cohort, &["list", "search", "value_set"]);
    let given = (
        reader.optional_text(&cohort, "list"),
        reader.optional_text(&cohort, "search"),
        reader.optional_text(&cohort, "value_set"),
    );
    match given {
        (Some(file), None, None) => Cohort::Listed(base.join(file)),
        (None, Some(search), None) => Cohort::Found(search),
        (None, None, Some(file)) => Cohort::Diagnosed(base.join(file)),
        _ => {
            let what = "must name one of: list = \"FILE\", search = \"Patient?…\", value_set = \"FILE\"";
            reader.fault(ehr, "cohort", what);
            Cohort::Level
        }
    }
}

fn export(reader: &mut Reader, ehr: &Section<'_>) -> ExportOptions {
    let Some(export) = reader.optional_section(ehr, "export") else {
        return ExportOptions::default();
    };
    reader.only(
        &export,
        &[
            "type_filters",
            "elements",
            "include_associated_data",
            "organize_output_by",
            "allow_partial_manifests",
            "lenient",
            "separate_status",
        ],
    );
    ExportOptions {
        type_filters: reader.list(&export, "type_filters").unwrap_or_default(),
        elements: reader.list(&export, "elements").unwrap_or_default(),
        include_associated_data: reader.list(&export, "include_associated_data").unwrap_or_default(),
        organize_output_by: reader.optional_text(&export, "organize_output_by"),
        allow_partial_manifests: reader.switch(&export, "allow_partial_manifests", false),
        lenient: reader.switch(&export, "lenient", false),
        separate_status: reader.switch(&export, "separate_status", false),
    }
}

fn origins(reader: &mut Reader, ehr: &Section<'_>) -> Vec<WebOrigin> {
    let given = reader.list(ehr, "extra_origins").unwrap_or_default();
    let mut origins = Vec::new();
    for text in &given {
        match WebOrigin::parse(text) {
            Ok(origin) => origins.push(origin),
            Err(error) => reader.fault(ehr, "extra_origins", error),
        }
    }
    origins
}

fn networks(reader: &mut Reader, ehr: &Section<'_>) -> Vec<Network> {
    let given = reader.list(ehr, "networks").unwrap_or_default();
    let mut networks = Vec::new();
    for text in &given {
        match Network::parse(text) {
            Some(network) => networks.push(network),
            None => reader.fault(ehr, "networks", format!("`{text}` is no range of addresses; write `10.20.0.0/16`")),
        }
    }
    networks
}

/// A word is a profile of the package; what looks like a path is a file.
fn vendor(reader: &mut Reader, ehr: &Section<'_>, base: &Path) -> VendorFile {
    let name = reader.optional_text(ehr, "vendor").unwrap_or_else(|| "generic".to_owned());
    if name.contains('/') || name.ends_with(".toml") {
        VendorFile::Own(base.join(name))
    } else {
        VendorFile::Packaged(name)
    }
}
