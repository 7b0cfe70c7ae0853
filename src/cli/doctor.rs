//! `headwater doctor`: why a connection does not work, step by step, and who can mend it.

mod own;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::show::{self, Stage};
use super::{Exit, Failure, runtime, source, vocabulary};
use crate::config::{self, EhrConfig, SiteConfig};
use crate::gateway::Places;
use crate::gateway::doctor::{self, Diagnosis, Enrolment, Finding, Mender, Outcome, Subject, Verdict};
use crate::network::Package;
use crate::platform::backend_services::{ClientKey, KeyError};
use crate::platform::clock::Clock;
use crate::platform::file::FileError;

#[derive(clap::Args)]
#[command(
    after_help = "Reads no patient's data and changes nothing. Exit codes: 0 all is well · 2 a person must mend something, here or \
                        there · 3 it may pass by itself\n\n\
                        Example: headwater doctor --site /var/lib/headwater/site.toml"
)]
pub(super) struct Args {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
    /// Begin an export of what changed this minute, too, and take it back at once
    #[arg(long)]
    try_export: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut diagnosis = Diagnosis::default();
    let stage = Stage::begin("doctor");
    match subject(&args, &mut diagnosis.findings) {
        Ok(subject) => {
            let hear = |finding: &Finding| stage.now(format!("{}: {}", finding.step(), finding.means));
            let found = runtime()?.block_on(doctor::examine(&subject, &Clock::system(), &hear));
            diagnosis.findings.extend(found.findings);
        }
        Err(finding) => diagnosis.findings.push(*finding),
    }
    let tried = diagnosis
        .findings
        .iter()
        .filter(|finding| finding.outcome != Outcome::Skipped)
        .count();
    stage.end(&format!("{} looked at", show::count(tried as u64, "step")));
    let exit = match diagnosis.verdict() {
        Verdict::Fine => None,
        Verdict::Mend => Some(Exit::Usage),
        Verdict::Later => Some(Exit::Partial),
    };
    show::answer(&if args.json {
        as_json(&diagnosis, exit)
    } else {
        as_text(&diagnosis, &args.site)
    });
    match (exit, diagnosis.leaf()) {
        (Some(exit), Some(leaf)) => Err(Failure::new(exit, format!("{}: {}", leaf.id, leaf.means))),
        _ => Ok(()),
    }
}

/// What can be examined; on the way, what the files on this machine say.
fn subject(args: &Args, found: &mut Vec<Finding>) -> Result<Subject, Box<Finding>> {
    let fault = |id, means: String, next: &str| Box::new(Finding::fail(id, means, Mender::You, next));
    let config = config::load(&args.site).map_err(|error| {
        let id = if args.site.exists() { "config.faults" } else { "config.missing" };
        fault(
            id,
            error.to_string(),
            "mend these lines; deploy/site.example.toml shows every setting",
        )
    })?;
    let package = Package::at(config.package.clone());
    let mend = "mend the network package; `headwater check` says more";
    let network = package
        .load_for(&config.model, &config.validation)
        .map_err(|error| fault("config.package", error.to_string(), mend))?;
    let rules = network
        .under_stricter(&config.policy, &config.tighten)
        .map_err(|error| fault("config.package", error.to_string(), mend))?;
    if let Some(missing) = vocabulary::missing(&network, config.vocabulary.as_deref()) {
        let next = "download the vocabularies from Athena and name their folder as `vocabulary` under [site]";
        return Err(fault("config.vocabulary", missing, next));
    }
    let ehr = match &config.ehr {
        EhrConfig::Files { .. } => None,
        EhrConfig::Fhir(ehr) => {
            let vendor = source::vendor(&package, ehr).map_err(|error| {
                fault(
                    "config.vendor",
                    error,
                    "name one of them as `vendor` in [ehr], or a TOML file of your own",
                )
            })?;
            Some(ehr.settings(vendor, &rules.resource_types()))
        }
    };
    found.push(Finding::ok(
        "config.ok",
        format!("{} and its network package are read", args.site.display()),
    ));
    found.extend(own::packages(&network));
    let places = Places::of(&config.state);
    let ehr = match ehr {
        None => None,
        Some(settings) => {
            let key = places.ehr_signing_key(settings.jwks_url.as_ref());
            let key = key.map_err(|error| key_finding(&error, "EHR"))?;
            found.push(Finding::ok(
                "key.ok",
                format!("the key signs with {} (kid {})", key.algorithm(), key.kid()),
            ));
            Some((settings, key))
        }
    };
    found.extend(own::findings(&config, &places));
    let registry = match registry(&config, &places) {
        Ok(registry) => registry,
        Err(error) => return Err(key_finding(&error, "registry")),
    };
    Ok(Subject {
        ehr,
        feeds: rules.feeds(),
        registry,
        http: config.watchful_http(),
        try_export: args.try_export,
    })
}

