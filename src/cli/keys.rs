//! `headwater keys`: the keys a site signs in with at its EHR, and the master key that every pseudonym hangs on. Shows public
//! halves, key ids and fingerprints only.

mod backup;

use std::path::PathBuf;

use super::{Exit, Failure, show};
use crate::config::{self, EhrConfig, SiteConfig};
use crate::gateway::Places;
use crate::gateway::ehr_keys::{self, KeysError, OVERLAP_HOURS, Role, SHORTEST_OVERLAP_HOURS, Step};
use crate::gateway::master::{self, MasterError};
use crate::platform::backend_services::Algorithm;
use crate::platform::clock::Clock;

#[derive(clap::Args)]
#[command(after_help = "Example: headwater keys list --site /var/lib/headwater/site.toml")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Which keys there are, what each is for, and when it takes its next step
    #[command(after_help = "Example: headwater keys list --site site.toml --json")]
    List(List),
    /// Change the key for another, step by step: publish the next, sign with it later, forget the old one last
    #[command(
        after_help = "Run it once to publish the next key, and again (or let `headwater sync` do it, where `ehr.jwks_url` is set)\n\
                      when the overlap is over; it takes the step whose time has come.\n\
                      With --master it is the key of the pseudonyms: the next `headwater sync` maps everything again, withdraws every\n\
                      row under its old pseudonym and sends it under its new one, in one submission; the old key is kept until\n\
                      the registry has answered.\n\n\
                      Example: headwater keys rotate --site site.toml --algorithm rs384"
    )]
    Rotate(Rotate),
    /// Write everything that makes this site's pseudonyms to one file, sealed with a passphrase
    #[command(
        after_help = "It holds the keys, the crosswalk and the blocks of withdrawn patients: keep the file and its passphrase in two places.\n\n\
                      Example: headwater keys backup --site site.toml --out north.backup"
    )]
    Backup(backup::Backup),
    /// Restore a backup on a new disk, so that every patient keeps their pseudonym
    #[command(
        after_help = "It needs the site's site.toml, and takes the place of no other key. The next `headwater sync` pulls everything and\n\
                      finds, row by row, what the registry holds already.\n\n\
                      Example: headwater keys restore north.backup --site site.toml"
    )]
    Restore(backup::Restore),
    /// Print the JWK Set to register at the EHR, and write it to state/jwks.json
    #[command(after_help = "Example: headwater keys jwks --site site.toml > jwks.json")]
    Jwks(Site),
}

#[derive(clap::Args)]
struct Site {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    site: Site,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Rotate {
    #[command(flatten)]
    site: Site,
    /// How the next key signs; without it, as the one before
    #[arg(long, value_name = "NAME", value_parser = ["es384", "rs384"], conflicts_with = "activate")]
    algorithm: Option<String>,
    /// Hours in which the EHR knows both keys, before and after the change
    #[arg(long, value_name = "N", default_value_t = OVERLAP_HOURS, value_parser = clap::value_parser!(u32).range(SHORTEST_OVERLAP_HOURS as i64..=24 * 90))]
    overlap_hours: u32,
    /// The next key is registered at the EHR: sign with it from now on
    #[arg(long)]
    activate: bool,
    /// The master key instead: every patient gets another pseudonym
    #[arg(long, conflicts_with_all = ["algorithm", "activate", "overlap_hours"])]
    master: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::List(args) => list(&args),
        Verb::Rotate(args) if args.master => rotate_master(&args.site),
        Verb::Rotate(args) => rotate(&args),
        Verb::Backup(args) => backup::backup(&args),
        Verb::Restore(args) => backup::restore(&args),
        Verb::Jwks(site) => {
            let places = places(&site)?;
            let set = ehr_keys::publish(&places).map_err(failure)?;
            show::answer(&format!("{set:#}"));
            show::note(&format!("written to {}, which `headwater serve` serves", places.jwks().display()));
            Ok(())
        }
    }
}

fn places(site: &Site) -> Result<Places, Failure> {
    Ok(Places::of(&load(site)?.state))
}

fn load(site: &Site) -> Result<SiteConfig, Failure> {
    let config = config::load(&site.site).map_err(|error| Failure::usage(error.to_string()))?;
    match config.ehr {
        EhrConfig::Fhir(_) => Ok(config),
        EhrConfig::Files { .. } => Err(Failure::usage(
            "this site reads a folder of files; it signs in at no EHR, and has no keys for it",
        )),
    }
}

fn failure(error: KeysError) -> Failure {
    match error {
        KeysError::UnderWay | KeysError::NoNext | KeysError::Key { .. } | KeysError::Moments => Failure::usage(super::chain(&error)),
        error => Failure::ours(&error),
    }
}

pub(super) fn master_failure(error: &MasterError) -> Failure {
    let exit = match error {
        error if error.is_a_decision() => Exit::Brake,
        MasterError::File(_) | MasterError::Database(_) => Exit::Ours,
        _ => Exit::Usage,
    };
    Failure::new(exit, super::chain(error))
}

