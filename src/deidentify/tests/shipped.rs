//! The models that travel in the binary, with their schemas and policies as they are shipped; and default deny for every column
//! of each, under all three policies.
//! Knows files of the repository; what the policies do with a cell is asked in `hipaa` and `moments`.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::cdm::{Column, Table};

/// One shipped model, and its policy file with an expert's policy added: what a limited data set does, determined by nobody.
pub(super) struct Shipped {
    pub model: Arc<Model>,
    pub toml: String,
}

const EXPERT: &str = "[policy.expert]\nclaims = \"45 CFR 164.514(b)(1)\"\nversion = \"1\"\ndetermined_by = \"a test\"\n\
    determined_on = \"2024-01-02\"\ndetermination = \"none\"\n";

/// Every model that has a folder in `mappings`.
pub(super) fn shipped() -> Vec<Shipped> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder of the package");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let models = entries("mappings").into_iter().filter(|path| path.is_dir()).map(|folder| {
        let schemas = entries(&format!("profiles/{}", name(&folder))).into_iter();
        let schemas: Vec<_> = schemas
            .filter(|path| name(path).ends_with(".schema.json"))
            .map(|path| (name(&path), std::fs::read_to_string(path).expect("a schema")))
            .collect();
        let model = Model::from_schemas(&name(&folder), &schemas).expect("our model");
        let toml = std::fs::read_to_string(folder.join("deidentification.toml")).expect("our policy");
        let (model, toml) = (Arc::new(model), with_expert(&toml));
        Shipped { model, toml }
    });
    let models: Vec<_> = models.collect();
    assert!(models.len() >= 3, "the shipped models were not found");
    models
}

/// The file with an expert's policy beside the two that are shipped.
fn with_expert(toml: &str) -> String {
    let lines = toml.lines().map(|line| {
        let expert = line
            .split_once("limited-data-set = ")
            .and_then(|(_, rest)| rest.split_once(", reason"));
        match expert {
            Some((rule, _)) => line.replacen(", reason", &format!(", expert = {rule}, reason"), 1),
            None => line.to_owned(),
        }
    });
    format!("{EXPERT}{}", lines.collect::<Vec<_>>().join("\n"))
}

impl Shipped {
    pub fn policy(&self, name: &str) -> Policy {
        match Policy::compile(name, &self.toml, &self.model) {
            Ok(policy) => policy,
            Err(faults) => panic!("{} under {name}: {faults:#?}", self.model.name),
        }
    }

    /// The file without the lines of this table's columns that `goes` picks.
    fn without(&self, table: &Table, goes: impl Fn(&str) -> bool) -> String {
        let head = format!("[table.{}]", table.name);
        let mut inside = false;
        let lines = self.toml.lines().filter(|line| {
            if line.starts_with('[') {
                inside = *line == head;
            }
            let column = line.split([' ', '=']).next().unwrap_or_default();
            !(inside && table.column(column).is_some() && goes(column))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn open_tables(&self) -> impl Iterator<Item = &Table> {
        let policy = self.policy("safe-harbor");
        let withheld: BTreeSet<_> = policy.withheld().map(|(table, _)| table.to_owned()).collect();
        let tables = self.model.tables().map(|(_, table)| table);
        tables.filter(move |table| !withheld.contains(&table.name))
    }
}

/// Texts of every day; one of them fits each column of ours that must not be empty.
const EVERY_DAY: [&str; 11] = [
    "CA",
    "LC",
    "8480-6",
    "K50.90",
    "34000006",
    "207RG0100X",
    "02139",
    "99213",
    "mg",
    "208",
    "01",
];

/// The least cell that the column takes: nothing where it may be empty.
pub(super) fn plain(table: &Table, at: usize) -> Cell<'static> {
    match table.columns[at].required {
        true => filled(table, at),
        false => Cell::Null,
    }
}

/// A cell that the column takes, and that is not empty.
pub(super) fn filled(table: &Table, at: usize) -> Cell<'static> {
    let column = &table.columns[at];
    match &column.references {
        _ if table.patient == Some(at) => text("Patient/p-one"),
        _ if table.key == at => text("Thing/row-1"),
        Some(of) => Cell::Text(format!("{of}/other-1").into()),
        None => full(column).unwrap_or_else(|| panic!("no cell for {}.{}", table.name, column.name)),
    }
}

fn full(column: &Column) -> Option<Cell<'static>> {
    let values = column.values.iter().flatten().map(|value| Cell::Text(value.clone().into()));
    let dated = ["2019-07-21", "2019-07-21T10:30:00", "10:30"].map(text).into_iter();
    let is_dated = column.kind.is_dated() || column.kind == Kind::Time;
    let numbers = [
        Cell::Integer(1990),
        Cell::Integer(1),
        Cell::Decimal("1.5".into()),
        Cell::Boolean(true),
    ];
    let mut all = values.chain(dated.filter(|_| is_dated)).chain(numbers).chain(EVERY_DAY.map(text));
    all.find(|cell| column.check(cell).is_ok())
}

