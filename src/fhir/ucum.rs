//! UCUM, the Unified Code for Units of Measure: reading a unit and turning a number into another unit of the same kind,
//! exactly where the factor is exact. Knows no FHIR element.
//!
//! Readings: amount of substance (`mol`) is a kind of its own and not a pure number, so that no count is taken for moles;
//! arbitrary units (`[iU]`) compare with nothing but themselves. Units on logarithmic scales are such units, too.

mod atoms;
mod spelling;

use super::decimal::Decimal;

pub use spelling::normal;

/// Longest unit that is read, in bytes.
const MAX_BYTES: usize = 100;
/// Brackets in one another.
const MAX_DEPTH: usize = 8;
/// Length, time, mass, angle, temperature, charge, light, amount; then the arbitrary units.
const KINDS: usize = 8 + atoms::ARBITRARY.len();

/// A unit: in base units, a number of it is `(number + offset) * times / by`.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    times: Decimal,
    by: Decimal,
    /// Only of temperatures that begin elsewhere than kelvin.
    offset: Option<Decimal>,
    powers: [i8; KINDS],
}

impl Unit {
    fn number(times: Decimal) -> Self {
        Self {
            times,
            by: Decimal::from(1),
            offset: None,
            powers: [0; KINDS],
        }
    }

    fn base(kind: usize) -> Self {
        let mut unit = Self::number(Decimal::from(1));
        unit.powers[kind] = 1;
        unit
    }

    /// The unit that `code` names; `None` when it is no UCUM or needs a number too large for us.
    pub fn parse(code: &str) -> Option<Self> {
        if code.is_empty() || code.len() > MAX_BYTES || !code.is_ascii() {
            return None;
        }
        let mut parser = Parser { rest: code, depth: 0 };
        let unit = parser.expression()?;
        parser.rest.is_empty().then_some(unit)
    }

    /// Both measure the same kind of thing.
    pub fn is_like(&self, other: &Self) -> bool {
        self.powers == other.powers
    }

    /// `number` of this unit as a number of `other`. Exact but for a division that does not end, which is rounded at 16 places.
    pub fn convert(&self, number: Decimal, other: &Self) -> Option<Decimal> {
        let (here, there) = self.scaled(number, other)?;
        let number = here.divided_by(there)?;
        match other.offset {
            Some(offset) => number.minus(offset).map(Decimal::trimmed),
            None => Some(number),
        }
    }

    /// `number` of this unit and 1 of `other`, on one scale, without a division.
    fn scaled(&self, number: Decimal, other: &Self) -> Option<(Decimal, Decimal)> {
        self.is_like(other).then_some(())?;
        let number = match self.offset {
            Some(offset) => number.plus(offset)?,
            None => number,
        };
        Some((number.times(self.times.times(other.by)?)?, self.by.times(other.times)?))
    }

    /// `a` of this unit and `b` of `other` as numbers that compare as the quantities do.
    pub fn comparable(&self, a: Decimal, other: &Self, b: Decimal) -> Option<(Decimal, Decimal)> {
        let (a, scale) = self.scaled(a, other)?;
        let b = match other.offset {
            Some(offset) => b.plus(offset)?,
            None => b,
        };
        Some((a, b.times(scale)?))
    }

    fn product(self, other: Self) -> Option<Self> {
        if self.offset.is_some() || other.offset.is_some() {
            return None;
        }
        let mut powers = self.powers;
        for (power, more) in powers.iter_mut().zip(other.powers) {
            *power = power.checked_add(more)?;
        }
        Some(Self {
            times: self.times.times(other.times)?,
            by: self.by.times(other.by)?,
            offset: None,
            powers,
        })
    }

    fn inverse(self) -> Option<Self> {
        let mut powers = self.powers;
        for power in &mut powers {
            *power = power.checked_neg()?;
        }
        (self.offset.is_none() && !self.times.is_zero()).then_some(Self {
            times: self.by,
            by: self.times,
            offset: None,
            powers,
        })
    }

    fn power(self, exponent: i8) -> Option<Self> {
        if exponent == 1 {
            return Some(self);
        }
        let one = Self::number(Decimal::from(1));
        let all = (0..exponent.unsigned_abs()).try_fold(one, |all, _| all.product(self))?;
        if exponent < 0 { all.inverse() } else { Some(all) }
    }
}

struct Parser<'c> {
    rest: &'c str,
    depth: usize,
}

impl<'c> Parser<'c> {
    fn take(&mut self, symbol: char) -> bool {
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expression(&mut self) -> Option<Unit> {
        let mut unit = if self.take('/') {
            self.component()?.inverse()?
        } else {
            self.component()?
        };
        loop {
            if self.take('.') {
                unit = unit.product(self.component()?)?;
            } else if self.take('/') {
                unit = unit.product(self.component()?.inverse()?)?;
            } else {
                return Some(unit);
            }
        }
    }

    fn component(&mut self) -> Option<Unit> {
        if self.take('(') {
            self.depth += 1;
            let inside = (self.depth <= MAX_DEPTH).then(|| self.expression()).flatten()?;
            self.depth -= 1;
            return self.take(')').then_some(inside);
        }
        let word = self.word();
        let annotated = self.annotation()?;
        if word.is_empty() {
            return annotated.then(|| Unit::number(Decimal::from(1)));
        }
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Decimal::parse(word).filter(|number| !number.is_zero()).map(Unit::number);
        }
        let (symbol, exponent) = exponent(word)?;
        atoms::find(symbol)?.power(exponent)
    }

    /// Up to the next operator that stands outside square brackets.
    fn word(&mut self) -> &'c str {
        let mut inside = false;
        let end = self.rest.find(|c: char| {
            inside = (inside || c == '[') && c != ']';
            !inside && matches!(c, '.' | '/' | '(' | ')' | '{' | '}')
        });
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    /// `{anything}`, which says nothing about the size; whether there was one.
    fn annotation(&mut self) -> Option<bool> {
        if !self.take('{') {
            return Some(false);
        }
        let (inside, rest) = self.rest.split_once('}')?;
        self.rest = rest;
        (!inside.contains('{')).then_some(true)
    }
}

/// `m2` is `m` and 2, `s-1` is `s` and -1, `10*3` is `10*` and 3, `[H2O]` has none.
fn exponent(word: &str) -> Option<(&str, i8)> {
    let symbol = word.trim_end_matches(|c: char| c.is_ascii_digit());
    if symbol.len() == word.len() {
        return Some((word, 1));
    }
    let symbol = symbol.strip_suffix(['-', '+']).unwrap_or(symbol);
    let digits = &word[symbol.len()..];
    Some((symbol, digits.strip_prefix('+').unwrap_or(digits).parse().ok()?))
}

#[cfg(test)]
mod tests;
