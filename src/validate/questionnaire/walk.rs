//! Through a response, item by item, beside its Questionnaire: each item is a question of its place, in its order, as often as
//! it may be; what must be answered is; what is not asked is not. Bounded by what the check of one resource may cost.

use std::cmp::Ordering;
use std::sync::OnceLock;

use super::form::{Asking, Form, Question};
use super::value::{DEPTH, list, moment};
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::validate::issues::{Source, Stop};
use crate::validate::profile::{Here, Invariant, Item, Walk};

/// The members of a response that are asked for.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub item: Name,
    pub answer: Name,
    pub link_id: Name,
    text: Name,
}

fn names() -> Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    *NAMES.get_or_init(|| Names {
        item: Name::of("item"),
        answer: Name::of("answer"),
        link_id: Name::of("linkId"),
        text: Name::of("text"),
    })
}

/// One response beside its form.
pub(super) struct Hold<'h, 'w, 'p, 't, 'a, 'c> {
    pub walk: &'h mut Walk<'w, 'p, 't, 'a, 'c>,
    pub form: &'h Form,
    pub response: Node<'t, 'a>,
    pub names: Names,
    /// What is not answered yet is only told.
    in_progress: bool,
    /// The items that the walk is within, each with its question.
    pub above: Vec<(u32, Node<'t, 'a>)>,
}

/// The items of one question in one place.
#[derive(Clone)]
struct Found<'t, 'a> {
    items: Vec<Node<'t, 'a>>,
    /// One that has neither answer nor item, which is none.
    empty: Option<Node<'t, 'a>>,
}

impl<'h, 'w, 'p, 't, 'a, 'c> Hold<'h, 'w, 'p, 't, 'a, 'c> {
    pub fn new(walk: &'h mut Walk<'w, 'p, 't, 'a, 'c>, form: &'h Form, response: Node<'t, 'a>) -> Self {
        let status = response.get(Name::of("status")).filter(|status| status.kind() == Kind::String);
        Self {
            walk,
            form,
            response,
            names: names(),
            in_progress: status.is_some_and(|status| status.is_text("in-progress")),
            above: Vec::new(),
        }
    }

    pub fn whole(&mut self) -> Result<(), Stop> {
        let form = self.form;
        let authored = self.response.get(Name::of("authored")).filter(|when| when.kind() == Kind::String);
        if let Some((node, when)) = authored.and_then(|node| Some((node, moment(&node.text())?))) {
            let before = form.starts.is_some_and(|starts| when.compare(&starts) == Some(Ordering::Less));
            let after = form.ends.is_some_and(|ends| when.compare(&ends) == Some(Ordering::Greater));
            if before || after {
                self.walk.issues.at(node, "outside of the questionnaire's period", form.mild())?;
            }
        }
        self.constraints(&form.constraints, self.response, "QuestionnaireResponse")?;
        self.items(None, self.response, true)
    }

    pub(super) fn fault(&mut self, node: Node<'t, 'a>, rule: &'static str) -> Result<(), Stop> {
        self.walk.issues.at(node, rule, self.form.source())
    }

    /// The items in `holder`, whose question is `parent`. `asked`: what must be answered is missed.
    fn items(&mut self, parent: Option<u32>, holder: Node<'t, 'a>, asked: bool) -> Result<(), Stop> {
        let form = self.form;
        let questions = parent.map_or(&form.roots, |parent| &form.question(parent).children);
        let nothing = Found {
            items: Vec::new(),
            empty: None,
        };
        let mut found = vec![nothing; questions.len()];
        let mut last = 0;
        self.walk.spend(questions.len() as u64 + 1)?;
        if self.above.len() > DEPTH {
            return Ok(());
        }
        for item in list(holder, self.names.item) {
            self.walk.spend(1)?;
            let Some(link) = item.get(self.names.link_id).filter(|link| link.kind() == Kind::String) else {
                // FHIR's own rules say the same, where they are asked.
                if self.walk.shared.inner.base().is_none() {
                    self.walk.issues.below(item, "linkId", "required", form.source())?;
                }
                continue;
            };
            let Some(number) = form.find(&link.text()) else {
                self.fault(item, "unknown linkId")?;
                continue;
            };
            let question = form.question(number);
            if question.parent != parent {
                self.fault(item, "item of another place")?;
                self.item(number, item, asked)?;
                continue;
            }
            if question.place < last {
                self.fault(item, "order of items")?;
            }
            last = question.place;
            let Some(found) = found.get_mut(question.place) else { continue };
            if item.get(self.names.answer).is_some() || item.get(self.names.item).is_some() {
                found.items.push(item);
            } else {
                found.empty = found.empty.or(Some(item));
            }
        }
        for (number, found) in questions.iter().zip(&found) {
            // Of two questions with one linkId the second has no items.
            if form.find(&form.question(*number).link) == Some(*number) {
                self.question(*number, holder, found, asked)?;
            }
        }
        Ok(())
    }

