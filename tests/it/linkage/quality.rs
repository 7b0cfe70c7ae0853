//! How well linkage keys link, measured: people, a noisy second record of each, and people who are near and not the same.
//!
//! Names are drawn as unevenly as real ones are: few are very common. Site B knows half of A's people by a second record, and as many
//! others: every third of these is a brother or sister of somebody at A (same family, same home, some of them twins by birth date), and
//! every tenth has the whole name of somebody at A. Links are one to one, the most alike first, from a threshold on.

use std::collections::BTreeSet;
use std::fmt::Write;

use headwater::deidentify::linkage::{Clk, Encoder, Project};
use headwater::fhir::tree::{Limits, Tree};
use serde_json::json;

use super::project::project;

const PEOPLE: usize = 2_000;

/// The least Dice value that links. Chosen on the noise below, where precision and recall are told for others too.
const THRESHOLD: f64 = 0.88;
const THRESHOLDS: [f64; 5] = [0.80, 0.85, THRESHOLD, 0.90, 0.95];

#[derive(Clone, PartialEq, Eq, Debug)]
struct Person {
    given: String,
    family: String,
    birth: (u32, u32, u32),
    sex: &'static str,
    zip: String,
}

/// A generator whose numbers are the same everywhere (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> usize {
        usize::try_from(self.next() % n).unwrap()
    }

    fn percent(&mut self, n: u64) -> bool {
        self.next() % 100 < n
    }

    /// Small numbers far oftener than great ones, as with names: the square of a uniform one.
    fn uneven(&mut self, n: u64) -> usize {
        let (a, b) = (self.next() % n, self.next() % n);
        usize::try_from(a * b / n).unwrap()
    }
}

fn word(number: usize, parts: &[&[&str]]) -> String {
    let mut left = number;
    let mut word = String::new();
    for list in parts {
        word.push_str(list[left % list.len()]);
        left /= list.len();
    }
    word
}

fn person(dice: &mut Dice) -> Person {
    const STARTS: &[&str] = &[
        "Al", "Be", "Car", "Da", "El", "Fer", "Gab", "Ha", "Is", "Jo", "Ka", "Lu", "Ma", "No", "Ol", "Pa",
    ];
    const ENDS: &[&str] = &[
        "ana", "bert", "ina", "la", "lie", "mund", "na", "rik", "ris", "sa", "son", "ta", "vin", "ya", "lo",
    ];
    const FAMILIES: &[&str] = &[
        "An", "Bar", "Cor", "Du", "Es", "Fran", "Gar", "Hol", "Ib", "Jen", "Kow", "Lar", "Mar", "Nov", "Or", "Pet", "Ram", "Sil", "Tor",
        "Wal",
    ];
    const MIDDLES: &[&str] = &["a", "ber", "cel", "der", "e", "gin", "i", "lan", "ti", "o"];
    const TAILS: &[&str] = &["ez", "man", "ov", "sen", "ski", "son", "ton", "well", "ley"];
    Person {
        given: word(dice.uneven(240), &[STARTS, ENDS]),
        family: word(dice.uneven(1_800), &[FAMILIES, MIDDLES, TAILS]),
        birth: (
            2006 + u32::try_from(dice.below(16)).unwrap(),
            1 + u32::try_from(dice.below(12)).unwrap(),
            1 + u32::try_from(dice.below(28)).unwrap(),
        ),
        sex: if dice.percent(50) { "male" } else { "female" },
        zip: format!("{:05}", 45_000 + dice.below(300)),
    }
}

/// A brother or sister: another given name, another birth date or, of one in five, the same.
fn sibling(of: &Person, dice: &mut Dice) -> Person {
    let other = person(dice);
    Person {
        given: if other.given == of.given { other.given + "e" } else { other.given },
        family: of.family.clone(),
        birth: if dice.percent(20) { of.birth } else { other.birth },
        sex: other.sex,
        zip: of.zip.clone(),
    }
}

