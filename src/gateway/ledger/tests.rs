//! The ledger over a tiny network: Observations give one `lab` row for each component, Conditions one `care` row.

use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::cdm::Model;
use crate::deidentify::{Keys, PeopleBuilder, Policy};
use crate::fhir::tree::{Limits, Tree};
use crate::gateway::enter::{Entry, Outcome, Page, Sealed};
use crate::gateway::site::Rules;
use crate::gateway::{quarantine, steps, version};
use crate::map::{self, Mapped, Mapping};
use crate::origin::{Origin, SegmentId};
use crate::platform::secret::{Secret, sha256};
use crate::refusal::{Refusal, Step};
use crate::validate::Profiles;

const POLICY: &str = r#"
[policy.limited-data-set]
claims = "45 CFR 164.514(e)"
version = "1"
[table.lab]
lab_key = { rule = "pseudonym", reason = "r" }
patient_key = { rule = "pseudonym", reason = "r" }
code = { rule = "code", reason = "r" }
[table.patient]
patient_key = { rule = "pseudonym", reason = "r" }
[table.care]
care_key = { rule = "pseudonym", reason = "r" }
patient_key = { rule = "pseudonym", reason = "r" }
"#;

const PATIENT: &str = r#"{"additionalProperties":false,"x-key":"patient_key","x-patient":"patient_key","required":["patient_key"],
    "x-order":["patient_key"],"properties":{"patient_key":{"type":"string"}}}"#;

const LAB: &str = r#"{"additionalProperties":false,"x-key":"lab_key","x-patient":"patient_key","required":["lab_key","patient_key","code"],
    "x-order":["lab_key","patient_key","code"],"properties":{"lab_key":{"type":"string"},
    "patient_key":{"type":"string","x-references":"patient"},"code":{"type":"string","maxLength":64}}}"#;

const CARE: &str = r#"{"additionalProperties":false,"x-key":"care_key","x-patient":"patient_key","required":["care_key","patient_key"],
    "x-order":["care_key","patient_key"],"properties":{"care_key":{"type":"string"},
    "patient_key":{"type":"string","x-references":"patient"}}}"#;

const LAB_VIEW: &str = r#"{"resource":"Observation","name":"lab","select":[{"forEach":"component","column":[
    {"name":"lab_key","path":"%resource.getResourceKey()","tag":[{"name":"headwater/key","value":"code"}]},
    {"name":"patient_key","path":"%resource.subject.getReferenceKey(Patient)"},
    {"name":"code","path":"code.coding.first().code"}]}],"where":[{"path":"status = 'final'"}]}"#;

const CARE_VIEW: &str = r#"{"resource":"Condition","name":"care","select":[{"column":[
    {"name":"care_key","path":"getResourceKey()","tag":[{"name":"headwater/key","value":""}]},
    {"name":"patient_key","path":"subject.getReferenceKey(Patient)"}]}]}"#;

