//! `headwater check`: loads a network package whole and runs every case, so that a mapping author needs no site.

use std::path::PathBuf;

use super::{Exit, Failure, show};
use crate::deidentify::Basis;
use crate::map;
use crate::network::Package;

#[derive(clap::Args)]
#[command(after_help = "Example: headwater check .")]
pub(super) struct Args {
    /// Folder with profiles/ and mappings/; without it, the package inside the binary
    dir: Option<PathBuf>,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let package = Package::at(args.dir);
    let models = args.model.map_or_else(|| package.models(), |model| vec![model]);
    if models.is_empty() {
        return Err(Failure::usage(
            "no models found: the folder needs mappings/<model>/ and profiles/<model>/",
        ));
    }
    let mut faults = Vec::new();
    let mut results = Vec::new();
    for name in &models {
        let network = match package.load(name) {
            Ok(network) => network,
            Err(error) => {
                faults.extend(error.faults);
                continue;
            }
        };
        for basis in Basis::ALL {
            let policy = basis.as_str();
            if let Err(error) = network.under(policy) {
                faults.extend(error.faults.into_iter().map(|fault| format!("{policy}: {fault}")));
            }
        }
        let tables = network.model.tables().count();
        let columns: usize = network.model.tables().map(|(_, table)| table.columns.len()).sum();
        let (mut cases, mut failed) = (0, 0);
        for (file, text) in &network.cases {
            let report = map::cases::run_cases(&network.mapping, file, text);
            cases += report.cases;
            failed += report.failures.len();
            faults.extend(report.failures.iter().map(ToString::to_string));
        }
        results.push(serde_json::json!({ "model": name, "tables": tables, "columns": columns, "cases": cases, "failures": failed }));
        if !args.json {
            show::answer(&format!(
                "{name}: {tables} tables, {columns} columns, {cases} cases, {failed} failures"
            ));
        }
    }
    if args.json {
        show::answer(&serde_json::json!({ "models": results, "faults": faults }).to_string());
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("{} fault(s):\n{}", faults.len(), faults.join("\n")),
    ))
}