/// What goes wrong with a second record, in per cent of the records, each by itself.
#[derive(Clone, Copy)]
struct Noise {
    name: &'static str,
    /// One letter changed, left out, doubled or swapped with the next, in the given name; the same again in the family name.
    typo: u64,
    names_swapped: u64,
    other_family: u64,
    zip_changed: u64,
    /// Of birth date, sex and postal code, each by itself.
    missing: u64,
    /// Day and month swapped, or one digit wrong.
    birth_wrong: u64,
}

const NOISES: [Noise; 4] = [
    Noise {
        name: "none",
        typo: 0,
        names_swapped: 0,
        other_family: 0,
        zip_changed: 0,
        missing: 0,
        birth_wrong: 0,
    },
    Noise {
        name: "light",
        typo: 5,
        names_swapped: 1,
        other_family: 1,
        zip_changed: 10,
        missing: 1,
        birth_wrong: 1,
    },
    Noise {
        name: "medium",
        typo: 15,
        names_swapped: 2,
        other_family: 3,
        zip_changed: 20,
        missing: 3,
        birth_wrong: 3,
    },
    Noise {
        name: "heavy",
        typo: 30,
        names_swapped: 5,
        other_family: 8,
        zip_changed: 40,
        missing: 10,
        birth_wrong: 8,
    },
];

fn typo(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = dice.below(letters.len() as u64);
    match dice.below(4) {
        0 => letters[at] = char::from(b'a' + u8::try_from(dice.below(26)).unwrap()),
        1 if letters.len() > 2 => {
            letters.remove(at);
        }
        2 => letters.insert(at, letters[at]),
        _ if at + 1 < letters.len() => letters.swap(at, at + 1),
        _ => letters.push('e'),
    }
    letters.into_iter().collect()
}

/// The person's record at another site, as a FHIR Patient.
fn record(of: &Person, noise: Noise, dice: &mut Dice) -> serde_json::Value {
    let mut person = of.clone();
    if dice.percent(noise.typo) {
        person.given = typo(&person.given, dice);
    }
    if dice.percent(noise.typo) {
        person.family = typo(&person.family, dice);
    }
    if dice.percent(noise.other_family) {
        person.family = self::person(dice).family;
    }
    if dice.percent(noise.names_swapped) {
        std::mem::swap(&mut person.given, &mut person.family);
    }
    if dice.percent(noise.zip_changed) {
        person.zip = format!("{:05}", 45_000 + dice.below(300));
    }
    if dice.percent(noise.birth_wrong) {
        let (year, month, day) = person.birth;
        person.birth = if day <= 12 && dice.percent(50) {
            (year, day, month)
        } else {
            (year, month, day % 28 + 1)
        };
    }
    let (year, month, day) = person.birth;
    let mut patient = json!({ "resourceType": "Patient", "id": "x", "name": [{ "family": person.family, "given": [person.given] }],
        "gender": person.sex, "birthDate": format!("{year}-{month:02}-{day:02}"), "address": [{ "postalCode": person.zip }] });
    for element in ["gender", "birthDate", "address"] {
        if dice.percent(noise.missing) {
            patient.as_object_mut().unwrap().remove(element);
        }
    }
    patient
}

fn clk(project: &Project, encoder: &Encoder, patient: &serde_json::Value) -> Clk {
    let text = patient.to_string();
    let mut tree = Tree::new();
    let root = tree.parse(text.as_bytes(), &Limits::default()).unwrap();
    project.encode(encoder, root).unwrap()
}

/// A filter as words and the number of its bits: `Clk::dice` on millions of pairs, at a speed that a test can afford.
struct Filter {
    words: [u64; 16],
    count: u32,
}

impl Filter {
    fn of(clk: &Clk) -> Self {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(clk.bytes().chunks_exact(8)) {
            *word = u64::from_be_bytes(bytes.try_into().unwrap());
        }
        Self { words, count: clk.count() }
    }

    fn dice(&self, other: &Self) -> f64 {
        let mut both = 0;
        for at in 0..16 {
            both += (self.words[at] & other.words[at]).count_ones();
        }
        f64::from(2 * both) / f64::from(self.count + other.count)
    }
}

