//! The eighteen classes of 45 CFR 164.514(b)(2)(i)(A)-(R), one line each: what a record may hold of the class, and everything that
//! takes it away. Each is put as a text, as a code, as an id, as a number and as a date into every column of every shipped model,
//! under the policy `safe-harbor` as it is shipped; what leaves must not hold it, and the same columns without their policy must.
//!
//! What no net can know is a code that looks like any other and stands in no Patient resource, such as the number of a specimen:
//! it leaves nowhere because no mapping reads it, and free text that holds it is dropped. Such a one is put as text only. And
//! in a row about nobody, a clinic's, bare digits are nobody's: there they are put into texts.

use std::collections::BTreeSet;

use super::shipped::{Shipped, of_patients, plain, shipped};
use super::*;
use crate::cdm::{Column, Kind, Table};

/// How an identifier is put into a row.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Alone, as a code, an id, a number or a date would stand, and within a sentence.
    Alone(&'static str),
    /// Within a sentence and as an id only.
    InText(&'static str),
    /// Where a date stands, alone.
    Dated(&'static str),
}
use self::Form::{Alone, Dated, InText};

struct Class {
    letter: char,
    what: &'static str,
    planted: &'static [Form],
    /// All that removes it: the column's own schema (it is never mapped), the rule of its column, or the leak guard (the row stays).
    removed_by: &'static [&'static str],
}

const SCHEMA: &str = "schema";
const OWN: &str = "leak guard: an identifier of its patient";

/// Somebody who does not exist, with an identifier of every class that a Patient resource may hold.
const PERSON: &str = r#"{"resourceType":"Patient","id":"p-one",
    "name":[{"family":"Okonkwo","given":["Amara"]}],"birthDate":"2010-03-15",
    "address":[{"line":["418 Lantern Mill Road"],"city":"Wexcombe","district":"Penhallow","postalCode":"05401"}],
    "telecom":[{"system":"phone","value":"617-555-0142"},{"system":"fax","value":"617-555-0199"},
        {"system":"email","value":"amara@family.example"},{"system":"url","value":"https://amara.example/blog"}],
    "identifier":[{"type":{"text":"SS"},"value":"219-09-4417"},{"type":{"text":"MR"},"value":"MR4478812"},
        {"type":{"text":"MB"},"value":"XEH904417228"},{"type":{"text":"AN"},"value":"ACCT-00481516"},
        {"type":{"text":"DL"},"value":"S99988801"},{"type":{"text":"other"},"value":"STUDY-7731-K"}],
    "contact":[{"name":{"family":"Adeyemi","given":["Thaddeus"]},"telecom":[{"value":"508-555-0143"}]}]}"#;

