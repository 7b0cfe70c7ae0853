//! Which files of a package hold definitions, and what its `package.json` says of it. Knows no archive.

use serde::Deserialize;

use crate::fhir::tree::{Kind, Limits, Node, Tree};

/// Limits on one file.
const LIMITS: Limits = Limits {
    line_bytes: super::FILE_BYTES,
    depth: 64,
};

/// What a package says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct About {
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(rename = "fhirVersions", alias = "fhir-version-list", default)]
    releases: Vec<String>,
}

impl About {
    /// # Errors: it says nothing, or is for another release than R4.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let about: About = serde_json::from_str(text)
            .map_err(|error| format!("`package.json` is no package's at line {} column {}", error.line(), error.column()))?;
        let is_r4 = |release: &String| release.starts_with("4.0");
        if !about.releases.is_empty() && !about.releases.iter().any(is_r4) {
            return Err(format!(
                "is for FHIR {}; this reads R4: take the package's R4 edition",
                about.releases.join(", ")
            ));
        }
        Ok(about)
    }
}

/// What is kept of a file.
pub(super) enum Kept {
    No,
    Whole,
    /// The definitions in a Bundle's entries, as it holds them, each with its entry's number from 1.
    Entries(Vec<(usize, String)>),
}

/// # Errors: a file that is no JSON.
pub(super) fn kept(text: &str) -> Result<Kept, String> {
    let mut tree = Tree::new();
    let root = match tree.parse(text.as_bytes(), &LIMITS) {
        Ok(root) => root,
        // What names no definition of ours may be anything.
        Err(_)
            if !["StructureDefinition", "ValueSet", "CodeSystem", "Questionnaire"]
                .iter()
                .any(|kind| text.contains(kind)) =>
        {
            return Ok(Kept::No);
        }
        Err(error) => return Err(format!("is not JSON: {} at byte {}", error.rule, error.offset)),
    };
    if is_definition(root) {
        return Ok(Kept::Whole);
    }
    if root.resource_type() != Some("Bundle") {
        return Ok(Kept::No);
    }
    let member = |node: Node<'_, '_>, name: &str| node.children().find(|child| child.name_text() == name).map(|child| child.index());
    let entries = member(root, "entry")
        .map(|at| root.numbered(at))
        .filter(|entries| entries.kind() == Kind::Array);
    let resources = entries.into_iter().flat_map(Node::children);
    let resources = (1..)
        .zip(resources)
        .filter_map(|(number, entry)| Some((number, root.numbered(member(entry, "resource")?))));
    Ok(Kept::Entries(
        resources
            .filter(|(_, resource)| is_definition(*resource))
            .map(|(number, resource)| (number, resource.raw().to_owned()))
            .collect(),
    ))
}

fn is_definition(node: Node<'_, '_>) -> bool {
    matches!(
        node.resource_type(),
        Some("StructureDefinition" | "ValueSet" | "CodeSystem" | "Questionnaire")
    )
}
