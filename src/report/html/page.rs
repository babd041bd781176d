//! The page around everything: head, policy, sections, blocks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::details::{Details, Size};
use super::pool::Block;
use super::{chart, ladder, matrix};
use crate::canon::{RunId, Sha256};
use crate::report::gather::Report;
use crate::report::plain::head;
use crate::report::run::RunFacts;
use crate::report::table::{Cell, Filter, Table};
use crate::report::tables::{self, Extra};
use crate::report::visible::{html, printable_line};
use crate::report::{ReportError, Subject};
use crate::store::Store;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Bytes of a figure that may stand on two lines.
const LONG: usize = 14;

/// Bytes of a row's head that stays on one line on a phone, too.
const NAME: usize = 20;

/// A report as an HTML file.
pub struct Page {
    /// The bytes of the file.
    pub html: String,
    /// Runs whose texts were left out, so that the file stays small.
    pub bare: usize,
    /// The figures in it.
    pub report: Report,
}

impl Page {
    /// Reads the runs of a subject and writes the page; `times` adds the seconds that were observed, `progress` is told
    /// of every run.
    ///
    /// # Errors
    /// A store that fails, or holds events that cannot be read.
    pub fn write(
        store: &Store,
        subject: Subject,
        size: Size,
        times: bool,
        progress: &mut dyn FnMut(),
    ) -> Result<Self, ReportError> {
        let mut details = Details::new(size, times);
        let mut places = BTreeMap::new();
        let report = Report::gather(
            store,
            subject,
            Some(&mut |run: &RunFacts| {
                places.insert(run.run, details.add(run)?);
                progress();
                Ok(())
            }),
        )?;
        let bare = details.bare;
        let html = page(&report, &places, details.finish()?, times);
        Ok(Self { html, bare, report })
    }
}

/// Returns the source of a policy that allows one inline text.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::of(text.as_bytes()).as_bytes()))
}

fn page(report: &Report, places: &BTreeMap<RunId, u32>, blocks: [Vec<Block>; 2], times: bool) -> String {
    let title = html(&printable_line(&report.title));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · runproof report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">to the content</a>\n<header>\n<h1>{title}</h1>\n<dl class=\"facts\">\n",
        source(STYLE),
        source(SCRIPT),
    );
    for (name, value) in head(report) {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", html(&value));
    }
    out.push_str("</dl>\n</header>\n");
    let tables = tables::all(report, Extra { times });
    out.push_str(&navigation(&tables));
    out.push_str("<main id=\"main\">\n");
    let _ = writeln!(
        out,
        "<section aria-labelledby=\"h-ladder\"><h2 id=\"h-ladder\">Ladder</h2>\n{}</section>",
        ladder::section(report.subject.ladder.as_ref())
    );
    for table in &tables {
        let chart = match table.id {
            "outcomes" => chart::arms(report),
            "attempts" => chart::by_attempt(report),
            _ => String::new(),
        };
        out.push_str(&section(table, &chart));
    }
    let _ = writeln!(
        out,
        "<section aria-labelledby=\"matrix\"><h2 id=\"matrix\" tabindex=\"-1\">Runs</h2>\n{}</section>",
        matrix::section(report, places)
    );
    out.push_str(
        "<section id=\"run\" class=\"script\" aria-labelledby=\"h-run\" hidden><h2 id=\"h-run\" tabindex=\"-1\">Run</h2>\n\
         <div id=\"run-body\"></div></section>\n</main>\n",
    );
    let _ = writeln!(
        out,
        "<footer><p>Written by runproof {} from the transcript store alone. All digests and roots are canonical: two runs of \
         the same thing share them wherever the model is deterministic. Raw digests, which certificates bind, are in the \
         store.{}</p></footer>",
        env!("CARGO_PKG_VERSION"),
        if times { " Seconds are observations: no digest covers them." } else { "" }
    );
    let firsts = |blocks: &[Block]| blocks.iter().map(|block| block.first).collect::<Vec<_>>();
    let index = serde_json::json!({"texts": firsts(&blocks[0]), "runs": firsts(&blocks[1])});
    let _ = writeln!(out, "<script type=\"application/json\" id=\"index\">{index}</script>");
    for (name, blocks) in ["texts", "runs"].into_iter().zip(&blocks) {
        for (number, block) in blocks.iter().enumerate() {
            let _ = writeln!(out, "<script type=\"text/plain\" id=\"{name}-{number}\">{}</script>", block.text);
        }
    }
    let _ = writeln!(out, "<script>{SCRIPT}</script>\n</body>\n</html>");
    out
}

fn navigation(tables: &[Table]) -> String {
    let mut out = String::from("<nav aria-label=\"Sections\"><ul>\n<li><a href=\"#h-ladder\">Ladder</a></li>\n");
    for table in tables {
        let _ = writeln!(out, "<li><a href=\"#{}\">{}</a></li>", table.id, html(&table.title));
    }
    out.push_str("<li><a href=\"#matrix\">Runs</a></li>\n</ul></nav>\n");
    out
}

fn section(table: &Table, chart: &str) -> String {
    let (id, title) = (table.id, html(&table.title));
    let mut out = format!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>\n");
    let _ = writeln!(out, "<p class=\"about\" id=\"{id}-about\">{}</p>", html(&table.caption));
    if !chart.is_empty() {
        let _ = writeln!(out, "<div class=\"chart\">{chart}</div>");
    }
    let _ = writeln!(
        out,
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{title}, table\"><table \
         aria-describedby=\"{id}-about\">\n<caption class=\"hidden\">{title}</caption>\n<thead><tr>"
    );
    let number = |column: usize| table.rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.number));
    for (column, name) in table.head.iter().enumerate() {
        let class = if number(column) { " class=\"number\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", html(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, one) in row.iter().enumerate() {
            out.push_str(&cell(one, column == 0));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    for note in &table.notes {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", note.iter().map(inside).collect::<String>());
    }
    out.push_str("</section>\n");
    out
}

/// Returns a cell's text, a link where there are runs behind it. No line ends between a figure and its per cent.
fn inside(cell: &Cell) -> String {
    let text = html(&cell.text).replace(" %", "&nbsp;%");
    match &cell.filter {
        Some(filter) => format!("<a href=\"#matrix\" data-filter=\"{}\">{text}</a>", html(&query(filter))),
        None => text,
    }
}

fn cell(cell: &Cell, is_head: bool) -> String {
    let text = inside(cell);
    let class = match cell.number {
        true if cell.text.len() > LONG => " class=\"number long\"",
        true => " class=\"number\"",
        false => "",
    };
    let class = if is_head && cell.text.len() > NAME { " class=\"wordy\"" } else { class };
    match is_head {
        true => format!("<th scope=\"row\"{class}>{text}</th>"),
        false => format!("<td{class}>{text}</td>"),
    }
}

/// Returns a filter as the page's script reads it.
fn query(filter: &Filter) -> String {
    let encoded = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
                _ => {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
        out
    };
    let parts = [
        ("text", filter.instance.as_deref().map(printable_line)),
        ("arm", filter.arm.as_deref().map(printable_line)),
        ("seed", filter.seed.map(|seed| seed.to_string())),
        ("ending", filter.ending.map(str::to_owned)),
        ("by", filter.by.map(|by| by.to_string())),
        ("code", filter.code.as_deref().map(printable_line)),
        ("fallback", filter.fallback.then(|| "1".to_owned())),
    ];
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
    parts.collect::<Vec<_>>().join("&")
}
