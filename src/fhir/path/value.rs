//! What an expression works on: elements of the line, and values computed from them.
//! Two lifetimes: `'t` the tree and the expression, `'a` the line. An element is looked at, never copied.

use std::borrow::Cow;
use std::ops::Deref;

use super::ast::{Literal, Member};
use super::items::Collection;
use super::temporal::{Sort, Temporal};
use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::{Primitive, TypeId};

/// Text of the line or of the expression.
#[derive(Clone, Debug)]
pub enum Text<'t, 'a> {
    Line(Cow<'a, str>),
    Expression(&'t str),
}

impl Deref for Text<'_, '_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Text::Line(text) => text,
            Text::Expression(text) => text,
        }
    }
}

impl<'a> Text<'_, 'a> {
    pub fn into_line(self) -> Cow<'a, str> {
        match self {
            Text::Line(text) => text,
            Text::Expression(text) => Cow::Owned(text.to_owned()),
        }
    }
}

impl From<String> for Text<'_, '_> {
    fn from(text: String) -> Self {
        Text::Line(Cow::Owned(text))
    }
}

/// One element: its value, its sibling `_name` with id and extensions, or both; and its type where it is known.
#[derive(Clone, Copy)]
pub struct Element<'t, 'a> {
    pub node: Option<Node<'t, 'a>>,
    pub under: Option<Node<'t, 'a>>,
    pub type_id: Option<TypeId>,
}

impl<'t, 'a> Element<'t, 'a> {
    pub fn resource(root: Node<'t, 'a>) -> Self {
        Self {
            node: Some(root),
            under: None,
            type_id: root.resource_type().and_then(TypeId::of),
        }
    }

    /// The node with the value; a JSON null is no value.
    pub fn value_node(&self) -> Option<Node<'t, 'a>> {
        self.node.filter(|node| node.kind() != Kind::Null)
    }

    pub fn is_primitive(&self) -> bool {
        self.node.is_none_or(|node| !matches!(node.kind(), Kind::Object | Kind::Array))
    }

    /// How many members a large element has; 0 for one so small that looking at them is one step.
    pub(super) fn width(&self) -> usize {
        match self.holder() {
            Some(holder) if holder.raw().len() > 2048 => holder.children().count(),
            _ => 0,
        }
    }

    pub fn type_text(&self) -> Option<&'static str> {
        self.type_id.map(TypeId::as_str)
    }

    /// Appends the elements called `member`, choice types included.
    pub fn member(&self, member: &Member, out: &mut Collection<'t, 'a>) {
        let Some(holder) = self.holder() else { return };
        // A name that FHIR does not have is most often the stem of a choice (`effective`), and then no member's own name.
        let (direct, under) = if member.name != Name::UNKNOWN {
            pair(holder, member.name)
        } else if self.type_id.is_some_and(|type_id| !type_id.choice(&member.text).is_empty()) {
            (None, None)
        } else {
            (holder.children().find(|child| child.name_text() == member.text), None)
        };
        if direct.is_some() || under.is_some() {
            let type_id = self
                .type_id
                .and_then(|type_id| type_id.child(member.name))
                .map(|child| child.type_id);
            push_elements(direct, under, type_id, out);
            return;
        }
        self.choice(holder, member, out);
    }

    fn choice(&self, holder: Node<'t, 'a>, member: &Member, out: &mut Collection<'t, 'a>) {
        if let Some(type_id) = self.type_id {
            let options = type_id.choice(&member.text);
            let mut seen = Name::NONE;
            for child in holder.children().filter(|_| !options.is_empty()) {
                let name = child.name().element();
                let option = options.iter().find(|option| option.name == name && name != seen);
                if let Some(option) = option {
                    seen = name;
                    let (direct, under) = pair(holder, name);
                    push_elements(direct, under, Some(option.type_id), out);
                }
            }
            if !type_id.children().is_empty() {
                return;
            }
        }
        for child in holder.children() {
            let Some(suffix) = child.name_text().strip_prefix(member.text.as_str()) else {
                continue;
            };
            if let Some(type_id) = type_of_suffix(suffix) {
                let under = under_name(child.name()).and_then(|under| holder.get(under));
                push_elements(Some(child), under, Some(type_id), out);
            }
        }
    }

    /// All child elements, in the order of the line.
    pub fn children(&self, out: &mut Collection<'t, 'a>) {
        let Some(holder) = self.holder() else { return };
        for child in holder.children() {
            let text = child.name_text();
            if text == "resourceType" {
                continue;
            }
            if let Some(plain) = text.strip_prefix('_') {
                if !holder.children().any(|other| other.name_text() == plain) {
                    push_elements(None, Some(child), self.child_type(Name::of(plain)), out);
                }
                continue;
            }
            let under = under_name(child.name()).and_then(|under| holder.get(under));
            push_elements(Some(child), under, self.child_type(child.name()), out);
        }
    }

    fn child_type(&self, name: Name) -> Option<TypeId> {
        self.type_id.and_then(|type_id| type_id.child(name)).map(|child| child.type_id)
    }

    /// The object that holds this element's children: the value itself, or `_name` of a primitive.
    fn holder(&self) -> Option<Node<'t, 'a>> {
        let is_object = |node: &Node<'t, 'a>| node.kind() == Kind::Object;
        self.node.filter(is_object).or_else(|| self.under.filter(is_object))
    }

    /// The element as a value to compute with; `None` for a complex element or one without a value.
    pub fn value(&self) -> Option<Item<'t, 'a>> {
        let node = self.value_node()?;
        Some(match node.kind() {
            Kind::Boolean => Item::Boolean(node.raw() == "true"),
            Kind::Number => {
                let raw = node.raw();
                let whole = match self.type_id.and_then(TypeId::primitive) {
                    Some(Primitive::Decimal) => false,
                    Some(Primitive::Integer) => true,
                    _ => !raw.contains(['.', 'e', 'E']),
                };
                match raw.parse() {
                    Ok(number) if whole => Item::Integer(number),
                    _ => Item::Decimal(Decimal::parse(raw)?),
                }
            }
            Kind::String => {
                let text = node.text();
                let temporal = match self.type_text() {
                    Some("date") => Temporal::date(&text),
                    Some("dateTime" | "instant") => Temporal::date_time(&text),
                    Some("time") => Temporal::time(&text),
                    _ => None,
                };
                match temporal {
                    Some(temporal) => Item::Temporal(temporal),
                    None => Item::Text(Text::Line(text)),
                }
            }
            _ => return None,
        })
    }
}

