//! A rule with what it is told beside its word: the bands of ages, the map of codes, the bound of noise.
//! Knows how these are written in TOML, not where; `policy_file` and a site's own stricter rules come here with them.

use std::collections::HashMap;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::perturb::Scaled;
use super::rule::Rule;
use crate::map;
use crate::platform::secret::{hex, sha256};

/// Keys of a rule's inline table that are no `rule` and no `reason`.
pub(super) const PARAMETERS: [&str; 4] = ["bands", "by", "otherwise", "within"];

/// ConceptMaps of the package, as `(file name, text)`.
pub(super) type Maps<'m> = &'m [(String, String)];

/// A rule and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub rule: Rule,
    pub detail: Detail,
}

/// What a rule is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    None,
    /// The first years of the bands after the first, which begins at 0; the last is 90.
    Bands(Arc<[i64]>),
    RollUp(Arc<RollUp>),
    Within(Scaled),
}

/// Codes and the coarser ones they become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RollUp {
    codes: HashMap<String, String>,
    otherwise: Option<String>,
    digest: [u8; 32],
}

impl RollUp {
    /// What a code becomes; `None` leaves it empty.
    pub(super) fn target(&self, code: &str) -> Option<&str> {
        self.codes.get(code).or(self.otherwise.as_ref()).map(String::as_str)
    }

    pub(super) fn otherwise(&self) -> Option<&str> {
        self.otherwise.as_deref()
    }

    /// Everything that a code can become.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        self.codes.values().chain(&self.otherwise).map(String::as_str)
    }

    fn read(by: &str, otherwise: Option<&str>, maps: Maps<'_>) -> Result<Self, String> {
        let name = by.strip_prefix("concepts/").unwrap_or(by);
        let (file, text) = maps
            .iter()
            .find(|(file, _)| file == name)
            .ok_or_else(|| format!("`{by}` is no ConceptMap of the package: it is looked for in the model's folder `concepts`"))?;
        let pairs = map::code_pairs(file, text).map_err(|_| format!("`{by}` is no ConceptMap that can be read"))?;
        let mut codes = HashMap::with_capacity(pairs.len());
        for (code, target) in pairs {
            let before = codes.insert(code.clone(), target.clone());
            if before.is_some_and(|before| before != target) {
                return Err(format!(
                    "`{by}` has two targets for the code `{code}`: a column does not say its code system"
                ));
            }
        }
        if codes.is_empty() {
            return Err(format!("`{by}` has no code with a target"));
        }
        Ok(Self {
            codes,
            otherwise: otherwise.map(str::to_owned),
            digest: sha256(text.as_bytes()),
        })
    }
}

impl Method {
    /// The rule of this name, with the parameters that `entries` holds; their other keys are not looked at.
    /// # Errors: the first thing that is wrong.
    pub(super) fn read(word: &str, entries: &DeTable<'_>, maps: Maps<'_>) -> Result<Self, String> {
        let rule = Rule::of(word).ok_or_else(|| format!("`{word}` is no rule"))?;
        let value = |key: &str| entries.get(key).map(toml::Spanned::get_ref);
        let allowed: &[&str] = match rule {
            Rule::AgeBand => &["bands"],
            Rule::RollUp => &["by", "otherwise"],
            Rule::Perturb => &["within"],
            _ => &[],
        };
        if let Some(stray) = PARAMETERS.iter().find(|key| value(key).is_some() && !allowed.contains(key)) {
            return Err(format!("`{stray}` says nothing to the rule `{word}`"));
        }
        let detail = match rule {
            Rule::AgeBand => Detail::Bands(value("bands").and_then(bands).ok_or(
                "`age-band` needs `bands`: the first years of its bands, rising, the last of them 90, e.g. `bands = [18, 40, 65, 90]`",
            )?),
            Rule::RollUp => {
                let by = value("by").and_then(DeValue::as_str);
                let by = by.ok_or("`roll-up` needs `by`: a ConceptMap of the package, e.g. `by = \"concepts/coarse.json\"`")?;
                let otherwise = match value("otherwise") {
                    None => None,
                    Some(code) => Some(
                        code.as_str()
                            .filter(|code| !code.is_empty())
                            .ok_or("`otherwise` is a code, as text")?,
                    ),
                };
                Detail::RollUp(Arc::new(RollUp::read(by, otherwise, maps)?))
            }
            Rule::Perturb => {
                let bound = value("within")
                    .and_then(number)
                    .and_then(Scaled::parse)
                    .filter(|bound| bound.is_positive());
                Detail::Within(bound.ok_or("`perturb` needs `within`: the most a number may move, above 0, e.g. `within = 2.5`")?)
            }
            _ => Detail::None,
        };
        Ok(Self { rule, detail })
    }

