//! Definitions by their canonical: a url, with the versions of it that were loaded. FHIR R4 "Canonical URLs".

use std::collections::HashMap;

/// Numbers of definitions, by canonical.
#[derive(Debug, Default)]
pub(super) struct Versions {
    by_url: HashMap<String, Vec<(Option<String>, u32)>>,
}

impl Versions {
    pub fn add(&mut self, url: &str, version: Option<String>, number: u32) {
        self.by_url.entry(url.to_owned()).or_default().push((version, number));
    }

    /// The definition of `url` or `url|version`; of several versions the last that was loaded, where none is named.
    pub fn find(&self, canonical: &str) -> Option<u32> {
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical, None),
        };
        let known = self.by_url.get(url)?;
        let found = match version {
            None => known.last(),
            Some(version) => known.iter().rev().find(|(own, _)| own.as_deref() == Some(version)),
        };
        found.map(|(_, number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_names_its_version_or_means_the_last_that_was_loaded() {
        let mut all = Versions::default();
        for (number, version) in [(0, Some("1")), (1, Some("2")), (2, None), (3, Some("2"))] {
            all.add("http://x/a", version.map(str::to_owned), number);
        }
        let found = ["http://x/a", "http://x/a|1", "http://x/a|2", "http://x/a|3", "http://x/b"].map(|canonical| all.find(canonical));
        assert_eq!(found, [Some(3), Some(0), Some(3), None, None]);
    }
}
