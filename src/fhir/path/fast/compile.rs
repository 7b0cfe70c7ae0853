//! From an expression to its straight way, where it has one. Types are known here, so that a text is only compared with
//! a text, never with a date.

use super::test::{DAY, Operand, Search, Test};
use super::way::{End, Hop, Member, Way};
use super::{Choice, Fast, Several};
use crate::fhir::datetime::Form;
use crate::fhir::path::ast::{Call, Expr, Literal, Operator, Step, Variable};
use crate::fhir::path::check::names_type;
use crate::fhir::path::function::Function as F;
use crate::fhir::path::types::is_kept_as;
use crate::fhir::types::{Child, Primitive, TypeId};

pub(super) fn value(expr: &Expr, focus: TypeId) -> Option<Fast> {
    match expr {
        Expr::Literal(literal @ (Literal::Boolean(_) | Literal::Integer(_) | Literal::Text(_))) => Some(Fast::Literal(literal.clone())),
        Expr::Empty => Some(Fast::Nothing),
        Expr::Path { head: None, steps } => match steps.as_slice() {
            [Step::Call(call)] if call.function == F::Iif => choice(call, focus),
            _ => one_value(expr, focus),
        },
        Expr::Path { head: Some(head), steps } => match steps.as_slice() {
            [Step::Call(call)] if call.function == F::First && matches!(**head, Expr::Chain { .. }) => {
                union(head, focus).map(|ways| Fast::First(ways.into()))
            }
            _ => one_value(expr, focus).or_else(|| several(head, steps, true, focus)),
        },
        Expr::Chain { .. } => one_value(expr, focus).or_else(|| several(expr, &[], true, focus)),
        _ => one_value(expr, focus),
    }
}

/// `(a | b).steps`; with `distinct` false, of `a.combine(b)`.
fn several(union_of: &Expr, steps: &[Step], distinct: bool, focus: TypeId) -> Option<Fast> {
    let typed = union_typed(union_of, focus)?;
    let current = common(&typed)?;
    let ways = typed.into_iter().map(|(way, _)| way).collect();
    let (tail, _) = steps_way(None, steps, current).filter(|(tail, _)| tail.end != End::ResourceKey)?;
    Some(Fast::Several(Box::new(Several { ways, distinct, tail })))
}

/// The type of all, as far as it is known.
fn common(typed: &[(Way, TypeId)]) -> Option<TypeId> {
    let mut known = typed
        .iter()
        .map(|(_, type_id)| *type_id)
        .filter(|type_id| *type_id != TypeId::RESOURCE);
    let first = known.next()?;
    known.all(|other| other == first).then_some(first)
}

fn one_value(expr: &Expr, focus: TypeId) -> Option<Fast> {
    if let Some(combined) = combined(expr, focus) {
        return Some(combined);
    }
    // A test knows more of its functions than a way, which would ask `eval` from there on.
    let tested = test(expr, focus, false).map(Fast::Test);
    tested.or_else(|| way(expr, focus).map(|(way, _)| Fast::Way(way)))
}

/// `a.combine(b)`
fn combined(expr: &Expr, focus: TypeId) -> Option<Fast> {
    let Expr::Path { head, steps } = expr else { return None };
    let (Step::Call(call), before) = steps.split_last()? else {
        return None;
    };
    if call.function != F::Combine {
        return None;
    }
    let typed = vec![steps_way(head.as_deref(), before, focus)?, way(call.arguments.first()?, focus)?];
    let typed: Vec<_> = typed.into_iter().filter(|(way, _)| way.end == End::Value).collect();
    let current = common(&typed).filter(|_| typed.len() == 2)?;
    let (tail, _) = steps_way(None, &[], current)?;
    Some(Fast::Several(Box::new(Several {
        ways: typed.into_iter().map(|(way, _)| way).collect(),
        distinct: false,
        tail,
    })))
}

