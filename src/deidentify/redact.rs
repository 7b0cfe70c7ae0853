//! Takes out of a text what the leak guard finds in it, and leaves the rest.
//! Knows nothing of identifiers: it asks the guard about ever longer parts of the text, so that no more goes than must.
//!
//! What is left may still name somebody the patient's record does not know: a physician, a neighbour, a village. Therefore
//! never but under an expert's policy, and never without being asked for.

/// What stands where something was.
const GONE: &str = "[…]";
/// Parts that are asked about together: a phone number with a gap between all its groups and brackets has as many.
const MOST_PARTS: usize = 9;

/// The text without the parts that `leaks`; `None` where the whole still leaks.
pub(super) fn redacted(text: &str, mut leaks: impl FnMut(&str) -> bool) -> Option<String> {
    if !leaks(text) {
        return Some(text.to_owned());
    }
    let parts = parts(text);
    let mut gone = vec![false; parts.len()];
    for length in 1..=MOST_PARTS.min(parts.len()) {
        for at in 0..=parts.len() - length {
            let window = at..at + length;
            if gone[window.clone()].iter().any(|gone| *gone) {
                continue;
            }
            let (from, to) = (parts[at].0, parts[at + length - 1].1);
            if leaks(&text[from..to]) {
                gone[window].fill(true);
            }
        }
    }
    // The rest of a number goes with its beginning: a shape that is found is not always a shape that has ended.
    let is_number = |at: usize| {
        let part = &text[parts[at].0..parts[at].1];
        part.contains(|c: char| c.is_ascii_digit()) && !part.contains(char::is_alphabetic)
    };
    for at in 1..parts.len() {
        gone[at] |= gone[at - 1] && is_number(at);
    }
    for at in (1..parts.len()).rev() {
        gone[at - 1] |= gone[at] && is_number(at - 1);
    }
    let mut left = String::with_capacity(text.len());
    let (mut until, mut before) = (0, false);
    for (&(from, to), &is_gone) in parts.iter().zip(&gone) {
        // Parts that go together leave one sign: how many words a name has is not told.
        if !(is_gone && before) {
            left.push_str(&text[until..from]);
            left.push_str(if is_gone { GONE } else { &text[from..to] });
        }
        (until, before) = (to, is_gone);
    }
    left.push_str(&text[until..]);
    (!leaks(&left)).then_some(left)
}

/// Where the parts between white space stand.
fn parts(text: &str) -> Vec<(usize, usize)> {
    let start = text.as_ptr() as usize;
    text.split_whitespace()
        .map(|part| {
            let from = part.as_ptr() as usize - start;
            (from, from + part.len())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaks_goes_and_the_rest_stays() {
        let leaks = |text: &str| text.contains("Ada") || text.contains("12 Elm St");
        let redacted = |text: &str| redacted(text, leaks);
        assert_eq!(redacted("Saw Ada, at 12 Elm St  today.").as_deref(), Some("Saw […] at […]  today."));
        assert_eq!(redacted("nothing here").as_deref(), Some("nothing here"));
        assert_eq!(redacted("Ada Ada Ada went").as_deref(), Some("[…] went"));
        assert_eq!(redacted("  Ada\n").as_deref(), Some("  […]\n"));
        assert_eq!(redacted("room 7 Ada 12 (34) 5b twice").as_deref(), Some("room […] 5b twice"));
    }

    #[test]
    fn a_text_that_leaks_as_a_whole_does_not_leave() {
        assert_eq!(redacted("a b c d e f g h i j k", |text| text.len() > 19), None);
        assert_eq!(
            redacted("a b", |_| true),
            None,
            "a guard that finds something in nothing lets nothing out"
        );
    }
}
