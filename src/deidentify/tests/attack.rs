//! What an attacker learns who has every released row, and knows some true dates: no more than theory allows. Each attack is also
//! run on a bad scheme, where it must succeed, so that failing on ours means something.
//!
//! The attacker's means: the released rows of all patients, the method and its bound N (both are public), and k true dates of
//! a patient. A limited data set moves all dates of one patient by one secret number of days out of 2N+1.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

const PATIENTS_RELEASED: usize = 600;
const VISITS: usize = 6;
/// Of a patient's true dates: these many are drawn from this many days.
const SPAN_DAYS: u64 = 900;

/// True days of each patient's visits, as numbers, in order and each once.
fn truth() -> Vec<Vec<i32>> {
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let mut patient = || {
        let mut days: Vec<i32> = Vec::new();
        while days.len() < VISITS {
            let day = i32::try_from(dice.next_u64() % SPAN_DAYS).expect("a small number");
            if !days.contains(&day) {
                days.push(day);
            }
        }
        days.sort_unstable();
        days
    };
    (0..PATIENTS_RELEASED).map(|_| patient()).collect()
}

fn shown(day: i32) -> String {
    use jiff::ToSpan;
    (date(2018, 1, 1) + day.days()).to_string()
}

fn read(shown: &str) -> i32 {
    let day: Date = shown.parse().expect("a date");
    (day - date(2018, 1, 1)).get_days()
}

