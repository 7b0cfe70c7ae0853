//! Bytes to an expression that nearly always compiles: each byte chooses a rule of the grammar or a word of a list.
//! When the bytes are used up, the shortest rule is chosen, so that every input ends.

/// Longest expression that is made; the parser's own limit is 16 KiB.
const MOST: usize = 20 << 10;

/// What an expression may be about.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "id", "status", "code", "coding", "system", "display", "name", "given", "family", "value", "unit", "subject", "reference",
    "identifier", "extension", "url", "component", "effective", "birthDate", "_birthDate", "active", "deceased", "valueQuantity", "text",
    "div", "item", "linkId", "contained", "meta", "lastUpdated", "resourceType", "Observation", "Patient", "`code`", "period", "start",
    "end", "telecom",
];

#[rustfmt::skip]
const LITERALS: &[&str] = &[
    "true", "false", "{}", "0", "1", "2", "9223372036854775807", "99999999999999999999", "0.1", "3.14159265358979323846264338327950288",
    "1e5", "''", "'a'", "'final'", "'2020-02-30'", "'9999999999'", "'(a+)+$'", "'\\u0041'", "'ſß'", "'🦀e\u{301}'", "'%'", "'{}'", "'.*'",
    "','", "@2020", "@2020-02-29", "@2020-12-31T23:59:59.999+14:00", "@T23:59:60", "@T00:00", "@0001-01-01", "@9999-12-31", "@2020-01T",
    "1 'mg'", "1000 'ug'", "37 'Cel'", "1 '[degF]'", "1 year", "9999999999 years", "0.000000001 milliseconds", "1 'm2'", "1 '10*400'",
    "'1 mg'", "$this", "$index", "$total", "%context", "%resource", "%rootResource", "%ucum", "%system", "%limit", "%rowIndex", "%`vs-a`",
];

#[rustfmt::skip]
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "div", "mod", "&", "|", "<", "<=", ">", ">=", "=", "!=", "~", "!~", "in", "contains", "and", "or", "xor",
    "implies",
];

/// Without arguments.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "empty", "exists", "allTrue", "anyTrue", "allFalse", "anyFalse", "count", "distinct", "isDistinct", "single", "first", "last", "tail",
    "sort", "children", "descendants", "now", "today", "timeOfDay", "not", "type", "hasValue", "getValue", "getResourceKey",
    "getReferenceKey", "join", "lowBoundary", "highBoundary", "precision", "toBoolean", "toInteger", "toDecimal", "toString", "toDate",
    "toDateTime", "toTime", "toQuantity", "convertsToBoolean", "convertsToInteger", "convertsToDecimal", "convertsToString",
    "convertsToDate", "convertsToDateTime", "convertsToTime", "convertsToQuantity", "upper", "lower", "length", "toChars", "trim", "abs",
    "ceiling", "exp", "floor", "ln", "round", "sqrt", "truncate", "yearOf", "monthOf", "dayOf", "hourOf", "minuteOf", "secondOf",
    "dateOf", "timeOf",
];

/// With one expression.
#[rustfmt::skip]
const ONE: &[&str] = &[
    "where", "select", "exists", "all", "repeat", "aggregate", "sort", "trace", "subsetOf", "supersetOf", "skip", "take", "intersect",
    "exclude", "union", "combine", "extension", "conformsTo", "join", "lowBoundary", "highBoundary", "comparable", "toQuantity",
    "convertsToQuantity", "indexOf", "lastIndexOf", "substring", "startsWith", "endsWith", "contains", "matches", "matchesFull", "split",
    "encode", "decode", "escape", "unescape", "log", "power", "round",
];

/// With two.
const TWO: &[&str] = &["iif", "aggregate", "sort", "trace", "substring", "replace", "replaceMatches"];

/// Calls whose arguments go together.
#[rustfmt::skip]
const CALLS: &[&str] = &[
    "encode('base64')", "decode('base64')", "encode('hex')", "decode('hex')", "encode('urlbase64')", "decode('urlbase64')",
    "escape('html')", "unescape('html')", "escape('json')", "unescape('json')", "split('')", "split(',')", "replace('', 'x')",
    "replace('a', 'aa')", "replaceMatches('', 'x')", "replaceMatches('(.)', '$1$1')", "replaceMatches('\\\\b', '-')",
    "matches('(a*)*b')", "matches('[')", "matches('\\\\p{L}{1,100}')", "repeat($this)", "repeat(children())",
    "repeat($this | children())", "select($this | $this)", "aggregate($total & $this, '')", "aggregate($total + 1, 0)", "sort(-$this)",
    "toQuantity('mg')", "select($this & $this)", "join('')",
];

