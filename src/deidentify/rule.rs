//! The words a policy may use for a column, and the bases it may claim.
//! Knows words only: `method` knows what some of them are told beside, `placement` which columns each may stand on,
//! `strictness` which gives away less than another.

/// What happens to every cell of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The column leaves empty.
    Drop,
    /// The cell leaves as it is; only where the column cannot hold free text.
    Keep,
    /// A code leaves as it is; a cell with white space or a control character refuses its row.
    Code,
    /// A key becomes a surrogate; the same source key becomes the same surrogate wherever it stands. Safe Harbor: as `Surrogate`
    /// on rows about a patient; else made with the site's key.
    Pseudonym,
    /// A key becomes a surrogate that hangs on a random secret per patient, kept in the site's crosswalk.
    Surrogate,
    /// A date becomes its year; in the limited data set that of the moved day, so that years do not tell the shift.
    Year,
    /// A date becomes its month; expert only.
    Month,
    /// A date moves by its patient's secret number of days.
    Shift,
    /// The patient's own birth date: its year, or nothing over 89 (Safe Harbor); shifted (limited data set).
    BirthDate,
    /// The patient's birth year: nothing over 89 (Safe Harbor); the shifted birth date's year (limited data set).
    BirthYear,
    /// An age in years; 90 and above become 90.
    Age,
    /// An age in years becomes the first year of its band; the last band is 90 and above.
    AgeBand,
    /// A ZIP text becomes its first three digits where more than 20,000 people live there, else `000`.
    Zip3,
    /// A ZIP text becomes its first five digits.
    Zip5,
    /// A ZIP text becomes its nine digits; one of five leaves empty.
    Zip9,
    /// A US state or territory becomes its two letters; anything else leaves empty.
    State,
    /// A code becomes the coarser one that a ConceptMap has for it; another code becomes a given one, or leaves empty.
    RollUp,
    /// A number moves by keyed noise within a bound; its digits, its sign and the column's range stay.
    Perturb,
    /// Text leaves without its patient's identifiers and without what looks like anybody's; never under Safe Harbor.
    Redact,
}

/// The bases a policy may claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// 45 CFR 164.514(b)(2).
    SafeHarbor,
    /// 45 CFR 164.514(e).
    LimitedDataSet,
    /// 45 CFR 164.514(b)(1): a network's own table, and who determined that its risk is very small.
    Expert,
}

impl Basis {
    pub const ALL: [Basis; 3] = [Basis::SafeHarbor, Basis::LimitedDataSet, Basis::Expert];

    pub const fn as_str(self) -> &'static str {
        match self {
            Basis::SafeHarbor => "safe-harbor",
            Basis::LimitedDataSet => "limited-data-set",
            Basis::Expert => "expert",
        }
    }

    /// The basis of this name.
    pub fn of(name: &str) -> Option<Basis> {
        Basis::ALL.into_iter().find(|basis| basis.as_str() == name)
    }
}

impl Rule {
    pub const ALL: [Rule; 19] = [
        Rule::Drop,
        Rule::Keep,
        Rule::Code,
        Rule::Pseudonym,
        Rule::Surrogate,
        Rule::Year,
        Rule::Month,
        Rule::Shift,
        Rule::BirthDate,
        Rule::BirthYear,
        Rule::Age,
        Rule::AgeBand,
        Rule::Zip3,
        Rule::Zip5,
        Rule::Zip9,
        Rule::State,
        Rule::RollUp,
        Rule::Perturb,
        Rule::Redact,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::Drop => "drop",
            Rule::Keep => "keep",
            Rule::Code => "code",
            Rule::Pseudonym => "pseudonym",
            Rule::Surrogate => "surrogate",
            Rule::Year => "year",
            Rule::Month => "month",
            Rule::Shift => "shift",
            Rule::BirthDate => "birth-date",
            Rule::BirthYear => "birth-year",
            Rule::Age => "age",
            Rule::AgeBand => "age-band",
            Rule::Zip3 => "zip3",
            Rule::Zip5 => "zip5",
            Rule::Zip9 => "zip9",
            Rule::State => "state",
            Rule::RollUp => "roll-up",
            Rule::Perturb => "perturb",
            Rule::Redact => "redact",
        }
    }

    /// The rule of this name.
    pub fn of(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.as_str() == name)
    }

    /// Whether both give the same surrogate of the same key: under Safe Harbor there is one way.
    pub(super) fn joins(self, basis: Basis, other: Rule) -> bool {
        let hides = |rule| matches!(rule, Rule::Pseudonym | Rule::Surrogate);
        self == other || basis == Basis::SafeHarbor && hides(self) && hides(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_and_basis_is_found_by_its_own_name() {
        for rule in Rule::ALL {
            assert_eq!(Rule::of(rule.as_str()), Some(rule));
        }
        for basis in Basis::ALL {
            assert_eq!(Basis::of(basis.as_str()), Some(basis));
        }
        assert_eq!(Rule::of("KEEP"), None);
    }
}
