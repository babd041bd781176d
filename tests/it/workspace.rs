//! Worktrees made by the real git from real repositories.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use runproof::canon::{Blake3, FileMode, Tree};
use runproof::workspace::{Git, Origin, Recovery, Repos, WorkspaceError, Worktree};
use tempfile::TempDir;

fn git() -> Git {
    Git::find(&std::env::var_os("PATH").unwrap_or_default()).unwrap()
}

/// A folder with a repository of two commits in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let origin = place.origin();
        fs::create_dir_all(origin.join("package")).unwrap();
        fs::write(origin.join("package/a.py"), "one = 1\n").unwrap();
        fs::write(origin.join("package/crlf.txt"), "a\r\nb\r\n").unwrap();
        fs::write(origin.join("tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(origin.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(origin.join(".gitattributes"), "*.txt text eol=crlf\n*.py ident filter=evil\n").unwrap();
        symlink("package/a.py", origin.join("link")).unwrap();
        place.git(&["init", "-q", "-b", "main"]);
        place.commit("base");
        fs::write(origin.join("package/a.py"), "one = 2  # the fix\n").unwrap();
        place.commit("the fix");
        place
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.origin())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    fn base(&self) -> String {
        self.git(&["rev-list", "--max-parents=0", "HEAD"])
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn worktree(&self) -> Worktree {
        Worktree::create(&git(), &Origin::Clone(self.origin()), Some(&self.base()), &self.at("worktree")).unwrap()
    }
}

/// Every file below a folder with its bytes and mode, `.git` included.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = if metadata.is_symlink() { Vec::new() } else { fs::read(entry.path()).unwrap() };
                found.insert(entry.path(), (metadata.permissions().mode(), bytes));
            }
        }
    }
    found
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path).collect()
}

fn change(path: &str, text: &str) -> BTreeMap<String, Option<(Vec<u8>, FileMode)>> {
    BTreeMap::from([(path.to_owned(), Some((text.as_bytes().to_vec(), FileMode::Regular)))])
}

#[test]
fn the_tree_is_the_commits_own_bytes_without_filters_or_line_endings() {
    let place = Place::new();
    let before = everything(&place.origin());
    let worktree = place.worktree();
    let tree = worktree.tree().unwrap();
    assert_eq!(tree, worktree.base());
    assert_eq!(paths(&tree), [".gitattributes", "link", "package/a.py", "package/crlf.txt", "tool"]);
    assert_eq!(worktree.read("package/a.py").unwrap(), b"one = 1\n");
    // `text` made git store line feeds; no checkout turned them back.
    assert_eq!(worktree.read("package/crlf.txt").unwrap(), b"a\nb\n");
    let mode = |path: &str| tree.get(path).unwrap().mode;
    assert_eq!(
        (mode("tool"), mode("link"), mode("package/a.py")),
        (FileMode::Executable, FileMode::Symlink, FileMode::Regular)
    );
    assert_eq!(tree.get("package/a.py").unwrap().digest, Blake3::of(b"one = 1\n"));
    assert_eq!(everything(&place.origin()), before, "the origin is only read");
}

