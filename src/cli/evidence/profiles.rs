//! What resources were held to, on the evidence's page: the profiles, what a fault by each means, and how often what must be
//! supported is there.

use maud::{Markup, html};

use super::super::show::{count, thousands};
use super::text::plural;
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
        "To the types of FHIR R4 and to {}, {packages}. They refused {}; besides, {} told and {} counted, and the resource went on.",
        count(found.profiles.len() as u64, "profile"),
        match sum(|profile| profile.refused) {
            0 => "nothing".to_owned(),
            refused => count(refused, "resource"),
        },
        plural(sum(|profile| profile.warned), "fault was", "faults were"),
        thousands(sum(|profile| profile.counted) + of_fhir)
    )
}

pub(super) fn found(found: &Validated) -> Markup {
    html! {
        @if !found.profiles.is_empty() {
            table {
                tr { th { "Profile" } th .n { "resources" } th .n { "refused" } th .n { "faults" } }
                @for profile in &found.profiles {
                    tr {
                        td { code title=(profile.profile) { (short(&profile.profile)) } }
                        td .n { (thousands(profile.resources)) } td .n { (thousands(profile.refused)) } td .n { (faults(profile)) }
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
                            td { code title=[fault.profile.as_deref()] { (fault.profile.as_deref().map_or("FHIR R4", short)) } }
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

/// Those that refused nothing, and whether they were told.
fn faults(profile: &ProfileShown) -> String {
    match (profile.warned, profile.counted) {
        (0, 0) => "0".to_owned(),
        (told, 0) => format!("{} told", thousands(told)),
        (0, counted) => format!("{} counted", thousands(counted)),
        (told, counted) => format!("{} told, {} counted", thousands(told), thousands(counted)),
    }
}

/// The end of a canonical, a file's name without its ending: enough beside the others of a page; the record has it whole.
fn short(profile: &str) -> &str {
    let last = profile.rsplit('/').next().unwrap_or(profile);
    last.strip_suffix(".json").unwrap_or(last)
}

/// `n/a` for a part of nothing.
fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "n/a".to_owned(),
        whole => (part * 100 / whole).to_string(),
    }
}
