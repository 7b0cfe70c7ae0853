//! A FHIRPath text as tokens with their byte offsets. Whether `contains` is a name or an operator is the parser's business.

use super::PathError;
use super::temporal::Temporal;
use crate::fhir::decimal::Decimal;

#[derive(Clone, Debug)]
pub(super) enum Token {
    /// A name; `true` when it stood in backticks.
    Name(String, bool),
    Text(String),
    Integer(i64),
    Decimal(Decimal),
    Temporal(Temporal),
    /// `$this` without the sign.
    Dollar(String),
    /// `%name` without the sign.
    Percent(String),
    Symbol(&'static str),
    End,
}

/// All tokens of `source`, the last one `End`.
pub(super) fn tokens(source: &str) -> Result<Vec<(Token, usize)>, PathError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut all = Vec::new();
    loop {
        lexer.skip_blank()?;
        let start = lexer.at;
        let token = lexer.next()?;
        let end = matches!(token, Token::End);
        all.push((token, start));
        if end {
            return Ok(all);
        }
    }
}

const SYMBOLS: [&str; 23] = [
    "<=", ">=", "!=", "!~", "(", ")", "[", "]", "{", "}", ".", ",", "+", "-", "*", "/", "&", "|", "<", ">", "=", "~", ":",
];

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn fault<T>(&self, at: usize, message: impl Into<String>) -> Result<T, PathError> {
        Err(PathError::at(self.source, at, message))
    }

    fn skip_blank(&mut self) -> Result<(), PathError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                match trimmed.find("*/") {
                    Some(end) => self.at += end + 2,
                    None => return self.fault(self.at, "the comment is not closed"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Token, PathError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        match first {
            'a'..='z' | 'A'..='Z' | '_' => Ok(Token::Name(self.word().to_owned(), false)),
            '0'..='9' => self.number(),
            '\'' | '"' => Ok(Token::Text(self.quoted(first)?)),
            '`' => Ok(Token::Name(self.quoted('`')?, true)),
            '@' => self.temporal(),
            '$' => {
                self.at += 1;
                Ok(Token::Dollar(self.word().to_owned()))
            }
            '%' => {
                self.at += 1;
                match self.rest().chars().next() {
                    Some(quote @ ('\'' | '`' | '"')) => Ok(Token::Percent(self.quoted(quote)?)),
                    _ => {
                        let name = self.word().to_owned();
                        if name.is_empty() {
                            return self.fault(self.at - 1, "`%` needs a name");
                        }
                        Ok(Token::Percent(name))
                    }
                }
            }
            _ => {
                let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
                    return self.fault(self.at, "this character is not FHIRPath");
                };
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
        }
    }

    fn word(&mut self) -> &'s str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn number(&mut self) -> Result<Token, PathError> {
        let start = self.at;
        let rest = self.rest();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(rest);
        let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
        let length = if fraction > 0 { whole + 1 + fraction } else { whole };
        self.at += length;
        let text = &rest[..length];
        if fraction > 0 {
            return match Decimal::parse(text) {
                Some(number) => Ok(Token::Decimal(number)),
                None => self.fault(start, "the number has too many digits"),
            };
        }
        if self.rest().starts_with('L') {
            self.at += 1;
        }
        match text.parse() {
            Ok(number) => Ok(Token::Integer(number)),
            Err(_) => self.fault(start, "the number has too many digits"),
        }
    }

    fn temporal(&mut self) -> Result<Token, PathError> {
        let start = self.at;
        let rest = &self.rest()[1..];
        let bytes = rest.as_bytes();
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let part = match byte {
                b'0'..=b'9' | b':' | b'T' | b'Z' => true,
                // A sign is part of the literal only where a date or a zone may have one.
                b'-' | b'+' => bytes.get(end + 1).is_some_and(u8::is_ascii_digit) && sign_belongs(&rest[..end], *byte),
                b'.' => bytes.get(end + 1).is_some_and(u8::is_ascii_digit),
                _ => false,
            };
            if !part {
                break;
            }
            end += 1;
        }
        self.at += 1 + end;
        match Temporal::literal(&rest[..end]) {
            Some(temporal) => Ok(Token::Temporal(temporal)),
            None => self.fault(start, "this is no date, dateTime or time"),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, PathError> {
        let start = self.at;
        self.at += quote.len_utf8();
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        let base = self.at;
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.at = base + at + c.len_utf8();
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some((_, escape)) = chars.next() else { break };
            text.push(match escape {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'f' => '\u{c}',
                '\\' | '/' | '\'' | '"' | '`' => escape,
                'u' => {
                    let hex = self.source.get(base + at + 2..base + at + 6).unwrap_or_default();
                    let unit = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
                    let Some(unit) = unit.filter(|_| hex.len() == 4) else {
                        return self.fault(base + at, "`\\u` needs four hexadecimal digits of a character");
                    };
                    for _ in 0..4 {
                        chars.next();
                    }
                    unit
                }
                _ => return self.fault(base + at, "this escape is not FHIRPath"),
            });
        }
        self.fault(start, "the text is not closed")
    }
}

fn sign_belongs(before: &str, sign: u8) -> bool {
    match before.find('T') {
        None => sign == b'-' && matches!(before.len(), 4 | 7),
        // One zone after the time: `T10:00+02:00`.
        Some(at) => !before[at..].contains(['+', '-', 'Z']) && before.len() > at + 1,
    }
}
