//! What tells the items of a sliced element apart: a discriminator's path, made into steps, and what each slice says there.
//! Basis: FHIR R4 "Profiling", "Discriminator": names, `$this`, `extension(url)`, `resolve()`, `ofType(type)`.
//!
//! What a slice says at the end of the path may stand anywhere on it: a value on an element within, a pattern on one around, a
//! profile that the element must fit.

use super::draft::{self, Draft};
use super::facts::{CORE, Strength};
use super::pattern::Pattern;
use super::rule::{Expect, Step};
use crate::fhir::name::Name;
use crate::fhir::types::TypeId;

/// Steps of one path: more than any profile needs.
const STEPS: usize = 16;

/// A step as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Child(String),
    Extension(String),
    Resolve,
    OfType(String),
}

/// # Errors: what of the path is not a discriminator's.
pub(super) fn words(path: &str) -> Result<Vec<Word>, String> {
    let fault = || format!("the discriminator `{path}` is no path of names, `$this`, `extension(url)`, `resolve()` and `ofType(type)`");
    let mut words = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '$' && letter != '_')
            .unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        let argument = match rest.strip_prefix('(') {
            Some(inside) => {
                // A url in quotes may hold brackets; nothing else does.
                let close = match inside.trim_start().strip_prefix(['\'', '"']) {
                    Some(quoted) => {
                        let skipped = inside.len() - quoted.len();
                        let quote = quoted.find(['\'', '"']).ok_or_else(fault)?;
                        skipped + quote + inside[skipped + quote..].find(')').ok_or_else(fault)?
                    }
                    None => inside.find(')').ok_or_else(fault)?,
                };
                rest = &inside[close + 1..];
                Some(inside[..close].trim().trim_matches(['\'', '"']).to_owned())
            }
            None => None,
        };
        // `value[x]` is written by some.
        rest = rest.strip_prefix("[x]").unwrap_or(rest);
        match (name, argument) {
            ("$this", None) => {}
            ("resolve", Some(_)) => words.push(Word::Resolve),
            ("extension", Some(url)) => words.push(Word::Extension(url)),
            ("ofType" | "as", Some(kind)) => words.push(Word::OfType(kind)),
            (name, None) if !name.is_empty() => words.push(Word::Child(name.to_owned())),
            _ => return Err(fault()),
        }
        rest = match rest.strip_prefix('.') {
            Some(more) if !more.is_empty() => more,
            _ if rest.is_empty() => rest,
            _ => return Err(fault()),
        };
    }
    if words.len() > STEPS { Err(fault()) } else { Ok(words) }
}

/// What is known of other profiles while one is made.
pub(super) trait Others {
    /// The profile of a canonical, and the type it is of.
    fn find(&self, canonical: &str) -> Option<(u32, TypeId)>;
}

/// Where a path has come to in a slice.
pub(super) struct Cursor<'d> {
    /// The element, then its slices.
    drafts: Vec<&'d Draft>,
    /// What patterns around it say of it.
    around: Vec<Pattern>,
    kinds: Vec<TypeId>,
    steps: Vec<Step>,
}

/// Why a slice is not told by a discriminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// It says nothing there: the others tell.
    Silent(String),
    /// What it says there cannot be used.
    Unusable(String),
}

/// What a slice says of a discriminator.
pub(super) enum Said<'d> {
    Expects(Expect),
    /// What the element here says, its children included.
    Element(&'d Draft, Vec<TypeId>),
}

impl<'d> Cursor<'d> {
    pub fn at(slice: &'d Draft, kinds: &[TypeId]) -> Self {
        Self {
            drafts: vec![slice],
            around: Vec::new(),
            kinds: kinds.to_vec(),
            steps: Vec::new(),
        }
    }