/// Patients by number, and what de-identifies them at this site of this network.
fn site(patients: usize, policy: &str, network: &str, name: &str) -> Deidentifier {
    let model = model();
    let keys = Keys::derive(&Secret::new(vec![9; 32]), network, name);
    let mut people = PeopleBuilder::new(&keys, patients);
    let mut secrets = ChaCha8Rng::seed_from_u64(u64::from(network.as_bytes()[0]) << 8 | u64::from(name.as_bytes()[0]));
    for number in 0..patients {
        let mut tree = Tree::new();
        let json = format!(r#"{{"resourceType":"Patient","id":"mrn-{number:06}"}}"#);
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        let mut secret = [0; 32];
        secrets.fill_bytes(&mut secret);
        people.add(root, secret).expect("a patient");
    }
    let policy = Policy::compile(policy, POLICY, &model).expect("a good policy");
    Deidentifier::new(model, policy, keys, people.finish(), date(2024, 6, 14)).expect("one model")
}

/// The released days of one patient, in the order of the true ones (which the attacker does not know), and the pseudonym.
fn released(with: &Deidentifier, number: usize, days: &[i32]) -> (Vec<i32>, String) {
    let patient = format!("Patient/mrn-{number:06}");
    let mut pseudonym = String::new();
    let days = days.iter().enumerate().map(|(at, day)| {
        let (key, day) = (format!("Encounter/{number}-{at}"), shown(*day));
        let row = one(with, "visit", vec![text(&key), text(&patient), text(&day)]);
        row["patient_key"].as_str().expect("text").clone_into(&mut pseudonym);
        read(row["day"].as_str().expect("a date"))
    });
    (days.collect(), pseudonym)
}

fn bound(with: &Deidentifier) -> i32 {
    i32::from(with.policy().max_shift_days())
}

/// Shifts that fit: every known date, moved, is among the released ones.
fn candidates(known: &[i32], released: &[i32], bound: i32) -> Vec<i32> {
    (-bound..=bound)
        .filter(|shift| known.iter().all(|day| released.contains(&(day + shift))))
        .collect()
}

/// The chance to pick the right one, over all patients.
fn recovered(all: &[(Vec<i32>, Vec<i32>)], known: usize, bound: i32) -> f64 {
    let chance = |(truth, released): &(Vec<i32>, Vec<i32>)| {
        let fitting = candidates(&truth[..known], released, bound);
        assert!(fitting.contains(&(released[0] - truth[0])), "one shift for all dates of a patient");
        1.0 / fitting.len() as f64
    };
    all.iter().map(chance).sum::<f64>() / all.len() as f64
}

/// What theory says, from the true dates alone: the shift is one of 2N+1, each as likely; what fits beside the right one are the
/// true dates that lie as the known ones do, within reach of the bound.
fn theory(truth: &[Vec<i32>], known: usize, bound: i32) -> f64 {
    let chance = |days: &Vec<i32>| {
        let width = f64::from(2 * bound + 1);
        (-bound..=bound)
            .map(|shift| {
                let fits = |offset: i32| (shift + offset).abs() <= bound && days[..known].iter().all(|day| days.contains(&(day + offset)));
                let fitting = match known {
                    0 => width,
                    _ => days.iter().filter(|other| fits(**other - days[0])).count() as f64,
                };
                1.0 / fitting
            })
            .sum::<f64>()
            / width
    };
    truth.iter().map(chance).sum::<f64>() / truth.len() as f64
}

#[test]
fn with_k_known_dates_the_share_of_recovered_timelines_is_what_theory_says() {
    let (truth, with) = (truth(), site(PATIENTS_RELEASED, "limited-data-set", "ibd", "north"));
    let all: Vec<_> = truth
        .iter()
        .enumerate()
        .map(|(number, days)| (days.clone(), released(&with, number, days).0))
        .collect();
    let bound = bound(&with);
    let shares: Vec<(f64, f64)> = (0..=3)
        .map(|known| (recovered(&all, known, bound), theory(&truth, known, bound)))
        .collect();
    println!("known dates, recovered, theory: {shares:?}");
    for (known, (share, theory)) in shares.iter().enumerate() {
        // 600 patients, each share between 1/6 and 1: a standard deviation below 0.3 / sqrt(600) = 0.012.
        assert!((share - theory).abs() < 0.04, "{known} known: {share} and theory {theory}");
    }
    assert!(shares[0].0 < 0.01, "without a date: one of {} shifts", 2 * bound + 1);
    assert!(shares[1].0 < 0.75, "one date that is not unique leaves others open");
    assert!(
        shares[3].0 > 0.95,
        "and three open the timeline: this is why it is a limited data set and not Safe Harbor"
    );
}

/// The best guess of a stranger's shift after learning the shifts of others: the most frequent one. The share it is right for.
fn learned(shifts: &[i32]) -> f64 {
    let (others, targets) = shifts.split_at(shifts.len() / 2);
    let guess = others
        .iter()
        .max_by_key(|shift| others.iter().filter(|other| other == shift).count());
    targets.iter().filter(|shift| Some(*shift) == guess).count() as f64 / targets.len() as f64
}

#[test]
fn the_opened_timelines_of_others_say_nothing_of_a_patient_s() {
    let with = site(PATIENTS_RELEASED, "limited-data-set", "ibd", "north");
    let shift = |number| released(&with, number, &[400]).0[0] - 400;
    let shifts: Vec<i32> = (0..PATIENTS_RELEASED).map(shift).collect();
    let share = learned(&shifts);
    assert!(share < 0.03, "theory: 1 in {}; found {share}", 2 * bound(&with) + 1);
    // One shift for a whole site, and one that is small for most: both are learned at once.
    assert!(learned(&[37; 100]) > 0.99);
    assert!(learned(&(0..100).map(|number| number % 3).collect::<Vec<_>>()) > 0.2);
}

/// Chi-square of two things with `rows` and `columns` values: near (rows-1)(columns-1) where they are independent.
fn chi_square(pairs: &[(usize, usize)], rows: usize, columns: usize) -> f64 {
    let mut table = vec![vec![0f64; columns]; rows];
    pairs.iter().for_each(|(row, column)| table[*row][*column] += 1.0);
    let all = pairs.len() as f64;
    let column_sum = |column: usize| table.iter().map(|row| row[column]).sum::<f64>();
    let mut sum = 0.0;
    for row in &table {
        for (column, seen) in row.iter().enumerate() {
            let expected = row.iter().sum::<f64>() * column_sum(column) / all;
            if expected > 0.0 {
                sum += (seen - expected).powi(2) / expected;
            }
        }
    }
    sum
}

/// Each digit of the pseudonym against the shift in fifths of its range: the largest chi-square, of 60 degrees of freedom each.
fn dependence(pairs: &[(String, i32)], bound: i32) -> f64 {
    let fifth = |shift: i32| usize::try_from((shift + bound) * 5 / (2 * bound + 1)).expect("within the bound");
    let digit = |pseudonym: &str, at: usize| usize::from_str_radix(&pseudonym[at..=at], 16).expect("a hex digit");
    (0..32)
        .map(|at| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(pseudonym, shift)| (digit(pseudonym, at), fifth(*shift)))
                .collect();
            chi_square(&pairs, 16, 5)
        })
        .fold(0.0, f64::max)
}

