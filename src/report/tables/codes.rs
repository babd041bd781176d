//! Refusals, findings of the gate and what was put right, by code and arm.

use std::collections::{BTreeMap, BTreeSet};

use super::{of_arm, scope, table};
use crate::report::figures::ArmFigures;
use crate::report::gather::Report;
use crate::report::table::{Cell, Filter, Table};
use crate::report::visible::printable_line;

/// Refusals of replies, and what the gate found in test runs.
pub(super) fn all(report: &Report) -> Vec<Table> {
    type Counts = fn(&ArmFigures) -> &BTreeMap<String, u32>;
    let kinds: [(&'static str, &str, &str, Counts); 3] = [
        ("refusals", "Refusals by code", "Replies that were refused, by the code of the refusal", |f| &f.refusals),
        ("gate", "Test runs by code", "Test runs of attempts that were not taken, by the code of the gate", |f| {
            &f.gate
        }),
        ("normalised", "Replies put right", "Replies in which something was put right, by code", |f| &f.normalised),
    ];
    let mut tables = Vec::new();
    for (id, title, what, of) in kinds {
        let codes: BTreeSet<&String> = report.of_first_seed().flat_map(|figures| of(figures).keys()).collect();
        if codes.is_empty() {
            continue;
        }
        let mut table = table(id, title, format!("{what} ({}).", scope(report)), &["code"]);
        table.head.extend(report.of_first_seed().map(|figures| printable_line(&figures.arm)));
        for code in codes {
            let cells = report.of_first_seed().map(|figures| {
                let filter = Filter { code: Some(code.clone()), ..of_arm(figures) };
                Cell::number(of(figures).get(code).copied().unwrap_or_default()).behind(filter)
            });
            table.rows.push([Cell::text(printable_line(code))].into_iter().chain(cells).collect());
        }
        tables.push(table);
    }
    tables
}
