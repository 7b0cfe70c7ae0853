//! `headwater coverage`: what of the data a mapping leaves out, for the one who writes it.

mod groups;
mod page;
mod text;

use std::path::{Path, PathBuf};

use super::diff::{failure, load};
use super::show::{self, Stage, thousands};
use super::{Failure, chain, sync};
use crate::config;
use crate::fhir::tree::Limits;
use crate::gateway::Tools;
use crate::gateway::coverage::{Coverage, coverage, coverage_of_landed};
use crate::network::{Package, Untested};
use crate::platform::clock::Clock;
use crate::platform::{file, http};

#[derive(clap::Args)]
#[command(
    group(clap::ArgGroup::new("source").required(true).args(["data", "site"])),
    after_help = "Element paths, urls of extensions and codes are shown, never a value of a patient. A code of a site's own may still name \
                        somebody: the report of a site stays there, --share writes one for outside.\n\n\
                        Example: headwater coverage --model ibd-registry --data ./ndjson --html coverage.html"
)]
pub(super) struct Args {
    /// The common data model; with --site, the site's own
    #[arg(long, value_name = "MODEL", default_value = "ibd-registry")]
    model: String,
    /// Folder of NDJSON, files named `<Type>*.ndjson[.gz]`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A site's folder, or its file: what it has landed is read, by its own model and package
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "vocabulary", "package"])]
    site: Option<PathBuf>,
    /// Leave out who may not leave the site (withdrawn, excluded, without consent) and what fewer than 11 patients have, and round every count up to a multiple of 11, so that the report may be shown outside
    /// the site and no two of its counts tell of fewer than 11
    #[arg(long)]
    share: bool,
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
    let (found, untested) = match (&args.site, &args.data) {
        (Some(site), _) => of_site(site, args.share)?,
        (None, data) => of_folder(&args, data.as_deref().unwrap_or(Path::new("")))?,
    };
    let found = if args.share { found.for_outside() } else { found };
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
        show::answer(&text::text(&found, &untested));
    }
    Ok(())
}

fn of_folder(args: &Args, data: &Path) -> Result<(Coverage, Vec<Untested>), Failure> {
    let package = Package::at(args.package.clone());
    let rules = load(&package, &args.model, args.vocabulary.as_deref())?;
    let untested = untested(&package, &args.model)?;
    let found = staged(|progress| coverage(&rules, data, &Limits::default(), progress).map_err(|error| failure(&error)))?;
    Ok((found, untested))
}

/// Of what the site has landed. Nothing is pulled or sent; while it is read, no run of the site begins.
fn of_site(place: &Path, for_outside: bool) -> Result<(Coverage, Vec<Untested>), Failure> {
    let path = if place.is_dir() {
        place.join("site.toml")
    } else {
        place.to_owned()
    };
    let config = config::load(&path).map_err(|error| Failure::usage(error.to_string()))?;
    let tools = Tools {
        http: http::client(&config.watchful_http()).map_err(|error| Failure::usage(chain(&error)))?,
        clock: Clock::system(),
    };
    let untested = untested(&Package::at(config.package.clone()), &config.model)?;
    let site = sync::open(&config, tools)?;
    let found = staged(|progress| coverage_of_landed(&site, for_outside, progress).map_err(|error| Failure::ours(&error)))?;
    Ok((found, untested))
}

fn untested(package: &Package, model: &str) -> Result<Vec<Untested>, Failure> {
    let network = package.load(model).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(network.untested())
}

/// What `read` finds, with its progress shown.
fn staged(read: impl FnOnce(&dyn Fn(u64, u64)) -> Result<Coverage, Failure>) -> Result<Coverage, Failure> {
    let stage = Stage::begin("coverage");
    let found = read(&|resources, bytes| stage.now(format!("{} resources, {} MB", thousands(resources), bytes / 1_000_000)))?;
    let read = found.resources.values().map(|types| types.read).sum();
    stage.end(&format!("{} resources", thousands(read)));
    Ok(found)
}
