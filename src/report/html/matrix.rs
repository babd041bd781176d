//! The matrix of instances and arms, every run a link to its details.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::canon::RunId;
use crate::report::gather::Report;
use crate::report::run::{Ending, RunFacts};
use crate::report::visible::html;

/// Returns the section's inside. `places` says where the details of each run are.
pub(super) fn section(report: &Report, places: &BTreeMap<RunId, u32>) -> String {
    let mut out = form(report);
    out.push_str(
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"Runs by instance and arm\"><table class=\"matrix\">\n<caption \
         class=\"hidden\">How each run ended, by instance and arm; each links to its attempts</caption>\n<thead><tr><th \
         scope=\"col\">instance</th>",
    );
    for arm in &report.arms {
        let _ = write!(out, "<th scope=\"col\">{}</th>", html(arm));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let mut runs = report.runs.iter().peekable();
    for instance in &report.instances {
        let mark = if report.invalid.contains_key(instance) {
            " <span class=\"dim\">(environment-invalid)</span>"
        } else {
            ""
        };
        let _ = write!(out, "<tr><th scope=\"row\">{}{mark}</th>", html(instance));
        for arm in &report.arms {
            out.push_str("<td>");
            let mut is_first = true;
            // The runs are in the order of this table.
            while let Some(run) = runs.next_if(|run| run.instance == *instance && run.arm == *arm) {
                out.push_str(&of_run(run, places.get(&run.run).copied(), report.seeds.len() > 1, is_first));
                is_first = false;
            }
            out.push_str("</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Returns the short sign of an ending and its word.
fn sign(ending: Ending) -> (&'static str, &'static str) {
    match ending {
        Ending::Resolved => ("✓", "resolved"),
        Ending::VisibleOnly => ("◐", "visible only"),
        Ending::Unresolved | Ending::Other => ("✗", "unresolved"),
        Ending::Limit => ("⏱", "limit"),
        Ending::Invalid => ("∅", "invalid"),
        Ending::EnvironmentError => ("!", "environment"),
        Ending::OutOfTime => ("⏳", "out of time"),
        Ending::Open => ("·", "not run"),
    }
}

fn of_run(run: &RunFacts, place: Option<u32>, with_seed: bool, is_first: bool) -> String {
    let (mark, word) = sign(run.ending);
    let seed = if with_seed { format!("<span class=\"seed\">{}</span> ", run.seed) } else { String::new() };
    let attempts = run.attempts.len();
    let at = match run.ending {
        Ending::Resolved => format!(" at {attempts}"),
        _ if attempts > 0 => format!(" after {attempts}"),
        _ => String::new(),
    };
    let fallback = if run.by_fallback { " by fallback" } else { "" };
    // Further seeds that ended alike take little room; their words are there for who cannot see the sign.
    let text = match is_first {
        true => {
            format!("{seed}<span aria-hidden=\"true\">{mark}</span><span class=\"word\"> {word}</span>{at}{fallback}")
        }
        false => {
            format!(
                "{seed}<span aria-hidden=\"true\">{mark}{}</span><span class=\"hidden\">{word}{at}{fallback}</span>",
                short_at(run)
            )
        }
    };
    let Some(place) = place.filter(|_| run.ending != Ending::Open || attempts > 0) else {
        return format!("<span class=\"run {}\"{}>{text}</span>", run.ending.word(), data(run));
    };
    format!(
        "<a class=\"run {}\" href=\"#run-{}\" data-doc=\"{place}\"{}>{text}</a>",
        run.ending.word(),
        run.run,
        data(run)
    )
}

fn short_at(run: &RunFacts) -> String {
    if run.ending == Ending::Resolved { format!(" {}", run.attempts.len()) } else { String::new() }
}

/// Returns what filters look at.
fn data(run: &RunFacts) -> String {
    let mut codes = BTreeSet::new();
    for attempt in &run.attempts {
        codes.extend(attempt.refusal.iter().chain(&attempt.codes));
        codes.extend(attempt.tests.iter().flat_map(|tests| &tests.codes));
    }
    let ending = if run.ending == Ending::Other { Ending::Unresolved } else { run.ending };
    let mut out =
        format!(" data-arm=\"{}\" data-seed=\"{}\" data-ending=\"{}\"", html(&run.arm), run.seed, ending.word());
    if let Some(attempt) = run.resolved_at() {
        let _ = write!(out, " data-at=\"{attempt}\"");
    }
    if run.by_fallback {
        out.push_str(" data-fallback=\"1\"");
    }
    if !codes.is_empty() {
        let codes: Vec<&str> = codes.into_iter().map(String::as_str).collect();
        let _ = write!(out, " data-codes=\"{}\"", html(&codes.join(" ")));
    }
    out
}

fn form(report: &Report) -> String {
    let option = |value: &str, text: &str| format!("<option value=\"{}\">{}</option>", html(value), html(text));
    let mut codes = BTreeSet::new();
    for figures in &report.figures {
        codes.extend(figures.refusals.keys().chain(figures.gate.keys()).chain(figures.normalised.keys()));
    }
    let endings: BTreeSet<Ending> = report.runs.iter().map(|run| run.ending).collect();
    let arms: String = report.arms.iter().map(|arm| option(arm, arm)).collect();
    let endings: String =
        endings.into_iter().filter(|one| *one != Ending::Other).map(|one| option(one.word(), one.word())).collect();
    let seeds: String = report.seeds.iter().map(|seed| option(&seed.to_string(), &seed.to_string())).collect();
    let codes: String = codes.into_iter().map(|code| option(code, code)).collect();
    let select = |name: &str, label: &str, options: &str| {
        format!("<label>{label} <select name=\"{name}\"><option value=\"\">all</option>{options}</select></label>\n")
    };
    let mut out = String::from(
        "<form id=\"filter\" class=\"script\" hidden role=\"search\" aria-label=\"Filter of runs\">\n<label>instance <input \
         type=\"search\" name=\"text\" autocomplete=\"off\" spellcheck=\"false\"></label>\n",
    );
    out.push_str(&select("arm", "arm", &arms));
    out.push_str(&select("ending", "outcome", &endings));
    if report.seeds.len() > 1 {
        out.push_str(&select("seed", "seed", &seeds));
    }
    out.push_str(&select("code", "code", &codes));
    out.push_str(
        "<input type=\"hidden\" name=\"by\"><input type=\"hidden\" name=\"fallback\"><button type=\"reset\">show all</button>\n</form>\n<p id=\"count\" \
         role=\"status\" aria-live=\"polite\"></p>\n<noscript><p>The filter and the details of runs need the script in this \
         file, which reaches no network. All tables stand here without it.</p></noscript>\n",
    );
    out
}
