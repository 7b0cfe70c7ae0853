//! What a run tells while it works, in words: a stage and a sentence for each event.

use super::show;
use crate::gateway::Event;
use crate::pull;

/// The stage, and what goes on in it.
pub(super) fn words(event: &Event) -> (&'static str, String) {
    match event {
        Event::Resumed { run, phase, then_anew } => {
            let then = if *then_anew {
                "; what you asked for follows it, in a run of its own"
            } else {
                ""
            };
            ("resume", format!("run {run} goes on where it stopped: {phase}{then}"))
        }
        Event::Abandoned { run, why } => ("abandon", format!("run {run} is given up and pulled anew: {why}")),
        Event::Pull(progress) => ("pull", pulling(progress)),
        Event::MappedAhead { resources } => (
            "pull",
            format!("{} mapped while the rest was coming", show::count(*resources, "resource")),
        ),
        Event::Transform { resources } => (
            "transform",
            format!("{} validated, mapped, de-identified", show::count(*resources, "resource")),
        ),
        Event::Preview(_) => ("preview", "resources are shown".to_owned()),
        Event::Package { rows } => ("package", format!("{} to release", show::count(*rows, "row"))),
        Event::Submit { chunks: 0 } => ("submit", "nothing changed: a manifest without rows to the registry".to_owned()),
        Event::Submit { chunks } => ("submit", format!("{} to the registry", show::count(*chunks as u64, "chunk"))),
    }
}

fn pulling(progress: &pull::Progress) -> String {
    use pull::Progress;
    match progress {
        Progress::KickedOff => "the EHR took the export job".into(),
        Progress::JobWaiting {
            x_progress: Some(words),
            next_poll,
        } => format!("the EHR is exporting ({words}); asked again at {next_poll:.0}"),
        Progress::JobWaiting {
            x_progress: None,
            next_poll,
        } => format!("the EHR is exporting; asked again at {next_poll:.0}"),
        Progress::Retrying { what, next } => format!("{what}; tried again at {next:.0}"),
        Progress::Listed { files: 0 } => "the EHR has nothing new".into(),
        Progress::Listed { files } => format!("{} to fetch", show::count(*files as u64, "file")),
        Progress::Downloading { done, total, bytes } => format!("{done} of {total} files landed, {:.1} MB", *bytes as f64 / 1e6),
        Progress::Planned { bulk, search } => {
            let way = |words: &str, names: &Option<Vec<String>>| names.as_ref().map(|names| format!("{words}: {}", types(names)));
            let ways = [way("by bulk export", bulk), way("by search", search)];
            ways.into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        Progress::Cohort { patients } => format!("{} to search for", show::count(*patients, "patient")),
        Progress::Crawling { done, total, resources } => {
            format!("{done} of {total} searched, {}", show::count(*resources, "new resource"))
        }
        Progress::PatientsLanded => "all patients are landed; the rest is mapped as it comes".into(),
        Progress::Restarted => "the EHR lost the export job; asked again from the start".into(),
    }
}

fn types(names: &[String]) -> String {
    if names.is_empty() { "every type".into() } else { names.join(", ") }
}
