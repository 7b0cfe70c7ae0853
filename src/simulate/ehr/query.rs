//! A FHIR search: read from its parameters as strictly as the client wants, and held against resources.
//! All parameters must hold; of the values of one, separated by commas, any. Basis: FHIR R4 (4.0.1), Search.

use serde_json::Value;

use super::moment::Moments;
use super::reply::Refused;
use super::terms::{self, Compare, Term};

/// Entries of a page that names no `_count`, and the most it may name.
pub(super) const PAGE: usize = 50;
const PAGE_AT_MOST: usize = 1000;

/// What a search asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) kind: String,
    pub(super) criteria: Vec<Criterion>,
    /// The parameters whose targets come along, and of which type; None: of any.
    pub(super) include: Vec<(&'static Term, Option<String>)>,
    pub(super) count: usize,
    /// `_summary=count`: the number only.
    pub(super) only_total: bool,
    /// `_sort=_lastUpdated`: the oldest first; `-_lastUpdated`: the newest.
    pub(super) sort: Option<Sort>,
    /// What was understood, as it came: the `self` link.
    pub(super) understood: Vec<(String, String)>,
    /// Names of what was not.
    pub(super) ignored: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    OldestFirst,
    NewestFirst,
}

/// One parameter with its values.
#[derive(Clone, Debug)]
pub(super) struct Criterion {
    pub(super) term: &'static Term,
    modifier: Modifier,
    pub(super) values: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Modifier {
    None,
    Not,
    Missing(bool),
    Exact,
    Contains,
}

impl Query {
    /// Reads the parameters of a search of `kind`. `lacks` names parameters that this server has not; what is not known
    /// is refused, or ignored if the client is `lenient`.
    pub(super) fn read(kind: &str, parameters: &[(String, String)], lacks: &[&str], lenient: bool) -> Result<Self, Refused> {
        let mut query = Self {
            kind: kind.to_owned(),
            count: PAGE,
            ..Self::default()
        };
        for (name, value) in parameters {
            let known = !lacks.contains(&name.split(':').next().unwrap_or(name)) && query.take(name, value)?;
            if known {
                query.understood.push((name.clone(), value.clone()));
            } else if lenient {
                query.ignored.push(name.clone());
            } else {
                return Err(Refused::invalid(format!(
                    "the search parameter `{name}` is not supported for {kind}; with `Prefer: handling=lenient` it is ignored"
                )));
            }
        }
        Ok(query)
    }

    /// True if the parameter is one of ours.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, Refused> {
        let odd = || {
            Refused::invalid(format!(
                "the value of the search parameter `{name}` is not one that this server has"
            ))
        };
        match name {
            "_count" => self.count = value.parse::<usize>().map_err(|_| odd())?.min(PAGE_AT_MOST),
            "_format" if value.contains("json") => {}
            "_total" if matches!(value, "none" | "estimate" | "accurate") => {}
            "_summary" if value == "count" => self.only_total = true,
            "_summary" if value == "false" => {}
            "_sort" if value == "_lastUpdated" => self.sort = Some(Sort::OldestFirst),
            "_sort" if value == "-_lastUpdated" => self.sort = Some(Sort::NewestFirst),
            "_include" => {
                let mut parts = value.split(':');
                let term = (parts.next() == Some(&self.kind)).then(|| parts.next().and_then(|name| terms::find(&self.kind, name)));
                let term = term
                    .flatten()
                    .filter(|term| matches!(term.compare, Compare::Reference | Compare::Patient));
                self.include.push((term.ok_or_else(odd)?, parts.next().map(str::to_owned)));
            }
            "_format" | "_total" | "_summary" | "_sort" => return Err(odd()),
            _ => {
                let (base, modifier) = name.split_once(':').map_or((name, None), |(base, modifier)| (base, Some(modifier)));
                let Some(term) = terms::find(&self.kind, base) else {
                    return Ok(false);
                };
                self.criteria.push(Criterion::read(term, modifier, value).ok_or_else(odd)?);
            }
        }
        Ok(true)
    }

    /// Whether the search finds this resource.
    pub(super) fn finds(&self, line: &str) -> bool {
        self.holds(&self.criteria.iter().collect::<Vec<_>>(), line)
    }

