//! The registry's rows as a file: one table of all sites, CSV or NDJSON, row by row in the order of site and key.

use std::io::{self, Write};

use rusqlite::Connection;
use serde_json::Value;

use super::fault::Fault;
use crate::cdm::Table;

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

/// Writes every row of `table`, each with the site it is from; the number of rows.
/// # Errors: the store's, or `Io` when `out` takes no more.
pub fn export(connection: &Connection, table: &Table, format: Format, out: &mut dyn Write) -> Result<u64, Fault> {
    // A table may have a column of this name itself; then ours steps aside.
    let site_column = if table.column("site").is_some() { "_site" } else { "site" };
    if format == Format::Csv {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        write!(out, "{site_column},{}\r\n", names.join(","))?;
    }
    let mut select = connection.prepare("SELECT site, body FROM cdm_row WHERE table_name = ?1 ORDER BY site, row_key")?;
    let mut rows = select.query([&table.name])?;
    let mut written = 0;
    while let Some(row) = rows.next()? {
        let (site, body): (String, String) = (row.get(0)?, row.get(1)?);
        match format {
            Format::Ndjson => write_ndjson(site_column, &site, &body, out)?,
            Format::Csv => write_csv(table, &site, &body, out)?,
        }
        written += 1;
    }
    Ok(written)
}

fn write_ndjson(site_column: &str, site: &str, body: &str, out: &mut dyn Write) -> io::Result<()> {
    // The body is a JSON object as it was accepted: its digits stay.
    let members = body.trim().strip_prefix('{').unwrap_or("}").trim_start();
    let comma = if members.starts_with('}') { "" } else { "," };
    writeln!(out, "{{\"{site_column}\":\"{site}\"{comma}{members}")
}

fn write_csv(table: &Table, site: &str, body: &str, out: &mut dyn Write) -> io::Result<()> {
    let body: Value = serde_json::from_str(body).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    out.write_all(site.as_bytes())?;
    for column in &table.columns {
        out.write_all(b",")?;
        match body.get(&column.name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => out.write_all(csv_text(text).as_bytes())?,
            Some(value) => write!(out, "{value}")?,
        }
    }
    out.write_all(b"\r\n")
}

/// Text quoted for RFC 4180; what a spreadsheet would take for a formula gets an apostrophe in front (ASVS 5.0, 1.2.10).
fn csv_text(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) {
        "'"
    } else {
        ""
    };
    if guard.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_it_must_be_and_never_a_formula() {
        let check = |text: &str, wanted: &str| assert_eq!(csv_text(text), wanted);
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("a\"b", "\"a\"\"b\"");
        check("=1+1", "\"'=1+1\"");
        check("-2", "\"'-2\"");
        check("@x", "\"'@x\"");
        check("\tx", "\"'\tx\"");
    }

    #[test]
    fn a_row_keeps_its_digits_and_gets_its_site() {
        let check = |body: &str, wanted: &str| {
            let mut out = Vec::new();
            write_ndjson("site", "lake", body, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        };
        check(r#"{"n":1.50}"#, "{\"site\":\"lake\",\"n\":1.50}\n");
        check("{}", "{\"site\":\"lake\"}\n");
    }
}
