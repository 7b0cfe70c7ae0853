//! `headwater coverage`: what of the data a mapping leaves out, for the one who writes it.

mod page;

use std::path::PathBuf;

use super::Failure;
use super::diff::{failure, load};
use super::show::{self, Stage, thousands};
use crate::fhir::tree::Limits;
use crate::gateway::coverage::{Coverage, coverage};
use crate::network::{Package, Untested};
use crate::platform::file;

/// Lines of each list on a terminal; `--json` and `--html` have all.
const SHOWN: usize = 25;

#[derive(clap::Args)]
#[command(
    after_help = "Element paths, urls of extensions and codes are shown, never a value of a patient.\n\n\
                        Example: headwater coverage --model ibd-registry --data ./ndjson --html coverage.html"
)]
pub(super) struct Args {
    /// The common data model
    #[arg(long, default_value = "ibd-registry")]
    model: String,
    /// Folder of NDJSON, files named `<Type>*.ndjson[.gz]`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder with Athena's CSV files, for a model that looks codes up
    #[arg(long, value_name = "DIR")]
    vocabulary: Option<PathBuf>,
    /// Folder with profiles/ and mappings/; without it, the package inside the binary
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Write the report as a page to look at
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let package = Package::at(args.package.clone());
    let rules = load(&package, &args.model, args.vocabulary.as_deref())?;
    let untested = package
        .load(&args.model)
        .map_err(|error| Failure::usage(error.to_string()))?
        .untested();
    let stage = Stage::begin("coverage");
    let progress = |resources: u64, bytes: u64| stage.now(format!("{} resources, {} MB", thousands(resources), bytes / 1_000_000));
    let found = coverage(&rules, &args.data, &Limits::default(), &progress).map_err(|error| failure(&error))?;
    stage.end(&format!(
        "{} resources",
        thousands(found.resources.values().map(|types| types.read).sum())
    ));
    if let Some(path) = &args.html {
        let page = page::page(&found, &untested).into_string();
        file::write_durable(path, page.as_bytes()).map_err(|error| Failure::ours(&error))?;
        show::note(&format!("written: {}", path.display()));
    }
    if args.json {
        let mut json = serde_json::to_value(&found).unwrap_or_default();
        json["untested"] = serde_json::to_value(&untested).unwrap_or_default();
        show::answer(&json.to_string());
    } else {
        show::answer(&text(&found, &untested));
    }
    Ok(())
}

fn text(found: &Coverage, untested: &[Untested]) -> String {
    let types: Vec<Vec<String>> = found
        .resources
        .iter()
        .map(|(name, types)| {
            let counts = [types.read, types.mapped, types.excluded, types.refused].map(thousands);
            let known = if types.known { "" } else { "no view reads it" };
            std::iter::once(name.clone()).chain(counts).chain([known.to_owned()]).collect()
        })
        .collect();
    let mut out = vec![show::table(&["resources", "read", "mapped", "excluded", "refused", ""], &types)];
    let mut list = |head: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        out.push(format!("\n{head}:"));
        let more = lines.len().saturating_sub(SHOWN);
        out.extend(lines.into_iter().take(SHOWN).map(|line| format!("  {line}")));
        if more > 0 {
            out.push(format!("  … and {} more: --json or --html has all", thousands(more as u64)));
        }
    };
    let unread = found.unread.iter().map(|one| {
        format!(
            "{:>10} {:>5.1} % {:>8}  {}",
            thousands(one.resources),
            one.percent,
            thousands(one.patients),
            one.path
        )
    });
    list("Elements that no mapping reads (resources, share, patients)", unread.collect());
    let codes = found.codes.iter().map(|gap| {
        let code = if gap.code.is_empty() { "(free text)" } else { &gap.code };
        format!(
            "{:>10} {:>8}  {}.{}  {} {code}  ({})",
            thousands(gap.times),
            thousands(gap.patients),
            gap.table,
            gap.column,
            gap.system,
            gap.reason
        )
    });
    list("Codes without a concept (times, patients)", codes.collect());
    list(
        "Columns that no row fills",
        found
            .never_filled()
            .map(|column| format!("{}.{}", column.table, column.column))
            .collect(),
    );
    list(
        "Views that gave no row",
        found.silent_views().map(|view| view.file.clone()).collect(),
    );
    list(
        "Columns that no case tries",
        untested.iter().map(|one| format!("{}: {}", one.file, one.column)).collect(),
    );
    out.join("\n")
}