/// The members `name` and `_name`, in one pass.
fn pair<'t, 'a>(holder: Node<'t, 'a>, name: Name) -> (Option<Node<'t, 'a>>, Option<Node<'t, 'a>>) {
    let (mut direct, mut under) = (None, None);
    let companion = name.companion();
    for child in holder.children() {
        let own = child.name();
        if own == name {
            direct = Some(child);
        } else if own == companion {
            under = Some(child);
        }
    }
    (direct, under)
}

fn under_name(name: Name) -> Option<Name> {
    name.is_known().then(|| name.companion())
}

/// The type that `Quantity` in `valueQuantity` or `DateTime` in `valueDateTime` names.
fn type_of_suffix(suffix: &str) -> Option<TypeId> {
    let first = suffix.chars().next().filter(char::is_ascii_uppercase)?;
    TypeId::of(suffix).or_else(|| TypeId::of(&format!("{}{}", first.to_ascii_lowercase(), &suffix[1..])))
}

fn push_elements<'t, 'a>(direct: Option<Node<'t, 'a>>, under: Option<Node<'t, 'a>>, type_id: Option<TypeId>, out: &mut Collection<'t, 'a>) {
    let array = |node: Option<Node<'t, 'a>>| node.filter(|node| node.kind() == Kind::Array);
    let direct_value = direct.filter(|node| node.kind() != Kind::Null);
    // A list beside a single value is no FHIR; the value is not lost for it.
    if array(direct).is_none() && (array(under).is_none() || direct_value.is_some()) {
        let (direct, under) = (direct_value, under.filter(|node| node.kind() != Kind::Array));
        if direct.is_some() || under.is_some() {
            out.push(Item::Element(Element {
                node: direct,
                under,
                type_id: refined(direct, type_id),
            }));
        }
        return;
    }
    let mut values = array(direct).map(Node::children);
    let mut unders = array(under).map(Node::children);
    loop {
        let value = values.as_mut().and_then(Iterator::next);
        let under = unders.as_mut().and_then(Iterator::next);
        if value.is_none() && under.is_none() {
            return;
        }
        out.push(Item::Element(Element {
            node: value.filter(|node| node.kind() != Kind::Null),
            under: under.filter(|node| node.kind() != Kind::Null),
            type_id: refined(value, type_id),
        }));
    }
}

/// Where any resource may stand, the resource says which it is.
fn refined(node: Option<Node<'_, '_>>, type_id: Option<TypeId>) -> Option<TypeId> {
    match type_id {
        Some(known) if known.as_str() != "Resource" => Some(known),
        _ => node
            .filter(|node| node.kind() == Kind::Object)
            .and_then(Node::resource_type)
            .and_then(TypeId::of)
            .or(type_id),
    }
}

