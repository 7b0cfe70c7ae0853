//! What one FHIR Consent says of this network, as clauses over days. Knows one resource; `landed` knows which one counts.
//! FHIR 4.0.1, "Consent": status, scope, category, dateTime, policyRule, provision and the provisions in it.
//!
//! Readings. Of a permission every limit must be one we know to be met: a permission for other actors, classes or purposes is
//! none of ours. Of a denial no limit is taken for an escape: a denial we cannot place counts. R4 says that the root rule has
//! no `type`, and its users give it one; we take it, else `policyRule` OPTIN or OPTOUT, else the root says nothing.
//! `period` is when a rule holds: one that has not begun or is over on the day of the run does not speak. `dataPeriod` is
//! which data it speaks of. A permission without one speaks of data from its own beginning on, unless the site says otherwise.
//! A status, type or provision that is none of FHIR's may be a misspelt no: it denies, and is told. A scope without a code may be
//! ours: of such a consent only the denials count.

use std::borrow::Cow;

use jiff::civil::Date;

use super::leave::Clause;
use super::settings::ConsentSettings;
use super::subject::{self, days};
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};

/// Provisions in provisions are read so deep; deeper ones deny.
const DEPTH: usize = 8;

/// One consent, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// `Consent.dateTime` as it is written; empty when it does not say.
    pub given: String,
    pub clauses: Vec<Clause>,
    /// Something of it is none of FHIR's where it says yes or no, and was taken for a no.
    pub is_doubtful: bool,
}

/// `Consent.status`, FHIR R4 ConsentState; those of which nothing follows.
const SILENT: [&str; 4] = ["draft", "proposed", "inactive", "entered-in-error"];

/// The patient (`Patient/id`) and what is said, if this consent speaks of us and holds. `today` is the day of the run's data.
pub(super) fn read(root: Node<'_, '_>, settings: &ConsentSettings, today: Date) -> Option<(String, Statement)> {
    if root.resource_type() != Some("Consent") {
        return None;
    }
    let status = text(root, "status");
    let is_of_scope = any_coding(root, "scope", &settings.scopes);
    let scope_is_unclear = !has_code(root, "scope");
    let is_of_category = settings.categories.is_empty() || any_coding(root, "category", &settings.categories);
    if !(is_of_scope || scope_is_unclear) || !is_of_category || SILENT.contains(&status.as_ref()) {
        return None;
    }
    let patient = subject::of(root)?;
    // A moment that cannot be read is none.
    let given = Some(text(root, "dateTime")).filter(|given| days(given).is_some());
    let given = given.unwrap_or_default().into_owned();
    let mut clauses = Vec::new();
    let is_doubtful = !matches!(status.as_ref(), "active" | "rejected") || is_odd(root);
    if status == "rejected" || is_doubtful || is_not_understood(root) {
        clauses.push(Clause::always(false));
    } else {
        let reading = Reading { settings, today };
        let by_policy = match () {
            () if any_coding(root, "policyRule", &["OPTOUT".to_owned()]) => Some(false),
            () if any_coding(root, "policyRule", &["OPTIN".to_owned()]) => Some(true),
            () => None,
        };
        let begins = days(&given).map(|given| given.0);
        match member(root, "provision") {
            Some(provision) => reading.provision(provision, by_policy, begins, 0, &mut clauses),
            None => clauses.extend(by_policy.and_then(|permits| reading.clause(permits, (None, None), begins))),
        }
    }
    if !is_of_scope {
        clauses.retain(|clause| !clause.permits);
    }
    let statement = Statement {
        given,
        clauses,
        is_doubtful,
    };
    Some((patient, statement))
}

/// Whether a provision, at any depth that is read, is none of FHIR's: not an object, or of a type that is neither.
fn is_odd(root: Node<'_, '_>) -> bool {
    let mut left: Vec<(Node<'_, '_>, usize)> = match member(root, "provision") {
        Some(provision) => vec![(provision, 0)],
        None => return false,
    };
    while let Some((node, depth)) = left.pop() {
        let kind = member(node, "type");
        if node.kind() != Kind::Object || (kind.is_some() && !matches!(text(node, "type").as_ref(), "permit" | "deny")) {
            return true;
        }
        if depth < DEPTH {
            left.extend(items(node, "provision").map(|below| (below, depth + 1)));
        }
    }
    false
}

/// Whether a member has a code at all.
fn has_code(node: Node<'_, '_>, name: &str) -> bool {
    let is_code = |coding: Node<'_, '_>| !text(coding, "code").is_empty();
    items(node, name).any(|item| match member(item, "coding") {
        Some(codings) => each(codings).any(is_code),
        None => is_code(item),
    })
}

struct Reading<'s> {
    settings: &'s ConsentSettings,
    today: Date,
}

