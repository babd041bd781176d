//! Measures the file ranking: how often the files of the known fix are among the first. See README.md.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench is its own command line")]

mod baseline;
mod commit;
mod table;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use commit::Commit;
use runproof::canon::Sha256;
use runproof::instance::{Instance, Repository, load_all};
use runproof::workspace::{Git, Query, Repos, rank};
use table::{Measured, Table};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "usage: cargo bench --bench ranking -- ROWS.jsonl[.zst] --repos DIR|NAME=PATH… \
    [--half development|held-out] [--id ID]… [--json]";

/// What is compared, in the order of the table's lines.
const METHODS: [&str; 6] =
    ["ranking", "ranking, hints added", "BM25", "BM25 without tests", "BM25 without tests, hints added", "first files"];

/// How many paths of each order the JSON lines show.
const SHOWN: usize = 5;

#[derive(Default)]
struct Options {
    rows: PathBuf,
    repos: Vec<String>,
    half: Option<String>,
    ids: Vec<String>,
    json: bool,
}

fn main() -> Outcome<()> {
    let Some(options) = options()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let git = Git::find(&std::env::var_os("PATH").unwrap_or_default())?;
    let repos = Repos::from_arguments(&options.repos);
    let (mut table, mut skipped) = (Table::default(), 0);
    for instance in instances(&options.rows)? {
        let half = half(&instance.id);
        let is_asked = options.half.as_deref().is_none_or(|only| only == half)
            && (options.ids.is_empty() || options.ids.contains(&instance.id));
        let (Repository::Named(repo), Some(patch)) = (&instance.repository, &instance.patch) else { continue };
        if !is_asked {
            continue;
        }
        let Ok(folder) = repos.find(&git, repo, instance.mirror.as_deref()) else {
            skipped += 1;
            continue;
        };
        let wanted: Vec<&str> = patch.lines().filter_map(|line| line.strip_prefix("--- a/")).collect();
        let measured = measure(&folder, &instance, &wanted)?;
        if options.json {
            println!("{}", line(&instance.id, half, &wanted, &measured));
        }
        table.add(repo, half, measured);
    }
    if !options.json {
        print!("{table}");
        println!("\n{skipped} instances skipped: no local clone");
    }
    Ok(())
}

fn options() -> Outcome<Option<Options>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--repos" => options.repos.push(value()?),
            "--half" => options.half = Some(value()?),
            "--id" => options.ids.push(value()?),
            "--json" => options.json = true,
            name if name.starts_with('-') => return Err(format!("unknown option {name}\n{USAGE}").into()),
            name => options.rows = name.into(),
        }
    }
    Ok(Some(options).filter(|options| !options.rows.as_os_str().is_empty()))
}

/// Reads the rows, which may be compressed as published collections are.
fn instances(rows: &Path) -> Outcome<Vec<Instance>> {
    if rows.extension().is_none_or(|ending| ending != "zst") {
        return Ok(load_all(rows)?);
    }
    let mut text = Vec::new();
    zstd::Decoder::new(std::fs::File::open(rows)?)?.read_to_end(&mut text)?;
    let folder = tempfile::tempdir()?;
    let plain = folder.path().join("rows.jsonl");
    std::fs::write(&plain, text)?;
    Ok(load_all(&plain)?)
}

/// Says to which half an instance belongs: the first byte of its id's SHA-256 is even or odd.
fn half(id: &str) -> &'static str {
    if Sha256::of(id.as_bytes()).as_bytes()[0].is_multiple_of(2) { "development" } else { "held-out" }
}

/// Orders the files of one instance in every way, and says where the wanted ones stand.
fn measure(folder: &Path, instance: &Instance, wanted: &[&str]) -> Outcome<Measured> {
    let issue = Query { issue: instance.problem_statement.clone(), failing: String::new() };
    // What `solve` hands on when no test fails before the fix.
    let hinted = Query { issue: format!("{}\n{}", instance.problem_statement, instance.hints), failing: String::new() };

    let started = Instant::now();
    let mut commit = Commit::open(folder, instance.base_commit.as_deref().ok_or("a row without base_commit")?)?;
    let tree = commit.tree().clone();
    let read = rank(&tree, &mut |path| commit.read(path), &issue);
    let with_reading = started.elapsed();
    let files = commit.into_files()?;

    let started = processor_time()?;
    let ranked = rank(&tree, &mut |path| files.get(path).cloned(), &issue);
    let alone = processor_time()? - started;
    if read != ranked {
        return Err(format!("{}: ranking the same files again gave another order", instance.id).into());
    }
    let hinted_order = rank(&tree, &mut |path| files.get(path).cloned(), &hinted);

    // The hints hold the issue too: one index serves both texts.
    let index = baseline::Index::of(&files, &hinted.issue);
    let paths = |ranked: Vec<runproof::workspace::Ranked>| ranked.into_iter().map(|file| file.path).collect();
    let orders: [Vec<String>; METHODS.len()] = [
        paths(ranked),
        paths(hinted_order),
        index.order(&issue.issue, |_| true),
        index.order(&issue.issue, |path| !baseline::is_test(path)),
        index.order(&hinted.issue, |path| !baseline::is_test(path)),
        baseline::first_files(&tree),
    ];
    let places = orders.each_ref().map(|order| {
        wanted.iter().map(|path| order.iter().position(|other| other == path).map(|index| index + 1)).collect()
    });
    let first = orders.map(|order| order.into_iter().take(SHOWN).collect());
    Ok(Measured { places, first, files: files.len(), alone, with_reading })
}

/// Returns how long this thread has been on a processor: what else the machine does is not in it.
fn processor_time() -> Outcome<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split_whitespace().next().unwrap_or_default().parse()?))
}

/// Writes one instance as a JSON line: no times, so that two runs can be compared byte for byte.
fn line(id: &str, half: &str, wanted: &[&str], measured: &Measured) -> serde_json::Value {
    let methods: serde_json::Map<String, serde_json::Value> = METHODS
        .iter()
        .zip(measured.places.iter().zip(&measured.first))
        .map(|(name, (places, first))| ((*name).to_owned(), serde_json::json!({"places": places, "first": first})))
        .collect();
    serde_json::json!({"id": id, "half": half, "fix": wanted, "files": measured.files, "methods": methods})
}
