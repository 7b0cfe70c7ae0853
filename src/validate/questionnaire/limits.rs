//! What a question says of the value of an answer besides its type: length, pattern, places, least and most, units, media types,
//! size, what a reference leads to. All but `maxLength` are extensions of R4 or of Structured Data Capture.
//! What cannot be compared for want of a number or of precision is not beyond a limit; a quantity whose unit is not that of the
//! limit is.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use super::value::{Apart, Code, Sort, Value, chosen};
use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::{Membership, ValueSet};

/// Where the extensions of FHIR's own are defined.
const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";
/// And those of Structured Data Capture.
const CAPTURE: &str = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-";

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 18;

/// The extensions `name` of a node, by either place.
pub(super) fn extensions<'t, 'a>(node: Node<'t, 'a>, name: &str) -> impl Iterator<Item = Node<'t, 'a>> + use<'t, 'a> {
    let (core, capture) = (format!("{CORE}{name}"), format!("{CAPTURE}{name}"));
    super::value::list(node, Name::EXTENSION).filter(move |extension| {
        let url = extension.get(Name::URL).filter(|url| url.kind() == Kind::String);
        url.is_some_and(|url| url.is_text(&core) || url.is_text(&capture))
    })
}

/// The value of an extension, whatever its type.
pub(super) fn content<'t, 'a>(extension: Node<'t, 'a>) -> Option<Node<'t, 'a>> {
    let is_value = |child: &Node<'_, '_>| child.name().as_str().starts_with("value");
    extension.children().find(is_value)
}

/// The first value of the extensions `name`.
pub(super) fn one<'t, 'a>(node: Node<'t, 'a>, name: &str) -> Option<Node<'t, 'a>> {
    extensions(node, name).find_map(content)
}

/// The first of them as a whole number.
pub(super) fn whole<N: std::str::FromStr>(node: Node<'_, '_>, name: &str) -> Option<N> {
    one(node, name).filter(|value| value.kind() == Kind::Number)?.raw().parse().ok()
}

#[derive(Debug, Default)]
pub(super) struct Bounds {
    longest: Option<usize>,
    shortest: Option<usize>,
    pattern: Option<Regex>,
    places: Option<u32>,
    least: Option<Value>,
    most: Option<Value>,
    units: Vec<Code>,
    unit_set: Option<ValueSet>,
    media: Vec<String>,
    bytes: Option<u64>,
    /// Types of resources that a reference may lead to; any, if empty.
    pub targets: Vec<TypeId>,
}

impl Bounds {
    /// What `item` of a Questionnaire says. `trusted`: a pattern of whoever sent the response is not run.
    pub fn of(item: Node<'_, '_>, trusted: bool, set: impl FnOnce(&str) -> Option<ValueSet>) -> Self {
        let strings = |name: &str| -> Vec<String> {
            let values = extensions(item, name).filter_map(content);
            let strings = values.filter(|value| value.kind() == Kind::String);
            strings.map(|value| value.text().into_owned()).collect()
        };
        let value = |name: &str| extensions(item, name).find_map(|extension| Value::read(extension, "value"));
        let longest = item.get(Name::of("maxLength")).filter(|most| most.kind() == Kind::Number);
        let pattern = strings("regex").into_iter().next().filter(|_| trusted);
        let megabytes = one(item, "maxSize").filter(|most| most.kind() == Kind::Number);
        let bytes = |megabytes: Decimal| u64::try_from(megabytes.times(Decimal::from(1_i64 << 20))?.floor()).ok();
        // Units beyond those that are named may be given.
        let is_open = strings("unitOpen").iter().any(|open| open != "optionsOnly");
        let units = extensions(item, "questionnaire-unitOption")
            .filter_map(chosen_coding)
            .map(Code::of)
            .filter(|_| !is_open);
        Self {
            longest: longest.and_then(|most| most.raw().parse().ok()),
            shortest: whole(item, "minLength"),
            pattern: pattern.as_deref().and_then(compiled),
            places: whole(item, "maxDecimalPlaces"),
            least: value("minValue").or_else(|| value("minQuantity")),
            most: value("maxValue").or_else(|| value("maxQuantity")),
            units: units.collect(),
            unit_set: strings("questionnaire-unitValueSet")
                .first()
                .filter(|_| !is_open)
                .and_then(|canonical| set(canonical)),
            media: strings("mimeType").iter().map(|kind| essence(kind)).collect(),
            bytes: megabytes.and_then(|most| bytes(Decimal::parse(most.raw())?)),
            targets: strings("questionnaire-referenceResource")
                .iter()
                .filter_map(|kind| TypeId::of(kind))
                .collect(),
        }
    }

