//! Codes looked up in a vocabulary: facets, preference, domains, rows.

use super::*;
use crate::map::vocabulary::{MemoryVocabulary, Vocabulary};

/// Two views share an Observation's codes out by domain.
fn view(table: &str, domain: &str, rows: &str, more: &str) -> (String, String) {
    let text = format!(
        r#"{{"resource":"Observation","name":"{table}","select":[{{"column":[
        {{"name":"id","path":"getResourceKey()","tag":[{{"name":"headwater/key","value":"concept"}}]}},
        {{"name":"concept","path":"code.text","tag":[{{"name":"headwater/vocabulary","value":"standard"}},
          {{"name":"headwater/coding","value":"code"}}{domain}{rows}]}},
        {{"name":"source","path":"code.text","tag":[{{"name":"headwater/vocabulary","value":"source"}},{{"name":"headwater/coding","value":"code"}}]}},
        {{"name":"word","path":"code.text","tag":[{{"name":"headwater/vocabulary","value":"display"}},
          {{"name":"headwater/coding","value":"code"}},{{"name":"headwater/truncate","value":"5"}}]}}{more}]}}]}}"#
    );
    (format!("Observation.{table}.json"), text)
}

fn tag(name: &str, value: &str) -> String {
    format!(r#",{{"name":"headwater/{name}","value":"{value}"}}"#)
}

const SYSTEMS: &str = r#"{"resourceType":"ConceptMap","url":"https://headwater.example/fhir/ConceptMap/omop-vocabulary","group":[
    {"source":"urn:ietf:rfc:3986","element":[{"code":"http://a","target":[{"code":"A"}]},{"code":"http://b","target":[{"code":"B"}]},
    {"code":"http://u","target":[{"code":"U"}]}]}]}"#;

/// In A standard concepts, in B source codes: 1 maps to A's 1, 2 to two of other domains, 3 to nothing.
const CONCEPTS: &str = "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tstandard_concept\tconcept_code\tinvalid_reason
2000000001\tOne\tMeasurement\tA\tS\t1\t
2000000002\tTwo\tObservation\tA\tS\t2\t
2000000003\tOld\tMeasurement\tA\tS\t3\tU
2000000011\tB one\tMeasurement\tB\t\t1\t
2000000012\tB two\tMeasurement\tB\t\t2\t
2000000013\tB three\tMeasurement\tB\t\t3\t
2000000021\tmilligram\tUnit\tU\tS\tmg\t
";
const RELATIONSHIPS: &str = "concept_id_1\tconcept_id_2\trelationship_id\tinvalid_reason
2000000001\t2000000001\tMaps to\t
2000000011\t2000000001\tMaps to\t
2000000012\t2000000001\tMaps to\t
2000000012\t2000000002\tMaps to\t
2000000013\t2000000003\tMaps to\t
";

fn vocabulary() -> Arc<dyn Vocabulary> {
    Arc::new(MemoryVocabulary::parse(CONCEPTS, RELATIONSHIPS, "v").expect("Athena's form"))
}

fn two_tables() -> Arc<Model> {
    let schema = r#"{"additionalProperties":false,"x-key":"id","x-order":["id","concept","source","word","unit"],"required":["id"],
        "properties":{"id":{"type":"integer"},"concept":{"type":"integer"},"source":{"type":"integer"},"word":{"type":"string"},"unit":{"type":"integer"}}}"#;
    let files = ["m", "o"].map(|table| (format!("{table}.schema.json"), schema.to_owned()));
    Arc::new(Model::from_schemas("two", &files).expect("schemas of ours"))
}

