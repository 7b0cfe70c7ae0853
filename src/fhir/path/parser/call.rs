//! Function calls: the function must be known here, its arguments as many as it takes, its pattern one that compiles.

use super::super::PathError;
use super::super::ast::{Call, Expr, Literal, Step, TypeName};
use super::super::canonical;
use super::super::function::{Arguments, Function, IMPURE};
use super::super::lexer::Token;
use super::super::pattern::{MAX_MAKING, Pattern};
use super::{Parser, Primary};

impl Parser<'_> {
    pub(super) fn call(&mut self, name: &str, at: u32) -> Result<Primary, PathError> {
        if self.names.pure && IMPURE.contains(&name) {
            return self.fault_at(
                at,
                format!("`{name}()` is not allowed here: the same input must always give the same answer"),
            );
        }
        let Some(function) = Function::of(name) else {
            return self.fault_at(at, format!("`{name}()` is not a function known here"));
        };
        let mut call = Call {
            function,
            arguments: Vec::new(),
            type_name: None,
            pattern: None,
            named: None,
            at,
        };
        let mut depth = 0;
        let mut count = 0;
        if !self.take(")") {
            loop {
                count += 1;
                if function.arguments() == Arguments::Type {
                    call.type_name = Some(self.type_name()?);
                } else {
                    let (argument, argument_depth) = self.expression(0)?;
                    depth = depth.max(argument_depth);
                    call.arguments.push(argument);
                }
                if !self.take(",") {
                    break;
                }
            }
            self.need(")")?;
        }
        let (least, most) = function.arity();
        if count < least || count > most {
            let expected = if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            return self.fault_at(at, format!("`{name}()` takes {expected} argument(s), not {count}"));
        }
        if let (Function::Matches | Function::MatchesFull | Function::ReplaceMatches, Some(Expr::Literal(Literal::Text(pattern)))) =
            (function, call.arguments.first())
        {
            call.pattern = match Pattern::compile(pattern, function == Function::MatchesFull) {
                Some(pattern) => {
                    self.making += pattern.making();
                    if self.making > MAX_MAKING {
                        return self.fault_at(at, "the patterns of the expression are too many or too large together");
                    }
                    Some(Box::new(pattern))
                }
                None => return self.fault_at(at, "the pattern is no regular expression that we can run in linear time"),
            };
        }
        if let (Function::MemberOf | Function::ConformsTo, Some(argument)) = (function, call.arguments.first()) {
            call.named = match canonical::named(function, argument, self.names.canonicals, self.names.pure) {
                Ok(named) => named,
                Err(message) => return self.fault_at(at, message),
            };
        }
        Ok(Primary::Step(Step::Call(call), self.deeper(depth)?))
    }

    /// `Quantity`, `FHIR.Quantity`, `` `Quantity` ``.
    pub(super) fn type_name(&mut self) -> Result<TypeName, PathError> {
        let at = self.at();
        let mut word = || match self.peek().clone() {
            Token::Name(word, _) => {
                self.advance();
                Ok(word)
            }
            _ => self.fault("the name of a type was expected here"),
        };
        let first = word()?;
        let mut type_name = TypeName {
            namespace: None,
            name: first,
            at,
        };
        if self.take(".") {
            let Token::Name(word, _) = self.advance() else {
                return self.fault_at(at, "the name of a type was expected here");
            };
            type_name.namespace = Some(std::mem::replace(&mut type_name.name, word));
        }
        Ok(type_name)
    }
}
