//! Puts a prompt together.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::edit::{Format, Region};
use crate::instance::Instance;
use crate::model::{Message, Role};

use super::budget::{Budget, estimate};
use super::feedback::{AttemptNote, feedback, head_and_tail};
use super::listing::{Form, Listing, NUMBERING, listed, words};
use super::skills::{Skill, fitting};
use super::{
    ASK, ASK_PATCH, ASK_PLACE, ASK_TEXT, SYSTEM, SYSTEM_PATCH, SYSTEM_PLACE, SYSTEM_TEXT, SYSTEM_UNNUMBERED, small,
};

/// Files that a prompt shows at most.
const MOST_FILES: usize = 5;
/// Bytes that stand around a listing beside the path.
const AROUND_FILE: usize = "FILE: \n```\n```\n\n".len();
/// Less text of failing tests than this says nothing.
const SHORTEST_FAILURE: usize = 80;

/// Everything that a prompt is made of.
pub struct Input<'a> {
    /// The task.
    pub instance: &'a Instance,
    /// Path and bytes of the files to show, the most relevant first.
    pub files: &'a [(String, Vec<u8>)],
    /// Earlier attempts, oldest first.
    pub feedback: &'a [AttemptNote],
    /// What the failing visible tests say on the base tree; may be empty.
    pub failing: &'a str,
    /// Says which files are shown only, such as tests: no answer may touch them.
    pub protected: &'a dyn Fn(&str) -> bool,
    /// Skills, taken whole while they fit.
    pub skills: &'a [Skill],
    /// The form of the answer that is asked for.
    pub format: Format,
    /// How much of each file is shown.
    pub listing: Listing,
    /// The room.
    pub budget: Budget,
}

/// A prompt, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The conversation to send.
    pub messages: Vec<Message>,
    /// Paths of the files shown.
    pub shown: Vec<String>,
    /// Path and number of lines of each file that an answer may edit.
    pub constraint: Vec<(String, u32)>,
    /// What the last message says of earlier attempts, as it stands there; empty in the first prompt.
    pub told: String,
    /// Names of the skills that it holds.
    pub skills: Vec<String>,
    /// Upper estimate of the prompt's tokens.
    pub estimate: u32,
}

/// Says why there is no prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// Instructions, issue and files do not fit together.
    #[error("the prompt needs about {estimate} tokens where {room} are left of the context")]
    TooLong {
        /// Estimated tokens of the prompt.
        estimate: u32,
        /// Tokens of the context without the reply's.
        room: u32,
    },
    /// Not a part of any file fits.
    #[error("no file fits into the {bytes} bytes that the context leaves for files")]
    NoFile {
        /// Room for files.
        bytes: usize,
    },
}

/// Returns which of the ranked files (path, size in bytes) a prompt may be able to show beside `taken` bytes of skills: the
/// best one in any case, others whole.
pub fn select(ranked: &[(String, u64)], budget: &Budget, taken: usize) -> Vec<String> {
    let mut left = budget.shares(taken).files as u64;
    let mut chosen: Vec<String> = Vec::new();
    for (path, size) in ranked {
        // Numbering costs a line's width; source lines are some 40 bytes.
        let shown = size + size / 40 * NUMBERING as u64;
        if chosen.len() < MOST_FILES && (chosen.is_empty() || shown <= left) {
            left = left.saturating_sub(shown);
            chosen.push(path.clone());
        }
    }
    chosen
}

/// Keeps those of the selected files that a prompt shows whole beside `taken` bytes of skills, after the first, which may be
/// cut. So whoever has fewer skills, or none, shows the same files.
pub fn fit(files: Vec<(String, Vec<u8>)>, budget: &Budget, taken: usize) -> Vec<(String, Vec<u8>)> {
    let mut left = Some(budget.shares(taken).files);
    let mut place = 0;
    let mut kept = files;
    kept.retain(|(path, bytes)| {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().count();
        // Lines past the 9,999th are numbered with more digits.
        let wide = (4..12).map(|digits| lines.saturating_sub(10_usize.pow(digits) - 1)).sum::<usize>();
        let ends = text.lines().map(|line| line.len() + 1 + NUMBERING).sum::<usize>();
        let room = left.and_then(|left| left.checked_sub(path.len() + AROUND_FILE + ends + wide));
        place += 1;
        let is_kept = place == 1 || room.is_some();
        if place == 1 || room.is_some() {
            left = room;
        }
        is_kept
    });
    kept
}

