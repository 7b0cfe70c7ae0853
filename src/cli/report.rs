//! A run's ledger as a person reads it: resources by type, rows by table, why anything stayed behind, and whether it balances.

use super::show::{self, thousands};
use crate::gateway::{Counts, Report};

/// The whole report, as text for stdout.
pub(super) fn text(report: &Report) -> String {
    let counts = &report.counts;
    let mut out = Vec::new();
    let title = match (&report.submission, report.rehearsed) {
        (Some(submission), _) => format!("Run {} ({}), submission {submission}", report.run, report.kind),
        (None, true) => format!("Run {} ({}), rehearsed: nothing was delivered", report.run, report.kind),
        (None, false) => format!("Run {} ({})", report.run, report.kind),
    };
    out.push(title);
    out.push(String::new());
    out.push(resources(counts));
    out.push(String::new());
    out.push(rows(report));
    for (head, reasons) in [
        ("Excluded", &counts.excluded),
        ("Refused", &counts.refused),
        ("Rejected by the registry", &report.rejected),
        ("Rejected by the registry to this day", &report.outstanding),
    ] {
        if !reasons.is_empty() {
            out.push(String::new());
            out.push(format!("{head}:"));
            out.extend(reasons.iter().map(|(why, number)| format!("  {:>10}  {why}", thousands(*number))));
        }
    }
    if !report.unmapped.is_empty() {
        out.push(String::new());
        out.push("Codes without a concept:".to_owned());
        out.extend(
            report
                .unmapped
                .iter()
                .map(|code| format!("  {:>10}  {}.{}", thousands(code.count), code.table, code.column)),
        );
    }
    if !report.problems.is_empty() {
        out.push(String::new());
        out.push("The EHR did not give everything:".to_owned());
        out.extend(report.problems.iter().map(|problem| format!("  - {problem}")));
    }
    out.push(String::new());
    out.push(balance(report));
    out.join("\n")
}

fn resources(counts: &Counts) -> String {
    let mut rows = Vec::new();
    for (name, t) in &counts.types {
        rows.push(vec![
            name.clone(),
            thousands(t.pulled + t.remapped),
            thousands(t.mapped),
            thousands(t.excluded),
            thousands(t.refused),
            thousands(t.deleted),
        ]);
    }
    rows.push(vec![
        "all".to_owned(),
        thousands(counts.total(|t| t.pulled + t.remapped)),
        thousands(counts.total(|t| t.mapped)),
        thousands(counts.total(|t| t.excluded)),
        thousands(counts.total(|t| t.refused)),
        thousands(counts.total(|t| t.deleted)),
    ]);
    show::table(&["resources", "pulled", "mapped", "excluded", "refused", "deleted"], &rows)
}

fn rows(report: &Report) -> String {
    let counts = &report.counts;
    let mut names: Vec<&String> = counts.upserts.keys().chain(counts.tombstones.keys()).collect();
    names.sort();
    names.dedup();
    let number = |map: &std::collections::BTreeMap<String, u64>, name: &String| thousands(map.get(name).copied().unwrap_or_default());
    let mut rows: Vec<Vec<String>> = names
        .iter()
        .map(|name| vec![(*name).clone(), number(&counts.upserts, name), number(&counts.tombstones, name)])
        .collect();
    rows.push(vec![
        "all".into(),
        thousands(counts.upserts.values().sum()),
        thousands(counts.tombstones.values().sum()),
    ]);
    show::table(&["rows released", "upserts", "tombstones"], &rows)
}

/// One line: the two equations, with their numbers.
pub(super) fn balance(report: &Report) -> String {
    let counts = &report.counts;
    let resources = format!(
        "pulled {} = mapped {} + excluded {} + refused {}",
        thousands(counts.total(|t| t.pulled + t.remapped)),
        thousands(counts.total(|t| t.mapped)),
        thousands(counts.total(|t| t.excluded)),
        thousands(counts.total(|t| t.refused)),
    );
    let rows = if report.rehearsed {
        format!("would release {}", thousands(counts.released()))
    } else {
        format!(
            "released {} = accepted {} + rejected {}",
            thousands(counts.released()),
            thousands(counts.accepted),
            thousands(counts.rejected)
        )
    };
    let verdict = if report.balanced() { "balanced" } else { "DOES NOT BALANCE" };
    format!("{verdict}: {resources}; {rows}  ({:.1} s)", report.seconds)
}
