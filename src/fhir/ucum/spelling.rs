//! Units as people write them, in UCUM's spelling.

use std::borrow::Cow;

use super::Unit;

/// Whole units, in small letters and without blanks.
#[rustfmt::skip]
const WHOLE: [(&str, &str); 31] = [
    ("kg/m^2", "kg/m2"), ("kg/m²", "kg/m2"), ("kg/m**2", "kg/m2"), ("k/ul", "10*3/uL"), ("k/mm3", "10*3/mm3"), ("thou/ul", "10*3/uL"),
    ("thousand/ul", "10*3/uL"), ("m/ul", "10*6/uL"), ("mil/ul", "10*6/uL"), ("mill/ul", "10*6/uL"), ("million/ul", "10*6/uL"),
    ("cells/ul", "/uL"), ("#/ul", "/uL"), ("beats/min", "/min"), ("beats/minute", "/min"), ("bpm", "/min"), ("breaths/min", "/min"),
    ("breaths/minute", "/min"), ("percent", "%"), ("pct", "%"), ("ml/min/1.73m2", "mL/min/{1.73_m2}"), ("ml/min/1.73m^2", "mL/min/{1.73_m2}"),
    ("ml/min/1.73m²", "mL/min/{1.73_m2}"), ("ml/min/{1.73_m2}", "mL/min/{1.73_m2}"), ("cmh2o", "cm[H2O]"), ("degreec", "Cel"),
    ("degreef", "[degF]"), ("/hpf", "/[HPF]"), ("fahrenheit", "[degF]"), ("celsius", "Cel"),
    // A femtotonne to UCUM, and to nobody else.
    ("ft", "[ft_i]"),
];

/// Parts between `/` and `.`, as written or in small letters.
#[rustfmt::skip]
const PARTS: [(&str, &str); 58] = [
    ("l", "L"), ("dl", "dL"), ("cl", "cL"), ("ml", "mL"), ("ul", "uL"), ("nl", "nL"), ("pl", "pL"), ("fl", "fL"), ("µl", "uL"), ("μl", "uL"),
    ("cc", "mL"), ("mcg", "ug"), ("µg", "ug"), ("μg", "ug"), ("gm", "g"), ("gms", "g"), ("gram", "g"), ("grams", "g"), ("kgs", "kg"),
    ("µmol", "umol"), ("μmol", "umol"), ("µm", "um"), ("μm", "um"), ("mmhg", "mm[Hg]"), ("iu", "[iU]"), ("miu", "m[iU]"), ("uiu", "u[iU]"),
    ("µiu", "u[iU]"), ("μiu", "u[iU]"), ("kiu", "k[iU]"), ("mu", "mU"), ("units", "U"), ("unit", "U"), ("meq", "meq"), ("sec", "s"),
    ("secs", "s"), ("seconds", "s"), ("hr", "h"), ("hrs", "h"), ("hour", "h"), ("hours", "h"), ("mins", "min"), ("minute", "min"),
    ("minutes", "min"), ("day", "d"), ("days", "d"), ("week", "wk"), ("weeks", "wk"), ("month", "mo"), ("months", "mo"), ("yr", "a"),
    ("yrs", "a"), ("year", "a"), ("years", "a"), ("degc", "Cel"), ("°c", "Cel"), ("degf", "[degF]"), ("°f", "[degF]"),
];

#[rustfmt::skip]
const LENGTH_AND_MASS: [(&str, &str); 10] = [
    ("in", "[in_i]"), ("inch", "[in_i]"), ("inches", "[in_i]"), ("ft", "[ft_i]"), ("feet", "[ft_i]"), ("lb", "[lb_av]"), ("lbs", "[lb_av]"),
    ("pound", "[lb_av]"), ("pounds", "[lb_av]"), ("oz", "[oz_av]"),
];

/// `unit` in correct UCUM, litres with a capital; `None` where we cannot tell what it is.
/// A spelling that is correct already stays: `C` is coulomb, whatever was meant. Only a femtotonne (`ft`) is a foot.
pub fn normal(unit: &str) -> Option<Cow<'_, str>> {
    if unit.len() > 100 {
        return None;
    }
    let tight: String = unit.chars().filter(|c| !c.is_whitespace()).collect();
    let small = tight.to_lowercase();
    if let Some((_, code)) = WHOLE.iter().find(|(written, _)| *written == small) {
        return Some(Cow::Borrowed(code));
    }
    if Unit::parse(unit).is_some() && !unit.contains(['l', '^']) {
        return Some(Cow::Borrowed(unit));
    }
    let mut code = String::with_capacity(tight.len() + 8);
    let mut rest = tight.as_str();
    loop {
        let end = rest.find(['/', '.']).unwrap_or(rest.len());
        code.push_str(&part(&rest[..end]));
        let Some(operator) = rest[end..].chars().next() else { break };
        code.push(operator);
        rest = &rest[end + 1..];
    }
    Unit::parse(&code)?;
    Some(if code == unit { Cow::Borrowed(unit) } else { Cow::Owned(code) })
}

fn part(written: &str) -> Cow<'_, str> {
    if let Some(exponent) = ten(written) {
        return Cow::Owned(format!("10*{exponent}"));
    }
    let small = written.to_lowercase();
    let mut known = PARTS.iter().chain(&LENGTH_AND_MASS);
    let is_litre = written.ends_with('l') && small == written;
    if Unit::parse(written).is_some() && !is_litre {
        return Cow::Borrowed(written);
    }
    match known.find(|(from, _)| *from == small) {
        Some((_, code)) => Cow::Borrowed(code),
        None => Cow::Borrowed(written),
    }
}

/// The exponent of `10^3`, `10e3`, `x10E3`, `x10^3`.
fn ten(written: &str) -> Option<&str> {
    let digits = written.trim_start_matches(['x', 'X', '*']).strip_prefix("10")?;
    let exponent = digits.strip_prefix(['^', 'e', 'E', '*'])?.trim_start_matches('0');
    (!exponent.is_empty() && exponent.len() < 3 && exponent.bytes().all(|byte| byte.is_ascii_digit())).then_some(exponent)
}