impl Reading<'_> {
    /// What a provision and those in it say. `otherwise`: its type where it has none; `begins`: when what it stands in began.
    fn provision(&self, node: Node<'_, '_>, otherwise: Option<bool>, begins: Option<Date>, depth: usize, clauses: &mut Vec<Clause>) {
        let permits = match text(node, "type").as_ref() {
            "permit" => Some(true),
            "deny" => Some(false),
            _ => otherwise,
        };
        if depth == DEPTH || is_not_understood(node) {
            clauses.push(Clause::always(false));
            return;
        }
        let period = member(node, "period").map(period);
        let is_permit = permits == Some(true);
        if let Some(period) = &period
            && !self.holds(period, is_permit)
        {
            return;
        }
        let begins = period.and_then(|period| period.start.known()).or(begins);
        if let Some(permits) = permits.filter(|permits| self.concerns_us(node, *permits)) {
            let data = member(node, "dataPeriod").map(self::period);
            match data {
                // Of a time that cannot be read a denial means all, a permission nothing.
                Some(data) if data.is_unclear() => clauses.extend((!permits).then_some(Clause::always(false))),
                data => {
                    let data = data.map_or((None, None), |data| (data.start.known(), data.end.known()));
                    clauses.extend(self.clause(permits, data, begins));
                }
            }
        }
        // Of exceptions on one level the denials come last: they count.
        let nested: Vec<_> = items(node, "provision").collect();
        let is_deny = |node: &Node<'_, '_>| text(*node, "type") != "permit";
        for node in nested
            .iter()
            .filter(|node| !is_deny(node))
            .chain(nested.iter().filter(|node| is_deny(node)))
        {
            self.provision(*node, Some(false), begins, depth + 1, clauses);
        }
    }

    fn clause(&self, permits: bool, (from, until): (Option<Date>, Option<Date>), begins: Option<Date>) -> Option<Clause> {
        let from = match (from, permits && !self.settings.retrospective) {
            (None, true) => Some(begins?),
            (from, _) => from,
        };
        Some(Clause { permits, from, until })
    }

    fn holds(&self, period: &Period, is_permit: bool) -> bool {
        let begun = match period.start {
            End::Open => true,
            End::Day(day) => day <= self.today,
            End::Unclear => !is_permit,
        };
        let lasts = match period.end {
            End::Open => true,
            End::Day(day) => self.today <= day,
            End::Unclear => !is_permit,
        };
        begun && lasts
    }

    /// Whether a provision speaks of this network.
    fn concerns_us(&self, node: Node<'_, '_>, permits: bool) -> bool {
        let s = self.settings;
        let has = |name: &str| member(node, name).is_some();
        let codes = !has("code") || any_coding(node, "code", &s.codes) || (!permits && s.codes.is_empty());
        let purposes = !has("purpose") || any_coding(node, "purpose", &s.purposes);
        if !permits {
            return codes && purposes;
        }
        let is_us = |actor: Node<'_, '_>| {
            let named = member(actor, "reference").map(|reference| text(reference, "reference").into_owned());
            named.is_some_and(|named| s.actors.contains(&named))
        };
        let actors = !has("actor") || items(node, "actor").any(is_us);
        let actions = !has("action") || any_coding(node, "action", &["disclose".to_owned()]);
        let limited = ["securityLabel", "class", "data"].into_iter().any(has);
        codes && purposes && actors && actions && !limited
    }
}

/// One end of a period.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Day(Date),
    Unclear,
}

impl End {
    fn known(self) -> Option<Date> {
        match self {
            End::Day(day) => Some(day),
            _ => None,
        }
    }
}

struct Period {
    start: End,
    end: End,
}

impl Period {
    fn is_unclear(&self) -> bool {
        self.start == End::Unclear || self.end == End::Unclear
    }
}

fn period(node: Node<'_, '_>) -> Period {
    let end = |name: &str, pick: fn((Date, Date)) -> Date| match member(node, name) {
        None => End::Open,
        Some(value) => days(&value.text()).map(pick).map_or(End::Unclear, End::Day),
    };
    Period {
        start: end("start", |days| days.0),
        end: end("end", |days| days.1),
    }
}

/// An extension that changes the meaning, or rules of which we do not know what they say (FHIR 4.0.1, "Modifier Extensions").
fn is_not_understood(node: Node<'_, '_>) -> bool {
    member(node, "modifierExtension").is_some() || member(node, "implicitRules").is_some()
}

/// Whether one of the codings below a member (Coding or CodeableConcept, one or many) is in the list.
pub(super) fn any_coding(node: Node<'_, '_>, name: &str, list: &[String]) -> bool {
    items(node, name).any(|item| match member(item, "coding") {
        Some(codings) => each(codings).any(|coding| is_listed(coding, list)),
        None => is_listed(item, list),
    })
}

fn is_listed(coding: Node<'_, '_>, list: &[String]) -> bool {
    let (system, code) = (text(coding, "system"), text(coding, "code"));
    !code.is_empty()
        && list.iter().any(|wanted| match wanted.rsplit_once('|') {
            Some((of, wanted)) => of == system && wanted == code,
            None => *wanted == *code,
        })
}

fn member<'t, 'a>(node: Node<'t, 'a>, name: &str) -> Option<Node<'t, 'a>> {
    node.get(Name::of(name))
}

pub(super) fn text<'a>(node: Node<'_, 'a>, name: &str) -> Cow<'a, str> {
    let found = member(node, name).filter(|found| found.kind() == Kind::String);
    found.map(Node::text).unwrap_or_default()
}

/// The items of a member: one, or those of its array.
fn items<'t, 'a>(node: Node<'t, 'a>, name: &str) -> impl Iterator<Item = Node<'t, 'a>> {
    member(node, name).into_iter().flat_map(each)
}

fn each<'t, 'a>(node: Node<'t, 'a>) -> impl Iterator<Item = Node<'t, 'a>> {
    let is_array = node.kind() == Kind::Array;
    let one = (!is_array).then_some(node);
    one.into_iter().chain(is_array.then(|| node.children()).into_iter().flatten())
}

#[cfg(test)]
mod tests;
