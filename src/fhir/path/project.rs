//! Functions that go over items with an expression and keep something between them: `repeat`, `aggregate`, `sort`.

use std::cmp::Ordering;

use super::ast::{Call, Expr};
use super::compare::{compare, equal};
use super::eval::{Answer, Evaluator, Fault, Scope, room};
use super::items::Collection;
use super::value::Item;
use super::work::Work;
use crate::fhir::tree::Node;

impl<'t, 'a> Evaluator<'_, 't, 'a> {
    /// Applies the projection again and again to what it newly gives; what was already seen is not gone into again.
    pub(super) fn repeat(&self, projection: &'t Expr, input: Collection<'t, 'a>, at: u32) -> Answer<'t, 'a> {
        let mut out = Collection::None;
        let mut todo: Vec<Item<'t, 'a>> = input.into_iter().collect();
        while !todo.is_empty() {
            let mut next = Vec::new();
            for (index, item) in todo.into_iter().enumerate() {
                for found in self.each(projection, item, index)? {
                    self.context.spend(out.len() + found.copied(), at)?;
                    if !seen(&out, &found, &self.context.work) {
                        out.push(found.clone());
                        next.push(found);
                    }
                }
                out = room(out, at)?;
            }
            todo = next;
        }
        self.context.spend(0, at)?;
        Ok(out)
    }

    pub(super) fn aggregate(&self, call: &'t Call, input: Collection<'t, 'a>, scope: &Scope<'t, 'a>) -> Answer<'t, 'a> {
        let mut total = call
            .arguments
            .get(1)
            .map_or(Ok(Collection::None), |start| self.eval(start, scope))?;
        for (index, item) in input.into_iter().enumerate() {
            let inner = Scope {
                this: item,
                index: i64::try_from(index).unwrap_or(i64::MAX),
                total,
            };
            total = room(self.eval(&call.arguments[0], &inner)?, call.at)?;
        }
        Ok(total)
    }

    /// Stable; `-key` turns an order round; without keys the items themselves are compared.
    pub(super) fn sort(&self, call: &'t Call, input: Collection<'t, 'a>) -> Answer<'t, 'a> {
        let keys: Vec<(&'t Expr, bool)> = call
            .arguments
            .iter()
            .map(|key| match key {
                Expr::Negate(inner, _) => (&**inner, true),
                key => (key, false),
            })
            .collect();
        let mut keyed = Vec::with_capacity(input.len());
        for (index, item) in input.into_iter().enumerate() {
            let mut own = Vec::with_capacity(keys.len());
            for (key, _) in &keys {
                own.push(self.each(key, item.clone(), index)?.into_iter().next());
            }
            if keys.is_empty() {
                self.context.spend(item.copied(), call.at)?;
                own.push(Some(item.clone()));
            }
            keyed.push((own, item));
        }
        let weight: usize = keyed.iter().flat_map(|(own, _)| own).flatten().map(|key| 1 + key.weight()).sum();
        let rounds = keyed.len().checked_ilog2().map_or(1, |rounds| rounds as usize + 1);
        self.context.spend(weight.saturating_mul(rounds), call.at)?;
        let mut fault = None;
        keyed.sort_by(|(a, _), (b, _)| {
            let mut order = Ordering::Equal;
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                // What has no key comes first, whichever way the others are sorted.
                if a.is_some() != b.is_some() {
                    return a.is_some().cmp(&b.is_some());
                }
                order = match (a, b) {
                    (Some(a), Some(b)) => compare(a, b).unwrap_or_else(|rule| {
                        fault = Some(rule);
                        None
                    }),
                    _ => None,
                }
                .unwrap_or(Ordering::Equal);
                if keys.get(at).is_some_and(|(_, descending)| *descending) {
                    order = order.reverse();
                }
                if order != Ordering::Equal {
                    break;
                }
            }
            order
        });
        match fault {
            Some(rule) => Err(Fault { rule, at: call.at }),
            None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
        }
    }
}

/// For `repeat`: one element of the line is itself and no other; computed values are compared.
fn seen(all: &Collection<'_, '_>, item: &Item<'_, '_>, work: &Work) -> bool {
    all.as_slice().iter().any(|other| match (other, item) {
        (Item::Element(a), Item::Element(b)) if a.node.is_some() && b.node.is_some() => a.node.map(Node::index) == b.node.map(Node::index),
        _ => equal(other, item, work) == Some(true),
    })
}
