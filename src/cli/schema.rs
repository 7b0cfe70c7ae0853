//! `headwater schema`: a model's compact description, `model.toml`, to the JSON Schemas of its tables.

use std::fs;
use std::path::PathBuf;

use super::{Failure, show};
use crate::cdm::describe;
use crate::platform::file;

#[derive(clap::Args)]
#[command(
    after_help = "A column is one line: its name, its type (`!` when every row has it), `-> table` where it holds that table's\n\
                  key, and what it holds. Types: boolean, integer, decimal (both with a range: integer[0..9]), text, text(N),\n\
                  date, partial-date, datetime, time, id and key (a row's own key, as integer or as text), set(NAME), like(NAME).\n\
                  Of a table, any = [\"a\", \"b\"] says that every row has at least one of these columns.\n\n\
                  Example: headwater schema profiles/omop-5.4"
)]
pub(super) struct Args {
    /// The model's folder, which has a model.toml; the schemas are written beside it
    dir: PathBuf,
    /// Write nothing; say which files differ from the description, and leave with 2 if one does
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let description = args.dir.join("model.toml");
    let text = fs::read_to_string(&description).map_err(|error| {
        Failure::usage(format!(
            "{}: cannot be read ({}); it is the description a model's schemas are made from",
            description.display(),
            error.kind()
        ))
    })?;
    let files = describe::schemas(&text).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(|fault| format!("{}:{fault}", description.display())).collect();
        Failure::usage(lines.join("\n"))
    })?;
    let mut differ = Vec::new();
    for (name, schema) in &files {
        let path = args.dir.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *schema) {
            continue;
        }
        differ.push(format!("{}: is not what model.toml says", path.display()));
        if !args.check {
            file::write_durable(&path, schema.as_bytes()).map_err(|error| Failure::ours(&error))?;
        }
    }
    let written = if args.check { 0 } else { differ.len() };
    let strangers = strangers(&args.dir, &files);
    if args.check && !(differ.is_empty() && strangers.is_empty()) {
        differ.extend(strangers);
        return Err(Failure::usage(format!(
            "{}\nwrite them anew: headwater schema {}",
            differ.join("\n"),
            args.dir.display()
        )));
    }
    strangers.iter().for_each(|stranger| show::note(stranger));
    show::answer(&format!("{} tables, {written} schemas written anew", files.len()));
    Ok(())
}

/// Schemas beside the description that it does not name.
fn strangers(dir: &std::path::Path, files: &[(String, String)]) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".schema.json") && !files.iter().any(|(known, _)| known == name))
        .map(|name| format!("{}: is of no table in model.toml", dir.join(name).display()))
        .collect();
    found.sort();
    found
}