fn load(views: &[(String, String)]) -> Result<Mapping, Vec<String>> {
    let maps = [("systems.json".to_owned(), SYSTEMS.to_owned())];
    Mapping::load(two_tables(), views, &maps).map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

/// `table key concept source word unit` of each row, and `system|code reason` of each unmapped code.
fn rows(views: &[(String, String)], codings: &str, more: &str) -> (Vec<String>, Vec<String>) {
    let mapping = load(views).expect("the mapping loads");
    let lookups = mapping.lookups().with_vocabulary(Some(vocabulary())).finish();
    let line = line(codings, more);
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
    let (mut rows, mut work) = (Rows::new(), Work::default());
    run(&mapping, &lookups, root, &mut rows, &mut work).expect("rows");
    let shown = |cell: &crate::cdm::Cell<'_>| match cell {
        crate::cdm::Cell::Text(text) => text.to_string(),
        other => {
            let mut out = Vec::new();
            other.write_json(&mut out);
            String::from_utf8(out).expect("JSON").replace("20000000", "..")
        }
    };
    let row = |(table, cells): (crate::cdm::TableId, &[crate::cdm::Cell<'_>])| {
        let cells: Vec<_> = cells.iter().map(shown).collect();
        format!("{} {}", mapping.model().table(table).name, cells.join(" "))
    };
    let unmapped = work.stats.unmapped();
    let unmapped = unmapped
        .iter()
        .map(|(code, tally)| format!("{}|{} {} {}", code.system, code.code, code.reason, tally.times));
    (rows.iter().map(row).collect(), unmapped.collect())
}

fn by_domain() -> [(String, String); 2] {
    [
        view("m", &tag("domain", "Measurement"), &tag("rows", "each"), ""),
        view("o", &tag("domain", "Observation,none"), &tag("rows", "each"), ""),
    ]
}

#[test]
fn a_code_goes_to_the_table_of_its_standard_concept_s_domain_and_one_code_may_make_two_rows() {
    let (one, unmapped) = rows(&by_domain(), &coding("http://b", "1"), "");
    assert_eq!(one, ["m Observation/o1#2000000001 ..01 ..11 1 null"]);
    assert!(unmapped.is_empty());
    let (two, _) = rows(&by_domain(), &coding("http://b", "2"), "");
    assert_eq!(
        two,
        [
            "m Observation/o1#2000000001 ..01 ..12 2 null",
            "o Observation/o1#2000000002 ..02 ..12 2 null"
        ]
    );
}

#[test]
fn two_codings_of_one_standard_concept_make_one_row_of_the_preferred_one() {
    let both = format!(
        r#"{},{{"system":"http://a","code":"1","display":"Display"}}"#,
        coding("http://b", "1")
    );
    let (in_order, _) = rows(&by_domain(), &both, "");
    assert_eq!(in_order, ["m Observation/o1#2000000001 ..01 ..11 1 null"]);
    let prefer = |list: &str| {
        [view(
            "m",
            &tag("domain", "Measurement"),
            &(tag("rows", "each") + &tag("prefer", list)),
            "",
        )]
    };
    assert_eq!(
        rows(&prefer("A,*"), &both, "").0,
        ["m Observation/o1#2000000001 ..01 ..01 Displ null"]
    );
    assert!(rows(&prefer("A"), &coding("http://b", "1"), "").0.is_empty());
}

#[test]
fn a_code_without_a_standard_concept_is_row_0_where_that_is_taken_and_is_counted_once_with_its_reason() {
    for (system, code, source, reason) in [
        ("http://b", "3", "..13", "no-standard"),
        ("http://b", "9", "0", "no-code"),
        ("http://x", "1", "0", "no-vocabulary"),
    ] {
        let (rows, unmapped) = rows(&by_domain(), &coding(system, code), "");
        assert_eq!(rows, [format!("o Observation/o1#0 0 {source} {code} null")]);
        assert_eq!(unmapped, [format!("{system}|{code} {reason} 1")]);
    }
    // A code that says more is taken before the first.
    let (rows, _) = rows(
        &by_domain(),
        &format!("{},{}", coding("http://x", "1"), coding("http://b", "3")),
        "",
    );
    assert_eq!(rows, ["o Observation/o1#0 0 ..13 3 null"]);
}

#[test]
fn a_concept_whose_domain_no_view_takes_is_counted_once_as_such() {
    // B's 2 maps to a Measurement and an Observation; the second has no view here.
    let only = [view("m", &tag("domain", "Measurement"), &tag("rows", "each"), "")];
    let (some, unmapped) = rows(&only, &coding("http://b", "2"), "");
    assert_eq!(some, ["m Observation/o1#2000000001 ..01 ..12 2 null"]);
    assert_eq!(unmapped, ["http://b|2 no-view 1"]);
    let (none, unmapped) = rows(&only, &coding("http://a", "2"), "");
    assert!(none.is_empty());
    assert_eq!(unmapped, ["http://a|2 no-view 1"]);
    assert!(rows(&by_domain(), &coding("http://b", "2"), "").1.is_empty());
}

#[test]
fn codes_of_components_are_counted_apart_from_the_code_of_their_resource() {
    let component = view("m", &tag("domain", "Measurement"), &tag("rows", "each"), "");
    let component = (
        "Observation.m.component.json".to_owned(),
        component
            .1
            .replacen(r#""select":[{"#, r#""select":[{"forEach":"component","#, 1)
            .replace("code.text", "'x'"),
    );
    let [m, o] = by_domain();
    let more = r#","component":[{"code":{"coding":[{"system":"http://b","code":"3"}]}}]"#;
    let (_, unmapped) = rows(&[m, o, component], &coding("http://b", "9"), more);
    assert_eq!(unmapped, ["http://b|3 no-standard 1", "http://b|9 no-code 1"]);
}

#[test]
fn without_rows_a_column_takes_the_first_concept_that_counts_or_0() {
    let unit = |empty: &str| {
        format!(
            r#",{{"name":"unit","path":"value.ofType(Quantity).code","tag":[{{"name":"headwater/vocabulary","value":"standard"}},
            {{"name":"headwater/system","value":"http://u"}}{empty}]}}"#
        )
    };
    let view = |empty: &str| [view("m", &tag("domain", "Measurement"), &tag("rows", "first"), &unit(empty))];
    let quantity = |code: &str| format!(r#","valueQuantity":{{"value":1{code}}}"#);
    let last = |empty: &str, code: &str| {
        let (rows, unmapped) = rows(&view(empty), &coding("http://b", "1"), &quantity(code));
        (rows[0].rsplit(' ').next().expect("a unit").to_owned(), unmapped.len())
    };
    assert_eq!(last("", r#","code":"mg""#), ("..21".to_owned(), 0));
    assert_eq!(last("", r#","code":"stone""#), ("0".to_owned(), 1));
    assert_eq!(last("", ""), ("0".to_owned(), 0));
    assert_eq!(last(&tag("empty", "null"), ""), ("null".to_owned(), 0));
    assert_eq!(last(&tag("empty", "null"), r#","code":"stone""#), ("0".to_owned(), 1));
    assert_eq!(last(&tag("empty", "null-unmapped"), r#","code":"stone""#), ("null".to_owned(), 1));
}

#[test]
fn a_row_that_no_concept_asks_for_is_not_looked_at() {
    // Two notes: more than one value for the column, a fault where the row is made.
    let notes = r#",{"name":"unit","path":"note.text.length()"}"#;
    let more = r#","note":[{"text":"a"},{"text":"b"}]"#;
    let views = [view("m", &tag("domain", "Measurement"), &tag("rows", "each"), notes)];
    let mapping = load(&views).expect("the mapping loads");
    let lookups = mapping.lookups().with_vocabulary(Some(vocabulary())).finish();
    let fate = |code: &str| {
        let line = line(&coding("http://a", code), more);
        let (mut tree, mut rows, mut work) = (Tree::new(), Rows::new(), Work::default());
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
        run(&mapping, &lookups, root, &mut rows, &mut work).map(|_| rows.len()).ok()
    };
    assert_eq!((fate("1"), fate("2")), (None, Some(0)));
}

#[test]
fn what_views_share_of_one_resource_is_forgotten_at_the_next() {
    let mapping = load(&by_domain()).expect("the mapping loads");
    let lookups = mapping.lookups().with_vocabulary(Some(vocabulary())).finish();
    let lines = [("http://b", "2"), ("http://b", "9"), ("http://a", "1")].map(|(system, code)| line(&coding(system, code), ""));
    let (mut rows, mut work, mut made) = (Rows::new(), Work::default(), Vec::new());
    let mut trees = lines.each_ref().map(|_| Tree::new());
    for (line, tree) in lines.iter().zip(&mut trees) {
        rows.clear();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
        run(&mapping, &lookups, root, &mut rows, &mut work).expect("rows");
        let concepts = rows.iter().map(|(table, cells)| (table.0, cells[1].clone()));
        made.push(concepts.collect::<Vec<_>>());
    }
    let concept = |table: u16, id: i64| (table, crate::cdm::Cell::Integer(id));
    assert_eq!(
        made,
        [
            vec![concept(0, 2_000_000_001), concept(1, 2_000_000_002)],
            vec![concept(1, 0)],
            vec![concept(0, 2_000_000_001)]
        ]
    );
}

#[test]
fn what_a_lookup_cannot_be_is_told_when_it_is_loaded() {
    let fault = |domain: &str, rows: &str, more: &str| load(&[view("m", domain, rows, more)]).expect_err("a fault").join("; ");
    assert!(fault(&tag("domain", "none"), "", "").contains("names `none` alone"));
    assert!(fault("", &tag("rows", "all"), "").contains("`headwater/rows` must be one of `each`, `first`"));
    let other = r#",{"name":"unit","path":"code.text","tag":[{"name":"headwater/vocabulary","value":"standard"},
        {"name":"headwater/coding","value":"category"},{"name":"headwater/rows","value":"each"}]}"#;
    assert!(fault("", &tag("rows", "each"), other).contains("only one column of a view can make its rows"));
    let stray = r#",{"name":"unit","path":"1","tag":[{"name":"headwater/domain","value":"Unit"}]}"#;
    assert!(fault("", "", stray).contains("`headwater/domain` is of no use without `headwater/vocabulary`"));
    let facet = r#",{"name":"unit","path":"1","tag":[{"name":"headwater/vocabulary","value":"id"}]}"#;
    assert!(fault("", "", facet).contains("`headwater/vocabulary` must be one of `standard`, `source`, `code`"));
}
