//! The manifest of an export, in the four generations of the standard: what is named, what is left out and what is
//! called otherwise. Basis: Bulk Data Access 1.0.0, 2.0.0, 3.0.0, 4.0.0-ballot, Response - Complete Status.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::edit::instant;
use super::fault::Fault;
use super::jobs::Job;
use super::plan::{Piece, Plan};
use super::shared::Shared;
use crate::platform::clock::later;

/// What an extension of ours says, so that clients meet one.
const EXTENSION: &str = "https://headwater.example/StructureDefinition/simulated";

/// Page `page` of a job's manifest, of which so many may be had; and until when its addresses are good.
pub(super) fn manifest(ehr: &Shared, job: &Job, plan: &Plan, page: usize, ready: usize) -> (Value, Timestamp) {
    let now = ehr.settings.clock.now();
    let (number, until) = job.addresses(now, later(now, ehr.settings.files_live));
    let base = if ehr.settings.files_elsewhere { &ehr.elsewhere } else { ehr.base() };
    let files = format!("{base}/export-file/{}/{number}", job.id);
    let version = ehr.settings.manifest_version;

    let per_page = per_page(ehr, job);
    let first = page.saturating_mul(per_page);
    let pieces = plan.pieces.iter().enumerate().skip(first).take(per_page);
    let mut output: Vec<Value> = pieces.map(|(number, piece)| entry(piece, &format!("{files}/{number}"))).collect();
    if ehr
        .faults
        .fires_if(Fault::WrongCount, output.first().is_some_and(|entry| entry["count"].is_u64()))
    {
        output[0]["count"] = json!(output[0]["count"].as_u64().unwrap_or(0) + 1);
    }
    if ehr.faults.fires_if(Fault::RepeatedUrl, !output.is_empty()) {
        output.push(output[0].clone());
    }
    let mut manifest = json!({
        "transactionTime": instant(job.order.transaction_time),
        "requiresAccessToken": !ehr.settings.files_elsewhere,
        "output": output,
    });
    if version < 4 {
        manifest["request"] = json!(job.order.request);
    } else {
        manifest["manifestType"] = json!("http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest");
        manifest["outputFormat"] = json!("application/fhir+ndjson");
    }
    if job.order.wanted.by_patient {
        manifest["outputOrganizedBy"] = json!("Patient");
    }
    // Deletions and what went wrong stand on the first page.
    if ehr.faults.fires_if(Fault::ErrorFiles, page == 0) {
        job.has_errors.store(true, Ordering::SeqCst);
    }
    let notes = plan.notes.len() + usize::from(job.has_errors.load(Ordering::SeqCst));
    let outcomes = match (page == 0 && notes > 0, version < 4) {
        (false, _) => json!([]),
        (true, true) => json!([{ "type": "OperationOutcome", "url": format!("{files}/outcome"), "count": notes }]),
        (true, false) => json!([{ "url": format!("{files}/outcome"), "count": notes }]),
    };
    manifest[if version < 4 { "error" } else { "outcome" }] = outcomes;
    if page == 0 && version > 1 && !plan.deleted.is_empty() {
        let mut deleted = json!({ "url": format!("{files}/deleted"), "count": plan.deleted.len() });
        if version < 4 {
            deleted["type"] = json!("Bundle");
        }
        manifest["deleted"] = json!([deleted]);
    }
    match version {
        3 => manifest["extension"] = json!({ EXTENSION: true }),
        4 => manifest["extension"] = json!([{ "url": EXTENSION, "valueBoolean": true }]),
        _ => {}
    }
    if let Some(next) = next(ehr, job, page, ready) {
        manifest["link"] = json!([{ "relation": "next", "url": next }]);
    }
    if ehr.faults.fires(Fault::UnknownFields) {
        manifest["serverMood"] = json!({ "of": ["today", 7] });
        for entry in manifest["output"].as_array_mut().into_iter().flatten() {
            entry["shelf"] = json!(null);
        }
    }
    (manifest, until)
}

/// Pages that the whole manifest has.
pub(super) fn pages(ehr: &Shared, job: &Job, plan: &Plan) -> usize {
    plan.pieces.len().div_ceil(per_page(ehr, job)).max(1)
}

fn per_page(ehr: &Shared, job: &Job) -> usize {
    if job.order.wanted.partial {
        ehr.settings.manifest_files.max(1)
    } else {
        usize::MAX
    }
}

fn next(ehr: &Shared, job: &Job, page: usize, ready: usize) -> Option<String> {
    let address = |page: usize| format!("{}/export-manifest/{}/{page}", ehr.base(), job.id);
    if ehr.faults.fires(Fault::NextEndless) {
        job.endless.store(true, Ordering::SeqCst);
    }
    if ehr.faults.fires(Fault::NextLoops) {
        Some(address(page))
    } else if ehr.faults.fires(Fault::NextElsewhere) {
        Some(format!("{}/export-manifest/{}/{}", ehr.elsewhere, job.id, page + 1))
    } else {
        (page + 1 < ready || job.endless.load(Ordering::SeqCst)).then(|| address(page + 1))
    }
}

fn entry(piece: &Piece, url: &str) -> Value {
    match piece {
        Piece::Run { kind, count, .. } => json!({ "type": kind, "url": url, "count": count }),
        // Whether the headers of blocks count as resources is not said anywhere: no count is told.
        Piece::Blocks(_) => json!({ "url": url }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::world::Place;
    use super::*;

    #[test]
    fn an_entry_names_type_and_count_where_the_file_has_one_type() {
        let run = Piece::Run {
            kind: "Patient".to_owned(),
            start: Place::default(),
            count: 3,
        };
        assert_eq!(entry(&run, "u"), json!({ "type": "Patient", "url": "u", "count": 3 }));
        assert_eq!(entry(&Piece::Blocks(Vec::new()), "u"), json!({ "url": "u" }));
    }
}
