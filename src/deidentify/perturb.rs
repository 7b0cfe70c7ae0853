//! Moves a number by keyed noise, evenly within a bound: the same cell of the same patient moves by the same amount for ever,
//! so that repeated releases average nothing out, and nobody without the site's key can take the noise away.
//! Knows digits and a bound; `row` draws the noise. A number has as many decimals after as before, or, where these are too few
//! for the bound (a whole 5 and half a unit), the bound's.

use std::fmt;

/// A decimal number as whole units of its last digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scaled {
    units: i128,
    decimals: u32,
}

/// No measurement has more digits; more of them could not be counted in.
const MOST_DIGITS: u32 = 30;

impl Scaled {
    /// A JSON number, exponents included. `None` for anything else and for more than thirty digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (sign, whole) = match whole.as_bytes().first()? {
            b'-' => (-1, &whole[1..]),
            b'+' => (1, &whole[1..]),
            _ => (1, whole),
        };
        let digits = [whole, part].concat();
        if whole.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) || digits.len() > MOST_DIGITS as usize {
            return None;
        }
        let units = digits.parse::<i128>().ok()? * sign;
        let decimals = i32::try_from(part.len()).ok()?.checked_sub(exponent)?;
        let number = Self {
            units,
            decimals: u32::try_from(decimals.max(0)).ok()?,
        };
        if decimals < 0 {
            let zeros = decimals.unsigned_abs();
            let fits = zeros <= MOST_DIGITS && digits.len() + zeros as usize <= MOST_DIGITS as usize;
            return fits.then(|| Self {
                units: units * 10i128.pow(zeros),
                ..number
            });
        }
        (number.decimals <= MOST_DIGITS).then_some(number)
    }

    /// Whether it is a whole number of units.
    pub(super) fn is_whole(self) -> bool {
        self.decimals == 0
    }

    pub(super) fn is_positive(self) -> bool {
        self.units > 0
    }

    /// Whether it is at least as large as the other.
    pub(super) fn covers(self, other: Self) -> bool {
        let decimals = self.decimals.max(other.decimals);
        match (self.units_at(decimals), other.units_at(decimals)) {
            (Some(mine), Some(its)) => mine >= its,
            _ => self == other,
        }
    }

    /// In units of `10^-decimals`, rounded towards zero.
    fn units_at(self, decimals: u32) -> Option<i128> {
        if decimals >= self.decimals {
            self.units.checked_mul(10i128.checked_pow(decimals - self.decimals)?)
        } else {
            Some(self.units / 10i128.checked_pow(self.decimals - decimals)?)
        }
    }

    /// The number moved by at most `bound`, as `bits` choose, within `range`; a number of 0 and above stays so.
    /// `None` where it cannot be counted.
    pub(super) fn moved(self, bound: Scaled, bits: u64, range: (Option<f64>, Option<f64>)) -> Option<Scaled> {
        if bound.units_at(self.decimals)? == 0 && bound.decimals > self.decimals {
            let finer = Self {
                units: self.units_at(bound.decimals)?,
                decimals: bound.decimals,
            };
            return finer.moved(bound, bits, range);
        }
        let bound = bound.units_at(self.decimals)?.min(i128::from(u64::MAX >> 2));
        let width = u128::try_from(2 * bound + 1).ok()?;
        // 2^64 bits choose one of `width`, each as likely to one part in 2^64 / width.
        let drawn = i128::try_from((u128::from(bits) * width) >> 64).ok()?;
        let mut units = self.units.checked_add(drawn - bound)?;
        let edge = |edge: f64, up: bool| {
            let scaled = edge * 10f64.powi(i32::try_from(self.decimals).unwrap_or(0));
            let whole = if up { scaled.ceil() } else { scaled.floor() };
            #[expect(clippy::cast_possible_truncation, reason = "checked to be within 2^100")]
            (whole.abs() < 1e30).then_some(whole as i128)
        };
        let floor = if self.units >= 0 { Some(0) } else { None };
        let low = range.0.and_then(|low| edge(low, true)).max(floor);
        let high = range.1.and_then(|high| edge(high, false));
        // Beyond an edge it is thrown back: nearer to the true number than the bound, and no heap of numbers at the edge.
        if let Some(low) = low.filter(|low| units < *low) {
            units = 2 * low - units;
        }
        if let Some(high) = high.filter(|high| units > *high) {
            units = (2 * high - units).max(low.unwrap_or(i128::MIN));
        }
        Some(Self { units, ..self })
    }
}

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = self.decimals as usize + 1);
        let (whole, part) = digits.split_at(digits.len() - self.decimals as usize);
        let sign = if self.units < 0 { "-" } else { "" };
        let point = if part.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scaled(text: &str) -> Scaled {
        Scaled::parse(text).expect("a number")
    }

    #[test]
    fn digits_stay_as_they_are() {
        for text in ["0", "1.50", "-0.05", "12345678901234567890.123", "7"] {
            assert_eq!(scaled(text).to_string(), text);
        }
        assert_eq!(scaled("1.5e-3").to_string(), "0.0015");
        assert_eq!(scaled("-2E2").to_string(), "-200");
        for text in ["", "-", "1.2.3", "abc", "1e99", "1e-99", "inf", "nan", ".5"] {
            assert_eq!(Scaled::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_step_within_the_bound_is_reached_and_none_beyond() {
        let moved = |bits| scaled("10.0").moved(scaled("0.3"), bits, (None, None)).expect("moved").to_string();
        let seen: std::collections::BTreeMap<String, u32> =
            (0..7000u64)
                .map(|step| moved(step * (u64::MAX / 7000)))
                .fold(std::collections::BTreeMap::new(), |mut seen, text| {
                    *seen.entry(text).or_default() += 1;
                    seen
                });
        let steps: Vec<_> = seen.keys().map(String::as_str).collect();
        assert_eq!(steps, ["10.0", "10.1", "10.2", "10.3", "9.7", "9.8", "9.9"]);
        assert!(seen.values().all(|count| (990..=1010).contains(count)), "each as often: {seen:?}");
    }

    #[test]
    fn a_number_coarser_than_the_bound_gets_the_bound_s_digits() {
        assert_eq!(
            scaled("5").moved(scaled("0.5"), u64::MAX, (None, None)).expect("moved").to_string(),
            "5.5"
        );
        assert_eq!(
            scaled("5").moved(scaled("2.5"), u64::MAX, (None, None)).expect("moved").to_string(),
            "7"
        );
    }

    proptest! {
        #[test]
        fn a_moved_number_stays_near_in_range_and_on_its_side_of_zero(
            units in -100_000i64..100_000, decimals in 0usize..4, within in 1u32..5000, bits: u64
        ) {
            let text = format!("{:.*}", decimals, units as f64 / 10f64.powi(decimals as i32));
            let number = scaled(&text);
            let bound = scaled(&within.to_string());
            let low = (units as f64 / 10f64.powi(decimals as i32)).min(0.0) - 10.0;
            let high = low.abs() + 200_000.0;
            let moved = number.moved(bound, bits, (Some(low), Some(high))).expect("moved");
            let (before, after): (f64, f64) = (text.parse().expect("a number"), moved.to_string().parse().expect("a number"));
            prop_assert!((before - after).abs() <= f64::from(within) + 1e-6);
            prop_assert!(after >= low && after <= high);
            prop_assert!(before < 0.0 || after >= 0.0);
            prop_assert_eq!(text.split_once('.').map_or(0, |parts| parts.1.len()), moved.to_string().split_once('.').map_or(0, |parts| parts.1.len()));
        }
    }
}
