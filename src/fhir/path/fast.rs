//! The straight way: paths that only follow names (`subject.reference`, `value.ofType(Quantity).unit`, `name.first().family`)
//! as lists of interned names. Nothing is allocated when one is walked. `None` for everything else; `eval` does that.

use super::ast::{Expr, Literal, Step};
use super::check::{Typing, names_type};
use super::function::Function as F;
use super::types::is_kept_as;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::{Child, TypeId};

/// One name, or the names of a choice.
#[derive(Debug)]
struct Hop {
    name: Name,
    others: Box<[Name]>,
}

impl Hop {
    #[inline]
    fn find<'t, 'a>(&self, node: Node<'t, 'a>) -> Option<Node<'t, 'a>> {
        if self.others.is_empty() {
            return node.get(self.name);
        }
        node.children()
            .find(|child| child.name() == self.name || self.others.contains(&child.name()))
    }
}

/// What stands at the end of the way.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Value,
    ResourceKey,
    ReferenceKey(Option<String>),
}

#[derive(Debug)]
pub struct Fast {
    /// Stages but the last give their first node only.
    stages: Vec<Vec<Hop>>,
    last: Vec<Hop>,
    pub end: End,
}

impl Fast {
    /// The straight way of `expr` from a focus of type `focus`, if it has one.
    pub fn of(expr: &Expr, focus: &Typing) -> Option<Self> {
        let mut fast = Fast {
            stages: Vec::new(),
            last: Vec::new(),
            end: End::Value,
        };
        let (head, steps) = match expr {
            Expr::This => return Some(fast),
            Expr::Path { head, steps } => (head, steps.as_slice()),
            _ => return None,
        };
        if !matches!(head.as_deref(), None | Some(Expr::This)) {
            return None;
        }
        let [mut current] = *focus.as_deref()? else { return None };
        let mut steps = steps;
        if head.is_none() && steps.first().is_some_and(|step| names_type(step, focus)) {
            steps = &steps[1..];
        }
        while let Some((step, rest)) = steps.split_first() {
            steps = rest;
            if fast.end != End::Value {
                return None;
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
                    current = first.type_id;
                    fast.last.push(Hop {
                        name: first.name,
                        others: others.iter().map(|child| child.name).collect(),
                    });
                }
                Step::At(index, _) if matches!(**index, Expr::Literal(Literal::Integer(0))) => {
                    fast.stages.push(std::mem::take(&mut fast.last))
                }
                Step::Call(call) => match call.function {
                    F::First => fast.stages.push(std::mem::take(&mut fast.last)),
                    F::GetResourceKey if fast.last.is_empty() => fast.end = End::ResourceKey,
                    F::GetReferenceKey => fast.end = End::ReferenceKey(call.type_name.as_ref().map(|asked| asked.name.clone())),
                    _ => return None,
                },
                Step::At(..) => return None,
            }
        }
        Some(fast)
    }

    /// Calls `visit` for each node at the end of the way until it says `false`. A JSON null is an element without value.
    #[inline]
    pub fn walk<'t, 'a>(&self, focus: Node<'t, 'a>, visit: &mut impl FnMut(Node<'t, 'a>) -> bool) {
        let mut focus = focus;
        for stage in &self.stages {
            let mut found = None;
            follow(stage, focus, &mut |node| {
                found = Some(node);
                false
            });
            match found {
                Some(node) => focus = node,
                None => return,
            }
        }
        follow(&self.last, focus, visit);
    }

    /// The type of the way's only name, when it is that simple: for merging columns of one focus.
    pub fn only_names(&self) -> Option<impl Iterator<Item = Name> + '_> {
        let plain = self.stages.is_empty() && self.end == End::Value && self.last.iter().all(|hop| hop.others.is_empty());
        plain.then(|| self.last.iter().map(|hop| hop.name))
    }
}

/// `true` while `visit` wants more.
fn follow<'t, 'a>(hops: &[Hop], node: Node<'t, 'a>, visit: &mut impl FnMut(Node<'t, 'a>) -> bool) -> bool {
    let Some((hop, rest)) = hops.split_first() else {
        return visit(node);
    };
    match hop.find(node) {
        None => true,
        Some(child) if child.kind() == Kind::Array => child.children().all(|item| follow(rest, item, visit)),
        Some(child) => follow(rest, child, visit),
    }
}
