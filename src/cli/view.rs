//! `headwater view`: one SQL-on-FHIR ViewDefinition over NDJSON files or stdin, rows as NDJSON or CSV.
//! A broken line is named by file and line, never by its content, and the rest goes on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::show::{self, count};
use crate::cli::{Exit, Failure};
use crate::fhir::ndjson::Lines;
use crate::fhir::tree::{Limits, Tree};
use crate::map::MAX_FILE_BYTES;
use crate::map::view::{Field, Reading, Room, Row, RowFault, View, write_csv_field};

/// Runs one SQL-on-FHIR ViewDefinition over NDJSON.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: headwater view Observation.view.json Observation.ndjson.gz --format csv --limit 20")]
pub struct Args {
    /// The ViewDefinition
    #[arg(value_name = "VIEW.json")]
    view: PathBuf,
    /// NDJSON files, plain or gzip; stdin when none is given
    #[arg(value_name = "FILE.ndjson")]
    files: Vec<PathBuf>,
    /// Form of the rows: one JSON object per row (columns in the view's order, absent values as null), or CSV with a header
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Stops after so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

/// Runs the verb.
/// # Errors: usage for a view that does not compile or a file that is not there; partial when a line was broken.
pub fn run(args: Args) -> Result<(), Failure> {
    let name = args.view.display().to_string();
    if std::fs::metadata(&args.view).is_ok_and(|found| found.len() > MAX_FILE_BYTES as u64) {
        let message = format!("the view `{name}` is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(Failure::new(Exit::Usage, message));
    }
    let text = std::fs::read_to_string(&args.view)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read the view `{name}`: {error}")))?;
    let view = View::compile(&text, &name, Reading::Standard).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Usage, lines.join("\n"))
    })?;
    let stdout = io::stdout().lock();
    let mut printer = Printer {
        view: &view,
        format: args.format,
        left: args.limit.unwrap_or(u64::MAX),
        out: BufWriter::with_capacity(1 << 18, stdout),
        buffer: Vec::with_capacity(1 << 12),
        heads: view.columns().iter().enumerate().map(head).collect(),
        broken: 0,
        room: Room::default(),
    };
    let done = printer.all(&args.files);
    let broken = printer.broken;
    match done.and_then(|()| printer.out.flush().map_err(|error| Stop::output(&error))) {
        Ok(()) | Err(Stop::Enough) => {}
        Err(Stop::Failed(failure)) => return Err(failure),
    }
    if broken > 0 {
        return Err(Failure::new(
            Exit::Partial,
            format!("{} gave no rows, each named above; all others did", count(broken, "line")),
        ));
    }
    Ok(())
}

/// `{"name":` or `,"name":`, ready to be written before each value.
fn head((at, column): (usize, &crate::map::view::Column)) -> Vec<u8> {
    let mut head = vec![if at == 0 { b'{' } else { b',' }];
    crate::cdm::row::write_json_string(&column.name, &mut head);
    head.push(b':');
    head
}

/// Why no more lines are read.
enum Stop {
    /// The limit is reached, or nobody reads our output any more.
    Enough,
    Failed(Failure),
}

impl Stop {
    fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Stop::Enough;
        }
        Stop::Failed(Failure::new(Exit::Ours, format!("cannot write the rows: {error}")))
    }
}

struct Printer<'v, W: Write> {
    view: &'v View,
    format: Format,
    left: u64,
    out: W,
    buffer: Vec<u8>,
    heads: Vec<Vec<u8>>,
    broken: u64,
    room: Room,
}

impl<W: Write> Printer<'_, W> {
    fn all(&mut self, files: &[PathBuf]) -> Result<(), Stop> {
        if self.format == Format::Csv {
            let names: Vec<_> = self.view.columns().iter().map(|column| column.name.as_str()).collect();
            self.buffer.extend_from_slice(names.join(",").as_bytes());
            self.buffer.extend_from_slice(b"\r\n");
            self.write()?;
        }
        if files.is_empty() {
            return self.file("stdin", &mut io::stdin().lock());
        }
        for path in files {
            let name = path.display().to_string();
            let failed = |error: &io::Error| Stop::Failed(Failure::new(Exit::Usage, format!("cannot read `{name}`: {error}")));
            let mut reader = open(path).map_err(|error| failed(&error))?;
            self.file(&name, &mut reader)?;
        }
        Ok(())
    }

    fn file(&mut self, name: &str, reader: &mut dyn BufRead) -> Result<(), Stop> {
        let limits = Limits::default();
        let mut tree = Tree::new();
        if self.left == 0 {
            return Err(Stop::Enough);
        }
        let mut lines = Lines::new(reader, limits.line_bytes);
        let mut read = 0;
        loop {
            match lines.next_line() {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => {
                    read = line.number;
                    match line.bytes {
                        Ok(bytes) => self.line(name, line.number, bytes, &limits, &mut tree)?,
                        Err(error) => self.complain(name, line.number, &error.to_string()),
                    }
                }
                Err(error) => {
                    return Err(Stop::Failed(Failure::new(
                        Exit::Partial,
                        format!("cannot read `{name}` after line {read}: {error}"),
                    )));
                }
            }
        }
    }

    fn line(&mut self, name: &str, number: u64, line: &[u8], limits: &Limits, tree: &mut Tree) -> Result<(), Stop> {
        let root = match tree.parse(line, limits) {
            Ok(root) => root,
            Err(error) => {
                self.complain(name, number, &error.to_string());
                return Ok(());
            }
        };
        let (view, format, heads) = (self.view, self.format, &self.heads);
        let before = self.left;
        let (buffer, left) = (&mut self.buffer, &mut self.left);
        // Rows are written only when all of the resource's rows came out.
        let done = view.rows_in(&mut self.room, root, |row| {
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
            match format {
                Format::Ndjson => ndjson(heads, row, buffer),
                Format::Csv => csv(row, buffer),
            }
            Ok(())
        });
        if let Err(fault) = done {
            self.buffer.clear();
            self.left = before;
            self.complain_of_row(name, number, root.resource_type(), &fault);
        }
        self.write()?;
        if self.left == 0 { Err(Stop::Enough) } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Stop> {
        let done = self.out.write_all(&self.buffer);
        self.buffer.clear();
        done.map_err(|error| Stop::output(&error))
    }

    fn complain(&mut self, name: &str, number: u64, rule: &str) {
        self.broken += 1;
        show::note(&format!("{name}: line {number}: {rule}"));
    }

    fn complain_of_row(&mut self, name: &str, number: u64, resource: Option<&str>, fault: &RowFault) {
        // The view reads this type, so its name is one of FHIR's and no patient's.
        let resource = resource.unwrap_or("resource");
        self.complain(name, number, &format!("{resource}: `{}`: {}", fault.place, fault.rule));
    }
}

