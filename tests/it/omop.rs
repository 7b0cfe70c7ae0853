//! The OMOP model against outside truth: the golden cases of another project, the CDM's own definition, real patients.

use std::path::Path;
use std::sync::Arc;

use headwater::gateway::Rules;
use headwater::gateway::vocabulary::Athena;
use headwater::network::Package;

mod definition;
mod golden;
mod quality;
mod synthea;

/// The model's rules with the golden cases' vocabulary; its index is kept in `cache`.
fn rules(shared: &Path, cache: &Path) -> Rules {
    let mut network = Package::BuiltIn.load("omop-5.4").expect("the built-in model loads");
    let folder = shared.join("data/omop/golden/vocabulary");
    let athena = Athena::open(&folder, cache, &mut |_, _| ()).expect("the vocabulary opens");
    network.vocabulary = Some(Arc::new(athena));
    network.under("safe-harbor").expect("the policy compiles")
}
