//! A Questionnaire as it is asked: its questions, each with what it allows. Read once when it is loaded, or for one response where
//! that contains it. Of the latter no expression and no pattern is run: whoever sent the data wrote it.
//! Knows nothing of responses.

use std::collections::HashMap;

use serde_json::json;

use super::enable::{Condition, Enable};
use super::limits::{Bounds, content, extensions, one, whole};
use super::value::{DEPTH, Sort, Value, list, moment, text};
use crate::fhir::name::Name;
use crate::fhir::path::{Canonicals, Temporal};
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::ValueSet;
use crate::fhir::value_set::ValueSets;
use crate::validate::issues::{Severity, Source};
use crate::validate::profile::{Asked, Invariant, Known};

/// Finland's expression, older than that of Structured Data Capture; HL7's validator knows both.
const KANTA: &str = "http://phr.kanta.fi/StructureDefinition/fiphr-ext-questionnaire-enablewhen";

#[derive(Debug)]
pub(super) struct Form {
    from: Origin,
    pub questions: Vec<Question>,
    /// Those that stand in no other.
    pub roots: Vec<u32>,
    /// The first of each `linkId`.
    by_link: HashMap<String, u32>,
    /// Of the response as a whole.
    pub constraints: Vec<Invariant>,
    /// When it is to be used.
    pub starts: Option<Temporal>,
    pub ends: Option<Temporal>,
}

/// Where a form comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// Its number in a tally, and what a fault names: file or canonical. None of one that the response contains.
    pub loaded: Option<(u32, String)>,
    /// What a fault means.
    pub severity: Severity,
}

#[derive(Debug)]
pub(super) struct Question {
    pub link: String,
    pub kind: Asking,
    /// Its text, and translations of it.
    pub texts: Vec<String>,
    pub required: bool,
    pub repeats: bool,
    pub least: usize,
    pub most: usize,
    pub parent: Option<u32>,
    /// Its place among the questions of its parent.
    pub place: usize,
    pub children: Vec<u32>,
    pub options: Vec<Choice>,
    /// The codes that answer it, where they are known here.
    pub set: Option<ValueSet>,
    pub bounds: Bounds,
    pub enable: Enable,
    pub constraints: Vec<Invariant>,
}

/// What sort of item it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Group,
    Display,
    /// Answers of one of these types.
    For(&'static [Sort]),
    /// The same; a text of one's own will do where it is not among the options.
    Open(&'static [Sort]),
    /// A type that R4 does not know, or none.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Choice {
    pub value: Value,
    /// Whoever chooses it chooses nothing else.
    pub exclusive: bool,
}

/// What an option may be.
const CHOSEN: &[Sort] = &[Sort::Coding, Sort::Date, Sort::Time, Sort::Integer, Sort::String, Sort::Reference];

impl Asking {
    fn of(kind: &str) -> Self {
        match kind {
            "group" => Asking::Group,
            "display" => Asking::Display,
            "boolean" => Asking::For(&[Sort::Boolean]),
            "decimal" => Asking::For(&[Sort::Decimal]),
            "integer" => Asking::For(&[Sort::Integer]),
            "date" => Asking::For(&[Sort::Date]),
            "dateTime" => Asking::For(&[Sort::DateTime]),
            "time" => Asking::For(&[Sort::Time]),
            "string" | "text" => Asking::For(&[Sort::String]),
            "url" => Asking::For(&[Sort::Uri]),
            "attachment" => Asking::For(&[Sort::Attachment]),
            "reference" => Asking::For(&[Sort::Reference]),
            "quantity" => Asking::For(&[Sort::Quantity]),
            "choice" => Asking::For(CHOSEN),
            "open-choice" => Asking::Open(CHOSEN),
            _ => Asking::Unknown,
        }
    }
}

impl Form {
    pub fn source(&self) -> Source<'_> {
        Source {
            number: self.from.loaded.as_ref().map(|(number, _)| *number),
            name: self.from.loaded.as_ref().map(|(_, name)| name.as_str()),
            severity: self.from.severity,
        }
    }

    /// The source of what is only a warning.
    pub fn mild(&self) -> Source<'_> {
        let source = self.source();
        Source {
            severity: source.severity.max(Severity::Warning),
            ..source
        }
    }

    pub fn find(&self, link: &str) -> Option<u32> {
        self.by_link.get(link).copied()
    }

    pub fn question(&self, number: u32) -> &Question {
        &self.questions[number as usize]
    }

    /// The rule with the question's `linkId`, where that is no part of the data and has only letters that do no harm.
    pub fn named(&self, rule: &str, question: &Question) -> String {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '/' | ':');
        let link = question.link.as_str();
        match self.from.loaded.is_some() && (1..=64).contains(&link.len()) && link.chars().all(is_plain) {
            true => format!("{rule} `{link}`"),
            false => rule.to_owned(),
        }
    }

    /// The innermost question within which both stand, or which one of them is; none if that is the Questionnaire.
    fn common(&self, one: u32, other: u32) -> Option<u32> {
        let above = |of: u32| std::iter::successors(Some(of), |at| self.question(*at).parent);
        let others: Vec<u32> = above(other).collect();
        above(one).find(|at| others.contains(at))
    }
}

