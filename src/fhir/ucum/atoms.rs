//! The units that are not made of others by their name, each in terms of units before it, and the prefixes.

use super::Unit;
use crate::fhir::decimal::Decimal;

/// Units of a procedure: each is a kind of its own. The ones that take prefixes say so in `METRIC_ARBITRARY`.
pub(super) const ARBITRARY: [&str; 24] = [
    "[iU]",
    "[IU]",
    "[arb'U]",
    "[USP'U]",
    "[GPL'U]",
    "[MPL'U]",
    "[APL'U]",
    "[CFU]",
    "[PFU]",
    "[FFU]",
    "[AU]",
    "[BAU]",
    "[Amb'a'1'U]",
    "[pH]",
    "[CCID_50]",
    "[TCID_50]",
    "[EID_50]",
    "[D'ag'U]",
    "[hnsf'U]",
    "[todd'U]",
    "[ELU]",
    "[EU]",
    "[HPF]",
    "B",
];
const METRIC_ARBITRARY: [&str; 3] = ["[iU]", "[IU]", "B"];

const BASE: [&str; 8] = ["m", "s", "g", "rad", "K", "C", "cd", "mol"];

const PREFIXES: [(&str, i32); 20] = [
    ("da", 1),
    ("Y", 24),
    ("Z", 21),
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("h", 2),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
];

/// Code, whether it takes prefixes, how many of which unit it is.
#[rustfmt::skip]
const ATOMS: [(&str, bool, &str, &str); 91] = [
    ("10*", false, "10", ""), ("10^", false, "10", ""), ("%", false, "0.01", ""), ("[ppth]", false, "0.001", ""),
    ("[ppm]", false, "0.000001", ""), ("[ppb]", false, "0.000000001", ""), ("[pptr]", false, "0.000000000001", ""),
    ("sr", true, "1", "rad2"), ("Hz", true, "1", "s-1"), ("N", true, "1", "kg.m/s2"), ("Pa", true, "1", "N/m2"),
    ("J", true, "1", "N.m"), ("W", true, "1", "J/s"), ("A", true, "1", "C/s"), ("V", true, "1", "J/C"), ("F", true, "1", "C/V"),
    ("Ohm", true, "1", "V/A"), ("S", true, "1", "Ohm-1"), ("Wb", true, "1", "V.s"), ("T", true, "1", "Wb/m2"),
    ("H", true, "1", "Wb/A"), ("lm", true, "1", "cd.sr"), ("lx", true, "1", "lm/m2"), ("Bq", true, "1", "s-1"),
    ("Gy", true, "1", "J/kg"), ("Sv", true, "1", "J/kg"), ("kat", true, "1", "mol/s"), ("U", true, "1", "umol/min"),
    ("deg", false, "0.0174532925199432958", "rad"), ("gon", true, "0.9", "deg"), ("'", false, "1", "deg/60"), ("''", false, "1", "'/60"),
    ("l", true, "1", "dm3"), ("L", true, "1", "dm3"), ("ar", true, "100", "m2"), ("t", true, "1000", "kg"), ("bar", true, "100000", "Pa"),
    ("u", true, "0.0000000000000000000000016605402", "g"), ("eV", true, "0.00000000000000000016021773", "J"),
    ("min", false, "60", "s"), ("h", false, "60", "min"), ("d", false, "24", "h"), ("wk", false, "7", "d"),
    ("a_j", false, "365.25", "d"), ("a_g", false, "365.2425", "d"), ("a_t", false, "365.24219", "d"), ("a", false, "1", "a_j"),
    ("mo_j", false, "1", "a_j/12"), ("mo_g", false, "1", "a_g/12"), ("mo_s", false, "29.53059", "d"), ("mo", false, "1", "mo_j"),
    ("eq", true, "1", "mol"), ("osm", true, "1", "mol"), ("cal", true, "4.184", "J"), ("[Cal]", false, "1", "kcal"),
    ("cal_[15]", true, "4.1858", "J"), ("cal_th", true, "4.184", "J"), ("cal_IT", true, "4.1868", "J"),
    ("m[Hg]", true, "133.322", "kPa"), ("m[H2O]", true, "9.80665", "kPa"), ("[psi]", false, "6894.757293168361", "Pa"),
    ("atm", false, "101325", "Pa"), ("dyn", true, "1", "g.cm/s2"), ("erg", true, "1", "dyn.cm"), ("P", true, "1", "dyn.s/cm2"),
    ("G", true, "0.0001", "T"), ("Ci", true, "37000000000", "Bq"), ("REM", true, "0.01", "Sv"), ("RAD", true, "0.01", "Gy"),
    ("R", true, "0.000258", "C/kg"), ("[in_i]", false, "2.54", "cm"), ("[ft_i]", false, "12", "[in_i]"), ("[yd_i]", false, "3", "[ft_i]"),
    ("[mi_i]", false, "5280", "[ft_i]"), ("[sin_i]", false, "1", "[in_i]2"), ("[sft_i]", false, "1", "[ft_i]2"),
    ("[cin_i]", false, "1", "[in_i]3"), ("[gr]", false, "64.79891", "mg"), ("[lb_av]", false, "7000", "[gr]"),
    ("[oz_av]", false, "1", "[lb_av]/16"), ("[ston_av]", false, "2000", "[lb_av]"), ("[stone_av]", false, "14", "[lb_av]"),
    ("[gal_us]", false, "231", "[cin_i]"), ("[qt_us]", false, "1", "[gal_us]/4"), ("[pt_us]", false, "1", "[qt_us]/2"),
    ("[foz_us]", false, "1", "[gal_us]/128"), ("[cup_us]", false, "16", "[tbs_us]"), ("[tbs_us]", false, "1", "[foz_us]/2"),
    ("[tsp_us]", false, "1", "[tbs_us]/3"), ("[drp]", false, "1", "ml/20"), ("[Ch]", false, "1", "mm/3"),
];

