//! Functions on texts. Positions are characters, not bytes. Patterns are in `pattern`.

use super::ast::Call;
use super::collection::text_of;
use super::eval::{Answer, Fault, MAX_ITEMS, MAX_TEXT, boolean, room, text, too_long, whole};
use super::function::Function as F;
use super::items::Collection;
use super::value::Item;

pub(super) fn call<'t, 'a>(
    call: &'t Call,
    input: &Collection<'t, 'a>,
    first: &Collection<'t, 'a>,
    second: &Collection<'t, 'a>,
) -> Answer<'t, 'a> {
    let at = call.at;
    if call.function == F::Join {
        let separator = text_of(first, at)?;
        let mut joined = String::new();
        let mut first = true;
        for item in input.as_slice() {
            let part = match (item.to_text(), item) {
                (Some(part), _) => part,
                // Extensions without a value have no text to add.
                (None, Item::Element(element)) if element.is_primitive() => continue,
                _ => {
                    return Err(Fault {
                        rule: "only texts can be joined",
                        at,
                    });
                }
            };
            if !std::mem::take(&mut first) {
                joined.push_str(separator.as_deref().unwrap_or(""));
            }
            joined.push_str(&part);
            if joined.len() > MAX_TEXT {
                break;
            }
        }
        return text(joined, at);
    }
    let Some(own) = text_of(input, at)? else {
        return Ok(Collection::None);
    };
    let own = &*own;
    match call.function {
        F::Upper => return text(own.to_uppercase(), at),
        F::Lower => return text(own.to_lowercase(), at),
        F::Trim => return text(own.trim().to_owned(), at),
        F::Length => return Ok(Collection::One(length(own.chars().count()))),
        F::ToChars => {
            let all = own.chars().take(MAX_ITEMS + 1).map(|c| Item::Text(c.to_string().into()));
            return room(all.collect(), at);
        }
        F::Substring => {
            let Some(start) = whole(first, at)?.and_then(|start| usize::try_from(start).ok()) else {
                return Ok(Collection::None);
            };
            if start >= own.chars().count() {
                return Ok(Collection::None);
            }
            let count = match second {
                Collection::None => usize::MAX,
                some => usize::try_from(whole(some, at)?.unwrap_or(0).max(0)).unwrap_or(0),
            };
            return text(own.chars().skip(start).take(count).collect(), at);
        }
        _ => {}
    }
    let Some(other) = text_of(first, at)? else {
        return Ok(Collection::None);
    };
    let other = &*other;
    let place = |byte: Option<usize>| match byte {
        Some(byte) => length(own[..byte].chars().count()),
        None => Item::Integer(-1),
    };
    Ok(match call.function {
        F::StartsWith => boolean(Some(own.starts_with(other))),
        F::EndsWith => boolean(Some(own.ends_with(other))),
        F::Contains => boolean(Some(own.contains(other))),
        F::IndexOf => Collection::One(place(own.find(other))),
        F::LastIndexOf => Collection::One(place(own.rfind(other))),
        F::Split => {
            let parts = own.split(other).take(MAX_ITEMS + 1);
            room(parts.map(|part| Item::Text(part.to_owned().into())).collect(), at)?
        }
        F::Replace => {
            let Some(by) = text_of(second, at)? else {
                return Ok(Collection::None);
            };
            let places = if other.is_empty() {
                own.chars().count() + 1
            } else {
                own.matches(other).count()
            };
            if places.saturating_mul(by.len()) > MAX_TEXT {
                return too_long(at);
            }
            text(own.replace(other, &by), at)?
        }
        F::Encode => return coded(encode(own, other), at),
        F::Decode => return coded(decode(own, other), at),
        F::Escape => return coded(escape(own, other), at),
        F::Unescape => return coded(unescape(own, other), at),
        _ => {
            return Err(Fault {
                rule: "this function does not work on a text",
                at,
            });
        }
    })
}

fn coded<'t, 'a>(result: Option<String>, at: u32) -> Answer<'t, 'a> {
    result.map_or(Ok(Collection::None), |result| text(result, at))
}

fn length<'t, 'a>(count: usize) -> Item<'t, 'a> {
    Item::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn encode(own: &str, format: &str) -> Option<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    match format {
        "hex" => Some(own.bytes().map(|byte| format!("{byte:02x}")).collect()),
        "base64" => Some(STANDARD.encode(own)),
        "urlbase64" => Some(URL_SAFE.encode(own)),
        _ => None,
    }
}

fn decode(own: &str, format: &str) -> Option<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let bytes = match format {
        "hex" => (0..own.len())
            .step_by(2)
            .map(|at| own.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<Vec<u8>>>()?,
        "base64" => STANDARD.decode(own).ok()?,
        "urlbase64" => URL_SAFE.decode(own).ok()?,
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

const HTML: [(&str, &str); 5] = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];

fn escape(own: &str, format: &str) -> Option<String> {
    match format {
        "html" => Some(
            HTML.iter()
                .fold(own.to_owned(), |text, (plain, escaped)| text.replace(plain, escaped)),
        ),
        "json" => {
            let quoted = serde_json::to_string(own).ok()?;
            Some(quoted[1..quoted.len() - 1].to_owned())
        }
        _ => None,
    }
}

fn unescape(own: &str, format: &str) -> Option<String> {
    match format {
        "html" => Some(
            HTML.iter()
                .rev()
                .fold(own.to_owned(), |text, (plain, escaped)| text.replace(escaped, plain)),
        ),
        "json" => {
            let inside = own.strip_prefix('"').and_then(|own| own.strip_suffix('"')).unwrap_or(own);
            let text: String = serde_json::from_str(&format!("\"{inside}\"")).ok()?;
            Some(if inside.len() == own.len() { text } else { format!("\"{text}\"") })
        }
        _ => None,
    }
}
