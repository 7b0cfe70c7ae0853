//! From a site's file to what `pull` wants: the vendor's profile is read, the mapped types are filled in, the hour is known.

use jiff::Timestamp;

use super::Failure;
use crate::config::{EhrConfig, FhirConfig, SiteConfig, VendorFile};
use crate::network::Package;
use crate::platform::file;
use crate::pull::{self, Vendor};

const VENDOR_BYTES: u64 = 1 << 20;

/// What a run that begins `now` pulls from. `mapped` are the types the mappings read.
pub(super) fn pull_settings(config: &SiteConfig, package: &Package, mapped: &[String], now: Timestamp) -> Result<pull::Settings, Failure> {
    Ok(match &config.ehr {
        EhrConfig::Files { folder } => pull::Settings {
            source: pull::Source::Files(folder.clone()),
            limits: pull::Limits {
                concurrency: 1,
                ..pull::Limits::default()
            },
        },
        EhrConfig::Fhir(ehr) => {
            let vendor = vendor(package, ehr).map_err(Failure::usage)?;
            let limits = ehr.limits(&vendor, now);
            pull::Settings {
                source: pull::Source::Ehr(ehr.settings(vendor, mapped)),
                limits,
            }
        }
    })
}

/// The vendor's profile: the package's, or the site's own file.
/// # Errors: it is not there; every fault in it.
pub(super) fn vendor(package: &Package, ehr: &FhirConfig) -> Result<Vendor, String> {
    match &ehr.vendor {
        VendorFile::Packaged(name) => package.vendor(name).map_err(|error| format!("ehr.vendor: {error}")),
        VendorFile::Own(path) => {
            let text = file::read(path, VENDOR_BYTES).map_err(|error| format!("ehr.vendor: {}", super::chain(&error)))?;
            let text = String::from_utf8(text).map_err(|_| format!("ehr.vendor: {} is not UTF-8 text", path.display()))?;
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("own");
            Vendor::parse(name, &text).map_err(|fault| format!("ehr.vendor: {fault}"))
        }
    }
}