/// Url and version.
pub(super) struct Head {
    pub url: Option<String>,
    pub version: Option<String>,
}

impl Head {
    pub fn of(root: Node<'_, '_>) -> Self {
        Self {
            url: text(root, Name::URL),
            version: text(root, Name::of("version")),
        }
    }
}

/// The ValueSets and CodeSystems that a resource contains: the sets by `#id`.
pub(super) fn sets_of(container: Node<'_, '_>) -> ValueSets {
    let mut files = Vec::new();
    for inner in list(container, Name::CONTAINED) {
        let Some(kind @ ("ValueSet" | "CodeSystem")) = inner.resource_type() else {
            continue;
        };
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(inner.raw()) else {
            continue;
        };
        if kind == "ValueSet"
            && let (Some(id), Some(members)) = (text(inner, Name::ID), value.as_object_mut())
        {
            members.insert("url".to_owned(), format!("#{id}").into());
            members.remove("version");
        }
        files.push((String::new(), value.to_string()));
    }
    match files.is_empty() {
        true => ValueSets::default(),
        false => ValueSets::with_packages(&[], files).0,
    }
}

/// How a Questionnaire is read.
pub(super) struct Reading<'r> {
    /// The ValueSet of a canonical, or `#id`.
    pub sets: &'r dyn Fn(&str) -> Option<ValueSet>,
    /// What expressions may name; none where expressions are not run.
    pub canonicals: Option<&'r Canonicals>,
}

/// What of a Questionnaire cannot be checked: of which question, and why.
pub(super) type Notes = Vec<(String, String)>;

struct Reader<'r, 'f> {
    reading: &'r Reading<'r>,
    form: &'f mut Form,
    notes: Notes,
    known: Known,
    /// The conditions as they are written: question, the other's `linkId`, operator, answer.
    conditions: Vec<(u32, Condition, String)>,
}

impl Reading<'_> {
    /// The form that `root` is.
    pub fn form(&self, root: Node<'_, '_>, from: Origin) -> (Form, Notes) {
        let period = root.get(Name::of("effectivePeriod"));
        let bound = |end: &str| moment(&text(period?, Name::of(end))?);
        let mut form = Form {
            from,
            questions: Vec::new(),
            roots: Vec::new(),
            by_link: HashMap::new(),
            constraints: Vec::new(),
            starts: bound("start"),
            ends: bound("end"),
        };
        let mut reader = Reader {
            reading: self,
            form: &mut form,
            notes: Vec::new(),
            known: Known::new(),
            conditions: Vec::new(),
        };
        reader.form.constraints = reader.constraints(root, "", "QuestionnaireResponse");
        reader.form.roots = reader.items(root, None, 0);
        let (notes, conditions) = (reader.notes, reader.conditions);
        for (number, mut condition, link) in conditions {
            condition.target = form.find(&link);
            condition.within = condition.target.and_then(|target| form.common(number, target));
            form.questions[number as usize].enable.when.push(condition);
        }
        (form, notes)
    }
}

impl Reader<'_, '_> {
    fn items(&mut self, holder: Node<'_, '_>, parent: Option<u32>, depth: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        if depth > DEPTH {
            return numbers;
        }
        for item in list(holder, Name::of("item")) {
            let number = self.form.questions.len() as u32;
            let question = self.question(item, number, parent, numbers.len());
            self.form.by_link.entry(question.link.clone()).or_insert(number);
            self.form.questions.push(question);
            numbers.push(number);
            let children = self.items(item, Some(number), depth + 1);
            self.form.questions[number as usize].children = children;
        }
        numbers
    }

