//! A Questionnaire by itself: what a condition names is a question of it, not its own item nor one within that. R4 says the rest
//! by its invariants. FHIR R4 Questionnaire.item.enableWhen.question.

use std::collections::HashMap;

use super::value::{DEPTH, list, text};
use crate::fhir::name::Name;
use crate::fhir::tree::Node;
use crate::validate::issues::{Source, Stop};
use crate::validate::profile::Walk;

/// An item, by its number in the order of the text.
struct Place {
    /// The number of the first item behind it that is not within it.
    end: usize,
}

/// Holds the conditions of a Questionnaire to its items.
pub(in crate::validate) fn sound<'t, 'a>(
    walk: &mut Walk<'_, '_, 't, 'a, '_>,
    questionnaire: Node<'t, 'a>,
    source: Source<'_>,
) -> Result<(), Stop> {
    let (mut places, mut by_link, mut conditions) = (Vec::new(), HashMap::new(), Vec::new());
    gather(questionnaire, &mut places, &mut by_link, &mut conditions, 0);
    walk.spend((places.len() + conditions.len()) as u64)?;
    for (number, condition, link) in conditions {
        let rule = match by_link.get(&link) {
            None => "question of the condition",
            Some(other) if (number..places[number].end).contains(other) => "condition within its own item",
            Some(_) => continue,
        };
        walk.issues.at(condition, rule, source)?;
    }
    Ok(())
}

fn gather<'t, 'a>(
    holder: Node<'t, 'a>,
    places: &mut Vec<Place>,
    by_link: &mut HashMap<String, usize>,
    conditions: &mut Vec<(usize, Node<'t, 'a>, String)>,
    depth: usize,
) {
    if depth > DEPTH {
        return;
    }
    for item in list(holder, Name::of("item")) {
        let number = places.len();
        places.push(Place { end: 0 });
        if let Some(link) = text(item, Name::of("linkId")) {
            by_link.entry(link).or_insert(number);
        }
        for condition in list(item, Name::of("enableWhen")) {
            if let Some(link) = text(condition, Name::of("question")) {
                conditions.push((number, condition, link));
            }
        }
        gather(item, places, by_link, conditions, depth + 1);
        places[number].end = places.len();
    }
}