fn choice(call: &Call, focus: TypeId) -> Option<Fast> {
    let (test_expr, then) = (call.arguments.first()?, call.arguments.get(1)?);
    let branch = |expr: &Expr| value(expr, focus).unwrap_or(Fast::Ask);
    let (test, then) = (test(test_expr, focus, true)?, branch(then));
    let itself = match (&test, &then) {
        (Test::Exists(ways), Fast::Way(way)) => matches!(ways.as_slice(), [asked] if asked.is_same_names(way)),
        _ => false,
    };
    Some(Fast::If(Box::new(Choice {
        test,
        then,
        itself,
        otherwise: call.arguments.get(2).map_or(Fast::Nothing, branch),
    })))
}

/// `a | b | c`, or one alone, all of nodes.
fn union(expr: &Expr, focus: TypeId) -> Option<Vec<Way>> {
    Some(union_typed(expr, focus)?.into_iter().map(|(way, _)| way).collect())
}

fn union_typed(expr: &Expr, focus: TypeId) -> Option<Vec<(Way, TypeId)>> {
    let nodes = |expr: &Expr| way(expr, focus).filter(|(way, _)| way.end == End::Value);
    let Expr::Chain { first, rest } = expr else {
        return Some(vec![nodes(expr)?]);
    };
    let mut ways = vec![nodes(first)?];
    for (operator, _, right) in rest {
        if *operator != Operator::Union {
            return None;
        }
        ways.push(nodes(right)?);
    }
    Some(ways)
}

/// A condition. Where a condition is asked for (`condition`), a boolean element may stand alone.
fn test(expr: &Expr, focus: TypeId, condition: bool) -> Option<Test> {
    match expr {
        Expr::Chain { first, rest } => {
            let operator = rest.first()?.0;
            if rest.iter().any(|(other, ..)| *other != operator) {
                return None;
            }
            match (operator, rest.as_slice()) {
                (Operator::And | Operator::Or, _) => {
                    let others = rest.iter().map(|(_, _, right)| test(right, focus, true).unwrap_or(Test::Ask));
                    let tests = std::iter::once(test(first, focus, true)?).chain(others).collect();
                    Some(merged(tests, operator))
                }
                (Operator::GreaterOrEqual, [(_, _, Expr::Literal(Literal::Integer(least)))]) => length(first, *least, focus),
                (Operator::Equal | Operator::NotEqual, [(_, _, right)]) => equal(first, right, operator == Operator::NotEqual, focus),
                _ => None,
            }
        }
        Expr::Path { head, steps } => {
            let Some((Step::Call(call), before)) = steps.split_last() else {
                return standing(expr, focus, condition);
            };
            let subject = || {
                let ways = match (head, before) {
                    (Some(head), []) => union(head, focus)?,
                    _ => vec![steps_way(head.as_deref(), before, focus)?.0],
                };
                ways.iter().all(|way| way.end != End::ResourceKey).then_some(ways)
            };
            match (call.function, call.arguments.as_slice()) {
                (F::Exists, []) => match (head, before) {
                    (None, [Step::Call(call)]) if call.function == F::Iif => Some(Test::Gives(Box::new(choice(call, focus)?))),
                    _ => Some(Test::Exists(subject()?)),
                },
                (F::All, [criteria]) => {
                    let (way, current) = steps_way(head.as_deref(), before, focus).filter(|(way, _)| way.end == End::Value)?;
                    let test = Box::new(test(criteria, current, true)?);
                    Some(Test::Every { way, test })
                }
                (F::Exists, [criteria]) => {
                    let (mut way, current) = steps_way(head.as_deref(), before, focus)?;
                    way.last.push(Hop::Where(test(criteria, current, true)?));
                    Some(Test::Exists(only_values(vec![way])?))
                }
                (F::Empty, []) => Some(Test::Empty(subject()?)),
                (F::Not, []) => match (head, before) {
                    (Some(head), []) => Some(Test::Not(Box::new(test(head, focus, true)?))),
                    _ => None,
                },
                (F::StartsWith | F::EndsWith | F::Contains | F::Matches, [argument]) => {
                    let (way, current) = steps_way(head.as_deref(), before, focus)?;
                    let search = search(call, argument)?;
                    (is_plain_text(current) && way.end == End::Value).then_some(Test::Text { way, search })
                }
                _ => standing(expr, focus, condition),
            }
        }
        _ => None,
    }
}

