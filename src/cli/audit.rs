//! `headwater audit verify`: checks a transparency log from its files, in a folder or at an address.
//! Needs no registry, no database and no key but the public one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use reqwest::StatusCode;
use tokio::runtime::Runtime;

use crate::audit::{self, AuditError, FetchError, Head, Verified, Vkey};
use crate::cli::{Exit, Failure, show};
use crate::platform::file;
use crate::platform::http::{self, Client, HttpSettings, Url};

/// A bundle of 256 entries of 65,535 bytes each is the longest file of a log.
const LOG_FILE_MAX_BYTES: usize = 256 * (2 + 65_535);

/// Verify a transparency log
#[derive(ClapArgs, Debug)]
#[command(after_help = "Example: headwater audit verify --log ./registry/data/log")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Verify(Verify),
}

/// Check the checkpoint's signature, every tile, every entry and the root
#[derive(ClapArgs, Debug)]
#[command(after_help = "Example: headwater audit verify --log https://registry.example/log --vkey registry.vkey")]
struct Verify {
    /// The log's folder, or its address
    #[arg(long, value_name = "DIR|URL", default_value = "log")]
    log: String,
    /// The log's verifier key, or a file that holds it. Without it the key that lies with the log is used, which shows
    /// that the log is whole, but not whose it is
    #[arg(long, value_name = "VKEY|FILE")]
    vkey: Option<String>,
    /// A checkpoint kept from earlier: the log must continue it
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Answers as one line of JSON
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
                    format!(
                        "no log is found at `{}`, or its key does not lie with it: {error}; name the log with --log (a registry's is in its \
                         data/log, and at its address under /log) or its key with --vkey",
                        verify.log
                    ),
                )
            })?;
            (String::from_utf8_lossy(&lying_there).into_owned(), false)
        }
    };
    let vkey = Vkey::parse(&vkey).map_err(|error| refused(&verify, &error))?;
    let earlier = verify.since.as_deref().map(|file| read_checkpoint(&vkey, file)).transpose()?;
    let verified = source.verify(&vkey, earlier.as_ref()).map_err(|error| refused(&verify, &error))?;
    show::answer(&if verify.json {
        as_json(&verified, pinned)
    } else {
        as_text(&verified, pinned)
    });
    Ok(())
}

fn refused(verify: &Verify, error: &AuditError) -> Failure {
    let failure = Failure::ours(error);
    if verify.json {
        show::answer(&serde_json::json!({"verified": false, "log": verify.log, "error": failure.message}).to_string());
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
    Address(Box<Address>),
}

/// A log that is served over HTTP.
struct Address {
    base: Url,
    client: Client,
    runtime: Runtime,
}

impl Source {
    fn open(log: &str) -> Result<Self, Failure> {
        if !log.starts_with("http://") && !log.starts_with("https://") {
            return Ok(Source::Dir(PathBuf::from(log)));
        }
        let base = format!("{}/", log.trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|_| Failure::new(Exit::Usage, format!("--log `{log}` is no address")))?;
        http::refuse_plain_http(&base).map_err(|error| Failure::new(Exit::Usage, format!("--log: {error}")))?;
        let client = http::client(&HttpSettings::default()).map_err(|error| Failure::ours(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::ours(&error))?;
        Ok(Source::Address(Box::new(Address { base, client, runtime })))
    }

    fn fetch(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        match self {
            Source::Dir(dir) => Ok(file::read(&dir.join(path), LOG_FILE_MAX_BYTES as u64)?),
            Source::Address(address) => address.runtime.block_on(address.get(path)),
        }
    }

    fn verify(&self, vkey: &Vkey, earlier: Option<&Head>) -> Result<Verified, AuditError> {
        match self {
            Source::Dir(dir) => audit::verify_dir(vkey, dir, earlier),
            Source::Address(_) => audit::verify_since(vkey, &|path| self.fetch(path), earlier),
        }
    }
}

impl Address {
    async fn get(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        let url = self.base.join(path)?;
        let response = self
            .client
            .get(url.clone())
            .send()
            .await
            .map_err(|error| http::explain(&url, &error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("the server answered {}", response.status().as_u16()).into());
        }
        Ok(http::read_body(response, LOG_FILE_MAX_BYTES).await?)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests write and spoil files")]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::audit::{Log, SCHEMA};

    fn published() -> (tempfile::TempDir, Log) {
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let log = Log::open(&[3; 32], "log.example").unwrap();
        let transaction = connection.transaction().unwrap();
        for entry in [b"one", b"two"] {
            log.append(&transaction, entry).unwrap();
        }
        transaction.commit().unwrap();
        let dir = tempfile::tempdir().unwrap();
        log.publish(&connection, dir.path()).unwrap();
        (dir, log)
    }

    fn verify(log: &str, vkey: Option<String>) -> Result<(), Failure> {
        let (since, json) = (None, false);
        let log = log.to_owned();
        run(Args {
            verb: Verb::Verify(Verify { log, vkey, since, json }),
        })
    }

    #[test]
    fn a_log_in_a_folder_verifies_and_a_spoilt_one_says_where() {
        let (dir, log) = published();
        let folder = dir.path().to_str().unwrap();
        verify(folder, None).unwrap();
        verify(folder, Some(log.vkey())).unwrap();
        verify(folder, Some(dir.path().join("vkey").display().to_string())).unwrap();
        fs::write(dir.path().join("tile/entries/000.p/2"), b"\0\x03one\0\x03twO").unwrap();
        let failure = verify(folder, Some(log.vkey())).unwrap_err();
        assert_eq!(failure.exit, Exit::Ours);
        assert!(
            failure.message.contains("does not verify: entry 1 in `tile/entries/000.p/2`"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_log_at_an_address_verifies_and_a_missing_tile_is_named() {
        let (dir, log) = published();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/log", listener.local_addr().unwrap());
        let root = dir.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), [0; 4096]);
                let length = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap().trim_start_matches("/log/");
                let (status, body) = fs::read(root.join(path)).map_or((404, Vec::new()), |body| (200, body));
                let head = format!("HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
            }
        });
        verify(&address, None).unwrap();
        verify(&address, Some(log.vkey())).unwrap();
        fs::remove_file(dir.path().join("tile/0/000.p/2")).unwrap();
        let failure = verify(&address, Some(log.vkey())).unwrap_err();
        assert!(
            failure
                .message
                .contains("`tile/0/000.p/2` could not be had: the server answered 404"),
            "{}",
            failure.message
        );
        assert_eq!(verify("http://log.example/", None).unwrap_err().exit, Exit::Usage);
    }
}
