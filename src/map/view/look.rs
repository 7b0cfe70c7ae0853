//! What one path gives from where a `select` looks: the straight way where it is sure, else by evaluation.

use super::field::{Field, text_field};
use super::focus::At;
use crate::cdm::Cell;
use crate::fhir::path::{Context, Fault, Found, Item, Path};
use crate::fhir::tree::Kind;

/// The answer to a condition; an empty one is no.
/// # Errors: no answer, or none that is true or false.
pub(super) fn holds<'t, 'a>(context: &Context<'t, 'a>, condition: &'t Path, focus: &At<'t, 'a>) -> Result<bool, Fault> {
    if let (Some(fast), Some(node)) = (condition.fast(), focus.node())
        && let Some(Ok(holds)) = fast.holds(node, context.given())
    {
        return Ok(holds == Some(true));
    }
    let answer = condition.evaluate(context, focus.item())?;
    match answer.as_slice() {
        [] => Ok(false),
        [one] => match one.clone().plain() {
            Item::Boolean(value) => Ok(value),
            _ => Err(Fault {
                rule: "a condition must be true or false",
                at: 0,
            }),
        },
        _ => Err(Fault {
            rule: "a condition must be one value",
            at: 0,
        }),
    }
}

/// The only value.
/// # Errors: no answer, or more than one value.
pub(super) fn one<'t, 'a>(context: &Context<'t, 'a>, path: &'t Path, focus: &At<'t, 'a>) -> Result<Field<'t, 'a>, Fault> {
    const MANY: Fault = Fault {
        rule: "more than one value for a column that is no collection",
        at: 0,
    };
    if let (Some(fast), Some(node)) = (path.fast(), focus.node())
        && let Ok(found) = fast.one(node, context.given())
    {
        return match found {
            Found::Nothing => Ok(Field::Null),
            Found::Node(node) if node.kind() == Kind::Null => Ok(Field::Null),
            Found::Node(node) => Ok(Field::Node(node)),
            Found::Key(key) => Ok(text_field(key)),
            Found::Boolean(value) => Ok(Field::Cell(Cell::Boolean(value))),
            Found::Literal(literal) => Ok(Field::of(literal.into())),
            Found::Many => Err(MANY),
        };
    }
    let found = path.evaluate(context, focus.item())?;
    if found.len() > 1 {
        return Err(MANY);
    }
    Ok(found.into_iter().next().map_or(Field::Null, Field::of))
}

/// All values, as a list.
/// # Errors: no answer.
pub(super) fn list<'t, 'a>(context: &Context<'t, 'a>, path: &'t Path, focus: &At<'t, 'a>) -> Result<Field<'t, 'a>, Fault> {
    Ok(match elements(context, path, focus)? {
        Field::Null => Field::List(Vec::new()),
        all @ Field::List(_) => all,
        one => Field::List(vec![one]),
    })
}

/// All that the path gives: nothing, one, or a list.
pub(super) fn elements<'t, 'a>(context: &Context<'t, 'a>, path: &'t Path, focus: &At<'t, 'a>) -> Result<Field<'t, 'a>, Fault> {
    let mut all = Field::Null;
    if let (Some(fast), Some(node)) = (path.fast(), focus.node()) {
        let walked = fast.each(node, context.given(), &mut |node| {
            if node.kind() != Kind::Null {
                all.push(Field::Node(node));
            }
            Ok(true)
        });
        if walked.is_ok() {
            let count = if let Field::List(all) = &all { all.len() } else { 1 };
            context.spend(count, 0)?;
            return Ok(all);
        }
        all = Field::Null;
    }
    let found = path.evaluate(context, focus.item())?;
    found.into_iter().map(Field::of).for_each(|field| all.push(field));
    Ok(all)
}
