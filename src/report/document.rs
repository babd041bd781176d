//! The source document's own tables, regenerated from the records: what it expected beside what was measured.

use super::figures::ArmFigures;
use super::gather::Report;
use super::table::{Cell, Filter, Table};
use super::tables::share;
use super::{Ending, arms};
use crate::statistics::{MILLION, Share, percent};

const NOT_MEASURED: &str = "not measured";

/// A phase: its name, the arm that is it, and what the document expects, in percent.
const PHASES: [(&str, &str, u64, u64); 6] = [
    ("before: patches, one shot", arms::DOCUMENT[0], 0, 0),
    ("phase 1: direct edits, one shot", arms::DOCUMENT[1], 20, 30),
    ("phase 2: one retry with feedback", arms::DOCUMENT[2], 40, 50),
    ("phase 3: six attempts with feedback", arms::DOCUMENT[3], 70, 80),
    ("phase 4: with skills", arms::DOCUMENT[4], 80, 90),
    ("target: with a fallback model", arms::DOCUMENT[5], 100, 100),
];

/// Phases 1 to 4 and the target, expected beside measured.
pub(super) fn phases(report: &Report) -> Table {
    let head = ["phase", "arm", "expected", "measured, of all instances", "change to the one measured before", "so"];
    let mut table = Table {
        id: "phases",
        title: "The source document's phases".into(),
        caption: format!(
            "What the source document expected of each phase, beside what was measured here ({}). The \
             last column says how the 95 % interval lies to the expected range.",
            report.tests
        ),
        head: head.map(str::to_owned).to_vec(),
        ..Table::default()
    };
    let mut before: Option<&ArmFigures> = None;
    for (phase, arm, low, high) in PHASES {
        let expected = match (low, high) {
            (low, high) if low == high => format!("{low} %"),
            (80, 90) => "80 to 90 % or more".into(),
            (low, high) => format!("{low} to {high} %"),
        };
        let figures = report.arm(arm);
        let cells = match figures {
            None => [Cell::number(NOT_MEASURED), Cell::number("–"), Cell::text(NOT_MEASURED)],
            Some(figures) => {
                let filter = Filter {
                    arm: Some(arm.into()),
                    seed: Some(figures.seed),
                    ending: Some(Ending::Resolved.word()),
                    ..Filter::default()
                };
                let measured = Cell::number(share(figures.resolved, figures.of, figures.interval)).behind(filter);
                let change = before.map_or_else(|| "–".to_owned(), |before| points(before, figures));
                let high = if arm == arms::DOCUMENT[4] { 100 } else { high };
                [measured, Cell::number(change), Cell::text(compared(figures, low, high))]
            }
        };
        table
            .rows
            .push([Cell::text(phase), Cell::text(arm), Cell::number(expected)].into_iter().chain(cells).collect());
        before = figures.or(before);
    }
    table
}

/// Says how the interval lies to an expected range.
fn compared(figures: &ArmFigures, low: u64, high: u64) -> &'static str {
    let (from, to) = figures.interval;
    let (low, high) = (low * MILLION / 100, high * MILLION / 100);
    match () {
        () if figures.of == 0 => NOT_MEASURED,
        () if to < low => "below",
        () if from > high => "above",
        () if from >= low && to <= high => "within",
        () => "not told apart",
    }
}

/// Returns the difference of two shares in points.
fn points(before: &ArmFigures, after: &ArmFigures) -> String {
    let share = |figures: &ArmFigures| Share { count: figures.resolved, of: figures.of }.per_million();
    let (before, after) = (share(before), share(after));
    let sign = if after < before { "−" } else { "+" };
    format!("{sign}{} points", percent(before.abs_diff(after)).trim_end_matches(" %"))
}

/// The key metrics before and after: the document's words beside what the records say of `patch` and `direct-6`.
pub(super) fn metrics(report: &Report) -> Table {
    let (before, after) = (report.arm(arms::DOCUMENT[0]), report.arm(arms::DOCUMENT[3]));
    let head = ["metric", "document: before", "document: after", "measured: patch", "measured: direct-6"];
    let mut table = Table {
        id: "metrics",
        title: "The source document's key metrics".into(),
        caption: format!(
            "The source document's key metrics, before and after, beside what the records say of the arms patch and \
             direct-6 ({}). Both arms are shown the same files, so that only the form of the answer and the feedback \
             differ.",
            report.tests
        ),
        head: head.map(str::to_owned).to_vec(),
        ..Table::default()
    };
    type Measured = fn(&ArmFigures) -> String;
    let rows: [(&str, &str, &str, Measured); 5] = [
        ("file context", "snippets", "full files", |figures| match figures.files.count {
            0 => NOT_MEASURED.into(),
            _ => format!("{} files in the middle prompt", figures.files.median),
        }),
        ("edit method: replies applied", "patches", "direct, +50 % reliability", |figures| match figures.replies {
            0 => NOT_MEASURED.into(),
            of => {
                let applied = Share { count: figures.applied, of };
                format!("{} of {of}, {}", figures.applied, percent(applied.per_million()))
            }
        }),
        ("attempts", "1", "6", |figures| {
            format!("{} allowed, {} used at most", figures.allowed, figures.most_attempts)
        }),
        ("feedback loop", "none", "active", |figures| format!("{} retries told of a failure", figures.told)),
        ("resolved of all", "0 %", "60 to 80 % or more", |figures| {
            share(figures.resolved, figures.of, figures.interval)
        }),
    ];
    for (metric, document_before, document_after, measured) in rows {
        let value = |figures: Option<&ArmFigures>| figures.map_or_else(|| NOT_MEASURED.to_owned(), measured);
        table.rows.push(
            [metric.to_owned(), document_before.into(), document_after.into(), value(before), value(after)]
                .map(Cell::text)
                .to_vec(),
        );
    }
    table
}
