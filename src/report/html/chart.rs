//! Two charts in SVG. Everything in them stands in the tables beside them too.

use std::fmt::Write as _;

use crate::report::figures::ArmFigures;
use crate::report::gather::Report;
use crate::report::tables::most_attempts;
use crate::report::visible::html;
use crate::statistics::{MILLION, Share, percent};

const ROW: u64 = 34;
const LEFT: u64 = 205;
const WIDTH: u64 = 510;

fn scale(per_million: u64) -> u64 {
    LEFT + per_million * WIDTH / MILLION
}

fn share(figures: &ArmFigures, count: u32) -> u64 {
    Share { count, of: figures.of }.per_million()
}

/// Returns the lines at every fifth of the scale, with their percentages.
fn grid(top: u64, bottom: u64) -> String {
    let mut out = String::new();
    for fifth in 0..=5 {
        let x = scale(fifth * MILLION / 5);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/><text class=\"tick\" x=\"{x}\" y=\"{}\" \
             text-anchor=\"middle\">{} %</text>",
            bottom + 18,
            fifth * 20
        );
    }
    out
}

/// Returns the resolved share of each arm with its interval.
pub(super) fn arms(report: &Report) -> String {
    let rows: Vec<&ArmFigures> = report.of_first_seed().collect();
    let bottom = 8 + ROW * rows.len() as u64;
    let mut out = format!(
        "<svg viewBox=\"0 0 800 {}\" role=\"img\" aria-labelledby=\"chart-arms\">\n<title id=\"chart-arms\">Resolved share of \
         all instances by arm, with 95 % intervals; the table beside it has the figures</title>\n<defs><pattern id=\"hatch\" \
         width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"hatch\" d=\"M0 6L6 0\"/></pattern></defs>\n{}",
        bottom + 26,
        grid(8, bottom)
    );
    for (place, figures) in rows.iter().enumerate() {
        let middle = 8 + ROW * place as u64 + ROW / 2;
        let value = share(figures, figures.resolved);
        let (low, high) = (scale(figures.interval.0), scale(figures.interval.1));
        let fallback = share(figures, figures.by_fallback);
        let _ = writeln!(
            out,
            "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"bar\" x=\"{LEFT}\" y=\"{}\" \
             width=\"{}\" height=\"14\"/><rect class=\"bar other\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"14\"/><path \
             class=\"whisker\" d=\"M{low} {}v10M{low} {middle}H{high}M{high} {}v10\"/><text class=\"label\" x=\"{}\" \
             y=\"{}\">{}</text>",
            LEFT - 8,
            middle + 4,
            html(&short(&figures.arm)),
            middle - 7,
            value * WIDTH / MILLION,
            scale(value.saturating_sub(fallback)),
            middle - 7,
            fallback * WIDTH / MILLION,
            middle - 5,
            middle - 5,
            scale(MILLION) + 10,
            middle + 4,
            percent(value),
        );
    }
    out.push_str("</svg>\n");
    if rows.iter().any(|figures| figures.by_fallback > 0) {
        out.push_str("<p class=\"dim\">The hatched end of a bar was resolved by the fallback model.</p>\n");
    }
    out
}

/// Returns the share that each arm had resolved after each attempt, a line an arm.
pub(super) fn by_attempt(report: &Report) -> String {
    let rows: Vec<&ArmFigures> = report.of_first_seed().collect();
    let most = u64::from(most_attempts(report));
    let height = 300;
    let (top, bottom) = (12, height - 40);
    let x = |attempt: u64| 80 + (attempt - 1) * 450 / most.saturating_sub(1).max(1);
    let y = |per_million: u64| bottom - per_million * (bottom - top) / MILLION;
    let mut out = format!(
        "<svg viewBox=\"0 0 800 {height}\" role=\"img\" aria-labelledby=\"chart-attempts\">\n<title id=\"chart-attempts\">Share of \
         all instances resolved by each attempt, a line an arm; the table beside it has the figures</title>\n"
    );
    for fifth in 0..=5 {
        let at = y(fifth * MILLION / 5);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"80\" y1=\"{at}\" x2=\"530\" y2=\"{at}\"/><text class=\"tick\" x=\"72\" y=\"{}\" \
             text-anchor=\"end\">{} %</text>",
            at + 4,
            fifth * 20
        );
    }
    for attempt in 1..=most {
        let at = x(attempt);
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{attempt}</text>",
            bottom + 20
        );
    }
    let mut labels: Vec<(u64, usize, String)> = Vec::new();
    for (place, figures) in rows.iter().enumerate() {
        let points: Vec<(u64, u64)> = (1..=most)
            .map(|attempt| (x(attempt), y(share(figures, figures.resolved_by(attempt as u32)))))
            .take(figures.allowed.clamp(1, most as u32) as usize)
            .collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x} {y}")).collect();
        let style = place % 6;
        let _ = writeln!(out, "<path class=\"line line-{style}\" d=\"M{}\"/>", path.join("L"));
        for (x, y) in &points {
            let _ = writeln!(out, "<circle class=\"dot dot-{style}\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
        }
        let (_, last) = points.last().copied().unwrap_or((80, bottom));
        labels.push((last, place, short(&figures.arm)));
    }
    labels.sort();
    let mut free = top;
    for (at, place, name) in labels {
        let place_y = at.max(free);
        free = place_y + 18;
        let style = place % 6;
        let _ = writeln!(
            out,
            "<path class=\"line line-{style}\" d=\"M550 {place_y}H582\"/><circle class=\"dot dot-{style}\" cx=\"566\" \
             cy=\"{place_y}\" r=\"4\"/><text class=\"label\" x=\"590\" y=\"{}\">{}</text>",
            place_y + 4,
            html(&name)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Cuts a name that the chart has no room for.
fn short(name: &str) -> String {
    match name.char_indices().nth(22) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