    /// The steps of `words`, and what the slice says at their end.
    /// # Errors: in words, why the slice says nothing.
    pub fn follow(mut self, kind: &str, words: &[Word], others: &impl Others) -> Result<(Vec<Step>, Said<'d>), Untold> {
        for (number, word) in words.iter().enumerate() {
            let last = number + 1 == words.len();
            let before = self.profiles(others);
            match word {
                Word::Child(name) => self.child(name).map_err(Untold::Unusable)?,
                Word::Extension(url) => self.extension(url),
                Word::OfType(name) => {
                    let kind = TypeId::of(name).ok_or_else(|| Untold::Unusable(format!("`{name}` is no type of FHIR R4")))?;
                    self.steps.push(Step::OfType(kind));
                    self.kinds = vec![kind];
                }
                Word::Resolve => {
                    let targets = self.targets(others);
                    self.steps.push(Step::Resolve);
                    return match (last, kind) {
                        (true, "type") => types(targets.iter().filter_map(|(kind, _)| *kind).collect(), self.steps),
                        _ => profiles(targets.iter().map(|(_, number)| *number).collect(), self.steps),
                    };
                }
            }
            // The slice says it in a profile of its own.
            if self.drafts.is_empty() && self.around.is_empty() && kind != "exists" {
                self.steps.truncate(number);
                return profiles(before, self.steps);
            }
        }
        match kind {
            "exists" => self.exists(),
            "type" => {
                let named = self.drafts.first().into_iter().flat_map(|draft| &draft.facts.types);
                let named: Vec<TypeId> = named.filter_map(|one| TypeId::of(&one.code)).collect();
                types(if named.is_empty() { self.kinds } else { named }, self.steps)
            }
            "profile" => {
                let found = self.profiles(others);
                profiles(found, self.steps)
            }
            "value" | "pattern" => self.value(others),
            other => Err(Untold::Unusable(format!("`{other}` is no kind of discriminator of FHIR R4"))),
        }
    }

    fn child(&mut self, name: &str) -> Result<(), String> {
        let choice: Vec<Name> = self
            .kinds
            .iter()
            .flat_map(|kind| kind.choice(name).iter().map(|child| child.name))
            .collect();
        let label = if choice.is_empty() { name.to_owned() } else { format!("{name}[x]") };
        let names = if choice.is_empty() { vec![Name::of(name)] } else { choice };
        if names == [Name::UNKNOWN] {
            return Err(format!("the discriminator names `{name}`, which FHIR R4 does not have"));
        }
        let mut around = Vec::new();
        for pattern in &self.around {
            pattern.member(&label, &mut around);
        }
        for draft in &self.drafts {
            for pattern in &draft.facts.patterns {
                pattern.member(&label, &mut around);
            }
        }
        // An extension says its url by its profile.
        if name == "url" && around.is_empty() {
            let urls = self
                .drafts
                .iter()
                .flat_map(|draft| &draft.facts.types)
                .flat_map(|one| &one.profiles);
            around.extend(urls.map(|url| Pattern::text(url.split('|').next().unwrap_or(url))));
        }
        let found: Vec<&'d Draft> = self.drafts.iter().filter_map(|draft| draft.child(&label)).collect();
        self.drafts = found
            .into_iter()
            .flat_map(|draft| std::iter::once(draft).chain(draft.slices.iter().map(|(_, slice)| slice)))
            .collect();
        self.kinds = match self.drafts.first() {
            Some(draft) => draft.kinds(&self.kinds),
            None => draft::children(&self.kinds, &label),
        };
        self.around = around;
        self.steps.push(Step::Child(names));
        Ok(())
    }

    fn extension(&mut self, url: &str) {
        let slices = self.drafts.iter().filter_map(|draft| draft.child("extension"));
        let slices = slices.flat_map(|draft| draft.slices.iter().map(|(_, slice)| slice));
        self.drafts = slices.filter(|slice| says_url(slice, url)).collect();
        self.around.clear();
        self.kinds = TypeId::of("Extension").into_iter().collect();
        self.steps.push(Step::Extension(url.to_owned()));
    }

    fn exists(self) -> Result<(Vec<Step>, Said<'d>), Untold> {
        let silent = || Untold::Silent("the slice does not say whether the discriminator's element is there".to_owned());
        let Some(draft) = self.drafts.first() else {
            return Err(silent());
        };
        let there = match (draft.facts.min, draft.facts.max) {
            (_, Some(0)) => false,
            (Some(1..), _) => true,
            _ => return Err(silent()),
        };
        Ok((self.steps, Said::Expects(Expect::Exists(there))))
    }

