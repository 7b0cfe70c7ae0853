//! A small JSON value that keeps what a FHIR writer cares about: the order of members, the digits of a decimal
//! (`3.50` stays `3.50`) and the absence of what is not there.
//! Knows nothing of FHIR.

/// One JSON value to be written.
#[derive(Clone)]
pub(super) enum Json {
    /// Not written at all: the member or item is left out.
    Absent,
    Text(String),
    /// Written as it stands: numbers and booleans.
    Bare(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// A decimal by its digits: `Decimal::new(350, 2)` is `3.50`.
#[derive(Clone, Copy)]
pub(super) struct Decimal {
    units: i64,
    scale: u32,
}

impl Decimal {
    pub(super) fn new(units: i64, scale: u32) -> Self {
        Self { units, scale }
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let units = self.units.unsigned_abs();
        if self.scale == 0 {
            return write!(out, "{sign}{units}");
        }
        let one = 10u64.pow(self.scale);
        write!(out, "{sign}{}.{:0width$}", units / one, units % one, width = self.scale as usize)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Json {
    fn from(truth: bool) -> Self {
        Self::Bare(truth.to_string())
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Bare(number.to_string())
    }
}

impl From<Decimal> for Json {
    fn from(number: Decimal) -> Self {
        Self::Bare(number.to_string())
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Self {
        Self::List(items)
    }
}

impl Json {
    /// Appends the value as compact JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => out.extend_from_slice(b"null"),
            Self::Text(text) => write_text(text, out),
            Self::Bare(bare) => out.extend_from_slice(bare.as_bytes()),
            Self::List(items) => {
                out.push(b'[');
                let mut first = true;
                for item in items.iter().filter(|item| item.is_there()) {
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                let mut first = true;
                for (name, value) in members.iter().filter(|(_, value)| value.is_there()) {
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// FHIR knows neither null nor empty lists nor empty objects: they are left out.
    fn is_there(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::List(items) => items.iter().any(Json::is_there),
            Self::Object(members) => members.iter().any(|(_, value)| value.is_there()),
            Self::Text(_) | Self::Bare(_) => true,
        }
    }
}

/// Appends `text` as a JSON string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// `object! { "name": value, … }`: members in the order they are written.
macro_rules! object {
    ($($name:literal : $value:expr),* $(,)?) => {
        $crate::simulate::json::Json::Object(vec![$(($name, $crate::simulate::json::Json::from($value))),*])
    };
}

/// `list![value, …]`.
macro_rules! list {
    ($($value:expr),* $(,)?) => {
        $crate::simulate::json::Json::List(vec![$($crate::simulate::json::Json::from($value)),*])
    };
}

pub(super) use {list, object};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Json) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keeps_the_order_of_members_and_the_digits_of_decimals() {
        let value = object! { "z": Decimal::new(350, 2), "a": list![1i64, true, "\"x\"\n"], "m": Decimal::new(-5, 1) };
        assert_eq!(text(&value), r#"{"z":3.50,"a":[1,true,"\"x\"\n"],"m":-0.5}"#);
    }

    #[test]
    fn leaves_out_what_is_absent_or_empty() {
        let value = object! { "a": None::<String>, "b": list![], "c": object! { "d": Json::Absent }, "e": "x" };
        assert_eq!(text(&value), r#"{"e":"x"}"#);
    }
}
