//! A report as plain text for a terminal, and as Markdown.

use std::fmt::Write as _;

use super::gather::Report;
use super::run::{Ending, RunFacts};
use super::table::Table;
use super::tables::{self, Extra};
use super::visible::printable_line;
use crate::rung::counted;

/// Columns that running text takes.
const WIDTH: usize = 110;
/// Runs up to this many are listed by themselves.
const LISTED: usize = 12;

/// Returns the lines above all tables.
pub(super) fn head(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(id) = report.campaign {
        lines.push(("campaign", format!("{} ({id})", printable_line(&report.title))));
    } else {
        lines.push(("runs", printable_line(&report.title)));
    }
    lines.push(("figures", if report.tests.is_empty() { "no run yet".into() } else { printable_line(&report.tests) }));
    lines.push(("models", report.models.iter().map(|name| printable_line(name)).collect::<Vec<_>>().join(", ")));
    let seeds: Vec<String> = report.seeds.iter().map(u32::to_string).collect();
    let (instances, arms) = (report.instances.len(), report.arms.len());
    lines.push((
        "size",
        format!(
            "{} × {} × {}, {}",
            counted(instances, "instance"),
            counted(arms, "arm"),
            counted(seeds.len(), "seed"),
            counted(report.runs.len(), "run")
        ),
    ));
    lines.push(("seeds", seeds.join(", ")));
    if let Some(root) = report.root {
        lines.push(("canonical root", root.to_string()));
    }
    if let Some((name, digest)) = &report.subject.profile {
        lines.push(("profile", format!("{} ({digest})", printable_line(name))));
    }
    lines
}

/// Returns the report for a terminal; `times` adds the seconds that were observed.
pub fn text(report: &Report, times: bool) -> String {
    let mut out = String::new();
    for (name, value) in head(report) {
        let _ = writeln!(out, "{name:<14}  {value}");
    }
    for rung in report.subject.ladder.iter().flat_map(|ladder| ladder.rungs()) {
        let _ = writeln!(out, "rung {:<9}  {}", rung.number().label(), rung.result().word());
    }
    for table in tables::all(report, Extra { times }) {
        let _ = writeln!(out, "\n{}\n{}", table.title, wrapped(&printable_line(&table.caption), WIDTH));
        out.push_str(&aligned(&table));
        for note in &table.notes {
            let note: String = note.iter().map(|piece| piece.text.as_str()).collect();
            let _ = writeln!(out, "{}", wrapped(&note, WIDTH));
        }
    }
    if report.runs.len() <= LISTED {
        let _ = writeln!(out, "\nRuns");
        report.runs.iter().for_each(|run| out.push_str(&of_run(run)));
    }
    out
}

/// Returns what the end of a campaign says: how each arm did, and at which attempt.
pub fn brief(report: &Report) -> String {
    let mut out = String::new();
    for table in tables::brief(report) {
        let _ = writeln!(out, "{}\n{}", wrapped(&printable_line(&table.caption), WIDTH), aligned(&table));
    }
    out
}

/// Returns the report as Markdown; `times` adds the seconds that were observed.
pub fn markdown(report: &Report, times: bool) -> String {
    let cell = |text: &str| {
        let mut safe = String::new();
        for c in text.chars() {
            if "\\`*_{}[]<>#|&~".contains(c) {
                safe.push('\\');
            }
            safe.push(c);
        }
        safe
    };
    let mut out = format!("# {}\n\n", cell(&printable_line(&report.title)));
    for (name, value) in head(report) {
        let _ = writeln!(out, "- {name}: {}", cell(&value));
    }
    for rung in report.subject.ladder.iter().flat_map(|ladder| ladder.rungs()) {
        let _ = writeln!(out, "- rung {}: {}", rung.number().label(), rung.result().word());
    }
    for table in tables::all(report, Extra { times }) {
        let _ = writeln!(out, "\n## {}\n\n{}\n", table.title, cell(&printable_line(&table.caption)));
        let _ = writeln!(out, "| {} |", table.head.iter().map(|name| cell(name)).collect::<Vec<_>>().join(" | "));
        let rule = (0..table.head.len()).map(|column| if is_number(&table, column) { "---:" } else { "---" });
        let _ = writeln!(out, "|{}|", rule.collect::<Vec<_>>().join("|"));
        for row in &table.rows {
            let _ = writeln!(out, "| {} |", row.iter().map(|one| cell(&one.text)).collect::<Vec<_>>().join(" | "));
        }
        for note in &table.notes {
            let _ = writeln!(out, "\n{}", note.iter().map(|piece| cell(&piece.text)).collect::<String>());
        }
    }
    out
}

fn is_number(table: &Table, column: usize) -> bool {
    table.rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.number))
}

/// Returns the rows of a table in columns, under their heads.
fn aligned(table: &Table) -> String {
    let width = |text: &str| text.chars().count();
    let columns = table.head.len();
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            let cells = table.rows.iter().filter_map(|row| row.get(at)).map(|cell| width(&cell.text));
            cells.chain([width(&table.head[at])]).max().unwrap_or_default()
        })
        .collect();
    let mut out = String::new();
    let mut put = |cells: Vec<(&str, bool)>| {
        let mut row = String::from(" ");
        for ((text, number), column) in cells.into_iter().zip(&widths) {
            let pad = " ".repeat(column - width(text));
            let _ = if number { write!(row, " {pad}{text} ") } else { write!(row, " {text}{pad} ") };
        }
        out.push_str(row.trim_end());
        out.push('\n');
    };
    put(table.head.iter().enumerate().map(|(at, name)| (name.as_str(), is_number(table, at))).collect());
    for row in &table.rows {
        put(row.iter().map(|cell| (cell.text.as_str(), cell.number)).collect());
    }
    out
}

/// Breaks a text at blanks.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::from(" ");
    let mut column = 1;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 2 && column + length + 1 > width {
            out.push_str("\n ");
            column = 1;
        }
        out.push(' ');
        out.push_str(word);
        column += length + 1;
    }
    out
}

/// Returns a run with its attempts, a line each.
fn of_run(run: &RunFacts) -> String {
    let mut out = String::new();
    let (instance, arm) = (printable_line(&run.instance), printable_line(&run.arm));
    let ending = if run.ending == Ending::Other { printable_line(&run.outcome) } else { run.ending.word().into() };
    let root = run.canonical_root.map_or_else(String::new, |root| format!("  canonical root {root}"));
    let _ = writeln!(out, "  {}  {instance}  {arm}  seed {}  {ending}{root}", run.run, run.seed);
    if !run.reason.is_empty() {
        let _ = writeln!(out, "    {}", printable_line(&run.reason));
    }
    for attempt in &run.attempts {
        let word = match (&attempt.refusal, &attempt.tests) {
            (Some(code), _) => format!("refused {}", printable_line(code)),
            (None, Some(tests)) if tests.green => "green".into(),
            (None, Some(_)) => "red".into(),
            (None, None) => "cut off".into(),
        };
        let _ = writeln!(out, "    attempt {}  {word}  {}", attempt.number, printable_line(&attempt.summary));
    }
    out
}
