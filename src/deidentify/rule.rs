//! The words a policy may use for a column, and which columns each word may stand on.
//! Knows shapes of columns, not the file they are written in; `policy` reads that.

use crate::cdm::{Column, Kind, Model, Table, TableId};

/// What happens to every cell of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The column leaves empty.
    Drop,
    /// The cell leaves as it is; only where the column cannot hold free text.
    Keep,
    /// A code leaves as it is; a cell with white space or a control character refuses its row.
    Code,
    /// A key becomes a surrogate; the same source key becomes the same surrogate wherever it stands.
    Pseudonym,
    /// A date becomes its year.
    Year,
    /// A date moves by its patient's secret number of days.
    Shift,
    /// The patient's own birth date: its year, or nothing over 89 (Safe Harbor); shifted (limited data set).
    BirthDate,
    /// The patient's birth year: nothing over 89 (Safe Harbor); the shifted birth date's year (limited data set).
    BirthYear,
    /// An age in years; 90 and above become 90.
    Age,
    /// A ZIP text becomes its first three digits where more than 20,000 people live there, else `000`.
    Zip3,
    /// A ZIP text becomes its first five digits.
    Zip5,
    /// A ZIP text becomes its nine digits; one of five leaves empty.
    Zip9,
    /// A US state or territory becomes its two letters; anything else leaves empty.
    State,
}

/// The two bases a policy may claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// 45 CFR 164.514(b)(2).
    SafeHarbor,
    /// 45 CFR 164.514(e).
    LimitedDataSet,
}

impl Basis {
    pub const ALL: [Basis; 2] = [Basis::SafeHarbor, Basis::LimitedDataSet];

    pub const fn as_str(self) -> &'static str {
        match self {
            Basis::SafeHarbor => "safe-harbor",
            Basis::LimitedDataSet => "limited-data-set",
        }
    }

    /// The basis of this name.
    pub fn of(name: &str) -> Option<Basis> {
        Basis::ALL.into_iter().find(|basis| basis.as_str() == name)
    }
}

impl Rule {
    pub const ALL: [Rule; 13] = [
        Rule::Drop,
        Rule::Keep,
        Rule::Code,
        Rule::Pseudonym,
        Rule::Year,
        Rule::Shift,
        Rule::BirthDate,
        Rule::BirthYear,
        Rule::Age,
        Rule::Zip3,
        Rule::Zip5,
        Rule::Zip9,
        Rule::State,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::Drop => "drop",
            Rule::Keep => "keep",
            Rule::Code => "code",
            Rule::Pseudonym => "pseudonym",
            Rule::Year => "year",
            Rule::Shift => "shift",
            Rule::BirthDate => "birth-date",
            Rule::BirthYear => "birth-year",
            Rule::Age => "age",
            Rule::Zip3 => "zip3",
            Rule::Zip5 => "zip5",
            Rule::Zip9 => "zip9",
            Rule::State => "state",
        }
    }

    /// The rule of this name.
    pub fn of(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.as_str() == name)
    }

    /// Whether the rule may replace `self` by a site's own decision: it gives away no more than `self` does.
    pub fn may_become(self, tighter: Rule) -> bool {
        match (self, tighter) {
            (old, new) if old == new => true,
            (Rule::Pseudonym, _) => false,
            (_, Rule::Drop) => true,
            (Rule::Shift, Rule::Year) => true,
            (Rule::Zip9, Rule::Zip5 | Rule::Zip3) | (Rule::Zip5, Rule::Zip3) | (Rule::Keep, Rule::Code | Rule::Age) => true,
            _ => false,
        }
    }

    /// Why the rule may not stand on this column under this basis; `None` if it may.
    pub(super) fn fault(self, basis: Basis, table: &Table, at: usize) -> Option<String> {
        let column = &table.columns[at];
        let is_key = at == table.key || table.patient == Some(at);
        if is_key && self != Rule::Pseudonym {
            return Some("is a key: only `pseudonym` may stand here".into());
        }
        let needs_patient = matches!(self, Rule::Shift | Rule::BirthDate | Rule::BirthYear);
        if needs_patient && table.patient.is_none() {
            return Some(format!("`{}` needs a patient, and the table has no `x-patient`", self.as_str()));
        }
        if column.required && self == Rule::Drop {
            return Some("is required by the table's schema: `drop` would refuse every row".into());
        }
        if basis == Basis::SafeHarbor {
            match self {
                Rule::Shift => return Some("a shifted date is still a full date: safe-harbor leaves `year`".into()),
                Rule::Zip5 | Rule::Zip9 => return Some("safe-harbor leaves `zip3`, never five digits".into()),
                Rule::BirthDate if column.required => {
                    return Some("is required by the table's schema, but must be empty for a patient over 89".into());
                }
                _ => {}
            }
        }
        let kinds: &[Kind] = match self {
            Rule::Drop => return None,
            Rule::Keep => return free_text(basis, column),
            Rule::Code => return code(column),
            Rule::Pseudonym => return pseudonym(column, at == table.key),
            Rule::Year => &[Kind::PartialDate, Kind::Date, Kind::DateTime, Kind::Integer],
            Rule::BirthYear => &[Kind::PartialDate, Kind::Integer],
            Rule::Shift | Rule::BirthDate => &[Kind::PartialDate, Kind::Date, Kind::DateTime],
            Rule::Age => &[Kind::Integer, Kind::Decimal],
            Rule::Zip3 | Rule::Zip5 | Rule::Zip9 | Rule::State => &[Kind::Text],
        };
        (!kinds.contains(&column.kind)).then(|| {
            let words: Vec<_> = kinds.iter().map(|kind| kind_word(*kind)).collect();
            format!(
                "`{}` is for {} columns, this one is {}",
                self.as_str(),
                words.join(" or "),
                kind_word(column.kind)
            )
        })
    }
}

