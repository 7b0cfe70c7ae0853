//! `headwater docs`: the data dictionary of a model, for the people who use its rows and for those who review them.

mod observed;
mod page;
mod text;

use std::path::PathBuf;

use super::{Failure, show};
use crate::network::Package;
use crate::platform::file;
use observed::Observed;

#[derive(clap::Args)]
#[command(
    after_help = "Fit to serve as the annotated data dictionary of an ETL: table, field, source, transformation, comments.\n\n\
                        Example: headwater coverage --model omop-5.4 --vocabulary ./athena --data ./ndjson --json > seen.json\n\
                        headwater docs --model omop-5.4 --coverage seen.json --out dictionary.html"
)]
pub(super) struct Args {
    /// The common data model
    #[arg(long, default_value = "ibd-registry")]
    model: String,
    /// Tell of each column how full it was: a report of `headwater coverage --json`
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Form::Html)]
    format: Form,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder with profiles/ and mappings/; without it, the package inside the binary
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Print the dictionary as one JSON object
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Html,
    Markdown,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let package = Package::at(args.package);
    let network = package.load(&args.model).map_err(|error| Failure::usage(error.to_string()))?;
    let dictionary = network.dictionary();
    let observed = args
        .coverage
        .map(|path| Observed::read(&path, &args.model))
        .transpose()?
        .unwrap_or_default();
    let written = match args.format {
        _ if args.json => {
            let mut json = serde_json::to_value(&dictionary).unwrap_or_default();
            observed.add_to(&mut json);
            json.to_string()
        }
        Form::Html => page::page(&dictionary, &observed).into_string(),
        Form::Markdown => text::markdown(&dictionary, &observed),
    };
    match &args.out {
        Some(path) => {
            file::write_durable(path, written.as_bytes()).map_err(|error| Failure::ours(&error))?;
            show::note(&format!("written: {}", path.display()));
        }
        None => show::answer(&written),
    }
    Ok(())
}
