//! Which elements an expression reads, by R4's tables: what a coverage report holds against the data.
//! A place is an element path as JSON has it, without indexes: `Observation.component.valueQuantity`; an extension carries
//! its url where the expression says it, `Patient.extension[url]`. Where an expression leaves R4's tables, nothing is found.

use std::collections::BTreeSet;

use super::Path;
use super::ast::{Call, Expr, Literal, Member, Step, Variable};
use super::check::names_type;
use super::function::Function as F;
use super::types::is_kept_as;
use crate::fhir::name::Name;
use crate::fhir::types::TypeId;

/// An element and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: String,
    pub type_id: TypeId,
}

/// The elements that expressions look at.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Looked at, or gone through.
    touched: BTreeSet<String>,
    /// Given out with all that is below.
    whole: BTreeSet<String>,
}

impl Reads {
    /// Takes in what `path` reads from `focus`; the places it gives.
    pub fn add(&mut self, path: &Path, resource: &Place, focus: &[Place]) -> Vec<Place> {
        let mut walker = Walker {
            reads: self,
            resource,
            context: focus,
        };
        walker.expr(&path.expr, focus)
    }

    /// Everything below these places counts as read, too.
    pub fn take_whole(&mut self, places: Vec<Place>) {
        self.whole.extend(places.into_iter().map(|place| place.path));
    }

    /// Every element that is looked at or gone through.
    pub fn touched(&self) -> impl Iterator<Item = &str> {
        self.touched.iter().map(String::as_str)
    }

    /// Every element that is given out with all that is below it.
    pub fn whole(&self) -> impl Iterator<Item = &str> {
        self.whole.iter().map(String::as_str)
    }

    /// Some expression looks at the element of this path, or goes through it.
    pub fn touches(&self, path: &str) -> bool {
        self.touched.contains(path) || self.touched.contains(&without_urls(path))
    }

    /// Some expression gives out the element with all that is below it.
    pub fn takes_whole(&self, path: &str) -> bool {
        self.whole.contains(path) || self.whole.contains(&without_urls(path))
    }
}

/// The path with every extension's url left out.
fn without_urls(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for letter in path.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            other if !inside => out.push(other),
            _ => {}
        }
    }
    out
}

struct Walker<'r> {
    reads: &'r mut Reads,
    resource: &'r Place,
    context: &'r [Place],
}

