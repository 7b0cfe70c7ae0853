//! `headwater keys backup` and `restore`: where the passphrase comes from and what is said. The passphrase is never an argument.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::super::{Exit, Failure, chain, show};
use crate::config;
use crate::gateway::backup::{self, BackupError, Contents, SHORTEST_PASSPHRASE};
use crate::gateway::{MasterKey, Places};
use crate::platform::clock::Clock;
use crate::platform::file;
use crate::platform::secret::Secret;

#[derive(clap::Args)]
pub(super) struct Backup {
    /// The file to write; nothing may be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// A file with the passphrase in its first line, readable by its owner only; without it, it is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print what is in the backup, in numbers, as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn backup(args: &Backup) -> Result<(), Failure> {
    let config = config::load(&args.common.site).map_err(|error| Failure::usage(error.to_string()))?;
    if args.out.exists() {
        return Err(Failure::usage(format!(
            "{} is there already; a backup takes no other's place",
            args.out.display()
        )));
    }
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::usage(format!(
            "the folder {} is not there: make it first, or name another place with --out; nothing was written",
            folder.display()
        )));
    }
    let passphrase = passphrase(&args.common, true)?;
    let ids = (config.network.as_str(), config.name.as_str());
    let (places, now) = (Places::of(&config.state), Clock::system().now());
    let made = backup::backup(&places, &config.master, ids, &args.out, &passphrase, now).map_err(|error| failure(&error))?;
    tell(&made, "written", &args.out, args.common.json);
    show::note("keep it apart from its passphrase; whoever has both can find every patient by their pseudonym");
    Ok(())
}

pub(super) fn restore(args: &Restore) -> Result<(), Failure> {
    let config = config::load(&args.common.site).map_err(|error| Failure::usage(error.to_string()))?;
    if !args.file.is_file() {
        return Err(Failure::usage(format!("{} is no file", args.file.display())));
    }
    let passphrase = passphrase(&args.common, false)?;
    let ids = (config.network.as_str(), config.name.as_str());
    let restored = backup::restore(&Places::of(&config.state), ids, &args.file, &passphrase).map_err(|error| failure(&error))?;
    tell(&restored, "restored from", &args.file, args.common.json);
    if config.master != MasterKey::File {
        show::note(
            "the master key is in state/keys/pseudonym.key now: seal it as the credential that [keys] names (systemd-creds encrypt), \
             then take the file away",
        );
    }
    show::note("the next `headwater sync` pulls everything and finds, row by row, what the registry holds already");
    Ok(())
}

fn tell(contents: &Contents, done: &str, file: &Path, json: bool) {
    show::answer(&if json {
        serde_json::to_string(contents).unwrap_or_default()
    } else {
        format!(
            "{done} {}: {}, the crosswalk of {}, {}; master key {}, of {}",
            file.display(),
            show::count(contents.keys.len() as u64, "key"),
            show::count(contents.patients, "patient"),
            show::count(contents.withdrawals, "withdrawal"),
            contents.fingerprint,
            contents.made_at,
        )
    });
}

fn failure(error: &BackupError) -> Failure {
    let exit = match error {
        error if error.is_a_decision() => Exit::Brake,
        error if error.is_ours() => Exit::Ours,
        _ => Exit::Usage,
    };
    Failure::new(exit, chain(error))
}

/// The passphrase, from its file or from whoever sits there; a new one is asked for twice.
fn passphrase(common: &Common, is_new: bool) -> Result<Secret, Failure> {
    let text = match &common.passphrase_file {
        Some(path) => {
            let text = file::read_secret(path).map_err(|error| Failure::usage(chain(&error)))?;
            let line = text.expose().split(|byte| *byte == b'\n').next().unwrap_or_default();
            Secret::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        }
        None if std::io::stdin().is_terminal() => {
            let once = hidden("passphrase of the backup: ")?;
            if is_new && hidden("the same again: ")?.expose() != once.expose() {
                return Err(Failure::usage("the two are not the same; nothing was written"));
            }
            once
        }
        None => {
            return Err(Failure::usage(
                "there is nobody to ask for the passphrase: name a file with --passphrase-file",
            ));
        }
    };
    let length = std::str::from_utf8(text.expose()).map_or(0, |text| text.chars().count());
    if is_new && length < SHORTEST_PASSPHRASE {
        return Err(Failure::usage(format!(
            "the passphrase is too short, or no text: {SHORTEST_PASSPHRASE} characters at least, better five words drawn by dice"
        )));
    }
    Ok(text)
}

fn hidden(question: &str) -> Result<Secret, Failure> {
    show::ask_hidden(question).ok_or_else(|| Failure::usage("no passphrase was given"))
}
