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

/// The display of a code.
pub type Said<'d> = Box<dyn Fn(&str) -> Option<String> + 'd>;

/// What the codes of one column are called. Sites send no displays; whoever exports says them anew.
pub struct Display<'d> {
    pub column: String,
    /// The display of a code, or of a number as it stands.
    pub of: Said<'d>,
}

impl std::fmt::Debug for Display<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Display({})", self.column)
    }
}

impl Display<'_> {
    /// A table may have a column of this name itself; then ours steps aside.
    fn name(&self, table: &Table) -> String {
        let name = format!("{}_display", self.column);
        if table.column(&name).is_some() { format!("_{name}") } else { name }
    }

    fn said(&self, body: &HashMap<String, &RawValue>) -> io::Result<Option<String>> {
        let Some(code) = body.get(&self.column).map(|code| code.get()).filter(|code| *code != "null") else {
            return Ok(None);
        };
        if code.starts_with('"') {
            let code: String = serde_json::from_str(code).map_err(no_json)?;
            return Ok((self.of)(&code));
        }
        Ok((self.of)(code))
    }
}

fn no_json(_: serde_json::Error) -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// Writes every row of `table`, each with the site it is from, and behind its columns the displays of some; the number of rows.
/// # Errors: the store's, or `Io` when `out` takes no more.
pub fn export(connection: &Connection, table: &Table, displays: &[Display<'_>], format: Format, out: &mut dyn Write) -> Result<u64, Fault> {
    // A table may have a column of this name itself; then ours steps aside.
    let site_column = if table.column("site").is_some() { "_site" } else { "site" };
    if format == Format::Csv {
        let names = table.columns.iter().map(|column| column.name.clone());
        let names: Vec<String> = names.chain(displays.iter().map(|display| display.name(table))).collect();
        write!(out, "{site_column},{}\r\n", names.join(","))?;
    }
    let mut select = connection.prepare("SELECT site, body FROM cdm_row WHERE table_name = ?1 ORDER BY site, row_key")?;
    let mut rows = select.query([&table.name])?;
    let mut written = 0;
    while let Some(row) = rows.next()? {
        let (site, body): (String, String) = (row.get(0)?, row.get(1)?);
        match format {
            Format::Ndjson => write_ndjson((table, displays), (site_column, &site), &body, out)?,
            Format::Csv => write_csv((table, displays), &site, &body, out)?,
        }
        written += 1;
    }
    Ok(written)
}

fn write_ndjson(
    (table, displays): (&Table, &[Display<'_>]),
    (site_column, site): (&str, &str),
    body: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    // The body is a JSON object as it was accepted: its digits stay.
    let members = body
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or("")
        .trim();
    let comma = if members.is_empty() { "" } else { "," };
    write!(out, "{{\"{site_column}\":\"{site}\"{comma}{members}")?;
    if !displays.is_empty() {
        let body: HashMap<String, &RawValue> = serde_json::from_str(body).map_err(no_json)?;
        for display in displays {
            if let Some(said) = display.said(&body)? {
                let said = serde_json::to_string(&said).map_err(no_json)?;
                write!(out, ",\"{}\":{said}", display.name(table))?;
            }
        }
    }
    writeln!(out, "}}")
}

fn write_csv((table, displays): (&Table, &[Display<'_>]), site: &str, body: &str, out: &mut dyn Write) -> io::Result<()> {
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
    for display in displays {
        line.push(b',');
        if let Some(said) = display.said(&body)? {
            csv::write_text(&said, &mut line);
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
        let schema = r#"{"additionalProperties":false,"x-order":["k","n","t"],"x-key":"k","properties":{
            "k":{"type":"string"},"n":{"type":"number"},"t":{"type":"string"}}}"#;
        let model = crate::cdm::Model::from_schemas("m", &[("t.schema.json".into(), schema.into())]).unwrap();
        let table = model.table(crate::cdm::TableId(0));
        let named = [Display {
            column: "t".to_owned(),
            of: Box::new(|code| (code != "c").then(|| format!("the \"{code}\""))),
        }];
        let check = |displays: &[Display<'_>], body: &str, json: &str, csv: &str| {
            let mut out = Vec::new();
            write_ndjson((table, displays), ("site", "lake"), body, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), json);
            let mut out = Vec::new();
            write_csv((table, displays), "lake", body, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), csv);
        };
        check(&[], r#"{"n":1.50}"#, "{\"site\":\"lake\",\"n\":1.50}\n", "lake,,1.50,\r\n");
        check(&[], "{}", "{\"site\":\"lake\"}\n", "lake,,,\r\n");
        let body = r#"{"n":1.50,"t":"a,\"b\"","k":"1"}"#;
        let wanted = "lake,1,1.50,\"a,\"\"b\"\"\"";
        check(
            &[],
            body,
            &format!("{{\"site\":\"lake\",{}\n", &body[1..]),
            &format!("{wanted}\r\n"),
        );
        check(
            &named,
            r#"{"k":"1","t":"x"}"#,
            "{\"site\":\"lake\",\"k\":\"1\",\"t\":\"x\",\"t_display\":\"the \\\"x\\\"\"}\n",
            "lake,1,,x,\"the \"\"x\"\"\"\r\n",
        );
        check(&named, r#"{"t":"c"}"#, "{\"site\":\"lake\",\"t\":\"c\"}\n", "lake,,,c,\r\n");
        check(&named, r#"{"t":null}"#, "{\"site\":\"lake\",\"t\":null}\n", "lake,,,,\r\n");
    }
}
