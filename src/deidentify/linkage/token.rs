//! The tokens a value is compared by: n-grams, the whole value, or a number's neighbourhood. As clkhash 0.18.3 makes them.

/// How values of a feature are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Runs of `n` characters, n-1 blanks before and behind; numbered from 1 where the place counts.
    Ngram {
        n: usize,
        positional: bool,
    },
    Exact,
    /// `interval` is the greatest distance that still counts, in units of the last place that is kept.
    Numeric {
        interval: i128,
        resolution: i128,
        fractional_precision: u32,
    },
}

/// How often tokens are put into the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    PerToken(usize),
    PerFeature(usize),
}

impl Strategy {
    /// How often the token `at` of `number` is put in.
    pub(super) fn times(self, at: usize, number: usize) -> usize {
        match self {
            Self::PerToken(times) => times,
            Self::PerFeature(times) => times / number + usize::from(at < times % number),
        }
    }
}

/// Beyond this a number has no neighbourhood that could be reckoned.
const MOST: f64 = 1e28;

impl Comparison {
    /// The value's tokens; none of an empty value.
    /// # Errors: what it is not that should be a number.
    pub(super) fn tokens(self, value: &str) -> Result<Vec<String>, &'static str> {
        if value.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Exact => Ok(vec![value.to_owned()]),
            Self::Ngram { n, positional } => Ok(ngrams(value, n, positional)),
            Self::Numeric {
                interval,
                resolution,
                fractional_precision,
            } => {
                let number = number(value, fractional_precision).ok_or("a number that can be compared")? * 2 * resolution;
                let residue = number.rem_euclid(interval);
                let near = if 2 * residue < interval {
                    number - residue
                } else {
                    number - residue + interval
                };
                let middle = if residue == 0 { number } else { near };
                Ok((-resolution..=resolution).map(|at| (middle + at * interval).to_string()).collect())
            }
        }
    }
}

fn ngrams(value: &str, n: usize, positional: bool) -> Vec<String> {
    let blanks = std::iter::repeat_n(' ', n - 1);
    let letters: Vec<char> = blanks.clone().chain(value.chars()).chain(blanks).collect();
    let gram = |(at, gram): (usize, &[char])| {
        let gram = gram.iter().collect::<String>();
        if positional { format!("{} {gram}", at + 1) } else { gram }
    };
    letters.windows(n).enumerate().map(gram).collect()
}

/// The value in units of the last place that is kept, as Python's `int` or `float` reads it.
#[expect(clippy::cast_possible_truncation, reason = "MOST bounds it")]
fn number(value: &str, fractional_precision: u32) -> Option<i128> {
    let unit = 10i128.checked_pow(fractional_precision)?;
    if let Some(text) = super::format::integer(value) {
        return text
            .parse::<i128>()
            .ok()?
            .checked_mul(unit)
            .filter(|number| (*number as f64).abs() < MOST);
    }
    let number: f64 = value.trim().parse().ok()?;
    let number = if fractional_precision > 0 {
        (number * unit as f64).round_ties_even()
    } else {
        number.trunc()
    };
    (number.abs() < MOST).then_some(number as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_feature_is_dealt_out_and_the_first_tokens_get_what_is_over() {
        let times = |strategy: Strategy, number| (0..number).map(|at| strategy.times(at, number)).collect::<Vec<_>>();
        assert_eq!(times(Strategy::PerFeature(10), 4), [3, 3, 2, 2]);
        assert_eq!(times(Strategy::PerFeature(2), 3), [1, 1, 0]);
        assert_eq!(times(Strategy::PerToken(7), 2), [7, 7]);
    }

    #[test]
    fn grams_have_blanks_around_and_numbers_where_the_place_counts() {
        let tokens = |n, positional, value| Comparison::Ngram { n, positional }.tokens(value).unwrap();
        assert_eq!(tokens(2, false, "añ"), [" a", "añ", "ñ "]);
        assert_eq!(tokens(1, true, "aa"), ["1 a", "2 a"]);
        assert_eq!(tokens(3, false, "a"), ["  a", " a ", "a  "]);
        assert_eq!(tokens(2, false, ""), [""; 0]);
    }

    #[test]
    fn near_numbers_share_neighbours_and_no_number_is_told() {
        let near = Comparison::Numeric {
            interval: 8,
            resolution: 2,
            fractional_precision: 0,
        };
        // clkhash's own example: 25 is 26 on the grid of twos.
        assert_eq!(near.tokens("25").unwrap(), ["88", "96", "104", "112", "120"]);
        assert!(near.tokens("25 km").is_err() && near.tokens("nan").is_err() && near.tokens("1e300").is_err());
    }
}
