//! The house guards itself: which room may import which, how long files may grow, no forgotten tests or snapshots.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms it may import, in the order of the data's way.
const ROOMS: &[(&str, &str)] = &[
    ("canon", ""),
    ("statistics", ""),
    ("syntax", ""),
    ("store", "canon"),
    ("instance", "canon"),
    ("engine", "canon"),
    ("model", "canon engine"),
    ("transcript", "canon store"),
    ("workspace", "canon syntax"),
    ("edit", "canon syntax"),
    ("gate", "canon workspace"),
    ("prompt", "canon syntax instance model workspace edit gate"),
    ("solve", "canon syntax store instance model transcript workspace edit gate prompt"),
    ("campaign", "canon statistics syntax store instance model transcript workspace edit gate prompt solve"),
    ("proxy", "canon model store transcript"),
    ("rung", "canon statistics store model transcript edit proxy"),
    ("certificate", "canon store transcript rung"),
    ("report", "canon statistics store transcript rung certificate"),
    ("cli", "*"),
];

/// Everything that grows past this hides a second idea.
const LONGEST_FILE: usize = 400;

/// The one exception: a single file may hold `unsafe` code, so the instruction set's kernels stay together.
const LONGER: (&str, usize) = ("src/engine/kernels/avx2.rs", 450);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("source is UTF-8");
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
}

fn room_of(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).expect("a file of src");
    below.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), ".rs") {
        let room = room_of(&path);
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            wrong.push(format!("{}: {room} is not a room", path.display()));
            continue;
        };
        for piece in code(&path).split("crate::").skip(1) {
            let other: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let known = ROOMS.iter().any(|(name, _)| *name == other);
            if known && other != room && allowed != "*" && !allowed.split(' ').any(|name| name == other) {
                wrong.push(format!("{}: {room} may not import {other}", path.display()));
            }
            if !known {
                wrong.push(format!("{}: crate::{other} is not a room", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_library_is_in_the_table() {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let declared = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in declared {
        assert!(ROOMS.iter().any(|(name, _)| *name == room), "{room}");
    }
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    for path in files(&root().join("src"), ".rs") {
        let code = code(&path);
        assert!(code.starts_with("//!"), "{} has no module documentation", path.display());
        let longest = if path == root().join(LONGER.0) { LONGER.1 } else { LONGEST_FILE };
        assert!(code.lines().count() <= longest, "{} has {} lines", path.display(), code.lines().count());
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).expect("tests/it/main.rs");
    for path in files(&root().join("tests/it"), ".rs") {
        let below = path.strip_prefix(root().join("tests/it")).expect("a file of tests/it");
        let name = below.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let name = name.trim_end_matches(".rs");
        assert!(name == "main" || main.contains(&format!("mod {name};")), "{} is in no test binary", path.display());
    }
}

#[test]
fn no_snapshot_is_orphaned() {
    let mut sources = String::new();
    for path in files(&root().join("src"), ".rs").into_iter().chain(files(&root().join("tests"), ".rs")) {
        sources.push_str(&fs::read_to_string(path).expect("source is UTF-8"));
    }
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    for path in files(&root().join("snapshots"), ".snap") {
        let room = path.parent().and_then(Path::file_name).expect("a room's folder").to_string_lossy().into_owned();
        assert!(rooms.contains(room.as_str()), "{} belongs to no room", path.display());
        assert!(sources.contains(&format!("snap!(\"{room}\"")), "{} is used by no test", path.display());
    }
}
