//! Repositories as hostile input, and what the sandboxed side can find out about the history.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use runproof::canon::{FileMode, Tree};
use runproof::gate::{Sandbox, run};
use runproof::workspace::{Git, Origin, Query, WorkspaceError, Worktree, rank};
use tempfile::TempDir;

fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// An empty repository in a folder of its own.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.at("origin")).unwrap();
        place.git(&["init", "-q", "-b", "main"], "");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.at("origin"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits files as these bytes, without any file on disk: (mode, path, text).
    fn commit(&self, files: &[(&str, &str, &str)]) -> String {
        for (mode, path, text) in files {
            let id = match *mode {
                "160000" => (*text).to_owned(),
                _ => self.git(&["hash-object", "-w", "--stdin", "--no-filters"], text),
            };
            self.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{id},{path}")], "");
        }
        self.git(&["commit", "-q", "-m", "x"], "");
        self.git(&["rev-parse", "HEAD"], "")
    }

    fn worktree(&self, origin: &Path, commit: &str, name: &str) -> Result<Worktree, WorkspaceError> {
        let git = Git::find(&search_path()).unwrap();
        Worktree::create(&git, &Origin::Clone(origin.to_owned()), Some(commit), &self.at(name))
    }
}

/// The tree of a folder by names, kinds and bytes, `.git` included.
fn digest(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push((entry.path(), fs::read(entry.path()).unwrap_or_default())),
            }
        }
    }
    found.sort();
    found
}

const LFS: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";

#[test]
fn odd_trees_are_taken_as_they_are_and_the_origin_stays() {
    let place = Place::new();
    let attributes = "* text eol=crlf ident filter=evil export-ignore working-tree-encoding=UTF-16\n";
    let commit = place.commit(&[
        ("100644", ".gitattributes", attributes),
        ("100644", ".gitmodules", "[submodule \"s\"]\n\tpath = sub\n\turl = ext::touch evil\n"),
        ("160000", "sub", "0123456789012345678901234567890123456789"),
        ("100644", "big.bin", LFS),
        ("100755", "run.py", "print('$Id$')\r\nmixed\n"),
        ("120000", "out", "../../../../etc/passwd"),
        ("100644", "Case.py", "upper = 1\n"),
        ("100644", "case.py", "lower = 1\n"),
        ("100644", "a \"b\"\tc\u{e9}.py", "odd = 1\n"),
    ]);
    place.git(&["config", "filter.evil.smudge", "touch evil; cat"], "");
    place.git(&["config", "core.fsmonitor", "touch evil"], "");
    let before = digest(&place.at("origin"));
    let mut worktree = place.worktree(&place.at("origin"), &commit, "w").unwrap();
    assert_eq!(worktree.read("run.py").unwrap(), b"print('$Id$')\r\nmixed\n");
    assert_eq!(worktree.read("big.bin").unwrap(), LFS.as_bytes());
    assert_eq!((worktree.read("Case.py").unwrap(), worktree.read("case.py").unwrap()).0, b"upper = 1\n");
    assert!(matches!(worktree.read("out"), Err(WorkspaceError::UnsafePath(_) | WorkspaceError::NotAFile(_))));
    assert_eq!(worktree.base().get("run.py").unwrap().mode, FileMode::Executable);
    assert_eq!(worktree.tree().unwrap(), worktree.base());
    worktree.restore().unwrap();
    assert_eq!(worktree.tree().unwrap(), worktree.base());
    assert_eq!(digest(&place.at("origin")), before);
}

#[test]
fn empty_shallow_and_bare_origins_are_handled_or_named() {
    let place = Place::new();
    let origin = place.at("origin");
    assert!(matches!(place.worktree(&origin, "HEAD", "0"), Err(WorkspaceError::CommitUnknown { .. })), "no commit");
    let first = place.commit(&[("100644", "a.py", "a = 1\n")]);
    let second = place.commit(&[("100644", "a.py", "a = 2\n")]);
    let url = format!("file://{}", origin.display());
    place.git(&["clone", "-q", "--depth=1", &url, "../shallow"], "");
    assert_eq!(place.worktree(&place.at("shallow"), &second, "1").unwrap().read("a.py").unwrap(), b"a = 2\n");
    assert!(matches!(place.worktree(&place.at("shallow"), &first, "2"), Err(WorkspaceError::CommitUnknown { .. })));
    // What a partial clone looks like to somebody who may not fetch: the blob is not there.
    place.git(&["clone", "-q", "--bare", &url, "../bare"], "");
    let blob = place.git(&["rev-parse", "HEAD:a.py"], "");
    assert!(place.worktree(&place.at("bare"), &first, "3").is_ok());
    fs::remove_file(origin.join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let error = place.worktree(&origin, &second, "4").unwrap_err();
    assert!(error.to_string().contains("missing") && !place.at("4").exists(), "{error}");
}

#[test]
fn the_run_finds_no_trace_of_what_came_after_its_base() {
    let place = Place::new();
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let base = place.commit(&[("100644", "a.py", "a = 1\n")]);
    let fix = place.commit(&[("100644", "a.py", "a = 2  # the fix\n")]);
    place.git(&["tag", "v1"], "");
    place.git(&["remote", "add", "upstream", "https://example.org/x.git"], "");
    place.git(&["gc", "-q"], "");
    let worktree = place.worktree(&place.at("origin"), &base, "w").unwrap();
    let blob = place.git(&["rev-parse", "HEAD:a.py"], "");
    let shim = Path::new(env!("CARGO_BIN_EXE_runproof"));
    fs::create_dir(place.at("scratch")).unwrap();
    let sandbox = match Sandbox::open(None, shim, &place.at("scratch"), &search_path()) {
        Ok(sandbox) => sandbox,
        Err(error) => return eprintln!("SKIPPED: {error}"),
    };
    let script = format!(
        "export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'; echo commits \
         $(git rev-list --all --reflog --count); git tag; git remote; git reflog; git log --all --format=%s; \
         git fsck --lost-found --full 2>&1; for id in {base} {fix} {blob}; do git cat-file -e $id 2>/dev/null && \
         echo found $id; done; cat .git/objects/info/alternates .git/packed-refs .git/FETCH_HEAD 2>/dev/null; echo end"
    );
    let execution = run(&sandbox, &worktree.root(), None, &super::gate::request(&script)).unwrap();
    let said = String::from_utf8_lossy(&execution.log).into_owned();
    assert_eq!(said.lines().collect::<Vec<_>>(), ["commits 1", "base", "end"], "{said}");
}

#[test]
fn huge_and_linked_files_are_not_ranked() {
    let place = Place::new();
    let huge = "needle = 1\n".repeat(120_000);
    let commit = place.commit(&[
        ("100644", "huge.py", &huge),
        ("120000", "link.py", "small.py"),
        ("100644", "small.py", "needle = 1\n"),
    ]);
    let worktree = place.worktree(&place.at("origin"), &commit, "w").unwrap();
    let tree: Tree = worktree.base();
    let query = Query { issue: "needle".to_owned(), failing: String::new() };
    let ranked = rank(&tree, &mut |path| worktree.read(path).ok(), &query);
    assert_eq!(ranked.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["small.py"]);
}
