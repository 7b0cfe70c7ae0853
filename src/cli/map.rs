//! `headwater map`: the offline path, for mapping authors and benches.

use std::path::PathBuf;

use super::show::{self, Stage, thousands};
use super::{Exit, Failure, chain, report, vocabulary};
use crate::fhir::tree::Limits;
use crate::gateway::offline::{self, Format, Job, Outcome};
use crate::network::Package;
use crate::platform::clock::Clock;
use crate::platform::file;

#[derive(clap::Args)]
#[command(after_help = "The rows are STILL IDENTIFIED unless --deidentify is given.\n\n\
                        Example: headwater map --model ibd-registry --data ./ndjson --out ./rows")]
pub(super) struct Args {
    /// The common data model
    #[arg(long, default_value = "ibd-registry")]
    model: String,
    /// Folder of NDJSON, files named `<Type>*.ndjson[.gz]`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the tables, one `<table>.ndjson` each
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder with Athena's CSV files (CONCEPT.csv, CONCEPT_RELATIONSHIP.csv), for a model that looks codes up; compiled once
    /// into the user's cache folder
    #[arg(long, value_name = "DIR")]
    vocabulary: Option<PathBuf>,
    /// Worker threads; the bytes that come out are the same for any number
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    threads: usize,
    /// How the rows are written
    #[arg(long, value_enum, default_value_t = Ending::Ndjson)]
    format: Ending,
    /// De-identify under this policy
    #[arg(long, value_name = "POLICY", requires = "keys", value_parser = ["safe-harbor", "limited-data-set", "expert"])]
    deidentify: Option<String>,
    /// The site's key folder, state/keys: pseudonym.key is read
    #[arg(long, value_name = "DIR", requires = "deidentify")]
    keys: Option<PathBuf>,
    /// Folder with profiles/ and mappings/; without it, the package inside the binary
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Write the counts as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Longest line, in MiB
    #[arg(long, default_value_t = 16)]
    line_mib: usize,
    /// Deepest nesting of one resource
    #[arg(long, default_value_t = 64)]
    depth: usize,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Ending {
    Ndjson,
    Csv,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut network = Package::at(args.package.clone())
        .load(&args.model)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let cache = match args.vocabulary {
        Some(_) => vocabulary::user_cache()?,
        None => PathBuf::new(),
    };
    vocabulary::attach(&mut network, args.vocabulary.as_deref(), &cache, "--vocabulary DIR")?;
    let rules = network
        .under(args.deidentify.as_deref().unwrap_or("safe-harbor"))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let clock = Clock::system();
    let started = clock.now();
    let job = Job {
        data: &args.data,
        out: &args.out,
        threads: args.threads,
        limits: Limits {
            line_bytes: args.line_mib << 20,
            depth: args.depth,
        },
        format: match args.format {
            Ending::Ndjson => Format::Ndjson,
            Ending::Csv => Format::Csv,
        },
        today: started,
    };
    let stage = Stage::begin("map");
    let progress = |resources: u64, bytes: u64| stage.now(format!("{} resources, {} MB", thousands(resources), bytes / 1_000_000));
    let outcome = offline::map_folder(&rules, &job, args.keys.as_deref(), &progress).map_err(|error| match &error {
        offline::OfflineError::Folder(_) | offline::OfflineError::Setup(_) => Failure::usage(chain(&error)),
        other => Failure::ours(other),
    })?;
    let seconds = clock.now().duration_since(started).as_secs_f64();
    stage.end(&format!("{} resources", thousands(outcome.counts.total(|t| t.pulled))));
    for refused in &outcome.refused {
        show::note(&format!(
            "refused: {} line {} ({}): {}",
            refused.file, refused.line, refused.resource_type, refused.refusal
        ));
    }
    if outcome.refused.len() == offline::SHOWN {
        show::note(&format!("… the first {} refusals are shown; all are counted below", offline::SHOWN));
    }
    show::answer(&text(&outcome, seconds));
    if args.deidentify.is_none() {
        show::note(&format!(
            "the rows in {} are STILL IDENTIFIED: treat them as you treat the charts they come from",
            args.out.display()
        ));
    }
    if let Some(path) = &args.report {
        let json = serde_json::to_vec_pretty(&json(&outcome, seconds)).unwrap_or_default();
        file::write_durable(path, &json).map_err(|error| Failure::ours(&error))?;
    }
    if !outcome.counts.resources_balance() {
        return Err(Failure::new(
            Exit::Ours,
            "the counts do not balance; please report this with the table above",
        ));
    }
    Ok(())
}

fn text(outcome: &Outcome, seconds: f64) -> String {
    let counts = &outcome.counts;
    let mut rows: Vec<Vec<String>> = counts
        .types
        .iter()
        .map(|(name, t)| {
            vec![
                name.clone(),
                thousands(t.pulled),
                thousands(t.mapped),
                thousands(t.excluded),
                thousands(t.refused),
            ]
        })
        .collect();
    let all = [
        counts.total(|t| t.pulled),
        counts.total(|t| t.mapped),
        counts.total(|t| t.excluded),
        counts.total(|t| t.refused),
    ];
    rows.push(std::iter::once("all".to_owned()).chain(all.map(thousands)).collect());
    let mut out = vec![
        show::table(&["resources", "read", "mapped", "excluded", "refused"], &rows),
        String::new(),
    ];
    let tables: Vec<Vec<String>> = outcome
        .rows
        .iter()
        .map(|(name, number)| vec![name.clone(), thousands(*number)])
        .collect();
    out.push(show::table(&["table", "rows"], &tables));
    for (head, reasons) in [("Excluded, as the mappings say", &counts.excluded), ("Refused", &counts.refused)] {
        if !reasons.is_empty() {
            out.push(format!("\n{head}:"));
            out.extend(reasons.iter().map(|(why, number)| format!("  {:>10}  {why}", thousands(*number))));
        }
    }
    out.extend(report::withheld(counts));
    if !outcome.unmapped.is_empty() {
        out.push("\nCodes without a target (different codes, occurrences; --report names them, with their patients):".to_owned());
        out.extend(outcome.unmapped.iter().map(|one| {
            let reasons: Vec<_> = one
                .reasons
                .iter()
                .map(|(why, number)| format!("{why} {}", thousands(*number)))
                .collect();
            format!(
                "  {:>10}  {:>10}  {}.{} ({})",
                thousands(one.codes),
                thousands(one.count),
                one.table,
                one.column,
                reasons.join(", ")
            )
        }));
    }
    out.push(format!(
        "\nread {} = mapped {} + excluded {} + refused {}",
        thousands(all[0]),
        thousands(all[1]),
        thousands(all[2]),
        thousands(all[3])
    ));
    out.push(format!(
        "{:.2} s, {} resources/s, {:.1} MB/s, peak memory {} MiB",
        seconds,
        thousands(rate(all[0], seconds)),
        outcome.bytes as f64 / 1e6 / seconds.max(1e-9),
        peak_mib()
    ));
    out.join("\n")
}

fn json(outcome: &Outcome, seconds: f64) -> serde_json::Value {
    serde_json::json!({
        "resources": outcome.counts.types,
        "excluded": outcome.counts.excluded,
        "refused": outcome.counts.refused,
        "rows": outcome.rows,
        "withheld": outcome.counts.withheld,
        "unmapped": outcome.unmapped,
        "unmappedCodes": outcome.unmapped_codes,
        "unmappedBeyond": outcome.unmapped_beyond,
        "vocabulary": outcome.vocabulary,
        "refusals": outcome.refused,
        "bytes": outcome.bytes,
        "seconds": seconds,
        "resourcesPerSecond": rate(outcome.counts.total(|t| t.pulled), seconds),
        "megabytesPerSecond": outcome.bytes as f64 / 1e6 / seconds.max(1e-9),
        "peakMemoryMiB": peak_mib(),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate that does not fit is no rate"
)]
fn rate(number: u64, seconds: f64) -> u64 {
    (number as f64 / seconds.max(1e-9)) as u64
}

/// The most memory this process has held, as the kernel counts it (VmHWM); 0 where it does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace()
        .next()
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}