const CLASSES: [Class; 18] = [
    Class {
        letter: 'A',
        what: "names",
        planted: &[Alone("Okonkwo"), Alone("Amara"), Alone("AmaraOkonkwo"), InText("Thaddeus Adeyemi")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "zip3", OWN],
    },
    Class {
        letter: 'B',
        what: "places smaller than a state",
        planted: &[
            InText("418 Lantern Mill Road"),
            Alone("Wexcombe"),
            Alone("Penhallow"),
            Alone("05401"),
        ],
        removed_by: &[SCHEMA, "drop", "pseudonym", "zip3", OWN],
    },
    Class {
        letter: 'C',
        what: "dates but the year, ages over 89",
        planted: &[
            Alone("2010-03-15"),
            Alone("2019-11-30"),
            Alone("15-Mar-2010"),
            InText("November 30, 2019"),
            Dated("2019-11"),
            Dated("2019-11-30T08:15:00"),
            Dated("08:15"),
        ],
        removed_by: &[
            SCHEMA,
            "drop",
            "pseudonym",
            "year",
            "birth-date",
            "leak guard: the birth date of its patient",
            "leak guard: shape of a full date",
        ],
    },
    Class {
        letter: 'D',
        what: "telephone numbers",
        planted: &[
            Alone("617-555-0142"),
            Alone("6175550142"),
            Alone("212-555-0188"),
            InText("(508) 555-0143"),
        ],
        removed_by: &[SCHEMA, "drop", "pseudonym", "year", OWN, "leak guard: shape of a phone number"],
    },
    Class {
        letter: 'E',
        what: "fax numbers",
        planted: &[Alone("617-555-0199"), Alone("6175550199"), InText("fax +1 212 555 0177")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "year", OWN],
    },
    Class {
        letter: 'F',
        what: "mail addresses",
        planted: &[Alone("amara@family.example"), InText("someone@elsewhere.example")],
        removed_by: &[SCHEMA, "drop", "pseudonym"],
    },
    Class {
        letter: 'G',
        what: "social security numbers",
        planted: &[Alone("219-09-4417"), Alone("219094417"), Alone("457-55-5462")],
        removed_by: &[
            SCHEMA,
            "drop",
            "pseudonym",
            "year",
            "zip3",
            OWN,
            "leak guard: shape of a social security number",
        ],
    },
    Class {
        letter: 'H',
        what: "medical record numbers",
        planted: &[Alone("MR4478812"), Alone("4478812"), Alone("mr-4478812")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "year", OWN],
    },
    Class {
        letter: 'I',
        what: "health plan beneficiary numbers",
        planted: &[Alone("XEH904417228"), Alone("904417228")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "year", "zip3", OWN],
    },
    Class {
        letter: 'J',
        what: "account numbers",
        planted: &[Alone("ACCT-00481516"), Alone("00481516"), Alone("481516")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "year", OWN],
    },
    Class {
        letter: 'K',
        what: "certificate and license numbers",
        planted: &[Alone("S99988801"), Alone("99988801")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "year", OWN],
    },
    Class {
        letter: 'L',
        what: "vehicles and plates",
        planted: &[Alone("1M8GDM9AXKP042788"), InText("plate 7ABC123")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "leak guard: shape of a vehicle's number"],
    },
    Class {
        letter: 'M',
        what: "devices and their serial numbers",
        planted: &[
            Alone("(01)00844588003288(17)141120(10)7654321D(21)10987654d321"),
            InText("SN-10987654d321"),
        ],
        removed_by: &[SCHEMA, "drop", "pseudonym"],
    },
    Class {
        letter: 'N',
        what: "web addresses",
        planted: &[Alone("https://amara.example/blog"), InText("www.okonkwo-family.example")],
        removed_by: &[SCHEMA, "drop", "pseudonym"],
    },
    Class {
        letter: 'O',
        what: "addresses of machines",
        planted: &[Alone("203.0.113.77"), Alone("2001:db8:85a3::8a2e:370:7334")],
        removed_by: &[SCHEMA, "drop", "pseudonym", "leak guard: shape of a machine address"],
    },
    Class {
        letter: 'P',
        what: "prints of finger and voice",
        planted: &[Alone("Rk1SACAyMAAAAAEIAAABQAH0AMUAxQEAAAAoKUCVALdTAECeAHxbAIA6AIlgAA==")],
        removed_by: &[SCHEMA, "drop", "pseudonym"],
    },
    Class {
        letter: 'Q',
        what: "photographs of the face",
        planted: &[
            Alone("/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYI"),
            InText("portrait-77120.jpg"),
        ],
        removed_by: &[SCHEMA, "drop", "pseudonym"],
    },
    Class {
        letter: 'R',
        what: "any other number, mark or code of one person",
        planted: &[Alone("STUDY-7731-K"), InText("specimen S21-004815")],
        removed_by: &[SCHEMA, "drop", "pseudonym", OWN],
    },
];

/// The letters and digits, as a reader would compare them.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// The cells in which this identifier may stand in this column.
fn cells(form: Form, column: &Column, is_key: bool) -> Vec<Cell<'static>> {
    let owned = |text: String| Cell::Text(text.into());
    if is_key {
        return match form {
            Alone(word) | InText(word) => vec![owned(format!("Thing/{word}")), owned(format!("Thing/1#{word}"))],
            Dated(_) => Vec::new(),
        };
    }
    let number = |word: &str| word.parse::<i64>().ok().filter(|number| !word.starts_with('0') && *number > 9_999);
    match (form, column.kind) {
        (Dated(word), kind) if kind.is_dated() || kind == Kind::Time => vec![text(word)],
        (Dated(_), _) | (_, Kind::Boolean) => Vec::new(),
        (Alone(word), Kind::Integer) => number(word).map(Cell::Integer).into_iter().collect(),
        (Alone(word), Kind::Decimal) => number(word).map(|_| Cell::Decimal(word.into())).into_iter().collect(),
        (InText(_), Kind::Integer | Kind::Decimal) => Vec::new(),
        (Alone(word), _) => vec![text(word), owned(format!("Seen today, {word}, with mother"))],
        (InText(word), _) => vec![owned(format!("Seen today, {word}, with mother"))],
    }
}

