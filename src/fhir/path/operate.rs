//! Operators on whole collections: which sides are looked at, how many items each may have, what comes out. What two numbers
//! make is in `operator`, what is equal in `compare`.

use std::cmp::Ordering;

use super::ast::{Expr, Literal, Operator, Step, Variable};
use super::compare::{collections_equal, collections_equivalent, compare, contains};
use super::eval::{Answer, Evaluator, Fault, MAX_TEXT, Scope, boolean, room, single, text, too_long, truth};
use super::items::Collection;
use super::operator::arithmetic;
use super::value::{Element, Item, Text};
use crate::fhir::tree::Kind;

impl<'t, 'a> Evaluator<'_, 't, 'a> {
    /// `system = 'http://loinc.org'`, by far the most frequent condition, without making items: a text in the line on the
    /// left, a text on the right. `None`: not that simple, or both may be dates.
    pub(super) fn quick_equal(&self, left: &'t Expr, right: &'t Expr, scope: &Scope<'t, 'a>) -> Option<bool> {
        let (Expr::Path { head: None, steps }, Item::Element(Element { node: Some(node), .. })) = (left, &scope.this) else {
            return None;
        };
        let [Step::Member(member)] = steps.as_slice() else {
            return None;
        };
        let literal = match right {
            Expr::Literal(literal) => literal,
            Expr::Variable(Variable::Constant(at), _) => self.context.constants.get(*at)?,
            _ => return None,
        };
        let Literal::Text(text) = literal else { return None };
        if !member.name.is_known() || node.kind() != Kind::Object {
            return None;
        }
        let found = node.get(member.name).filter(|found| found.kind() == Kind::String)?;
        let equal = found.is_text(text);
        let dated = text.starts_with(|c: char| c.is_ascii_digit());
        (equal || !dated).then_some(equal)
    }

    pub(super) fn negate(&self, operand: &'t Expr, at: u32, scope: &Scope<'t, 'a>) -> Answer<'t, 'a> {
        let operand = self.eval(operand, scope)?;
        let Some(item) = single(&operand, at)? else {
            return Ok(Collection::None);
        };
        Ok(Collection::One(match item.clone().plain() {
            Item::Integer(number) => Item::Integer(number.checked_neg().ok_or(Fault {
                rule: "the number is out of range",
                at,
            })?),
            Item::Decimal(number) => Item::Decimal(number.negated()),
            Item::Quantity(number, unit) => Item::Quantity(number.negated(), unit),
            _ => {
                return Err(Fault {
                    rule: "only a number has a sign",
                    at,
                });
            }
        }))
    }

    pub(super) fn operate(
        &self,
        operator: Operator,
        at: u32,
        left: Collection<'t, 'a>,
        right: &'t Expr,
        scope: &Scope<'t, 'a>,
    ) -> Answer<'t, 'a> {
        if matches!(operator, Operator::And | Operator::Or | Operator::Xor | Operator::Implies) {
            let left = truth(&left, at)?;
            // The answer may stand already; the right side is then not looked at.
            match (operator, left) {
                (Operator::And, Some(false)) => return Ok(boolean(Some(false))),
                (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => return Ok(boolean(Some(true))),
                _ => {}
            }
            let right = truth(&self.eval(right, scope)?, at)?;
            return Ok(boolean(logic(operator, left, right)));
        }
        let right = self.eval(right, scope)?;
        self.context.spend(left.len() + right.len(), at)?;
        let answer = self.both(operator, at, left, right)?;
        self.context.spend(answer.copied(), at)?;
        Ok(answer)
    }

    /// An operator that looks at both sides.
    fn both(&self, operator: Operator, at: u32, left: Collection<'t, 'a>, right: Collection<'t, 'a>) -> Answer<'t, 'a> {
        let work = &self.context.work;
        Ok(match operator {
            Operator::Equal => boolean(collections_equal(&left, &right, work)),
            Operator::NotEqual => boolean(collections_equal(&left, &right, work).map(|equal| !equal)),
            Operator::Equivalent => boolean(Some(collections_equivalent(&left, &right, work))),
            Operator::NotEquivalent => boolean(Some(!collections_equivalent(&left, &right, work))),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                let (Some(a), Some(b)) = (single(&left, at)?, single(&right, at)?) else {
                    return Ok(Collection::None);
                };
                work.add(a.weight() + b.weight());
                let order = compare(a, b).map_err(|rule| Fault { rule, at })?;
                boolean(order.map(|order| match operator {
                    Operator::Less => order == Ordering::Less,
                    Operator::LessOrEqual => order != Ordering::Greater,
                    Operator::Greater => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                }))
            }
            Operator::Union => self.distinct(left, right, at)?,
            Operator::In | Operator::Contains => {
                let (item, all) = if operator == Operator::In {
                    (&left, &right)
                } else {
                    (&right, &left)
                };
                match single(item, at)? {
                    None => Collection::None,
                    Some(item) => boolean(Some(contains(all, item, work))),
                }
            }
            Operator::Concatenate => {
                self.context.spend(left.weight() + right.weight(), at)?;
                let part = |side: &Collection<'t, 'a>| Ok(single(side, at)?.and_then(Item::to_text));
                let (a, b): (Option<Text<'t, 'a>>, Option<Text<'t, 'a>>) = (part(&left)?, part(&right)?);
                joined(a.as_deref().unwrap_or(""), b.as_deref().unwrap_or(""), at)?
            }
            _ => {
                let (Some(a), Some(b)) = (single(&left, at)?, single(&right, at)?) else {
                    return Ok(Collection::None);
                };
                self.context.spend(a.weight() + b.weight(), at)?;
                match (a.clone().plain(), b.clone().plain()) {
                    (Item::Text(a), Item::Text(b)) if operator == Operator::Add => joined(&a, &b, at)?,
                    (a, b) => arithmetic(operator, a, b).map_err(|rule| Fault { rule, at })?.into(),
                }
            }
        })
    }

    /// The items of both without repetition, in order.
    pub(super) fn distinct(&self, left: Collection<'t, 'a>, right: Collection<'t, 'a>, at: u32) -> Answer<'t, 'a> {
        let mut out = Collection::None;
        for item in left.into_iter().chain(right) {
            self.context.spend(1, at)?;
            if !contains(&out, &item, &self.context.work) {
                out.push(item);
            }
        }
        self.context.spend(0, at)?;
        room(out, at)
    }
}

/// Two texts as one, if it is not too long.
fn joined<'t, 'a>(a: &str, b: &str, at: u32) -> Answer<'t, 'a> {
    if a.len() + b.len() > MAX_TEXT {
        return too_long(at);
    }
    text(format!("{a}{b}"), at)
}

fn logic(operator: Operator, left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match operator {
        Operator::And => match (left, right) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Operator::Or => match (left, right) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Operator::Xor => Some(left? != right?),
        _ => match (left, right) {
            (Some(false), _) | (_, Some(true)) => Some(true),
            (Some(true), right) => right,
            (None, _) => None,
        },
    }
}