    /// The items of one question in `holder`.
    fn question(&mut self, number: u32, holder: Node<'t, 'a>, found: &Found<'t, 'a>, asked: bool) -> Result<(), Stop> {
        let form = self.form;
        let question = form.question(number);
        let enabled = self.enabled(question)?;
        let is_required = question.required && question.kind != Asking::Display && asked && enabled == Some(true);
        let [first, ..] = found.items.as_slice() else {
            if is_required {
                self.missing(question, holder, found.empty)?;
            }
            if let Some(empty) = found.empty {
                self.words(question, empty)?;
            }
            return Ok(());
        };
        if enabled == Some(false) {
            for item in &found.items {
                self.fault(*item, "item that is not enabled")?;
            }
        }
        if let [_, second, ..] = found.items.as_slice()
            && !question.repeats
        {
            self.fault(*second, "one item, not many")?;
        }
        let count = match question.kind {
            Asking::Group => found.items.len(),
            _ => found.items.iter().map(|item| list(*item, self.names.answer).count()).sum(),
        };
        if count > question.most {
            self.walk.issues.at(*first, format!("at most {}", question.most), form.source())?;
        }
        if count < question.least && asked && enabled == Some(true) {
            let source = self.missed();
            self.walk.issues.at(*first, format!("at least {}", question.least), source)?;
        }
        for item in &found.items {
            self.item(number, *item, asked && enabled != Some(false))?;
        }
        Ok(())
    }

    /// The source of what is not answered.
    fn missed(&self) -> Source<'h> {
        let form = self.form;
        if self.in_progress { form.mild() } else { form.source() }
    }

    /// A question that must be answered is not: there is no item, or one without an answer.
    #[cold]
    fn missing(&mut self, question: &'h Question, holder: Node<'t, 'a>, empty: Option<Node<'t, 'a>>) -> Result<(), Stop> {
        let rule = self.form.named("required item", question);
        let source = self.missed();
        match empty {
            None => self.walk.issues.below(holder, "item", rule, source),
            Some(item) if question.kind == Asking::Group => self.walk.issues.below(item, "item", rule, source),
            Some(item) => self.walk.issues.below(item, "answer", rule, source),
        }
    }

    /// One item that has answers or items.
    fn item(&mut self, number: u32, item: Node<'t, 'a>, asked: bool) -> Result<(), Stop> {
        let question = self.form.question(number);
        self.words(question, item)?;
        self.constraints(&question.constraints, item, "QuestionnaireResponse.item")?;
        self.above.push((number, item));
        let result = self.inside(number, question, item, asked);
        self.above.pop();
        result
    }

    /// The item's text is the question's.
    fn words(&mut self, question: &'h Question, item: Node<'t, 'a>) -> Result<(), Stop> {
        let text = item.get(self.names.text).filter(|text| text.kind() == Kind::String);
        match text {
            Some(text) if !question.texts.iter().any(|own| text.is_text(own)) => self.fault(text, "text of the question"),
            _ => Ok(()),
        }
    }

    fn inside(&mut self, number: u32, question: &'h Question, item: Node<'t, 'a>, asked: bool) -> Result<(), Stop> {
        let first = list(item, self.names.answer).next();
        let inner = list(item, self.names.item).next();
        match (question.kind, first, inner) {
            (Asking::Group, first, _) => {
                if let Some(first) = first {
                    self.fault(first, "answer of a group")?;
                }
                return self.items(Some(number), item, asked);
            }
            (Asking::Display, first, inner) => {
                if let Some(first) = first {
                    self.fault(first, "answer of a display item")?;
                }
                return match inner {
                    Some(inner) => self.fault(inner, "item within a display item"),
                    None => Ok(()),
                };
            }
            (Asking::Unknown, _, Some(_)) => self.items(Some(number), item, asked)?,
            (_, _, Some(inner)) => self.fault(inner, "item outside of an answer")?,
            _ => {}
        }
        if first.is_none() && question.required && asked && self.enabled_within(question)? {
            self.missing(question, item, Some(item))?;
        }
        let several = list(item, self.names.answer).nth(1);
        if let Some(second) = several
            && !question.repeats
        {
            self.fault(second, "one answer, not many")?;
        }
        for answer in list(item, self.names.answer) {
            self.answer(question, answer, several.is_some())?;
            if !question.children.is_empty() || answer.get(self.names.item).is_some() {
                self.items(Some(number), answer, asked)?;
            }
        }
        Ok(())
    }

    /// The question of the item that the walk is within is asked.
    fn enabled_within(&mut self, question: &'h Question) -> Result<bool, Stop> {
        let own = self.above.pop();
        let enabled = self.enabled(question);
        self.above.extend(own);
        Ok(enabled? == Some(true))
    }

    fn constraints(&mut self, constraints: &'h [Invariant], node: Node<'t, 'a>, kind: &str) -> Result<(), Stop> {
        let form = self.form;
        for constraint in constraints {
            let item = Item {
                node: Some(node),
                under: None,
                kind: TypeId::of(kind),
                name: Name::NONE,
            };
            let (holds, steps) = constraint.holds(&Here::top(self.response), &item);
            self.walk.spend(u64::from(steps) + 1)?;
            if !holds {
                let source = if constraint.mild { form.mild() } else { form.source() };
                self.walk.issues.at(node, format!("constraint {}", constraint.key), source)?;
            }
        }
        Ok(())
    }
}
