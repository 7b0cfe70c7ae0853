//! Which questions are asked of a response: `enableWhen`, `enableBehavior`, or an expression. A condition looks at the answers to
//! another question in the innermost item that both stand in. Where it cannot be told (the other question is not in the
//! Questionnaire, an answer does not compare, an expression is not run) nothing is asked and nothing is forbidden.
//! FHIR R4 Questionnaire.item.enableWhen; of several answers one must fit, as in HL7's own validator.

use std::cmp::Ordering;

use super::form::Question;
use super::value::{DEPTH, Value, chosen, list, text};
use super::walk::Hold;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::validate::issues::Stop;
use crate::validate::profile::{Here, Invariant, Item};

#[derive(Debug, Default)]
pub(super) struct Enable {
    pub when: Vec<Condition>,
    pub behavior: Option<String>,
    /// There is an expression; it may be one that is not run.
    pub expression: Option<Option<Invariant>>,
}

#[derive(Debug)]
pub(super) struct Condition {
    /// The other question.
    pub target: Option<u32>,
    /// The question within which both stand; none if that is the Questionnaire.
    pub within: Option<u32>,
    operator: Option<Operator>,
    answer: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    Equal,
    NotEqual,
    Greater,
    Less,
    NotLess,
    NotGreater,
}

impl Condition {
    /// The condition, and the `linkId` of the other question.
    pub fn read(when: Node<'_, '_>) -> (Self, String) {
        let operator = text(when, Name::of("operator"));
        let operator = operator.and_then(|operator| {
            Some(match operator.as_str() {
                "exists" => Operator::Exists,
                "=" => Operator::Equal,
                "!=" => Operator::NotEqual,
                ">" => Operator::Greater,
                "<" => Operator::Less,
                ">=" => Operator::NotLess,
                "<=" => Operator::NotGreater,
                _ => return None,
            })
        });
        let condition = Self {
            target: None,
            within: None,
            operator,
            answer: Value::read(when, "answer"),
        };
        (condition, text(when, Name::of("question")).unwrap_or_default())
    }

    /// Whether one answer fits; none where that cannot be told.
    fn fits(&self, operator: Operator, answer: Node<'_, '_>) -> Option<bool> {
        let Some((sort, node)) = chosen(answer, "value") else {
            return Some(false);
        };
        let wanted = self.answer.as_ref()?;
        if let Operator::Equal | Operator::NotEqual = operator {
            return wanted.equals(sort, node).map(|equal| equal == (operator == Operator::Equal));
        }
        let order = wanted.compare(sort, node)?;
        Some(match operator {
            Operator::Greater => order == Ordering::Greater,
            Operator::Less => order == Ordering::Less,
            Operator::NotLess => order != Ordering::Less,
            _ => order != Ordering::Greater,
        })
    }
}

/// One of several is true; where none is and one is open, that is open.
fn any(found: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut open = false;
    for one in found {
        match one {
            Some(true) => return Some(true),
            Some(false) => {}
            None => open = true,
        }
    }
    (!open).then_some(false)
}

impl<'h, 't, 'a> Hold<'h, '_, '_, 't, 'a, '_> {
    /// Whether the question is asked where the walk stands; none where that cannot be told.
    pub(super) fn enabled(&mut self, question: &'h Question) -> Result<Option<bool>, Stop> {
        let enable = &question.enable;
        if let Some(expression) = &enable.expression {
            let Some(expression) = expression else { return Ok(None) };
            let item = Item {
                node: Some(self.response),
                under: None,
                kind: TypeId::of("QuestionnaireResponse"),
                name: Name::NONE,
            };
            let (holds, steps) = expression.holds(&Here::top(self.response), &item);
            self.walk.spend(u64::from(steps) + 1)?;
            return Ok(Some(holds));
        }
        if enable.when.is_empty() {
            return Ok(Some(true));
        }
        let mut found = Vec::with_capacity(enable.when.len());
        for condition in &enable.when {
            found.push(self.condition(condition)?);
        }
        Ok(match (enable.behavior.as_deref(), found.as_slice()) {
            (Some("all"), all) => any(all.iter().map(|one| one.map(|one| !one))).map(|any_not| !any_not),
            (Some("any"), _) | (_, [_]) => any(found.into_iter()),
            // R4 asks for a behavior where there are several; HL7's validator goes on as if all were met.
            _ => Some(true),
        })
    }

    fn condition(&mut self, condition: &Condition) -> Result<Option<bool>, Stop> {
        let form = self.form;
        let (Some(target), Some(operator)) = (condition.target, condition.operator) else {
            return Ok(None);
        };
        let link = form.question(target).link.as_str();
        let mut answers = Vec::new();
        match condition.within {
            None => self.gather(self.response, link, &mut answers, 0)?,
            Some(within) => {
                let Some((_, item)) = self.above.iter().rev().find(|(number, _)| *number == within).copied() else {
                    return Ok(None);
                };
                if within == target {
                    answers.extend(list(item, self.names.answer));
                }
                self.gather(item, link, &mut answers, 0)?;
            }
        }
        if operator == Operator::Exists {
            let Some(wanted) = condition.answer.as_ref().and_then(Value::boolean) else {
                return Ok(None);
            };
            let is_answered = answers.iter().any(|answer| chosen(*answer, "value").is_some());
            return Ok(Some(is_answered == wanted));
        }
        Ok(any(answers.into_iter().map(|answer| condition.fits(operator, answer))))
    }

    /// The answers to the question below `holder`, which is the response, an item or an answer.
    fn gather(&mut self, holder: Node<'t, 'a>, link: &str, found: &mut Vec<Node<'t, 'a>>, depth: usize) -> Result<(), Stop> {
        self.walk.spend(1)?;
        if depth > 2 * DEPTH {
            return Ok(());
        }
        for item in list(holder, self.names.item) {
            let own = item.get(self.names.link_id).filter(|own| own.kind() == Kind::String);
            if own.is_some_and(|own| own.is_text(link)) {
                found.extend(list(item, self.names.answer));
            }
            self.gather(item, link, found, depth + 1)?;
        }
        for answer in list(holder, self.names.answer) {
            self.gather(answer, link, found, depth + 1)?;
        }
        Ok(())
    }
}