#[rustfmt::skip]
const TYPES: &[&str] = &[
    "Quantity", "FHIR.Quantity", "System.String", "String", "string", "Coding", "CodeableConcept", "dateTime", "Period", "Patient",
    "Resource", "Boolean", "Integer", "Decimal", "Date", "System.DateTime", "Nothing", "`Patient`",
];

/// Reads bytes as choices.
pub struct Choices<'d> {
    data: &'d [u8],
}

impl<'d> Choices<'d> {
    pub fn new(data: &'d [u8]) -> Self {
        Self { data }
    }

    /// The next byte; 0 when there are none.
    pub fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        usize::from(*first)
    }

    fn word<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.byte() % words.len()]
    }

    /// An expression.
    pub fn expression(&mut self) -> String {
        let mut out = String::new();
        self.expr(&mut out, 0);
        out
    }

    fn expr(&mut self, out: &mut String, depth: usize) {
        if depth > 70 || out.len() > MOST {
            out.push_str("id");
            return;
        }
        match self.byte() % 12 {
            0..=3 => self.term(out, depth),
            4..=6 => {
                self.expr(out, depth + 1);
                self.operator(out);
                self.expr(out, depth + 1);
            }
            7 => {
                out.push('(');
                self.expr(out, depth + 1);
                out.push(')');
                self.steps(out, depth);
            }
            8 => {
                out.push('-');
                self.term(out, depth);
            }
            9 => {
                self.term(out, depth);
                let word = self.word(&[" is ", " as "]);
                out.push_str(word);
                let name = self.word(TYPES);
                out.push_str(name);
            }
            10 => self.chain(out, depth),
            _ => self.nest(out, depth),
        }
    }

    fn operator(&mut self, out: &mut String) {
        let operator = self.word(OPERATORS);
        out.push(' ');
        out.push_str(operator);
        out.push(' ');
    }

    /// One term many times, with one operator.
    fn chain(&mut self, out: &mut String, depth: usize) {
        let (times, operator) = (1 + self.byte() * 4, self.word(OPERATORS));
        let mut term = String::new();
        self.term(&mut term, depth + 1);
        out.push_str(&term);
        for _ in 0..times {
            if out.len() > MOST {
                return;
            }
            out.push(' ');
            out.push_str(operator);
            out.push(' ');
            out.push_str(&term);
        }
    }

    /// A call in its own argument, many times.
    fn nest(&mut self, out: &mut String, depth: usize) {
        let (times, function) = (1 + self.byte() % 66, self.word(ONE));
        let mut head = String::new();
        self.head(&mut head, depth + 1);
        for _ in 0..times {
            if out.len() > MOST {
                break;
            }
            out.push_str(&head);
            out.push('.');
            out.push_str(function);
            out.push('(');
        }
        self.expr(out, depth + 1);
        for _ in 0..times {
            out.push(')');
        }
    }

    fn term(&mut self, out: &mut String, depth: usize) {
        self.head(out, depth);
        self.steps(out, depth);
    }

    fn head(&mut self, out: &mut String, depth: usize) {
        match self.byte() % 8 {
            0..=3 => {
                let name = self.word(NAMES);
                out.push_str(name);
            }
            4..=6 => {
                let literal = self.word(LITERALS);
                out.push_str(literal);
            }
            _ => self.call(out, depth),
        }
    }

    fn steps(&mut self, out: &mut String, depth: usize) {
        for _ in 0..self.byte() % 5 {
            if out.len() > MOST {
                return;
            }
            if self.byte().is_multiple_of(8) {
                out.push('[');
                self.expr(out, depth + 1);
                out.push(']');
                continue;
            }
            out.push('.');
            if self.byte().is_multiple_of(3) {
                let name = self.word(NAMES);
                out.push_str(name);
            } else {
                self.call(out, depth);
            }
        }
    }

    fn call(&mut self, out: &mut String, depth: usize) {
        match self.byte() % 8 {
            0..=2 => {
                let function = self.word(PLAIN);
                out.push_str(function);
                out.push_str("()");
            }
            3 | 4 => {
                let function = self.word(ONE);
                out.push_str(function);
                out.push('(');
                self.expr(out, depth + 1);
                out.push(')');
            }
            5 => {
                let word = self.word(CALLS);
                out.push_str(word);
            }
            6 => {
                let function = self.word(TWO);
                out.push_str(function);
                out.push('(');
                self.expr(out, depth + 1);
                out.push_str(", ");
                self.expr(out, depth + 1);
                out.push(')');
            }
            _ => {
                let (function, name) = (self.word(&["ofType", "is", "as", "getReferenceKey"]), self.word(TYPES));
                out.push_str(function);
                out.push('(');
                out.push_str(name);
                out.push(')');
            }
        }
    }
}
