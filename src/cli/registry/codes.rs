//! `headwater registry codes`: how many codes of a column few patients have, and the ConceptMap by which a network rolls them up.
//! That such a list was written stands in the log.

use std::path::PathBuf;

use serde_json::json;

use super::{failed, load, model_of, records};
use crate::cli::show::Stage;
use crate::cli::{Failure, show};
use crate::platform::file;
use crate::receive::codes::{Codes, codes};

/// Patients of the smallest cell that may be shown.
const LEAST: u64 = 11;

#[derive(clap::Args)]
#[command(after_help = "\
With --map the common codes are written as a ConceptMap in which each stays itself. Put it into the network package, as
mappings/<model>/concepts/FILE, and name it in the policy: { rule = \"roll-up\", by = \"concepts/FILE\", otherwise = \"other\" }. Add the
codes that rare ones become (a parent in ICD-10-CM, a class of ATC) to it by hand, each with the equivalence `wider`.

Example: headwater registry codes problem.code --map common_problem.json --dir ./registry")]
pub(super) struct Args {
    /// The column
    #[arg(value_name = "TABLE.COLUMN")]
    column: String,
    /// A code that fewer patients of all sites have is rare
    #[arg(long, value_name = "PATIENTS", default_value_t = LEAST, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    below: u64,
    /// Write the common codes as a ConceptMap
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// The model the table is of, when several have one of this name
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The registry's folder
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let shown = &args.column;
    let (table, column) = shown
        .split_once('.')
        .ok_or_else(|| Failure::usage(format!("`{shown}` is not TABLE.COLUMN")))?;
    if args.map.is_some() && args.below < LEAST {
        return Err(Failure::usage(format!(
            "--map is for every site to read: a list of what {} patients have would tell small cells; ask for --below {LEAST} or more",
            args.below
        )));
    }
    let settings = load(&args.dir)?;
    let (check, id) = model_of(&settings, args.model.as_deref(), table)?;
    let table = check.model.table(id);
    if table.column(column).is_none() {
        return Err(Failure::usage(format!("table `{}` has no column `{column}`", table.name)));
    }
    let Some(patient) = table.patient.and_then(|at| table.columns.get(at)) else {
        let what = format!("rows of `{}` are about no patient: a code there tells of nobody", table.name);
        return Err(Failure::usage(what));
    };
    let records = records(&settings)?;
    let read = |db: &rusqlite::Connection| codes(db, table, (column, &patient.name), args.below);
    // First the log: a list that was written has left the registry.
    if args.map.is_some() {
        records.note("codes-listed", shown).map_err(failed)?;
    }
    let stage = Stage::begin("codes");
    stage.now("patients of each code, over all sites");
    let counted = records.store.read(read).map_err(failed)?;
    stage.end(&format!("{} counted", show::count(counted.patients, "patient")));
    if let Some(path) = &args.map {
        let map = serde_json::to_vec_pretty(&concept_map(shown, args.below, &counted)).unwrap_or_default();
        file::write_durable(path, &map)
            .map_err(|error| Failure::usage(format!("--map {}: {}", path.display(), crate::cli::chain(&error))))?;
    }
    show::answer(&if args.json {
        json!({
            "column": shown, "below": args.below, "common": counted.common.len(), "rare": counted.rare, "patients": counted.patients,
            "patientsWithRare": counted.with_rare, "uniqueSets": counted.unique_sets,
        })
        .to_string()
    } else {
        words(shown, args.below, &counted)
    });
    Ok(())
}

fn words(column: &str, below: u64, counted: &Codes) -> String {
    let all = counted.common.len() as u64 + counted.rare;
    format!(
        "{column}: {} of {}; {} of them in fewer than {below} patients, held by {}; {} of patients have a set of codes that nobody else has",
        show::count(all, "code"),
        show::count(counted.patients, "patient"),
        show::thousands(counted.rare),
        show::count(counted.with_rare, "patient"),
        show::thousands(counted.unique_sets)
    )
}

/// Each common code stays itself. A column does not say its code system, so the group is named by the column.
fn concept_map(column: &str, below: u64, counted: &Codes) -> serde_json::Value {
    let element = |(code, _): &(String, u64)| json!({"code": code, "target": [{"code": code, "equivalence": "equal"}]});
    json!({
        "resourceType": "ConceptMap",
        "url": format!("urn:headwater:common-codes:{column}"),
        "status": "draft",
        "description": format!("The codes of {column} that {below} patients or more have; by a roll-up all others become another code"),
        "group": [{"source": format!("urn:headwater:column:{column}"), "element": counted.common.iter().map(element).collect::<Vec<_>>()}],
    })
}
