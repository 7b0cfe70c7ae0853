//! A network's vocabulary, for the verbs that map: opened where the person says it is, compiled the first time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::show::{Stage, thousands};
use super::{Failure, chain};
use crate::gateway::vocabulary::Athena;
use crate::network::Network;

/// Gives `network` the vocabulary in `folder`; its index is kept in `cache`. `named` is how a person names the folder.
/// # Errors: the model needs one and none is named; it cannot be used.
pub(super) fn attach(network: &mut Network, folder: Option<&Path>, cache: &Path, named: &str) -> Result<(), Failure> {
    let Some(folder) = folder else {
        if network.mapping.needs_vocabulary() {
            return Err(Failure::usage(format!(
                "the model `{}` looks codes up in OMOP's vocabularies: download them from Athena, unpack CONCEPT.csv and \
                 CONCEPT_RELATIONSHIP.csv into a folder and name it with {named}",
                network.model.name
            )));
        }
        return Ok(());
    };
    network.vocabulary = Some(Arc::new(open(folder, cache)?));
    Ok(())
}

/// OMOP's vocabularies in `folder`; compiling them the first time is shown.
/// # Errors: they cannot be used.
pub(super) fn open(folder: &Path, cache: &Path) -> Result<Athena, Failure> {
    let mut stage = None;
    let athena = Athena::open(folder, cache, &mut |done, all| {
        let stage = stage.get_or_insert_with(|| Stage::begin("vocabulary"));
        stage.now(format!("compiled {} of {} MB", done / 1_000_000, all / 1_000_000));
    });
    let athena = athena.map_err(|error| Failure::usage(chain(&error)))?;
    if let Some(stage) = stage {
        stage.end(&format!(
            "{} concepts compiled, once for all later runs",
            thousands(athena.concepts())
        ));
    }
    Ok(athena)
}

/// Why `network` would not get the vocabulary it needs; nothing is compiled to find out.
pub(super) fn missing(network: &Network, folder: Option<&Path>) -> Option<String> {
    match folder {
        None if network.mapping.needs_vocabulary() => Some(format!(
            "the model `{}` looks codes up in OMOP's vocabularies, and none is named",
            network.model.name
        )),
        None => None,
        Some(folder) => {
            let file = folder.join("CONCEPT.csv");
            (!file.is_file()).then(|| format!("{}: is not there", file.display()))
        }
    }
}

/// Where a person's compiled vocabularies are kept: `$XDG_CACHE_HOME/headwater`, `~/.cache/headwater`.
/// # Errors: neither is told.
pub(super) fn user_cache() -> Result<PathBuf, Failure> {
    let told = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = told("XDG_CACHE_HOME").or_else(|| Some(told("HOME")?.join(".cache")));
    let cache =
        cache.ok_or_else(|| Failure::usage("neither XDG_CACHE_HOME nor HOME is set: there is no place for the compiled vocabulary"))?;
    Ok(cache.join("headwater"))
}
