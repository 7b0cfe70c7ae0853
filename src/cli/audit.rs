//! `headwater audit verify`: checks a transparency log from its files, in a folder or at an address.
//! Needs no registry, no database and no key but the public one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};

use crate::audit::{self, AuditError, FetchError, Head, Verified, Vkey};
use crate::cli::{Exit, Failure};

/// Checks a transparency log.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Verify(Verify),
}

/// Checks the checkpoint's signature, every tile, every entry and the root.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Example: headwater audit verify --log https://registry.example/log --vkey registry.vkey")]
struct Verify {
    /// The log's folder, or its address.
    #[arg(long, value_name = "DIR|URL", default_value = "log")]
    log: String,
    /// The log's verifier key, or a file that holds it. Without it the key that lies with the log is used, which shows
    /// that the log is whole, but not whose it is.
    #[arg(long, value_name = "VKEY|FILE")]
    vkey: Option<String>,
    /// A checkpoint kept from earlier: the log must continue it.
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Answers as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<(), Failure> {
    let Verb::Verify(verify) = args.verb;
    let source = Source::open(&verify.log)?;
    let (vkey, pinned) = match &verify.vkey {
        Some(given) => (read_vkey(given)?, true),
        None => {
            let lying_there = source.fetch("vkey").map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("no --vkey is given, and no file `vkey` lies with the log `{}`: {error}", verify.log),
                )
            })?;
            (String::from_utf8_lossy(&lying_there).into_owned(), false)
        }
    };
    let vkey = Vkey::parse(&vkey).map_err(|error| refused(&verify, &error))?;
    let earlier = verify.since.as_deref().map(|file| read_checkpoint(&vkey, file)).transpose()?;
    let verified = source.verify(&vkey, earlier.as_ref()).map_err(|error| refused(&verify, &error))?;
    println!(
        "{}",
        if verify.json {
            as_json(&verified, pinned)
        } else {
            as_text(&verified, pinned)
        }
    );
    Ok(())
}

fn refused(verify: &Verify, error: &AuditError) -> Failure {
    let failure = Failure::ours(error);
    if verify.json {
        println!(
            "{}",
            serde_json::json!({"verified": false, "log": verify.log, "error": failure.message})
        );
    }
    Failure::new(
        failure.exit,
        format!("the log `{}` does not verify: {}", verify.log, failure.message),
    )
}

fn as_json(verified: &Verified, pinned: bool) -> String {
    let head = &verified.head;
    serde_json::json!({
        "verified": true, "origin": head.origin, "size": head.size, "root": hex(&head.root), "entries": verified.entries, "keyGiven": pinned,
    })
    .to_string()
}

fn as_text(verified: &Verified, pinned: bool) -> String {
    let Head { origin, size, root } = &verified.head;
    let key = if pinned {
        "given"
    } else {
        "lying with the log; compare it with the one you were given"
    };
    let entries = verified.entries;
    format!(
        "origin   {origin}\nsize     {size}\nroot     {}\nkey      {key}\nverified: all {entries} entries are as the checkpoint signs them",
        hex(root)
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key itself, or the content of the file of this name.
fn read_vkey(given: &str) -> Result<String, Failure> {
    if given.contains('+') && !Path::new(given).exists() {
        return Ok(given.to_owned());
    }
    fs::read_to_string(given).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("--vkey `{given}` is neither a verifier key nor a file: {error}"),
        )
    })
}

fn read_checkpoint(vkey: &Vkey, file: &Path) -> Result<Head, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("--since `{}`: {error}", file.display()));
    let checkpoint = fs::read(file).map_err(|error| named(&error))?;
    audit::open_checkpoint(vkey, &checkpoint).map_err(|error| named(&error))
}

/// Where the log's files are.
enum Source {
    Dir(PathBuf),
}

impl Source {
    fn open(log: &str) -> Result<Self, Failure> {
        Ok(Source::Dir(PathBuf::from(log)))
    }

    fn fetch(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        match self {
            Source::Dir(dir) => Ok(fs::read(dir.join(path))?),
        }
    }

    fn verify(&self, vkey: &Vkey, earlier: Option<&Head>) -> Result<Verified, AuditError> {
        match self {
            Source::Dir(dir) => audit::verify_dir(vkey, dir, earlier),
        }
    }
}
