//! The literals that an expression may give as its answer, whatever the resource: what a mapping writes of its own.

use super::ast::{Call, Expr, Literal, Operator, Step};
use super::function::Function as F;

/// Adds the literals that `expr` may give.
pub(super) fn literals<'e>(expr: &'e Expr, out: &mut Vec<&'e Literal>) {
    match expr {
        Expr::Literal(literal) => out.push(literal),
        Expr::Path { head, steps } => match steps.split_last() {
            None => head.iter().for_each(|head| literals(head, out)),
            Some((Step::Call(call), before)) => match call.function {
                F::Iif | F::Select => given(call, out),
                function if function.keeps_items() && before.is_empty() => head.iter().for_each(|head| literals(head, out)),
                F::Union | F::Combine => {
                    if before.is_empty() {
                        head.iter().for_each(|head| literals(head, out));
                    }
                    call.arguments.iter().for_each(|argument| literals(argument, out));
                }
                _ => {}
            },
            Some(_) => {}
        },
        Expr::Chain { first, rest } if rest.iter().all(|(operator, ..)| *operator == Operator::Union) => {
            literals(first, out);
            rest.iter().for_each(|(_, _, side)| literals(side, out));
        }
        _ => {}
    }
}

/// What `iif` and `select` give: all their arguments but a condition.
fn given<'e>(call: &'e Call, out: &mut Vec<&'e Literal>) {
    let skipped = usize::from(call.function == F::Iif);
    call.arguments.iter().skip(skipped).for_each(|argument| literals(argument, out));
}

#[cfg(test)]
mod tests {
    use super::super::{Names, Path, Start};
    use super::*;

    #[test]
    fn what_an_expression_may_give_is_found_and_what_it_compares_with_is_not() {
        for (path, expected) in [
            ("7", vec![7]),
            ("iif(a = 1, 2, iif(b.count() > 3, 4, {}))", vec![2, 4]),
            ("a.where(b = 1).select(5)", vec![5]),
            ("(6 | 7).first()", vec![6, 7]),
            ("a.length() + 1", vec![]),
            ("a.skip(1)", vec![]),
        ] {
            let path = Path::compile(path, &Names::default(), &Start::default()).unwrap();
            let found: Vec<_> = path
                .literals()
                .into_iter()
                .filter_map(|literal| match literal {
                    Literal::Integer(number) => Some(*number),
                    _ => None,
                })
                .collect();
            assert_eq!(found, expected);
        }
    }
}
