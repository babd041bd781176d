//! The only writer to the terminal: data to standard output, everything else to standard error.
#![expect(clippy::disallowed_methods, reason = "NO_COLOR is a property of the terminal session")]

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::args::Global;
use super::exit::Exit;
use super::failure::{Failure, FailureKind};
// What is foreign is written out alike wherever people see it.
pub(crate) use crate::report::{printable, printable_line};
pub(crate) use crate::rung::counted;

/// How this session writes.
pub(crate) struct Ui {
    quiet: bool,
    terminal: bool,
    colour: bool,
}

/// Says how a word is meant; colour only repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Dim,
    Strong,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { quiet: global.quiet, terminal, colour: terminal && !no_colour }
    }

    /// Returns the same without progress and remarks; warnings stay.
    pub(crate) fn silenced(&self) -> Self {
        Self { quiet: true, terminal: false, colour: self.colour }
    }

    /// Says whether a person watches standard error.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes one line of data to standard output.
    pub(crate) fn data(&mut self, line: impl Display) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").map_err(|error| Failure::output(&error))
    }

    /// Writes bytes of data to standard output as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
    }

    /// Writes a value as one line of JSON to standard output.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::new(FailureKind::Malformed, error))?;
        self.data(text)
    }

    /// Says something to the person; silent with `--quiet`.
    pub(crate) fn say(&self, line: impl Display) {
        if !self.quiet {
            self.err(&line);
        }
    }

    /// Warns, also with `--quiet`.
    pub(crate) fn warn(&self, line: impl Display) {
        self.err(&format_args!("{} {line}", self.tone(Tone::Strong, "warning:")));
    }

    /// Returns `text` in its colour, where colours are wanted.
    pub(crate) fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Dim => 2,
            Tone::Strong => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Starts a progress bar over `total` units; hidden without a terminal or with `--quiet`.
    pub(crate) fn bar(&self, label: &str, total: u64, unit: Unit) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), self.target());
        let counts = match unit {
            Unit::Bytes => "{bytes}/{total_bytes} {bytes_per_sec} eta {eta}",
            Unit::Items => "{pos}/{len} {per_sec} eta {eta}",
        };
        let template = format!("{{prefix}} [{{bar:30}}] {counts}");
        bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(label.to_owned());
        bar
    }

    /// Starts a line with elapsed time whose message changes; hidden without a terminal or with `--quiet`.
    pub(crate) fn spinner(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.target());
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        if self.terminal && !self.quiet {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        bar
    }

    /// Reports a failure and returns its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        if failure.kind != FailureKind::BrokenPipe {
            self.err(&format_args!("{} {}", self.tone(Tone::Bad, "error:"), printable(&failure.message)));
            if let Some(hint) = &failure.hint {
                self.err(&format_args!("{} {}", self.tone(Tone::Strong, "hint:"), printable(hint)));
            }
        }
        failure.kind.exit()
    }

    /// Says why the program ends, over whatever progress line there is.
    pub(super) fn last_word(text: &str) {
        let start = if std::io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
        let _ = writeln!(std::io::stderr().lock(), "{start}{text}");
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.terminal && !self.quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }

    fn err(&self, line: &dyn Display) {
        // A closed standard error must not stop the work.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// What a progress bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Items,
}

/// Prints what clap has to say: help and version are answers, the rest are usage errors.
pub(super) fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Sound }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b]0;x\x07\n\tb\r"), "a\\u{1b}]0;x\\u{7}\n\tb\\r");
        assert_eq!(printable("\u{202e}a"), "\\u{202e}a");
        assert_eq!(printable_line("a\nb\tc"), "a\\nb\\tc");
    }
}
