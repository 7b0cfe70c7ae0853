//! `headwater registry export`: one table's rows of all sites, as CSV or NDJSON, with the displays of codes if asked. That it was
//! done stands in the log.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::displays::{Terminologies, Wanted};
use super::{failed, load, model_of, records};
use crate::cli::{Failure, show};
use crate::receive::Fault;
use crate::receive::export::{Format, export};

#[derive(clap::Args)]
#[command(
    after_help = "Sites send codes and no displays, for a local one may hold a name. --display adds a column with what the codes are called: by a\n\
        FHIR package (or .json, .ndjson) with the CodeSystem, or by OMOP's vocabularies (--display loinc=LOINC, or a column of concept ids alone).\n\n\
        Example: headwater registry export --table lab_result --format csv --terminology loinc.json --display loinc=http://loinc.org > lab_result.csv"
)]
pub(super) struct Args {
    /// The table
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// How the rows are written
    #[arg(long, value_enum)]
    format: AskedFormat,
    /// Add what the codes of this column are called; may be given again
    #[arg(long, value_name = "COLUMN=SYSTEM", requires = "terminology")]
    display: Vec<Wanted>,
    /// Where that stands: a FHIR package, or a folder with OMOP's CONCEPT.csv and CONCEPT_RELATIONSHIP.csv; may be given again
    #[arg(long, value_name = "PATH", requires = "display")]
    terminology: Vec<PathBuf>,
    /// The model the table is of, when several have one of this name
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The registry's folder
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AskedFormat {
    Csv,
    Ndjson,
    #[value(hide = true)]
    Parquet,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let format = match args.format {
        AskedFormat::Csv => Format::Csv,
        AskedFormat::Ndjson => Format::Ndjson,
        AskedFormat::Parquet => return Err(Failure::usage("parquet is not in this version; ask for csv or ndjson")),
    };
    let settings = load(&args.dir)?;
    let (check, table) = model_of(&settings, args.model.as_deref(), &args.table)?;
    let table = check.model.table(table);
    let terminologies = Terminologies::read(&args.terminology, &args.display, &settings.data.join("vocabulary"))?;
    let displays = terminologies.displays(table, &args.display)?;
    let records = records(&settings)?;
    // First the log: an export that breaks off was an export.
    records.note("rows-exported", &args.table).map_err(failed)?;
    let stdout = std::io::stdout();
    let mut out = BufWriter::with_capacity(256 << 10, stdout.lock());
    let mut written = Ok(0);
    let read = records.store.read(|connection| {
        written = export(connection, table, &displays, format, &mut out);
        Ok(())
    });
    read.map_err(failed)?;
    match written.and_then(|rows| out.flush().map(|()| rows).map_err(Fault::from)) {
        Ok(rows) => {
            show::note(&format!("{} of `{}`", show::count(rows, "row"), args.table));
            Ok(())
        }
        // The reader has seen enough.
        Err(Fault::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(fault) => Err(failed(fault)),
    }
}
