//! `headwater linkage`: a site's part in a linkage project. Opt-in, and under the limited data set only.

use std::path::{Path, PathBuf};

use super::{Failure, chain, show, sync};
use crate::config::{self, SiteConfig};
use crate::deidentify::linkage::Project;
use crate::gateway::linkage::{self, LinkageError, POLICY, Written};
use crate::gateway::{Site, Tools};
use crate::platform::clock::Clock;
use crate::platform::secret::{Secret, hex};
use crate::platform::{file, http};

/// A project's files may be this long.
const PROJECT_BYTES: u64 = 1 << 20;

#[derive(clap::Args)]
#[command(
    after_help = "The project's secret is held by its sites alone: never by the linkage agent, never by the registry. Linkage keys go to \
                        the agent, never to the registry. They are nearly as telling as the names in them: see \"Linkage\" in README.md.\n\n\
                        Example: headwater linkage encode --site site.toml --project twins/project.toml --out twins.ndjson"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make the secret that all sites of a project share
    #[command(
        after_help = "Carry it to the other sites by a way that neither the agent nor the registry sees.\n\n\
                            Example: headwater linkage secret --out keys/twins-2026.secret"
    )]
    Secret {
        /// The new file, readable by this user only; never overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a project's file and its schema
    #[command(after_help = "Example: headwater linkage check --project twins/project.toml")]
    Check {
        /// The project's file
        #[arg(long, value_name = "FILE")]
        project: PathBuf,
    },
    /// Write a linkage id and key of each patient whom the registry holds, for the agent
    #[command(after_help = "site.toml must name the project: [linkage.twins-2026] with secret_file = \"…\".\n\n\
                            Example: headwater linkage encode --site site.toml --project twins/project.toml --out twins.ndjson")]
    Encode {
        #[command(flatten)]
        of: Of,
        /// The file to write, one JSON object a line: id, clk; one that is there is replaced
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print what came of the patients as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Turn the agent's groups into persons of this site's rows, for the registry
    #[command(
        after_help = "The agent's file has one JSON object a line: id, group. What is written names the registry's own keys and a \
                            token that is the same at all sites.\n\n\
                            Example: headwater linkage groups --site site.toml --project twins/project.toml --groups answer.ndjson --out persons.ndjson"
    )]
    Groups {
        #[command(flatten)]
        of: Of,
        /// The agent's answer
        #[arg(long, value_name = "FILE")]
        groups: PathBuf,
        /// The file to write, one JSON object a line: table, key, person; one that is there is replaced
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print what came of the patients as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Of {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// The project's file, the same at all its sites
    #[arg(long, value_name = "FILE")]
    project: PathBuf,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Secret { out } => secret(&out),
        Verb::Check { project } => check(&load(&project)?),
        Verb::Encode { of, out, json } => {
            let (site, project, secret) = open(&of)?;
            let written = linkage::encode(&site, &project, &secret, &out).map_err(failure)?;
            told(&written, json);
            show::note(&format!(
                "{} is for `{}` and for nobody else, least of all the registry: a linkage key is nearly as telling as the names in it",
                out.display(),
                project.agent()
            ));
            Ok(())
        }
        Verb::Groups { of, groups, out, json } => {
            let (site, project, secret) = open(&of)?;
            let written = linkage::groups(&site, &project, &secret, &groups, &out).map_err(failure)?;
            told(&written, json);
            show::note(&format!("{} is for the registry; the agent must not see it", out.display()));
            Ok(())
        }
    }
}

fn secret(out: &Path) -> Result<(), Failure> {
    // Text, so that it can be carried and typed: 64 digits of 256 random bits. clkhash takes the text itself.
    let text = Secret::new(format!("{}\n", hex(Secret::random(32).expose())).into_bytes());
    file::write_secret(out, text.expose()).map_err(|error| Failure::usage(chain(&error)))?;
    show::note(&format!(
        "written: {}; the other sites of the project get the same, the agent and the registry never",
        out.display()
    ));
    Ok(())
}

fn check(project: &Project) -> Result<(), Failure> {
    let used: Vec<&str> = project.schema().used().collect();
    show::answer(&format!(
        "{}: {} of {} bits, linked by {}; linkage keys go to {}",
        project.name(),
        show::count(used.len() as u64, "feature"),
        project.schema().bits(),
        used.join(", "),
        project.agent()
    ));
    Ok(())
}

/// The project of a file, with its schema beside it; what should be thought about is said.
fn load(path: &Path) -> Result<Project, Failure> {
    let text = |path: &Path| {
        let bytes = file::read(path, PROJECT_BYTES).map_err(|error| chain(&error))?;
        String::from_utf8(bytes).map_err(|_| format!("{}: is not UTF-8 text", path.display()))
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let toml = text(path).map_err(Failure::usage)?;
    let project = Project::parse(&toml, |name| text(&folder.join(name))).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::usage(format!("{} has {} fault(s):\n{}", path.display(), faults.len(), faults.join("\n")))
    })?;
    for note in project.schema().notes() {
        show::note(note);
    }
    Ok(project)
}

/// The site, the project it takes part in, and the project's secret. Refuses before anything is opened what may not be.
fn open(of: &Of) -> Result<(Site, Project, Secret), Failure> {
    let config = config::load(&of.site).map_err(|error| Failure::usage(error.to_string()))?;
    if config.policy != POLICY {
        return Err(failure(LinkageError::Policy(config.policy)));
    }
    let project = load(&of.project)?;
    let secret_file = secret_file(&config, &project)?;
    let tools = Tools {
        http: http::client(&config.watchful_http()).map_err(|error| Failure::usage(chain(&error)))?,
        clock: Clock::system(),
    };
    let site = sync::open(&config, tools)?;
    let secret = linkage::read_secret(&site, &secret_file).map_err(failure)?;
    Ok((site, project, secret))
}

fn secret_file(config: &SiteConfig, project: &Project) -> Result<PathBuf, Failure> {
    let name = project.name();
    config.linkage.get(name).cloned().ok_or_else(|| {
        Failure::usage(format!(
            "this site takes no part in the linkage project `{name}`: nothing was encoded. If it shall, write into its site.toml:\n\
             [linkage.{name:?}]\nsecret_file = \"keys/{name}.secret\""
        ))
    })
}

fn told(written: &Written, json: bool) {
    if json {
        return show::answer(&serde_json::to_string(written).unwrap_or_default());
    }
    let mut lines = vec![show::count(written.patients, "patient")];
    lines.extend(
        written
            .left_out
            .iter()
            .map(|(why, number)| format!("left out, {why}: {}", show::thousands(*number))),
    );
    show::answer(&lines.join("\n"));
}

fn failure(error: LinkageError) -> Failure {
    match error {
        LinkageError::Gateway(_) | LinkageError::TooMany(_) => Failure::ours(&error),
        error => Failure::usage(chain(&error)),
    }
}
