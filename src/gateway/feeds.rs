//! Which types of resources feed which tables, and so which tables stay empty where an EHR does not offer a type. Knows names
//! only: whether a type is offered is `pull`'s to say.

use std::collections::{BTreeMap, BTreeSet};

/// Types of resources by the table they fill.
#[derive(Clone, Debug, Default)]
pub struct Feeds(BTreeMap<String, BTreeSet<String>>);

impl Feeds {
    /// Pairs of a type and a table that it fills.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut feeds = Self::default();
        for (resource_type, table) in pairs {
            feeds.0.entry(table.to_owned()).or_default().insert(resource_type.to_owned());
        }
        feeds
    }

    /// Each of these types with the tables that stay empty without them all. A table that another type fills, too, does not.
    pub fn empty_without(&self, types: &[String]) -> BTreeMap<String, Vec<String>> {
        let empty = self.0.iter().filter(|(_, fed_by)| fed_by.iter().all(|name| types.contains(name)));
        let mut found: BTreeMap<String, Vec<String>> = types.iter().map(|name| (name.clone(), Vec::new())).collect();
        for (table, fed_by) in empty {
            for name in fed_by {
                found.entry(name.clone()).or_default().push(table.clone());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_empty_only_when_every_type_that_fills_it_is_missing() {
        let feeds = Feeds::of([
            ("Coverage", "payer"),
            ("Device", "exposure"),
            ("DeviceUseStatement", "exposure"),
            ("Procedure", "exposure"),
            ("Specimen", "specimen"),
        ]);
        let check = |types: &[&str], expected: &[(&str, &[&str])]| {
            let types: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
            let found = feeds.empty_without(&types);
            let found: Vec<(&str, Vec<&str>)> = found
                .iter()
                .map(|(name, tables)| (name.as_str(), tables.iter().map(String::as_str).collect()))
                .collect();
            let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(name, tables)| (*name, tables.to_vec())).collect();
            assert_eq!(found, expected);
        };
        check(
            &["Coverage", "Device", "Practitioner"],
            &[("Coverage", &["payer"]), ("Device", &[]), ("Practitioner", &[])],
        );
        check(
            &["Device", "DeviceUseStatement", "Procedure"],
            &[
                ("Device", &["exposure"]),
                ("DeviceUseStatement", &["exposure"]),
                ("Procedure", &["exposure"]),
            ],
        );
        check(&[], &[]);
    }
}
