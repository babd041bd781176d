//! Measures the store on recorded corpora, beside one zstd frame a body in the same run. See `README.md` here.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and prints")]

mod baseline;
mod corpus;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baseline::Baseline;
use corpus::{Call, Conversation};
use runproof::canon::{RunId, Sha256};
use runproof::store::{Access, Durability, NewEvent, NewRun, RunEnd, RunStatus, Store};

/// Any error will do: a bench only prints it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(PathBuf::from).collect();
    if files.is_empty() {
        println!("usage: cargo bench --bench store -- CORPUS.jsonl.zst…");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    for file in &files {
        println!("\n{}", file.file_name().unwrap_or_default().to_string_lossy());
        corpus_figures(file, folder.path())?;
    }
    println!("\n60-call conversation");
    conversation_figures(files.last().expect("not empty"), folder.path())
}

fn corpus_figures(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let thousand = folder.join(format!("{name}-1000.sqlite"));
    ingest(corpus::calls(file)?.take(1000), &thousand)?;
    let path = folder.join(format!("{name}.sqlite"));
    let taken = ingest(corpus::calls(file)?, &path)?;
    println!("  peak memory of two imports        {:>10} KB", peak_kilobytes());
    let mut baseline = Baseline::create(&folder.join(format!("{name}-baseline.sqlite")))?;
    let mut spent = Duration::ZERO;
    for call in corpus::calls(file)? {
        let call = call?;
        let start = Instant::now();
        baseline.append(&call)?;
        spent += start.elapsed();
    }
    let (raw, calls) = (taken.raw as f64, taken.calls);
    println!("  raw bytes, calls                  {:>10} in {calls}", taken.raw);
    println!("  bytes a call at the first 1,000   {:>10.1}", size(&thousand)? as f64 / 1000.0);
    println!("  design A: file                    {:>10}", baseline.size()?);
    println!("  design A: ingest                  {:>10.1} MB/s", rate(raw, spent));
    println!("  ingest                            {:>10.1} MB/s", rate(raw, taken.spent));
    println!("  design A: random read p50         {:>10.1} µs", baseline.random_reads(1000)?);
    figures("after close", &path)?;
    let start = Instant::now();
    Store::compact(&path, &mut |_, _| {})?;
    println!("  compact                           {:>10.2} s", start.elapsed().as_secs_f64());
    figures("after compact", &path)
}

struct Taken {
    raw: u64,
    calls: usize,
    spent: Duration,
}

fn ingest(calls: impl Iterator<Item = Result<Call>>, path: &Path) -> Result<Taken> {
    let mut store = Store::open(path, Access::Create, Durability::Normal)?;
    let mut taken = Taken { raw: 0, calls: 0, spent: Duration::ZERO };
    let mut runs: Vec<String> = Vec::new();
    for call in calls {
        let call = call?;
        let bodies = [("request", call.request.as_bytes()), ("reply", call.reply.as_bytes())];
        let start = Instant::now();
        if runs.last() != Some(&call.run) {
            if !runs.is_empty() {
                store.finish_run(id(runs.len()), &END)?;
            }
            runs.push(call.run.clone());
            store.begin_run(&NewRun { id: id(runs.len()), name: &call.run, ..RUN })?;
        }
        store.append(id(runs.len()), &NewEvent { kind: call.kind, data: b"{}", bodies: &bodies, observation: "" })?;
        taken.spent += start.elapsed();
        taken.calls += 1;
        taken.raw += (call.request.len() + call.reply.len()) as u64;
    }
    let start = Instant::now();
    store.finish_run(id(runs.len()), &END)?;
    store.close()?;
    taken.spent += start.elapsed();
    Ok(taken)
}

const RUN: NewRun<'_> = NewRun {
    id: RunId::from_bytes([0; 12]),
    name: "",
    kind: "record",
    instance: "",
    arm: "",
    model: "",
    tests: "",
    orchestration: "",
    started_ms: 0,
};

const END: RunEnd<'_> = RunEnd {
    status: RunStatus::Finished,
    outcome: "",
    attempts: 0,
    raw_root: Sha256::from_bytes([0; 32]),
    canonical_root: Sha256::from_bytes([0; 32]),
    finished_ms: 0,
};

fn id(number: usize) -> RunId {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    RunId::from_bytes(bytes)
}

