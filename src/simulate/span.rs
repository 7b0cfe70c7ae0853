//! JSON as text with places in it: reads a member, replaces a member, and leaves every other byte as it was, so that an
//! edited resource of somebody else's data keeps its digits, its order and its spaces.
//! Not a parser: what it does not understand it reports as not there.

/// The members of an object: name and the text of the value, in order. Ends at the first thing it does not understand.
pub(super) fn members(object: &str) -> Members<'_> {
    let at = skip_space(object.as_bytes(), 0);
    let inside = object.as_bytes().get(at) == Some(&b'{');
    Members {
        text: object,
        at: at + 1,
        inside,
    }
}

pub(super) struct Members<'t> {
    text: &'t str,
    at: usize,
    inside: bool,
}

impl<'t> Iterator for Members<'t> {
    type Item = (&'t str, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        if !std::mem::take(&mut self.inside) {
            return None;
        }
        let name_start = skip_space(bytes, self.at);
        let name_end = skip_string(bytes, name_start)?;
        let colon = skip_space(bytes, name_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_space(bytes, colon + 1);
        let end = skip_value(bytes, start)?;
        let next = skip_space(bytes, end);
        self.inside = bytes.get(next) == Some(&b',');
        self.at = next + 1;
        Some((self.text.get(name_start + 1..name_end - 1)?, self.text.get(start..end)?))
    }
}

/// The items of an array, as texts.
pub(super) fn items(array: &str) -> Vec<&str> {
    let bytes = array.as_bytes();
    let mut found = Vec::new();
    let mut at = skip_space(bytes, 0) + 1;
    while bytes.first() == Some(&b'[') {
        let start = skip_space(bytes, at);
        let Some(end) = skip_value(bytes, start) else { break };
        found.push(&array[start..end]);
        let next = skip_space(bytes, end);
        if bytes.get(next) != Some(&b',') {
            break;
        }
        at = next + 1;
    }
    found
}

/// The text of a member's value.
pub(super) fn get<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    members(object).find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// A string value without its quotes, if nothing in it is escaped.
pub(super) fn plain(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then_some(inner)
}

/// A member that is a plain string.
pub(super) fn get_plain<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    get(object, name).and_then(plain)
}

/// The object with the member's value replaced, or the member added at its end. `value` is JSON text.
pub(super) fn set(object: &str, name: &str, value: &str) -> String {
    if let Some(old) = get(object, name) {
        let start = old.as_ptr() as usize - object.as_ptr() as usize;
        return format!("{}{value}{}", &object[..start], &object[start + old.len()..]);
    }
    let Some(end) = object.rfind('}') else { return object.to_owned() };
    let comma = if members(object).next().is_some() { "," } else { "" };
    format!("{}{comma}\"{name}\":{value}{}", &object[..end], &object[end..])
}

/// The object without a member; written anew, without the spaces between members.
pub(super) fn without(object: &str, name: &str) -> String {
    let kept: Vec<String> = members(object)
        .filter(|(found, _)| *found != name)
        .map(|(found, value)| format!("\"{found}\":{value}"))
        .collect();
    format!("{{{}}}", kept.join(","))
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The place after the string that begins at `at`.
fn skip_string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// The place after the value that begins at `at`.
fn skip_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => skip_string(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = at;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = skip_string(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let end = bytes[at..]
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace());
            let end = end.map_or(bytes.len(), |length| at + length);
            (end > at).then_some(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: &str = r#"{ "id" : "a\"}", "n":3.50,"list":[ {"x":"]"}, 2 ],"last":{"deep":{}} }"#;

    #[test]
    fn finds_members_with_their_text() {
        let found: Vec<_> = members(RESOURCE).collect();
        assert_eq!(
            found,
            [
                ("id", r#""a\"}""#),
                ("n", "3.50"),
                ("list", r#"[ {"x":"]"}, 2 ]"#),
                ("last", r#"{"deep":{}}"#)
            ]
        );
        assert_eq!(items(get(RESOURCE, "list").unwrap()), [r#"{"x":"]"}"#, "2"]);
        assert_eq!(items("[]"), Vec::<&str>::new());
    }

    #[test]
    fn a_replaced_member_leaves_all_other_bytes() {
        assert_eq!(set(RESOURCE, "n", "7"), RESOURCE.replace("3.50", "7"));
        assert_eq!(without(r#"{ "a" : 1, "n":2,"b":[3] }"#, "n"), r#"{"a":1,"b":[3]}"#);
        assert_eq!(set("{}", "n", "7"), r#"{"n":7}"#);
        assert_eq!(set(r#"{"a":1}"#, "n", "7"), r#"{"a":1,"n":7}"#);
    }

    #[test]
    fn cut_text_has_only_the_members_before_the_cut() {
        for length in 0..RESOURCE.len() {
            let _ = members(&RESOURCE[..length]).count();
        }
        assert_eq!(members(r#"{"a":1,"b":{"c""#).count(), 1);
    }
}
