//! Functions on collections: filtering, projecting, counting, set operations, types and keys. The dispatcher is here.

use super::ast::{Call, Expr};
use super::canonical::{Named, belongs};
use super::compare::contains;
use super::convert::{date_part, time_part};
use super::eval::{Answer, Evaluator, Fault, Scope, boolean, room, single, truth, whole};
use super::function::Function as F;
use super::items::Collection;
use super::resolve::resolved;
use super::types::{conforms_to, is_kept, is_of_type};
use super::value::{Element, Item, Text};
use super::{boundary, convert, keys, number, text};
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;

impl<'t, 'a> Evaluator<'_, 't, 'a> {
    pub(super) fn call(&self, call: &'t Call, input: Collection<'t, 'a>, scope: &Scope<'t, 'a>) -> Answer<'t, 'a> {
        let at = call.at;
        let argument = |place: usize| -> Answer<'t, 'a> {
            call.arguments
                .get(place)
                .map_or(Ok(Collection::None), |expr| self.eval(expr, scope))
        };
        Ok(match call.function {
            F::Empty => boolean(Some(input.is_empty())),
            F::Exists => match call.arguments.first() {
                None => boolean(Some(!input.is_empty())),
                Some(criteria) => boolean(Some(self.any(criteria, &input, at)?)),
            },
            F::Count => integer(input.len()),
            F::First => input.into_iter().next().into(),
            F::Last => input.into_iter().last().into(),
            F::Tail => input.into_iter().skip(1).collect(),
            F::Single => {
                single(&input, at)?;
                input
            }
            F::Skip | F::Take => {
                let count = whole(&argument(0)?, at)?;
                let Some(count) = count else { return Ok(Collection::None) };
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                if call.function == F::Skip {
                    input.into_iter().skip(count).collect()
                } else {
                    input.into_iter().take(count).collect()
                }
            }
            F::Where => self.filter(&call.arguments[0], input, at)?,
            F::Select => {
                let mut out = Collection::None;
                for (index, item) in input.into_iter().enumerate() {
                    let found = self.each(&call.arguments[0], item, index)?;
                    self.context.spend(found.len(), at)?;
                    out.append(found);
                    out = room(out, at)?;
                }
                out
            }
            F::All => {
                for (index, item) in input.into_iter().enumerate() {
                    if truth(&self.each(&call.arguments[0], item, index)?, at)? != Some(true) {
                        return Ok(boolean(Some(false)));
                    }
                }
                boolean(Some(true))
            }
            F::AllTrue => boolean(Some(booleans(&input, at)?.iter().all(|value| *value))),
            F::AllFalse => boolean(Some(!booleans(&input, at)?.contains(&true))),
            F::AnyTrue => boolean(Some(booleans(&input, at)?.contains(&true))),
            F::AnyFalse => boolean(Some(booleans(&input, at)?.contains(&false))),
            F::Repeat => self.repeat(&call.arguments[0], input, at)?,
            F::Iif => self.iif(call, &input, scope)?,
            F::Aggregate => self.aggregate(call, input, scope)?,
            F::Sort => self.sort(call, input)?,
            F::Trace => input,
            F::SubsetOf => boolean(Some(self.subset(&input, &argument(0)?, at)?)),
            F::SupersetOf => boolean(Some(self.subset(&argument(0)?, &input, at)?)),
            F::Distinct => self.distinct(input, Collection::None, at)?,
            F::IsDistinct => {
                let count = input.len();
                boolean(Some(self.distinct(input, Collection::None, at)?.len() == count))
            }
            F::Union => self.distinct(input, argument(0)?, at)?,
            F::Combine => {
                let mut all = input;
                all.append(argument(0)?);
                room(all, at)?
            }
            F::Intersect | F::Exclude => {
                let other = argument(0)?;
                let keep = call.function == F::Intersect;
                let work = &self.context.work;
                let kept = input.into_iter().filter(|item| contains(&other, item, work) == keep).collect();
                self.context.spend(0, at)?;
                if keep { self.distinct(kept, Collection::None, at)? } else { kept }
            }
            F::Now | F::Today | F::TimeOfDay => {
                let Some(now) = self.context.now else {
                    return Err(Fault {
                        rule: "no clock is given here",
                        at,
                    });
                };
                Collection::One(Item::Temporal(match call.function {
                    F::Now => now,
                    F::Today => date_part(now),
                    _ => time_part(now),
                }))
            }
            F::Not => boolean(truth(&input, at)?.map(|value| !value)),
            F::OfType => match &call.type_name {
                Some(asked) => self.weighed(input, at)?.into_iter().filter(|item| is_kept(item, asked)).collect(),
                None => Collection::None,
            },
            F::Is | F::As => {
                let input = self.weighed(input, at)?;
                let (Some(asked), Some(item)) = (&call.type_name, single(&input, at)?) else {
                    return Ok(Collection::None);
                };
                match call.function {
                    F::Is => boolean(Some(is_of_type(item, asked))),
                    _ if is_kept(item, asked) => input,
                    _ => Collection::None,
                }
            }
            F::ConformsTo => {
                if let Some(Named::Profile(profile)) = &call.named {
                    let fits = |item: &Item<'t, 'a>| match item {
                        Item::Element(element) => element.value_node().is_some_and(|node| profile.fits(node)),
                        _ => false,
                    };
                    return Ok(boolean(single(&input, at)?.map(fits)));
                }
                let profile = self.weighed(argument(0)?, at)?;
                let (Some(profile), Some(item)) = (single(&profile, at)?, single(&input, at)?) else {
                    return Ok(Collection::None);
                };
                boolean(Some(conforms_to(item, profile).ok_or(Fault {
                    rule: "no profile of this url is known here",
                    at,
                })?))
            }
            F::MemberOf => match (single(&input, at)?, &call.named) {
                (Some(item), Some(Named::ValueSet(codes))) => boolean(belongs(codes, item).ok_or(Fault {
                    rule: "`memberOf()` asks of a code, Coding or CodeableConcept",
                    at,
                })?),
                _ => Collection::None,
            },
            F::Resolve => {
                let mut out = Collection::None;
                for item in input.as_slice() {
                    let Some(root) = self.context.resource.node else { break };
                    let (found, seen) = resolved(item, root);
                    self.context.spend(1 + seen, at)?;
                    out.append(found.into());
                }
                out
            }
            F::Type => self.weighed(input, at)?.as_slice().iter().map(type_info).collect(),
            F::Children => self.children(&input, at)?,
            F::Descendants => {
                let mut out = Collection::None;
                let mut level = self.children(&input, at)?;
                while !level.is_empty() {
                    let next = self.children(&level, at)?;
                    out.append(level);
                    out = room(out, at)?;
                    level = next;
                }
                out
            }
            F::Extension => {
                let url = self.weighed(argument(0)?, at)?;
                match single(&url, at)?.and_then(Item::to_text) {
                    Some(url) => self.extensions(&input, &url, at)?,
                    None => Collection::None,
                }
            }
            F::HasValue => boolean(Some(matches!(input.as_slice(), [item] if has_value(item)))),
            F::GetValue => match self.weighed(input, at)?.as_slice() {
                [item] if has_value(item) => Collection::One(item.clone().plain()),
                _ => Collection::None,
            },
            F::GetResourceKey => match single(&input, at)? {
                Some(Item::Element(element)) => element.node.and_then(keys::resource_key).map(Item::Text).into(),
                _ => Collection::None,
            },
            F::GetReferenceKey => {
                let asked = call.type_name.as_ref().map(|asked| asked.name.as_str());
                let key = |item: &Item<'t, 'a>| match item {
                    Item::Element(element) => keys::reference_key(element.node?, asked).map(Item::Text),
                    _ => None,
                };
                for item in input.as_slice() {
                    self.context.spend(reference_size(item) / 32, at)?;
                }
                input.as_slice().iter().filter_map(key).collect()
            }
            F::LowBoundary | F::HighBoundary | F::Precision | F::Comparable => {
                boundary::call(call, &self.weighed(input, at)?, &self.weighed(argument(0)?, at)?)?
            }
            F::Abs | F::Ceiling | F::Exp | F::Floor | F::Ln | F::Log | F::Power | F::Round | F::Sqrt | F::Truncate => {
                number::call(call, &self.weighed(input, at)?, &self.weighed(argument(0)?, at)?)?
            }
            F::YearOf | F::MonthOf | F::DayOf | F::HourOf | F::MinuteOf | F::SecondOf | F::DateOf | F::TimeOf => {
                boundary::part(call, &self.weighed(input, at)?)?
            }
            function if convert::is_conversion(function) => {
                convert::call(call, &self.weighed(input, at)?, &self.weighed(argument(0)?, at)?)?
            }
            _ => {
                let (first, second) = (argument(0)?, argument(1)?);
                self.context.spend(input.weight() + first.weight() + second.weight(), at)?;
                let made = match call.function {
                    F::Matches | F::MatchesFull | F::ReplaceMatches => self.matched(call, &input, &first, &second)?,
                    _ => text::call(call, &input, &first, &second)?,
                };
                self.context.spend(made.copied(), at)?;
                made
            }
        })
    }

    /// `expr` with `item` as `$this`.
    pub(super) fn each(&self, expr: &'t Expr, item: Item<'t, 'a>, index: usize) -> Answer<'t, 'a> {
        self.context.spend(item.copied(), 0)?;
        self.eval(
            expr,
            &Scope {
                this: item,
                index: i64::try_from(index).unwrap_or(i64::MAX),
                total: Collection::None,
            },
        )
    }

    /// The collection, once reading its texts is paid for.
    fn weighed(&self, collection: Collection<'t, 'a>, at: u32) -> Answer<'t, 'a> {
        self.context.spend(collection.weight(), at)?;
        Ok(collection)
    }

    fn any(&self, criteria: &'t Expr, input: &Collection<'t, 'a>, at: u32) -> Result<bool, Fault> {
        for (index, item) in input.as_slice().iter().enumerate() {
            if truth(&self.each(criteria, item.clone(), index)?, at)? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn filter(&self, criteria: &'t Expr, input: Collection<'t, 'a>, at: u32) -> Answer<'t, 'a> {
        let mut out = Collection::None;
        for (index, item) in input.into_iter().enumerate() {
            if truth(&self.each(criteria, item.clone(), index)?, at)? == Some(true) {
                out.push(item);
            }
        }
        Ok(out)
    }

    fn iif(&self, call: &'t Call, input: &Collection<'t, 'a>, scope: &Scope<'t, 'a>) -> Answer<'t, 'a> {
        self.context.spend(scope.total.copied() + scope.this.copied(), call.at)?;
        let inner = match single(input, call.at)? {
            Some(item) => Scope {
                this: item.clone(),
                index: scope.index,
                total: scope.total.clone(),
            },
            // Nothing to ask of: the condition may still be told from around the call.
            None => Scope {
                this: scope.this.clone(),
                index: scope.index,
                total: scope.total.clone(),
            },
        };
        if truth(&self.eval(&call.arguments[0], &inner)?, call.at)? == Some(true) {
            return self.eval(&call.arguments[1], &inner);
        }
        call.arguments
            .get(2)
            .map_or(Ok(Collection::None), |otherwise| self.eval(otherwise, &inner))
    }

    fn subset(&self, some: &Collection<'t, 'a>, all: &Collection<'t, 'a>, at: u32) -> Result<bool, Fault> {
        let work = &self.context.work;
        let all_there = some.as_slice().iter().all(|item| contains(all, item, work));
        self.context.spend(0, at)?;
        Ok(all_there)
    }

    fn children(&self, input: &Collection<'t, 'a>, at: u32) -> Answer<'t, 'a> {
        let mut out = Collection::None;
        for item in input.as_slice() {
            if let Item::Element(element) = item {
                let width = element.width();
                self.context.spend(width.saturating_mul(width) / 4, at)?;
                element.children(&mut out);
            }
        }
        self.context.spend(2 * out.len(), at)?;
        room(out, at)
    }

    /// `extension(url)`: also of a primitive, whose extensions stand in its sibling.
    fn extensions(&self, input: &Collection<'t, 'a>, url: &str, at: u32) -> Answer<'t, 'a> {
        let type_id = TypeId::of("Extension");
        let mut out = Collection::None;
        for item in input.as_slice() {
            let Item::Element(element) = item else { continue };
            let holders = [element.node, element.under];
            for holder in holders.into_iter().flatten().filter(|node| node.kind() == Kind::Object) {
                let Some(all) = holder.get(Name::EXTENSION) else { continue };
                let mut went_over = 0;
                for node in all.children() {
                    went_over += 1;
                    if node.get(Name::URL).is_some_and(|own| own.is_text(url)) {
                        out.push(Item::Element(Element {
                            node: Some(node),
                            under: None,
                            type_id,
                        }));
                    }
                }
                self.context.spend(went_over, at)?;
            }
        }
        self.context.spend(out.len(), at)?;
        room(out, at)
    }
}

fn integer<'t, 'a>(number: usize) -> Collection<'t, 'a> {
    Collection::One(Item::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// The items as booleans.
fn booleans(input: &Collection<'_, '_>, at: u32) -> Result<Vec<bool>, Fault> {
    let value = |item: &Item<'_, '_>| match item.clone().plain() {
        Item::Boolean(value) => Ok(value),
        _ => Err(Fault {
            rule: "only booleans can be asked whether they are true",
            at,
        }),
    };
    input.as_slice().iter().map(value).collect()
}

fn has_value(item: &Item<'_, '_>) -> bool {
    match item {
        Item::Element(element) => element.is_primitive() && element.value_node().is_some(),
        _ => true,
    }
}

fn type_info<'t, 'a>(item: &Item<'t, 'a>) -> Item<'t, 'a> {
    match item {
        Item::Element(element) => match element.type_text() {
            Some(name) => Item::TypeInfo("FHIR", name.into()),
            None => Item::TypeInfo(
                "FHIR",
                element.value().map_or("Element", |value| value.system_type()).to_owned().into(),
            ),
        },
        value => Item::TypeInfo("System", value.system_type().into()),
    }
}

/// Bytes of the text that a reference is read from.
fn reference_size(item: &Item<'_, '_>) -> usize {
    let Item::Element(Element { node: Some(node), .. }) = item else {
        return 0;
    };
    node.get(Name::REFERENCE).map_or(0, Node::size)
}

/// A text argument; empty gives `None`.
pub(super) fn text_of<'t, 'a>(argument: &Collection<'t, 'a>, at: u32) -> Result<Option<Text<'t, 'a>>, Fault> {
    match single(argument, at)?.map(|item| item.clone().plain()) {
        None => Ok(None),
        Some(Item::Text(text)) => Ok(Some(text)),
        Some(Item::Element(element)) if element.is_primitive() => Ok(None),
        // Dates of the line are text in JSON; a text function reads them as they print.
        Some(item @ Item::Temporal(_)) => Ok(item.to_text()),
        Some(_) => Err(Fault {
            rule: "a text was expected here",
            at,
        }),
    }
}
