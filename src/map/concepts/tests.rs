//! Wrong concept ids, each found where it stands.

use std::sync::Arc;

use super::*;
use crate::cdm::Model;
use crate::map::vocabulary::MemoryVocabulary;

const CONCEPTS: &str = "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tstandard_concept\tconcept_code\tinvalid_reason
2000000001\tEmergency\tVisit\tV\tS\t1\t
2000000002\tPer cent\tUnit\tU\tS\t2\t
2000000003\tOld visit\tVisit\tV\tS\t3\tD
2000000004\tA record\tType Concept\tT\tS\t4\t
";

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"x-order":["k","visit_concept_id","visit_type_concept_id","visit_source_concept_id"],"x-key":"k","required":["k"],
    "properties":{"k":{"type":"string"},"visit_concept_id":{"type":"integer"},"visit_type_concept_id":{"type":"integer"},
    "visit_source_concept_id":{"type":"integer"}}}"#;

const MAP: &str = r#"{"resourceType":"ConceptMap","url":"http://x/class","group":[{"source":"s","element":[
 {"code":"a","target":[{"code":"2000000001","display":"emergency"}]},
 {"code":"b","target":[{"code":"2000000002"}]},
 {"code":"c","target":[{"code":"2000000003"}]},
 {"code":"d","target":[{"code":"2000000009"}]},
 {"code":"e","target":[{"code":"2000000001","display":"Inpatient"}]},
 {"code":"f","target":[{"code":"2000000002","equivalence":"disjoint"}]},
 {"code":"g","target":[{"code":"0"}]}]}]}"#;

const VIEW: &str = r#"{"resource":"Encounter","name":"t","select":[{"column":[
 {"name":"k","path":"getResourceKey()","tag":[{"name":"headwater/key","value":""}]},
 {"name":"visit_type_concept_id","path":"iif(status = 'finished', 2000000004, 2000000001)"},
 {"name":"visit_source_concept_id","path":"2000000003"},
 {"name":"visit_concept_id","path":"{}","tag":[{"name":"headwater/translate","value":"http://x/class"},{"name":"headwater/coding","value":"class"},
  {"name":"headwater/unmapped","value":"=2000000002"}]}]}]}"#;

#[test]
fn a_wrong_concept_is_told_with_file_and_line_and_a_right_one_not_at_all() {
    let model = Model::from_schemas("m", &[("t.schema.json".into(), SCHEMA.into())]).expect("a schema of ours");
    let files = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
    let (views, concept_maps) = (files("Encounter.t.json", VIEW), files("class.json", MAP));
    let mapping = Mapping::load(Arc::new(model), &views, &concept_maps).expect("the mapping loads");
    let relationships = "concept_id_1\tconcept_id_2\trelationship_id\tinvalid_reason\n";
    let vocabulary = MemoryVocabulary::parse(CONCEPTS, relationships, "m").expect("a vocabulary");
    let files = Files {
        views: &views,
        concept_maps: &concept_maps,
        derived: "[t]\n[t.columns]\nvisit_type_concept_id = { constant = 2000000002 }\nk = { constant = 5 }\n",
    };
    let found: Vec<_> = check_concepts(&mapping, &files, &vocabulary)
        .iter()
        .map(|fault| format!("{}:{}: {}", fault.file, fault.line, fault.message))
        .collect();
    assert_eq!(
        found,
        [
            "Encounter.t.json:3: concept 2000000001 (Emergency) is of the domain Visit, and `visit_type_concept_id` takes Type Concept",
            "Encounter.t.json:6: concept 2000000002 (Per cent) is of the domain Unit, and `visit_concept_id` takes Visit",
            "class.json:3: concept 2000000002 (Per cent) is of the domain Unit, and `visit_concept_id` takes Visit",
            "class.json:4: concept 2000000003 of `visit_concept_id` (Old visit) is not standard, or no longer valid",
            "class.json:5: concept 2000000009 of `visit_concept_id` is not in this vocabulary",
            "class.json:6: concept 2000000001 is called `Emergency` in this vocabulary, not `Inpatient`",
            "derived.toml:3: concept 2000000002 (Per cent) is of the domain Unit, and `visit_type_concept_id` takes Type Concept",
        ]
    );
}
