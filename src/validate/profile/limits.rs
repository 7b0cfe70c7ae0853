//! `maxLength`, `minValue[x]`, `maxValue[x]`. What cannot be compared (another unit, another precision) is not beyond a limit.

use std::cmp::Ordering;

use super::rule::{Bound, Limits};
use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::path::Temporal;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::ucum::Unit;

/// The rule that the value breaks.
pub(super) fn fault(limits: &Limits, node: Node<'_, '_>) -> Option<&'static str> {
    // As many bytes hold at most as many characters.
    if let Some(most) = limits.length
        && node.kind() == Kind::String
        && node.size() > most
        && node.text().chars().count() > most
    {
        return Some("longer than allowed");
    }
    let compared = |bound: &Option<Bound>| bound.as_ref().and_then(|bound| compare(node, bound));
    if compared(&limits.least) == Some(Ordering::Less) {
        return Some("less than allowed");
    }
    if compared(&limits.most) == Some(Ordering::Greater) {
        return Some("more than allowed");
    }
    None
}

fn compare(node: Node<'_, '_>, bound: &Bound) -> Option<Ordering> {
    match bound {
        Bound::Number(bound) if node.kind() == Kind::Number => Decimal::parse(node.raw())?.partial_cmp(bound),
        Bound::Moment(bound) if node.kind() == Kind::String => {
            let text = node.text();
            let moment = Temporal::date_time(&text)
                .or_else(|| Temporal::date(&text))
                .or_else(|| Temporal::time(&text))?;
            moment.compare(bound)
        }
        Bound::Quantity(bound, unit) if node.kind() == Kind::Object => {
            let number = Decimal::parse(node.get(Name::of("value"))?.raw())?;
            let code = node.get(Name::CODE).filter(|code| code.kind() == Kind::String)?.text();
            if code == unit.as_str() {
                return number.partial_cmp(bound);
            }
            let (number, bound) = Unit::parse(&code)?.comparable(number, &Unit::parse(unit)?, *bound)?;
            number.partial_cmp(&bound)
        }
        _ => None,
    }
}