    /// Whether these criteria hold.
    pub(super) fn holds(&self, criteria: &[&Criterion], line: &str) -> bool {
        if criteria.is_empty() {
            return true;
        }
        let Ok(resource) = serde_json::from_str::<Value>(line) else {
            return false;
        };
        criteria.iter().all(|criterion| criterion.holds(&self.kind, line, &resource))
    }
}

impl Criterion {
    fn read(term: &'static Term, modifier: Option<&str>, value: &str) -> Option<Self> {
        let mut values: Vec<String> = value.split(',').map(str::to_owned).collect();
        if values.iter().any(String::is_empty) {
            return None;
        }
        let modifier = match (modifier, term.compare) {
            (None, _) => Modifier::None,
            (Some("missing"), _) => Modifier::Missing(value.parse().ok()?),
            (Some("not"), Compare::Token) => Modifier::Not,
            (Some("exact"), Compare::Text) => Modifier::Exact,
            (Some("contains"), Compare::Text) => Modifier::Contains,
            (Some(kind), Compare::Reference | Compare::Patient) if kind.starts_with(|first: char| first.is_ascii_uppercase()) => {
                values = values.into_iter().map(|id| format!("{kind}/{id}")).collect();
                Modifier::None
            }
            _ => return None,
        };
        let dates = term.compare == Compare::Date && modifier == Modifier::None;
        if dates && values.iter().any(|value| Moments::of_search(value).is_none()) {
            return None;
        }
        Some(Self { term, modifier, values })
    }

    /// True if the values can be looked up, because nothing modifies them.
    pub(super) fn is_plain(&self) -> bool {
        self.modifier == Modifier::None
    }

    /// Whether a moment is one of those asked for.
    pub(super) fn at(&self, moment: jiff::Timestamp) -> bool {
        let moment = Moments::instant(moment);
        self.values.iter().any(|wanted| Moments::compare(wanted, moment))
    }

    fn holds(&self, kind: &str, line: &str, resource: &Value) -> bool {
        if self.term.compare == Compare::Patient {
            let patient = super::super::world::patient(kind, line);
            return match self.modifier {
                Modifier::Missing(missing) => patient.is_none() == missing,
                _ => patient.is_some_and(|patient| self.patients().any(|wanted| wanted == patient)),
            };
        }
        let found: Vec<&Value> = self.term.paths.split(' ').flat_map(|path| at(resource, path)).collect();
        let any = |test: &dyn Fn(&Value, &str) -> bool| found.iter().any(|value| self.values.iter().any(|wanted| test(value, wanted)));
        match self.modifier {
            Modifier::Missing(missing) => found.is_empty() == missing,
            Modifier::Not => !any(&is_token),
            Modifier::Exact => any(&|value, wanted| texts(value).any(|text| text == wanted)),
            Modifier::Contains => any(&|value, wanted| texts(value).any(|text| text.to_lowercase().contains(&wanted.to_lowercase()))),
            Modifier::None => match self.term.compare {
                Compare::Token => any(&is_token),
                Compare::Uri => any(&|value, wanted| value == wanted),
                Compare::Text => any(&|value, wanted| texts(value).any(|text| text.to_lowercase().starts_with(&wanted.to_lowercase()))),
                Compare::Reference => any(&refers_to),
                Compare::Date => any(&|value, wanted| Moments::of_element(value).is_some_and(|is| Moments::compare(wanted, is))),
                Compare::Patient => false,
            },
        }
    }

    /// The ids of the patients asked for.
    pub(super) fn patients(&self) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .filter(|value| !value.contains('/') || value.contains("Patient/"))
            .map(|value| value.rsplit('/').next().unwrap_or(value))
    }
}

/// The values at a path; the items of arrays each.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut found = vec![value];
    for name in path.split('.') {
        found = found.into_iter().filter_map(|value| value.get(name)).flat_map(items).collect();
    }
    found
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

/// `code`, `system|code`, `|code` or `system|` against a code, a boolean, a Coding, a CodeableConcept or an Identifier.
fn is_token(value: &Value, wanted: &str) -> bool {
    let (system, code) = wanted.split_once('|').map_or((None, wanted), |(system, code)| (Some(system), code));
    match value {
        // The system of a plain code is known from its definition, not from the resource.
        Value::String(text) => text == code,
        Value::Bool(truth) => truth.to_string() == code,
        Value::Object(object) => {
            if let Some(codings) = object.get("coding") {
                return items(codings).iter().any(|coding| is_token(coding, wanted));
            }
            let text = |name: &str| object.get(name).and_then(Value::as_str);
            let is_system = match system {
                None => true,
                Some("") => text("system").is_none(),
                Some(system) => text("system") == Some(system),
            };
            is_system && (code.is_empty() || text("code").or_else(|| text("value")) == Some(code))
        }
        _ => false,
    }
}

