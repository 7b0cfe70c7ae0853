//! Which columns each rule may stand on, under which basis.
//! Knows shapes of columns, not the file the rules are written in; `policy_file` reads that.

use super::method::{Detail, Method};
use super::rule::{Basis, Rule};
use crate::cdm::{Cell, Column, Kind, Model, Table, TableId};

impl Method {
    /// Why the rule may not stand on this column under this basis; `None` if it may.
    pub(super) fn fault(&self, basis: Basis, model: &Model, table: &Table, at: usize) -> Option<String> {
        let (rule, column) = (self.rule, &table.columns[at]);
        let is_key = at == table.key || table.patient == Some(at);
        if is_key && !matches!(rule, Rule::Pseudonym | Rule::Surrogate) {
            return Some("is a key: only `pseudonym` or `surrogate` may stand here".into());
        }
        let needs_patient = matches!(
            rule,
            Rule::Shift | Rule::BirthDate | Rule::BirthYear | Rule::Surrogate | Rule::Redact
        );
        if needs_patient && table.patient.is_none() {
            return Some(format!("`{}` needs a patient, and the table has no `x-patient`", rule.as_str()));
        }
        if column.required && rule == Rule::Drop {
            return Some("is required by the table's schema: `drop` would refuse every row".into());
        }
        if let Some(fault) = forbidden(rule, basis, column) {
            return Some(fault);
        }
        let kinds: &[Kind] = match rule {
            Rule::Drop => return None,
            Rule::Keep => return free_text(basis, column),
            Rule::Code => return code(column),
            Rule::Pseudonym => return pseudonym(rule, column, at == table.key),
            Rule::Surrogate => return pseudonym(rule, column, at == table.key).or_else(|| of_nobody(model, table, at)),
            Rule::Year => &[Kind::PartialDate, Kind::Date, Kind::DateTime, Kind::Integer],
            Rule::BirthYear => &[Kind::PartialDate, Kind::Integer],
            Rule::Month | Rule::Shift | Rule::BirthDate => &[Kind::PartialDate, Kind::Date, Kind::DateTime],
            Rule::Age | Rule::AgeBand | Rule::Perturb => &[Kind::Integer, Kind::Decimal],
            Rule::RollUp => &[Kind::Text, Kind::Integer],
            Rule::Zip3 | Rule::Zip5 | Rule::Zip9 | Rule::State | Rule::Redact => &[Kind::Text],
        };
        if kinds.contains(&column.kind) {
            return noise(&self.detail, column).or_else(|| roll_up(&self.detail, column));
        }
        let words: Vec<_> = kinds.iter().map(|kind| kind_word(*kind)).collect();
        Some(format!(
            "`{}` is for {} columns, this one is {}",
            rule.as_str(),
            words.join(" or "),
            kind_word(column.kind)
        ))
    }
}

/// What the basis itself forbids, whatever the column holds.
fn forbidden(rule: Rule, basis: Basis, column: &Column) -> Option<String> {
    let fault = match (basis, rule) {
        (Basis::SafeHarbor, Rule::Shift) => "a shifted date is still a full date: safe-harbor leaves `year`",
        (Basis::SafeHarbor, Rule::Zip5 | Rule::Zip9) => "safe-harbor leaves `zip3`, never five digits",
        (Basis::SafeHarbor, Rule::BirthDate) if column.required => {
            "is required by the table's schema, but must be empty for a patient over 89"
        }
        (Basis::SafeHarbor, Rule::Redact) => "what is left of a text may still name somebody: safe-harbor leaves `drop`",
        (Basis::LimitedDataSet, Rule::Redact) => {
            "a day that stays in a text beside moved days would tell the shift: `redact` is for expert"
        }
        (Basis::SafeHarbor, Rule::Perturb) => {
            "a number that names nobody needs no noise, and one that does needs `drop`: `perturb` is for limited-data-set and expert"
        }
        (Basis::SafeHarbor, Rule::Month) => "a month is an element of a date: safe-harbor leaves `year`",
        (Basis::LimitedDataSet, Rule::Month) => "a true month beside shifted days would tell the shift: `month` is for expert",
        _ => return None,
    };
    Some(fault.into())
}

