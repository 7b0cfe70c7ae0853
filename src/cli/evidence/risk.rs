//! Who could be recognised, on the evidence's page: the figures of the release and of all that the registry holds.

use maud::{Markup, html};

use super::super::show::{count, thousands};
use crate::deidentify::Anonymity;
use crate::gateway::evidence::Risk;

pub(super) fn in_short(risk: Option<&Risk>) -> String {
    let Some(risk) = risk else {
        return "No figures: this model has no table of patients whose quasi-identifiers are known; name some in [risk] of site.toml."
            .to_owned();
    };
    let (all, now) = (&risk.cumulative, &risk.release);
    let not_known = match risk.not_known {
        0 => String::new(),
        more => format!(" {} released before figures were kept are not in them.", count(more, "patient")),
    };
    format!(
        "Of {} the registry holds or will hold, {} are alone with their combination of {}, and {} share it with fewer than {} others; \
         in this release {} of {} are alone.{not_known}",
        count(all.patients, "patient"),
        thousands(all.unique),
        count(risk.quasi_identifiers.len() as u64, "fact"),
        thousands(all.below_k),
        risk.k - 1,
        thousands(now.unique),
        thousands(now.patients)
    )
}

pub(super) fn figures(risk: Option<&Risk>) -> Markup {
    html! {
        @if let Some(risk) = risk {
            p {
                "Groups of patients who are alike, as they leave, in " @for (at, place) in risk.quasi_identifiers.iter().enumerate() { @if at > 0 { ", " } code { (place) } }
                ". A group smaller than " (risk.k) @if risk.blocks { " holds a run back in which the row of one in it would leave." } @else { " is told and holds nothing back ([risk] in site.toml)." }
            }
            table {
                tr { th { "Patients in the group" } th .n { "this release" } th .n { "the registry" } }
                @for ((bin, now), all) in Anonymity::BINS.iter().zip(risk.release.histogram).zip(risk.cumulative.histogram) {
                    tr { td { (bin) } td .n { (thousands(now)) } td .n { (thousands(all)) } }
                }
            }
        }
    }
}
