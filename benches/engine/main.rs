//! Checks and measures the embedded engine on real weights; the README of this folder says how to run it.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring program reads arguments and the clock, prints, and may stop at the first failure"
)]

mod matrix;
mod peer;
mod speed;
mod tokens;

use std::collections::BTreeMap;
use std::fs::File;
use std::process::ExitCode;

use runproof::engine::{Engine, Settings};

const USAGE: &str = "usage: cargo bench --bench engine -- matrix|tokens|speed --weights FILE
  matrix [--prompt FILE] [--prompt-tokens 1500] [--tokens 60] [--simd scalar|fast]
  tokens --python PROGRAM FILE...
  speed  --python PROGRAM [--prompt FILE] [--prompt-tokens 1541] [--tokens 200] [--rounds 3]";

/// The command line, taken apart.
struct Arguments {
    options: BTreeMap<String, String>,
    files: Vec<String>,
}

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.text(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("--{name} {text}: not a number")))
    }

    /// Loads the weights that `--weights` names.
    fn load(&self, settings: Settings) -> Engine {
        let path = self.text("weights").expect("main checked it");
        let file = File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let length = file.metadata().unwrap().len();
        Engine::load(file, length, None, settings).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns the first tokens of the prompt that `--prompt` names, or of a text that every clone holds.
    fn prompt(&self, engine: &Engine, default: usize) -> Vec<u32> {
        let text = match self.text("prompt") {
            Some(path) => std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")),
            None => include_str!("../../LICENSE-APACHE").to_owned(),
        };
        let mut tokens = engine.tokenize(&text).unwrap();
        tokens.truncate(self.number("prompt-tokens", default));
        tokens
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let mode = words.next().unwrap_or_default();
    let mut arguments = Arguments { options: BTreeMap::new(), files: Vec::new() };
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name) => {
                let value = words.next().unwrap_or_else(|| panic!("--{name} needs a value\n{USAGE}"));
                arguments.options.insert(name.to_owned(), value);
            }
            None => arguments.files.push(word),
        }
    }
    if arguments.text("weights").is_none() {
        println!("SKIPPED: nothing was checked or measured, because no weights are given.\n{USAGE}");
        return ExitCode::SUCCESS;
    }
    let sound = match mode.as_str() {
        "matrix" => matrix::run(&arguments),
        "tokens" => tokens::run(&arguments),
        "speed" => speed::run(&arguments),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
