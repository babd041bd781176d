//! The files of a commit, straight out of a repository: one `git ls-tree`, and one `git cat-file` that is asked for a blob
//! whenever the ranking reads a file. Every file read is kept, for the baselines and for ranking without reading.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use runproof::canon::tree::is_safe_path;
use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};

use crate::Outcome;

/// An open commit.
pub(crate) struct Commit {
    tree: Tree,
    blobs: BTreeMap<String, String>,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Commit {
    /// Lists a commit of the repository at `git_dir`.
    pub(crate) fn open(git_dir: &Path, commit: &str) -> Outcome<Self> {
        let git = || {
            let mut command = Command::new("git");
            command.arg("--git-dir").arg(git_dir);
            command
        };
        let listed = git().args(["ls-tree", "-r", "-l", "-z", "--full-tree", commit]).output()?;
        if !listed.status.success() {
            return Err(String::from_utf8_lossy(&listed.stderr).into_owned().into());
        }
        let (mut tree, mut blobs) = (Tree::default(), BTreeMap::new());
        for line in listed.stdout.split(|byte| *byte == 0) {
            let line = String::from_utf8_lossy(line);
            let Some((head, path)) = line.split_once('\t') else { continue };
            let [mode, "blob", id, size] = head.split_whitespace().collect::<Vec<_>>()[..] else { continue };
            // A clone without its largest blobs gives no size for them.
            let (true, Ok(size)) = (is_safe_path(path), size.parse()) else { continue };
            let mode = if mode == "120000" { FileMode::Symlink } else { FileMode::Regular };
            // The ranking looks at paths, modes and sizes; the digest only has to be there.
            tree.insert(path.to_owned(), TreeEntry { mode, digest: Blake3::of(id.as_bytes()), size });
            blobs.insert(path.to_owned(), id.to_owned());
        }
        let mut child = git().args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::with_capacity(1 << 18, child.stdout.take().ok_or("no pipe")?);
        Ok(Self { tree, blobs, child, questions, answers, files: BTreeMap::new() })
    }

    /// Returns the tree.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Reads a file.
    pub(crate) fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        writeln!(self.questions, "{}", self.blobs.get(path)?).ok()?;
        let mut header = String::new();
        self.answers.read_line(&mut header).ok()?;
        let size: usize = header.split_whitespace().nth(2)?.parse().ok()?;
        let mut bytes = vec![0; size + 1];
        self.answers.read_exact(&mut bytes).ok()?;
        bytes.pop();
        self.files.insert(path.to_owned(), bytes.clone());
        Some(bytes)
    }

    /// Ends git and returns every file that was read.
    pub(crate) fn into_files(mut self) -> Outcome<BTreeMap<String, Vec<u8>>> {
        drop(self.questions);
        if !self.child.wait()?.success() {
            return Err("git cat-file failed".into());
        }
        Ok(self.files)
    }
}
