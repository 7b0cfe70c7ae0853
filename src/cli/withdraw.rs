//! `headwater withdraw`: a patient's rows are withdrawn from the registry and none leaves again, until a person says otherwise.
//! The id is read from a prompt, stdin or a file, so that it need not stand in a shell's history; it is never shown again.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::{Failure, chain, show, sync};
use crate::config;
use crate::gateway::consent::{key_of, patients};
use crate::gateway::desk::{Asked, Desk};
use crate::gateway::{Options, Places, SiteError};
use crate::platform::clock::Clock;

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Without PATIENT it asks, or reads ids from stdin, one a line: they need not stand in the shell's history.\n\
                  The next `headwater sync` withdraws every row of the patient, also after `--full`, a rotation of the keys or a\n\
                  restore from a backup made later; make a new backup after this. An id that this site does not know blocks nobody\n\
                  and ends with exit code 2, for it may be misspelt; `--block-unknown` blocks it for the future.\n\n\
                  Example: headwater withdraw --site site.toml --now"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The logical id of the FHIR Patient; `-` reads ids from stdin
    patient: Option<String>,
    /// A file of patients, one id a line; `#` begins a remark
    #[arg(long, value_name = "FILE", conflicts_with = "patient")]
    file: Option<PathBuf>,
    /// Block also an id that this site does not know: somebody whose record was never pulled
    #[arg(long)]
    block_unknown: bool,
    /// Why, in your words; kept sealed, at this site only
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Run a sync at once, and wait for the registry's receipt
    #[arg(long)]
    now: bool,
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Print one JSON object for each patient
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// All withdrawals: number, state, submission and the leaf of the registry's log that proves it; nobody's name
    #[command(after_help = "Example: headwater withdraw list --site site.toml --json")]
    List(Of),
    /// One withdrawal: what was asked for and why, what the registry answered, and its receipt
    #[command(after_help = "Example: headwater withdraw status 3 --site site.toml")]
    Status {
        /// The withdrawal's number, as `list` shows it
        number: i64,
        #[command(flatten)]
        of: Of,
    },
    /// Take a withdrawal back: what else holds for the patient holds again, from the next sync on
    #[command(after_help = "Example: headwater withdraw undo 3 --site site.toml")]
    Undo {
        /// The withdrawal's number, as `list` shows it
        number: i64,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(clap::Args)]
struct Of {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match &args.verb {
        None => withdraw(&args),
        Some(Verb::List(of)) => list(of),
        Some(Verb::Status { number, of }) => status(*number, of),
        Some(Verb::Undo { number, of }) => undo(*number, of),
    }
}

fn open(site: &Path) -> Result<Desk, Failure> {
    let config = config::load(site).map_err(|error| Failure::usage(error.to_string()))?;
    Desk::open(&Places::of(&config.state)).map_err(|error| match error {
        SiteError::Key(_) => Failure::usage(chain(&error)),
        error => Failure::ours(&error),
    })
}

fn withdraw(args: &Args) -> Result<(), Failure> {
    if let Some(verb) = args
        .patient
        .as_deref()
        .filter(|word| ["list", "status", "undo", "help"].contains(word))
    {
        return Err(Failure::usage(format!(
            "`{verb}` stands behind an option, where a patient's id would: write `headwater withdraw {verb} …` with the options last"
        )));
    }
    let patients = asked(args)?;
    let desk = open(&args.site)?;
    let clock = Clock::system();
    let strangers = match args.block_unknown {
        true => Vec::new(),
        false => desk.strangers(&patients).map_err(|error| Failure::ours(&error))?,
    };
    let mut waits = false;
    for (at, patient) in patients.iter().enumerate() {
        if strangers.contains(&at) {
            if args.json {
                show::answer(&serde_json::json!({ "refused": "unknown", "number": at + 1 }).to_string());
            }
            continue;
        }
        let done = desk.withdraw(patient, args.reason.as_deref(), clock.now());
        let done = done.map_err(|error| Failure::ours(&error))?;
        waits |= done.after_a_waiting_submission;
        show::answer(&if args.json {
            serde_json::to_string(&done).unwrap_or_default()
        } else {
            words(&done)
        });
    }
    let refused = unknown(&strangers, patients.len());
    if strangers.len() == patients.len() {
        return refused;
    }
    if waits {
        show::note(
            "a submission packaged before this is still waiting and is sent first, as it is; the withdrawal follows it in the next run",
        );
    }
    show::note("blocks are part of `headwater keys backup`: make a new one");
    if !args.now {
        return refused;
    }
    if let Err(refused) = &refused {
        show::note(&refused.message);
    }
    let mut report = sync::once(&args.site, &Options::default())?;
    let still = || {
        let made = desk.list().map_err(|error| Failure::ours(&error))?;
        Ok::<_, Failure>(made.iter().filter(|one| one.state == "waiting").count())
    };
    let mut waiting = still()?;
    if waiting > 0 {
        // The first run ended an interrupted one, which was packaged before this.
        report = sync::once(&args.site, &Options::default())?;
        waiting = still()?;
    }
    show::note(&match (&report.submission, waiting) {
        (Some(submission), 0) => format!("withdrawn: submission {submission} is acknowledged"),
        (_, waiting) => format!("{waiting} withdrawals still wait; run `headwater sync` again"),
    });
    sync::verdict(&report).and(refused)
}

