//! Whether a narrative is the XHTML that FHIR allows: one `div`, tags that close, the elements of formatting and no others, no
//! code of a page, something in it to read (`txt-1`, `txt-2`). Looks at tags, never at words.
//! FHIR 4.0.1 "Narrative".

/// Elements of HTML 4.0, chapters 7 to 11 and 15, links and images.
const ELEMENTS: [&str; 62] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "map",
    "area",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "label",
    "center",
    "nobr",
];

/// Entities that need no declaration.
const ENTITIES: [&str; 6] = ["amp", "lt", "gt", "quot", "apos", "nbsp"];

/// Tags in one another.
const DEPTH: usize = 128;

/// Whether `text` is such a narrative.
pub(super) fn is_sound(text: &str) -> bool {
    let text = text.trim();
    let mut open: Vec<&str> = Vec::new();
    let (mut rest, mut has_content, mut closed) = (text, false, false);
    while !rest.is_empty() {
        let Some(at) = rest.find('<') else { return false };
        let words = &rest[..at];
        if !are_words(words) || (open.is_empty() && !words.trim().is_empty()) || closed {
            return false;
        }
        has_content |= !words.trim().is_empty();
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            let Some(end) = comment.find("-->") else { return false };
            rest = &comment[end + 3..];
        } else if let Some(end) = rest.strip_prefix("</") {
            let Some(close) = end.find('>') else { return false };
            if open.pop() != Some(end[..close].trim_end()) {
                return false;
            }
            closed = open.is_empty();
            rest = &end[close + 1..];
        } else {
            let Some((name, is_empty, after)) = tag(&rest[1..]) else {
                return false;
            };
            if open.is_empty() && name != "div" || open.len() >= DEPTH || !ELEMENTS.contains(&name) {
                return false;
            }
            has_content |= name == "img";
            match is_empty {
                true => closed = open.is_empty(),
                false => open.push(name),
            }
            rest = after;
        }
    }
    closed && has_content
}

/// The name of a tag, whether it closes itself, and what comes behind it.
fn tag(text: &str) -> Option<(&str, bool, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric())?;
    let name = &text[..end];
    let mut rest = &text[end..];
    loop {
        let spaced = rest.trim_start();
        if let Some(after) = spaced.strip_prefix("/>") {
            return Some((name, true, after));
        }
        if let Some(after) = spaced.strip_prefix('>') {
            return Some((name, false, after));
        }
        if spaced.len() == rest.len() {
            return None;
        }
        let equals = spaced.find('=')?;
        let attribute = spaced[..equals].trim_end();
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '-' | '_');
        // What a browser would run.
        let runs = attribute.len() > 2 && attribute.as_bytes()[..2].eq_ignore_ascii_case(b"on");
        if attribute.is_empty() || !attribute.chars().all(is_name) || runs {
            return None;
        }
        let value = spaced[equals + 1..].trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let close = value[1..].find(quote)?;
        let inside = &value[1..=close];
        if inside.contains('<') || !are_words(inside) {
            return None;
        }
        rest = &value[close + 2..];
    }
}

/// Text with sound entities.
fn are_words(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        rest = &rest[at + 1..];
        let Some(end) = rest.find(';').filter(|end| *end <= 10) else {
            return false;
        };
        let name = &rest[..end];
        let numeric = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !ENTITIES.contains(&name) && !name.strip_prefix('#').is_some_and(|number| numeric(number.trim_start_matches('x'))) {
            return false;
        }
        rest = &rest[end + 1..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrative_is_a_div_of_formatting_with_something_to_read() {
        for (text, expected) in [
            ("<div>x</div>", true),
            (
                r#" <div xmlns="http://www.w3.org/1999/xhtml"><p class='a'>a &amp; b&#160;&#xA0;<br/>c</p><!-- <x> --></div> "#,
                true,
            ),
            (r#"<div><img src="a.png" alt=""/></div>"#, true),
            ("<div> </div>", false),
            ("<div><p></p></div>", false),
            ("x", false),
            ("", false),
            ("<p>x</p>", false),
            ("<div>x", false),
            ("<div>x</p></div>", false),
            ("<div>x</div><div>y</div>", false),
            ("<div>x</div>y", false),
            ("y<div>x</div>", false),
            ("<div><script>x</script></div>", false),
            ("<div><p onclick=\"x\">x</p></div>", false),
            ("<div><p class=x>x</p></div>", false),
            ("<div>&reg;</div>", false),
            ("<div>a & b</div>", false),
            ("<div><b", false),
            ("<div><b x=", false),
        ] {
            assert_eq!(is_sound(text), expected, "{text}");
        }
        let deep = |depth: usize| format!("<div>{}x{}</div>", "<b>".repeat(depth), "</b>".repeat(depth));
        assert!(is_sound(&deep(DEPTH - 1)) && !is_sound(&deep(DEPTH)));
    }
}