    fn value(self, others: &impl Others) -> Result<(Vec<Step>, Said<'d>), Untold> {
        let main = self.drafts.first();
        let mut values = self.around.clone();
        values.extend(main.into_iter().flat_map(|draft| draft.facts.patterns.clone()));
        if values.is_empty() {
            let slices = self.drafts.iter().skip(1).filter(|slice| slice.facts.min != Some(0));
            values.extend(slices.flat_map(|slice| slice.facts.patterns.clone()));
        }
        if !values.is_empty() {
            return Ok((self.steps, Said::Expects(Expect::Values(values))));
        }
        let bound = main.and_then(|draft| draft.facts.binding.as_ref());
        let is_bound = bound.is_some_and(|bound| bound.strength == Strength::Required);
        if let Some(draft) = main.filter(|draft| is_bound || !draft.children.is_empty() || !draft.slices.is_empty()) {
            return Ok((self.steps, Said::Element(draft, self.kinds)));
        }
        let found = self.profiles(others);
        profiles(found, self.steps)
    }

    /// The profiles that the element here must fit.
    /// None if one of them is not loaded.
    fn profiles(&self, others: &impl Others) -> Option<Vec<u32>> {
        let types = self.drafts.iter().flat_map(|draft| &draft.facts.types);
        types
            .flat_map(|one| &one.profiles)
            .map(|canonical| Some(others.find(canonical)?.0))
            .collect()
    }

    /// The types and profiles of what the reference here leads to.
    fn targets(&self, others: &impl Others) -> Vec<(Option<TypeId>, Option<u32>)> {
        let types = self.drafts.iter().flat_map(|draft| &draft.facts.types);
        types
            .flat_map(|one| &one.targets)
            .map(|canonical| match canonical.strip_prefix(CORE).and_then(TypeId::of) {
                Some(kind) => (Some(kind), None),
                None => match others.find(canonical) {
                    Some((number, kind)) => (Some(kind), Some(number)),
                    None => (None, None),
                },
            })
            .collect()
    }
}

fn types<'d>(kinds: Vec<TypeId>, steps: Vec<Step>) -> Result<(Vec<Step>, Said<'d>), Untold> {
    if kinds.is_empty() {
        return Err(Untold::Silent("the slice does not say the type at its discriminator".to_owned()));
    }
    Ok((steps, Said::Expects(Expect::Types(kinds))))
}

fn profiles<'d>(found: Option<Vec<u32>>, steps: Vec<Step>) -> Result<(Vec<Step>, Said<'d>), Untold> {
    match found {
        None => Err(Untold::Unusable("the slice names a profile that is not loaded".to_owned())),
        Some(numbers) if numbers.is_empty() => Err(Untold::Silent("the slice says nothing at its discriminator".to_owned())),
        Some(numbers) => Ok((steps, Said::Expects(Expect::Profiles(numbers)))),
    }
}

/// The slice of extensions is the one of this url.
fn says_url(slice: &Draft, url: &str) -> bool {
    let mut profiles = slice.facts.types.iter().flat_map(|one| &one.profiles);
    let fixed = slice.child("url").map(|draft| draft.facts.patterns.iter());
    profiles.any(|profile| profile.split('|').next() == Some(url))
        || fixed.is_some_and(|mut patterns| patterns.any(|pattern| pattern.as_text() == Some(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_step_by_step() {
        let child = |name: &str| Word::Child(name.to_owned());
        for (path, expected) in [
            ("$this", vec![]),
            ("", vec![]),
            ("code.coding.code", vec![child("code"), child("coding"), child("code")]),
            ("$this.code", vec![child("code")]),
            ("value[x]", vec![child("value")]),
            (
                "extension('http://a.b/c(d).e').value",
                vec![Word::Extension("http://a.b/c(d).e".to_owned()), child("value")],
            ),
            ("resource.resolve()", vec![child("resource"), Word::Resolve]),
            (
                "value.ofType(Quantity).code",
                vec![child("value"), Word::OfType("Quantity".to_owned()), child("code")],
            ),
        ] {
            assert_eq!(words(path), Ok(expected), "{path}");
        }
        for path in ["a..b", "a.", "where(a=1)", "a[0]", "extension('x", "a b", "é"] {
            assert!(words(path).is_err(), "{path}");
        }
        assert!(words(&"a.".repeat(STEPS)).is_err());
    }
}
