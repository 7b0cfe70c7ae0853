//! What a run needs of this machine besides its way out: the master key that the registry's rows were made with, and lists that
//! can be read. Nobody is asked.

use super::super::chain;
use super::super::show::count;
use crate::config::SiteConfig;
use crate::deidentify::KeyError;
use crate::gateway::Places;
use crate::gateway::consent::patients;
use crate::gateway::doctor::{Finding, Mender};
use crate::gateway::master::{self, MasterError};
use crate::network::Network;
use crate::platform::file::FileError;

/// What is well, and what would stop a run.
pub(super) fn findings(config: &SiteConfig, places: &Places) -> Vec<Finding> {
    let mut found = vec![master_key(config, places)];
    for path in &config.consent.exclude {
        if let Err(error) = patients(path) {
            let next = "mend the list, or take it out of `consent.exclude` if nobody is excluded any more";
            found.push(Finding::fail("consent.list", chain(&error), Mender::You, next));
        }
    }
    found
}

/// The FHIR packages that resources are held to; nothing where the network's own profiles are all.
pub(super) fn packages(network: &Network) -> Option<Finding> {
    if network.packages.is_empty() {
        return None;
    }
    let names: Vec<&str> = network.packages.iter().map(|package| package.name.as_str()).collect();
    let profiles = count(network.profiles.by_canonical().len() as u64, "profile");
    let unchecked = match network.unchecked.len() as u64 {
        0 => String::new(),
        rules => format!(
            "; {} of the packages cannot be checked here (`headwater validate --package FILE --unchecked` names them)",
            count(rules, "rule")
        ),
    };
    let means = format!("{} is read; there are {profiles} of resources in all{unchecked}", names.join(", "));
    Some(Finding::ok("profiles.ok", means))
}

/// The fingerprints of the master key here and of the one that is to take its place; none where it cannot be read.
pub(super) fn master_keys(config: &SiteConfig, places: &Places) -> Vec<String> {
    let ids = (config.network.as_str(), config.name.as_str());
    let found = master::fingerprints(places, &config.master, ids).ok();
    found
        .into_iter()
        .flat_map(|(current, next, _)| std::iter::once(current).chain(next))
        .collect()
}

fn master_key(config: &SiteConfig, places: &Places) -> Finding {
    let restore = "restore it: `headwater keys restore`; for a new site: `headwater init`";
    let (current, next, bound) = match master::fingerprints(places, &config.master, (&config.network, &config.name)) {
        Ok(found) => found,
        // Only the service itself is given it.
        Err(error @ MasterError::NoCredentials { .. }) => return Finding::skipped("master.credential", chain(&error)),
        Err(error) => {
            let (id, next) = match &error {
                MasterError::Key(KeyError::Missing { .. }) => ("master.missing", restore),
                MasterError::Key(KeyError::File {
                    source: FileError::ReadableByOthers { .. },
                    ..
                }) => (
                    "master.readable-by-others",
                    "do what it says, and `headwater keys rotate --master` if others were in",
                ),
                _ => ("master.unusable", restore),
            };
            return Finding::fail(id, chain(&error), Mender::You, next);
        }
    };
    let is_bound = |key: &String| bound.as_ref().is_none_or(|bound| bound == key);
    if !is_bound(&current) && !next.as_ref().is_some_and(is_bound) {
        let means = format!("the master key ({current}) is not the one the registry's rows were made with: no run begins");
        return Finding::fail("master.changed", means, Mender::You, restore);
    }
    Finding::ok("master.ok", format!("every pseudonym hangs on the master key {current}"))
}
