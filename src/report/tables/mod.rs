//! The tables of a report, made once for the terminal, Markdown and HTML.

mod arms;
mod codes;
mod compared;

use std::collections::BTreeMap;

use super::document;
use super::figures::ArmFigures;
use super::gather::Report;
use super::run::{Ending, RunFacts};
use super::table::{Cell, Filter, Table};
use super::visible::printable_line;
use crate::statistics::{Share, percent};

pub(super) use arms::most_attempts;

/// What a report is asked to show beyond what is the same in every run of the same thing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extra {
    /// Seconds.
    pub(super) times: bool,
}

/// Returns every table, in the order in which people read them.
pub(super) fn all(report: &Report, extra: Extra) -> Vec<Table> {
    let mut tables = vec![arms::outcomes(report), arms::work(report)];
    if extra.times {
        tables.push(arms::times(report));
    }
    tables.push(arms::by_attempt(report));
    tables.extend(codes::all(report));
    if report.arms.len() > 1 {
        tables.push(compared::pairs(report));
    }
    if report.seeds.len() > 1 {
        tables.push(compared::seeds(report));
    }
    if report.campaign.is_some() || report.runs.len() > 1 {
        tables.push(document::phases(report));
        tables.push(document::metrics(report));
    }
    tables.extend(unjudged(report, &|_| true));
    tables
}

/// Returns the tables that sum everything up. Runs that are still to come, or are another machine's, are only counted.
pub(super) fn brief(report: &Report) -> Vec<Table> {
    let unjudged = unjudged(report, &|run| run.ending != Ending::Open);
    let seeds = (report.seeds.len() > 1).then(|| compared::seeds(report));
    let tables = [arms::outcomes(report), arms::by_attempt(report)].into_iter().chain(codes::all(report));
    tables.chain(seeds).chain(unjudged).collect()
}

/// Returns "so many of so many" with the share and its interval.
pub(super) fn share(count: u32, of: u32, interval: (u64, u64)) -> String {
    match of {
        0 => "none of 0".into(),
        _ => {
            let (low, high) = (percent(interval.0), percent(interval.1));
            format!("{count} of {of}, {} ({low} to {high})", percent(Share { count, of }.per_million()))
        }
    }
}

fn table(id: &'static str, title: &str, caption: String, head: &[&str]) -> Table {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    Table { id, title: title.into(), caption, head, ..Table::default() }
}

fn of_arm(figures: &ArmFigures) -> Filter {
    Filter { arm: Some(figures.arm.clone()), seed: Some(figures.seed), ..Filter::default() }
}

fn ended(figures: &ArmFigures, ending: Ending) -> Cell {
    Cell::number(figures.ended(ending)).behind(Filter { ending: Some(ending.word()), ..of_arm(figures) })
}

fn name(figures: &ArmFigures) -> Cell {
    Cell::text(printable_line(&figures.arm)).behind(of_arm(figures))
}

/// Names the seed that a table is about, where there are several, and the tests.
fn scope(report: &Report) -> String {
    let tests = if report.tests.is_empty() { "no run" } else { report.tests.as_str() };
    match report.seeds.as_slice() {
        [first, _, ..] => format!("seed {first}, {tests}"),
        _ => tests.to_owned(),
    }
}

/// Lists everything that is in the full denominator and was not judged.
fn unjudged(report: &Report, is_listed: &dyn Fn(&RunFacts) -> bool) -> Option<Table> {
    let mut table = table(
        "unjudged",
        "Not judged",
        format!("Instances and runs that count in the full denominator and were not judged ({}).", report.tests),
        &["instance", "what", "runs", "which", "why"],
    );
    let mut row = |instance: &str, what: &str, runs: usize, which: String, reason: &str| {
        let filter = Filter { instance: Some(instance.to_owned()), ..Filter::default() };
        let name = Cell::text(printable_line(instance)).behind(filter);
        table.rows.push(vec![
            name,
            Cell::text(what),
            Cell::number(runs),
            Cell::text(which),
            Cell::text(printable_line(reason)),
        ]);
    };
    for (instance, reason) in &report.invalid {
        let runs = report.runs.iter().filter(|run| run.instance == *instance).count();
        row(instance, "environment-invalid", runs, "all".into(), reason);
    }
    let mut alike = BTreeMap::<_, Vec<&RunFacts>>::new();
    for run in report.runs.iter().filter(|run| !run.ending.is_judged() && is_listed(run)) {
        alike.entry((run.instance.as_str(), run.ending, run.reason.as_str())).or_default().push(run);
    }
    for ((instance, ending, reason), runs) in alike {
        let which = match runs.len() == report.arms.len() * report.seeds.len() {
            true => "all".to_owned(),
            false => runs
                .iter()
                .map(|run| format!("{} {}", printable_line(&run.arm), run.seed))
                .collect::<Vec<_>>()
                .join(", "),
        };
        row(instance, ending.word(), runs.len(), which, reason);
    }
    (!table.rows.is_empty()).then_some(table)
}