/// Ids that block nobody are a person's turn: the patient who was meant still leaves. Told by their places, never shown.
fn unknown(strangers: &[usize], all: usize) -> Result<(), Failure> {
    let places: Vec<_> = strangers.iter().map(|at| (at + 1).to_string()).collect();
    let who = match (strangers.len(), all) {
        (0, _) => return Ok(()),
        (1, 1) => "this site knows no patient of this id, so nobody was blocked".to_owned(),
        (some, all) => format!(
            "this site knows no patient of {some} of the {all} ids (in the order given: {}), and these block nobody",
            places.join(", ")
        ),
    };
    Err(Failure::usage(format!(
        "{who}: if it is misspelt, whoever was meant still leaves. To block somebody whose record was never pulled: the same with \
         `--block-unknown`"
    )))
}

fn words(asked: &Asked) -> String {
    let number = asked.withdrawal;
    let begun = if asked.is_new {
        format!("withdrawal {number}: nothing of this patient leaves from now on")
    } else {
        format!("withdrawal {number} holds already")
    };
    match (asked.resources, asked.rows) {
        (0, 0) => format!(
            "{begun}; the registry holds nothing of this patient from here. If the id is misspelt, whoever was meant still leaves: \
             `headwater withdraw undo {number}`, then withdraw again"
        ),
        (resources, rows) => format!(
            "{begun}; the next sync withdraws {} of {}",
            show::count(rows, "row"),
            show::count(resources, "resource")
        ),
    }
}

/// Whom to withdraw, as `Patient/id`. A fault never shows what was read.
fn asked(args: &Args) -> Result<Vec<String>, Failure> {
    let key = |text: &str| {
        key_of(text.trim()).ok_or_else(|| Failure::usage("this is no FHIR id: give the logical id of one Patient, without its address"))
    };
    if let Some(file) = &args.file {
        let found = patients(file).map_err(|error| Failure::usage(chain(&error)))?;
        return some(found);
    }
    match args.patient.as_deref() {
        Some(patient) if patient != "-" => Ok(vec![key(patient)?]),
        None if std::io::stdin().is_terminal() => {
            let answer = show::ask("id of the Patient to withdraw", "");
            some(
                answer
                    .filter(|id| !id.is_empty())
                    .map(|id| key(&id))
                    .transpose()?
                    .into_iter()
                    .collect(),
            )
        }
        _ => {
            let mut text = String::new();
            let read = std::io::stdin().take(64 << 20).read_to_string(&mut text);
            read.map_err(|_| Failure::usage("stdin is no UTF-8 text"))?;
            some(
                text.lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(key)
                    .collect::<Result<_, _>>()?,
            )
        }
    }
}

fn some(patients: Vec<String>) -> Result<Vec<String>, Failure> {
    if patients.is_empty() {
        return Err(Failure::usage("nobody was named, so nobody was withdrawn"));
    }
    Ok(patients)
}

fn list(of: &Of) -> Result<(), Failure> {
    let all = open(&of.site)?.list().map_err(|error| Failure::ours(&error))?;
    if of.json {
        for one in &all {
            show::answer(&serde_json::to_string(one).unwrap_or_default());
        }
        return Ok(());
    }
    if all.is_empty() {
        show::note("nobody was withdrawn");
        return Ok(());
    }
    let or_none = |text: Option<String>| text.unwrap_or_default();
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|one| {
            vec![
                one.id.to_string(),
                one.state.to_owned(),
                day(&one.asked_at),
                one.done_at.as_deref().map(day).unwrap_or_default(),
                or_none(one.rows.map(show::thousands)),
                or_none(one.submission),
                or_none(one.leaf.map(|leaf| leaf.to_string())),
            ]
        })
        .collect();
    show::answer(&show::table(
        &["number", "state", "asked", "done", "rows", "submission", "leaf"],
        &rows,
    ));
    Ok(())
}

fn day(moment: &str) -> String {
    moment.chars().take(10).collect()
}

fn status(number: i64, of: &Of) -> Result<(), Failure> {
    let desk = open(&of.site)?;
    let ours = |error| Failure::ours(&error);
    let all = desk.list().map_err(ours)?;
    let one = all
        .into_iter()
        .find(|one| one.id == number)
        .ok_or_else(|| Failure::usage(format!("there is no withdrawal {number}; `headwater withdraw list` shows them")))?;
    let reason = desk.reason(number).map_err(ours)?;
    let receipt = match &one.submission {
        Some(submission) => desk.receipt(submission).map_err(ours)?,
        None => None,
    };
    if of.json {
        let mut value = serde_json::to_value(&one).unwrap_or_default();
        value["reason"] = reason.into();
        value["receipt"] = receipt.into();
        show::answer(&value.to_string());
        return Ok(());
    }
    let mut lines = vec![
        format!("withdrawal {number}: {}", one.state),
        format!("asked for  {}", one.asked_at),
    ];
    let mut line = |name: &str, text: Option<String>| lines.extend(text.map(|text| format!("{name:<10} {text}")));
    line("reason", reason);
    line("done", one.done_at);
    line("rows", one.rows.map(show::thousands));
    line("submission", one.submission);
    line("leaf", one.leaf.map(|leaf| leaf.to_string()));
    line("lifted", one.lifted_at);
    line("receipt", receipt.map(|receipt| format!("\n{receipt}")));
    show::answer(&lines.join("\n"));
    Ok(())
}

fn undo(number: i64, of: &Of) -> Result<(), Failure> {
    let desk = open(&of.site)?;
    let was_there = desk.undo(number, Clock::system().now()).map_err(|error| Failure::ours(&error))?;
    if !was_there {
        return Err(Failure::usage(format!(
            "withdrawal {number} is not there or was taken back already; `headwater withdraw list` shows them"
        )));
    }
    show::answer(&if of.json {
        serde_json::json!({ "withdrawal": number, "state": "lifted" }).to_string()
    } else {
        format!("withdrawal {number} is taken back: from the next sync on, consents and lists decide about this patient again")
    });
    Ok(())
}
