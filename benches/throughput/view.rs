//! A six-column view over Observations, from NDJSON in memory to NDJSON in memory, beside simd-json merely reading the
//! same bytes.

use headwater::fhir::tree::{Limits, Tree};
use headwater::map::view::{Reading, Room, View};

const VIEW: &str = r#"{"resource":"Observation","name":"bench","select":[
    {"column":[
        {"name":"id","path":"id"},
        {"name":"patient","path":"subject.reference"},
        {"name":"effective","path":"effective.ofType(dateTime)"},
        {"name":"value","path":"value.ofType(Quantity).value"}]},
    {"forEach":"code.coding","column":[
        {"name":"system","path":"system"},
        {"name":"code","path":"code"}]}]}"#;

/// Reads each line and writes its rows.
pub(crate) fn six_columns() -> impl FnMut(&[u8]) -> usize {
    let view = View::compile(VIEW, "bench", Reading::Mapping).expect("the bench's view compiles");
    let head = |(at, name): (usize, &str)| format!("{}\"{name}\":", if at == 0 { '{' } else { ',' });
    let heads: Vec<String> = view
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .enumerate()
        .map(head)
        .collect();
    let mut tree = Tree::new();
    let mut room = Room::default();
    let mut out = Vec::new();
    let limits = Limits::default();
    move |line| {
        out.clear();
        let Ok(root) = tree.parse(line, &limits) else { return 0 };
        let done = view.rows_in(&mut room, root, |row| {
            for (head, field) in heads.iter().zip(&row.fields) {
                out.extend_from_slice(head.as_bytes());
                field.write_json(&mut out);
            }
            out.extend_from_slice(b"}\n");
            Ok(())
        });
        done.map_or(0, |()| out.len())
    }
}
