//! `headwater preview`: what would leave of some patients, row by row, and what each rule did to each cell. Sends nothing.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

use super::{Failure, chain, runtime, show, sync};
use crate::config;
use crate::gateway::looking::{Seen, SeenRow};
use crate::gateway::{self, Event, Options, preview};

#[derive(clap::Args)]
#[command(
    after_help = "It looks at what is landed; where nothing is yet, it pulls as a rehearsal does, sends nothing and keeps nothing.\n\
                  What a patient's record says is not shown, but for what leaves of it.\n\n\
                  Example: headwater preview --site site.toml --patients 2"
)]
pub(super) struct Args {
    /// Look at so many patients, and at what is nobody's
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    patients: u32,
    /// Show ids and cells as they came, too: a patient's own data; at a terminal only
    #[arg(long)]
    show_identified: bool,
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Print one JSON object for each resource
    #[arg(long, conflicts_with = "show_identified")]
    json: bool,
}

/// Identified values are for eyes, not for files and pipes.
pub(super) fn at_a_terminal(asked: bool) -> Result<bool, Failure> {
    if asked && !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "--show-identified is for a terminal: what a patient's record says is written into no file or pipe",
        ));
    }
    Ok(asked)
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let identified = at_a_terminal(args.show_identified)?;
    let config = config::load(&args.site).map_err(|error| Failure::usage(error.to_string()))?;
    let site = sync::opened(&config)?;
    let mut fates: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut rows = 0;
    let mut staying: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut tell = |seen: Seen| {
        *fates.entry(seen.fate).or_default() += 1;
        rows += seen.rows.len() as u64;
        let seen = if identified { seen } else { seen.unidentified() };
        if args.json {
            show::answer(&serde_json::to_string(&seen).unwrap_or_default());
        } else if seen.fate == "excluded" {
            let why = seen.why.unwrap_or_default();
            *staying.entry((why, seen.resource_type)).or_default() += 1;
        } else {
            show::answer(&resource(&seen));
        }
    };
    let patients = args.patients as usize;
    let failed = |error: &gateway::GatewayError| Failure::new(sync::exit_of(error), chain(error));
    if preview::is_anything_landed(&site).map_err(|error| failed(&error))? {
        preview::preview(&site, patients, &mut tell).map_err(|error| failed(&error))?;
    } else {
        show::note("nothing is landed yet: this is a rehearsal, which keeps and sends nothing");
        let (resources, seen) = std::sync::mpsc::channel();
        let options = Options {
            rehearse: true,
            preview: Some(patients),
            ..Options::default()
        };
        let listen = |event: Event| {
            if let Event::Preview(seen) = event {
                // Nobody listening is no reason to stop.
                let _ = resources.send(*seen);
            }
        };
        let done = runtime()?.block_on(gateway::run(&site, &options, &listen));
        done.map_err(|error| failed(&error))?;
        seen.try_iter().for_each(tell);
    }
    if !staying.is_empty() {
        let rows: Vec<Vec<String>> = staying
            .into_iter()
            .map(|((why, resource_type), number)| vec![resource_type, show::thousands(number), why])
            .collect();
        show::answer(&format!(
            "\nnot leaving\n{}",
            show::left_table(&["resources", "number", "why"], &rows)
        ));
    }
    let fates: Vec<String> = fates.iter().map(|(fate, number)| format!("{number} {fate}")).collect();
    let fates = if fates.is_empty() { "none".to_owned() } else { fates.join(", ") };
    show::note(&format!(
        "resources: {fates}; {} would leave; nothing was sent",
        show::count(rows, "row")
    ));
    Ok(())
}

/// One resource as text.
pub(super) fn resource(seen: &Seen) -> String {
    let id = seen.id.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
    let why = seen.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let mut lines = vec![format!(
        "{}{id} (landed in run {}, segment {}, line {}) — {}{why}",
        seen.resource_type, seen.landed_in, seen.segment, seen.line, seen.fate
    )];
    lines.extend(seen.rows.iter().map(row));
    lines.join("\n")
}

fn row(row: &SeenRow) -> String {
    let shows_before = row.columns.iter().any(|cell| cell.identified.is_some());
    let mut head = vec!["column", "leaves", "what was done", "rule", "why"];
    if shows_before {
        head.insert(1, "came");
    }
    let cells: Vec<Vec<String>> = row
        .columns
        .iter()
        .map(|cell| {
            let mut line = vec![
                cell.column.clone(),
                cell.released.clone(),
                cell.effect.clone(),
                cell.rule.clone(),
                cell.reason.clone(),
            ];
            if let Some(before) = &cell.identified {
                line.insert(1, before.clone());
            }
            line
        })
        .collect();
    format!("  row {} of `{}`\n{}", row.key, row.table, show::left_table(&head, &cells))
}
