//! Tokens to tree. Precedence climbing; every nesting is counted, so that no input can exhaust the stack.
//! Limits: 16 KiB of text, a tree 64 deep, 10,000 tokens' worth of everything else follows from the length.

mod call;

use super::ast::{Expr, Literal, Member, Operator, Step, TYPE_BINDING};
use super::lexer::{Token, tokens};
use super::{Names, PathError};
use crate::fhir::name::Name;

/// Longest expression, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Deepest tree.
const MAX_DEPTH: usize = 64;
/// Open calls of `expression` at one time: a nesting may need one per level of precedence.
const MAX_OPEN: usize = 80;

/// The tree of `source`, and what its patterns cost to make. `names` says which `%constants` there are.
pub(super) fn parse(source: &str, names: &Names<'_>) -> Result<(Expr, usize), PathError> {
    if source.len() > MAX_BYTES {
        return Err(PathError::at(source, 0, "the expression is longer than 16 KiB"));
    }
    let mut parser = Parser {
        source,
        tokens: tokens(source)?,
        next: 0,
        open: 0,
        making: 0,
        names,
    };
    let (expr, _) = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok((expr, parser.making)),
        _ => parser.fault("an operator or the end was expected here"),
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    open: usize,
    /// What the patterns so far cost to make.
    making: usize,
    names: &'s Names<'s>,
}