fn named(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

struct Night {
    db: Connection,
    rules: Rules,
    by: Deidentifier,
    counts: Counts,
    line: u64,
    new_rules: bool,
    settled: bool,
    sent: Vec<(String, bool)>,
}

impl Night {
    fn new() -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db.execute_batch(quarantine::SCHEMA).unwrap();
        db.execute_batch(super::super::about::SCHEMA).unwrap();
        db.execute_batch(super::super::inherit::SCHEMA).unwrap();
        db.execute("INSERT INTO run (id, kind, phase, started_at) VALUES (1, 'full', 'landed', '')", [])
            .unwrap();
        let model = Arc::new(
            Model::from_schemas(
                "m",
                &[
                    named("lab.schema.json", LAB),
                    named("care.schema.json", CARE),
                    named("patient.schema.json", PATIENT),
                ],
            )
            .unwrap(),
        );
        let views = [named("Observation.lab.json", LAB_VIEW), named("Condition.care.json", CARE_VIEW)];
        let mapping = Mapping::load(model.clone(), &views, &[]).unwrap();
        let policy = Policy::compile("limited-data-set", POLICY, &model).unwrap();
        let keys = Keys::derive(&Secret::new(vec![7; 32]), "n", "s");
        let mut people = PeopleBuilder::new(&keys, 10);
        for id in ["p1", "p2"] {
            let mut tree = Tree::new();
            let line = format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#);
            people
                .add(tree.parse(line.as_bytes(), &Limits::default()).unwrap(), [9; 32])
                .unwrap();
        }
        let by = Deidentifier::new(model.clone(), policy.clone(), keys, people.finish(), date(2026, 3, 1)).unwrap();
        let rules = Rules {
            model,
            profiles: Arc::new(Profiles::load(&[] as &[(&str, &str)]).unwrap()),
            mapping: Arc::new(mapping),
            derivations: Arc::default(),
            vocabulary: None,
            policy,
            packages: Vec::new(),
            unchecked: Vec::new(),
            model_digest: String::new(),
            mapping_digest: String::new(),
        };
        Self {
            db,
            rules,
            by,
            counts: Counts::default(),
            line: 0,
            new_rules: false,
            settled: false,
            sent: Vec::new(),
        }
    }

    /// Enters a line as a run would.
    fn enter(&mut self, json: &str, remapped: bool) {
        if remapped {
            self.settle();
        }
        self.line += 1;
        let mut tree = Tree::new();
        let read = tree
            .parse(json.as_bytes(), &Limits::default())
            .map_err(|error| Refusal::new(Step::Read, "byte", error.rule));
        let mut entry = Entry {
            resource_type: "Observation".to_owned(),
            key: None,
            content: content(json),
            version: String::new(),
            outcome: Outcome::Excluded("not looked at"),
            marks: Vec::new(),
            shares: Vec::new(),
            withheld: Vec::new(),
            remapped,
            origin: Origin {
                segment: SegmentId(1),
                line: self.line,
            },
        };
        match read {
            Err(refusal) => entry.outcome = Outcome::Refused(refusal),
            Ok(root) => {
                let head = steps::Head::of(root).unwrap();
                entry.key = Some(key(head.resource_type, &head.id));
                steps::shown_type(head.resource_type).clone_into(&mut entry.resource_type);
                version::of(&head.last_updated).clone_into(&mut entry.version);
                let lookups = self.rules.lookups().finish();
                let (mut mapped, mut rows) = (Mapped::default(), Vec::new());
                entry.outcome = match steps::release(
                    &self.rules,
                    &lookups,
                    &mut self.by.worker(),
                    root,
                    &mut mapped,
                    &mut rows,
                    &mut steps::Met::default(),
                ) {
                    Ok(map::Fate::Mapped) => Outcome::Mapped(rows.into_iter().map(|row| Sealed::new(row, &self.by)).collect()),
                    Ok(map::Fate::Excluded(why)) => Outcome::Excluded(why),
                    Err(refusal) => Outcome::Refused(refusal),
                };
            }
        }
        self.enter_entry(&entry);
    }

    fn enter_entry(&mut self, entry: &Entry) {
        let page = Page {
            run: 1,
            by: &self.by,
            new_rules: self.new_rules,
        };
        let tx = self.db.transaction().unwrap();
        page.enter(&tx, entry, &mut self.counts).unwrap();
        tx.commit().unwrap();
    }

    fn pull(&mut self, lines: &[&str]) -> &mut Self {
        for line in lines {
            self.enter(line, false);
        }
        self
    }

    fn delete(&mut self, resource_type: &str, id: &str) -> &mut Self {
        self.on_page(|page, tx, counts| page.delete(tx, resource_type, &key(resource_type, id), counts))
    }

    /// The export is in.
    fn settle(&mut self) -> &mut Self {
        if !std::mem::replace(&mut self.settled, true) {
            self.on_page(|page, tx, counts| page.settle(tx, counts));
        }
        self
    }

    fn on_page(&mut self, act: impl FnOnce(&Page<'_>, &Transaction<'_>, &mut Counts) -> Result<(), LedgerError>) -> &mut Self {
        let page = Page {
            run: 1,
            by: &self.by,
            new_rules: self.new_rules,
        };
        let tx = self.db.transaction().unwrap();
        act(&page, &tx, &mut self.counts).unwrap();
        tx.commit().unwrap();
        self
    }

    /// Ends the run: its numbers must balance, every row must be one we made, and the registry rejects the rows `reject`
    /// says. Gives the numbers and begins the next run.
    fn end(&mut self, reject: impl Fn(&str) -> bool) -> Counts {
        self.settle().settled = false;
        let mut counts = std::mem::take(&mut self.counts);
        tally(&self.db, &mut counts).unwrap();
        assert!(counts.resources_balance(), "{counts:?}");
        let mut sent = Vec::new();
        let mut outcomes = Vec::new();
        each_pending_row(&self.db, &self.by, |row| {
            let code = row.body().map(|body| String::from_utf8(body.to_vec()).unwrap()).unwrap_or_default();
            if reject(&code) {
                outcomes.push(outcome(row.table(), row.key()));
            }
            sent.push((row.table().to_owned(), row.is_tombstone()));
            Ok::<_, LedgerError>(())
        })
        .unwrap();
        assert_eq!(sent.len() as u64, counts.released());
        self.sent = sent;
        let tx = self.db.transaction().unwrap();
        acknowledge(&tx, 1, &outcomes, &mark()).unwrap();
        quarantine::clear(&tx, 1).unwrap();
        tx.commit().unwrap();
        counts
    }

    fn all_accepted(&mut self) -> Counts {
        self.end(|_| false)
    }

    fn upserts_and_tombstones(&self) -> (usize, usize) {
        let tombstones = self.sent.iter().filter(|(_, tombstone)| *tombstone).count();
        (self.sent.len() - tombstones, tombstones)
    }

    fn number(&self, sql: &str) -> i64 {
        self.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn held(&self) -> i64 {
        self.number("SELECT count(*) FROM released")
    }
}

fn outcome(table: &str, key: &str) -> submission::Outcome {
    submission::Outcome {
        table: table.to_owned(),
        key: key.to_owned(),
        rule: "enum".to_owned(),
        path: "/code".to_owned(),
    }
}

fn mark() -> Watermark {
    Watermark {
        types: std::collections::BTreeMap::new(),
        since: "2026-03-01T00:00:00Z".to_owned(),
        rules: "r".to_owned(),
        lookups: vec![1],
        sequence: 1,
        manifest_sha256: None,
    }
}

fn key(resource_type: &str, id: &str) -> SourceKey {
    content(&format!("{resource_type}/{id}"))
}

fn content(text: &str) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&sha256(text.as_bytes())[..16]);
    out
}

/// An Observation of p1 with these codes.
fn lab(id: &str, updated: &str, codes: &[&str]) -> String {
    let components: Vec<_> = codes
        .iter()
        .map(|code| format!(r#"{{"code":{{"coding":[{{"code":"{code}"}}]}}}}"#))
        .collect();
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","meta":{{"lastUpdated":"{updated}"}},"status":"final","code":{{"text":"x"}},
        "subject":{{"reference":"Patient/p1"}},"component":[{}]}}"#,
        components.join(",")
    )
}

fn condition(id: &str, patient: &str) -> String {
    format!(r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"Patient/{patient}"}}}}"#)
}

/// An Observation that does not conform: its status is no text.
fn spoilt(id: &str, updated: &str) -> String {
    lab(id, updated, &["a"]).replace(r#""final""#, "7")
}

const EARLY: &str = "2026-03-01T10:00:00+02:00";
const LATE: &str = "2026-03-01T09:00:00Z";

mod fates;