/// Of 32 tests with 60 degrees of freedom, one above this is a chance of 1 in 10,000.
const DEPENDENT: f64 = 125.0;

#[test]
fn the_shift_cannot_be_told_from_the_pseudonym() {
    const MANY: usize = 4_000;
    let with = site(MANY, "limited-data-set", "ibd", "north");
    let pair = |number| {
        let (days, pseudonym) = released(&with, number, &[400]);
        (pseudonym, days[0] - 400)
    };
    let pairs: Vec<(String, i32)> = (0..MANY).map(pair).collect();
    let bound = bound(&with);
    let found = dependence(&pairs, bound);
    assert!(found < DEPENDENT, "chi-square {found}");
    // Every shift occurs about as often: 365 cells of 11 each.
    let cells: Vec<(usize, usize)> = pairs
        .iter()
        .map(|(_, shift)| (usize::try_from(shift + bound).expect("within the bound"), 0))
        .collect();
    assert!(cells.iter().all(|(cell, _)| *cell <= 2 * bound as usize));
    let expected = MANY as f64 / f64::from(2 * bound + 1);
    let count = |cell: usize| cells.iter().filter(|(at, _)| *at == cell).count() as f64;
    let even: f64 = (0..=2 * bound as usize)
        .map(|cell| (count(cell) - expected).powi(2) / expected)
        .sum();
    let freedom = f64::from(2 * bound);
    assert!(
        (even - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(),
        "chi-square {even} of {freedom}"
    );
    // A shift made of the pseudonym's first byte, as a careless scheme would: seen at once.
    let careless = |(pseudonym, _): &(String, i32)| {
        let byte = i32::from_str_radix(&pseudonym[..2], 16).expect("hex");
        (pseudonym.clone(), byte % (2 * bound + 1) - bound)
    };
    assert!(dependence(&pairs.iter().map(careless).collect::<Vec<_>>(), bound) > 10.0 * DEPENDENT);
}

/// Pairs of pseudonyms that share more than chance allows: equal ones, and the mean number of equal bits out of 128.
fn alike(one: &[String], two: &[String]) -> (usize, f64) {
    let equal = one.iter().filter(|pseudonym| two.contains(pseudonym)).count();
    let bits = |text: &str| u128::from_str_radix(text, 16).expect("hex");
    let same = |(one, two): (&String, &String)| f64::from((bits(one) ^ bits(two)).count_zeros());
    (equal, one.iter().zip(two).map(same).sum::<f64>() / one.len() as f64)
}

#[test]
fn the_same_record_number_at_two_sites_or_networks_gives_pseudonyms_that_cannot_be_linked() {
    const MANY: usize = 1_000;
    for policy in ["limited-data-set", "safe-harbor"] {
        let pseudonyms = |network: &str, name: &str| {
            let with = site(MANY, policy, network, name);
            let of = |number: usize| {
                let (key, patient) = (format!("Encounter/{number}"), format!("Patient/mrn-{number:06}"));
                let row = one(&with, "visit", vec![text(&key), text(&patient), text("2019-02-03")]);
                row["patient_key"].as_str().expect("text").to_owned()
            };
            (0..MANY).map(of).collect::<Vec<_>>()
        };
        let (here, there, other) = (
            pseudonyms("ibd", "north"),
            pseudonyms("ibd", "south"),
            pseudonyms("cancer", "north"),
        );
        for foreign in [&there, &other] {
            let (equal, bits) = alike(&here, foreign);
            // The mean of 1,000 times 128 fair coins: a standard deviation of 0.18.
            assert!(
                equal == 0 && (bits - 64.0).abs() < 1.0,
                "{policy}: {equal} equal, {bits} bits alike"
            );
        }
        assert_eq!(alike(&here, &here), (MANY, 128.0), "the attack finds what is there to find");
    }
}

#[test]
fn shifts_at_two_sites_are_not_the_same_shift() {
    let (north, south) = (
        site(PATIENTS_RELEASED, "limited-data-set", "ibd", "north"),
        site(PATIENTS_RELEASED, "limited-data-set", "ibd", "south"),
    );
    let shift = |with: &Deidentifier, number| released(with, number, &[400]).0[0];
    let same = (0..PATIENTS_RELEASED)
        .filter(|number| shift(&north, *number) == shift(&south, *number))
        .count();
    assert!(same < 12, "by chance 2 of {PATIENTS_RELEASED}: {same}");
}