#[test]
fn no_history_but_one_commit_is_visible() {
    let place = Place::new();
    place.git(&["tag", "v1"]);
    let worktree = place.worktree();
    let seen = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(worktree.root()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(seen(&["rev-list", "--all", "--reflog", "--count"]).trim(), "1");
    for arguments in [&["tag"][..], &["remote"], &["reflog"], &["stash", "list"], &["status", "--porcelain"]] {
        assert_eq!(seen(arguments), "", "{arguments:?}");
    }
    let fix = place.git(&["rev-parse", "HEAD:package/a.py"]);
    assert_eq!(seen(&["cat-file", "-t", &fix]), "", "an object of the fix");
    assert_eq!(seen(&["cat-file", "-t", &place.base()]), "", "the base's own commit names its author");
    assert_eq!(
        seen(&["rev-parse", "HEAD^{tree}"]).trim(),
        place.git(&["rev-parse", &format!("{}^{{tree}}", place.base())])
    );
    assert!(!worktree.root().join(".git/objects/info/alternates").exists());
}

#[test]
fn bundles_folders_and_bare_mirrors_give_the_same_tree() {
    let place = Place::new();
    let base = place.base();
    let expected = place.worktree().base();
    place.git(&["bundle", "create", "-q", "../b.bundle", "main"]);
    place.git(&["clone", "-q", "--bare", ".", "../mirror"]);
    place.git(&["worktree", "add", "-q", "--detach", "../plain", &base]);
    let plain = place.at("plain");
    fs::write(plain.join("package/crlf.txt"), "a\nb\n").unwrap();
    fs::create_dir(plain.join("__pycache__")).unwrap();
    fs::write(plain.join("__pycache__/a.pyc"), "x").unwrap();
    for (name, origin) in [
        ("1", Origin::Bundle(place.at("b.bundle"))),
        ("2", Origin::Clone(place.at("mirror"))),
        ("3", Origin::Folder(plain)),
    ] {
        let worktree = Worktree::create(&git(), &origin, Some(&base), &place.at(name)).unwrap();
        assert_eq!(worktree.base(), expected, "{origin:?}");
        assert_eq!(worktree.tree().unwrap(), expected, "{origin:?}");
    }
    let newest = Worktree::create(&git(), &Origin::Bundle(place.at("b.bundle")), None, &place.at("4")).unwrap();
    assert_eq!(newest.read("package/a.py").unwrap(), b"one = 2  # the fix\n");
}

#[test]
fn restoring_undoes_whatever_a_test_did() {
    let place = Place::new();
    let mut worktree = place.worktree();
    let base = worktree.base();
    let root = worktree.root();
    fs::write(root.join("package/a.py"), "one = 9\n").unwrap();
    fs::remove_file(root.join("tool")).unwrap();
    fs::set_permissions(root.join("package/crlf.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(root.join("link")).unwrap();
    fs::create_dir_all(root.join("link/locked/deep")).unwrap();
    fs::write(root.join("link/locked/deep/x"), "").unwrap();
    fs::set_permissions(root.join("link/locked"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::create_dir_all(root.join("__pycache__")).unwrap();
    fs::write(root.join("__pycache__/evil.pyc"), "").unwrap();
    fs::write(root.join(OsString::from_vec(b"not-utf8-\xff".to_vec())), "").unwrap();
    fs::write(root.join(".git/config"), "[core]\n\tfsmonitor = touch /tmp/evil\n").unwrap();
    fs::create_dir_all(root.join(".git/hooks")).unwrap();
    assert!(matches!(worktree.tree(), Err(WorkspaceError::NotUtf8(_))));
    worktree.restore().unwrap();
    assert_eq!(worktree.tree().unwrap(), base);
    assert!(!root.join("__pycache__").exists() && !root.join(".git/hooks").exists());
    assert!(!fs::read_to_string(root.join(".git/config")).unwrap().contains("evil"));
}

#[test]
fn a_change_of_equal_length_with_a_forged_time_is_undone_too() {
    let place = Place::new();
    let mut worktree = place.worktree();
    let base = worktree.base();
    let file = worktree.root().join("package/a.py");
    for round in 0..20 {
        worktree.restore().unwrap();
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, format!("one = {}\n", 2 + round % 8)).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        worktree.restore().unwrap();
        assert_eq!(worktree.tree().unwrap(), base, "round {round}");
    }
}

#[test]
fn by_products_of_tests_do_not_change_the_digest_and_new_files_do() {
    let place = Place::new();
    let worktree = place.worktree();
    let base = worktree.base().digest();
    fs::create_dir(worktree.root().join("package/__pycache__")).unwrap();
    fs::write(worktree.root().join("package/__pycache__/a.pyc"), "x").unwrap();
    assert_eq!(worktree.tree().unwrap().digest(), base);
    fs::write(worktree.root().join("conftest.py"), "").unwrap();
    assert_ne!(worktree.tree().unwrap().digest(), base);
}

#[test]
fn changes_are_written_all_or_none() {
    let place = Place::new();
    let mut worktree = place.worktree();
    let base = worktree.tree().unwrap();
    let mut changes = change("package/new/deep.py", "x = 1\n");
    changes.extend(change("package/a.py", "one = 3\n"));
    changes.insert("tool".to_owned(), None);
    worktree.write(&changes).unwrap();
    let after = worktree.tree().unwrap();
    assert_eq!(paths(&after), [".gitattributes", "link", "package/a.py", "package/crlf.txt", "package/new/deep.py"]);
    assert_eq!(worktree.read("package/a.py").unwrap(), b"one = 3\n");
    worktree.restore().unwrap();
    assert_eq!(worktree.tree().unwrap(), base);

    // Each of these spoils an answer whose other change is sound.
    let too_long = format!("package/{}", "x".repeat(256));
    for spoiler in [
        "../out",
        "/etc/x",
        ".git/config",
        "link",
        "package",
        "a/../b",
        "package/a.py/x",
        "__pycache__/x.py",
        &too_long,
    ] {
        let mut changes = change(spoiler, "bad");
        changes.extend(change("package/a.py", "one = 4\n"));
        changes.extend(change("package/z.py", "z\n"));
        assert!(worktree.write(&changes).is_err(), "{spoiler}");
        assert_eq!(worktree.tree().unwrap(), base, "{spoiler}");
    }
    let missing = BTreeMap::from([("nothing".to_owned(), None)]);
    assert!(matches!(worktree.write(&missing), Err(WorkspaceError::NotAFile(_))));
    let through = place.at("worktree/tree/out");
    symlink(place.folder.path(), &through).unwrap();
    assert!(matches!(worktree.write(&change("out/x", "")), Err(WorkspaceError::UnsafePath(_))));
    assert!(matches!(worktree.read("out/origin/tool"), Err(WorkspaceError::UnsafePath(_))));
    assert!(!place.at("x").exists());
}

#[test]
fn a_change_cut_off_by_a_crash_is_undone_when_the_worktree_is_opened() {
    let place = Place::new();
    let worktree = place.worktree();
    let base = worktree.tree().unwrap();
    drop(worktree);
    // What a process leaves that dies between the second and the third rename of a change.
    let control = place.at("worktree/control");
    let root = place.at("worktree/tree");
    fs::create_dir(control.join("journal")).unwrap();
    let entries = r#"[{"made":"fresh","mode":null,"path":"fresh/new.py"},{"mode":"regular","path":"package/a.py"},{"mode":"executable","path":"tool"}]"#;
    fs::write(control.join("journal/entries.json"), entries).unwrap();
    fs::write(control.join("journal/1"), "one = 1\n").unwrap();
    fs::write(control.join("journal/2"), "#!/bin/sh\n").unwrap();
    fs::create_dir(root.join("fresh")).unwrap();
    fs::write(root.join("fresh/new.py"), "x").unwrap();
    fs::write(root.join("package/a.py"), "one = 7\n").unwrap();
    fs::write(root.join(".runproof-2.new"), "half").unwrap();
    let (worktree, recovery) = Worktree::open(&git(), &place.at("worktree")).unwrap();
    assert_eq!((recovery, worktree.tree().unwrap()), (Recovery::RolledBack, base.clone()));
    assert!(!root.join("fresh").exists());
    let (worktree, recovery) = Worktree::open(&git(), &place.at("worktree")).unwrap();
    assert_eq!((recovery, worktree.tree().unwrap()), (Recovery::Clean, base));
    worktree.remove().unwrap();
    assert!(!place.at("worktree").exists());
}

#[test]
fn a_patch_applies_whole_or_not_at_all_and_its_tree_is_known_before() {
    let place = Place::new();
    let mut worktree = place.worktree();
    let base = worktree.tree().unwrap();
    let patch = place.git(&["diff", "HEAD~1", "HEAD"]) + "\n";
    let expected = worktree.check_patch(patch.as_bytes()).unwrap();
    assert_eq!(worktree.tree().unwrap(), base, "checking changes nothing");
    worktree.apply_patch(patch.as_bytes()).unwrap();
    assert_eq!(worktree.tree().unwrap(), expected);
    assert_eq!(worktree.read("package/a.py").unwrap(), b"one = 2  # the fix\n");
    let error = worktree.apply_patch(patch.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("package/a.py"), "{error}");
    worktree.restore().unwrap();
    for bad in ["not a patch\n", "--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", &patch.replace("one = 1", "one = 5")] {
        assert!(matches!(worktree.apply_patch(bad.as_bytes()), Err(WorkspaceError::Patch(_))), "{bad}");
        assert!(matches!(worktree.check_patch(bad.as_bytes()), Err(WorkspaceError::Patch(_))), "{bad}");
        assert_eq!(worktree.tree().unwrap(), base, "{bad}");
    }
    assert_eq!(worktree.check_patch(b"").unwrap(), base);
}

#[test]
fn what_is_wrong_with_an_origin_is_said() {
    let place = Place::new();
    let make = |origin: Origin, commit: Option<&str>, name: &str| {
        Worktree::create(&git(), &origin, commit, &place.at(name)).map(drop)
    };
    let clone = || Origin::Clone(place.origin());
    let unknown = "0123456789012345678901234567890123456789";
    assert!(matches!(make(clone(), Some(unknown), "1"), Err(WorkspaceError::CommitUnknown { .. })));
    assert!(matches!(make(clone(), Some("--help"), "1"), Err(WorkspaceError::CommitUnknown { .. })));
    assert!(!place.at("1").exists(), "nothing is left of a failed one");
    assert!(matches!(make(Origin::Clone(place.at("nowhere")), None, "2"), Err(WorkspaceError::NotARepository(_))));
    fs::create_dir(place.origin().join("sub")).unwrap();
    assert!(matches!(
        make(Origin::Clone(place.origin().join("sub")), None, "2"),
        Err(WorkspaceError::NotARepository(_))
    ));
    assert!(matches!(make(clone(), Some("HEAD"), "origin"), Err(WorkspaceError::Exists(_))));
    make(clone(), None, "3").unwrap();
    fs::write(place.origin().join("new.py"), "").unwrap();
    fs::write(place.origin().join("tool"), "changed").unwrap();
    let before = everything(&place.origin());
    let error = make(clone(), None, "4").unwrap_err();
    assert!(error.to_string().contains("uncommitted changes (tool, new.py)"), "{error}");
    make(clone(), Some("HEAD"), "5").unwrap();
    assert_eq!(everything(&place.origin()), before, "looking for changes changes nothing");
    let name = OsString::from_vec(b"na\xffme".to_vec());
    fs::write(place.origin().join(name), "").unwrap();
    place.commit("a name that is not UTF-8");
    assert!(matches!(make(clone(), Some("HEAD"), "6"), Err(WorkspaceError::NotUtf8(_))));
    fs::write(place.at("junk"), "junk").unwrap();
    assert!(make(Origin::Bundle(place.at("junk")), None, "7").is_err());
}

#[test]
fn repositories_are_found_under_each_spelling() {
    let place = Place::new();
    let clones = place.at("clones");
    for (name, wanted) in
        [("o__a", "o/a"), ("o+b", "o/b"), ("o/c", "o/c"), ("o__d.git", "o/d"), ("o+e/repo", "o/e"), ("f", "o/f")]
    {
        fs::create_dir_all(&clones).unwrap();
        place.git(&["clone", "-q", "--bare", ".", &clones.join(name).to_string_lossy()]);
        let repos = Repos::from_arguments(&[clones.to_string_lossy()]);
        let found = repos.find(&git(), wanted, None).unwrap();
        assert_eq!(found, clones.join(name).canonicalize().unwrap(), "{wanted}");
    }
    let repos =
        Repos::from_arguments(&[clones.to_string_lossy().into_owned(), format!("x/y={}", place.origin().display())]);
    assert_eq!(repos.find(&git(), "x/y", None).unwrap(), place.origin().canonicalize().unwrap().join(".git"));
    assert!(repos.find(&git(), "django/django", Some("o+b")).is_ok(), "a stand-in");
    let error = repos.find(&git(), "no/where", None).unwrap_err();
    assert!(error.to_string().contains("no__where, no+where, no/where"), "{error}");
}
