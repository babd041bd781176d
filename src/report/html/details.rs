//! What the page shows of a run when somebody opens it, as JSON that refers to pooled texts.

use serde_json::{Map, Value, json};

use super::pool::{Block, Blocks, Pool};
use crate::report::run::{AttemptFacts, RunFacts, TestFacts};
use crate::report::visible::{printable, printable_line};
use crate::statistics::MILLION;

/// How much of long texts and of many runs the page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Long texts are cut in the middle, and runs beyond a total have no texts; both say so.
    Bounded,
    /// Everything.
    Full,
}

/// Bytes of one text.
const LONGEST_TEXT: usize = 96 << 10;
/// Names of one list of tests.
const LONGEST_LIST: usize = 200;
/// Bytes of all blocks together.
const LARGEST_PAGE: usize = 48 << 20;

/// Details of runs, in blocks.
pub(super) struct Details {
    size: Size,
    times: bool,
    texts: Pool,
    runs: Blocks,
    /// Runs that were left without texts.
    pub(super) bare: usize,
}

impl Details {
    pub(super) fn new(size: Size, times: bool) -> Self {
        Self { size, times, texts: Pool::default(), runs: Blocks::default(), bare: 0 }
    }

    /// Adds a run; returns its number.
    pub(super) fn add(&mut self, run: &RunFacts) -> std::io::Result<u32> {
        let is_bare = self.size == Size::Bounded && self.texts.size() + self.runs.size() > LARGEST_PAGE;
        self.bare += usize::from(is_bare);
        let mut attempts = Vec::new();
        for attempt in &run.attempts {
            attempts.push(self.attempt(attempt, is_bare)?);
        }
        let mut value = json!({
            "run": run.run.to_string(), "instance": printable_line(&run.instance), "arm": printable_line(&run.arm),
            "seed": run.seed, "ending": run.ending.word(), "outcome": printable_line(&run.outcome),
            "reason": printable(&run.reason),
            "tests": printable_line(&run.tests), "root": run.canonical_root.map(|root| root.to_string()),
            "fallback": run.by_fallback, "allowed": run.allowed, "attempts": attempts, "bare": is_bare,
            "models": run.models.iter().map(|model| printable_line(model)).collect::<Vec<_>>(),
        });
        if let Some(grade) = &run.grade {
            value["grade"] = self.tests(grade, &run.judged)?;
        }
        if self.times && run.time > 0 {
            value["seconds"] = json!(seconds(run.time));
        }
        self.runs.add(&value.to_string())
    }

    fn attempt(&mut self, attempt: &AttemptFacts, is_bare: bool) -> std::io::Result<Value> {
        let digests: Map<String, Value> =
            attempt.digests.iter().map(|(name, digest)| ((*name).to_owned(), json!(digest))).collect();
        let mut value = json!({
            "number": attempt.number, "model": printable_line(&attempt.model), "fallback": attempt.fallback,
            "tokens": [attempt.prompt_tokens, attempt.reply_tokens], "stop": printable_line(&attempt.stop),
            "replied": attempt.replied, "applied": attempt.applied,
            "refusal": attempt.refusal.as_deref().map(printable_line),
            "codes": attempt.codes.iter().map(|code| printable_line(code)).collect::<Vec<_>>(),
            "summary": printable(&attempt.summary), "digests": digests,
        });
        if self.times {
            value["seconds"] = json!(attempt.times.map(seconds));
        }
        if is_bare {
            return Ok(value);
        }
        let texts = &attempt.texts;
        let mut prompt = Vec::new();
        for (role, content) in &texts.prompt {
            prompt.push(json!([printable_line(role), self.text(content)?]));
        }
        value["prompt"] = json!(prompt);
        for (name, text) in [
            ("reply", &texts.reply),
            ("reasoning", &texts.reasoning),
            ("patch", &texts.patch),
            ("told", &texts.told),
            ("excerpt", &texts.excerpt),
        ] {
            if !text.is_empty() {
                value[name] = json!(self.text(text)?);
            }
        }
        if let Some(tests) = &attempt.tests {
            value["tests"] = self.tests(tests, &[texts.passed.clone(), texts.failed.clone()])?;
        }
        Ok(value)
    }

    fn tests(&mut self, tests: &TestFacts, lists: &[Vec<String>; 2]) -> std::io::Result<Value> {
        Ok(json!({
            "green": tests.green, "counts": [tests.passed, tests.failed],
            "codes": tests.codes.iter().map(|code| printable_line(code)).collect::<Vec<_>>(),
            "still": self.list(&tests.still_failing)?, "newly": self.list(&tests.newly_failing)?,
            "passed": self.list(&lists[0])?, "failed": self.list(&lists[1])?,
        }))
    }

    /// Keeps names, a line each.
    fn list(&mut self, names: &[String]) -> std::io::Result<Value> {
        let most = if self.size == Size::Full { names.len() } else { names.len().min(LONGEST_LIST) };
        let mut text: String = names[..most].iter().map(|name| printable_line(name) + "\n").collect();
        if most < names.len() {
            text.push_str(&format!("… {} more names are left out here\n", names.len() - most));
        }
        Ok(json!(self.texts.add(&text)?))
    }

    fn text(&mut self, text: &str) -> std::io::Result<Vec<u32>> {
        let text = printable(text);
        if self.size == Size::Full || text.len() <= LONGEST_TEXT {
            return self.texts.add(&text);
        }
        let head = text.floor_char_boundary(LONGEST_TEXT / 2);
        let tail = text.ceil_char_boundary(text.len() - LONGEST_TEXT / 2);
        let note = format!("\n… {} bytes are left out here …\n", tail - head);
        let mut numbers = self.texts.add(&text[..head])?;
        numbers.extend(self.texts.add(&note)?);
        numbers.extend(self.texts.add(&text[tail..])?);
        Ok(numbers)
    }

    /// Returns the blocks of texts and of runs.
    pub(super) fn finish(self) -> std::io::Result<[Vec<Block>; 2]> {
        Ok([self.texts.finish()?, self.runs.finish()?])
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{}", us / MILLION, us % MILLION / 100_000)
}
