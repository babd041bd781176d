//! Speed beside llama.cpp in one run, the engines taking turns, and peak memory.
//!
//! On a machine that does other things too, wall time says little; so tokens per second of CPU time stand beside it,
//! and each round gives a ratio of its own.

use std::time::Instant;

use runproof::engine::{Engine, GenerateLimits, Progress, Settings, Simd};
use serde_json::json;

use super::Arguments;
use super::peer::Peer;

/// Rates of one phase: tokens per second of wall time and of CPU time.
#[derive(Clone, Copy)]
struct Rate {
    wall: f64,
    cpu: f64,
}

impl Rate {
    fn new(tokens: f64, wall: f64, cpu: f64) -> Self {
        Self { wall: tokens / wall, cpu: tokens / cpu.max(0.01) }
    }
}

/// Prints every round and the median ratios; it judges nothing.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let tokens = arguments.number("tokens", 200);
    for threads in [1, 2] {
        let mut engine = arguments.load(Settings { threads, chunk: 128, simd: Simd::Auto, reuse_cache: false });
        let prompt = arguments.prompt(&engine, 1541);
        let mut peer = Peer::start(arguments, threads);
        let mut ratios = [const { Vec::new() }; 4];
        for round in 1..=arguments.number("rounds", 3) {
            let ours = measure(&mut engine, &prompt, tokens);
            if round == 1 {
                println!("threads {threads}: our peak memory {} MiB", peak_memory());
            }
            let (theirs, memory) = measure_peer(&mut peer, &prompt, tokens);
            if round == 1 {
                println!("threads {threads}: llama.cpp's peak memory {memory} MiB, Python included");
            }
            for (i, (phase, ours, theirs)) in
                [("prefill", ours.0, theirs.0), ("generation", ours.1, theirs.1)].into_iter().enumerate()
            {
                let (wall, cpu) = (ours.wall / theirs.wall, ours.cpu / theirs.cpu);
                println!(
                    "threads {threads} round {round} {phase:10} tok/s ours {:6.1} llama.cpp {:6.1} ratio {wall:.2}; \
                     per CPU second {:6.1} {:6.1} ratio {cpu:.2}",
                    ours.wall, theirs.wall, ours.cpu, theirs.cpu,
                );
                ratios[2 * i].push(wall);
                ratios[2 * i + 1].push(cpu);
            }
        }
        let [prefill, prefill_cpu, generation, generation_cpu] = ratios.map(median);
        println!(
            "threads {threads} median ratios: prefill {prefill:.2} (CPU time {prefill_cpu:.2}), \
             generation {generation:.2} (CPU time {generation_cpu:.2})"
        );
    }
    true
}

fn measure(engine: &mut Engine, prompt: &[u32], tokens: usize) -> (Rate, Rate) {
    let now = |start: Instant| (start.elapsed().as_secs_f64(), cpu_seconds());
    let (start, mut first) = (Instant::now(), (0.0, 0.0));
    let begin = cpu_seconds();
    let limits = GenerateLimits { max_tokens: tokens as u32, constraint: None };
    let mut watch = |progress: Progress<'_>| {
        if matches!(progress, Progress::Token { count: 1, .. }) {
            first = now(start);
        }
    };
    let reply = engine.generate(prompt, &limits, &mut watch).unwrap();
    let end = now(start);
    let prefill = Rate::new(prompt.len() as f64, first.0, first.1 - begin);
    (prefill, Rate::new(reply.tokens.len() as f64 - 1.0, end.0 - first.0, end.1 - first.1))
}

/// The peer generates twice, one token and all of them: the difference is generation alone.
fn measure_peer(peer: &mut Peer, prompt: &[u32], tokens: usize) -> ((Rate, Rate), u64) {
    let mut ask = |count: usize| {
        let reply = peer.ask(&json!({ "complete": prompt, "count": count }));
        let number = |key: &str| reply[key].as_f64().unwrap_or_else(|| panic!("no {key} in {reply}"));
        (number("prompt_seconds"), number("generation_seconds"), number("cpu_seconds"), number("peak_mib"))
    };
    let (short, long) = (ask(1), ask(tokens));
    let generated = tokens as f64 - 1.0;
    let rates =
        (Rate::new(prompt.len() as f64, short.0, short.2), Rate::new(generated, long.1, (long.2 - short.2).max(0.01)));
    (rates, long.3 as u64)
}

/// CPU time of this process in seconds, all threads together.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    let ticks: f64 = fields[12..14].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
