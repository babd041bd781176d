//! Answers in two steps: first which lines of which file, then only the new text of these lines.
//!
//! The second answer has no numbers that could be wrong. Together the two are one direct edit, which is read as any other.

use std::collections::BTreeMap;

use serde::Serialize;

use super::code::Code;
use super::label::{self, Label};
use super::notes::{Notes, refuse};
use super::path::{self, Target};
use super::place;
use super::propose::{bytes_of, text_in, text_of};
use super::reply::{self, fence};
use super::scan::{self, Block};
use super::shapes;
use super::source::Source;
use super::span::{self, Span};
use super::types::{Context, Proposal, Refusal};
use crate::syntax::{Language, definitions};

/// Lines of a file that an answer names, without their new text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Path in the tree.
    pub path: String,
    /// First line, counted from 1.
    pub first: usize,
    /// Last line, inclusive.
    pub last: usize,
    /// What was normalised in the answer that names it.
    #[serde(skip)]
    pub codes: Vec<Code>,
    /// The lines as they are.
    #[serde(skip)]
    pub lines: Vec<String>,
}

impl Region {
    /// Reads the answer to the first question: a `FILE` and its `LINES`, or the name of a definition there. Of several the
    /// first counts. `read` yields a file of the tree that the prompt did not show.
    ///
    /// # Errors
    /// No place, more than one reading of it, one that no answer may touch, or one that is larger than an answer may be.
    pub fn read(
        reply: &[u8],
        context: &Context<'_>,
        read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, Refusal> {
        let mut notes = Notes::default();
        let found = region(reply, context, read, &mut notes);
        let codes = notes.into_codes();
        match found {
            Ok(region) => Ok(Self { codes, ..region }),
            Err(refusal) => Err(Refusal { codes, ..refusal }),
        }
    }

    /// Returns the two answers as one direct edit.
    ///
    /// Headers that `answer` repeats are left out: the place is settled.
    pub fn edit(&self, answer: &str) -> String {
        let Self { path, first, last, .. } = self;
        let mut text = format!("FILE: {path}\nLINES: {first}-{last}\n");
        let mut is_header = true;
        for line in answer.split_inclusive('\n') {
            is_header &= fence(line).is_none();
            let is_place = matches!(label::parse(line), Some((Label::File | Label::Lines | Label::Action, _)));
            if !(is_header && is_place && label::ends_loose_text(line)) {
                text.push_str(line);
            }
        }
        text
    }

    /// Puts what was normalised in the place before what was normalised in the edit. Nobody asked for a reasoning, so that
    /// there is none is nothing to note.
    ///
    /// # Errors
    /// A refusal, as it is given.
    pub fn noted(&self, read: Result<Proposal, Refusal>) -> Result<Proposal, Refusal> {
        let joined = |codes: &[Code]| -> Vec<Code> {
            let more = codes.iter().filter(|code| !self.codes.contains(code) && **code != Code::Reason);
            self.codes.iter().chain(more).copied().collect()
        };
        match read {
            Ok(proposal) => Ok(Proposal { codes: joined(&proposal.codes), ..proposal }),
            Err(refusal) => Err(Refusal { codes: joined(&refusal.codes), ..refusal }),
        }
    }

    /// Refuses a place whose lines the second prompt has no room for.
    pub fn too_long(&self) -> Refusal {
        let Self { path, first, last, .. } = self;
        let message =
            format!("lines {first}-{last} of {path} are too long to show: name the few that cause the failure");
        Refusal { codes: self.codes.clone(), ..refuse(Code::Size, message, "") }
    }
}

fn region(
    reply: &[u8],
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    notes: &mut Notes,
) -> Result<Region, Refusal> {
    let text = text_in(reply, context)?;
    let lines = reply::lines(&text, notes);
    let blocks = scan::scan(&lines, notes).blocks;
    let mut places = blocks.iter().filter(|block| block.path.is_some() || block.lines.is_some());
    let Some(block) = places.next() else {
        let (code, message) = match context.cut_off {
            true => (Code::Truncated, "the answer was cut off before any place: name it at once, in this form"),
            false => (Code::NoEdit, "no place found in the answer: answer in this form"),
        };
        return Err(refuse(code, message, skeleton(context)));
    };
    // A number at the very end of a reply that was cut off may lack digits.
    let is_whole = places.next().is_some() || block.has_loose || !block.fences.is_empty();
    if context.cut_off && !is_whole {
        return Err(refuse(Code::Truncated, "the answer was cut off inside the place: name it at once", ""));
    }
    if blocks.iter().any(|other| (&other.path, &other.lines) != (&block.path, &block.lines)) {
        notes.add(Code::OnePlace);
    }
    let name = block.path.clone().or_else(|| {
        notes.add(Code::PathGuess);
        shapes::only_shown(context)
    });
    let Some(name) = name else {
        return Err(refuse(Code::NoFile, "the answer names no FILE: name one of the files shown", skeleton(context)));
    };
    let path = match path::resolve(&name, &[], false, context, notes)? {
        Target::Existing(path) => path,
        Target::Absent(path) => return Err(path::no_such_file(&path, "", context)),
    };
    let mut files = BTreeMap::new();
    let bytes = bytes_of(&path, context, read, &mut files)?;
    let source = text_of(bytes, &path)?;
    let range = lines_of(block, &path, &source, notes)?;
    if range.len() > context.limits.changed_lines {
        let message = format!("{} lines are too many to write anew: name the few that cause the failure", range.len());
        return Err(refuse(Code::Size, message, ""));
    }
    let lines = range.clone().map(|index| source.line(index).to_owned()).collect();
    Ok(Region { path, first: range.start + 1, last: range.end, codes: Vec::new(), lines })
}

/// Finds the lines that a place names, at least one.
fn lines_of(
    block: &Block,
    path: &str,
    source: &Source<'_>,
    notes: &mut Notes,
) -> Result<std::ops::Range<usize>, Refusal> {
    let text = block.lines.as_deref().unwrap_or_default().trim();
    if source.len() == 0 || text.is_empty() {
        let message = format!("the place in {path} has no LINES: write LINES: first-last, such as LINES: 12-14");
        return Err(refuse(Code::NoLines, message, ""));
    }
    let Some((span, codes)) = span::parse(text) else { return defined(text, path, source, notes) };
    // What is to be inserted is asked for as the new text of the line beside it.
    let (span, codes) = match span {
        Span::After(line) | Span::Before(line) => (Span::Lines(line.max(1), line.max(1)), Vec::new()),
        Span::Lines(first, last) if last < first => (Span::Lines(first, first), Vec::new()),
        Span::End => (Span::Lines(source.len(), source.len()), Vec::new()),
        Span::New => (Span::All, Vec::new()),
        span => (span, codes),
    };
    notes.add_all(&codes);
    let range = place::range(span, path, source, notes)?;
    // One line past the end is where lines are added.
    Ok(if range.is_empty() { source.len() - 1..source.len() } else { range })
}

/// Finds the definition of that name.
fn defined(text: &str, path: &str, source: &Source<'_>, notes: &mut Notes) -> Result<std::ops::Range<usize>, Refusal> {
    // `def total(prices):` names `total`, `Basket.total` too.
    let name = text.split('(').next().unwrap_or(text);
    let name = name.trim_matches(|c: char| c.is_whitespace() || "`*\"':".contains(c));
    let name = name.rsplit([' ', '.']).next().unwrap_or(name);
    let found = Language::of_path(path).map(|language| definitions(language, source.bytes())).unwrap_or_default();
    let named: Vec<_> = found.iter().filter(|definition| definition.name == name).collect();
    match named.as_slice() {
        [only] => {
            notes.add(Code::SnapNode);
            Ok(only.first - 1..only.last.min(source.len()))
        }
        [] => {
            let text = scan::start(text, 60);
            let message = format!("LINES: {text} is not one range: write LINES: first-last, such as LINES: 12-14");
            Err(refuse(Code::Range, message, ""))
        }
        several => {
            let lines: Vec<String> = several.iter().take(8).map(|one| format!("{}-{}", one.first, one.last)).collect();
            let message = format!("{name} is defined at lines {} of {path}: write one of them", lines.join(", "));
            Err(refuse(Code::RangeAmbiguous, message, ""))
        }
    }
}

/// Returns the form of an answer, with a file that really was shown.
fn skeleton(context: &Context<'_>) -> String {
    let path = context.shown.keys().next().map_or("the path of a file shown", String::as_str);
    format!("FILE: {path}\nLINES: first-last\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canon::{Blake3, FileMode, Tree, TreeEntry};
    use crate::edit::{Change, Limits, propose};

    const FILE: &str = "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n    return result\n\n\ndef mean(prices):\n    return total(prices)\n";

    fn with<T>(cut_off: bool, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let mut tree = Tree::default();
        let mut shown = BTreeMap::new();
        for (path, text) in [("shop/basket.py", FILE), ("tests/test_basket.py", "x = 1\n")] {
            let digest = Blake3::of(text.as_bytes());
            tree.insert(path.into(), TreeEntry { mode: FileMode::Regular, digest, size: text.len() as u64 });
            shown.insert(path.to_owned(), text.as_bytes().to_vec());
        }
        let protected = |path: &str| path.starts_with("tests/");
        act(&Context { tree: &tree, shown: &shown, cut_off, protected: &protected, limits: Limits::default() })
    }

    fn read(reply: &str) -> Result<(usize, usize, Vec<Code>), Code> {
        let found = with(false, |context| Region::read(reply.as_bytes(), context, &mut |_| None));
        found.map(|region| (region.first, region.last, region.codes)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_place_is_a_range_or_the_name_of_a_definition() {
        for (reply, first, last, codes) in [
            ("FILE: shop/basket.py\nLINES: 4-4\n", 4, 4, vec![]),
            ("The loop is wrong.\n\n**FILE:** basket.py\n**LINES:** 3 to 4", 3, 4, vec![Code::Prose, Code::Basename]),
            ("```\nFILE: shop/basket.py\nLINES: 4-4\n```\n", 4, 4, vec![Code::OuterFence]),
            ("FILE: shop/basket.py\nLINES: mean", 8, 9, vec![Code::SnapNode]),
            ("FILE: shop/basket.py\nLINES: `def total(prices)`", 1, 5, vec![Code::SnapNode]),
            ("FILE: shop/basket.py\nLINES: after 9", 9, 9, vec![]),
            ("FILE: shop/basket.py\nLINES: 8-11", 8, 9, vec![Code::Clamp]),
            ("FILE: shop/basket.py\nLINES: 4-4\n\nFILE: shop/basket.py\nLINES: 9-9\n", 4, 4, vec![Code::OnePlace]),
            ("FILE: shop/basket.py\nLINES: 4-4\n```\nresult += price\n```\n", 4, 4, vec![]),
        ] {
            assert_eq!(read(reply), Ok((first, last, codes)), "{reply}");
        }
    }

    #[test]
    fn what_is_no_place_or_a_forbidden_one_is_refused() {
        for (reply, code) in [
            ("I would change the loop.", Code::NoEdit),
            ("FILE: shop/basket.py\n", Code::NoLines),
            ("FILE: shop/basket.py\nLINES: 40-44\n", Code::Range),
            ("FILE: shop/basket.py\nLINES: median\n", Code::Range),
            ("FILE: shop/other.py\nLINES: 1-2\n", Code::NoFile),
            ("FILE: ../basket.py\nLINES: 1-2\n", Code::UnsafePath),
            ("FILE: tests/test_basket.py\nLINES: 1-1\n", Code::Protected),
            ("FILE: shop/basket.py\nLINES: 1-2\0", Code::Binary),
        ] {
            assert_eq!(read(reply), Err(code), "{reply}");
        }
        let cut = |reply: &str| with(true, |context| Region::read(reply.as_bytes(), context, &mut |_| None));
        assert_eq!(cut("FILE: shop/basket.py\nLINES: 1-2").unwrap_err().code, Code::Truncated);
        assert_eq!(cut("FILE: shop/basket.py\nLINES: 4-4\nFILE: shop/basket.py\nLINES: 9").unwrap().first, 4);
    }

    proptest! {
        #[test]
        fn a_place_lies_in_its_file_whatever_is_answered(
            reply in "(FILE: |\\*\\*LINES:\\*\\* |LINES: |shop/basket.py|basket|[0-9]{1,20}|-| to |after |before |end|all|new|total|mean|def |```|\n|\r| |ü|,|:){0,16}",
            answer in "(FILE: |LINES: |ACTION: |[0-9]{1,3}|```|\n|x = 1|ü){0,12}",
            cut_off: bool,
        ) {
            with(cut_off, |context| {
                let Ok(region) = Region::read(reply.as_bytes(), context, &mut |_| None) else { return Ok(()) };
                let lines = FILE.lines().collect::<Vec<_>>();
                prop_assert_eq!(&region.path, "shop/basket.py");
                prop_assert!(1 <= region.first && region.first <= region.last && region.last <= lines.len(), "{:?}", region);
                prop_assert_eq!(&region.lines, &lines[region.first - 1..region.last]);
                let _ = propose(region.edit(&answer).as_bytes(), context, &mut |_| None);
                Ok(())
            })?;
        }
    }

    #[test]
    fn both_answers_make_one_direct_edit() {
        let apply = |answer: &str| -> Result<Proposal, Refusal> {
            with(false, |context| {
                let region = Region::read(b"FILE: shop/basket.py\nLINES: 4-4\n", context, &mut |_| None)?;
                assert_eq!(region.lines, ["        result = price"]);
                propose(region.edit(answer).as_bytes(), context, &mut |_| None)
            })
        };
        let wanted = FILE.replace("result = price", "result += price");
        for answer in [
            "```python\n        result += price\n```\n",
            "        result += price",
            "Here are the lines:\n```\n        result += price\n```\nThis adds the prices.",
            "FILE: shop/basket.py\nLINES: 3-3\n```\n        result += price\n```\n",
        ] {
            let proposal = apply(answer).unwrap_or_else(|refusal| panic!("{answer}: {refusal:?}"));
            let Some(Change::Write { bytes, .. }) = proposal.changes.get("shop/basket.py") else { panic!("{answer}") };
            assert_eq!(String::from_utf8_lossy(bytes), wanted, "{answer}");
        }
        assert_eq!(apply("").unwrap_err().code, Code::Empty);
        assert_eq!(apply("```\n        result = (price\n```\n").unwrap_err().code, Code::Syntax);
    }
}
