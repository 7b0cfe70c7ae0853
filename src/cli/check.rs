//! `headwater check`: loads a network package whole and runs every case, so that a mapping author needs no site.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, show, vocabulary};
use crate::map;
use crate::network::{Checked, Package};

#[derive(clap::Args)]
#[command(
    after_help = "Every fault is named at once, with file, line and column. Exit code 2 if there is one.\n\nExample: headwater check ."
)]
pub(super) struct Args {
    /// Folder with profiles/ and mappings/; without it, the package inside the binary
    dir: Option<PathBuf>,
    /// Make a case out of this resource (JSON; - for stdin): everything of a patient in it is replaced by invented values, and the
    /// rows that come out now are put beside it. Nothing is written: read it, then put it into the view's cases
    #[arg(long, value_name = "FILE", requires = "view")]
    new_case: Option<PathBuf>,
    /// The view the new case is for: its file, Observation.lab_result.json
    #[arg(long, value_name = "VIEW", requires = "new_case")]
    view: Option<PathBuf>,
    /// The resource is invented already: leave its values as they are
    #[arg(long, requires = "new_case")]
    as_is: bool,
    /// What the new case is called
    #[arg(long, value_name = "TEXT", default_value = "a case without a name yet")]
    name: String,
    /// Folder with Athena's CSV files: warns of every concept id in the mapping's files that is not there, not standard and valid, of
    /// another domain than its column takes, or called otherwise
    #[arg(long, value_name = "DIR", conflicts_with = "new_case")]
    vocabulary: Option<PathBuf>,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let package = Package::at(args.dir.clone());
    let models = args.model.clone().map_or_else(|| package.models(), |model| vec![model]);
    if models.is_empty() {
        return Err(Failure::usage(
            "no model was found there: the folder needs mappings/<model>/ and profiles/<model>/, as headwater's own repository has them",
        ));
    }
    if let (Some(file), Some(view)) = (&args.new_case, &args.view) {
        let [model] = models.as_slice() else {
            return Err(Failure::usage(format!("--model is needed: {}", models.join(", "))));
        };
        return new_case(&package, model, file, view, &args);
    }
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut results = Vec::new();
    for name in &models {
        let mut checked = package.check(name);
        faults.append(&mut checked.faults);
        if checked.tables == 0 {
            continue;
        }
        if let Some(folder) = &args.vocabulary {
            warnings.extend(concepts(&package, name, folder)?);
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
        show::answer(&serde_json::json!({ "models": results, "faults": faults, "warnings": warnings }).to_string());
    } else {
        warnings.iter().for_each(|warning| show::note(&format!("warning: {warning}")));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("{}:\n{}", show::count(faults.len() as u64, "fault"), faults.join("\n")),
    ))
}

/// What the vocabulary in `folder` says against the model's concept ids; nothing, where the model looks no codes up.
fn concepts(package: &Package, model: &str, folder: &Path) -> Result<Vec<String>, Failure> {
    // What is wrong with the package is told as its faults.
    let Ok(mut network) = package.load(model) else {
        return Ok(Vec::new());
    };
    if !network.mapping.needs_vocabulary() {
        return Ok(Vec::new());
    }
    vocabulary::attach(&mut network, Some(folder), &vocabulary::user_cache()?, "--vocabulary DIR")?;
    let Some(vocabulary) = &network.vocabulary else {
        return Ok(Vec::new());
    };
    let found = network.foreign_concepts(vocabulary.as_ref());
    if let Some(fault) = vocabulary.fault() {
        return Err(Failure::new(Exit::Ours, format!("the vocabulary could not be read: {fault}")));
    }
    Ok(found.iter().map(|fault| format!("{model}: {fault}")).collect())
}

fn new_case(package: &Package, model: &str, file: &Path, view: &Path, args: &Args) -> Result<(), Failure> {
    let network = package.load(model).map_err(|error| Failure::usage(error.to_string()))?;
    let unreadable = |error: std::io::Error| Failure::usage(format!("--new-case {}: cannot be read ({})", file.display(), error.kind()));
    let resource = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map_err(unreadable)?
    } else {
        std::fs::read_to_string(file).map_err(unreadable)?
    };
    let base = view.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let table = base.split('.').nth(1).unwrap_or_default();
    let resource: serde_json::Value = serde_json::from_str(&resource)
        .map_err(|error| Failure::usage(format!("--new-case {}: line {}: is not JSON", file.display(), error.line())))?;
    let resource = if args.as_is { resource } else { map::synthetic(&resource) };
    let case = map::new_case(&network.mapping, network.case_vocabulary.as_ref(), table, &args.name, resource)
        .map_err(|fault| Failure::usage(format!("--new-case {}: {fault}", file.display())))?;
    show::answer(&serde_json::to_string_pretty(&case).unwrap_or_default());
    Ok(())
}
