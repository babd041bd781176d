//! How each arm did: what came of its instances, of its replies, and at which attempt.

use super::{ended, name, of_arm, scope, share, table};
use crate::report::figures::ArmFigures;
use crate::report::gather::Report;
use crate::report::run::Ending;
use crate::report::table::{Cell, Filter, Table};
use crate::statistics::{MILLION, Share, Spread, percent};

pub(super) fn outcomes(report: &Report) -> Table {
    let all = report.instances.len();
    let all_judged = report.of_first_seed().all(|figures| figures.judged == figures.of);
    let judged = if all_judged { "; every one was judged" } else { ", and of those that were judged" };
    let caption = format!(
        "What came of each arm ({}). Resolved of all {all} instances, whatever became of them{judged}; in brackets the \
         95 % interval by Wilson.",
        scope(report)
    );
    let head = [
        "arm",
        "resolved of all",
        "resolved of judged",
        "by fallback",
        "visible-only",
        "unresolved",
        "limit",
        "invalid",
        "environment error",
        "out of time",
        "not run",
    ];
    let mut table = table("outcomes", "Arms side by side", caption, &head);
    for figures in report.of_first_seed() {
        let resolved = Filter { ending: Some(Ending::Resolved.word()), ..of_arm(figures) };
        let own = figures.resolved - figures.resolved_invalid;
        let unresolved = figures.ended(Ending::Unresolved) + figures.ended(Ending::Other);
        let unresolved_filter = Filter { ending: Some(Ending::Unresolved.word()), ..of_arm(figures) };
        table.rows.push(vec![
            name(figures),
            Cell::number(share(figures.resolved, figures.of, figures.interval)).behind(resolved),
            Cell::number(share(own, figures.judged, figures.judged_interval)),
            Cell::number(figures.by_fallback).behind(Filter { fallback: true, ..of_arm(figures) }),
            ended(figures, Ending::VisibleOnly),
            Cell::number(unresolved).behind(unresolved_filter),
            ended(figures, Ending::Limit),
            ended(figures, Ending::Invalid),
            ended(figures, Ending::EnvironmentError),
            ended(figures, Ending::OutOfTime),
            ended(figures, Ending::Open),
        ]);
    }
    if all_judged {
        remove(&mut table, 2);
    }
    let none = without_zeros(&mut table);
    if !none.is_empty() {
        table.notes.push(vec![Cell::text(format!("None in any arm: {}.", none.join(", ")))]);
    }
    if !report.invalid.is_empty() {
        table.notes.push(vec![Cell::text(format!(
            "{} of the instances are environment-invalid: their known fix does not turn them green here. They count in \
             \"of all\" and are left out of \"of judged\".",
            report.invalid.len()
        ))]);
    }
    table
}

/// Takes a column out.
fn remove(table: &mut Table, column: usize) -> String {
    table.rows.iter_mut().for_each(|row| drop(row.remove(column)));
    table.head.remove(column)
}

/// Takes out the columns that say 0 in every row; returns their heads.
fn without_zeros(table: &mut Table) -> Vec<String> {
    let mut none = Vec::new();
    for column in (1..table.head.len()).rev() {
        if table.rows.iter().all(|row| row[column].text == "0") {
            none.insert(0, remove(table, column));
        }
    }
    none
}

pub(super) fn work(report: &Report) -> Table {
    let caption = format!(
        "What the replies were worth ({}). Parsed: edits could be read in the reply. Applied: they passed every check \
         and changed the tree. Told: the prompt gave the failure before. Tokens are those of a whole run, the middle \
         one of all runs.",
        scope(report)
    );
    let head = [
        "arm",
        "attempts",
        "replies",
        "parsed",
        "applied",
        "repeated",
        "tests run",
        "green",
        "told",
        "attempts to fix",
        "prompt tokens",
        "reply tokens",
    ];
    let mut table = table("work", "From reply to fix", caption, &head);
    for figures in report.of_first_seed() {
        let part = |count: u32| match figures.replies {
            0 => Cell::number("–"),
            of => Cell::number(format!("{count} ({})", percent(Share { count, of }.per_million()))),
        };
        table.rows.push(vec![
            name(figures),
            Cell::number(figures.attempts).behind(of_arm(figures)),
            Cell::number(figures.replies),
            part(figures.parsed),
            part(figures.applied),
            Cell::number(figures.repeated).behind(Filter { code: Some("E-REPEAT".into()), ..of_arm(figures) }),
            Cell::number(figures.tested),
            Cell::number(figures.green),
            Cell::number(figures.told),
            spread(&figures.attempts_to_fix),
            tokens(&figures.prompt_tokens, figures),
            tokens(&figures.reply_tokens, figures),
        ]);
    }
    table
}

fn spread(spread: &Spread) -> Cell {
    match spread {
        Spread { count: 0, .. } => Cell::number("–"),
        Spread { smallest, largest, .. } if smallest == largest => Cell::number(largest),
        Spread { median, smallest, largest, .. } => Cell::number(format!("{median} ({smallest} to {largest})")),
    }
}

/// Tokens of a run; where the provider did not count them for every run, it says of how many.
fn tokens(spread: &Spread, figures: &ArmFigures) -> Cell {
    let runs = figures.of - figures.ended(Ending::Open);
    match spread.count {
        0 => Cell::number("not counted"),
        1 if runs > 1 => Cell::number(format!("{} (1 run)", spread.median)),
        count if count < u64::from(runs) => Cell::number(format!("{} ({count} runs)", spread.median)),
        _ => Cell::number(spread.median),
    }
}

pub(super) fn times(report: &Report) -> Table {
    let caption = format!(
        "Seconds ({}), as they were observed where the runs were recorded: no digest covers them, and another machine \
         has others.",
        scope(report)
    );
    let head = ["arm", "run, middle one", "longest run", "all runs", "models, all runs", "attempts' tests, all runs"];
    let mut table = table("times", "Seconds", caption, &head);
    let seconds = |us: u64| Cell::number(format!("{}.{}", us / MILLION, us % MILLION / 100_000));
    for figures in report.of_first_seed() {
        let [models, tests] = &figures.times;
        let time = &figures.time;
        let cells = [time.median, time.largest, time.total, models.total, tests.total].map(seconds);
        table.rows.push([name(figures)].into_iter().chain(cells).collect());
    }
    table
}

/// Returns the largest number of attempts that any arm allows.
pub(in crate::report) fn most_attempts(report: &Report) -> u32 {
    report.of_first_seed().map(|figures| figures.allowed).max().unwrap_or_default().clamp(1, 12)
}

pub(super) fn by_attempt(report: &Report) -> Table {
    let caption = format!(
        "Instances resolved by an attempt or one before it, of all {} ({}).",
        report.instances.len(),
        scope(report)
    );
    let mut table = table("attempts", "Resolved by attempt", caption, &["arm"]);
    let most = most_attempts(report);
    table.head.extend((1..=most).map(|attempt| format!("by {attempt}")));
    for figures in report.of_first_seed() {
        let mut row = vec![name(figures)];
        for attempt in 1..=most {
            row.push(match attempt <= figures.allowed {
                false => Cell::number("–"),
                true => {
                    let filter = Filter { ending: Some(Ending::Resolved.word()), by: Some(attempt), ..of_arm(figures) };
                    Cell::number(figures.resolved_by(attempt)).behind(filter)
                }
            });
        }
        table.rows.push(row);
    }
    table
}
