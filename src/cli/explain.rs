//! `headwater explain`: from a released row back to its resource, mapping and rules, and from a submission to its receipt.
//! Only at the site: the registry has no such verb, for it has no key.

use std::io::IsTerminal;
use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Failure, chain, preview, show, sync};
use crate::config::{self, SiteConfig};
use crate::gateway::explain::{self, Explained, Sent};
use crate::network::{Dictionary, Package};

/// More of a path is shown elsewhere.
const PATH_CHARACTERS: usize = 80;

#[derive(clap::Args)]
#[command(
    after_help = "The resource's own id is shown at a terminal only; in a file or pipe it is left out, and its place in the landing stands there.\n\n\
                  Example: headwater explain 5f0c9f1c8f6a4e1d9a0b3c2d1e0f4a5b --site site.toml"
)]
pub(super) struct Args {
    /// The key of a row at the registry, or the id of a submission
    #[arg(value_name = "ROW_KEY | SUBMISSION")]
    of: String,
    /// Only the row of this table
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Show the resource's cells as they came, too: a patient's own data; at a terminal only
    #[arg(long)]
    show_identified: bool,
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Print JSON
    #[arg(long, conflicts_with = "show_identified")]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let identified = preview::at_a_terminal(args.show_identified)?;
    let config = config::load(&args.site).map_err(|error| Failure::usage(error.to_string()))?;
    let site = sync::opened(&config)?;
    let failed = |error: &crate::gateway::GatewayError| Failure::new(sync::exit_of(error), chain(error));
    if let Some(sent) = explain::submission(&site, &args.of).map_err(|error| failed(&error))? {
        show::answer(&if args.json {
            serde_json::to_string(&sent).unwrap_or_default()
        } else {
            submission(&sent).join("\n")
        });
        return Ok(());
    }
    let mut rows = explain::rows(&site, &args.of).map_err(|error| failed(&error))?;
    rows.retain(|row| args.table.as_ref().is_none_or(|table| *table == row.table));
    if rows.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "this site has no row at the registry under this key, and no submission of this name: it was never released, is withdrawn, \
             is of another table than --table says, or had this key before `keys rotate --master`. The registry's own key of a row is what is asked for",
        ));
    }
    let dictionary = dictionary(&config)?;
    for row in &mut rows {
        let shows_id = std::io::stdout().is_terminal() && !args.json;
        row.made_of = std::mem::take(&mut row.made_of)
            .into_iter()
            .map(|seen| {
                let id = seen.id.clone().filter(|_| shows_id);
                let seen = if identified { seen } else { seen.unidentified() };
                crate::gateway::looking::Seen { id, ..seen }
            })
            .collect();
        show::answer(&if args.json {
            as_json(row, &dictionary)
        } else {
            text(row, &dictionary)
        });
    }
    Ok(())
}

fn dictionary(config: &SiteConfig) -> Result<Dictionary, Failure> {
    let package = Package::at(config.package.clone());
    let network = package
        .load_for(&config.model, &config.validation)
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(network.dictionary())
}

/// The mapping lines that may fill a column from this type of resource: file, path, what is done on the way.
fn lines_of(dictionary: &Dictionary, table: &str, resource_types: &[&str]) -> Vec<(String, String, String, String)> {
    let columns = dictionary
        .tables
        .iter()
        .filter(|entry| entry.name == table)
        .flat_map(|entry| &entry.columns);
    columns
        .flat_map(|column| {
            let of_type = column
                .sources
                .iter()
                .filter(|source| resource_types.contains(&source.resource.as_str()));
            of_type.map(|source| {
                let rules = source.rules.join(" ");
                (column.name.clone(), source.file.clone(), source.path.clone(), rules)
            })
        })
        .collect()
}

fn types_of(row: &Explained) -> Vec<&str> {
    row.made_of.iter().map(|seen| seen.resource_type.as_str()).collect()
}

fn as_json(row: &Explained, dictionary: &Dictionary) -> String {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    let lines = lines_of(dictionary, &row.table, &types_of(row));
    value["mapping"] = lines
        .into_iter()
        .map(|(column, file, path, rules)| json!({ "column": column, "file": file, "path": path, "rules": rules }))
        .collect();
    value.to_string()
}

fn text(row: &Explained, dictionary: &Dictionary) -> String {
    let mut lines = vec![format!("row {} of `{}`", row.key, row.table), String::new()];
    match &row.sent {
        Some(sent) => lines.extend(submission(sent)),
        None => lines.push("as it stood at the registry when this ledger began: the submission is not known here".to_owned()),
    }
    lines.push(String::new());
    if row.is_derived {
        lines.push(format!("made of {}:", show::count(row.made_of.len() as u64, "resource")));
    }
    if row.made_of.is_empty() {
        lines.push("its resource is not landed here any more".to_owned());
    }
    lines.extend(row.made_of.iter().map(preview::resource));
    let mut mapping: Vec<Vec<String>> = lines_of(dictionary, &row.table, &types_of(row))
        .into_iter()
        .map(|(column, file, path, rules)| vec![column, file, shortened(&path), rules])
        .collect();
    mapping.dedup();
    if !mapping.is_empty() {
        lines.push("\nmapping (`headwater docs` and --json show every path whole)".to_owned());
        lines.push(show::left_table(&["column", "file", "from", "what is done"], &mapping));
    }
    lines.join("\n")
}

/// A path without the lists it is asked of, and not longer than a line bears.
fn shortened(path: &str) -> String {
    let own = path.rsplit(" → ").next().unwrap_or(path);
    if own.chars().count() <= PATH_CHARACTERS {
        return own.to_owned();
    }
    let begins: String = own.chars().take(PATH_CHARACTERS - 1).collect();
    format!("{begins}…")
}

fn submission(sent: &Sent) -> Vec<String> {
    let line = |name: &str, text: &str| format!("{name:<14} {text}");
    let mut lines = vec![
        line("submission", &sent.submission),
        line("run", &format!("{}, {}", sent.run, sent.kind)),
        line("sequence", &sent.sequence.to_string()),
        line("manifest", &sent.manifest_sha256),
        line("master key", &sent.key_fingerprint),
    ];
    match (&sent.acknowledged_at, sent.leaf) {
        (Some(at), Some(leaf)) => lines.push(line("receipt", &format!("{at}, leaf {leaf} of the registry's log"))),
        _ => lines.push(line("receipt", "none yet: it waits in the outbox")),
    }
    let total = |side: &std::collections::BTreeMap<String, u64>| side.values().sum::<u64>();
    let counts = &sent.counts;
    lines.push(line(
        "rows",
        &format!(
            "{} upserts, {} tombstones; {} accepted, {} rejected; {} are at the registry as it sent them",
            total(&counts.upserts),
            total(&counts.tombstones),
            counts.accepted,
            counts.rejected,
            sent.rows_now
        ),
    ));
    lines
}
