//! The registry's rows as a file: one table of all sites, CSV or NDJSON, row by row in the order of site and key.

use std::collections::HashMap;
use std::io::{self, Write};

use rusqlite::Connection;
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::cdm::{Table, csv};

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
    let no_json = |_| io::Error::from(io::ErrorKind::InvalidData);
    // Numbers as they stand: 1.50 is not 1.5.
    let body: HashMap<String, &RawValue> = serde_json::from_str(body).map_err(no_json)?;
    let mut line = site.as_bytes().to_vec();
    for column in &table.columns {
        line.push(b',');
        match body.get(&column.name).map(|value| value.get()) {
            None | Some("null") => {}
            Some(text) if text.starts_with('"') => {
                let text: String = serde_json::from_str(text).map_err(no_json)?;
                csv::write_text(&text, &mut line);
            }
            Some(value) => line.extend_from_slice(value.as_bytes()),
        }
    }
    line.extend_from_slice(b"\r\n");
    out.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_digits_and_gets_its_site() {
        let check = |body: &str, wanted: &str| {
            let mut out = Vec::new();
            write_ndjson("site", "lake", body, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        };
        check(r#"{"n":1.50}"#, "{\"site\":\"lake\",\"n\":1.50}\n");
        check("{}", "{\"site\":\"lake\"}\n");
        let schema = r#"{"additionalProperties":false,"x-order":["k","n","t"],"x-key":"k","properties":{
            "k":{"type":"string"},"n":{"type":"number"},"t":{"type":"string"}}}"#;
        let model = crate::cdm::Model::from_schemas("m", &[("t.schema.json".into(), schema.into())]).unwrap();
        let mut out = Vec::new();
        write_csv(
            model.table(crate::cdm::TableId(0)),
            "lake",
            r#"{"n":1.50,"t":"a,\"b\"","k":"1"}"#,
            &mut out,
        )
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "lake,1,1.50,\"a,\"\"b\"\"\"\r\n");
    }
}
