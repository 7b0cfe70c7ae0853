//! What resources were held to, on the evidence's page: the profiles, what a fault by each means, and how often what must be
//! supported is there.

use maud::{Markup, html};

use super::super::show::{count, thousands};
use crate::gateway::{ProfileShown, Validated};

pub(super) fn in_short(found: &Validated) -> String {
    if found.profiles.is_empty() {
        return "To the types of FHIR R4; no resource of this run was one that a profile is for.".to_owned();
    }
    let sum = |number: fn(&ProfileShown) -> u64| found.profiles.iter().map(number).sum::<u64>();
    let of_fhir: u64 = found
        .faults
        .iter()
        .filter(|fault| fault.profile.is_none())
        .map(|fault| fault.count)
        .sum();
    let packages = match found.packages.as_slice() {
        [] => "the network's own".to_owned(),
        packages => format!(
            "the network's own and those of {}",
            packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ")
        ),
    };
    format!(
        "To the types of FHIR R4 and to {}, {packages}. They refused {}; {} and {} more were told or counted, and let their resource go on.",
        count(found.profiles.len() as u64, "profile"),
        count(sum(|profile| profile.refused), "resource"),
        count(sum(|profile| profile.warned), "fault"),
        thousands(sum(|profile| profile.counted) + of_fhir)
    )
}

pub(super) fn found(found: &Validated) -> Markup {
    html! {
        @if !found.profiles.is_empty() {
            table {
                tr { th { "Profile" } th .n { "resources" } th .n { "refused" } th .n { "warnings" } th .n { "counted" } }
                @for profile in &found.profiles {
                    tr {
                        td { code { (profile.profile) } }
                        @for number in [profile.resources, profile.refused, profile.warned, profile.counted] { td .n { (thousands(number)) } }
                    }
                }
            }
        }
        @for profile in found.profiles.iter().filter(|profile| !profile.must_support.is_empty()) {
            details {
                summary { "What " code { (profile.profile) } " must support: " (count(profile.must_support.len() as u64, "element")) }
                table {
                    tr { th { "Element" } th .n { "resources that have it" } th .n { "%" } }
                    @for element in &profile.must_support {
                        tr { td { code { (element.path) } } td .n { (thousands(element.present)) } td .n { (percent(element.present, profile.resources)) } }
                    }
                }
            }
        }
        @if !found.faults.is_empty() {
            details {
                summary { "Faults that refused nothing" @if found.more > 0 { ", and " (thousands(found.more)) " of rarer kinds" } }
                table {
                    tr { th { "Where" } th { "Rule" } th { "Profile" } th { "" } th .n { "times" } }
                    @for fault in &found.faults {
                        tr {
                            td { code { (fault.path) } }
                            td { (fault.rule) }
                            td { code { (fault.profile.as_deref().unwrap_or("FHIR R4")) } }
                            td { (fault.means) }
                            td .n { (thousands(fault.count)) }
                        }
                    }
                }
            }
        }
        @if found.unchecked > 0 {
            details {
                summary { (count(found.unchecked, "rule")) " of the packages that cannot be checked here" }
                ul { @for rule in &found.unchecked_shown { li { (rule) } } }
            }
        }
    }
}

/// `n/a` for a part of nothing.
fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "n/a".to_owned(),
        whole => (part * 100 / whole).to_string(),
    }
}
