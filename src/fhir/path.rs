//! FHIRPath: parse, compile, evaluate on the borrowed tree.
//! Basis: FHIRPath 2.0.0, FHIR R4's additions to it, and the functions SQL on FHIR v2 adds. No terminology server, and `resolve()`
//! never leaves the resource: the same resource always gives the same answer. Values of computed results are in `value`; what a path is checked against is in `check`.

mod answers;
mod ast;
mod boundary;
mod canonical;
mod check;
mod collection;
mod compare;
mod convert;
mod eval;
mod fast;
mod function;
mod items;
mod keys;
mod lexer;
mod number;
mod operate;
mod operator;
mod parser;
mod pattern;
mod print;
mod project;
mod reads;
mod resolve;
mod temporal;
mod text;
mod types;
mod value;
mod work;

pub use ast::{Literal, Variable};
pub use canonical::{Canonicals, Fits};
pub use check::Typing;
pub use eval::Context;
pub use fast::{End, Fast, Found, Given, Unsure};
pub use items::Collection;
pub use keys::{reference_key, resource_key};
pub use print::write_json;
pub use reads::{Place, Reads};
pub use temporal::Temporal;
pub use value::{Element, Item, Text};
pub use work::Fault;

use check::Checker;
use eval::{Answer, Evaluator};

/// Where and why an expression is no FHIRPath, or asks for what R4 does not have. Lines and columns begin at 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct PathError {
    pub message: String,
    pub line: usize,
    pub column: usize,
    /// Byte offset in the expression.
    pub offset: usize,
}

impl PathError {
    fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = place(source, offset);
        Self {
            message: message.into(),
            line,
            column,
            offset,
        }
    }
}

/// Line and column, from 1, of a byte offset.
pub fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let lines = before.bytes().filter(|byte| *byte == b'\n').count();
    (lines + 1, before[line_start..].chars().count() + 1)
}

/// What names an expression may use, and how strictly it is read.
#[derive(Clone, Debug, Default)]
pub struct Names<'n> {
    /// Constants by name; `Context::constants` has their values in the same order.
    pub constants: &'n [String],
    /// Refuse functions whose answer depends on more than the resource.
    pub pure: bool,
    /// What `memberOf` and `conformsTo` may name.
    pub canonicals: Option<&'n Canonicals>,
}

impl Names<'_> {
    fn variable(&self, name: &str) -> Option<Variable> {
        if let Some(at) = self.constants.iter().position(|constant| constant == name) {
            return Some(Variable::Constant(at));
        }
        let text = |text: &str| Some(Variable::Text(text.to_owned()));
        match name {
            "rowIndex" => Some(Variable::RowIndex),
            "context" => Some(Variable::Context),
            "resource" => Some(Variable::Resource),
            "rootResource" => Some(Variable::RootResource),
            "ucum" => text("http://unitsofmeasure.org"),
            "sct" => text("http://snomed.info/sct"),
            "loinc" => text("http://loinc.org"),
            _ => match (name.strip_prefix("vs-"), name.strip_prefix("ext-")) {
                (Some(set), _) => text(&format!("http://hl7.org/fhir/ValueSet/{set}")),
                (_, Some(extension)) => text(&format!("http://hl7.org/fhir/StructureDefinition/{extension}")),
                _ => None,
            },
        }
    }
}

/// What an expression starts from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    pub focus: Typing,
    pub resource: Typing,
    /// An element that R4 does not have is an error, not an empty answer.
    pub strict: bool,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Path {
    expr: ast::Expr,
    fast: Option<Fast>,
    typing: Typing,
    making: usize,
}

impl Path {
    /// # Errors: where the text is no FHIRPath; when strict, where it asks for what R4 does not have.
    pub fn compile(source: &str, names: &Names<'_>, start: &Start) -> Result<Self, PathError> {
        let (expr, making) = parser::parse(source, names)?;
        let checker = Checker {
            source,
            strict: start.strict,
            focus: start.focus.clone(),
            resource: start.resource.clone(),
        };
        let typing = checker.expr(&expr, &start.focus)?;
        let fast = Fast::of(&expr, &start.focus);
        Ok(Self {
            expr,
            fast,
            typing,
            making,
        })
    }

    /// The types its items may have; `None` when that is not known.
    pub fn typing(&self) -> &Typing {
        &self.typing
    }

    /// What its patterns cost to make: whoever compiles many expressions bounds the sum.
    pub fn making(&self) -> usize {
        self.making
    }

    /// The literals that it may give, whatever it is asked of.
    pub fn literals(&self) -> Vec<&Literal> {
        let mut found = Vec::new();
        answers::literals(&self.expr, &mut found);
        found
    }

    /// The straight way, where there is one.
    pub fn fast(&self) -> Option<&Fast> {
        self.fast.as_ref()
    }

    /// Takes the straight way away, so that `evaluate` alone answers.
    #[cfg(test)]
    pub(crate) fn without_fast(&mut self) {
        self.fast = None;
    }

    /// The expression is `%rowIndex` and nothing else.
    pub fn is_row_index(&self) -> bool {
        matches!(self.expr, ast::Expr::Variable(Variable::RowIndex, _))
    }

    /// All items, from `focus`.
    /// # Errors: what has no answer (more than one item where one is needed), or a broken limit. Never a value.
    pub fn evaluate<'t, 'a>(&'t self, context: &Context<'t, 'a>, focus: Item<'t, 'a>) -> Answer<'t, 'a> {
        Evaluator { context, focus }.run(&self.expr)
    }
}

#[cfg(test)]
mod tests;