/// A boolean element as a condition.
fn standing(expr: &Expr, focus: TypeId, condition: bool) -> Option<Test> {
    let (way, current) = way(expr, focus).filter(|_| condition)?;
    (current.primitive() == Some(Primitive::Boolean) && way.end == End::Value).then_some(Test::Holds(way))
}

/// `value.toString().length() >= least`, which for a date asks whether it tells its day.
fn length(expr: &Expr, least: i64, focus: TypeId) -> Option<Test> {
    let least = usize::try_from(least).ok().filter(|least| *least <= DAY)?;
    let Expr::Path { head, steps } = expr else { return None };
    let [before @ .., Step::Call(text), Step::Call(length)] = steps.as_slice() else {
        return None;
    };
    if text.function != F::ToText || length.function != F::Length {
        return None;
    }
    let value = match (head, before) {
        (None, [Step::Call(call)]) if call.function == F::Iif => choice(call, focus)?,
        (Some(head), []) => value(head, focus)?,
        _ => Fast::Way(steps_way(head.as_deref(), before, focus)?.0),
    };
    Some(Test::Length {
        value: Box::new(value),
        least,
    })
}

fn only_values(ways: Vec<Way>) -> Option<Vec<Way>> {
    ways.iter().all(|way| way.end == End::Value).then_some(ways)
}

/// Neighbours that hold one way against different texts become one.
fn merged(tests: Vec<Test>, operator: Operator) -> Test {
    let unequal_wanted = operator == Operator::And;
    let mut all: Vec<Test> = Vec::new();
    for mut test in tests {
        if let (
            Some(Test::Equal { way, texts, unequal }),
            Test::Equal {
                way: own,
                texts: more,
                unequal: own_unequal,
            },
        ) = (all.last_mut(), &mut test)
            && *unequal == unequal_wanted
            && *own_unequal == unequal_wanted
            && way.is_same_names(own)
        {
            texts.append(more);
            continue;
        }
        all.push(test);
    }
    match (all.len(), operator) {
        (1, _) => all.remove(0),
        (_, Operator::And) => Test::All(all),
        _ => Test::Any(all),
    }
}

fn equal(left: &Expr, right: &Expr, unequal: bool, focus: TypeId) -> Option<Test> {
    let (way, current) = way(left, focus).filter(|(way, _)| way.end == End::Value)?;
    if let Expr::Literal(Literal::Boolean(value)) = right {
        let value = *value != unequal;
        return (current.primitive() == Some(Primitive::Boolean)).then_some(Test::Flag { way, value });
    }
    let texts = vec![operand(right)?];
    is_plain_text(current).then_some(Test::Equal { way, texts, unequal })
}

fn operand(expr: &Expr) -> Option<Operand> {
    match expr {
        Expr::Literal(Literal::Text(text)) => Some(Operand::Text(text.clone())),
        Expr::Variable(Variable::Constant(at), _) => Some(Operand::Constant(*at)),
        Expr::Variable(Variable::Text(text), _) => Some(Operand::Text(text.clone())),
        _ => None,
    }
}

fn search(call: &Call, argument: &Expr) -> Option<Search> {
    Some(match call.function {
        F::StartsWith => Search::StartsWith(operand(argument)?),
        F::EndsWith => Search::EndsWith(operand(argument)?),
        F::Contains => Search::Contains(operand(argument)?),
        _ => Search::Matches(call.pattern.as_deref()?.clone()),
    })
}

/// A primitive that is text and no moment.
fn is_plain_text(type_id: TypeId) -> bool {
    type_id.primitive() == Some(Primitive::Text) && Form::of_type(type_id.as_str()).is_none()
}

/// The way of `expr` and the type at its end.
fn way(expr: &Expr, focus: TypeId) -> Option<(Way, TypeId)> {
    match expr {
        Expr::This => steps_way(None, &[], focus),
        Expr::Path { head, steps } => steps_way(head.as_deref(), steps, focus),
        _ => None,
    }
}