fn registry(config: &SiteConfig, places: &Places) -> Result<Option<Enrolment>, KeyError> {
    let Some(link) = &config.registry else {
        return Ok(None);
    };
    let key = ClientKey::from_file(&places.registry_key())?;
    Ok(Some(Enrolment {
        base: link.base.clone(),
        site: config.name.clone(),
        client_id: link.client_id.clone(),
        key,
        made_with: own::master_keys(config, places),
    }))
}

fn key_finding(error: &KeyError, whose: &str) -> Box<Finding> {
    let (id, next) = match error {
        KeyError::File(FileError::ReadableByOthers { .. }) => {
            ("key.readable-by-others", "do what it says, and rotate the key if others were in")
        }
        KeyError::File(error) if error.is_not_found() => (
            "key.missing",
            "restore state/keys from its backup; for a new site: `headwater init`",
        ),
        KeyError::File(_) => ("key.unreadable", "let the user who runs the gateway own state/keys"),
        KeyError::Published(_) => ("key.published", "make one of your own: `headwater init` into a new folder"),
        KeyError::NoKey | KeyError::NotSigned => ("key.unusable", "restore state/keys from its backup"),
    };
    let means = format!("the key for the {whose} cannot be used: {}", super::chain(error));
    Box::new(Finding::fail(id, means, Mender::You, next))
}

fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "✓",
        Outcome::Warn => "!",
        Outcome::Fail => "✗",
        Outcome::Skipped => "·",
    }
}

/// Columns of a line for a person.
const WIDTH: usize = 110;

/// `text` in lines that fit, each but the first behind `indent` blanks.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = Vec::new();
    for part in text.lines() {
        let mut line = String::new();
        for word in part.split_whitespace() {
            if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join(&format!("\n{:indent$}", ""))
}

fn as_text(diagnosis: &Diagnosis, site: &Path) -> String {
    let width = diagnosis
        .findings
        .iter()
        .map(|finding| finding.step().len())
        .max()
        .unwrap_or_default();
    let mut lines: Vec<String> = diagnosis
        .findings
        .iter()
        .map(|finding| {
            let means = wrapped(&finding.means, width + 4);
            format!("{} {:width$}  {means}", mark(finding.outcome), finding.step())
        })
        .collect();
    lines.push(String::new());
    match diagnosis.leaf() {
        Some(leaf) => {
            lines.push(format!("{} {}", mark(leaf.outcome), leaf.id));
            let who = leaf.who.map_or("you".to_owned(), |who| who.to_string());
            lines.push(format!("  who can mend it  {who}"));
            lines.push(format!(
                "  next             {}",
                wrapped(leaf.next.as_deref().unwrap_or_default(), 19)
            ));
            if leaf.transient {
                lines.push("                   it may pass by itself: the nightly run tries again".to_owned());
            }
        }
        None => lines.push(format!("all is well; next: headwater sync --site {} --rehearse", site.display())),
    }
    lines.join("\n")
}

fn as_json(diagnosis: &Diagnosis, exit: Option<Exit>) -> String {
    let leaf = diagnosis.leaf();
    json!({
        "diagnosis": leaf.map(|leaf| leaf.id),
        "exit": exit.map_or(0, |exit| exit as u8),
        "findings": diagnosis.findings,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_stays_in_its_column_and_its_lines_stay_lines() {
        let text = wrapped(&format!("{}\nlast", "word ".repeat(40)), 20);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(lines[1..].iter().all(|line| line.starts_with(&" ".repeat(20))), "{text}");
        assert_eq!(lines.last().map(|line| line.trim()), Some("last"));
        assert_eq!(text.matches("word").count(), 40);
    }
}