fn ndjson(heads: &[Vec<u8>], row: &Row<'_, '_>, out: &mut Vec<u8>) {
    for (head, field) in heads.iter().zip(&row.fields) {
        out.extend_from_slice(head);
        field.write_json(out);
    }
    out.extend_from_slice(if heads.is_empty() { b"{}\n" } else { b"}\n" });
}

fn csv(row: &Row<'_, '_>, out: &mut Vec<u8>) {
    for (at, field) in row.fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_csv_field(field, out);
    }
    if row.fields.len() == 1 && matches!(row.fields[0], Field::Null) {
        // A line of nothing would be read as no line.
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

/// The file's text, unpacked when it is gzip (known by its first bytes, whatever it is called).
fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip {
        Box::new(BufReader::with_capacity(1 << 18, flate2::bufread::MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: &str = r#"{"resource":"Patient","select":[{"column":[{"name":"id","path":"id"},{"name":"born","path":"birthDate"}]},
        {"forEachOrNull":"name","column":[{"name":"family","path":"family"}]}]}"#;

    fn check(format: Format, limit: u64, input: &str) -> (String, u64) {
        let view = View::compile(VIEW, "v.json", Reading::Standard).expect("a view");
        let mut printer = Printer {
            view: &view,
            format,
            left: limit,
            out: Vec::new(),
            buffer: Vec::new(),
            heads: view.columns().iter().enumerate().map(head).collect(),
            broken: 0,
            room: Room::default(),
        };
        if format == Format::Csv {
            assert!(printer.all(&[]).is_ok());
        }
        let _ = printer.file("f", &mut input.as_bytes());
        (String::from_utf8(printer.out).expect("UTF-8"), printer.broken)
    }

    const TWO: &str = "{\"resourceType\":\"Patient\",\"id\":\"a\",\"name\":[{\"family\":\"=1+\\\"2\"},{\"family\":\"O\\u0027Neill, J\"}]}\n\n{\"resourceType\":\"Patient\",\"id\":\"b\",\"birthDate\":\"2001\"}\n";

    #[test]
    fn rows_have_the_columns_in_order_and_absent_values_as_null() {
        let (rows, broken) = check(Format::Ndjson, 9, TWO);
        let expected = "{\"id\":\"a\",\"born\":null,\"family\":\"=1+\\\"2\"}\n{\"id\":\"a\",\"born\":null,\"family\":\"O\\u0027Neill, J\"}\n{\"id\":\"b\",\"born\":\"2001\",\"family\":null}\n";
        assert_eq!((rows.as_str(), broken), (expected, 0));
    }

    #[test]
    fn csv_is_quoted_where_needed_and_never_a_formula() {
        let (rows, _) = check(Format::Ndjson, 0, TWO);
        assert_eq!(rows, "");
        let view = View::compile(VIEW, "v.json", Reading::Standard).expect("a view");
        let mut tree = Tree::new();
        let root = tree
            .parse(TWO.lines().next().expect("a line").as_bytes(), &Limits::default())
            .expect("JSON");
        let mut out = Vec::new();
        view.rows(root, |row| {
            csv(row, &mut out);
            Ok(())
        })
        .expect("rows");
        assert_eq!(String::from_utf8_lossy(&out), "a,,\"'=1+\"\"2\"\r\na,,\"O'Neill, J\"\r\n");
    }

    #[test]
    fn a_broken_line_is_counted_and_the_rest_goes_on() {
        let (rows, broken) = check(Format::Ndjson, 9, &format!("{{\"resourceType\":\n{TWO}"));
        assert_eq!((rows.lines().count(), broken), (3, 1));
    }

    #[test]
    fn the_limit_is_kept_exactly() {
        assert_eq!(check(Format::Ndjson, 1, TWO).0.lines().count(), 1);
        assert_eq!(check(Format::Ndjson, 3, TWO).0.lines().count(), 3);
    }
}