fn steps_way(head: Option<&Expr>, steps: &[Step], focus: TypeId) -> Option<(Way, TypeId)> {
    let mut way = Way {
        stages: Vec::new(),
        last: Vec::new(),
        end: End::Value,
        first: false,
    };
    let mut current = focus;
    match head {
        None | Some(Expr::This) => {}
        Some(inner) => (way, current) = self::way(inner, focus)?,
    }
    let mut steps = steps;
    if head.is_none() && steps.first().is_some_and(|step| names_type(step, &Some(vec![focus]))) {
        steps = &steps[1..];
    }
    while !steps.is_empty() {
        match step_way(&mut way, current, steps) {
            Some((reached, rest)) => (current, steps) = (reached, rest),
            // Without a name on the way nothing can be told beforehand.
            None if way.end == End::Value && way.has_name() && steps.iter().all(gives_nothing_from_nothing) => {
                way.last.push(Hop::Ask);
                return Some((way, TypeId::RESOURCE));
            }
            None => return None,
        }
    }
    Some((way, current))
}

/// Adds the first of `steps` (and what belongs to it) to the way: the type reached and the steps left. What it cannot
/// add leaves the way as it was.
fn step_way<'s>(way: &mut Way, current: TypeId, steps: &'s [Step]) -> Option<(TypeId, &'s [Step])> {
    let (step, mut steps) = steps.split_first()?;
    let mut current = current;
    if way.end != End::Value {
        let first = matches!(step, Step::Call(call) if call.function == F::First) && way.end != End::ResourceKey && !way.first;
        way.first |= first;
        return first.then_some((current, steps));
    }
    match step {
        Step::Member(member) => {
            // Children of a primitive stand elsewhere (`_birthDate`), those of any resource are not known.
            if current.primitive().is_some() || current == TypeId::RESOURCE {
                return None;
            }
            let single;
            let mut children: &[Child] = match current.child(member.name).filter(|_| !member.name.is_companion()) {
                Some(child) => {
                    single = [child];
                    &single
                }
                None => current.choice(&member.text),
            };
            let narrowed: Vec<Child>;
            if let [Step::Call(call), rest @ ..] = steps
                && matches!(call.function, F::OfType | F::As)
                && children.iter().all(|child| !child.many)
            {
                let asked = call
                    .type_name
                    .as_ref()
                    .filter(|asked| asked.namespace.as_deref().is_none_or(|space| space == "FHIR"))?;
                narrowed = children
                    .iter()
                    .filter(|child| is_kept_as(child.type_id, &asked.name))
                    .copied()
                    .collect();
                children = &narrowed;
                steps = rest;
            }
            let (first, others) = children.split_first()?;
            // Going on from a choice of several types is left to `eval`.
            if !others.is_empty() && !steps.is_empty() {
                return None;
            }
            // The type is then not known: no test may ask for it.
            current = if others.is_empty() { first.type_id } else { TypeId::RESOURCE };
            way.last.push(Hop::Member(Member {
                name: first.name,
                others: others.iter().map(|child| child.name).collect(),
                primitive: children.iter().any(|child| child.type_id.primitive().is_some()),
            }));
        }
        Step::At(index, _) if matches!(**index, Expr::Literal(Literal::Integer(0))) => way.stages.push(std::mem::take(&mut way.last)),
        Step::At(..) => return None,
        Step::Call(call) => match call.function {
            F::First => way.stages.push(std::mem::take(&mut way.last)),
            F::Where => way.last.push(Hop::Where(test(call.arguments.first()?, current, true)?)),
            F::Extension if current.primitive().is_none() && current != TypeId::RESOURCE => {
                let Expr::Literal(Literal::Text(url)) = call.arguments.first()? else {
                    return None;
                };
                way.last.push(Hop::Extension(url.clone()));
                current = TypeId::of("Extension")?;
            }
            F::GetResourceKey if way.last.is_empty() && way.stages.is_empty() => way.end = End::ResourceKey,
            F::GetReferenceKey => way.end = End::ReferenceKey(call.type_name.as_ref().map(|asked| asked.name.clone())),
            _ => return None,
        },
    }
    Some((current, steps))
}

/// From no item the step gives no item, whatever its arguments are.
fn gives_nothing_from_nothing(step: &Step) -> bool {
    match step {
        Step::Member(_) | Step::At(..) => true,
        Step::Call(call) => call.function.gives_nothing_from_nothing(),
    }
}