/// Pairs that are at least this much alike, the most alike first.
fn alike(a: &[Filter], b: &[Filter], least: f64) -> Vec<(f64, usize, usize)> {
    let mut pairs = Vec::new();
    for (i, one) in a.iter().enumerate() {
        for (j, other) in b.iter().enumerate() {
            let dice = one.dice(other);
            if dice >= least {
                pairs.push((dice, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    pairs
}

struct Measured {
    precision: f64,
    recall: f64,
}

/// Links one to one. The second record of A's person i stands at place i of B; behind the twins stand others.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn measure(pairs: &[(f64, usize, usize)], twins: usize, threshold: f64) -> Measured {
    let (mut taken_a, mut taken_b) = (BTreeSet::new(), BTreeSet::new());
    let (mut links, mut right) = (0, 0);
    for (_, i, j) in pairs.iter().take_while(|(dice, ..)| *dice >= threshold) {
        if !taken_a.contains(i) && !taken_b.contains(j) {
            taken_a.insert(i);
            taken_b.insert(j);
            links += 1;
            right += usize::from(i == j && *j < twins);
        }
    }
    Measured {
        precision: right as f64 / f64::from(links.max(1)),
        recall: right as f64 / twins as f64,
    }
}

#[test]
fn linkage_keys_find_second_records_and_keep_brothers_sisters_and_namesakes_apart() {
    let (project, encoder) = project();
    let mut told = String::from("noise    threshold  precision  recall\n");
    for (number, noise) in (0u64..).zip(NOISES) {
        let mut dice = Dice(2026 + number);
        let people: Vec<Person> = (0..PEOPLE).map(|_| person(&mut dice)).collect();
        let twins = PEOPLE / 2;
        let clean = NOISES[0];
        let a: Vec<Clk> = people
            .iter()
            .map(|person| clk(&project, &encoder, &record(person, clean, &mut dice)))
            .collect();
        let mut b: Vec<Clk> = people[..twins]
            .iter()
            .map(|person| clk(&project, &encoder, &record(person, noise, &mut dice)))
            .collect();
        for at in 0..twins {
            let near = &people[dice.below(PEOPLE as u64)];
            let other = match at % 30 {
                of if of % 3 == 0 => sibling(near, &mut dice),
                1 | 11 | 20 => {
                    let other = person(&mut dice);
                    Person {
                        given: near.given.clone(),
                        family: near.family.clone(),
                        ..other
                    }
                }
                _ => person(&mut dice),
            };
            b.push(clk(&project, &encoder, &record(&other, noise, &mut dice)));
        }
        let filters = |clks: &[Clk]| clks.iter().map(Filter::of).collect::<Vec<_>>();
        let (fast_a, fast_b) = (filters(&a), filters(&b));
        assert!((fast_a[3].dice(&fast_b[5]) - a[3].dice(&b[5])).abs() < 1e-12);
        let pairs = alike(&fast_a, &fast_b, THRESHOLDS[0]);
        for threshold in THRESHOLDS {
            let Measured { precision, recall } = measure(&pairs, twins, threshold);
            let _ = writeln!(told, "{:8} {threshold:9.2}  {precision:9.4}  {recall:6.4}", noise.name);
            if (threshold - THRESHOLD).abs() < 1e-9 {
                let (least_precision, least_recall) = FLOORS[usize::try_from(number).unwrap()];
                assert!(precision >= least_precision, "{}: precision {precision}", noise.name);
                assert!(recall >= least_recall, "{}: recall {recall}", noise.name);
            }
        }
    }
    println!("{told}");
}

/// Precision and recall at `THRESHOLD`, less two in a hundred. Measured: 0.979 and 1.000, 0.984 and 0.972, 0.989 and 0.904, 0.992 and 0.755.
const FLOORS: [(f64, f64); 4] = [(0.958, 0.98), (0.963, 0.952), (0.969, 0.884), (0.972, 0.735)];
