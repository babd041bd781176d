//! Arms compared in pairs, and seeds with the first one.

use std::collections::BTreeMap;

use super::{of_arm, scope, share, table};
use crate::report::gather::Report;
use crate::report::run::{Ending, RunFacts};
use crate::report::table::{Cell, Filter, Table};
use crate::report::visible::printable_line;
use crate::statistics::probability;

pub(super) fn pairs(report: &Report) -> Table {
    let caption = format!(
        "Two arms over the same instances ({}): which of them only one resolved, and the two-sided p-value of McNemar's \
         exact test.",
        scope(report)
    );
    let head = ["arms", "instances", "both", "neither", "only the first", "only the second", "p"];
    let mut table = table("pairs", "Arms compared in pairs", caption, &head);
    for pair in &report.pairs {
        let (first, second) = (printable_line(&pair.first), printable_line(&pair.second));
        table.rows.push(vec![
            Cell::text(format!("{first} and {second}")),
            Cell::number(pair.of),
            Cell::number(pair.both),
            Cell::number(pair.neither),
            Cell::number(pair.only_first.len()),
            Cell::number(pair.only_second.len()),
            Cell::number(probability(pair.p)),
        ]);
        for (arm, names) in [(&first, &pair.only_first), (&second, &pair.only_second)] {
            if names.is_empty() {
                continue;
            }
            let mut note = vec![Cell::text(format!("{first} and {second}, only {arm}:"))];
            for (place, name) in names.iter().enumerate() {
                let filter = Filter { instance: Some(name.clone()), ..Filter::default() };
                note.push(Cell::text(if place == 0 { " " } else { ", " }));
                note.push(Cell::text(printable_line(name)).behind(filter));
            }
            table.notes.push(note);
        }
    }
    table
}

pub(super) fn seeds(report: &Report) -> Table {
    let first = report.seeds[0];
    let caption = format!(
        "Greedy replies must not depend on the seed. Each arm with each seed ({}), and how many runs ended otherwise or \
         got other replies than with seed {first}.",
        report.tests
    );
    let head = ["arm", "seed", "resolved of all", "ended otherwise", "other replies"];
    let mut table = table("seeds", "Seeds", caption, &head);
    let by_place: BTreeMap<(&str, &str, u32), &RunFacts> =
        report.runs.iter().map(|run| ((run.instance.as_str(), run.arm.as_str(), run.seed), run)).collect();
    for figures in &report.figures {
        let of_both = report.instances.iter().filter_map(|instance| {
            let run = |seed| by_place.get(&(instance.as_str(), figures.arm.as_str(), seed)).copied();
            run(first).zip(run(figures.seed))
        });
        let ended: Vec<_> = of_both.filter(|(one, other)| one.ending.is_end() && other.ending.is_end()).collect();
        let count = |differs: fn(&RunFacts, &RunFacts) -> bool| match figures.seed == first {
            true => Cell::number("–"),
            false => Cell::number(ended.iter().filter(|(one, other)| differs(one, other)).count()),
        };
        let resolved = Filter { ending: Some(Ending::Resolved.word()), ..of_arm(figures) };
        table.rows.push(vec![
            Cell::text(printable_line(&figures.arm)),
            Cell::number(figures.seed),
            Cell::number(share(figures.resolved, figures.of, figures.interval)).behind(resolved),
            count(|one, other| one.outcome != other.outcome),
            count(|one, other| one.replies() != other.replies()),
        ]);
    }
    table
}
