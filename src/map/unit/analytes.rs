//! `units.toml`: in which unit an analyte is wanted, and how many of one unit another is where UCUM cannot know, because it
//! hangs on the substance (`mmol/L` and `mg/dL` of glucose). Every fault at once, with its line.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::written::Written;
use crate::fhir::decimal::Decimal;
use crate::map::fault::MappingFault;
use crate::map::file::Faults;

/// The analytes of a model.
#[derive(Debug, Default)]
pub(in crate::map) struct Analytes {
    all: Vec<Analyte>,
    /// Places in `all`, by system and code.
    codes: HashMap<String, HashMap<String, usize>>,
}

#[derive(Debug)]
pub(in crate::map) struct Analyte {
    /// What a column of `headwater/unit` = `analyte` is given in.
    pub unit: Option<Written>,
    conversions: Vec<Conversion>,
}

/// One `from` is `factor` `to`.
#[derive(Debug)]
struct Conversion {
    from: Written,
    to: Written,
    factor: Decimal,
}

impl Analyte {
    /// `number` of `from` as a number of `to`, by what is known of this analyte alone.
    pub(in crate::map) fn convert(&self, number: Decimal, from: &Written, to: &Written) -> Option<Decimal> {
        self.conversions.iter().find_map(|known| {
            if let (Some(number), true) = (from.convert(number, &known.from), known.to.is_like(to)) {
                return known.to.convert(number.times(known.factor)?, to);
            }
            let number = from.convert(number, &known.to)?;
            known.from.convert(number.divided_by(known.factor)?, to)
        })
    }

    /// Whether a number of `from` has one of `to`.
    pub(in crate::map) fn connects(&self, from: &Written, to: &Written) -> bool {
        self.convert(Decimal::from(1), from, to).is_some()
    }
}

impl Analytes {
    pub(in crate::map) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(in crate::map) fn find(&self, system: &str, code: &str) -> Option<&Analyte> {
        self.codes.get(system)?.get(code).map(|place| &self.all[*place])
    }

    /// # Errors: every fault of the file.
    pub(in crate::map) fn load(file: &str, text: &str) -> Result<Self, Vec<MappingFault>> {
        let mut reader = Reader {
            faults: Faults::new(file, text),
            analytes: Self::default(),
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.faults.at(at, format!("is not TOML: {}", error.message()));
        }
        for (key, value) in root.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref().as_array()) {
                ("analyte", Some(all)) => all.iter().for_each(|one| reader.analyte(one)),
                _ => reader.faults.at(key.span().start, "only `[[analyte]]` is known here"),
            }
        }
        if reader.faults.all.is_empty() {
            Ok(reader.analytes)
        } else {
            Err(reader.faults.all)
        }
    }
}

