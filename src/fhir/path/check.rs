//! What an expression will give, by R4's tables: used to refuse a misspelt element before any data is seen, and to find
//! the straight way to a value (`fast`). Where a type is not known, nothing is refused.

use super::PathError;
use super::ast::{Call, Expr, Literal, Member, Step, TypeName, Variable};
use super::function::Function as F;
use super::types::{is_kept_as, is_known};
use crate::fhir::name::Name;
use crate::fhir::types::TypeId;

/// The types that a collection's items may have; `None` when anything may come.
pub type Typing = Option<Vec<TypeId>>;

pub(super) struct Checker<'s> {
    pub source: &'s str,
    /// Refuse elements and types that R4 does not have.
    pub strict: bool,
    /// What `%context` and `%resource` are.
    pub focus: Typing,
    pub resource: Typing,
}

impl Checker<'_> {
    /// # Errors: when strict, the first element or type that R4 does not have.
    pub(super) fn expr(&self, expr: &Expr, this: &Typing) -> Result<Typing, PathError> {
        match expr {
            Expr::Literal(_) | Expr::Empty | Expr::Index | Expr::Total => Ok(None),
            Expr::This => Ok(this.clone()),
            Expr::Variable(variable, _) => Ok(match variable {
                Variable::Context => self.focus.clone(),
                Variable::Resource | Variable::RootResource => self.resource.clone(),
                _ => None,
            }),
            Expr::Path { head, steps } => {
                let mut current = match head {
                    Some(head) => self.expr(head, this)?,
                    None => this.clone(),
                };
                let mut vague = false;
                for (place, step) in steps.iter().enumerate() {
                    if place == 0 && head.is_none() && names_type(step, &current) {
                        continue;
                    }
                    vague = match step {
                        Step::Call(call) => call.function == F::Resolve || (vague && call.function.keeps_items()),
                        Step::At(..) => vague,
                        Step::Member(member) if vague && self.strict => {
                            let message = format!(
                                "a reference may lead to any type: write `resolve().ofType(…).{}`, with the type that is meant",
                                member.text
                            );
                            return Err(PathError::at(self.source, member.at as usize, message));
                        }
                        Step::Member(_) => false,
                    };
                    current = self.step(step, current, this)?;
                }
                Ok(current)
            }
            Expr::Chain { first, rest } => {
                let mut all = self.expr(first, this)?;
                for (operator, _, right) in rest {
                    let right = self.expr(right, this)?;
                    all = match operator {
                        super::ast::Operator::Union => both(all, right),
                        _ => None,
                    };
                }
                Ok(all)
            }
            Expr::Negate(operand, _) => {
                self.expr(operand, this)?;
                Ok(None)
            }
            Expr::TypeTest { operand, keep, type_name } => {
                let operand = self.expr(operand, this)?;
                if self.strict || *keep {
                    self.type_name(type_name)?;
                }
                Ok(if *keep { narrowed(operand, &type_name.name) } else { None })
            }
        }
    }

    fn step(&self, step: &Step, current: Typing, this: &Typing) -> Result<Typing, PathError> {
        match step {
            Step::Member(member) => self.member(member, &current),
            Step::At(index, _) => {
                self.expr(index, this)?;
                Ok(current)
            }
            Step::Call(call) => self.call(call, current, this),
        }
    }

    fn member(&self, member: &Member, current: &Typing) -> Result<Typing, PathError> {
        let Some(types) = current else { return Ok(None) };
        let mut found: Vec<TypeId> = Vec::new();
        let mut open = false;
        for &type_id in types {
            // Any resource may stand here, so any element may.
            open |= type_id == TypeId::RESOURCE;
            if self.strict
                && let Some(child) = type_id.child(member.name).filter(|_| !member.name.is_companion())
                && let Some(stem) = type_id.stem(child)
            {
                let kind = child.type_id.as_str();
                let message = format!("`{}` is one type of a choice: write `{stem}.ofType({kind})`", member.text);
                return Err(PathError::at(self.source, member.at as usize, message));
            }
            for child in element(type_id, member) {
                if !found.contains(&child) {
                    found.push(child);
                }
            }
        }
        if open {
            return Ok(None);
        }
        if !found.is_empty() {
            return Ok(Some(found));
        }
        if self.strict {
            let message = match types.as_slice() {
                [one] => format!("`{}` has no element `{}`", one.as_str(), member.text),
                _ => format!("no type that may stand here has an element `{}`", member.text),
            };
            return Err(PathError::at(self.source, member.at as usize, message));
        }
        Ok(None)
    }

    fn type_name(&self, type_name: &TypeName) -> Result<(), PathError> {
        if !is_known(type_name) {
            return Err(PathError::at(
                self.source,
                type_name.at as usize,
                format!("`{}` is no type of FHIR R4", type_name.name),
            ));
        }
        Ok(())
    }

    fn call(&self, call: &Call, current: Typing, this: &Typing) -> Result<Typing, PathError> {
        if let Some(type_name) = call
            .type_name
            .as_ref()
            .filter(|_| self.strict || matches!(call.function, F::As | F::OfType))
        {
            self.type_name(type_name)?;
        }
        if call.function == F::Iif
            && let Some(Expr::Literal(literal)) = call.arguments.first()
            && !matches!(literal, Literal::Boolean(_))
        {
            let message = "`iif()` begins with a condition, which is true or false";
            return Err(PathError::at(self.source, call.at as usize, message));
        }
        // Arguments of a filter or projection are asked of each item.
        let inner = match call.function.arguments() {
            super::function::Arguments::EachItem if call.function == F::Repeat => &None,
            super::function::Arguments::EachItem => &current,
            _ => this,
        };
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.expr(argument, inner)?);
        }
        let mut arguments = arguments.into_iter();
        Ok(match call.function {
            function if function.keeps_items() => current,
            F::Select => arguments.next().flatten(),
            F::Union | F::Combine => both(current, arguments.next().flatten()),
            F::Iif => match (arguments.nth(1).flatten(), arguments.next()) {
                (then, Some(otherwise)) => both(then, otherwise),
                (then, None) => then,
            },
            F::OfType | F::As => match &call.type_name {
                Some(type_name) => narrowed(current, &type_name.name),
                None => None,
            },
            F::Resolve => Some(vec![TypeId::RESOURCE]),
            F::Extension => TypeId::of("Extension").map(|extension| vec![extension]),
            _ => None,
        })
    }
}