/// A tree and how deep it is.
type Deep = (Expr, usize);

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> u32 {
        u32::try_from(self.tokens[self.next].1).unwrap_or(u32::MAX)
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.next].0.clone();
        // The last token is `End` and is never left.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, PathError> {
        Err(PathError::at(self.source, self.tokens[self.next].1, message))
    }

    fn fault_at<T>(&self, at: u32, message: impl Into<String>) -> Result<T, PathError> {
        Err(PathError::at(self.source, at as usize, message))
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(next) if *next == symbol);
        if found {
            self.advance();
        }
        found
    }

    fn need(&mut self, symbol: &str) -> Result<(), PathError> {
        if self.take(symbol) {
            return Ok(());
        }
        self.fault(format!("`{symbol}` was expected here"))
    }

    fn deeper(&self, depth: usize) -> Result<usize, PathError> {
        if depth >= MAX_DEPTH {
            return self.fault("the expression nests deeper than 64");
        }
        Ok(depth + 1)
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Result<Deep, PathError> {
        self.open += 1;
        if self.open > MAX_OPEN {
            return self.fault("the expression nests deeper than 64");
        }
        let (mut left, mut depth) = self.signed()?;
        // The binding of the chain that `left` is, while it may still grow.
        let mut growing: Option<u8> = None;
        loop {
            if least <= TYPE_BINDING
                && let Token::Name(word, false) = self.peek()
                && (word == "is" || word == "as")
            {
                let keep = word == "as";
                self.advance();
                depth = self.deeper(depth)?;
                left = Expr::TypeTest {
                    operand: Box::new(left),
                    keep,
                    type_name: self.type_name()?,
                };
                growing = None;
                continue;
            }
            let Some(operator) = self.operator().filter(|operator| operator.binding() >= least) else {
                break;
            };
            let at = self.at();
            self.advance();
            let (right, right_depth) = self.expression(operator.binding() + 1)?;
            depth = match (&mut left, growing) {
                (Expr::Chain { rest, .. }, Some(binding)) if binding == operator.binding() => {
                    rest.push((operator, at, right));
                    depth.max(self.deeper(right_depth)?)
                }
                _ => {
                    left = Expr::Chain {
                        first: Box::new(left),
                        rest: vec![(operator, at, right)],
                    };
                    self.deeper(depth.max(right_depth))?
                }
            };
            growing = Some(operator.binding());
        }
        self.open -= 1;
        Ok((left, depth))
    }

    fn operator(&self) -> Option<Operator> {
        Some(match self.peek() {
            Token::Symbol(symbol) => match *symbol {
                "*" => Operator::Multiply,
                "/" => Operator::Divide,
                "+" => Operator::Add,
                "-" => Operator::Subtract,
                "&" => Operator::Concatenate,
                "|" => Operator::Union,
                "<" => Operator::Less,
                "<=" => Operator::LessOrEqual,
                ">" => Operator::Greater,
                ">=" => Operator::GreaterOrEqual,
                "=" => Operator::Equal,
                "!=" => Operator::NotEqual,
                "~" => Operator::Equivalent,
                "!~" => Operator::NotEquivalent,
                _ => return None,
            },
            Token::Name(word, false) => match word.as_str() {
                "div" => Operator::DivideWhole,
                "mod" => Operator::Modulo,
                "in" => Operator::In,
                "contains" => Operator::Contains,
                "and" => Operator::And,
                "or" => Operator::Or,
                "xor" => Operator::Xor,
                "implies" => Operator::Implies,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Signs, then a term with its invocations. Many signs are one sign.
    fn signed(&mut self) -> Result<Deep, PathError> {
        let at = self.at();
        let mut signs = 0usize;
        let mut negative = false;
        loop {
            if self.take("-") {
                negative = !negative;
            } else if !self.take("+") {
                break;
            }
            signs += 1;
        }
        let (term, depth) = self.term()?;
        if signs == 0 {
            return Ok((term, depth));
        }
        // Even `+x` must be a number: two negations keep the value and the check.
        let depth = self.deeper(depth)?;
        let once = Expr::Negate(Box::new(term), at);
        Ok((if negative { once } else { Expr::Negate(Box::new(once), at) }, depth))
    }

    fn term(&mut self) -> Result<Deep, PathError> {
        let (head, mut depth, mut steps) = match self.primary()? {
            Primary::Expr(expr, depth) => (Some(expr), depth, Vec::new()),
            Primary::Step(step, depth) => (None, depth, vec![step]),
        };
        loop {
            let at = self.at();
            let (step, step_depth) = if self.take(".") {
                match self.invocation()? {
                    Primary::Step(step, depth) => (step, depth),
                    Primary::Expr(..) => return self.fault_at(at, "a name or a function was expected after `.`"),
                }
            } else if self.take("[") {
                let (index, depth) = self.expression(0)?;
                self.need("]")?;
                (Step::At(Box::new(index), at), depth)
            } else {
                break;
            };
            depth = depth.max(step_depth);
            steps.push(step);
        }
        Ok(match head {
            Some(head) if steps.is_empty() => (head, depth),
            head => (
                Expr::Path {
                    head: head.map(Box::new),
                    steps,
                },
                self.deeper(depth)?,
            ),
        })
    }

    fn primary(&mut self) -> Result<Primary, PathError> {
        let at = self.at();
        let literal = |literal| Ok(Primary::Expr(Expr::Literal(literal), 1));
        match self.peek().clone() {
            Token::Text(text) => {
                self.advance();
                literal(Literal::Text(text))
            }
            Token::Temporal(temporal) => {
                self.advance();
                literal(Literal::Temporal(temporal))
            }
            Token::Integer(number) => {
                self.advance();
                match self.unit() {
                    Some(unit) => literal(Literal::Quantity(number.into(), unit)),
                    None => literal(Literal::Integer(number)),
                }
            }
            Token::Decimal(number) => {
                self.advance();
                match self.unit() {
                    Some(unit) => literal(Literal::Quantity(number, unit)),
                    None => literal(Literal::Decimal(number)),
                }
            }
            Token::Name(word, false) if word == "true" || word == "false" => {
                self.advance();
                literal(Literal::Boolean(word == "true"))
            }
            Token::Percent(name) => {
                self.advance();
                let variable = self.names.variable(&name);
                match variable {
                    Some(variable) => Ok(Primary::Expr(Expr::Variable(variable, at), 1)),
                    None => self.fault_at(at, format!("`%{name}` is not defined")),
                }
            }
            Token::Symbol("(") => {
                self.advance();
                let (expr, depth) = self.expression(0)?;
                self.need(")")?;
                // `expression` starts each chain afresh, so one in brackets cannot grow with what follows them.
                Ok(Primary::Expr(expr, depth))
            }
            Token::Symbol("{") => {
                self.advance();
                self.need("}")?;
                Ok(Primary::Expr(Expr::Empty, 1))
            }
            _ => self.invocation(),
        }
    }

    /// `4 'mg'`, `4 days`: the unit after a number.
    fn unit(&mut self) -> Option<String> {
        const CALENDAR: [&str; 16] = [
            "year",
            "years",
            "month",
            "months",
            "week",
            "weeks",
            "day",
            "days",
            "hour",
            "hours",
            "minute",
            "minutes",
            "second",
            "seconds",
            "millisecond",
            "milliseconds",
        ];
        let unit = match self.peek() {
            Token::Text(unit) => unit.clone(),
            Token::Name(word, false) if CALENDAR.contains(&word.as_str()) => word.clone(),
            _ => return None,
        };
        self.advance();
        Some(unit)
    }

    /// A name, a function call, or `$this`.
    fn invocation(&mut self) -> Result<Primary, PathError> {
        let at = self.at();
        match self.peek().clone() {
            Token::Dollar(word) => {
                self.advance();
                Ok(Primary::Expr(
                    match word.as_str() {
                        "this" => Expr::This,
                        "index" => Expr::Index,
                        "total" => Expr::Total,
                        _ => return self.fault_at(at, "`$` needs `this`, `index` or `total`"),
                    },
                    1,
                ))
            }
            Token::Name(word, quoted) => {
                const RESERVED: [&str; 9] = ["div", "mod", "and", "or", "xor", "implies", "true", "false", "in"];
                if !quoted && RESERVED[..8].contains(&word.as_str()) {
                    return self.fault(format!("`{word}` cannot stand here"));
                }
                self.advance();
                if self.take("(") {
                    return self.call(&word, at);
                }
                Ok(Primary::Step(Step::Member(member(word, at)), 1))
            }
            Token::End => self.fault("the expression ends too early"),
            _ => self.fault("a value, a name or a function was expected here"),
        }
    }
}

enum Primary {
    Expr(Expr, usize),
    Step(Step, usize),
}

/// An element name with its interned forms.
pub(super) fn member(text: String, at: u32) -> Member {
    let name = Name::of(&text);
    Member {
        under: name.companion(),
        name,
        text,
        at,
    }
}
