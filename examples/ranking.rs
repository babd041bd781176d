//! Measures the file ranking: how often the files of the known fix are among the first 1, 3, 5, 10.
//!
//! `cargo run --release --example ranking -- INSTANCES.jsonl --repos DIR [--show]`. Only the issue text is used. Instances
//! without a local clone are counted as skipped.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is its own command line")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use runproof::canon::tree::is_safe_path;
use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};
use runproof::instance::{Repository, load_all};
use runproof::workspace::{Git, Query, Repos, rank};

const DEPTHS: [usize; 4] = [1, 3, 5, 10];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut file, mut folders, mut show) = (PathBuf::new(), Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--repos" => folders.extend(arguments.next()),
            "--show" => show = true,
            name => file = name.into(),
        }
    }
    let git = Git::find(&std::env::var_os("PATH").unwrap_or_default())?;
    let repos = Repos::from_arguments(&folders);
    let mut per_repo: BTreeMap<String, (u64, [u64; 4], u128)> = BTreeMap::new();
    let mut skipped = 0;
    for instance in load_all(&file)? {
        let Repository::Named(repo) = &instance.repository else { continue };
        let mirror = if repo == "django/django" { Some("mongodb-forks/django") } else { instance.mirror.as_deref() };
        let (Ok(origin), Some(patch)) = (repos.find(&git, repo, mirror), &instance.patch) else {
            skipped += 1;
            continue;
        };
        let wanted: Vec<&str> = patch.lines().filter_map(|line| line.strip_prefix("--- a/")).collect();
        let files = files(&origin, instance.base_commit.as_deref().unwrap_or("HEAD"))?;
        let query = Query { issue: instance.problem_statement.clone(), failing: String::new() };
        let mut tree = Tree::default();
        for (path, bytes) in &files {
            let digest = Blake3::of(bytes);
            tree.insert(path.clone(), TreeEntry { mode: FileMode::Regular, digest, size: bytes.len() as u64 });
        }
        let started = Instant::now();
        let ranked = rank(&tree, &mut |path| files.get(path).cloned(), &query);
        let took = started.elapsed().as_millis();
        let places: Vec<usize> = wanted
            .iter()
            .map(|path| ranked.iter().position(|file| file.path == *path).map_or(usize::MAX, |place| place + 1))
            .collect();
        let (count, hits, time) = per_repo.entry(repo.clone()).or_default();
        *count += 1;
        *time += took;
        for (depth, hits) in DEPTHS.iter().zip(hits) {
            *hits += u64::from(places.iter().all(|place| place <= depth));
        }
        if show {
            let first: Vec<String> =
                ranked.iter().take(4).map(|file| format!("{} {} {:?}", file.path, file.score, file.reasons)).collect();
            println!("{} {wanted:?} at {places:?}\n    {}", instance.id, first.join("\n    "));
        }
    }
    let mut total = (0, [0; 4], 0);
    for (repo, (count, hits, time)) in &per_repo {
        print_row(repo, *count, hits, *time);
        total.0 += count;
        total.2 += time;
        for (sum, hits) in total.1.iter_mut().zip(hits) {
            *sum += hits;
        }
    }
    print_row("all", total.0, &total.1, total.2);
    println!("{skipped} skipped: no local clone");
    Ok(())
}

/// Reads the Python files of a commit through `git archive`, which is quicker here than a worktree.
fn files(git_dir: &Path, commit: &str) -> Result<BTreeMap<String, Vec<u8>>, Box<dyn std::error::Error>> {
    let mut child = Command::new("git")
        .arg("--git-dir")
        .arg(git_dir)
        .args(["-c", "core.attributesFile=/dev/null", "archive", "--format=tar", commit, "--", ":(glob)**/*.py"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut tar = Vec::new();
    child.stdout.take().ok_or("no pipe")?.read_to_end(&mut tar)?;
    child.wait()?;
    // ustar: a header of 512 bytes (name, size in octal at 124, kind at 156, prefix at 345), then whole blocks.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let (mut files, mut at) = (BTreeMap::new(), 0);
    while at + 512 <= tar.len() {
        let head = &tar[at..at + 512];
        let size = usize::from_str_radix(text(&head[124..135]).trim(), 8).unwrap_or(0);
        let (name, prefix) = (text(&head[..100]), text(&head[345..500]));
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if head[156] == b'0' && is_safe_path(&path) {
            files.insert(path, tar[at + 512..at + 512 + size].to_vec());
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    Ok(files)
}

fn print_row(name: &str, count: u64, hits: &[u64; 4], time: u128) {
    let shares: Vec<String> = DEPTHS
        .iter()
        .zip(hits)
        .map(|(depth, hits)| format!("@{depth} {hits}/{count} ({:.1} %)", *hits as f64 * 100.0 / count.max(1) as f64))
        .collect();
    println!("{name}: {}, {} ms each", shares.join(", "), time / u128::from(count.max(1)));
}