    /// The method of a site's own rule: a word, or an inline table as in a policy file.
    /// # Errors: as `read`.
    pub(super) fn of_text(text: &str, maps: Maps<'_>) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Self::read(text.trim(), &DeTable::new(), maps);
        }
        let line = format!("v = {text}");
        let parsed = DeTable::parse(&line)
            .map_err(|_| "is no rule and no `{ rule = … }`".to_owned())?
            .into_inner();
        let entries = parsed.get("v").and_then(|value| value.get_ref().as_table());
        let entries = entries.ok_or("is no `{ rule = … }`")?;
        let stray = entries
            .keys()
            .find(|key| key.get_ref() != "rule" && !PARAMETERS.contains(&key.get_ref().as_ref()));
        if let Some(stray) = stray {
            return Err(format!("`{}` is not known here", stray.get_ref()));
        }
        let word = entries
            .get("rule")
            .and_then(|word| word.get_ref().as_str())
            .ok_or("needs `rule`, as text")?;
        Self::read(word, entries, maps)
    }

    /// The method in one line, the same for the same method: what digests are made of.
    pub(super) fn canonical(&self) -> String {
        let word = self.rule.as_str();
        match &self.detail {
            Detail::None => word.to_owned(),
            Detail::Bands(bands) => format!("{word} {bands:?}"),
            Detail::RollUp(map) => format!("{word} {} otherwise {:?}", hex(&map.digest), map.otherwise),
            Detail::Within(bound) => format!("{word} within {bound}"),
        }
    }
}

fn bands(value: &DeValue<'_>) -> Option<Arc<[i64]>> {
    let starts = value.as_array()?.iter().map(|start| number(start.get_ref())?.parse().ok());
    let starts: Arc<[i64]> = starts.collect::<Option<Vec<i64>>>()?.into();
    let rises = starts.windows(2).all(|pair| pair[0] < pair[1]);
    (rises && *starts.first()? > 0 && *starts.last()? == super::age::OLDEST).then_some(starts)
}

/// The digits of a number, decimal.
fn number<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    match value.as_integer() {
        Some(integer) => (integer.radix() == 10).then(|| integer.as_str()),
        None => value.as_float().map(toml::de::DeFloat::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(target: &str) -> (String, String) {
        let text = format!(
            r#"{{"resourceType":"ConceptMap","url":"u","group":[{{"source":"s","element":[
            {{"code":"K50.1","target":[{{"code":"{target}","equivalence":"wider"}}]}},
            {{"code":"K51.9","target":[{{"code":"K51","equivalence":"wider"}}]}}]}}]}}"#
        );
        ("coarse.json".to_owned(), text)
    }

    fn read(text: &str) -> Result<String, String> {
        Method::of_text(text, &[map("K50")]).map(|method| method.canonical())
    }

    #[test]
    fn parameters_are_read_and_stand_in_the_canonical_line() {
        assert_eq!(read("year").as_deref(), Ok("year"));
        assert_eq!(
            read(r#"{ rule = "age-band", bands = [18, 65, 90] }"#).as_deref(),
            Ok("age-band [18, 65, 90]")
        );
        assert_eq!(read(r#"{ rule = "perturb", within = 2.50 }"#).as_deref(), Ok("perturb within 2.50"));
        let line = read(r#"{ rule = "roll-up", by = "concepts/coarse.json", otherwise = "other" }"#).expect("a map");
        assert!(line.starts_with("roll-up ") && line.ends_with(r#" otherwise Some("other")"#));
        let other = Method::of_text(r#"{ rule = "roll-up", by = "coarse.json", otherwise = "other" }"#, &[map("K5")]).expect("a map");
        assert_ne!(line, other.canonical(), "another map is another policy");
    }

    #[test]
    fn what_a_rule_needs_is_said() {
        for (text, fault) in [
            ("hide", "is no rule"),
            ("age-band", "needs `bands`"),
            (r#"{ rule = "age-band", bands = [18, 65] }"#, "the last of them 90"),
            (r#"{ rule = "age-band", bands = [65, 18, 90] }"#, "rising"),
            (r#"{ rule = "age-band", bands = [0, 90] }"#, "rising"),
            ("perturb", "needs `within`"),
            (r#"{ rule = "perturb", within = 0 }"#, "above 0"),
            (r#"{ rule = "perturb", within = -1 }"#, "above 0"),
            (r#"{ rule = "perturb", within = inf }"#, "above 0"),
            ("roll-up", "needs `by`"),
            (
                r#"{ rule = "roll-up", by = "concepts/none.json" }"#,
                "is no ConceptMap of the package",
            ),
            (r#"{ rule = "roll-up", by = "coarse.json", otherwise = 7 }"#, "is a code, as text"),
            (r#"{ rule = "year", within = 3 }"#, "says nothing to the rule `year`"),
            (r#"{ rule = "year", because = "x" }"#, "`because` is not known"),
            (r#"{ within = 3 }"#, "needs `rule`"),
            ("{ rule", "is no rule"),
        ] {
            let found = read(text).expect_err("refused");
            assert!(found.contains(fault), "{text}: {found}");
        }
    }
}