/// The unit of a symbol, with or without a prefix.
pub(super) fn find(symbol: &str) -> Option<Unit> {
    if let Some((unit, _)) = atom(symbol) {
        return Some(unit);
    }
    PREFIXES.iter().find_map(|(prefix, exponent)| {
        let (unit, metric) = symbol.strip_prefix(prefix).and_then(atom)?;
        let ten = Decimal::new(10i128.pow(exponent.unsigned_abs()), 0);
        let part = Decimal::new(1, exponent.unsigned_abs());
        let size = Unit::number(if *exponent < 0 { part } else { ten });
        metric.then(|| size.product(unit)).flatten()
    })
}

/// The unit, and whether it takes prefixes.
fn atom(symbol: &str) -> Option<(Unit, bool)> {
    if let Some(kind) = BASE.iter().position(|base| *base == symbol) {
        return Some((Unit::base(kind), true));
    }
    match symbol {
        "Cel" => return Some((temperature(Decimal::new(27315, 2), 1, 1), false)),
        "[degF]" => return Some((temperature(Decimal::new(45967, 2), 5, 9), false)),
        "[degR]" => return Some((temperature(Decimal::ZERO, 5, 9), false)),
        _ => {}
    }
    if let Some((_, metric, size, of)) = ATOMS.iter().find(|(code, ..)| *code == symbol) {
        let size = Unit::number(Decimal::parse(size)?);
        let unit = if of.is_empty() { size } else { size.product(Unit::parse(of)?)? };
        return Some((unit, *metric));
    }
    let kind = ARBITRARY.iter().position(|unit| *unit == symbol)?;
    // `[IU]` is the older way to write `[iU]`.
    let kind = if symbol == "[IU]" { 0 } else { kind };
    Some((Unit::base(BASE.len() + kind), METRIC_ARBITRARY.contains(&symbol)))
}

fn temperature(offset: Decimal, times: i64, by: i64) -> Unit {
    Unit {
        times: times.into(),
        by: by.into(),
        offset: (!offset.is_zero()).then_some(offset),
        ..Unit::base(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_atom_is_a_unit() {
        for (code, ..) in ATOMS {
            assert!(Unit::parse(code).is_some(), "{code}");
        }
        for code in ARBITRARY {
            assert!(Unit::parse(code).is_some(), "{code}");
        }
    }
}