fn rotate_master(site: &Site) -> Result<(), Failure> {
    let config = config::load(&site.site).map_err(|error| Failure::usage(error.to_string()))?;
    let ids = (config.network.as_str(), config.name.as_str());
    let rotated = master::rotate(&Places::of(&config.state), &config.master, ids);
    let (before, after) = rotated.map_err(|error| master_failure(&error))?;
    show::answer(&format!(
        "the master key {after} takes the place of {before} with the next `headwater sync`"
    ));
    show::note(
        "that run maps everything again: every row is withdrawn under its old pseudonym and sent under its new one, all in one submission. \
         Until the registry has answered, the old key is kept. Make a new backup afterwards",
    );
    Ok(())
}

/// One key that is shown: what it is for and what it does next.
#[derive(serde::Serialize)]
struct Shown {
    key: String,
    kind: String,
    role: &'static str,
    then: String,
}

fn list(args: &List) -> Result<(), Failure> {
    let config = config::load(&args.site.site).map_err(|error| Failure::usage(error.to_string()))?;
    let places = Places::of(&config.state);
    let ids = (config.network.as_str(), config.name.as_str());
    let mut shown = Vec::new();
    let (current, next, bound) = master::fingerprints(&places, &config.master, ids).map_err(|error| master_failure(&error))?;
    let is_bound = |key: &String| bound.as_ref() == Some(key);
    let of_master = |key: String, role, then: &str| Shown {
        key,
        kind: "master".to_owned(),
        role,
        then: then.to_owned(),
    };
    let is_other = bound.is_some() && !is_bound(&current) && !next.as_ref().is_some_and(is_bound);
    let then = match (&next, is_other) {
        (Some(_), _) => "replaced by the next sync",
        (None, true) => "not the one the registry's rows were made with: no run begins",
        (None, false) => "",
    };
    shown.push(of_master(current, "pseudonyms", then));
    shown.extend(next.map(|next| of_master(next, "next", "in force with the next sync")));
    if let EhrConfig::Fhir(_) = config.ehr {
        for held in ehr_keys::held(&places).map_err(failure)? {
            let (role, will) = match held.role {
                Role::Current => ("signs", ""),
                Role::Next => ("next", "signs from"),
                Role::Old => ("old", "forgotten from"),
            };
            shown.push(Shown {
                key: held.key.kid().to_owned(),
                kind: held.key.algorithm().to_string(),
                role,
                then: held.until.map_or(String::new(), |until| format!("{will} {until:.0}")),
            });
        }
    }
    if args.json {
        show::answer(&serde_json::json!({ "keys": shown }).to_string());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shown
        .into_iter()
        .map(|shown| vec![shown.key, shown.kind, shown.role.to_owned(), shown.then])
        .collect();
    show::answer(&show::table(&["key id", "algorithm", "role", "then"], &rows));
    Ok(())
}

fn rotate(args: &Rotate) -> Result<(), Failure> {
    let config = load(&args.site)?;
    let places = Places::of(&config.state);
    let now = Clock::system().now();
    if args.activate {
        let step = ehr_keys::activate(&places, now).map_err(failure)?;
        show::answer(&words(&step));
        return Ok(());
    }
    if let Some(step) = ehr_keys::advance(&places, now).map_err(failure)? {
        show::answer(&words(&step));
        return Ok(());
    }
    let held = ehr_keys::held(&places).map_err(failure)?;
    if let Some(waiting) = held.iter().find(|held| held.role != Role::Current) {
        let until = waiting.until.map_or("its activation".to_owned(), |until| format!("{until:.0}"));
        let (what, next) = match waiting.role {
            Role::Next => ("the next key is published and signs from", "; `--activate` lets it sign at once"),
            _ => ("the new key signs, and the old one stays published until", ""),
        };
        show::answer(&format!("nothing is due: {what} {until}{next}"));
        return Ok(());
    }
    let algorithm = match args.algorithm.as_deref() {
        Some("rs384") => Algorithm::Rs384,
        Some(_) => Algorithm::Es384,
        None => held[0].key.algorithm(),
    };
    let step = ehr_keys::begin(&places, algorithm, args.overlap_hours, now).map_err(failure)?;
    show::answer(&words(&step));
    let hosted = match &config.ehr {
        EhrConfig::Fhir(ehr) => ehr.jwks_url().is_some(),
        EhrConfig::Files { .. } => false,
    };
    show::note(if hosted {
        "the EHR reads it from `ehr.jwks_url`; the first `headwater sync` after that hour signs with it by itself"
    } else {
        "give the EHR's team the new JWK Set (`headwater keys jwks`); when they have registered it: headwater keys rotate --activate"
    });
    Ok(())
}

/// A step that was taken, and what comes next.
pub(super) fn words(step: &Step) -> String {
    match step {
        Step::Published { kid, from } => {
            format!("the next key (kid {kid}) is published beside the one that signs; it signs from {from:.0} on")
        }
        Step::Activated { kid, until } => {
            format!("the key {kid} signs from now on; the one before it stays published until {until:.0}")
        }
        Step::Retired { kid } => format!("the old key (kid {kid}) is neither published nor on this disk any more; the rotation is done"),
    }
}