    /// The rules that a value breaks.
    pub fn faults(&self, sort: Sort, node: Node<'_, '_>) -> Vec<&'static str> {
        let mut found = Vec::new();
        match sort {
            Sort::String | Sort::Uri => self.text(node, &mut found),
            Sort::Decimal => self.places(node, &mut found),
            Sort::Quantity => {
                if let Some(value) = node.get(Name::of("value")) {
                    self.places(value, &mut found);
                }
                self.unit(node, &mut found);
            }
            Sort::Attachment => self.attachment(node, &mut found),
            _ => {}
        }
        for (bound, beyond, rule) in [
            (&self.least, Ordering::Less, "less than allowed"),
            (&self.most, Ordering::Greater, "more than allowed"),
        ] {
            match bound.as_ref().map(|bound| bound.limits(sort, node)) {
                Some(Ok(Some(order))) if order == beyond => found.push(rule),
                Some(Err(Apart::Units)) => found.push("unit of the limit"),
                _ => {}
            }
        }
        found
    }

    fn text(&self, node: Node<'_, '_>, found: &mut Vec<&'static str>) {
        if self.longest.is_none() && self.shortest.is_none() && self.pattern.is_none() {
            return;
        }
        let text = node.text();
        let length = text.chars().count();
        if self.longest.is_some_and(|most| length > most) {
            found.push("longer than allowed");
        }
        if self.shortest.is_some_and(|least| length < least) {
            found.push("shorter than allowed");
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&text)) {
            found.push("pattern of the answer");
        }
    }

    fn places(&self, number: Node<'_, '_>, found: &mut Vec<&'static str>) {
        let number = Decimal::parse(number.raw()).map(Decimal::trimmed);
        if let (Some(most), Some(number)) = (self.places, number)
            && number.scale() > most
        {
            found.push("decimal places");
        }
    }

    fn unit(&self, quantity: Node<'_, '_>, found: &mut Vec<&'static str>) {
        let outside = match &self.unit_set {
            Some(set) => {
                let code = Code::of(quantity);
                match (&code.system, &code.code) {
                    (_, None) => true,
                    (Some(system), Some(code)) => set.membership(system, code) == Membership::Out,
                    (None, Some(code)) => set.membership_of_code(code) == Membership::Out,
                }
            }
            None => !self.units.is_empty() && !self.units.iter().any(|unit| unit.is(quantity)),
        };
        if outside {
            found.push("unit not allowed");
        }
    }

    fn attachment(&self, attachment: Node<'_, '_>, found: &mut Vec<&'static str>) {
        let kind = super::value::text(attachment, Name::of("contentType")).map(|kind| essence(&kind));
        if let Some(kind) = kind.filter(|_| !self.media.is_empty()) {
            let of_all = kind.split('/').next().map(|first| format!("{first}/*"));
            if !self
                .media
                .iter()
                .any(|allowed| *allowed == kind || Some(allowed) == of_all.as_ref())
            {
                found.push("media type");
            }
        }
        let Some(most) = self.bytes else { return };
        let said = attachment.get(Name::of("size")).and_then(|size| size.raw().parse::<u64>().ok());
        let data = attachment.get(Name::of("data")).filter(|data| data.kind() == Kind::String);
        // Four digits are three bytes; what is not counted exactly is counted less.
        let held = data.map(|data| {
            let digits = data
                .raw()
                .bytes()
                .filter(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'));
            digits.count() as u64 / 4 * 3
        });
        if said.max(held).is_some_and(|bytes| bytes > most) {
            found.push("attachment size");
        }
    }
}

fn chosen_coding<'t, 'a>(extension: Node<'t, 'a>) -> Option<Node<'t, 'a>> {
    chosen(extension, "value")
        .filter(|(sort, _)| *sort == Sort::Coding)
        .map(|(_, coding)| coding)
}

/// All of a text must match. None where we cannot run it.
fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(PATTERN_BYTES)
        .build()
        .ok()
}

/// A media type without its parameters, in small letters.
fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
