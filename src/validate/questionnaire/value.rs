//! A value of a choice: what an answer holds, an option offers, a condition asks for. Knows how two of them compare.
//! FHIR R4 `QuestionnaireResponse.item.answer.value[x]`, `Questionnaire.item.answerOption.value[x]`, `enableWhen.answer[x]`.

use std::cmp::Ordering;

use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::path::Temporal;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::ucum::Unit;

/// Items in one another: more than any form has. What is deeper is not looked at; the structure check refuses it.
pub(super) const DEPTH: usize = 64;

/// The types of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Boolean,
    Decimal,
    Integer,
    Date,
    DateTime,
    Time,
    String,
    Uri,
    Attachment,
    Coding,
    Quantity,
    Reference,
}

impl Sort {
    /// By what stands behind `value` or `answer` in the member's name.
    fn of(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "Boolean" => Sort::Boolean,
            "Decimal" => Sort::Decimal,
            "Integer" => Sort::Integer,
            "Date" => Sort::Date,
            "DateTime" => Sort::DateTime,
            "Time" => Sort::Time,
            "String" => Sort::String,
            "Uri" => Sort::Uri,
            "Attachment" => Sort::Attachment,
            "Coding" => Sort::Coding,
            "Quantity" => Sort::Quantity,
            "Reference" => Sort::Reference,
            _ => return None,
        })
    }
}

/// The member of the choice `stem` in `node`.
pub(super) fn chosen<'t, 'a>(node: Node<'t, 'a>, stem: &str) -> Option<(Sort, Node<'t, 'a>)> {
    let sorted = |child: Node<'t, 'a>| Some((Sort::of(child.name().as_str().strip_prefix(stem)?)?, child));
    node.children().find_map(sorted)
}

/// The text of a member that is a string.
pub(super) fn text(node: Node<'_, '_>, name: Name) -> Option<String> {
    let found = node.get(name).filter(|found| found.kind() == Kind::String)?;
    Some(found.text().into_owned())
}

/// The items of a member that is an array.
pub(super) fn list<'t, 'a>(node: Node<'t, 'a>, name: Name) -> impl Iterator<Item = Node<'t, 'a>> + use<'t, 'a> {
    let found = node.get(name).filter(|found| found.kind() == Kind::Array);
    found
        .into_iter()
        .flat_map(Node::children)
        .filter(|item| item.kind() == Kind::Object)
}

/// A code of a system, either of which may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub system: Option<String>,
    pub code: Option<String>,
}

impl Code {
    pub fn of(node: Node<'_, '_>) -> Self {
        Self {
            system: text(node, Name::SYSTEM),
            code: text(node, Name::CODE),
        }
    }

    /// The coding is this one.
    pub fn is(&self, coding: Node<'_, '_>) -> bool {
        is_text(coding, Name::SYSTEM, self.system.as_deref()) && is_text(coding, Name::CODE, self.code.as_deref())
    }

    /// The same, where no system of ours means any.
    fn is_any(&self, coding: Node<'_, '_>) -> bool {
        let system = self.system.is_none() || is_text(coding, Name::SYSTEM, self.system.as_deref());
        system && is_text(coding, Name::CODE, self.code.as_deref())
    }
}

fn is_text(node: Node<'_, '_>, name: Name, wanted: Option<&str>) -> bool {
    let found = node.get(name).filter(|found| found.kind() == Kind::String);
    match (found, wanted) {
        (Some(found), Some(wanted)) => found.is_text(wanted),
        (None, None) => true,
        _ => false,
    }
}

/// A Quantity to compare with.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    value: Decimal,
    unit: Option<String>,
    of: Code,
}

const UCUM: &str = "http://unitsofmeasure.org";

/// Why two quantities do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apart {
    /// There is no number.
    Valueless,
    /// The units have no code, or measure different things.
    Units,
}

impl Measure {
    pub fn of(node: Node<'_, '_>) -> Option<Self> {
        Some(Self {
            value: number(node)?,
            unit: text(node, Name::of("unit")),
            of: Code::of(node),
        })
    }

    /// How the Quantity compares with this.
    /// # Errors: it does not.
    pub fn compare(&self, quantity: Node<'_, '_>) -> Result<Ordering, Apart> {
        let number = number(quantity).ok_or(Apart::Valueless)?;
        let other = Code::of(quantity);
        let unitless = |code: &Code, unit: bool| code.code.is_none() && !unit;
        if unitless(&self.of, self.unit.is_some()) && unitless(&other, quantity.get(Name::of("unit")).is_some()) {
            return Ok(number.cmp(&self.value));
        }
        let (Some(code), Some(own)) = (&other.code, &self.of.code) else {
            return Err(Apart::Units);
        };
        if other == self.of {
            return Ok(number.cmp(&self.value));
        }
        let is_ucum = |code: &Code| code.system.as_deref() == Some(UCUM);
        if !is_ucum(&other) || !is_ucum(&self.of) {
            return Err(Apart::Units);
        }
        let (Some(code), Some(own)) = (Unit::parse(code), Unit::parse(own)) else {
            return Err(Apart::Units);
        };
        let (number, own) = code.comparable(number, &own, self.value).ok_or(Apart::Units)?;
        Ok(number.cmp(&own))
    }

