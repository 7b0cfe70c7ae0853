//! Walks an expression over one resource. Chains are loops, nests are recursion of at most 64. Operators are in `operate`.
//! Limits per resource: 10^6 steps (see `work`), 10^5 items in a collection, 1 MiB of text made.

use std::cell::{Cell, RefCell};

use super::ast::{Expr, Literal, Member, Operator, Step, Variable};
use super::fast::Given;
use super::items::Collection;
use super::pattern::Kept;
use super::temporal::Temporal;
use super::types::{is_kept, is_of_type};
use super::value::{Element, Item, Text};
use super::work::Work;

use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;

pub(super) use super::work::Fault;

/// Items of one collection.
pub(super) const MAX_ITEMS: usize = 100_000;
/// Bytes of one text that an expression makes.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// What an expression may look at besides its focus.
pub struct Context<'t, 'a> {
    pub resource: Element<'t, 'a>,
    /// The resource that `resource` is contained in; itself, if in none.
    pub root: Element<'t, 'a>,
    /// Values of the `%constants`, in the order their names were given when compiling.
    pub constants: &'t [Literal],
    pub row_index: Cell<i64>,
    /// What `now()` answers; without it the functions that ask the clock have no answer.
    pub now: Option<Temporal>,
    pub(super) work: Work,
    pub(super) pattern: RefCell<Kept>,
}

impl<'t, 'a> Context<'t, 'a> {
    pub fn new(root: Node<'t, 'a>, constants: &'t [Literal]) -> Self {
        Self::of(Element::resource(root), constants)
    }

    /// The same, when the resource's type is known already.
    pub fn of(resource: Element<'t, 'a>, constants: &'t [Literal]) -> Self {
        Self {
            resource,
            root: resource,
            constants,
            row_index: Cell::new(0),
            now: None,
            work: Work::default(),
            pattern: RefCell::new(None),
        }
    }

    /// Counts `steps` more.
    pub fn spend(&self, steps: usize, at: u32) -> Result<(), Fault> {
        self.work.spend(steps, at)
    }

    /// What a straight way on this resource is given.
    #[inline]
    pub fn given(&self) -> Given<'_> {
        Given::new(self.constants, &self.work)
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u32 {
        self.work.steps()
    }
}

/// `$this`, `$index`, `$total`.
pub(super) struct Scope<'t, 'a> {
    pub this: Item<'t, 'a>,
    pub index: i64,
    pub total: Collection<'t, 'a>,
}

pub(super) struct Evaluator<'c, 't, 'a> {
    pub context: &'c Context<'t, 'a>,
    /// What `%context` is: the item the whole expression started from.
    pub focus: Item<'t, 'a>,
}

pub(super) type Answer<'t, 'a> = Result<Collection<'t, 'a>, Fault>;

impl<'t, 'a> Evaluator<'_, 't, 'a> {
    pub(super) fn run(&self, expr: &'t Expr) -> Answer<'t, 'a> {
        let scope = Scope {
            this: self.focus.clone(),
            index: 0,
            total: Collection::None,
        };
        self.eval(expr, &scope)
    }

    pub(super) fn eval(&self, expr: &'t Expr, scope: &Scope<'t, 'a>) -> Answer<'t, 'a> {
        self.context.spend(1, 0)?;
        match expr {
            Expr::Literal(literal) => Ok(Collection::One(literal.into())),
            Expr::This => {
                self.context.spend(scope.this.copied(), 0)?;
                Ok(Collection::One(scope.this.clone()))
            }
            Expr::Index => Ok(Collection::One(Item::Integer(scope.index))),
            Expr::Total => {
                self.context.spend(scope.total.copied(), 0)?;
                Ok(scope.total.clone())
            }
            Expr::Empty => Ok(Collection::None),
            Expr::Variable(variable, _) => Ok(self.variable(variable)),
            Expr::Path { head, steps } => self.path(head.as_deref(), steps, scope),
            Expr::Chain { first, rest } => {
                if let [(Operator::Equal, _, right)] = rest.as_slice()
                    && let Some(equal) = self.quick_equal(first, right, scope)
                {
                    return Ok(boolean(Some(equal)));
                }
                let mut left = self.eval(first, scope)?;
                for (operator, at, right) in rest {
                    left = self.operate(*operator, *at, left, right, scope)?;
                }
                Ok(left)
            }
            Expr::Negate(operand, at) => self.negate(operand, *at, scope),
            Expr::TypeTest { operand, keep, type_name } => {
                let operand = self.eval(operand, scope)?;
                self.context.spend(operand.weight(), type_name.at)?;
                let Some(item) = single(&operand, type_name.at)? else {
                    return Ok(Collection::None);
                };
                Ok(match keep {
                    false => Collection::One(Item::Boolean(is_of_type(item, type_name))),
                    true if is_kept(item, type_name) => operand,
                    true => Collection::None,
                })
            }
        }
    }

    fn variable(&self, variable: &'t Variable) -> Collection<'t, 'a> {
        match variable {
            Variable::Constant(at) => self.context.constants.get(*at).map(Item::from).into(),
            Variable::RowIndex => Collection::One(Item::Integer(self.context.row_index.get())),
            Variable::Context => Collection::One(self.focus.clone()),
            Variable::Resource => Collection::One(Item::Element(self.context.resource)),
            Variable::RootResource => Collection::One(Item::Element(self.context.root)),
            Variable::Text(text) => Collection::One(Item::Text(Text::Expression(text))),
        }
    }

    fn path(&self, head: Option<&'t Expr>, steps: &'t [Step], scope: &Scope<'t, 'a>) -> Answer<'t, 'a> {
        let mut steps = steps;
        let mut current = match (head, steps) {
            (Some(head), _) => self.eval(head, scope)?,
            (None, [Step::Member(member), rest @ ..]) if !names_type(member, &scope.this) => {
                steps = rest;
                self.members(member, std::slice::from_ref(&scope.this))?
            }
            (None, [Step::Member(_), rest @ ..]) => {
                steps = rest;
                Collection::One(scope.this.clone())
            }
            (None, _) => Collection::One(scope.this.clone()),
        };
        for step in steps {
            current = match step {
                Step::Member(member) => self.members(member, current.as_slice())?,
                Step::Call(call) => {
                    self.context.spend(1 + current.len(), call.at)?;
                    self.call(call, current, scope)?
                }
                Step::At(index, at) => {
                    let index = self.eval(index, scope)?;
                    match single(&index, *at)?.map(|item| item.clone().plain()) {
                        None => Collection::None,
                        Some(Item::Integer(index)) => {
                            let place = usize::try_from(index).ok();
                            let found = place.and_then(|place| current.as_slice().get(place));
                            self.context.spend(found.map_or(0, Item::copied), *at)?;
                            found.cloned().into()
                        }
                        Some(_) => {
                            return Err(Fault {
                                rule: "an index must be an integer",
                                at: *at,
                            });
                        }
                    }
                }
            };
        }
        Ok(current)
    }

    fn members(&self, member: &'t Member, input: &[Item<'t, 'a>]) -> Answer<'t, 'a> {
        let mut out = Collection::None;
        for item in input {
            match item {
                Item::Element(element) => {
                    self.context.spend(element.width() / 2, member.at)?;
                    element.member(member, &mut out);
                }
                Item::TypeInfo(namespace, name) => match member.text.as_str() {
                    "namespace" => out.push(Item::Text(Text::Expression(namespace))),
                    "name" => out.push(Item::Text(Text::Line(name.clone()))),
                    _ => {}
                },
                _ => {}
            }
        }
        // What is found stays in memory for a while: twice what looking at it costs.
        self.context.spend(input.len() + 2 * out.len(), member.at)?;
        room(out, member.at)
    }
}

