//! `headwater diff`: what another mapping makes of the same data, before it meets a patient.

use std::path::{Path, PathBuf};

use super::show::{self, Stage, thousands};
use super::{Failure, chain, vocabulary};
use crate::fhir::tree::Limits;
use crate::gateway::Rules;
use crate::gateway::compare::{Comparison, compare};
use crate::gateway::offline::OfflineError;
use crate::network::Package;

#[derive(clap::Args)]
#[command(
    after_help = "Each resource is mapped by both; rows are compared by key. Exit code 0, whether or not something differs.\n\n\
                  Example: headwater diff --data ./ndjson --model ibd-registry built-in ./my-package"
)]
pub(super) struct Args {
    /// Folder of NDJSON, files named `<Type>*.ndjson[.gz]`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The package as it is: a folder with profiles/ and mappings/, or `built-in`
    old: PathBuf,
    /// The package as it shall be
    new: PathBuf,
    /// The common data model
    #[arg(long, default_value = "ibd-registry")]
    model: String,
    /// Folder with Athena's CSV files, for a model that looks codes up
    #[arg(long, value_name = "DIR")]
    vocabulary: Option<PathBuf>,
    /// Show a few keys of rows that differ: they are keys of the source, so keep them at the site
    #[arg(long)]
    keys: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let (old, new) = (rules(&args, &args.old)?, rules(&args, &args.new)?);
    let stage = Stage::begin("diff");
    let progress = |resources: u64, bytes: u64| stage.now(format!("{} resources, {} MB", thousands(resources), bytes / 1_000_000));
    let found = compare(&old, &new, &args.data, &Limits::default(), args.keys, &progress).map_err(|error| failure(&error))?;
    stage.end(&format!("{} resources", thousands(found.resources)));
    if args.json {
        show::answer(&serde_json::to_string(&found).unwrap_or_default());
    } else {
        show::answer(&text(&found));
    }
    Ok(())
}

/// What a folder that cannot be read, and what our own error ends with.
pub(super) fn failure(error: &OfflineError) -> Failure {
    match error {
        OfflineError::Folder(_) | OfflineError::Setup(_) => Failure::usage(chain(error)),
        other => Failure::ours(other),
    }
}

fn rules(args: &Args, place: &Path) -> Result<Rules, Failure> {
    let package = Package::at((place != Path::new("built-in")).then(|| place.to_owned()));
    load(&package, &args.model, args.vocabulary.as_deref())
}

/// The rules of one model; which policy does not matter where nothing leaves.
pub(super) fn load(package: &Package, model: &str, folder: Option<&Path>) -> Result<Rules, Failure> {
    let mut network = package.load(model).map_err(|error| Failure::usage(error.to_string()))?;
    let cache = match folder {
        Some(_) => vocabulary::user_cache()?,
        None => PathBuf::new(),
    };
    vocabulary::attach(&mut network, folder, &cache, "--vocabulary DIR")?;
    network.under("safe-harbor").map_err(|error| Failure::usage(error.to_string()))
}

fn text(found: &Comparison) -> String {
    if found.is_same() {
        return format!("no difference in the rows of {} resources", thousands(found.resources));
    }
    let mut out = Vec::new();
    let rows: Vec<_> = found
        .tables
        .iter()
        .map(|(name, table)| {
            let counts = [table.added, table.dropped, table.changed, table.same];
            std::iter::once(name.clone()).chain(counts.map(thousands)).collect()
        })
        .collect();
    out.push(show::table(&["table", "added", "dropped", "changed", "same"], &rows));
    let changed = |(name, table): (&String, &crate::gateway::compare::TableChange)| -> Vec<Vec<String>> {
        let columns = table.columns.iter();
        columns
            .map(|(column, rows)| vec![format!("{name}.{column}"), thousands(*rows)])
            .collect()
    };
    let columns: Vec<_> = found.tables.iter().flat_map(changed).collect();
    if !columns.is_empty() {
        out.push(format!("\n{}", show::table(&["column", "rows changed"], &columns)));
    }
    for (head, names) in [
        ("Tables added", &found.tables_added),
        ("Tables dropped", &found.tables_dropped),
        ("Columns added", &found.columns_added),
        ("Columns dropped", &found.columns_dropped),
    ] {
        if !names.is_empty() {
            out.push(format!("\n{head}: {}", names.join(", ")));
        }
    }
    if !found.fates.is_empty() {
        out.push("\nResources whose fate differs:".to_owned());
        out.extend(
            found
                .fates
                .iter()
                .map(|(fates, number)| format!("  {:>10}  {fates}", thousands(*number))),
        );
    }
    if !found.new_unmapped.is_empty() {
        out.push("\nCodes that the new mapping has no concept for:".to_owned());
        out.extend(found.new_unmapped.iter().map(|code| {
            let shown = if code.code.is_empty() { "(free text)" } else { &code.code };
            format!(
                "  {:>10}  {}  {} {shown}  ({})",
                thousands(code.times),
                code.place,
                code.system,
                code.reason
            )
        }));
    }
    for (name, table) in &found.tables {
        for (kind, keys) in &table.keys {
            out.push(format!("\n{name}, {kind}: {}", keys.join(", ")));
        }
    }
    out.join("\n")
}