/// Whether `Patient` at the beginning of a path only says what the focus is.
pub(super) fn names_type(step: &Step, current: &Typing) -> bool {
    let (Step::Member(member), Some(types)) = (step, current) else {
        return false;
    };
    match types.as_slice() {
        [one] => one.as_str() == member.text || (one.is_resource() && matches!(member.text.as_str(), "Resource" | "DomainResource")),
        _ => false,
    }
}

/// The types that the element may have: one, or all of a choice.
fn element(type_id: TypeId, member: &Member) -> Vec<TypeId> {
    if member.name != Name::UNKNOWN
        && !member.name.is_companion()
        && let Some(child) = type_id.child(member.name)
    {
        return vec![child.type_id];
    }
    type_id.choice(&member.text).iter().map(|child| child.type_id).collect()
}

fn both(a: Typing, b: Typing) -> Typing {
    let (mut a, b) = (a?, b?);
    for type_id in b {
        if !a.contains(&type_id) {
            a.push(type_id);
        }
    }
    Some(a)
}

fn narrowed(current: Typing, name: &str) -> Typing {
    match current {
        Some(types) => {
            let fitting: Vec<_> = types.into_iter().filter(|&type_id| is_kept_as(type_id, name)).collect();
            if fitting.is_empty() {
                TypeId::of(name).map(|type_id| vec![type_id])
            } else {
                Some(fitting)
            }
        }
        None => TypeId::of(name).map(|type_id| vec![type_id]),
    }
}
