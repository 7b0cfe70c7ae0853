//! The clients that are compared: a plain parallel download thrown away, the same written to disk, and a pull.
//! All use the house's one HTTP client and as many requests at a time as a pull's default.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::StreamExt;
use headwater::landing::{self, Landing};
use headwater::platform::clock::Clock;
use headwater::platform::http::{self, Client, HttpSettings, Url};
use headwater::platform::{database, secret::Secret};
use headwater::pull::{self, EhrSettings, Limits, Method, Request, Settings, Source};
use serde_json::{Value, json};

/// A way to take the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Discard,
    Disk,
    Pull,
}

impl Kind {
    pub fn named(word: &str) -> Option<Self> {
        [Self::Discard, Self::Disk, Self::Pull].into_iter().find(|kind| kind.word() == word)
    }

    /// The word on a client's command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Discard => "client-discard",
            Self::Disk => "client-disk",
            Self::Pull => "client-pull",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Discard => "plain download, thrown away",
            Self::Disk => "plain download, to files",
            Self::Pull => "pull: checked, sealed, synced",
        }
    }
}

/// What a client spent. `cpu` is its user and system time together, in seconds.
pub struct Spent {
    pub wall: f64,
    pub cpu: f64,
    pub peak_mib: f64,
    pub bytes: u64,
}

impl Spent {
    /// What this process spent so far.
    fn by_now(start: Instant, bytes: u64) -> Self {
        let wall = start.elapsed().as_secs_f64();
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
        // proc(5): the name, second, may hold blanks; utime and stime are the 14th and 15th, in hundredths of a second.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after_name
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let peak_kib: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches("kB").trim().parse().ok())
            .expect("Linux tells the peak of resident memory");
        Self {
            wall,
            cpu: ticks as f64 / 100.0,
            peak_mib: peak_kib / 1024.0,
            bytes,
        }
    }

    pub fn to_line(&self) -> String {
        json!([self.wall, self.cpu, self.peak_mib, self.bytes]).to_string()
    }

    pub fn of_line(line: &str) -> Option<Self> {
        let (wall, cpu, peak_mib, bytes) = serde_json::from_str(line).ok()?;
        Some(Self {
            wall,
            cpu,
            peak_mib,
            bytes,
        })
    }
}

/// Takes everything the server at `base` has.
pub async fn run(kind: Kind, base: &str) -> Spent {
    let http = http::client(&HttpSettings::default()).expect("the client");
    let start = Instant::now();
    let bytes = match kind {
        Kind::Pull => pull(&http, base).await,
        Kind::Discard => download(&http, base, |_| std::io::sink()).await,
        Kind::Disk => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            download(&http, base, |number| {
                std::fs::File::create(folder.path().join(number.to_string())).expect("a file")
            })
            .await
        }
    };
    Spent::by_now(start, bytes)
}

async fn download<W: Write>(http: &Client, base: &str, open: impl Fn(usize) -> W) -> u64 {
    let manifest = http.get(format!("{base}/status")).send().await.expect("a manifest");
    let manifest: Value = manifest.json().await.expect("a manifest");
    let files = manifest["output"].as_array().expect("files").iter().enumerate();
    let each = files.map(|(number, file)| {
        let url = file["url"].as_str().expect("an address").to_owned();
        let mut out = open(number);
        async move {
            let mut response = http.get(url).send().await.expect("a file");
            let mut bytes = 0;
            while let Some(chunk) = response.chunk().await.expect("all of a file") {
                out.write_all(&chunk).expect("the disk takes it");
                bytes += chunk.len() as u64;
            }
            bytes
        }
    });
    let under_way = futures_util::stream::iter(each).buffer_unordered(Limits::default().concurrency);
    under_way.fold(0, async |sum, bytes| sum + bytes).await
}

async fn pull(http: &Client, base: &str) -> u64 {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let database = database::open(&dir.path().join("site.db"), &[landing::SCHEMA, pull::SCHEMA]).expect("a database");
    let database = Arc::new(Mutex::new(database));
    let landing = Landing::open(&dir.path().join("landing"), Secret::random(32), database).expect("a store");
    let base: Url = base.parse().expect("an address");
    let settings = Settings {
        source: Source::Ehr(EhrSettings {
            method: Method::Bulk,
            ..EhrSettings::new(base, "bench")
        }),
        limits: Limits::default(),
    };
    let pulled = pull::pull(&settings, Request::new(1), &landing, http, &Clock::system(), None, &|_| {})
        .await
        .expect("a pull");
    assert!(pulled.complete, "{:?}", pulled.problems);
    pulled.segments.iter().map(|segment| segment.bytes).sum()
}