/// What happens to one column.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub rule: Rule,
    pub reason: String,
    /// For a pseudonym: the table whose key the column holds.
    pub key_of: Option<TableId>,
    /// Whether the rule itself does not guarantee that no identifier is in the text.
    pub guarded: bool,
}

impl Plan {
    /// The plan for the column at `at`.
    pub(super) fn of(rule: Rule, reason: String, model: &Model, table: &Table, at: usize) -> Self {
        let column = &table.columns[at];
        let guarded = match rule {
            Rule::Code => column.values.is_none(),
            Rule::Keep => column.kind != Kind::Boolean && column.values.is_none(),
            _ => false,
        };
        // A key that is another table's key as well (one row per patient) stays that table's key: rows must still join.
        let key_table = column.references.as_deref().unwrap_or(&table.name);
        Self {
            rule,
            reason,
            key_of: (rule == Rule::Pseudonym).then(|| model.find(key_table)).flatten(),
            guarded,
        }
    }
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Decimal => "decimal",
        Kind::Text => "text",
        Kind::PartialDate => "partial date",
        Kind::Date => "date",
        Kind::DateTime => "date and time",
        Kind::Time => "time of day",
        Kind::Key => "integer key",
    }
}

/// A sentence no honest pattern of a code lets through; one that does is no pattern at all.
const FREE_TEXT: &str = "Seen on 3/4/2010 with mother: John O'Neil, (617) 555-0100.";

fn free_text(basis: Basis, column: &Column) -> Option<String> {
    match column.kind {
        Kind::Boolean | Kind::Integer | Kind::Decimal => None,
        Kind::PartialDate | Kind::Date | Kind::DateTime => Some("a date is never kept whole: use `year`, `shift` or `birth-date`".into()),
        // A time of day is an element of a date under Safe Harbor; alone it tells nothing of the day.
        Kind::Time if basis == Basis::LimitedDataSet => None,
        Kind::Time => Some("a time of day is an element of a date: safe-harbor leaves `drop`".into()),
        Kind::Key => Some("a key is never kept: use `pseudonym`".into()),
        Kind::Text if column.values.is_some() => None,
        Kind::Text => match &column.pattern {
            Some(pattern) if is_anchored(pattern.as_str()) && !pattern.is_match(FREE_TEXT) => None,
            Some(_) => Some("`keep` needs a `pattern` that is anchored (^…$) and does not let free text through".into()),
            None => Some("`keep` on text without `enum` or anchored `pattern` would let free text out: use `code` or `drop`".into()),
        },
    }
}

fn code(column: &Column) -> Option<String> {
    if column.kind != Kind::Text {
        return Some(format!("`code` is for text columns, this one is {}", kind_word(column.kind)));
    }
    match column.max_length {
        Some(length) if length <= 64 => None,
        _ if column.values.is_some() => None,
        _ => Some("`code` needs a `maxLength` of at most 64".into()),
    }
}

fn pseudonym(column: &Column, is_key: bool) -> Option<String> {
    if column.kind == Kind::Key {
        return None;
    }
    if column.kind != Kind::Text {
        return Some(format!("`pseudonym` is for text columns, this one is {}", kind_word(column.kind)));
    }
    if column.references.is_none() && !is_key {
        return Some("`pseudonym` needs `x-references`: the table whose key the column holds".into());
    }
    let sample = crate::cdm::Cell::Text("0123456789abcdef0123456789abcdef".into());
    column
        .check(&sample)
        .err()
        .map(|rule| format!("a pseudonym of 32 hex digits breaks the schema's `{rule}`"))
}

/// Whether the whole text must match: `^` first, `$` last, and no `|` outside brackets in between.
fn is_anchored(pattern: &str) -> bool {
    let Some(inner) = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) else {
        return false;
    };
    let (mut depth, mut class, mut escaped) = (0usize, false, false);
    for byte in inner.bytes() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b']' if class => class = false,
            _ if class => {}
            b'[' => class = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return false,
            _ => {}
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_anchored_only_when_both_ends_hold_for_every_alternative() {
        for good in ["^a$", "^(a|b)$", r"^[|a]{3}\d$", r"^a\|b$", r"^(https?|urn)://[^\s]+$"] {
            assert!(is_anchored(good), "{good}");
        }
        for bad in ["a$", "^a", "a", "^a|b$", r"^a\$", "^(a)|b$"] {
            assert!(!is_anchored(bad), "{bad}");
        }
    }

    #[test]
    fn a_site_may_tighten_and_never_loosen() {
        for rule in Rule::ALL {
            assert!(rule.may_become(rule));
            assert_eq!(rule.may_become(Rule::Drop), rule != Rule::Pseudonym);
            assert!(rule == Rule::Drop || !Rule::Drop.may_become(rule));
        }
        assert!(Rule::Zip5.may_become(Rule::Zip3));
        assert!(!Rule::Zip3.may_become(Rule::Zip5));
        assert!(Rule::Zip9.may_become(Rule::Zip5) && !Rule::Zip5.may_become(Rule::Zip9));
        assert!(Rule::Shift.may_become(Rule::Year));
        assert!(!Rule::Year.may_become(Rule::Shift));
        assert!(
            !Rule::BirthDate.may_become(Rule::Year),
            "a plain year would bring back the ninety-year-old"
        );
        assert!(!Rule::Code.may_become(Rule::Keep));
    }

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
