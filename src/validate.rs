//! Resource -> Conformant | Refusal. Plain functions: no async, disk, network, clock or randomness.

use crate::fhir::tree::Node;

/// A resource that passed the structure check and its profiles. Only this part can make one.
#[derive(Clone, Copy)]
pub struct Conformant<'t, 'a> {
    root: Node<'t, 'a>,
}

impl<'t, 'a> Conformant<'t, 'a> {
    pub fn root(self) -> Node<'t, 'a> {
        self.root
    }
}
