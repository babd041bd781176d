//! The bundled tasks: red without the known fix, green with it, for the visible and for the held-out tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runproof::instance::{Hidden, Instance, Repository, load_all};

fn tasks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/instances")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Runs the tests in a copy of the task's project and says whether they pass.
fn is_green(instance: &Instance, with_hidden: bool, with_fix: bool) -> bool {
    let Repository::Folder(source) = &instance.repository else { panic!("{} has no folder", instance.id) };
    let folder = tempfile::tempdir().unwrap();
    copy(source, folder.path());
    if let (true, Hidden::Overlay(files)) = (with_hidden, &instance.hidden) {
        // The visible tests are left out, so that the held-out ones stand for themselves.
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("test_") {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in files {
            fs::write(folder.path().join(path), bytes).unwrap();
        }
    }
    if with_fix {
        let patch = folder.path().join("fix.patch");
        fs::write(&patch, instance.patch.as_deref().expect("a known fix")).unwrap();
        let mut git = Command::new("git");
        git.arg("apply").arg("fix.patch").current_dir(folder.path());
        git.env("GIT_CEILING_DIRECTORIES", folder.path().parent().unwrap());
        assert!(git.status().unwrap().success(), "{}", instance.id);
    }
    let mut tests = Command::new("python3");
    tests.args(["-B", "-m", "unittest", "-q"]).current_dir(folder.path());
    tests.output().unwrap().status.success()
}

#[test]
fn the_bundled_tasks_are_red_without_the_fix_and_green_with_it() {
    let tasks = load_all(&tasks()).unwrap();
    assert_eq!(tasks.len(), 3);
    for instance in &tasks {
        assert!(matches!(instance.hidden, Hidden::Overlay(_)), "{}", instance.id);
        for with_hidden in [false, true] {
            assert!(!is_green(instance, with_hidden, false), "{} {with_hidden}", instance.id);
            assert!(is_green(instance, with_hidden, true), "{} {with_hidden}", instance.id);
        }
    }
}

#[test]
fn the_bundled_tasks_read_back_from_their_record() {
    for instance in load_all(&tasks()).unwrap() {
        let bytes = instance.to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{}", instance.id);
        assert_eq!(Instance::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }
}