#[test]
fn a_column_of_a_shipped_model_without_a_line_is_named_under_every_policy() {
    for shipped in shipped() {
        for table in shipped.open_tables() {
            let columns: BTreeSet<_> = table
                .columns
                .iter()
                .map(|column| format!("{}.{}", table.name, column.name))
                .collect();
            let bare = shipped.without(table, |_| true);
            for policy in Basis::ALL {
                let faults = Policy::compile(policy.as_str(), &bare, &shipped.model).expect_err("refused");
                let named: BTreeSet<_> = faults.into_iter().map(|fault| fault.place).collect();
                assert_eq!(named, columns, "{} {}", policy.as_str(), table.name);
            }
        }
    }
}

#[test]
fn one_line_less_is_enough_to_refuse_a_shipped_policy() {
    for shipped in shipped() {
        for (at, table) in shipped.open_tables().enumerate() {
            let column = &table.columns[at % table.columns.len()].name;
            let less = shipped.without(table, |name| name == column);
            for policy in Basis::ALL {
                let faults = Policy::compile(policy.as_str(), &less, &shipped.model).expect_err("refused");
                assert_eq!(faults.len(), 1, "{faults:?}");
                assert_eq!(faults[0].place, format!("{}.{column}", table.name));
            }
        }
    }
}

#[test]
fn a_policy_that_a_column_has_no_rule_for_is_refused_whatever_the_others_say() {
    for shipped in shipped() {
        for policy in Basis::ALL {
            // A column that tells the policies apart, told for all but this one.
            let word = format!("{} = ", policy.as_str());
            let line = shipped.toml.lines().find(|line| line.contains("{ safe-harbor = "));
            let line = line.expect("a column that the policies treat differently");
            let (before, after) = line.split_once(&word).expect("the policy's own word");
            let rest = after.split_once(", ").expect("more behind it").1;
            let less = shipped.toml.replacen(line, &format!("{before}{rest}"), 1);
            for asked in Basis::ALL {
                assert!(
                    Policy::compile(asked.as_str(), &less, &shipped.model).is_err(),
                    "{} without {}",
                    shipped.model.name,
                    policy.as_str()
                );
            }
        }
    }
}

/// The columns that left under `at_work` and that `policy` drops, of a row of each table with every column full.
fn dropped_that_left(shipped: &Shipped, policy: &Policy, at_work: Policy) -> Vec<String> {
    let with = of_patients(&shipped.model, at_work, &PATIENTS);
    let mut left = Vec::new();
    for table in shipped.open_tables() {
        let cells = (0..table.columns.len()).map(|at| filled(table, at)).collect();
        let row = one(&with, &table.name, cells);
        let of_table = policy.columns().filter(|(of, ..)| *of == table.name);
        let allowed: BTreeSet<_> = of_table
            .filter(|(.., rule, _)| *rule != Rule::Drop)
            .map(|(_, column, ..)| column)
            .collect();
        let names = row.as_object().expect("an object").keys();
        left.extend(
            names
                .filter(|name| !allowed.contains(name.as_str()))
                .map(|name| format!("{}.{name}", table.name)),
        );
    }
    left
}

#[test]
fn no_column_of_a_shipped_model_leaves_but_by_its_rule_under_any_policy() {
    for shipped in shipped() {
        for policy in Basis::ALL {
            let policy = shipped.policy(policy.as_str());
            let left = dropped_that_left(&shipped, &policy, policy.clone());
            assert!(left.is_empty(), "{} {}: {left:?}", shipped.model.name, policy.name());
            let has_dropped = policy.columns().any(|(_, _, rule, _)| rule == Rule::Drop);
            let seen = dropped_that_left(&shipped, &policy, policy.clone().switched_off());
            assert_eq!(!seen.is_empty(), has_dropped, "what leaves without a policy is not seen");
        }
    }
}

/// A shipped model at work, with these patients.
pub(super) fn of_patients(model: &Arc<Model>, policy: Policy, patients: &[&str]) -> Deidentifier {
    let keys = Keys::derive(&Secret::new(vec![1; 32]), "ibd", "a");
    let mut people = PeopleBuilder::new(&keys, 10);
    for (at, json) in (40..).zip(patients) {
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        people.add(root, [at; 32]).expect("a patient");
    }
    Deidentifier::new(Arc::clone(model), policy, keys, people.finish(), date(2024, 6, 14)).expect("one model")
}
