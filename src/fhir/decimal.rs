//! Decimal numbers with their digits kept: `1.50` stays `1.50`. A whole i128 and the number of places after the point.
//! Knows no units and no JSON; a value merely passed on is never read into one of these.

use std::cmp::Ordering;
use std::fmt;

/// digits / 10^scale. `1.50` is 150 and 2.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: i128,
    scale: u32,
}

/// Places kept by a division that does not end, and the most places any number may have.
const PLACES: u32 = 16;
const MAX_SCALE: u32 = 37;

impl Decimal {
    pub const ZERO: Decimal = Decimal { digits: 0, scale: 0 };

    pub const fn new(digits: i128, scale: u32) -> Self {
        Self { digits, scale }
    }

    /// The number a JSON number or FHIRPath literal says; `None` when it is none or has more than 37 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let mut digits: i128 = 0;
        let mut scale: i32 = 0;
        let mut point = false;
        let mut any = false;
        for byte in unsigned.bytes() {
            match byte {
                b'0'..=b'9' => {
                    digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                    any = true;
                    if point {
                        scale += 1;
                    }
                }
                b'.' if !point && any => point = true,
                _ => return None,
            }
        }
        if !any {
            return None;
        }
        scale = scale.checked_sub(exponent)?;
        if scale < 0 {
            digits = digits.checked_mul(power_of_ten(scale.unsigned_abs())?)?;
            scale = 0;
        }
        let scale = u32::try_from(scale).ok().filter(|&scale| scale <= MAX_SCALE)?;
        Some(Self {
            digits: if negative { -digits } else { digits },
            scale,
        })
    }

    pub fn digits(self) -> i128 {
        self.digits
    }

    /// Places after the point.
    pub fn scale(self) -> u32 {
        self.scale
    }

    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    pub fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// The same number with exactly `scale` places; `None` when that would lose digits or room.
    pub fn rescale(self, scale: u32) -> Option<Self> {
        if scale >= self.scale {
            let digits = self.digits.checked_mul(power_of_ten(scale - self.scale)?)?;
            return Some(Self { digits, scale });
        }
        let divisor = power_of_ten(self.scale - scale)?;
        (self.digits % divisor == 0).then(|| Self {
            digits: self.digits / divisor,
            scale,
        })
    }

    /// The same number without zeros at the end of its fraction.
    #[must_use]
    pub fn trimmed(self) -> Self {
        let mut number = self;
        while number.scale > 0 && number.digits % 10 == 0 {
            number.digits /= 10;
            number.scale -= 1;
        }
        number
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        Some((self.rescale(scale)?.digits, other.rescale(scale)?.digits, scale))
    }

    pub fn plus(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Self {
            digits: a.checked_add(b)?,
            scale,
        })
    }

    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated())
    }

    pub fn times(self, other: Self) -> Option<Self> {
        let (a, b) = (self.trimmed(), other.trimmed());
        Some(Self {
            digits: a.digits.checked_mul(b.digits)?,
            scale: a.scale + b.scale,
        })
        .filter(|product| product.scale <= MAX_SCALE)
    }

    /// The quotient to 16 places at most, half away from zero; `None` for a zero divisor.
    pub fn divided_by(self, other: Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let (a, b, _) = self.trimmed().aligned(other.trimmed())?;
        let mut places = PLACES;
        let scaled = loop {
            match power_of_ten(places).and_then(|factor| a.checked_mul(factor)) {
                Some(scaled) => break scaled,
                None if places == 0 => return None,
                None => places -= 1,
            }
        };
        Some(
            Self {
                digits: divide_rounded(scaled, b)?,
                scale: places,
            }
            .trimmed(),
        )
    }

    /// The whole part of the quotient, towards zero.
    pub fn div_whole(self, other: Self) -> Option<i128> {
        let (a, b, _) = self.aligned(other)?;
        a.checked_div(b)
    }

    pub fn remainder(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(
            Self {
                digits: a.checked_rem(b)?,
                scale,
            }
            .trimmed(),
        )
    }

    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            digits: -self.digits,
            scale: self.scale,
        }
    }

    /// Rounded to `places`, half away from zero.
    pub fn round(self, places: u32) -> Option<Self> {
        if places >= self.scale {
            return Some(self);
        }
        Some(Self {
            digits: divide_rounded(self.digits, power_of_ten(self.scale - places)?)?,
            scale: places,
        })
    }

    /// The whole number at or below.
    pub fn floor(self) -> i128 {
        self.digits.div_euclid(power_of_ten(self.scale).unwrap_or(i128::MAX))
    }

    /// The whole number at or above.
    pub fn ceiling(self) -> i128 {
        -self.negated().floor()
    }

    /// The whole number towards zero.
    pub fn truncate(self) -> i128 {
        self.digits / power_of_ten(self.scale).unwrap_or(i128::MAX)
    }

    /// The nearest binary number; only for functions that have no exact decimal answer.
    pub fn to_f64(self) -> Option<f64> {
        self.to_string().parse().ok()
    }

    /// The shortest decimal that reads back as `number`.
    pub fn from_f64(number: f64) -> Option<Self> {
        number.is_finite().then(|| format!("{number}")).and_then(|text| Self::parse(&text))
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self::new(i128::from(number), 0)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if let Some((a, b, _)) = self.aligned(*other) {
            return a.cmp(&b);
        }
        // No room to align: the whole parts differ by far more than the fractions can.
        let by_whole = self.truncate().cmp(&other.truncate());
        by_whole.then_with(|| self.to_f64().unwrap_or(0.0).total_cmp(&other.to_f64().unwrap_or(0.0)))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.digits);
        }
        let places = usize::try_from(self.scale).unwrap_or(0);
        let magnitude = format!("{:0>width$}", self.digits.unsigned_abs(), width = places + 1);
        let (whole, fraction) = magnitude.split_at(magnitude.len() - places);
        write!(f, "{}{whole}.{fraction}", if self.digits < 0 { "-" } else { "" })
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

