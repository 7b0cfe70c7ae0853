//! `headwater fhirpath`: one FHIRPath expression on one resource, or a batch of them.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use serde_json::Value;

use crate::cdm::row::write_json_string;
use crate::cli::{Exit, Failure, show};
use crate::fhir::path::{Canonicals, Context, Element, Item, Names, Path, Start, Temporal, write_json};
use crate::fhir::tree::{Limits, Tree};
use crate::fhir::types::TypeId;
use crate::network::Package;
use crate::platform::clock::Clock;

/// Evaluates a FHIRPath expression.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: headwater fhirpath \"name.where(use = 'official').family\" patient.json\n         \
                  echo '{\"expression\":\"id\",\"file\":\"patient.json\"}' | headwater fhirpath --batch"
)]
pub struct Args {
    /// The expression
    #[arg(required_unless_present = "batch")]
    expression: Option<String>,
    /// The resource, as JSON
    #[arg(value_name = "FILE.json", required_unless_present = "batch")]
    file: Option<PathBuf>,
    /// The type of what is in the file, when it does not say so itself
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// Folder with profiles/: its ValueSets and profiles may be named, by `memberOf` and `conformsTo`
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Reads `{"expression","file"}` lines on stdin and answers each with one line, `{"result":[…]}` or `{"error":"…"}`
    #[arg(long, conflicts_with_all = ["expression", "file"])]
    batch: bool,
}

/// Runs the verb.
/// # Errors: usage for an expression or file that cannot be used. In a batch each line has its own error instead.
pub fn run(args: Args) -> Result<(), Failure> {
    let given = match &args.type_name {
        None => None,
        Some(name) => Some(TypeId::of(name).ok_or_else(|| Failure::new(Exit::Usage, format!("`{name}` is no type of FHIR R4")))?),
    };
    let canonicals = match args.package {
        None => None,
        Some(folder) => {
            let definitions = Package::at(Some(folder)).definitions();
            Some(
                definitions
                    .map_err(|faults| Failure::new(Exit::Usage, faults.join("\n")))?
                    .canonicals,
            )
        }
    };
    let mut files = Files {
        given,
        canonicals,
        read: HashMap::new(),
    };
    let (Some(expression), Some(file)) = (&args.expression, &args.file) else {
        return batch(&mut files);
    };
    let answer = files
        .answer(expression, Some(&file.display().to_string()))
        .map_err(|message| Failure::new(Exit::Usage, message))?;
    show::answer(&answer);
    Ok(())
}

fn batch(files: &mut Files) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::new(Exit::Usage, format!("cannot read stdin: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match files.one(&line) {
            Ok(result) => format!("{{\"result\":{result}}}\n"),
            Err(message) => {
                let mut quoted = Vec::new();
                write_json_string(&message, &mut quoted);
                format!("{{\"error\":{}}}\n", String::from_utf8_lossy(&quoted))
            }
        };
        // Each answer at once: the asker may wait for it.
        if out.write_all(answer.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Files read so far; a batch asks many questions of few files.
struct Files {
    given: Option<TypeId>,
    canonicals: Option<Canonicals>,
    read: HashMap<String, Vec<u8>>,
}

impl Files {
    fn one(&mut self, line: &str) -> Result<String, String> {
        let question: Value = serde_json::from_str(line).map_err(|error| {
            format!(
                "the line is not JSON at column {}; write {{\"expression\":…,\"file\":…}}",
                error.column()
            )
        })?;
        let expression = question["expression"].as_str().ok_or("the line has no `expression`")?;
        self.answer(expression, question["file"].as_str())
    }

    /// The result as a JSON array.
    fn answer(&mut self, expression: &str, file: Option<&str>) -> Result<String, String> {
        const KEPT: usize = 256;
        let text: &[u8] = match file {
            // Some expressions need no resource.
            None => b"{}",
            Some(file) => {
                if !self.read.contains_key(file) {
                    let text = std::fs::read(file).map_err(|error| format!("cannot read `{file}`: {error}"))?;
                    if self.read.len() >= KEPT {
                        self.read.clear();
                    }
                    self.read.insert(file.to_owned(), text);
                }
                &self.read[file]
            }
        };
        let mut tree = Tree::new();
        let root = tree
            .parse(text, &Limits::default())
            .map_err(|error| format!("`{}` is not usable JSON: {error}", file.unwrap_or("the resource")))?;
        let type_id = self.given.or_else(|| root.resource_type().and_then(TypeId::of));
        let typing = type_id.map(|type_id| vec![type_id]);
        let start = Start {
            focus: typing.clone(),
            resource: typing,
            strict: true,
        };
        let names = Names {
            canonicals: self.canonicals.as_ref(),
            ..Names::default()
        };
        let path = Path::compile(expression, &names, &start).map_err(|error| error.to_string())?;
        let mut context = Context::new(root, &[]);
        context.now = Temporal::date_time(&format!("{:.3}", Clock::system().now()));
        let focus = Item::Element(Element {
            node: Some(root),
            under: None,
            type_id,
        });
        let found = path.evaluate(&context, focus).map_err(|fault| {
            let (line, column) = crate::fhir::path::place(expression, fault.at as usize);
            format!("{} (line {line}, column {column})", fault.rule)
        })?;
        let mut out = vec![b'['];
        for (at, item) in found.as_slice().iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_json(item, &mut out);
        }
        out.push(b']');
        // One line, however the file was printed: JSON has no newline inside a string.
        out.retain(|byte| !matches!(byte, b'\n' | b'\r'));
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}
