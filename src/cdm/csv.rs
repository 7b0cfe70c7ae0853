//! Text as a field of a CSV line, for every file of rows that leaves a machine of ours. Basis: RFC 4180; OWASP ASVS 5.0,
//! 1.2.10, for what a spreadsheet would take for a formula.

/// Appends `text` as one field, quoted where it must be. What a spreadsheet would run gets an apostrophe in front.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']);
    if !formula && !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_it_must_be_and_never_a_formula() {
        let check = |text: &str, wanted: &str| {
            let mut out = Vec::new();
            write_text(text, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), wanted);
        };
        check("", "");
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("a\"b\"", "\"a\"\"b\"\"\"");
        check("a\nb", "\"a\nb\"");
        check("1=1", "1=1");
        check("=1+1", "\"'=1+1\"");
        check("+1", "\"'+1\"");
        check("-2", "\"'-2\"");
        check("@x", "\"'@x\"");
        check("\tx", "\"'\tx\"");
        check("\rx", "\"'\rx\"");
        check("\0x", "\"'\0x\"");
    }
}
