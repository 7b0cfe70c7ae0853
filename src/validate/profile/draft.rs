//! A StructureDefinition as a tree of elements and slices, before its rules are made: read from the snapshot, or from the
//! differential over the tree of its base. Knows where an element belongs (element ids, paths with slice names, a choice
//! written short as `valueQuantity`), not what its rules mean.
//! FHIR R4 ElementDefinition, "Element id", "Shortcut form for constraining choices".

use serde_json::Value;

use super::facts::Facts;
use crate::fhir::name::Name;
use crate::fhir::types::TypeId;

/// One element, or one slice of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// `code`, `value[x]`; the type's name at the top.
    pub label: String,
    /// As the file says it first, for faults.
    pub path: String,
    pub facts: Facts,
    /// By name, in the order of the file.
    pub slices: Vec<(String, Draft)>,
    pub children: Vec<Draft>,
}

/// Elements in one another: no type of R4 is as deep.
const DEPTH: usize = 32;

/// One step of an element's way from the top: its label and perhaps its slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub label: String,
    pub slice: Option<String>,
}

/// Gives each element of a list its parts: by its id, or by its path and what came before it.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The slice that each path stands for now.
    now: Vec<(String, Option<String>)>,
}

impl Places {
    pub fn parts(&mut self, element: &Value) -> Vec<Part> {
        let path = text(element, "path").unwrap_or_default();
        let own = text(element, "sliceName");
        let below = format!("{path}.");
        self.now.retain(|(known, _)| known != path && !known.starts_with(&below));
        self.now.push((path.to_owned(), own.map(str::to_owned)));
        if let Some(parts) = by_id(element, path, own) {
            return parts;
        }
        let mut parts = Vec::new();
        let mut end = 0;
        for label in path.split('.') {
            end += label.len();
            let slice = self.now.iter().find(|(known, _)| *known == path[..end]);
            parts.push(Part {
                label: label.to_owned(),
                slice: slice.and_then(|(_, slice)| slice.clone()),
            });
            end += 1;
        }
        parts
    }
}

/// The parts that an element's id says, if it agrees with its path and slice name.
fn by_id(element: &Value, path: &str, own: Option<&str>) -> Option<Vec<Part>> {
    let id = text(element, "id")?;
    let parts: Vec<Part> = id
        .split('.')
        .map(|part| match part.split_once(':') {
            Some((label, slice)) => Part {
                label: label.to_owned(),
                slice: Some(slice.to_owned()),
            },
            None => Part {
                label: part.to_owned(),
                slice: None,
            },
        })
        .collect();
    let labels = path.split('.');
    let agrees =
        |(part, label): (&Part, &str)| part.label == label || part.label.strip_suffix("[x]").is_some_and(|stem| label.starts_with(stem));
    let fits = labels.clone().count() == parts.len() && parts.iter().zip(labels).all(agrees);
    let named = parts.last().is_some_and(|last| last.slice.as_deref() == own || own.is_none());
    (fits && named).then_some(parts)
}