struct Reader<'r> {
    faults: Faults<'r>,
    analytes: Analytes,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn known(&mut self, table: &DeTable<'_>, words: &[&str]) {
        for key in table.keys().filter(|key| !words.contains(&key.get_ref().as_ref())) {
            let message = format!("`{}` is not known here: {}", key.get_ref(), words.join(", "));
            self.faults.at(key.span().start, message);
        }
    }

    fn analyte(&mut self, value: &Value<'_>) {
        let at = value.span().start;
        let Some(table) = value.get_ref().as_table() else {
            self.faults.at(at, "an analyte is a table: `[[analyte]]`");
            return;
        };
        self.known(table, &["name", "system", "codes", "unit", "convert"]);
        let system = table.get("system").and_then(|value| value.get_ref().as_str());
        let codes = table.get("codes").and_then(|value| value.get_ref().as_array());
        let (Some(system), Some(codes)) = (system, codes) else {
            self.faults.at(at, "an analyte needs `system` and `codes`, a list");
            return;
        };
        let place = self.analytes.all.len();
        for code in codes {
            let Some(text) = code.get_ref().as_str() else {
                self.faults.at(code.span().start, "a code must be a text");
                continue;
            };
            let known = self.analytes.codes.entry(system.to_owned()).or_default();
            if known.insert(text.to_owned(), place).is_some() {
                self.faults.at(code.span().start, format!("code `{text}` stands twice"));
            }
        }
        let unit = table.get("unit").and_then(|value| self.unit(value));
        let mut conversions = Vec::new();
        let listed = table.get("convert").map(|value| (value.span().start, value.get_ref().as_array()));
        match listed {
            None => {}
            Some((at, None)) => self.faults.at(at, "`convert` is a list of `{ from, to, factor }`"),
            Some((_, Some(all))) => conversions.extend(all.iter().filter_map(|one| self.conversion(one))),
        }
        self.analytes.all.push(Analyte { unit, conversions });
    }

    fn conversion(&mut self, value: &Value<'_>) -> Option<Conversion> {
        let at = value.span().start;
        let table = value.get_ref().as_table();
        let parts = table.and_then(|table| Some((table, table.get("from")?, table.get("to")?, table.get("factor")?)));
        let Some((table, from, to, factor)) = parts else {
            self.faults
                .at(at, "a conversion needs `from`, `to` and `factor`: one `from` is `factor` `to`");
            return None;
        };
        self.known(table, &["from", "to", "factor"]);
        // A text, so that no digit passes through a binary number.
        let number = factor.get_ref().as_str().and_then(Decimal::parse);
        let number = number.filter(|number| !number.is_zero() && !number.is_negative());
        if number.is_none() {
            self.faults.at(
                factor.span().start,
                "`factor` must be a decimal number above 0, in quotes: \"18.016\"",
            );
        }
        let (from, to) = (self.unit(from)?, self.unit(to)?);
        if from.is_like(&to) {
            let message = format!("`{}` and `{}` are of one kind: UCUM itself converts them", from.code, to.code);
            self.faults.at(at, message);
            return None;
        }
        Some(Conversion { from, to, factor: number? })
    }

    fn unit(&mut self, value: &Value<'_>) -> Option<Written> {
        let text = value.get_ref().as_str().unwrap_or_default();
        let unit = Written::read(text).filter(|unit| *unit.code == *text);
        if unit.is_none() {
            let message = format!("`{text}` is no unit in UCUM's spelling");
            self.faults.at(value.span().start, message);
        }
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_factor_converts_both_ways_and_between_all_units_of_the_two_kinds() {
        let text = "[[analyte]]\nsystem = 's'\ncodes = ['1']\nconvert = [{ from = 'mmol/L', to = 'mg/dL', factor = '18.016' }]";
        let analytes = Analytes::load("units.toml", text).unwrap();
        let glucose = analytes.find("s", "1").unwrap();
        let check = |number: &str, from: &str, to: &str| {
            let (from, to) = (Written::read(from).unwrap(), Written::read(to).unwrap());
            glucose
                .convert(Decimal::parse(number).unwrap(), &from, &to)
                .map(|number| number.to_string())
        };
        assert_eq!(check("5", "mmol/L", "mg/dL").as_deref(), Some("90.08"));
        assert_eq!(check("90.08", "mg/dL", "mmol/L").as_deref(), Some("5"));
        assert_eq!(check("0.9008", "g/L", "umol/mL").as_deref(), Some("5"));
        assert_eq!(check("5", "mmol/L", "[iU]/L"), None);
        assert!(analytes.find("s", "2").is_none() && analytes.find("t", "1").is_none());
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        let text = "\
[[analyte]]
system = 's'
codes = ['1', '1', 2]
unit = 'mg/dl'
convert = [{ from = 'mg/dL', to = 'g/L', factor = '2' }, { from = 'mmol/L', to = 'mg/dL', factor = 18.0 }, { from = 'mmol/L' }]
[[analyte]]
color = 'red'
[other]
";
        let faults = Analytes::load("units.toml", text).unwrap_err();
        let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
        for (line, words) in [
            (3, "`1` stands twice"),
            (3, "must be a text"),
            (4, "`mg/dl` is no unit"),
            (5, "of one kind"),
            (5, "in quotes"),
            (5, "needs `from`, `to` and `factor`"),
            (7, "`color` is not known"),
            (6, "needs `system` and `codes`"),
            (8, "only `[[analyte]]`"),
        ] {
            let at = format!("units.toml:{line}:");
            assert!(
                found.iter().any(|fault| fault.starts_with(&at) && fault.contains(words)),
                "{line} {words}: {found:#?}"
            );
        }
    }
}
