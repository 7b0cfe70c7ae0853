//! A column's tags as sentences. A tag that is not known here is told by its name and value, so that none is passed over.

/// The transformation of one column, one sentence for each tag that has something to say of its own.
pub(super) fn rules(tags: &[(String, String)]) -> Vec<String> {
    let value = |name: &str| tags.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.as_str());
    // Where the codes come from is said once, with what is done with them.
    let codes = match (value("headwater/coding"), value("headwater/system")) {
        (Some(coding), _) => format!("the codes of `{coding}`"),
        (None, Some(system)) => format!("the code in the system {system}"),
        (None, None) => "the code".to_owned(),
    };
    let missed = match value("headwater/unit") {
        Some(_) => "what is in no unit that converts",
        None => "a code without a target",
    };
    let mut out = Vec::new();
    for (name, told) in tags {
        let sentence = match name.as_str() {
            "headwater/key" if told.is_empty() => "key: the resource's own".to_owned(),
            "headwater/key" => {
                let parts: Vec<_> = told.split(',').map(str::trim).collect();
                let named: Vec<_> = parts.iter().copied().filter(|part| *part != "%repeat").collect();
                let mut sentence = "key: the resource's own".to_owned();
                if !named.is_empty() {
                    sentence.push_str(&format!(", with {} behind it", named.join(", ")));
                }
                if named.len() < parts.len() {
                    sentence.push_str("; a second row of one key ends with #2, and so on");
                }
                sentence
            }
            "headwater/translate" => format!("{codes} translated by the ConceptMap {told}"),
            "headwater/unmapped" => match told.as_str() {
                "null" => format!("{missed} leaves the column empty and is counted"),
                "refuse" => format!("{missed} refuses the resource"),
                "source" => format!("{missed} is kept as it is and counted"),
                other if value("headwater/unit").is_some() => format!("{missed}: {}, and counted", other.trim_start_matches('=')),
                other => format!("without a target: {}, and counted", other.trim_start_matches('=')),
            },
            "headwater/vocabulary" => format!("{codes} looked up in the OMOP vocabularies: {}", facet(told)),
            "headwater/prefer" => format!("vocabularies in order of preference: {told}"),
            "headwater/domain" => format!("only standard concepts of the domain {told}"),
            "headwater/rows" if told == "each" => "one row for each standard concept".to_owned(),
            "headwater/rows" => "one row, of the first standard concept".to_owned(),
            "headwater/empty" if told == "null-unmapped" => "empty, not 0, where no concept is found".to_owned(),
            "headwater/empty" => "empty, not 0, where there is no code".to_owned(),
            "headwater/truncate" => format!("cut to {told} characters"),
            "headwater/date" => date(told),
            "headwater/unit" if told == "normal" => match value("headwater/quantity") {
                Some(quantity) => format!("the unit of `{quantity}` in UCUM's spelling"),
                None => "the unit in UCUM's spelling".to_owned(),
            },
            "headwater/unit" => {
                let unit = match told.as_str() {
                    "analyte" => "the unit that units.toml gives for the code",
                    unit => &format!("the UCUM unit {unit}"),
                };
                format!(
                    "in {unit}; the number's own unit stands in `{}`",
                    value("headwater/quantity").unwrap_or_default()
                )
            }
            "headwater/comparator" => format!("less than, at most and the like stand in {told}"),
            "headwater/resolve" => {
                let (by, target) = (value("headwater/reference"), value("headwater/target"));
                if let Some(by) = value("headwater/by") {
                    out.push(format!(
                        "`{}` of the {told} whose `{by}` is this resource",
                        target.unwrap_or_default()
                    ));
                    continue;
                }
                format!(
                    "`{}` of the {told} that `{}` refers to",
                    target.unwrap_or_default(),
                    by.unwrap_or_default()
                )
            }
            "headwater/coding" | "headwater/system" if value("headwater/translate").or(value("headwater/vocabulary")).is_some() => continue,
            "headwater/reference" | "headwater/target" | "headwater/by" if value("headwater/resolve").is_some() => continue,
            "headwater/quantity" | "headwater/coding" if value("headwater/unit").is_some() => continue,
            other => format!("{other}: {told}"),
        };
        out.push(sentence);
    }
    out
}

fn facet(word: &str) -> &str {
    match word {
        "standard" => "the standard concept's id (0 when there is none, and counted)",
        "source" => "the source concept's id (0 when there is none)",
        "code" => "the code that won",
        "display" => "its display, else the code",
        "name" => "the standard concept's name",
        "domain" => "the standard concept's domain",
        "vocabulary" => "the source code's vocabulary",
        other => other,
    }
}

fn date(form: &str) -> String {
    match form {
        "date" => "the calendar date as written",
        "datetime" => "date and time of the wall clock, as written",
        "utc-date" => "the calendar date in UTC",
        "utc-datetime" => "date and time in UTC",
        "time" => "the time of the wall clock",
        other => return format!("date as {other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tags: &[(&str, &str)]) -> Vec<String> {
        let tags: Vec<_> = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        rules(&tags)
    }

    #[test]
    fn a_translation_is_one_sentence_with_its_codes_and_one_for_what_is_unknown() {
        let found = said(&[
            ("headwater/translate", "https://x.org/map"),
            ("headwater/coding", "code"),
            ("headwater/unmapped", "=0"),
        ]);
        assert_eq!(
            found,
            [
                "the codes of `code` translated by the ConceptMap https://x.org/map",
                "without a target: 0, and counted"
            ]
        );
    }

    #[test]
    fn a_unit_is_told_with_where_it_stands_and_what_becomes_of_the_rest() {
        let found = said(&[
            ("headwater/quantity", "value"),
            ("headwater/unit", "[in_i]"),
            ("headwater/comparator", "modifier"),
            ("headwater/unmapped", "refuse"),
        ]);
        assert_eq!(
            found,
            [
                "in the UCUM unit [in_i]; the number's own unit stands in `value`",
                "less than, at most and the like stand in modifier",
                "what is in no unit that converts refuses the resource"
            ]
        );
    }

    #[test]
    fn a_tag_that_nobody_described_is_told_by_name_and_value() {
        assert_eq!(said(&[("headwater/new", "x")]), ["headwater/new: x"]);
    }
}
