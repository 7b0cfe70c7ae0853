//! The parser and the compiler of FHIRPath on any text: as a lenient reader takes it, and as a mapping does.

use headwater::fhir::path::{Names, Path, Start};
use headwater::fhir::types::TypeId;

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lenient = Path::compile(&text, &Names::default(), &Start::default());
    let constants = ["system".to_owned(), "limit".to_owned()];
    let names = Names {
        constants: &constants,
        pure: true,
        ..Names::default()
    };
    let typing = TypeId::of("Observation").map(|type_id| vec![type_id]);
    let start = Start {
        focus: typing.clone(),
        resource: typing,
        strict: true,
    };
    let strict = Path::compile(&text, &names, &start);
    for error in [lenient.err(), strict.err()].into_iter().flatten() {
        assert!(error.offset <= text.len(), "a fault stands behind its text: {error}");
        assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty());
    }
}
