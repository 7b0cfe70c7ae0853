//! `headwater validate`: holds resources to FHIR R4 and to a network's profiles before a first sync, and says all that is
//! wrong with each: path and rule, never a value.

mod issue_type;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::fhir::ndjson::{self, Lines};
use crate::fhir::outcome::{Code, Details, Issue, OperationOutcome, Severity};
use crate::fhir::tree::{Limits, Node, SyntaxError, Tree};
use crate::network::{Definitions, FhirPackage, near};
use crate::refusal::Refusal;
use crate::validate::{self, Disposition, Options, Profiles};

/// Check FHIR R4 resources against the specification's types and a network's profiles.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints one OperationOutcome per resource, as NDJSON. Exit code 3 if any resource has an error; warnings are told and do not count.
Every resource is held to the types of FHIR R4, its least numbers and required codes, to the profiles of --profile-dir and --profile, and to
those that it names in meta.profile and a package has; a QuestionnaireResponse to its Questionnaire, where a package has it. With HL7's
package hl7.fhir.r4.core it is held to FHIR's own invariants and extensions as well, and an Observation of a vital sign to R4's profile of it.

Example: headwater validate --package hl7.fhir.r4.core-4.0.1.tgz --package hl7.fhir.us.core-6.1.0.tgz export/Patient.ndjson.gz")]
pub struct Args {
    /// A folder of StructureDefinitions (*.json); may be given again
    #[arg(long, value_name = "DIR")]
    pub profile_dir: Vec<PathBuf>,
    /// A FHIR package: a .tgz as HL7 publishes it, such a package unpacked, or definitions as .ndjson or .json; may be given again
    #[arg(long, value_name = "FILE")]
    pub package: Vec<PathBuf>,
    /// Hold every resource of its type to this profile of a package, by its canonical url; may be given again
    #[arg(long, value_name = "URL", requires = "package")]
    pub profile: Vec<String>,
    /// Warn of extensions that nothing loaded defines (those of hl7.org aside)
    #[arg(long, requires = "package")]
    pub unknown_extensions: bool,
    /// Name each rule of the packages that cannot be checked here, and why
    #[arg(long, requires = "package")]
    pub unchecked: bool,
    /// The longest line, and the largest .json file, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().line_bytes)]
    pub line_limit: usize,
    /// The deepest nesting of arrays and objects
    #[arg(long, value_name = "LEVELS", default_value_t = Limits::default().depth)]
    pub depth_limit: usize,
    /// Files: .json (a resource or a Bundle) or .ndjson, each also as .gz
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match report(&args, &mut out) {
        Ok(Counts { faulty: 0, resources }) => {
            super::show::note(&format!("{}, no fault", super::show::count(resources, "resource")));
            Ok(())
        }
        Ok(counts) => {
            let message = format!(
                "{} of {} with faults; each outcome above names file, line, path and rule",
                super::show::thousands(counts.faulty),
                super::show::count(counts.resources, "resource")
            );
            Err(Failure::new(Exit::Partial, message))
        }
        Err(failure) => Err(failure),
    }
}

/// How many resources there were, and how many of them have a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub resources: u64,
    pub faulty: u64,
}

/// Writes one outcome per resource.
/// # Errors: a profile or a file that cannot be read; nothing is written before all profiles and names are good.
pub fn report(args: &Args, out: &mut impl Write) -> Result<Counts, Failure> {
    let profiles = profiles(args)?;
    let unknown: Vec<String> = args
        .files
        .iter()
        .filter(|file| Shape::of(file).is_none())
        .map(|file| format!("`{}`", file.display()))
        .collect();
    if !unknown.is_empty() {
        let message = format!("{}: a file must end in .json, .ndjson, .json.gz or .ndjson.gz", unknown.join(", "));
        return Err(Failure::new(Exit::Usage, message));
    }
    let limits = Limits {
        line_bytes: args.line_limit,
        depth: args.depth_limit,
    };
    let mut report = Report {
        profiles,
        limits,
        tree: Tree::new(),
        counts: Counts::default(),
        types: BTreeSet::new(),
        out,
    };
    for file in &args.files {
        report.file(file)?;
    }
    written(report.out.flush())?;
    for idle in report.idle(&args.profile) {
        super::show::note(&idle);
    }
    Ok(report.counts)
}