/// One item of a collection.
#[derive(Clone)]
pub enum Item<'t, 'a> {
    Element(Element<'t, 'a>),
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    Text(Text<'t, 'a>),
    Temporal(Temporal),
    Quantity(Decimal, Text<'t, 'a>),
    /// What `type()` gives: namespace and name.
    TypeInfo(&'static str, Cow<'a, str>),
}

impl<'t> From<&'t Literal> for Item<'t, '_> {
    fn from(literal: &'t Literal) -> Self {
        match literal {
            Literal::Boolean(value) => Item::Boolean(*value),
            Literal::Integer(value) => Item::Integer(*value),
            Literal::Decimal(value) => Item::Decimal(*value),
            Literal::Text(text) => Item::Text(Text::Expression(text)),
            Literal::Temporal(temporal) => Item::Temporal(*temporal),
            Literal::Quantity(number, unit) => Item::Quantity(*number, Text::Expression(unit)),
        }
    }
}

impl<'t, 'a> Item<'t, 'a> {
    /// The item with primitive elements and FHIR quantities read into values; other elements stay.
    pub fn plain(self) -> Item<'t, 'a> {
        let Item::Element(element) = &self else { return self };
        if let Some(value) = element.value() {
            return value;
        }
        quantity(element).unwrap_or(self)
    }

    /// Steps that reading the value takes, beyond the first.
    pub(super) fn weight(&self) -> usize {
        match self {
            Item::Text(text) | Item::Quantity(_, text) => text.len() / 32,
            Item::Element(element) if element.is_primitive() => element.node.map_or(0, |node| node.raw().len() / 32),
            _ => 0,
        }
    }

    /// Steps that copying the item takes, beyond the first: text of the line is not copied.
    pub(super) fn copied(&self) -> usize {
        match self {
            Item::Text(Text::Line(Cow::Owned(text))) => 1 + text.len() / 32,
            _ => 0,
        }
    }

    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Item::Integer(number) => Some((*number).into()),
            Item::Decimal(number) => Some(*number),
            _ => None,
        }
    }

    /// The text the value prints as; `None` for complex elements.
    pub fn to_text(&self) -> Option<Text<'t, 'a>> {
        Some(match self {
            Item::Element(element) => Text::Line(element.value_node().filter(|_| element.is_primitive())?.text()),
            Item::Boolean(value) => Text::Expression(if *value { "true" } else { "false" }),
            Item::Integer(number) => number.to_string().into(),
            Item::Decimal(number) => number.to_string().into(),
            Item::Text(text) => text.clone(),
            Item::Temporal(temporal) => temporal.to_string().into(),
            Item::Quantity(number, unit) if is_calendar_unit(unit) => format!("{number} {}", &**unit).into(),
            Item::Quantity(number, unit) => format!("{number} '{}'", &**unit).into(),
            Item::TypeInfo(namespace, name) => format!("{namespace}.{name}").into(),
        })
    }

    /// Name of the System type of a computed value.
    pub fn system_type(&self) -> &'static str {
        match self {
            Item::Element(_) => "Any",
            Item::Boolean(_) => "Boolean",
            Item::Integer(_) => "Integer",
            Item::Decimal(_) => "Decimal",
            Item::Text(_) => "String",
            Item::Temporal(temporal) => match temporal.sort {
                Sort::Date => "Date",
                Sort::DateTime => "DateTime",
                Sort::Time => "Time",
            },
            Item::Quantity(..) => "Quantity",
            Item::TypeInfo(..) => "TypeInfo",
        }
    }
}

/// Calendar words of FHIRPath, singular and plural.
pub(super) fn is_calendar_unit(unit: &str) -> bool {
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    matches!(
        singular,
        "year" | "month" | "week" | "day" | "hour" | "minute" | "second" | "millisecond"
    )
}

/// A FHIR Quantity (or Age, Duration, …) as a FHIRPath quantity.
fn quantity<'t, 'a>(element: &Element<'t, 'a>) -> Option<Item<'t, 'a>> {
    const QUANTITIES: [&str; 6] = ["Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity"];
    if !QUANTITIES.contains(&element.type_text()?) {
        return None;
    }
    let node = element.node?;
    let number = Decimal::parse(node.get(Name::of("value"))?.raw())?;
    let unit = node.get(Name::of("code")).or_else(|| node.get(Name::of("unit")));
    Some(Item::Quantity(
        number,
        unit.map_or(Text::Expression("1"), |unit| Text::Line(unit.text())),
    ))
}