    /// The units are written alike, and have no code.
    fn is_alike(&self, quantity: Node<'_, '_>) -> bool {
        self.of.code.is_none() && is_text(quantity, Name::CODE, None) && is_text(quantity, Name::of("unit"), self.unit.as_deref())
    }
}

fn number(quantity: Node<'_, '_>) -> Option<Decimal> {
    let value = quantity.get(Name::of("value")).filter(|value| value.kind() == Kind::Number)?;
    Decimal::parse(value.raw())
}

/// A date, dateTime or time.
pub(super) fn moment(text: &str) -> Option<Temporal> {
    Temporal::date_time(text)
        .or_else(|| Temporal::date(text))
        .or_else(|| Temporal::time(text))
}

/// A value of a definition.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub sort: Sort,
    is: Is,
}

#[derive(Clone, Debug)]
enum Is {
    /// As it is written: booleans, texts.
    Plain(String),
    Moment(Option<Temporal>, String),
    Number(Decimal),
    Coding(Code),
    Quantity(Measure),
    /// Nothing of it is compared.
    Other,
}

impl Value {
    /// The choice `stem` of `node`.
    pub fn read(node: Node<'_, '_>, stem: &str) -> Option<Self> {
        let (sort, node) = chosen(node, stem)?;
        let is = match sort {
            Sort::Boolean | Sort::String | Sort::Uri => Is::Plain(node.text().into_owned()),
            Sort::Date | Sort::DateTime | Sort::Time => Is::Moment(moment(&node.text()), node.text().into_owned()),
            Sort::Decimal | Sort::Integer => Is::Number(Decimal::parse(node.raw())?),
            Sort::Coding => Is::Coding(Code::of(node)),
            Sort::Quantity => Is::Quantity(Measure::of(node)?),
            Sort::Reference => text(node, Name::REFERENCE).map_or(Is::Other, Is::Plain),
            Sort::Attachment => Is::Other,
        };
        Some(Self { sort, is })
    }

    /// It is true, or false.
    pub fn boolean(&self) -> Option<bool> {
        match &self.is {
            Is::Plain(text) if self.sort == Sort::Boolean => Some(text == "true"),
            _ => None,
        }
    }

    /// The answer is this option.
    pub fn is(&self, sort: Sort, node: Node<'_, '_>) -> bool {
        self.sort == sort
            && match &self.is {
                Is::Plain(text) if sort == Sort::Reference => is_text(node, Name::REFERENCE, Some(text)),
                Is::Plain(text) | Is::Moment(_, text) => node.is_text(text),
                Is::Number(number) => Decimal::parse(node.raw()).is_some_and(|found| found == *number),
                Is::Coding(code) => code.is(node),
                Is::Quantity(measure) => measure.compare(node) == Ok(Ordering::Equal),
                Is::Other => false,
            }
    }

    /// Whether the answer equals this, as a condition means it; none where that cannot be told.
    pub fn equals(&self, sort: Sort, node: Node<'_, '_>) -> Option<bool> {
        match &self.is {
            Is::Plain(_) if self.sort == sort => Some(self.is(sort, node)),
            Is::Coding(code) if self.sort == sort => Some(code.is_any(node)),
            Is::Moment(..) | Is::Number(_) | Is::Quantity(_) => self.compare(sort, node).map(|order| order == Ordering::Equal),
            _ => None,
        }
    }

    /// How the answer compares with this; none where it does not.
    pub fn compare(&self, sort: Sort, node: Node<'_, '_>) -> Option<Ordering> {
        let numeric = |sort| matches!(sort, Sort::Integer | Sort::Decimal);
        let timed = |sort| matches!(sort, Sort::Date | Sort::DateTime);
        if self.sort != sort && !(numeric(self.sort) && numeric(sort)) && !(timed(self.sort) && timed(sort)) {
            return None;
        }
        match &self.is {
            Is::Plain(text) if sort == Sort::String => Some(node.text().as_ref().cmp(text)),
            Is::Moment(own, _) => moment(&node.text())?.compare(own.as_ref()?),
            Is::Number(own) => Some(Decimal::parse(node.raw())?.cmp(own)),
            Is::Quantity(measure) => match measure.compare(node) {
                Ok(order) => Some(order),
                Err(_) if measure.is_alike(node) => Some(number(node)?.cmp(&measure.value)),
                Err(_) => None,
            },
            _ => None,
        }
    }

    /// The same for a limit, where a unit that does not compare is a fault of its own.
    pub fn limits(&self, sort: Sort, node: Node<'_, '_>) -> Result<Option<Ordering>, Apart> {
        match (&self.is, sort) {
            (Is::Quantity(measure), Sort::Quantity) => match measure.compare(node) {
                Err(Apart::Valueless) => Ok(None),
                found => found.map(Some),
            },
            _ => Ok(self.compare(sort, node)),
        }
    }
}