fn profiles(args: &Args) -> Result<Profiles, Failure> {
    let mut own = Vec::new();
    for folder in &args.profile_dir {
        own.extend(profile_files(folder).map_err(|error| unreadable(folder, &error))?);
    }
    let (mut packaged, mut faults) = (Vec::new(), Vec::new());
    for path in &args.package {
        match FhirPackage::read(path) {
            Ok(package) => packaged.extend(package.files),
            Err(fault) => faults.push(fault),
        }
    }
    let options = Options {
        asked: args.profile.clone(),
        vital_signs: true,
        unknown_extensions: args.unknown_extensions.then_some(Disposition::Warn),
        ..Options::default()
    };
    let loaded = Definitions::with_packages(own, packaged, &options);
    // Of a profile that is asked for and not there we say more.
    faults.extend(
        loaded
            .faults
            .into_iter()
            .filter(|fault| !fault.contains("is asked for, but no such profile")),
    );
    let profiles = loaded.definitions.profiles;
    let known: Vec<String> = profiles.by_canonical().into_iter().map(|(url, _)| url).collect();
    faults.extend(args.profile.iter().filter_map(|asked| unknown(asked, &known)));
    if !faults.is_empty() {
        return Err(Failure::new(Exit::Usage, faults.join("\n")));
    }
    if !args.package.is_empty() {
        let forms = match profiles.questionnaires() as u64 {
            0 => String::new(),
            forms => format!(" and {}", super::show::count(forms, "questionnaire")),
        };
        let profiles = super::show::count(known.len() as u64, "profile") + &forms;
        let unchecked = super::show::count(loaded.unchecked.len() as u64, "rule");
        super::show::note(&match loaded.unchecked.len() {
            0 => format!("{profiles} loaded"),
            _ if args.unchecked => format!(
                "{profiles} loaded; {unchecked} cannot be checked here:\n  {}",
                loaded.unchecked.join("\n  ")
            ),
            _ => format!("{profiles} loaded; {unchecked} cannot be checked here (--unchecked names them)"),
        });
    }
    if !profiles.has_types() {
        super::show::note(
            "FHIR's own invariants, extensions and vital signs are not checked: they stand in HL7's package hl7.fhir.r4.core; give it with --package",
        );
    }
    Ok(profiles)
}

/// What to say of a profile that no package has, with those that are named alike.
fn unknown(asked: &str, known: &[String]) -> Option<String> {
    let url = asked.split('|').next().unwrap_or(asked);
    if known.iter().any(|known| known == url) {
        return None;
    }
    let or = near(asked, known);
    Some(format!(
        "--profile `{asked}`: no package has a profile of a resource with this url{or}"
    ))
}

/// Name and text of each .json file of the folder, by name.
fn profile_files(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| Ok((path.display().to_string(), std::fs::read_to_string(&path)?));
    paths.into_iter().map(read).collect()
}

/// What a file's name says of its inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    lines: bool,
    gzip: bool,
}

impl Shape {
    fn of(file: &Path) -> Option<Shape> {
        let name = file.file_name()?.to_str()?;
        let (name, gzip) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let lines = name.ends_with(".ndjson");
        (lines || name.ends_with(".json")).then_some(Shape { lines, gzip })
    }
}

struct Report<'o, W> {
    profiles: Profiles,
    limits: Limits,
    tree: Tree,
    counts: Counts,
    /// The types of the resources that were held to their profiles.
    types: BTreeSet<String>,
    out: &'o mut W,
}

