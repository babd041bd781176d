//! The ladder with its criteria, the highest rung on top.

use std::fmt::Write as _;

use crate::report::visible::html;
use crate::rung::{Ladder, Number, Rung, Verdict};

/// Returns the section's inside.
pub(super) fn section(ladder: Option<&Ladder>) -> String {
    let Some(ladder) = ladder else {
        return "<p>The rungs were not assessed for this report: <code>runproof check</code> does so.</p>".into();
    };
    let reached = match ladder.reached() {
        Some(number) => format!("reached: <strong>{number}</strong>"),
        None => "reached: <strong>no rung</strong>".into(),
    };
    let mut out = format!(
        "<p>{reached}. A rung passes only if all its criteria and all rungs below it do. The numbers are labels and make \
         nothing more certain.</p>\n<ol class=\"ladder\" reversed>\n"
    );
    for rung in ladder.rungs().iter().rev() {
        out.push_str(&of_rung(rung));
    }
    out.push_str("</ol>\n");
    out
}

fn of_rung(rung: &Rung) -> String {
    let name = match rung.number() {
        Number::Edge => "edge sanity",
        Number::Stress => "stress",
        Number::Full => "full",
    };
    let passed = rung.criteria().iter().filter(|criterion| criterion.verdict == Verdict::Passed).count();
    let mut out = format!(
        "<li class=\"rung {}\"><details{}><summary><strong>{}</strong> {name} {} <span class=\"dim\">{passed} of {} \
         criteria passed</span></summary>\n<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"Criteria of rung {}\"><table>\n\
         <caption class=\"hidden\">Criteria of rung {}</caption>\n<thead><tr><th scope=\"col\">criterion</th>\
         <th scope=\"col\">verdict</th><th scope=\"col\">basis</th><th scope=\"col\">why</th></tr></thead><tbody>\n",
        rung.result().word(),
        if rung.result() == Verdict::Passed { "" } else { " open" },
        rung.number(),
        badge(rung.result()),
        rung.criteria().len(),
        rung.number(),
        rung.number(),
    );
    for criterion in rung.criteria() {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            html(&criterion.name),
            badge(criterion.verdict),
            criterion.basis.word(),
            html(&criterion.reason),
        );
    }
    out.push_str("</tbody></table></div></details></li>\n");
    out
}

fn badge(verdict: Verdict) -> String {
    let mark = match verdict {
        Verdict::Passed => "✓",
        Verdict::Failed => "✗",
        Verdict::NotAssessed => "?",
    };
    let word = verdict.word();
    format!("<span class=\"badge {word}\"><span aria-hidden=\"true\">{mark}</span> {word}</span>")
}
