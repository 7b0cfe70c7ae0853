//! Where words meet the terminal: answers on stdout, everything else on stderr. The only file that prints.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::platform::secret::Secret;

/// A line of the answer, on stdout. A reader that went away is no error of ours.
pub(super) fn answer(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// Whether stderr is for a log collector: then nothing but JSON lines stands there.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on notes are JSON lines of the log.
pub(super) fn notes_as_json(json: bool) {
    AS_JSON.store(json, Ordering::Relaxed);
}

/// Why a verb did not end well: its last word on stderr.
pub(super) fn failed(exit: u8, message: &str) {
    if AS_JSON.load(Ordering::Relaxed) {
        tracing::error!(exit, "{message}");
    } else {
        note(message);
    }
}

/// A line for the person, on stderr.
pub(super) fn note(line: &str) {
    if AS_JSON.load(Ordering::Relaxed) {
        tracing::info!("{}", line.trim());
        return;
    }
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(line.as_bytes()).and_then(|()| err.write_all(b"\n"));
}

/// Asks the person a question and reads the answer; an empty one is the default. `None`: there is no one to answer.
pub(super) fn ask(question: &str, default: &str) -> Option<String> {
    let hint = if default.is_empty() {
        String::new()
    } else {
        format!(" [{default}]")
    };
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question}{hint}: ").and_then(|()| err.flush());
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).ok()? == 0 {
        return None;
    }
    let line = line.trim();
    Some(if line.is_empty() { default } else { line }.to_owned())
}

/// Asks for what must not be seen. `None`: nothing was given, or there is no terminal.
pub(super) fn ask_hidden(question: &str) -> Option<Secret> {
    let terminal = console::Term::stderr();
    terminal.write_str(question).ok()?;
    let line = terminal.read_secure_line().ok()?;
    (!line.is_empty()).then(|| Secret::new(line.into_bytes()))
}

/// One piece of long work: a spinner on a terminal, one plain line when it ends in a log.
pub(super) struct Stage {
    bar: Option<ProgressBar>,
    name: String,
}

impl Stage {
    pub(super) fn begin(name: &str) -> Self {
        let bar = (std::io::stderr().is_terminal() && !AS_JSON.load(Ordering::Relaxed)).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:12} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            name: name.to_owned(),
        }
    }

    /// What is going on right now; shown on a terminal only.
    pub(super) fn now(&self, message: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.into());
        }
    }

    /// Ends the stage with one line that stays.
    pub(super) fn end(self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if AS_JSON.load(Ordering::Relaxed) {
            tracing::info!(stage = self.name, "{message}");
        } else {
            note(&format!("{:12} {message}", self.name));
        }
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 chunk`, `2 chunks`; for words whose plural is an `s`.
pub(super) fn count(number: u64, word: &str) -> String {
    format!("{} {word}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A table of text: the first column to the left, the others to the right; a rule under the head.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (at, (cell, &width)) in cells.zip(&widths).enumerate() {
            if at == 0 {
                out.push_str(&format!("  {cell:<width$}"));
            } else {
                out.push_str(&format!("  {cell:>width$}"));
            }
        }
        out.trim_end().to_owned()
    };
    let mut out = vec![line(&mut head.iter().copied())];
    out.push(format!("  {}", "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1))));
    out.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    out.join("\n")
}

/// A table of text, every column to the left.
pub(super) fn left_table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::from("  ");
        for (cell, &width) in cells.zip(&widths) {
            out.push_str(&format!("  {cell:<width$}"));
        }
        out.trim_end().to_owned()
    };
    let mut out = vec![line(&mut head.iter().copied())];
    out.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn a_table_lines_up_its_columns() {
        let text = table(
            &["type", "n"],
            &[vec!["Patient".into(), "10".into()], vec!["X".into(), "1,000".into()]],
        );
        assert_eq!(text, "  type         n\n  ──────────────\n  Patient     10\n  X        1,000");
    }
}
