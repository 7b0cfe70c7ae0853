//! `unionAll`: branches that fill the same columns, each in its way.

use super::compile::Compiler;
use super::{Column, Part};
use crate::fhir::path::Typing;
use crate::fhir::tree::Node;

impl Compiler<'_, '_> {
    /// Branches fill the same columns: equal in number, names and order.
    pub(super) fn union(&mut self, node: Node<'_, '_>, focus: &Typing) -> Option<Part> {
        let first = self.columns.len();
        let mut branches = Vec::new();
        let mut agreed: Option<Vec<Column>> = None;
        for branch in node.children() {
            self.columns.truncate(first);
            if self.faults.is_full() {
                return None;
            }
            let select = self.select(branch, focus);
            let own = &self.columns[first..];
            match &agreed {
                None => agreed = Some(own.to_vec()),
                Some(columns) => {
                    if !names(columns).eq(names(own)) {
                        let told = |columns: &[Column]| names(columns).collect::<Vec<_>>().join(", ");
                        let (expected, found) = (told(columns), told(own));
                        self.faults.at(
                            branch.offset(),
                            format!(
                                "the branches of `unionAll` must have the same columns in the same order: `{expected}`, but here `{found}`"
                            ),
                        );
                    }
                }
            }
            branches.extend(select);
        }
        let agreed = agreed.unwrap_or_default();
        self.columns.truncate(first);
        self.columns.extend(agreed);
        Some(Part::Union(branches))
    }
}

fn names(columns: &[Column]) -> impl Iterator<Item = &str> {
    columns.iter().map(|column| column.name.as_str())
}