/// Times are the best of several passes: what the machine can do, not what else it was doing.
const PASSES: usize = 5;

fn figures(when: &str, path: &Path) -> Result<()> {
    println!("  {when}: file                 {:>13}", size(path)?);
    let store = Store::open(path, Access::Read, Durability::Normal)?;
    let stats = store.stats()?;
    println!("    of it {} blocks             {:>13}", stats.blocks, stats.block_bytes);
    let verified = best(|| {
        let start = Instant::now();
        let report = store.verify(&mut |_, _| {})?;
        assert!(report.is_sound(), "{:?}", report.damage);
        Ok(start.elapsed().as_secs_f64())
    })?;
    println!("    verify                          {:>10.1} MB/s", stats.body_bytes as f64 / 1e6 / verified);

    let runs = store.runs()?;
    let events: Vec<_> = runs.iter().flat_map(|run| (0..run.events).map(|seq| (run.id, seq))).collect();
    let picks: Vec<_> = (0..1000_usize).map(|index| events[index * 7919 % events.len()]).collect();
    let open = || Store::open(path, Access::Read, Durability::Normal);
    let random = best(|| {
        let store = open()?;
        let times = picks.iter().map(|(run, seq)| timed(|| store.body(*run, *seq, "request").map(drop)));
        Ok(median(times.collect::<Result<_>>()?))
    })?;
    println!("    random read p50                 {random:>10.1} µs");
    let first = best(|| {
        let times = picks.iter().take(100).map(|(run, seq)| {
            let store = open()?;
            timed(|| store.body(*run, *seq, "request").map(drop))
        });
        Ok(median(times.collect::<Result<_>>()?))
    })?;
    println!("    first read after opening p50    {first:>10.1} µs");
    let mut medians = f64::INFINITY;
    let whole = best(|| {
        let store = open()?;
        let start = Instant::now();
        let mut times = Vec::new();
        for run in &runs {
            for event in store.events(run.id)? {
                let both = || store.body(run.id, event.seq, "request").and(store.body(run.id, event.seq, "reply"));
                times.push(timed(|| both().map(drop))?);
            }
        }
        medians = medians.min(median(times));
        Ok(start.elapsed().as_secs_f64())
    })?;
    println!("    replay p50                      {medians:>10.1} µs");
    println!("    replay                          {:>10.0} events/s", events.len() as f64 / whole);
    Ok(())
}

fn best(mut pass: impl FnMut() -> Result<f64>) -> Result<f64> {
    (0..PASSES).try_fold(f64::INFINITY, |best, _| Ok(best.min(pass()?)))
}

fn conversation_figures(source: &Path, folder: &Path) -> Result<()> {
    let path = folder.join("conversation.sqlite");
    let mut store = Store::open(&path, Access::Create, Durability::Full)?;
    store.begin_run(&RUN)?;
    let mut whole = Vec::new();
    let mut times = Vec::new();
    for call in Conversation::of(source)?.take(60) {
        let bodies = [("request", call.request.as_bytes()), ("reply", call.reply.as_bytes())];
        let event = NewEvent { kind: call.kind, data: b"{}", bodies: &bodies, observation: "" };
        times.push(timed(|| store.append(RUN.id, &event).map(drop))?);
        whole.extend_from_slice(call.request.as_bytes());
        whole.extend_from_slice(call.reply.as_bytes());
    }
    store.finish_run(RUN.id, &END)?;
    store.close()?;
    println!("  raw bytes                         {:>10}", whole.len());
    println!("  zstd -19 --long of everything     {:>10}", corpus::solid(&whole)?);
    println!("  append with full durability p50   {:>10.1} µs", median(times));
    println!("  file after close                  {:>10}", size(&path)?);
    Store::compact(&path, &mut |_, _| {})?;
    println!("  file after compact                {:>10}", size(&path)?);
    Ok(())
}

fn timed<E: Into<Box<dyn std::error::Error>>>(work: impl FnOnce() -> std::result::Result<(), E>) -> Result<f64> {
    let start = Instant::now();
    work().map_err(Into::into)?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn rate(bytes: f64, time: Duration) -> f64 {
    bytes / 1e6 / time.as_secs_f64()
}

fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

/// The most memory that this process has held, as the kernel counts it; 0 where it does not say.
fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
