//! What belongs to no patient and travels along with a patient's resources: what they refer to, and the Provenance that
//! tells where they are from. Basis: Bulk Data Access 2.0.0, Group and Patient level, `includeAssociatedData`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::super::error::SimulateError;
use super::super::span;
use super::super::world::{Place, World, patient};
use super::index::Index;
use super::listing::split;
use super::wanted::{Associated, Wanted, Whose};

/// Types without a patient that travel along where a patient's resource refers to them.
pub(super) const ASSOCIATED: &[&str] = &[
    "Device",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
];

/// What the resources of the patients refer to, of the types that travel along: `Type/id` or `urn:uuid:id`.
pub(super) fn referenced(world: &World, whose: &Whose) -> Result<HashSet<String>, SimulateError> {
    let mut found = HashSet::new();
    for kind in world.kinds() {
        world.scan(kind, Place::default(), &mut |entry| {
            if let Some(line) = entry.text()
                && patient(kind, line).is_some_and(|patient| whose.includes(patient))
            {
                collect_references(line, &mut found);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

/// Adds what one resource refers to.
pub(super) fn collect_references(line: &str, found: &mut HashSet<String>) {
    for at in memchr::memmem::find_iter(line.as_bytes(), b"\"reference\"") {
        let after = line[at + 11..].trim_start().strip_prefix(':').map_or("", str::trim_start);
        let Some(reference) = after.strip_prefix('"').and_then(|text| text.split('"').next()) else {
            continue;
        };
        let reference = reference.split("/_history/").next().unwrap_or(reference);
        if reference.starts_with("urn:uuid:") {
            found.insert(reference.to_owned());
        } else if let Some((kind, id)) = split(reference)
            && ASSOCIATED.contains(&kind.as_str())
        {
            found.insert(format!("{kind}/{id}"));
        }
    }
}

/// Where the resources that were referred to stand, of the types that travel along: types and rows, sorted.
pub(super) fn targets(index: &Index, references: &HashSet<String>) -> BTreeSet<(String, u32)> {
    let mut found = BTreeSet::new();
    for reference in references {
        let (kinds, id) = match (reference.strip_prefix("urn:uuid:"), split(reference)) {
            // Which type it is only the data know.
            (Some(id), _) => (ASSOCIATED.iter().map(|kind| (*kind).to_owned()).collect(), id.to_owned()),
            (None, Some((kind, id))) => (vec![kind], id),
            (None, None) => continue,
        };
        for kind in kinds {
            if let Some(row) = index.kind(&kind).and_then(|all| all.row_of(&id)) {
                found.insert((kind, row));
            }
        }
    }
    found
}

/// Provenance of one resource: when it was recorded, and its id.
type Told = Vec<(Option<Timestamp>, String)>;

/// Ids of the Provenance about the resources that are asked for.
pub(super) fn provenance_of(world: &World, wanted: &Wanted, which: Associated) -> Result<HashSet<String>, SimulateError> {
    // By type and id of what it is about.
    let mut told: BTreeMap<String, HashMap<String, Told>> = BTreeMap::new();
    world.scan("Provenance", Place::default(), &mut |entry| {
        let line = entry.text().unwrap_or_default();
        let recorded = span::get_plain(line, "recorded").and_then(|at| at.parse().ok());
        for target in span::get(line, "target").map(span::items).unwrap_or_default() {
            if let Some((kind, target)) = span::get_plain(target, "reference").and_then(split)
                && let Some(id) = span::get_plain(line, "id")
                && wanted.has(&kind)
            {
                let of_kind = told.entry(kind).or_default();
                of_kind.entry(target).or_default().push((recorded, id.to_owned()));
            }
        }
        ControlFlow::Continue(())
    })?;
    let mut found = HashSet::new();
    for (kind, by_target) in &told {
        world.scan(kind, Place::default(), &mut |entry| {
            let line = entry.text().unwrap_or_default();
            let whose = match &wanted.whose {
                Whose::Everyone => true,
                whose => patient(kind, line).is_some_and(|patient| whose.includes(patient)),
            };
            if whose && let Some(all) = span::get_plain(line, "id").and_then(|id| by_target.get(id)) {
                match which {
                    Associated::Relevant => found.extend(all.iter().map(|(_, id)| id.clone())),
                    Associated::Latest => found.extend(all.iter().max().map(|(_, id)| id.clone())),
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_all_shapes_are_collected_and_patients_are_not() {
        let mut found = HashSet::new();
        collect_references(
            r#"{"a":{"reference":"Practitioner/1"},"b":[{"reference" : "https://x/fhir/Location/2/_history/3"}],"c":{"reference":"urn:uuid:4"},"d":{"reference":"Patient/5"},"e":{"reference":""#,
            &mut found,
        );
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort();
        assert_eq!(found, ["Location/2", "Practitioner/1", "urn:uuid:4"]);
    }
}