/// Builds the prompt of one attempt.
///
/// # Errors
/// A context too small for the instructions, the issue's share and a part of one file: nothing is cut silently.
pub fn build(input: &Input<'_>) -> Result<Prompt, PromptError> {
    if let Some(prompt) = small::is_wanted(input).then(|| small::build(input)).flatten() {
        return prompt;
    }
    let templates = match input.format {
        Format::Direct | Format::DirectUngated => (SYSTEM, ASK),
        Format::DirectUnnumbered => (SYSTEM_UNNUMBERED, ASK),
        Format::TwoStep => (SYSTEM_PLACE, ASK_PLACE),
        Format::Patch => (SYSTEM_PATCH, ASK_PATCH),
    };
    assemble(input, None, templates)
}

/// Builds the second prompt of an attempt in two steps: the same, with the lines of the region, without numbers, in the
/// files' place.
///
/// # Errors
/// A region that the context has no room for.
pub fn build_text(input: &Input<'_>, region: &Region) -> Result<Prompt, PromptError> {
    assemble(input, Some(region), (SYSTEM_TEXT, ASK_TEXT))
}

fn assemble(input: &Input<'_>, region: Option<&Region>, (system, ask): (&str, &str)) -> Result<Prompt, PromptError> {
    let budget = &input.budget;
    let (skills_text, skills) = fitting(input.skills, budget.skills_bytes());
    let shares = budget.shares(skills_text.len());
    let mut text = String::new();
    let issue = head_and_tail(input.instance.problem_statement.trim(), shares.issue);
    let _ = write!(text, "The issue:\n\n{issue}\n");
    let told = feedback(input.feedback, shares.feedback);
    let wanted = format!("{}\n{}\n{}", input.instance.problem_statement, input.failing, told);
    let (mut shown, mut constraint) = (Vec::new(), Vec::new());
    let listings = match region {
        Some(region) => vec![alone(region, shares.files)?],
        None => list(input, shares.files, &words(&wanted))?,
    };
    for (path, listing, lines) in listings {
        let _ = write!(text, "FILE: {path}\n```\n{listing}```\n\n");
        shown.push(path.clone());
        if !(input.protected)(&path) {
            constraint.push((path, lines));
        }
    }
    // Feedback on tests says anew what fails; a refused answer was never tested.
    let is_tested = input.feedback.last().is_some_and(|note| !note.patch.is_empty());
    let room = shares.feedback.saturating_sub(told.len());
    if !is_tested && !input.failing.trim().is_empty() && room > SHORTEST_FAILURE {
        let failing = head_and_tail(input.failing.trim(), room);
        let _ = write!(text, "The tests say:\n```\n{failing}```\n\n");
    }
    if !told.is_empty() {
        let _ = writeln!(text, "{told}");
    }
    text.push_str(ask.trim_end());
    let system = format!("{}{skills_text}", system.trim_end());
    let estimate = estimate(system.len() + text.len());
    let room = budget.prompt_tokens();
    if estimate > room {
        return Err(PromptError::TooLong { estimate, room });
    }
    let message = |role, content| Message { role, content };
    let messages = vec![message(Role::System, system), message(Role::User, text)];
    Ok(Prompt { messages, shown, constraint, told, skills, estimate })
}

/// Shows the lines of a region, whole or not at all.
fn alone(region: &Region, bytes: usize) -> Result<(String, String, u32), PromptError> {
    let listing: String = region.lines.iter().map(|line| format!("{line}\n")).collect();
    if region.path.len() + AROUND_FILE + listing.len() > bytes {
        return Err(PromptError::NoFile { bytes });
    }
    Ok((region.path.clone(), listing, u32::try_from(region.lines.len()).unwrap_or(u32::MAX)))
}

