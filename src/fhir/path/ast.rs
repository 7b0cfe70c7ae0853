//! A FHIRPath expression as a tree. Chains (`a.b.c`, `a or b or c`) are lists, not nests, so that depth is what a reader
//! would call depth. Made by `parser`, never changed afterwards.

use super::canonical::Named;
use super::function::Function;
use super::pattern::Pattern;
use super::temporal::Temporal;
use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;

/// Byte offset in the expression.
pub(super) type At = u32;

#[derive(Debug)]
pub enum Expr {
    Literal(Literal),
    /// `$this`
    This,
    /// `$index`
    Index,
    /// `$total`
    Total,
    Variable(Variable, At),
    /// `{}`
    Empty,
    /// `head.step.step`; without a head the steps begin at `$this`.
    Path {
        head: Option<Box<Expr>>,
        steps: Vec<Step>,
    },
    /// `first op rest op rest`, all of one precedence, from left to right.
    Chain {
        first: Box<Expr>,
        rest: Vec<(Operator, At, Expr)>,
    },
    Negate(Box<Expr>, At),
    /// `operand is Type`, `operand as Type`
    TypeTest {
        operand: Box<Expr>,
        keep: bool,
        type_name: TypeName,
    },
}

#[derive(Debug)]
pub enum Step {
    Member(Member),
    Call(Call),
    /// `[index]`
    At(Box<Expr>, At),
}

/// An element asked for by name.
#[derive(Debug)]
pub struct Member {
    pub text: String,
    pub name: Name,
    /// The name of the sibling that holds a primitive's id and extensions: `_birthDate`.
    pub under: Name,
    pub at: At,
}

#[derive(Debug)]
pub struct Call {
    pub function: Function,
    pub arguments: Vec<Expr>,
    /// The argument of `ofType`, `is`, `as`, `getReferenceKey`.
    pub type_name: Option<TypeName>,
    /// The pattern of `matches` and `replaceMatches`, when it is a literal.
    pub pattern: Option<Box<Pattern>>,
    /// What the argument of `memberOf` or `conformsTo` names.
    pub named: Option<Named>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub struct TypeName {
    pub namespace: Option<String>,
    pub name: String,
    pub at: At,
}

/// What `%name` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A constant of the caller's, by its place in the caller's list.
    Constant(usize),
    /// `%rowIndex`
    RowIndex,
    /// `%context`
    Context,
    /// `%resource`
    Resource,
    /// `%rootResource`
    RootResource,
    /// `%ucum`, `%sct`, `%loinc`, `%vs-…`, `%ext-…`
    Text(String),
}

#[derive(Clone, Debug)]
pub enum Literal {
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    Text(String),
    Temporal(Temporal),
    Quantity(Decimal, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Multiply,
    Divide,
    DivideWhole,
    Modulo,
    Add,
    Subtract,
    Concatenate,
    Union,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Equivalent,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

impl Operator {
    /// How tightly it binds; a higher number binds tighter. FHIRPath 2.0, "Operator Precedence".
    pub const fn binding(self) -> u8 {
        match self {
            Operator::Implies => 1,
            Operator::Or | Operator::Xor => 2,
            Operator::And => 3,
            Operator::In | Operator::Contains => 4,
            Operator::Equal | Operator::NotEqual | Operator::Equivalent | Operator::NotEquivalent => 5,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => 6,
            Operator::Union => 7,
            // 8: is, as
            Operator::Add | Operator::Subtract | Operator::Concatenate => 9,
            Operator::Multiply | Operator::Divide | Operator::DivideWhole | Operator::Modulo => 10,
        }
    }
}

/// How tightly `is` and `as` bind.
pub(super) const TYPE_BINDING: u8 = 8;