impl Walker<'_> {
    fn expr(&mut self, expr: &Expr, this: &[Place]) -> Vec<Place> {
        match expr {
            Expr::Literal(_) | Expr::Empty | Expr::Index | Expr::Total => Vec::new(),
            Expr::This => this.to_vec(),
            Expr::Variable(variable, _) => match variable {
                Variable::Context => self.context.to_vec(),
                Variable::Resource | Variable::RootResource => vec![self.resource.clone()],
                _ => Vec::new(),
            },
            Expr::Path { head, steps } => {
                let mut current = match head {
                    Some(head) => self.expr(head, this),
                    None => this.to_vec(),
                };
                let typing = head.is_none().then(|| this.iter().map(|place| place.type_id).collect());
                for (at, step) in steps.iter().enumerate() {
                    if at == 0 && head.is_none() && names_type(step, &typing) {
                        continue;
                    }
                    current = match step {
                        Step::Member(member) => self.member(member, &current),
                        Step::At(index, _) => {
                            self.expr(index, this);
                            current
                        }
                        Step::Call(call) => self.call(call, current, this),
                    };
                }
                current
            }
            Expr::Chain { first, rest } => {
                let mut all = self.expr(first, this);
                let union = rest.iter().all(|(operator, ..)| *operator == super::ast::Operator::Union);
                for (_, _, right) in rest {
                    all.extend(self.expr(right, this));
                }
                if union { all } else { Vec::new() }
            }
            Expr::Negate(operand, _) => {
                self.expr(operand, this);
                Vec::new()
            }
            Expr::TypeTest { operand, keep, type_name } => {
                let found = self.expr(operand, this);
                if *keep { narrowed(found, &type_name.name) } else { Vec::new() }
            }
        }
    }

    fn member(&mut self, member: &Member, current: &[Place]) -> Vec<Place> {
        let mut found = Vec::new();
        for place in current {
            let own = place.type_id.child(member.name).filter(|_| !member.name.is_companion());
            let own = own.filter(|_| member.name != Name::UNKNOWN);
            let typed = own.as_slice().iter().chain(place.type_id.choice(&member.text));
            for child in typed {
                found.push(self.touch(place, child.name.as_str(), child.type_id));
            }
        }
        found
    }

    fn touch(&mut self, place: &Place, name: &str, type_id: TypeId) -> Place {
        let path = format!("{}.{name}", place.path);
        self.reads.touched.insert(path.clone());
        Place { path, type_id }
    }

    fn call(&mut self, call: &Call, current: Vec<Place>, this: &[Place]) -> Vec<Place> {
        let inner = match call.function.arguments() {
            super::function::Arguments::EachItem => current.clone(),
            _ => this.to_vec(),
        };
        let mut arguments: Vec<Vec<Place>> = call.arguments.iter().map(|argument| self.expr(argument, &inner)).collect();
        match call.function {
            function if function.keeps_items() => current,
            F::Select | F::Repeat => arguments.drain(..).flatten().collect(),
            F::Union | F::Combine => current.into_iter().chain(arguments.drain(..).flatten()).collect(),
            F::Iif => arguments.drain(..).skip(1).flatten().collect(),
            F::OfType | F::As => call.type_name.as_ref().map_or(Vec::new(), |wanted| narrowed(current, &wanted.name)),
            F::Extension => self.extension(call, &current),
            F::GetResourceKey => {
                let resource = self.resource.clone();
                self.reads.touched.insert(format!("{}.id", resource.path));
                Vec::new()
            }
            F::GetReferenceKey => {
                for place in &current {
                    self.reads.touched.insert(format!("{}.reference", place.path));
                }
                Vec::new()
            }
            F::Resolve => {
                for place in &current {
                    self.reads.touched.insert(format!("{}.reference", place.path));
                }
                let resource = self.resource.clone();
                vec![self.touch(&resource, "contained", TypeId::RESOURCE)]
            }
            // What is tested or computed from is read as it is.
            F::Exists | F::Empty | F::Count | F::HasValue | F::Not | F::All => Vec::new(),
            _ => {
                self.reads.take_whole(current);
                Vec::new()
            }
        }
    }

    fn extension(&mut self, call: &Call, current: &[Place]) -> Vec<Place> {
        let Some(type_id) = TypeId::of("Extension") else {
            return Vec::new();
        };
        let name = match call.arguments.first() {
            Some(Expr::Literal(Literal::Text(url))) => format!("extension[{url}]"),
            _ => "extension".to_owned(),
        };
        current
            .iter()
            .map(|place| {
                let found = self.touch(place, &name, type_id);
                self.reads.touched.insert(format!("{}.url", found.path));
                found
            })
            .collect()
    }
}

fn narrowed(current: Vec<Place>, name: &str) -> Vec<Place> {
    let narrow = |place: Place| match place.type_id {
        // Any resource may stand here, so one of the type that is asked for.
        TypeId::RESOURCE => TypeId::of(name).map(|type_id| Place { type_id, ..place }),
        own => is_kept_as(own, name).then_some(place),
    };
    current.into_iter().filter_map(narrow).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Names, Start};
    use super::*;

    fn reads(resource: &str, expression: &str) -> Reads {
        let type_id = TypeId::of(resource).expect("a type of R4");
        let start = Start {
            focus: Some(vec![type_id]),
            resource: Some(vec![type_id]),
            strict: true,
        };
        let path = Path::compile(expression, &Names::default(), &start).expect("an expression");
        let root = Place {
            path: resource.to_owned(),
            type_id,
        };
        let mut reads = Reads::default();
        let given = reads.add(&path, &root, std::slice::from_ref(&root));
        reads.take_whole(given);
        reads
    }

    #[test]
    fn a_filter_reads_what_it_asks_for_and_nothing_beside_it() {
        let reads = reads("Observation", "code.coding.where(system = 'http://loinc.org').code");
        assert!(reads.touches("Observation.code.coding.system") && reads.takes_whole("Observation.code.coding.code"));
        assert!(!reads.touches("Observation.code.coding.display") && !reads.touches("Observation.status"));
    }

    #[test]
    fn a_choice_is_read_in_the_type_that_is_asked_for() {
        let reads = reads("Observation", "value.ofType(Quantity).value");
        assert!(reads.touches("Observation.valueQuantity.value") && !reads.touches("Observation.valueString.value"));
        assert!(!reads.touches("Observation.valueQuantity.unit"));
    }

    #[test]
    fn an_extension_is_read_by_its_url_and_a_reference_by_its_key() {
        let race = reads("Patient", "extension('http://x.org/race').value.ofType(Coding).code");
        assert!(race.touches("Patient.extension[http://x.org/race].valueCoding.code"));
        assert!(!race.touches("Patient.extension[http://x.org/other]"));
        let subject = reads("Observation", "subject.getReferenceKey(Patient)");
        assert!(subject.touches("Observation.subject.reference") && !subject.touches("Observation.subject.display"));
    }
}
