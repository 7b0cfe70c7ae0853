//! The coverage report as text for a terminal: each list to its first lines, `--json` and `--html` have all.

use super::super::show::{self, thousands};
use super::groups;
use crate::gateway::coverage::Coverage;
use crate::network::Untested;

/// Lines of each list.
const SHOWN: usize = 25;

/// Codes shown of each column and system.
const CODES: usize = 6;

/// Who may see the report, where it is of a site's own data.
pub(super) fn keep(found: &Coverage) -> Option<String> {
    (!found.site.is_empty()).then(|| match found.least {
        0 => format!(
            "Of the landed data of site `{}`: codes of the site's own may name people. This report stays at the site; --share writes one \
             that may leave it.",
            found.site
        ),
        least => format!(
            "Of the landed data of site `{}`, for outside: what fewer than {least} patients have is left out, and counts are rounded up to multiples of {least}.",
            found.site
        ),
    })
}

pub(super) fn text(found: &Coverage, untested: &[Untested]) -> String {
    let types: Vec<Vec<String>> = found
        .resources
        .iter()
        .map(|(name, types)| {
            let counts = [types.read, types.mapped, types.excluded, types.refused].map(thousands);
            let used = groups::use_of(types).to_owned();
            std::iter::once(name.clone()).chain(counts).chain([used]).collect()
        })
        .collect();
    let mut out: Vec<String> = keep(found).into_iter().map(|words| words + "\n").collect();
    out.push(show::table(&["resources", "read", "mapped", "excluded", "refused", ""], &types));
    let mut list = |head: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        out.push(format!("\n{head}:"));
        let more = lines.len().saturating_sub(SHOWN);
        out.extend(lines.into_iter().take(SHOWN).map(|line| format!("  {line}")));
        if more > 0 {
            out.push(format!("  … and {} more: --json or --html has all", thousands(more as u64)));
        }
    };
    for (kind, head) in groups::KINDS {
        let mut lines = Vec::new();
        for group in groups::unread(found, kind) {
            lines.push(group.resource_type.to_owned());
            lines.extend(group.lines.iter().map(|line| {
                format!(
                    "{:>10} {:>5.1} % {:>8}  {}",
                    thousands(line.resources),
                    line.percent,
                    thousands(line.patients),
                    line.path
                )
            }));
        }
        list(&format!("{head} (resources, share, patients)"), lines);
    }
    let codes = groups::codes(found).into_iter().map(|group| {
        let shown = |gap: &&crate::gateway::coverage::CodeGap| {
            let code = if gap.code.is_empty() { "(free text)" } else { &gap.code };
            format!("{code} {}", thousands(gap.times))
        };
        let mut codes: Vec<_> = group.codes.iter().take(CODES).map(shown).collect();
        if group.codes.len() > CODES {
            codes.push(format!("{} more", thousands((group.codes.len() - CODES) as u64)));
        }
        format!(
            "{:>10} {:>8}  {}  {}  ({}): {}",
            thousands(group.times),
            thousands(group.patients),
            group.column,
            group.system,
            group.reason,
            codes.join(", ")
        )
    });
    list(
        "Codes without a concept (times, patients of the most frequent; each with its times)",
        codes.collect(),
    );
    for (mapped, head) in [
        (true, "Columns that a view fills and this data does not"),
        (false, "Columns that no view fills"),
    ] {
        let tables = groups::empty(found, mapped);
        list(
            head,
            tables
                .into_iter()
                .map(|(table, columns)| format!("{table}: {}", columns.join(", ")))
                .collect(),
        );
    }
    list(
        "Views that gave no row",
        found.silent_views().map(|view| view.file.clone()).collect(),
    );
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in untested {
        match cases.last_mut() {
            Some((file, columns)) if *file == one.file => columns.push(&one.column),
            _ => cases.push((&one.file, vec![&one.column])),
        }
    }
    list(
        "Columns that no case tries",
        cases
            .into_iter()
            .map(|(file, columns)| format!("{file}: {}", columns.join(", ")))
            .collect(),
    );
    out.join("\n")
}