/// Numbers the files in order while they fit; the first is cut if it must be.
fn list(input: &Input<'_>, bytes: usize, wanted: &BTreeSet<&str>) -> Result<Vec<(String, String, u32)>, PromptError> {
    let mut left = bytes;
    let form = Form { listing: input.listing, numbers: input.format != Format::DirectUnnumbered };
    let mut listings = Vec::new();
    for (path, content) in input.files {
        let text = String::from_utf8_lossy(content);
        let around = path.len() + AROUND_FILE;
        // An empty file has an empty listing, and a name all the same.
        let Some(room) = left.checked_sub(around) else { continue };
        if let Some((listing, lines)) = listed(path, &text, room, wanted, form) {
            left = room - listing.len();
            listings.push((path.clone(), listing, lines));
        }
    }
    if listings.is_empty() { Err(PromptError::NoFile { bytes }) } else { Ok(listings) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::canon::{Blake3, FileMode, Tree, TreeEntry};
    use crate::edit::{Change, Context, Limits, propose};
    use crate::instance::load;
    use crate::prompt::default_skills;

    #[test]
    fn our_own_parser_accepts_the_answer_of_the_example() {
        let (_, example) = SYSTEM.split_once("An example.").unwrap();
        let (question, answer) = example.split_once("The answer is").unwrap();
        let (_, listing) = question.split_once("```\n").unwrap();
        let (listing, _) = listing.split_once("```").unwrap();
        let text: String = listing.lines().map(|line| format!("{}\n", &line[6..])).collect();
        let mut tree = Tree::default();
        let digest = Blake3::of(text.as_bytes());
        tree.insert("shop/basket.py".into(), TreeEntry { mode: FileMode::Regular, digest, size: text.len() as u64 });
        let shown = BTreeMap::from([("shop/basket.py".to_owned(), text.clone().into_bytes())]);
        let (protected, limits) = (|_: &str| false, Limits::default());
        let context = Context { tree: &tree, shown: &shown, cut_off: false, protected: &protected, limits };
        let (answer, _) = answer.split_once("Rules:").unwrap();
        let proposal = propose(answer.as_bytes(), &context, &mut |_| None).unwrap();
        let Some(Change::Write { bytes, .. }) = proposal.changes.get("shop/basket.py") else { panic!("no change") };
        let expected = text.replace("            result = price", "            result += price");
        assert_eq!(String::from_utf8_lossy(bytes), expected);
    }

    #[test]
    fn what_failed_is_shown_again_after_a_refusal_and_not_beside_newer_test_results() {
        let instance = load("fixtures/instances/temperature").unwrap();
        let files = [("temperature.py".to_owned(), b"x = 1\n".to_vec()), ("test_t.py".to_owned(), b"y = 1\n".to_vec())];
        let prompt = |patch: &str| {
            let feedback = [AttemptNote {
                number: 1,
                outcome: "refused".into(),
                excerpt: "the detail".into(),
                patch: patch.into(),
                ..AttemptNote::default()
            }];
            let protected = |path: &str| path.starts_with("test_");
            build(&Input {
                instance: &instance,
                files: &files,
                feedback: &feedback,
                failing: "AssertionError: 148 != 212",
                protected: &protected,
                skills: &[],
                format: Format::Direct,
                listing: Listing::Fitting,
                budget: Budget { context_tokens: 8192, reply_tokens: 512 },
            })
            .unwrap()
        };
        let refused = prompt("");
        assert!(
            refused.messages[1].content.contains("148 != 212") && refused.messages[1].content.contains("the detail")
        );
        assert!(!prompt("a diff\n").messages[1].content.contains("148 != 212"));
        assert_eq!(refused.shown, ["temperature.py", "test_t.py"]);
        assert_eq!(refused.constraint, [("temperature.py".to_owned(), 1)]);
    }

    #[test]
    fn too_little_room_is_refused() {
        let instance = load("fixtures/instances/temperature").unwrap();
        let files = [("a.txt".to_owned(), b"x = 1\n".repeat(100))];
        let protected = |_: &str| false;
        let budget = Budget { context_tokens: 700, reply_tokens: 512 };
        let (instance, files) = (&instance, &files);
        let input = Input {
            instance,
            files,
            feedback: &[],
            failing: "",
            protected: &protected,
            skills: &[],
            format: Format::Direct,
            listing: Listing::Fitting,
            budget,
        };
        assert!(matches!(build(&input), Err(PromptError::TooLong { .. } | PromptError::NoFile { .. })));
    }

    #[test]
    fn every_arm_shows_the_same_and_skills_take_their_room_from_it() {
        let instance = load("fixtures/instances/temperature").unwrap();
        let text = (0..900).map(|n| format!("def f{n}(a):\n    return a + {n}\n\n\n")).collect::<String>();
        let files = [("temperature.py".to_owned(), text.into_bytes())];
        let prompt = |format, skills: &[Skill]| {
            build(&Input {
                instance: &instance,
                files: &files,
                feedback: &[],
                failing: "AssertionError: 148 != 212",
                protected: &|_| false,
                skills,
                format,
                listing: Listing::Fitting,
                budget: Budget { context_tokens: 8192, reply_tokens: 1024 },
            })
            .unwrap()
        };
        let (direct, patch) = (prompt(Format::Direct, &[]), prompt(Format::Patch, &[]));
        let context =
            |prompt: &Prompt, ask: &str| prompt.messages[1].content.strip_suffix(ask.trim_end()).unwrap().to_owned();
        assert_eq!(context(&direct, ASK), context(&patch, ASK_PATCH));
        let with = prompt(Format::Direct, &default_skills());
        assert_eq!(with.skills.len(), 5);
        assert!(with.messages[0].content.contains("# Make the smallest change"));
        // The file fills its share in both, so the totals are equal but for where a definition ends.
        assert!(with.estimate.abs_diff(direct.estimate) < 60, "{} {}", with.estimate, direct.estimate);
    }

    #[test]
    fn empty_files_at_the_end_of_the_room_take_none() {
        let instance = load("fixtures/instances/temperature").unwrap();
        let mut files = vec![("a.py".to_owned(), b"value = 1\n".repeat(4000))];
        files.extend((0..400).map(|number| (format!("package{number}/__init__.py"), Vec::new())));
        let prompt = build(&Input {
            instance: &instance,
            files: &files,
            feedback: &[],
            failing: "",
            protected: &|_| false,
            skills: &[],
            format: Format::Direct,
            listing: Listing::Fitting,
            budget: Budget { context_tokens: 4096, reply_tokens: 512 },
        })
        .unwrap();
        assert!(prompt.shown.len() < files.len() && prompt.estimate <= 4096 - 512);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_budget_is_never_exceeded_and_never_refused_where_a_line_fits(
            issue in prop::collection::vec("[a-z ]{0,80}", 0..120),
            file in prop::collection::vec("[a-z]{0,60}", 1..400),
            failing in prop::collection::vec("[a-z]{0,60}", 0..200),
            context_tokens in 3000..20_000_u32,
            attempts in 0..6_usize,
            is_patch in any::<bool>(),
        ) {
            let mut instance = load("fixtures/instances/temperature").unwrap();
            instance.problem_statement = issue.join("\n");
            let failing = failing.join("\n");
            let files = [("a.py".to_owned(), file.join("\n").into_bytes()), ("b.txt".to_owned(), b"x\n".repeat(90))];
            let note = AttemptNote {
                number: 1,
                outcome: "red".into(),
                failing: failing.clone(),
                broken: failing.clone(),
                patch: failing.clone(),
                ..AttemptNote::default()
            };
            let (feedback, skills) = (vec![note; attempts], default_skills());
            let format = if is_patch { Format::Patch } else { Format::Direct };
            let budget = Budget { context_tokens, reply_tokens: 512 };
            for skills in [&[][..], &skills] {
                let (instance, files, failing, feedback) = (&instance, &files, &failing, &feedback);
                let protected = |_: &str| false;
                let prompt = build(&Input { instance, files, feedback, failing, protected: &protected, skills, format, listing: Listing::Fitting, budget });
                let prompt = prompt.map_err(|error| TestCaseError::fail(error.to_string()))?;
                let bytes: usize = prompt.messages.iter().map(|message| message.content.len()).sum();
                prop_assert!(prompt.estimate <= context_tokens - 512 && bytes.div_ceil(3) <= prompt.estimate as usize);
                let shares = |percent: usize| (context_tokens as usize - 512) * 3 * percent / 100;
                prop_assert!(prompt.told.len() <= shares(15));
                let text = &prompt.messages[1].content;
                let (before, rest) = text.split_once("FILE: ").unwrap();
                prop_assert!(before.len() <= shares(25) + 20);
                let listings = rest.rfind("|").unwrap_or(0);
                prop_assert!(listings <= shares(55));
            }
        }
    }
}
