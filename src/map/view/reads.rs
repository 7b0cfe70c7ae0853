//! Which elements a view reads: its conditions, the lists it goes through, its columns and what their tags ask for.

use super::{Each, Part, Select, View};
use crate::fhir::path::{Place, Reads};

impl View {
    /// Takes in every element the view reads.
    pub fn reads(&self, reads: &mut Reads) {
        let Some(type_id) = self.type_id else { return };
        let root = Place {
            path: self.resource.clone(),
            type_id,
        };
        let focus = std::slice::from_ref(&root);
        for condition in &self.wheres {
            reads.add(&condition.path, &root, focus);
        }
        self.select_reads(&self.select, &root, focus, reads);
    }

    fn select_reads(&self, select: &Select, root: &Place, focus: &[Place], reads: &mut Reads) {
        let inner = match &select.each {
            Each::Once => focus.to_vec(),
            Each::Items(path) | Each::ItemsOrNull(path) => reads.add(path, root, focus),
            Each::Repeat(paths) => {
                // One round: what is below has the same elements again.
                paths.iter().flat_map(|path| reads.add(path, root, focus)).collect()
            }
        };
        for part in &select.parts {
            match part {
                Part::Columns(places) => {
                    for source in &self.sources[places.sources.clone()] {
                        for path in std::iter::once(&source.path).chain(&source.coding).chain(&source.aside) {
                            let given = reads.add(path, root, &inner);
                            reads.take_whole(given);
                        }
                    }
                }
                Part::Select(select) => self.select_reads(select, root, &inner, reads),
                Part::Union(branches) => {
                    for branch in branches {
                        self.select_reads(branch, root, &inner, reads);
                    }
                }
            }
        }
    }
}
