//! What a person sees of a running run: one changing line on a terminal, one line a phase elsewhere.

use indicatif::ProgressBar;

use crate::solve::{Phase, Step};

use super::ui::printable;
use super::{Host, Ui};

/// Shows the steps of one run.
pub(crate) struct Watcher<'a> {
    ui: &'a Ui,
    instance: String,
    spinner: ProgressBar,
    phase_began_us: u64,
    first_token_us: Option<u64>,
    label: String,
    /// How fast the reply of this phase comes, once that can be said.
    rate: String,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(instance: &str, ui: &'a Ui) -> Self {
        let instance = instance.to_owned();
        Self {
            ui,
            instance,
            spinner: ui.spinner(),
            phase_began_us: 0,
            first_token_us: None,
            label: String::new(),
            rate: String::new(),
        }
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Began(phase, attempt) => {
                self.phase_began_us = Host::now_us();
                self.first_token_us = None;
                self.rate.clear();
                self.label = label(&self.instance, phase, attempt);
                self.spinner.set_message(self.label.clone());
            }
            Step::Tokens { prompt, reply } => self.tokens(prompt, reply),
            Step::Ended(phase, attempt, summary) => {
                let seconds = Host::now_us().saturating_sub(self.phase_began_us) as f64 / 1e6;
                let label = label(&self.instance, phase, attempt);
                let line = printable(summary.lines().next().unwrap_or_default());
                let mut line: String = line.chars().take(160).collect();
                if phase == Phase::Reply && !self.rate.is_empty() {
                    line = format!("{line} {}", self.rate).trim_start().to_owned();
                }
                self.spinner.suspend(|| self.ui.say(format_args!("{label}  {seconds:.1} s  {line}")));
            }
        }
    }

    fn tokens(&mut self, prompt: Option<u32>, reply: u32) {
        let now = Host::now_us();
        let first = *self.first_token_us.get_or_insert(now);
        let seconds = now.saturating_sub(first) as f64 / 1e6;
        // The first token ends the wait for the prompt; the rate counts from there.
        if reply > 1 && seconds > 0.0 {
            self.rate = format!("{:.1} tokens/s", f64::from(reply - 1) / seconds);
        }
        let prompt = prompt.map_or_else(String::new, |prompt| format!(" prompt {prompt}"));
        self.spinner.set_message(format!("{} {reply} tokens {}{prompt}", self.label, self.rate));
    }

    pub(crate) fn finish(&self) {
        self.spinner.finish_and_clear();
    }
}

fn label(instance: &str, phase: Phase, attempt: u32) -> String {
    let phase = match phase {
        Phase::Identity => "model",
        Phase::Tree => "tree",
        Phase::RedGate => "red gate",
        Phase::Selection => "files",
        Phase::Reply => "reply",
        Phase::Edits => "edits",
        Phase::Tests => "tests",
        Phase::Grade => "hidden tests",
        Phase::Patch => "patch",
    };
    match attempt {
        0 => format!("{instance}  {phase:<12}"),
        attempt => format!("{instance}  attempt {attempt}  {phase:<12}"),
    }
}

/// Writes a duration in the two units that matter.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_units_that_matter() {
        assert_eq!([59, 60, 7380].map(duration), ["59 s", "1 min", "2 h 3 min"]);
    }
}