/// `Patient` at the beginning of `Patient.name` asks what the focus is, not for a child.
fn names_type(member: &Member, this: &Item<'_, '_>) -> bool {
    let Item::Element(element) = this else { return false };
    if !member.text.starts_with(|c: char| c.is_ascii_uppercase()) {
        return false;
    }
    match element.type_text() {
        Some(name) if name == member.text => true,
        Some(_) => matches!(member.text.as_str(), "Resource" | "DomainResource") && element.type_id.is_some_and(TypeId::is_resource),
        None => element.node.and_then(Node::resource_type).is_some_and(|name| name == member.text),
    }
}

/// The only item, or none.
/// # Errors: more than one.
pub(super) fn single<'c, 't, 'a>(collection: &'c Collection<'t, 'a>, at: u32) -> Result<Option<&'c Item<'t, 'a>>, Fault> {
    match collection.as_slice() {
        [] => Ok(None),
        [item] => Ok(Some(item)),
        _ => Err(Fault {
            rule: "more than one item where one was expected",
            at,
        }),
    }
}

/// A whole number given as an argument.
pub(super) fn whole(argument: &Collection<'_, '_>, at: u32) -> Result<Option<i64>, Fault> {
    match single(argument, at)?.map(|item| item.clone().plain()) {
        None => Ok(None),
        Some(Item::Integer(number)) => Ok(Some(number)),
        Some(_) => Err(Fault {
            rule: "an integer was expected here",
            at,
        }),
    }
}

/// A collection as a condition: one item that is no boolean counts as true.
pub(super) fn truth(collection: &Collection<'_, '_>, at: u32) -> Result<Option<bool>, Fault> {
    Ok(single(collection, at)?.map(|item| match item {
        Item::Boolean(value) => *value,
        Item::Element(element) => !element
            .value_node()
            .is_some_and(|node| node.kind() == Kind::Boolean && node.raw() == "false"),
        _ => true,
    }))
}

pub(super) fn boolean<'t, 'a>(value: Option<bool>) -> Collection<'t, 'a> {
    value.map(Item::Boolean).into()
}

/// A text that an expression made, if it is not too long.
pub(super) fn text<'t, 'a>(text: String, at: u32) -> Answer<'t, 'a> {
    if text.len() > MAX_TEXT {
        return too_long(at);
    }
    Ok(Collection::One(Item::Text(text.into())))
}

pub(super) fn too_long<'t, 'a>(at: u32) -> Answer<'t, 'a> {
    Err(Fault {
        rule: "the expression makes a text longer than 1 MiB",
        at,
    })
}

/// The collection, if it is not too large.
pub(super) fn room<'t, 'a>(collection: Collection<'t, 'a>, at: u32) -> Answer<'t, 'a> {
    if collection.len() > MAX_ITEMS {
        return Err(Fault {
            rule: "the expression gives more than 100000 items",
            at,
        });
    }
    Ok(collection)
}
