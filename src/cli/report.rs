//! A run's ledger as a person reads it: resources by type, rows by table, why anything stayed behind, and whether it balances.

use std::collections::BTreeMap;

use super::show::{self, thousands};
use crate::gateway::{Counts, DerivedCounts, Report};

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
    out.push(if counts.types.is_empty() {
        "  nothing new at the EHR".to_owned()
    } else {
        resources(counts)
    });
    out.push(String::new());
    out.push(if counts.released() == 0 {
        "  no row is new, changed or withdrawn".to_owned()
    } else {
        rows(report)
    });
    for (head, reasons, all) in [
        ("Excluded, by mappings and consents", &counts.excluded, counts.total(|t| t.excluded)),
        ("Refused, kept in quarantine", &counts.refused, counts.total(|t| t.refused)),
        ("Told by profiles, and not refused", &report.warned, report.warned.values().sum()),
        ("Derived rows refused", &counts.unmade, counts.unmade.values().sum()),
        ("Rejected by the registry", &report.rejected, counts.rejected),
        (
            "Rejected by the registry to this day",
            &report.outstanding,
            report.outstanding.values().sum(),
        ),
    ] {
        out.extend(because(head, reasons, all));
    }
    if !report.unmapped.is_empty() {
        out.push(String::new());
        out.push("Codes without a target, by column:".to_owned());
        out.extend(report.unmapped.iter().map(|code| {
            let reasons: Vec<_> = code
                .reasons
                .iter()
                .map(|(why, number)| format!("{why} {}", thousands(*number)))
                .collect();
            format!(
                "  {:>10}  {}.{} ({})",
                thousands(code.count),
                code.table,
                code.column,
                reasons.join(", ")
            )
        }));
    }
    out.extend(withheld(counts));
    if !report.not_offered.is_empty() {
        out.push(String::new());
        out.push("Not asked for, since the EHR does not offer it (`headwater doctor` says more):".to_owned());
        out.extend(report.not_offered.iter().map(|(name, tables)| match tables.as_slice() {
            [] => format!("  - {name}"),
            tables => format!("  - {name}: empty for it: {}", tables.join(", ")),
        }));
    }
    if report.strangers_listed > 0 && report.complete {
        out.push(String::new());
        out.push(format!(
            "{} of the exclusion lists excluded nobody, for this site knows no such patient. If one is misspelt, whoever was meant \
             leaves: compare the lists with the EHR",
            show::count(report.strangers_listed, "id")
        ));
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

/// The rows that a policy keeps here, by table.
pub(super) fn withheld(counts: &Counts) -> Vec<String> {
    because(
        "Rows made and withheld with their whole table, as the policy says",
        &counts.withheld,
        counts.withheld.values().sum(),
    )
}

/// Why so many stayed behind, by reason.
fn because(head: &str, reasons: &BTreeMap<String, u64>, all: u64) -> Vec<String> {
    if reasons.is_empty() && all == 0 {
        return Vec::new();
    }
    let line = |number: u64, why: &str| format!("  {:>10}  {why}", thousands(number));
    let mut out = vec![String::new(), format!("{head}:")];
    out.extend(reasons.iter().map(|(why, number)| line(*number, why)));
    // What has not changed is not judged again: it keeps its fate, and its reason stands in the run that judged it.
    let earlier = all.saturating_sub(reasons.values().sum());
    if earlier > 0 {
        out.push(line(earlier, "unchanged, as in the run before"));
    }
    out
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
    let number = |map: &BTreeMap<String, u64>, name: &String| thousands(map.get(name).copied().unwrap_or_default());
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

/// Both equations of several runs, one line each, under each other.
pub(super) fn ledger(runs: &[(&str, &Report)]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|(name, report)| {
            let counts = &report.counts;
            let numbers = [
                counts.total(|t| t.pulled + t.remapped),
                counts.total(|t| t.mapped),
                counts.total(|t| t.excluded),
                counts.total(|t| t.refused),
                counts.released(),
                counts.accepted,
                counts.rejected,
            ];
            let verdict = if report.balanced() { "balanced" } else { "DOES NOT BALANCE" };
            std::iter::once((*name).to_owned())
                .chain(numbers.map(thousands))
                .chain([verdict.to_owned(), format!("{:.1} s", report.seconds)])
                .collect()
        })
        .collect();
    let head = [
        "ledger",
        "pulled",
        "= mapped",
        "+ excluded",
        "+ refused",
        "released",
        "= accepted",
        "+ rejected",
        "",
        "took",
    ];
    show::table(&head, &rows)
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
    let sum = |number: fn(&DerivedCounts) -> u64| thousands(counts.derived.values().map(number).sum());
    let derived = match counts.derived.is_empty() {
        true => String::new(),
        false => format!(
            "; derived {} = mapped {} + refused {} + ended {}",
            sum(|t| t.groups),
            sum(|t| t.mapped),
            sum(|t| t.refused),
            sum(|t| t.ended)
        ),
    };
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
    format!("{verdict}: {resources}{derived}; {rows}  ({:.1} s)", report.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_add_up_to_what_stayed_behind() {
        let reasons = BTreeMap::from([("outside".to_owned(), 2), ("twice".to_owned(), 1)]);
        let said = because("Excluded", &reasons, 1_003);
        assert_eq!(
            said,
            [
                "",
                "Excluded:",
                "           2  outside",
                "           1  twice",
                "       1,000  unchanged, as in the run before"
            ]
        );
        assert_eq!(because("Excluded", &reasons, 3).len(), 4);
        assert!(because("Refused", &BTreeMap::new(), 0).is_empty());
    }

    #[test]
    fn what_a_policy_withholds_and_what_became_of_derived_rows_is_said() {
        let mut report = Report::default();
        assert!(!text(&report).contains("withheld") && !text(&report).contains("derived"));
        report.counts.withheld.insert("note".to_owned(), 1_200);
        let period = DerivedCounts {
            groups: 1_003,
            mapped: 1_000,
            refused: 2,
            ended: 1,
        };
        report.counts.derived.insert("observation_period".to_owned(), period);
        report.counts.unmade.insert("map: observation_period.start required".to_owned(), 2);
        let said = text(&report);
        assert!(said.contains("     1,200  note"), "{said}");
        assert!(said.contains("derived 1,003 = mapped 1,000 + refused 2 + ended 1"), "{said}");
        assert!(said.contains("           2  map: observation_period.start required"), "{said}");
    }

    #[test]
    fn what_the_ehr_does_not_offer_is_said_with_the_tables_that_stay_empty() {
        let mut report = Report::default();
        report
            .not_offered
            .insert("Coverage".to_owned(), vec!["payer_plan_period".to_owned()]);
        report.not_offered.insert("Device".to_owned(), Vec::new());
        let said = text(&report);
        assert!(
            said.contains("does not offer") && said.contains("  - Coverage: empty for it: payer_plan_period\n  - Device\n"),
            "{said}"
        );
    }

    #[test]
    fn the_ledger_of_two_nights_says_which_one_does_not_balance() {
        let good = Report::default();
        let mut bad = Report::default();
        bad.counts.types.entry("Patient".into()).or_default().pulled = 1;
        let table = ledger(&[("night 1", &good), ("night 2", &bad)]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[2].contains("night 1") && !lines[2].contains("NOT"), "{table}");
        assert!(lines[3].contains("night 2") && lines[3].contains("DOES NOT BALANCE"), "{table}");
    }
}