fn is_digits(cell: &Cell<'_>) -> bool {
    cell.as_text().is_none_or(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What became of a class in one model: what removed it, and where it left.
#[derive(Default)]
struct Fate {
    removed_by: BTreeSet<String>,
    left: BTreeSet<String>,
}

impl Fate {
    fn follow(&mut self, shipped: &Shipped, with: &Deidentifier, class: &Class) {
        for (id, table) in shipped.model.tables() {
            if with.policy().withholds(id) {
                continue;
            }
            for at in 0..table.columns.len() {
                for form in class.planted {
                    let is_key = at == table.key || table.columns[at].references.is_some();
                    if table.patient == Some(at) && table.key != at {
                        continue;
                    }
                    let is_of_nobody = table.patient.is_none() && !is_key;
                    for cell in cells(*form, &table.columns[at], is_key) {
                        if is_of_nobody && is_digits(&cell) {
                            continue;
                        }
                        self.put(with, table, at, *form, cell);
                    }
                }
            }
        }
    }

    fn put(&mut self, with: &Deidentifier, table: &Table, at: usize, form: Form, cell: Cell<'static>) {
        let column = &table.columns[at];
        if column.check(&cell).is_err() {
            self.removed_by.insert(SCHEMA.to_owned());
            return;
        }
        let mut row: Vec<_> = (0..table.columns.len()).map(|at| plain(table, at)).collect();
        if table.patient != Some(at) {
            row[at] = cell;
        }
        let mut rules = with.policy().columns().filter(|(of, ..)| *of == table.name);
        let rule = rules.find(|(_, name, ..)| *name == column.name).map(|(.., rule, _)| rule);
        match run(with, &[(&table.name, row)]) {
            Err(refusal) => {
                let text = refusal.to_string();
                let why = text.trim_start_matches("deidentify: ").split(" at `").next().unwrap_or_default();
                self.removed_by.insert(why.to_owned());
            }
            Ok(rows) => {
                let (Alone(word) | InText(word) | Dated(word)) = form;
                let body = body(&rows[0]);
                let holds = |value: &serde_json::Value| {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    squeezed(&shown).contains(&squeezed(word))
                };
                match body.as_object().expect("an object").iter().find(|(_, value)| holds(value)) {
                    Some((name, _)) => drop(self.left.insert(format!("{}.{name}: {form:?}", table.name))),
                    None => drop(self.removed_by.insert(rule.map_or("", Rule::as_str).to_owned())),
                }
            }
        }
    }
}

#[test]
fn each_of_the_eighteen_classes_is_removed_and_by_what_the_table_says() {
    let letters: String = CLASSES.iter().map(|class| class.letter).collect();
    assert_eq!(letters, "ABCDEFGHIJKLMNOPQR");
    let shipped = shipped();
    let mut wrong = Vec::new();
    for class in &CLASSES {
        let mut fate = Fate::default();
        for shipped in &shipped {
            let with = of_patients(&shipped.model, shipped.policy("safe-harbor"), &[PERSON]);
            fate.follow(shipped, &with, class);
        }
        let said: BTreeSet<_> = class.removed_by.iter().map(|word| (*word).to_owned()).collect();
        if !fate.left.is_empty() || fate.removed_by != said {
            wrong.push(format!(
                "({}) {}: removed by {:?}, left {:?}",
                class.letter, class.what, fate.removed_by, fate.left
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Without the policy the same search finds every class, so that finding none means something.
#[test]
fn each_of_the_eighteen_classes_leaves_where_the_policy_is_switched_off() {
    let shipped = shipped();
    for class in &CLASSES {
        for planted in class.planted {
            let mut fate = Fate::default();
            let one = Class {
                planted: std::slice::from_ref(planted),
                ..*class
            };
            for shipped in &shipped {
                let off = shipped.policy("safe-harbor").switched_off();
                let with = of_patients(&shipped.model, off, &[PERSON]);
                fate.follow(shipped, &with, &one);
            }
            assert!(!fate.left.is_empty(), "({}) {planted:?} is not seen where it leaves", class.letter);
        }
    }
}
