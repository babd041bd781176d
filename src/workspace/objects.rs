//! Reading a commit's tree out of a repository, and writing it as the one commit of a new one.
//!
//! Files are taken as the bytes of their blobs: no checkout, hence no filters, line-ending conversion, keyword
//! substitution or umask. The new repository gets its own objects through `git fast-import`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde::{Deserialize, Serialize};

use super::git::last_lines;
use super::{Git, WorkspaceError};
use crate::canon::{FileMode, tree::is_safe_path};

/// The largest single file that a base tree may hold, in bytes.
const MAX_BLOB: u64 = 1 << 30;

/// One file of a commit's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Kind of the file.
    pub(super) mode: FileMode,
    /// Object id of its bytes.
    pub(super) blob: String,
}

/// The files and submodules of a commit's tree.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files by path.
    pub(super) files: BTreeMap<String, Listed>,
    /// Submodule commits by path; their files are not part of the tree.
    pub(super) submodules: BTreeMap<String, String>,
    /// Whether git's own modes were all among those that this tool writes.
    pub(super) usual_modes: bool,
}

/// Lists the tree of `commit` in the repository `git_dir`.
pub(super) fn list(git: &Git, git_dir: &Path, commit: &str) -> Result<Listing, WorkspaceError> {
    let mut command = git.command();
    command.arg("--git-dir").arg(git_dir).args(["ls-tree", "-r", "-z", "--full-tree", commit]);
    let output = git.run("list the base tree", &mut command, b"")?;
    let mut listing = Listing { usual_modes: true, ..Listing::default() };
    for line in output.split(|&byte| byte == 0).filter(|line| !line.is_empty()) {
        let odd = || WorkspaceError::Damaged(format!("git listed {:?}", String::from_utf8_lossy(line)));
        let tab = line.iter().position(|&byte| byte == b'\t').ok_or_else(odd)?;
        let head = std::str::from_utf8(&line[..tab]).map_err(|_| odd())?;
        let [mode, kind, id] = head.split(' ').collect::<Vec<_>>()[..] else { return Err(odd()) };
        let path = std::str::from_utf8(&line[tab + 1..])
            .map_err(|_| WorkspaceError::NotUtf8(String::from_utf8_lossy(&line[tab + 1..]).into_owned()))?;
        if !is_safe_path(path) {
            return Err(WorkspaceError::UnsafePath(path.to_owned()));
        }
        listing.usual_modes &= matches!(mode, "100644" | "100755" | "120000" | "160000");
        let mode = match (kind, mode) {
            ("commit", _) => {
                listing.submodules.insert(path.to_owned(), id.to_owned());
                continue;
            }
            ("blob", "120000") => FileMode::Symlink,
            ("blob", mode) if u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o100 != 0) => FileMode::Executable,
            ("blob", _) => FileMode::Regular,
            _ => return Err(odd()),
        };
        listing.files.insert(path.to_owned(), Listed { mode, blob: id.to_owned() });
    }
    // A hand-made tree object can hold a file and a folder of one name.
    let is_leaf = |path: &str| listing.files.contains_key(path) || listing.submodules.contains_key(path);
    for path in listing.files.keys().chain(listing.submodules.keys()) {
        if path.match_indices('/').any(|(end, _)| is_leaf(&path[..end])) {
            return Err(WorkspaceError::UnsafePath(path.clone()));
        }
    }
    Ok(listing)
}