impl Draft {
    /// The draft of the element at `parts`, below this one of these types, made if it is new.
    /// # Errors: in words, what FHIR R4 does not have.
    pub fn place(&mut self, kinds: &[TypeId], parts: &[Part], path: &str) -> Result<(&mut Draft, Vec<TypeId>), String> {
        let Some((first, rest)) = parts.split_first() else {
            return Ok((self, kinds.to_vec()));
        };
        if parts.len() > DEPTH {
            return Err(format!("an element has at most {DEPTH} parts"));
        }
        let (label, mut slice) = (first.label.clone(), first.slice.clone());
        let mut label = label;
        // `valueQuantity` is `value[x]:valueQuantity`.
        if !label.ends_with("[x]") {
            let child = kinds.iter().find_map(|kind| Some((*kind, kind.child(Name::of(&label))?)));
            if let Some((kind, child)) = child
                && let Some(stem) = kind.stem(child)
            {
                slice = slice.or(Some(label));
                label = format!("{stem}[x]");
            }
        }
        let at = match self.children.iter().position(|child| child.label == label) {
            Some(at) => at,
            None => {
                if !kinds.is_empty() && children(kinds, &label).is_empty() && !kinds.contains(&TypeId::RESOURCE) {
                    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                    return Err(format!("`{}` has no element `{label}` in FHIR R4", names.join("` or `")));
                }
                self.children.push(Draft {
                    label: label.clone(),
                    path: path.to_owned(),
                    ..Draft::default()
                });
                self.children.len() - 1
            }
        };
        let found = &mut self.children[at];
        let mut own = found.kinds(kinds);
        let draft = match &slice {
            None => found,
            Some(name) => {
                let draft = found.slice(name, path);
                own = draft.slice_kinds(kinds, name, &own);
                draft
            }
        };
        let of_all = |part: &Part| matches!(part.label.as_str(), "id" | "extension");
        if rest.first().is_some_and(|part| !of_all(part)) && label.ends_with("[x]") && own.len() > 1 {
            return Err("name one `type` of the choice before its elements".to_owned());
        }
        if rest.is_empty() {
            draft.path = path.to_owned();
        }
        draft.place(&own, rest, path)
    }

    /// The slice of this name, made if it is new: `a/b` is a slice of the slice `a`.
    fn slice(&mut self, name: &str, path: &str) -> &mut Draft {
        let mut draft = self;
        let mut ends: Vec<usize> = name.match_indices('/').map(|(at, _)| at).collect();
        ends.truncate(DEPTH);
        ends.push(name.len());
        let known = |draft: &Draft, part: &str| draft.slices.iter().position(|(own, _)| own == part);
        for (number, end) in ends.iter().enumerate() {
            let part = &name[..*end];
            let last = number + 1 == ends.len();
            let at = match known(draft, part) {
                Some(at) => at,
                // A name with a stroke in it need not be a slice of a slice.
                None if !last => continue,
                None => {
                    let label = draft.label.clone();
                    let made = Draft {
                        label,
                        path: path.to_owned(),
                        ..Draft::default()
                    };
                    draft.slices.push((part.to_owned(), made));
                    draft.slices.len() - 1
                }
            };
            draft = &mut draft.slices[at].1;
        }
        draft
    }

    /// The types that this element of `parents` may have.
    pub fn kinds(&self, parents: &[TypeId]) -> Vec<TypeId> {
        let all = children(parents, &self.label);
        self.facts.narrow(&all)
    }

    /// The types of the slice `name` of this element of `parents`; `of` are the types of the element.
    pub fn slice_kinds(&self, parents: &[TypeId], name: &str, of: &[TypeId]) -> Vec<TypeId> {
        let own = self.facts.narrow(of);
        if own.len() < 2 || !self.label.ends_with("[x]") {
            return own;
        }
        // A slice of a choice that is called as its element is of that type.
        let name = name.rsplit('/').next().unwrap_or(name);
        let typed = parents.iter().find_map(|kind| kind.child(Name::of(name)));
        match typed.filter(|child| own.contains(&child.type_id)) {
            Some(child) => vec![child.type_id],
            None => own,
        }
    }

    pub fn child(&self, label: &str) -> Option<&Draft> {
        let stem = label.strip_suffix("[x]").unwrap_or(label);
        self.children
            .iter()
            .find(|child| child.label == label || child.label.strip_suffix("[x]") == Some(stem))
    }
}

/// The types of the elements `label` of `parents`.
pub(super) fn children(parents: &[TypeId], label: &str) -> Vec<TypeId> {
    let mut found = Vec::new();
    for parent in parents {
        match label.strip_suffix("[x]") {
            Some(stem) => found.extend(parent.choice(stem).iter().map(|child| child.type_id)),
            None => found.extend(parent.child(Name::of(label)).map(|child| child.type_id)),
        }
    }
    found.dedup();
    found
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

pub(super) fn texts<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    items(value, key).filter_map(Value::as_str)
}

pub(super) fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