/// A Reference against `Type/id`, `id` or an address that ends so.
fn refers_to(value: &Value, wanted: &str) -> bool {
    let Some(reference) = value.get("reference").and_then(Value::as_str) else {
        return false;
    };
    let reference = reference.split("/_history/").next().unwrap_or(reference);
    let tail = |text: &str, parts: usize| text.rsplit('/').take(parts).map(str::to_owned).collect::<Vec<_>>();
    if let Some(id) = reference.strip_prefix("urn:uuid:") {
        return tail(wanted, 1) == [id];
    }
    let parts = if wanted.contains('/') { 2 } else { 1 };
    tail(reference, parts) == tail(wanted, parts)
}

/// The texts of a string or a HumanName.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let parts = ["family", "given", "text"].into_iter().flat_map(|name| at(value, name));
    std::iter::once(value).chain(parts).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"resourceType":"Observation","id":"o1","status":"final","category":[{"coding":[{"system":"http://c","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"718-7"},{"code":"local"}]},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"https://x/fhir/Encounter/e1/_history/2"},"effectivePeriod":{"start":"2026-03-01T10:00:00-05:00","end":"2026-03-02"}}"#;

    fn check(search: &str, expected: bool) {
        let parameters: Vec<(String, String)> = search
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let query = Query::read("Observation", &parameters, &[], false).unwrap_or_else(|_| panic!("{search} is refused"));
        let criteria: Vec<_> = query.criteria.iter().collect();
        assert_eq!(query.holds(&criteria, RESULT), expected, "{search}");
    }

    #[test]
    fn searches_hold_as_the_standard_says() {
        for (search, expected) in [
            ("code=718-7", true),
            ("code=http://loinc.org|718-7", true),
            ("code=http://snomed.info/sct|718-7", false),
            ("code=|local", true),
            ("code=|718-7", false),
            ("code=http://loinc.org|", true),
            ("code=1-1,718-7", true),
            ("code=718-7&category=vital-signs", false),
            ("code:not=718-7", false),
            ("code:not=1-1", true),
            ("status=final", true),
            ("patient=p1", true),
            ("patient=Patient/p1", true),
            ("subject:Patient=p1", true),
            ("subject=Group/p1", false),
            ("patient=p2,p1", true),
            ("encounter=e1", true),
            ("encounter=Encounter/e1", true),
            ("encounter=Location/e1", false),
            ("has-member:missing=true", true),
            ("encounter:missing=true", false),
            ("date=ge2026-03-01", true),
            // The day contains the end of the period, not the period.
            ("date=ge2026-03-02", false),
            ("date=gt2026-03-02", false),
            ("date=lt2026-03-01T16:00:00Z", true),
            ("date=2026-03", true),
            ("date=sa2026-02", true),
            ("date=eb2026-03-02", false),
            ("_id=o1", true),
            ("_id=o2", false),
        ] {
            check(search, expected);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_or_ignored_on_request() {
        for (name, value) in [
            ("colour", "red"),
            ("code:in", "http://valueset"),
            ("patient.name", "x"),
            ("date", "ge20260301"),
            ("_include", "Observation:code"),
            ("_include", "Patient:general-practitioner"),
            ("_sort", "date"),
            ("_count", "many"),
            ("code", ""),
        ] {
            let parameters = [(name.to_owned(), value.to_owned())];
            assert!(Query::read("Observation", &parameters, &[], false).is_err(), "{name}={value}");
        }
        let parameters = [("colour".to_owned(), "red".to_owned()), ("code".to_owned(), "718-7".to_owned())];
        let query = Query::read("Observation", &parameters, &[], true).unwrap_or_else(|_| panic!("lenient"));
        assert_eq!((query.ignored, query.criteria.len()), (vec!["colour".to_owned()], 1));
        let lacks = [("_lastUpdated".to_owned(), "ge2026".to_owned())];
        assert!(Query::read("Observation", &lacks, &["_lastUpdated"], false).is_err());
    }
}
