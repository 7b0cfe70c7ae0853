//! Names, streets and towns that look real and belong to nobody: a short list of given names and families put together
//! from syllables. Telephone numbers are from 555-0100 to 555-0199, which no one has; mail goes to example domains.

use super::dice::Dice;

const GIRLS: &[&str] = &[
    "Ada", "Amara", "Beatriz", "Clara", "Dalia", "Elena", "Fiona", "Grace", "Hanna", "Imani", "Josie", "Keiko", "Leila", "Maya", "Nadia",
    "Olive", "Priya", "Quinn", "Rosa", "Sofia", "Talia", "Uma", "Violet", "Wren", "Ximena", "Yara", "Zoe",
];
const BOYS: &[&str] = &[
    "Aaron", "Bruno", "Caleb", "Dev", "Elias", "Felix", "Gabriel", "Hugo", "Isaac", "Jonah", "Kenji", "Luca", "Malik", "Noah", "Omar",
    "Pablo", "Quentin", "Rafael", "Samir", "Theo", "Umar", "Victor", "Wesley", "Xavier", "Yusuf", "Zane",
];
const GROWN: &[&str] = &[
    "Alice", "Bernard", "Carmen", "Daniel", "Esther", "Frank", "Gloria", "Henry", "Irene", "Julian", "Karin", "Lewis",
];
const STARTS: &[&str] = &[
    "Bar", "Cal", "Dor", "El", "Fen", "Gal", "Har", "Ish", "Jan", "Kel", "Lor", "Mar", "Nor", "Ol", "Pell", "Quil", "Ros", "Sel", "Tam",
    "Ul", "Var", "Wes", "Yar", "Zel",
];
const MIDDLES: &[&str] = &["a", "e", "i", "o", "u", "an", "en", "in", "or", "ar", "el", "is"];
const ENDS: &[&str] = &[
    "bury", "dale", "dez", "feld", "ford", "gren", "ham", "kova", "lund", "mann", "moto", "naz", "rov", "son", "ston", "vane", "well",
    "wicz",
];
const STREETS: &[&str] = &[
    "Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fernhill", "Garnet", "Hawthorn", "Juniper", "Larch", "Mill", "Orchard", "Quarry",
    "Willow",
];
const WAYS: &[&str] = &["Street", "Avenue", "Road", "Lane", "Court", "Drive"];

/// Town, state, ZIP and area code belong together; the ZIP codes have the real format and mostly exist.
const TOWNS: &[(&str, &str, &str, &str)] = &[
    ("Cincinnati", "OH", "45229", "513"),
    ("Dayton", "OH", "45402", "937"),
    ("Columbus", "OH", "43205", "614"),
    ("Covington", "KY", "41011", "859"),
    ("Lexington", "KY", "40502", "859"),
    ("Indianapolis", "IN", "46202", "317"),
    ("Richmond", "IN", "47374", "765"),
    ("Burlington", "VT", "05401", "802"),
    ("Guildhall", "VT", "05905", "802"),
    ("Boston", "MA", "02115", "617"),
    ("Chapel Hill", "NC", "27514", "919"),
    ("Thermopolis", "WY", "82443", "307"),
    ("Cody", "WY", "82190", "307"),
];

/// Where somebody lives.
pub(super) struct Address {
    pub(super) line: String,
    pub(super) city: &'static str,
    pub(super) state: &'static str,
    pub(super) zip: &'static str,
    pub(super) area_code: &'static str,
}

pub(super) fn girl(dice: &mut Dice) -> &'static str {
    dice.pick::<&'static str>(GIRLS)
}

pub(super) fn boy(dice: &mut Dice) -> &'static str {
    dice.pick::<&'static str>(BOYS)
}

pub(super) fn grown_up(dice: &mut Dice) -> &'static str {
    dice.pick::<&'static str>(GROWN)
}

/// A family name made of syllables.
pub(super) fn family(dice: &mut Dice) -> String {
    let (start, middle, end) = (dice.pick(STARTS), dice.pick(MIDDLES), dice.pick(ENDS));
    format!("{start}{middle}{end}")
}

/// A house in one of the towns.
pub(super) fn address(dice: &mut Dice) -> Address {
    let (city, state, zip, area_code) = *dice.pick(TOWNS);
    let line = format!("{} {} {}", dice.between(2, 980), dice.pick(STREETS), dice.pick(WAYS));
    Address {
        line,
        city,
        state,
        zip,
        area_code,
    }
}

/// A number nobody has.
pub(super) fn phone(dice: &mut Dice, area_code: &str) -> String {
    format!("{area_code}-555-01{:02}", dice.below(100))
}
