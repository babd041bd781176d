//! Events per second that a `Player` answers; see README.md beside this file.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and prints figures")]

use std::time::Instant;

use runproof::canon::RunId;
use runproof::store::{Access, Durability, NewRun, Store};
use runproof::transcript::{
    Ask, Clock, Done, Kind, Normaliser, Player, Recorder, Retries, Transcript, TranscriptError,
};
use serde_json::json;

const EVENTS: u32 = 20_000;
const RUN: RunId = RunId::from_bytes([1; 12]);

fn drive(transcript: &mut dyn Transcript) -> Result<(), TranscriptError> {
    for i in 0..EVENTS {
        let request = json!({"call": i, "text": "x".repeat(200)}).to_string();
        let ask = Ask { kind: Kind::ModelCall, request: request.as_bytes(), normaliser: Normaliser::IDENTITY };
        let reply = || Done { raw: format!("the answer to call {i}").into_bytes(), ..Done::default() };
        transcript.perform(&ask, &mut || Ok(reply()))?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut store = Store::open(&folder.path().join("bench.sqlite"), Access::Create, Durability::Normal)?;
    store.begin_run(&NewRun {
        id: RUN,
        name: "bench",
        kind: "solve",
        instance: "",
        arm: "",
        model: "",
        tests: "",
        orchestration: "",
        started_ms: 0,
    })?;
    let clock = Clock { now_us: || 0, sleep: std::thread::sleep };
    let started = Instant::now();
    drive(&mut Recorder::new(&mut store, RUN, clock, Retries::default()))?;
    println!("recorded {EVENTS} events in {:.2} s (no fsync a commit)", started.elapsed().as_secs_f64());
    store.close()?;

    let store = Store::open(&folder.path().join("bench.sqlite"), Access::Read, Durability::Full)?;
    let mut rates = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let mut player = Player::open(&store, RUN)?;
        let ended = drive(&mut player);
        let outcome = player.finish(ended)?;
        assert!(outcome.is_equal() && outcome.events == EVENTS, "the replay must be equal");
        rates.push(f64::from(EVENTS) / started.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!("replayed: median {:.0} events/s, best {:.0} events/s", rates[2], rates[4]);
    Ok(())
}