/// A surrogate hangs on a patient: a key that rows about nobody have as well could not be joined.
fn of_nobody(model: &Model, table: &Table, at: usize) -> Option<String> {
    let name = table.columns[at].references.as_deref()?;
    let of = model.find(name).map(|id| model.table(id))?;
    of.patient.is_none().then(|| {
        format!("`surrogate` differs from patient to patient, and the rows of `{name}` are about none: use `pseudonym`, so that rows join")
    })
}

/// A whole number can only move by whole steps.
fn noise(detail: &Detail, column: &Column) -> Option<String> {
    let Detail::Within(bound) = detail else { return None };
    let whole = column.kind != Kind::Integer || bound.is_whole();
    (!whole).then(|| "a whole number moves by whole steps: `within` is one, too".into())
}

/// Every code the map can give must fit the column.
fn roll_up(detail: &Detail, column: &Column) -> Option<String> {
    let Detail::RollUp(map) = detail else { return None };
    if column.required && map.otherwise().is_none() {
        return Some("is required by the table's schema: say with `otherwise` what a code becomes that the map does not have".into());
    }
    let bad = map.targets().find_map(|target| {
        let cell = match column.kind {
            Kind::Integer => target.parse().map(Cell::Integer).unwrap_or(Cell::Text(target.into())),
            _ => Cell::Text(target.into()),
        };
        column.check(&cell).err()
    })?;
    Some(format!("a code of the ConceptMap breaks the schema's `{bad}`"))
}

/// What happens to one column.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub rule: Rule,
    pub detail: Detail,
    pub reason: String,
    /// For a pseudonym: the table whose key the column holds.
    pub key_of: Option<TableId>,
    /// Whether the rule itself does not guarantee that no identifier is in the text.
    pub guarded: bool,
    /// Whether it leaves as it is and says in what unit the row's numbers are.
    pub is_unit: bool,
}

impl Plan {
    pub(super) fn method(&self) -> Method {
        Method {
            rule: self.rule,
            detail: self.detail.clone(),
        }
    }

    /// The plan for the column at `at`.
    pub(super) fn of(method: Method, reason: String, model: &Model, table: &Table, at: usize) -> Self {
        let column = &table.columns[at];
        let Method { rule, detail } = method;
        let guarded = match rule {
            Rule::Redact | Rule::Perturb => true,
            Rule::Code => column.values.is_none(),
            Rule::Keep => column.kind != Kind::Boolean && column.values.is_none(),
            _ => false,
        };
        // A key that is another table's key as well (one row per patient) stays that table's key: rows must still join.
        let key_table = column.references.as_deref().unwrap_or(&table.name);
        Self {
            rule,
            detail,
            reason,
            key_of: matches!(rule, Rule::Pseudonym | Rule::Surrogate)
                .then(|| model.find(key_table))
                .flatten(),
            guarded,
            is_unit: matches!(rule, Rule::Keep | Rule::Code) && column.name.split('_').any(|word| word == "unit"),
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
        Kind::Time if basis != Basis::SafeHarbor => None,
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

fn pseudonym(rule: Rule, column: &Column, is_key: bool) -> Option<String> {
    let word = rule.as_str();
    if column.kind == Kind::Key {
        return None;
    }
    if column.kind != Kind::Text {
        return Some(format!("`{word}` is for text columns, this one is {}", kind_word(column.kind)));
    }
    if column.references.is_none() && !is_key {
        return Some(format!("`{word}` needs `x-references`: the table whose key the column holds"));
    }
    let sample = Cell::Text("0123456789abcdef0123456789abcdef".into());
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
}
