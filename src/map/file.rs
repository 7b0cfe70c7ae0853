//! Reading a mapping file (ViewDefinition, ConceptMap, cases) as a tree, so that every fault has its line and column.

use crate::fhir::path::{PathError, place};
use crate::fhir::tree::{Kind, Limits, Node, SyntaxError, Tree};

use super::fault::MappingFault;

/// Bytes of one mapping file: some ten thousand codes, far more than any view.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Faults shown of one file: who mends them sees the others next.
const MAX_FAULTS: usize = 50;
/// Characters shown of a text that stands in the file.
const SHOWN: usize = 120;

/// Limits on one mapping file.
const LIMITS: Limits = Limits {
    line_bytes: MAX_FILE_BYTES,
    depth: 64,
};

/// Collects the faults of one file, the first of them.
pub(super) struct Faults<'f> {
    pub file: &'f str,
    pub text: &'f str,
    pub all: Vec<MappingFault>,
}

impl<'f> Faults<'f> {
    pub(super) fn new(file: &'f str, text: &'f str) -> Self {
        Self {
            file,
            text,
            all: Vec::new(),
        }
    }

    /// No more are taken: the file need not be read on.
    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= MAX_FAULTS
    }

    pub(super) fn at(&mut self, offset: usize, message: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let (line, column) = place(self.text, offset);
        self.all.push(MappingFault {
            file: self.file.to_owned(),
            line,
            column,
            message: short(message.into(), 4 * SHOWN),
        });
    }

    pub(super) fn syntax(&mut self, error: SyntaxError) {
        self.at(error.offset, format!("is not JSON: {}", error.rule));
    }

    /// A fault inside an expression: at its own place when the JSON string has no escapes, else at the string's.
    pub(super) fn path(&mut self, node: Node<'_, '_>, error: &PathError) {
        let inside = if node.is_escaped() { 0 } else { error.offset };
        let message = format!(
            "`{}` is not usable FHIRPath at line {} column {}: {}",
            short(node.text().into_owned(), SHOWN),
            error.line,
            error.column,
            error.message
        );
        self.at(node.offset() + 1 + inside, message);
    }
}

/// The text, or its beginning where it is long.
fn short(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The file's root.
pub(super) fn read<'t, 'a>(tree: &'t mut Tree, text: &'a str) -> Result<Node<'t, 'a>, SyntaxError> {
    tree.parse(text.as_bytes(), &LIMITS)
}

/// The member called `name`, whatever FHIR knows of the name.
pub(super) fn member<'t, 'a>(node: Node<'t, 'a>, name: &str) -> Option<Node<'t, 'a>> {
    node.children()
        .find(|child| child.name_text() == name)
        .filter(|child| child.kind() != Kind::Null)
}

/// The items of the array called `name`; none when it is absent or no array.
pub(super) fn items<'t, 'a>(node: Node<'t, 'a>, name: &str) -> impl Iterator<Item = Node<'t, 'a>> + use<'t, 'a> {
    member(node, name)
        .filter(|array| array.kind() == Kind::Array)
        .into_iter()
        .flat_map(Node::children)
}

/// The string called `name`.
pub(super) fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    member(node, name)
        .filter(|value| value.kind() == Kind::String)
        .map(|value| value.text().into_owned())
}