/// A running `git cat-file --batch` that was asked for blobs and answers in the order of asking.
pub(super) struct Blobs {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    /// Asks for the blobs `ids` of `git_dir`.
    ///
    /// All questions are asked at once: one at a time, two processes would wait for each other once a file.
    pub(super) fn ask(git: &Git, git_dir: &Path, ids: Vec<String>) -> Result<Self, WorkspaceError> {
        let mut command = git.command();
        command.arg("--git-dir").arg(git_dir).args(["cat-file", "--batch", "--buffer"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut questions = child.stdin.take().expect("standard input is a pipe");
        let answers = BufReader::with_capacity(1 << 18, child.stdout.take().expect("standard output is a pipe"));
        std::thread::spawn(move || {
            // If git ends early, the missing answers say so.
            let text: String = ids.into_iter().map(|id| id + "\n").collect();
            questions.write_all(text.as_bytes()).ok();
        });
        Ok(Self { child, answers })
    }

    /// Returns the bytes of the next blob asked for.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, WorkspaceError> {
        let mut header = String::new();
        self.answers.by_ref().take(1 << 10).read_line(&mut header).map_err(|error| failed(&error))?;
        let missing = || WorkspaceError::Git { what: "read an object".to_owned(), message: header.trim().to_owned() };
        let mut parts = header.split_whitespace().skip(1);
        let (Some("blob"), Some(size)) = (parts.next(), parts.next()) else { return Err(missing()) };
        let size: u64 = size.parse().map_err(|_| missing())?;
        if size > MAX_BLOB {
            let path = header.split_whitespace().next().unwrap_or_default().to_owned();
            return Err(WorkspaceError::TooLarge { path, size, cap: MAX_BLOB });
        }
        let mut bytes = Vec::new();
        self.answers.by_ref().take(size + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        match bytes.pop() {
            Some(b'\n') if bytes.len() as u64 == size => Ok(bytes),
            _ => Err(missing()),
        }
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A running `git fast-import` that makes the one commit of a new repository.
pub(super) struct Import {
    child: Child,
    stream: Option<BufWriter<ChildStdin>>,
}

impl Import {
    /// Starts the commit in the empty repository `git_dir`.
    pub(super) fn start(git: &Git, git_dir: &Path) -> Result<Self, WorkspaceError> {
        let mut command = git.command();
        command.arg("--git-dir").arg(git_dir).args(["fast-import", "--quiet", "--done", "--depth=0"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let stream = BufWriter::with_capacity(1 << 18, child.stdin.take().expect("standard input is a pipe"));
        let mut import = Self { child, stream: Some(stream) };
        import.write(&[
            b"commit refs/heads/main\ncommitter runproof <runproof@localhost> 946684800 +0000\ndata 5\nbase\n\n",
        ])?;
        Ok(import)
    }

    /// Adds one file.
    pub(super) fn file(&mut self, path: &str, mode: FileMode, bytes: &[u8]) -> Result<(), WorkspaceError> {
        let mode = match mode {
            FileMode::Regular => "100644",
            FileMode::Executable => "100755",
            FileMode::Symlink => "120000",
        };
        let head = format!("M {mode} inline {}\ndata {}\n", quoted(path), bytes.len());
        self.write(&[head.as_bytes(), bytes, b"\n"])
    }

    /// Adds a submodule's commit.
    pub(super) fn submodule(&mut self, path: &str, commit: &str) -> Result<(), WorkspaceError> {
        self.write(&[format!("M 160000 {commit} {}\n", quoted(path)).as_bytes()])
    }

    /// Ends the commit and waits for it to be written.
    pub(super) fn finish(mut self) -> Result<(), WorkspaceError> {
        self.write(&[b"\ndone\n"])?;
        let flushed = self.stream.take().expect("open until finished").flush();
        let status = self.child.wait().map_err(|error| failed(&error))?;
        match flushed {
            Ok(()) if status.success() => Ok(()),
            Ok(()) => Err(self.complaint(&status)),
            Err(error) => Err(self.complaint(&error)),
        }
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), WorkspaceError> {
        let stream = self.stream.as_mut().expect("open until finished");
        match parts.iter().try_for_each(|part| stream.write_all(part)) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.complaint(&error)),
        }
    }

    /// Returns the reason that git gives, which says more than a pipe that it closed.
    fn complaint(&mut self, otherwise: &dyn std::fmt::Display) -> WorkspaceError {
        // Its input has ended, so it ends too.
        self.stream = None;
        let mut text = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            stderr.take(1 << 16).read_to_end(&mut text).ok();
        }
        failed(&last_lines(&text, &otherwise.to_string()))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.stream = None;
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn failed(why: &dyn std::fmt::Display) -> WorkspaceError {
    WorkspaceError::Git { what: "copy the base tree".to_owned(), message: why.to_string() }
}

/// Quotes a path as `git fast-import` reads it.
fn quoted(path: &str) -> String {
    let mut text = String::from("\"");
    for character in path.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}
