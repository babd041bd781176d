//! The prompt for tiny models: two short examples, one function without one of its lines, and the wish for that line.

use crate::edit::{PLACEHOLDER, numbered};
use crate::model::{Message, Role};
use crate::syntax::Language;

use super::budget::estimate;
use super::build::{Input, Prompt, PromptError};
use super::feedback::{AttemptNote, head_and_tail, one_line};
use super::focus::{self, Focus};
use super::{SMALL, SMALL_EXAMPLES};

/// A context of at most this many tokens gets this form.
const MOST_CONTEXT: u32 = 2048;
/// Lines that are shown of a long function, above and below the one that is asked for.
const MARGIN: usize = 12;

/// Says whether this form is to be used.
pub(super) fn is_wanted(input: &Input<'_>) -> bool {
    input.budget.context_tokens <= MOST_CONTEXT && input.format.is_direct() && input.format.calls() == 1
}

/// Builds the prompt; `None` if no function is there to look at.
pub(super) fn build(input: &Input<'_>) -> Option<Result<Prompt, PromptError>> {
    let files: Vec<(String, String)> = input
        .files
        .iter()
        .filter(|(path, _)| !(input.protected)(path))
        .map(|(path, bytes)| (path.clone(), String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    let found = focus::lines(&files, &input.instance.problem_statement, input.failing);
    let focus = found.get(input.feedback.len() % found.len().max(1))?;
    let (path, text) = &files[focus.file];
    let line = |note: &AttemptNote| format!("Attempt {} failed: {}\n", note.number, one_line(&note.outcome));
    let told: String = input.feedback.iter().map(line).collect();
    let mut messages = vec![Message { role: Role::System, content: SMALL.trim_end().to_owned() }];
    messages.extend(examples());
    messages.push(Message { role: Role::User, content: question(input, path, text, focus, &told) });
    let estimate = estimate(messages.iter().map(|message| message.content.len()).sum());
    let room = input.budget.prompt_tokens();
    if estimate > room {
        return Some(Err(PromptError::TooLong { estimate, room }));
    }
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let (shown, constraint) = (vec![path.clone()], vec![(path.clone(), lines)]);
    Some(Ok(Prompt { messages, shown, constraint, told, skills: Vec::new(), estimate }))
}

fn question(input: &Input<'_>, path: &str, text: &str, focus: &Focus, told: &str) -> String {
    let issue = head_and_tail(input.instance.problem_statement.trim(), input.budget.prompt_tokens() as usize * 3 / 4);
    let mut out = issue;
    if let Some(error) = error_line(input.failing) {
        out.push_str(&format!("{error}\n"));
    }
    out.push_str(told);
    let lines: Vec<&str> = text.lines().collect();
    let first = focus.first.max(focus.line.saturating_sub(MARGIN));
    let last = focus.last.min(focus.line + MARGIN).min(lines.len());
    let mut shown: Vec<String> = lines[first - 1..last].iter().map(|line| (*line).to_owned()).collect();
    let asked = &mut shown[focus.line - first];
    let indent = asked.len() - asked.trim_start().len();
    let is_slashed = Language::of_path(path).is_some_and(|language| language != Language::Python);
    let comment = if is_slashed { "//" } else { "#" };
    *asked = format!("{}{comment} {PLACEHOLDER}", &asked[..indent]);
    let listing = numbered(&shown, first);
    out.push_str(&format!("\nFILE: {path}\n```\n{listing}```\nWrite line {}.", focus.line));
    out
}

/// Returns the line of a failing test's text that names the error.
fn error_line(failing: &str) -> Option<String> {
    let is_error = |line: &&str| {
        let word = line.trim_start_matches("E ").trim().split(':').next().unwrap_or_default();
        word.ends_with("Error") || word.ends_with("Exception")
    };
    failing.lines().find(is_error).map(|line| line.trim_start_matches("E ").trim().chars().take(200).collect())
}

/// Returns the conversation of the examples file.
pub(super) fn examples() -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for line in SMALL_EXAMPLES.lines() {
        match (line, messages.last_mut()) {
            ("=== user", _) => messages.push(Message { role: Role::User, content: String::new() }),
            ("=== assistant", _) => messages.push(Message { role: Role::Assistant, content: String::new() }),
            (_, Some(message)) if message.content.is_empty() => message.content.push_str(line),
            (_, Some(message)) => {
                message.content.push('\n');
                message.content.push_str(line);
            }
            (_, None) => {}
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::canon::{Blake3, FileMode, Tree, TreeEntry};
    use crate::edit::{Change, Context, Limits, propose};
    use crate::prompt::{AttemptNote, Budget};

    /// Reads the file that a question shows, the lines above it made up.
    fn shown(question: &str) -> (String, String) {
        let (_, rest) = question.split_once("FILE: ").unwrap();
        let (path, rest) = rest.split_once("\n```\n").unwrap();
        let (listing, _) = rest.split_once("\n```").unwrap();
        let code: Vec<&str> = listing.lines().map(|line| line.split_once("| ").unwrap().1).collect();
        let first: usize = listing.trim_start().split('|').next().unwrap().parse().unwrap();
        (path.to_owned(), format!("{}{}\n", "import math\n".repeat(first - 1), code.join("\n")))
    }

    #[test]
    fn our_own_parser_accepts_the_answers_of_the_examples() {
        let examples = examples();
        assert_eq!(examples.len(), 4);
        for pair in examples.chunks(2) {
            let (path, text) = shown(&pair[0].content);
            let mut tree = Tree::default();
            let digest = Blake3::of(text.as_bytes());
            tree.insert(path.clone(), TreeEntry { mode: FileMode::Regular, digest, size: text.len() as u64 });
            let files = BTreeMap::from([(path.clone(), text.clone().into_bytes())]);
            let protected = |_: &str| false;
            let limits = Limits::default();
            let context = Context { tree: &tree, shown: &files, cut_off: false, protected: &protected, limits };
            let proposal = propose(pair[1].content.as_bytes(), &context, &mut |_| None).unwrap();
            let Some(Change::Write { bytes, .. }) = proposal.changes.get(&path) else { panic!("no change") };
            let after = String::from_utf8(bytes.clone()).unwrap();
            assert_eq!(after.lines().count(), text.lines().count());
            assert!(after.lines().last().unwrap().starts_with("    return "), "{after}");
        }
    }

    #[test]
    fn each_attempt_looks_elsewhere_and_says_what_failed() {
        let bytes = include_bytes!("../../fixtures/instances/calendar/repo/months.py").to_vec();
        let files = [("months.py".to_owned(), bytes)];
        let instance = crate::instance::load("fixtures/instances/calendar").unwrap();
        let failing =
            "FAIL: test_century\n    self.assertEqual(days_in_month(1900, 2), 28)\nAssertionError: 29 != 28\n";
        let note = |number| AttemptNote { number, outcome: format!("outcome {number}"), ..AttemptNote::default() };
        let notes: Vec<AttemptNote> = (1..6).map(note).collect();
        let budget = Budget { context_tokens: 2048, reply_tokens: 64 };
        let prompt = |earlier: usize| {
            let feedback = &notes[..earlier];
            let input = Input {
                instance: &instance,
                files: &files,
                feedback,
                failing,
                protected: &|path| path.starts_with("test_"),
                skills: &[],
                format: crate::edit::Format::Direct,
                listing: Default::default(),
                budget,
            };
            super::super::build(&input).unwrap()
        };
        let questions: Vec<String> = (0..6).map(|n| prompt(n).messages.last().unwrap().content.clone()).collect();
        assert!(questions[0].ends_with("Write line 15."), "{}", questions[0]);
        assert!(questions[1].ends_with("Write line 8.") && questions[1].contains("Attempt 1 failed: outcome 1\n"));
        assert_eq!(prompt(0).constraint, [("months.py".to_owned(), 20)]);
        let distinct: std::collections::BTreeSet<&String> = questions.iter().collect();
        assert_eq!(distinct.len(), questions.len());
    }
}