fn divide_rounded(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    let half_or_more = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
    Some(if half_or_more && rest != 0 {
        quotient + if (a < 0) == (b < 0) { 1 } else { -1 }
    } else {
        quotient
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a decimal"))
    }

    #[test]
    fn digits_stay_as_they_were_written() {
        for text in ["0", "1.50", "-0.05", "100", "0.000", "12345678901234567890.12"] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("1.5e2").to_string(), "150");
        assert_eq!(number("15E-1").to_string(), "1.5");
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-", ".", "1..2", "1e", "abc", "1e999", "1e-999", &"9".repeat(60)] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn arithmetic_is_decimal_not_binary() {
        assert_eq!(number("0.1").plus(number("0.2")), Some(number("0.3")));
        assert_eq!(number("1.0").minus(number("0.9")), Some(number("0.1")));
        assert_eq!(number("0.1").times(number("0.1")), Some(number("0.01")));
        assert_eq!(number("3").divided_by(number("2")), Some(number("1.5")));
        assert_eq!(
            number("2").divided_by(number("3")).map(|n| n.to_string()),
            Some("0.6666666666666667".into())
        );
        assert_eq!(number("1").divided_by(Decimal::ZERO), None);
        assert_eq!(number("-7").remainder(number("2")), Some(number("-1")));
        assert_eq!(number("5.5").div_whole(number("0.7")), Some(7));
    }

    #[test]
    fn rounding_is_half_away_from_zero_and_floors_go_down() {
        assert_eq!(number("1.25").round(1), Some(number("1.3")));
        assert_eq!(number("-1.25").round(1), Some(number("-1.3")));
        assert_eq!(
            (number("-1.5").floor(), number("-1.5").ceiling(), number("-1.5").truncate()),
            (-2, -1, -1)
        );
    }

    #[test]
    fn order_is_by_value_whatever_the_places() {
        assert_eq!(number("1.0").cmp(&number("1")), Ordering::Equal);
        assert!(number("-0.1") < number("0"));
        assert!(number("99999999999999999999999999999999999") > number("0.0000000000000000000000000000001"));
    }
}