impl<W: Write> Report<'_, W> {
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let open = || -> io::Result<Box<dyn Read>> {
            let file = File::open(path)?;
            Ok(match Shape::of(path) {
                Some(Shape { gzip: true, .. }) => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file))),
                _ => Box::new(file),
            })
        };
        let input = open().map_err(|error| unreadable(path, &error))?;
        let name = path.display().to_string();
        if Shape::of(path).is_some_and(|shape| !shape.lines) {
            let mut text = Vec::new();
            let most = self.limits.line_bytes as u64 + 1;
            input.take(most).read_to_end(&mut text).map_err(|error| unreadable(path, &error))?;
            return self.text(&text, &name);
        }
        let mut lines = Lines::new(input, self.limits.line_bytes);
        while let Some(line) = lines.next_line().map_err(|error| unreadable(path, &error))? {
            let place = format!("{name} line {}", line.number);
            match line.bytes {
                Ok(bytes) => self.text(bytes, &place)?,
                Err(error) => self.unreadable(error, &place)?,
            }
        }
        Ok(())
    }

    /// One JSON text: a resource, or a Bundle and the resources in it.
    fn text(&mut self, text: &[u8], place: &str) -> Result<(), Failure> {
        let mut tree = std::mem::take(&mut self.tree);
        let result = match tree.parse(text, &self.limits) {
            Ok(root) => self.resources(root, place),
            Err(error) => self.unreadable(error, place),
        };
        self.tree = tree;
        result
    }

    /// What to say of the profiles that were asked for and held no resource: whoever asked would take silence for a check.
    fn idle(&self, asked: &[String]) -> Vec<String> {
        let of = |asked: &String| {
            let of = self.profiles.type_of(asked).filter(|of| !self.types.contains(*of))?;
            let resources = super::show::count(self.counts.resources, "resource");
            Some(format!(
                "warning: --profile `{asked}` was applied to no resource: it is for {of}, and of the {resources} read none is one"
            ))
        };
        asked.iter().filter_map(of).collect()
    }

    fn see(&mut self, resource: Node<'_, '_>) {
        let name = resource.resource_type().unwrap_or_default();
        if !self.types.contains(name) {
            self.types.insert(name.to_owned());
        }
    }

    fn resources(&mut self, root: Node<'_, '_>, place: &str) -> Result<(), Failure> {
        self.see(root);
        if root.resource_type() != Some("Bundle") {
            return self.outcome(&validate::check_all(&self.profiles, root), place);
        }
        self.outcome(&validate::check_envelope(&self.profiles, root), place)?;
        for (number, resource) in ndjson::bundle_entries(root).enumerate() {
            let place = format!("{place} resource {}", number + 1);
            self.see(resource);
            self.outcome(&validate::check_all(&self.profiles, resource), &place)?;
        }
        Ok(())
    }

    fn outcome(&mut self, found: &[validate::Issue], place: &str) -> Result<(), Failure> {
        let errors = found.iter().any(|issue| issue.severity == validate::Severity::Error);
        let mut issues: Vec<Issue> = found.iter().map(|found| issue(found, place)).collect();
        self.counts.faulty += u64::from(errors);
        if issues.is_empty() {
            issues.push(Issue {
                severity: Severity::Information,
                code: Code::Informational,
                details: details("no fault"),
                diagnostics: Some(place.to_owned()),
                expression: Vec::new(),
            });
        }
        self.write(issues)
    }

    fn unreadable(&mut self, error: SyntaxError, place: &str) -> Result<(), Failure> {
        self.counts.faulty += 1;
        let code = if matches!(error.rule, "line too long" | "too deep" | "number too long") {
            Code::TooLong
        } else {
            Code::Structure
        };
        self.write(vec![Issue {
            severity: Severity::Error,
            code,
            details: details(error.rule),
            diagnostics: Some(format!("{place} byte {}", error.offset)),
            expression: Vec::new(),
        }])
    }

    fn write(&mut self, issues: Vec<Issue>) -> Result<(), Failure> {
        self.counts.resources += 1;
        let mut line = serde_json::to_vec(&OperationOutcome::new(issues)).map_err(|error| Failure::ours(&error))?;
        line.push(b'\n');
        written(self.out.write_all(&line))
    }
}

fn details(text: &str) -> Details {
    Details { text: text.to_owned() }
}

fn issue(found: &validate::Issue, place: &str) -> Issue {
    let refusal: &Refusal = &found.refusal;
    let by = refusal.source.as_ref().map(|source| format!(", by {source}"));
    Issue {
        severity: match found.severity {
            validate::Severity::Error => Severity::Error,
            validate::Severity::Warning => Severity::Warning,
            validate::Severity::Counted => Severity::Information,
        },
        code: issue_type::of(&refusal.rule),
        details: details(&refusal.rule),
        diagnostics: Some(format!("{place}{}", by.unwrap_or_default())),
        expression: vec![refusal.path.clone()],
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("cannot read `{}`: {}", path.display(), error.kind()))
}

/// A reader that has seen enough is no fault: all is still read and counted, for the exit code.
fn written(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Ours, format!("cannot write the outcomes: {}", error.kind())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
