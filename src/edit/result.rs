//! The whole answer: size limits, the check that something changes, and the tree that comes out.

use std::collections::BTreeMap;

use super::cheating;
use super::choose::Combined;
use super::code::Code;
use super::excerpt;
use super::notes::refuse;
use super::path::has_room;
use super::runs::changed;
use super::source::{Source, Splice};
use super::types::{Change, Context, Proposal, Refusal};
use crate::canon::tree::is_scratch;
use crate::canon::{Blake3, FileMode, TreeEntry};
use crate::syntax::{Language, same_code};

/// Files as they were and as they shall be.
#[derive(Default)]
pub(super) struct Changed {
    files: BTreeMap<String, File>,
}

struct File {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    splices: Vec<Splice>,
}

impl Changed {
    pub(super) fn remove(&mut self, path: String) {
        self.files.insert(path, File { before: None, after: None, splices: Vec::new() });
    }

    pub(super) fn create(&mut self, path: String, bytes: Vec<u8>) {
        self.files.insert(path, File { before: None, after: Some(bytes), splices: Vec::new() });
    }

    pub(super) fn edit(&mut self, path: String, before: Vec<u8>, combined: Combined) {
        let file = File { before: Some(before), after: Some(combined.bytes), splices: combined.splices };
        self.files.insert(path, file);
    }

    /// Checks the answer as a whole and makes it a proposal.
    pub(super) fn into_proposal(mut self, context: &Context<'_>, reasoning: String) -> Result<Proposal, Refusal> {
        // Sizes first: whether code is the same costs a parse.
        self.check_size(context)?;
        if self.files.iter().all(|(path, file)| file.is_unchanged(path)) {
            return Err(self.no_op());
        }
        self.files.retain(|_, file| file.is_touched());
        for (path, file) in &self.files {
            cheating::check(path, file.before.as_deref(), file.after.as_deref().unwrap_or_default())?;
        }
        self.check_room(context)?;
        let mut result = context.tree.clone();
        let mut changes = BTreeMap::new();
        let mut replaced = BTreeMap::new();
        for (path, file) in self.files {
            if file.before.is_some() {
                replaced.insert(path.clone(), file.splices.iter().map(Splice::replaced).collect());
            }
            let mode = context.tree.get(&path).map_or(FileMode::Regular, |entry| entry.mode);
            let change = match file.after {
                None => {
                    result.remove(&path);
                    Change::Remove
                }
                Some(bytes) => {
                    let entry = TreeEntry { mode, digest: Blake3::of(&bytes), size: bytes.len() as u64 };
                    result.insert(path.clone(), entry);
                    Change::Write { bytes, mode }
                }
            };
            changes.insert(path, change);
        }
        Ok(Proposal { changes, codes: Vec::new(), reasoning, base: context.tree.clone(), result, replaced })
    }

    /// Refuses new files that nobody could write: what the answer brings about is no failure of the environment.
    fn check_room(&self, context: &Context<'_>) -> Result<(), Refusal> {
        let is_new =
            |path: &str| self.files.get(path).is_some_and(|file| file.before.is_none() && file.after.is_some());
        for path in self.files.keys().filter(|path| is_new(path)) {
            let is_below_new = path.match_indices('/').any(|(end, _)| is_new(&path[..end]));
            if is_below_new || is_scratch(path) || !has_room(path, context) {
                let message = format!(
                    "{path:?} cannot be a new file: its name is too long or a tool's, or another file is in its way"
                );
                return Err(refuse(Code::UnsafePath, message, ""));
            }
        }
        Ok(())
    }

    fn no_op(&self) -> Refusal {
        let mut shown = String::new();
        for file in self.files.values() {
            let source = file.before.as_deref().and_then(Source::new);
            if let (Some(source), Some(splice)) = (source, file.splices.first()) {
                shown.push_str(&excerpt::around(source.texts(), splice.range.clone(), 0, 10));
            }
        }
        let shown = if shown.is_empty() { shown } else { format!("these lines read so already:\n{shown}") };
        let message = "the answer leaves the code as it is: change the line that is wrong, or choose other LINES";
        refuse(Code::NoOp, message, shown)
    }

    fn check_size(&self, context: &Context<'_>) -> Result<(), Refusal> {
        let limits = context.limits;
        let too_large = |what: String| {
            Err(refuse(Code::Size, format!("the change is too large ({what}): change only what the repair needs"), ""))
        };
        let touched: Vec<&File> = self.files.values().filter(|file| file.is_touched()).collect();
        if touched.len() > limits.files {
            return too_large(format!("{} files, at most {}", touched.len(), limits.files));
        }
        let mut lines = 0;
        for file in &touched {
            match file.changed_lines(limits.changed_lines) {
                Some(more) if lines + more <= limits.changed_lines => lines += more,
                _ => return too_large(format!("more than {} lines", limits.changed_lines)),
            }
        }
        let new = |file: &&File| match (&file.before, &file.after) {
            (None, Some(after)) => after.len(),
            _ => file.splices.iter().flat_map(|splice| &splice.new).map(|line| line.len() + 1).sum(),
        };
        let bytes: usize = touched.iter().map(new).sum();
        if bytes > limits.new_bytes {
            return too_large(format!("{bytes} bytes, at most {}", limits.new_bytes));
        }
        Ok(())
    }
}

impl File {
    fn is_touched(&self) -> bool {
        self.before.is_none() || self.before != self.after
    }

    fn is_unchanged(&self, path: &str) -> bool {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return false };
        match Language::of_path(path) {
            Some(language) => same_code(language, before, after),
            None => without_blank_lines(before) == without_blank_lines(after),
        }
    }

    /// Counts the lines that are removed or added; `None` if they are more than `most`.
    fn changed_lines(&self, most: usize) -> Option<usize> {
        let Some(before) = self.before.as_ref().filter(|_| self.after.is_some()) else {
            let lines = self.after.as_ref().map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
            return Some(lines).filter(|lines| *lines <= most);
        };
        let plain = |line: &'_ [u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let old: Vec<Vec<u8>> = before.split(|byte| *byte == b'\n').map(plain).collect();
        let mut changed_lines = 0;
        for splice in &self.splices {
            let new: Vec<Vec<u8>> = splice.new.iter().map(|line| plain(line.as_bytes())).collect();
            changed_lines += changed(&old[splice.range.clone()], &new, most)?;
        }
        Some(changed_lines)
    }
}

fn without_blank_lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()).collect()
}
