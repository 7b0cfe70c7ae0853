//! `headwater check`: loads a network package whole and runs every case, so that a mapping author needs no site.

use std::path::PathBuf;

use super::{Exit, Failure, show};
use crate::network::{Checked, Package};

#[derive(clap::Args)]
#[command(
    after_help = "Every fault is named at once, with file, line and column. Exit code 2 if there is one.\n\nExample: headwater check ."
)]
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
            "no model was found there: the folder needs mappings/<model>/ and profiles/<model>/, as headwater's own repository has them",
        ));
    }
    let mut faults = Vec::new();
    let mut results = Vec::new();
    for name in &models {
        let mut checked = package.check(name);
        faults.append(&mut checked.faults);
        if checked.tables == 0 {
            continue;
        }
        let Checked {
            tables,
            columns,
            cases,
            failed,
            ..
        } = checked;
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
        format!("{}:\n{}", show::count(faults.len() as u64, "fault"), faults.join("\n")),
    ))
}