    fn question(&mut self, item: Node<'_, '_>, number: u32, parent: Option<u32>, place: usize) -> Question {
        let flag = |name: &str| item.get(Name::of(name)).is_some_and(|flag| flag.raw() == "true");
        let link = text(item, Name::of("linkId")).unwrap_or_default();
        let kind = text(item, Name::of("type")).unwrap_or_default();
        let options = list(item, Name::of("answerOption")).filter_map(|option| {
            Some(Choice {
                value: Value::read(option, "value")?,
                exclusive: one(option, "questionnaire-optionExclusive").is_some_and(|flag| flag.raw() == "true"),
            })
        });
        let mut unknown = Vec::new();
        let mut find = |canonical: &str| {
            let found = (self.reading.sets)(canonical);
            if found.is_none() {
                unknown.push(format!(
                    "the codes of `{canonical}` are not known here, so answers are not held to them"
                ));
            }
            found
        };
        let set = text(item, Name::of("answerValueSet")).and_then(|canonical| find(&canonical));
        let bounds = Bounds::of(item, self.reading.canonicals.is_some(), &mut find);
        self.notes.extend(unknown.into_iter().map(|message| (link.clone(), message)));
        Question {
            kind: Asking::of(&kind),
            texts: texts(item),
            required: flag("required"),
            repeats: flag("repeats"),
            least: whole(item, "questionnaire-minOccurs").unwrap_or(0),
            most: whole(item, "questionnaire-maxOccurs").unwrap_or(usize::MAX),
            parent,
            place,
            children: Vec::new(),
            options: options.collect(),
            set,
            bounds,
            enable: self.enable(item, number, &link),
            constraints: self.constraints(item, &link, "QuestionnaireResponse.item"),
            link,
        }
    }

    fn enable(&mut self, item: Node<'_, '_>, number: u32, link: &str) -> Enable {
        for when in list(item, Name::of("enableWhen")) {
            let (condition, other) = Condition::read(when);
            self.conditions.push((number, condition, other));
        }
        // An expression decides where there is one; one that is not run here leaves it open.
        let expression = one(item, "enableWhenExpression").or_else(|| {
            let url = |extension: &Node<'_, '_>| text(*extension, Name::URL).as_deref() == Some(KANTA);
            content(list(item, Name::EXTENSION).find(url)?)
        });
        let expression = expression.map(|expression| {
            let is_path = text(expression, Name::of("language")).is_some_and(|language| language == "text/fhirpath");
            let words = match expression.kind() {
                Kind::String => expression.text().into_owned(),
                _ => text(expression, Name::of("expression")).filter(|_| is_path)?,
            };
            self.invariant("enableWhenExpression", "error", &words, link, "QuestionnaireResponse")
        });
        Enable {
            when: Vec::new(),
            behavior: text(item, Name::of("enableBehavior")),
            expression,
        }
    }

    /// `questionnaire-constraint`: an expression that must hold of the response's item, or of the response.
    fn constraints(&mut self, item: Node<'_, '_>, link: &str, kind: &str) -> Vec<Invariant> {
        let mut found = Vec::new();
        for extension in extensions(item, "questionnaire-constraint") {
            let part = |name: &str| {
                let is_named = |inner: &Node<'_, '_>| text(*inner, Name::URL).as_deref() == Some(name);
                let value = content(list(extension, Name::EXTENSION).find(is_named)?)?;
                (value.kind() == Kind::String).then(|| value.text().into_owned())
            };
            if let (Some(key), Some(severity), Some(expression)) = (part("key"), part("severity"), part("expression")) {
                found.extend(self.invariant(&key, &severity, &expression, link, kind));
            }
        }
        found
    }

    fn invariant(&mut self, key: &str, severity: &str, expression: &str, link: &str, kind: &str) -> Option<Invariant> {
        let canonicals = self.reading.canonicals?;
        let constraint = json!({"key": key, "severity": severity, "expression": expression});
        let response = TypeId::of("QuestionnaireResponse");
        let kinds: Vec<TypeId> = TypeId::of(kind).into_iter().collect();
        let asked = Asked {
            resource: response,
            kinds: &kinds,
            strict: false,
        };
        match Invariant::read(&constraint, &asked, canonicals, &mut self.known) {
            Ok(invariant) => Some(invariant),
            Err(message) => {
                self.notes.push((link.to_owned(), message));
                None
            }
        }
    }
}

/// The text of an item and its translations.
fn texts(item: Node<'_, '_>) -> Vec<String> {
    let own = text(item, Name::of("text"));
    let translations = item.get(Name::of("text").companion()).into_iter();
    let translations = translations.flat_map(|companion| extensions(companion, "translation"));
    let translated = translations.filter_map(|translation| {
        let is_content = |inner: &Node<'_, '_>| text(*inner, Name::URL).as_deref() == Some("content");
        let value = content(list(translation, Name::EXTENSION).find(is_content)?)?;
        (value.kind() == Kind::String).then(|| value.text().into_owned())
    });
    own.into_iter().chain(translated).collect()
}
