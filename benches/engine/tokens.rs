//! Token ids beside llama.cpp's, file by file.

use runproof::engine::{Settings, Simd};
use serde_json::json;

use super::Arguments;
use super::peer::Peer;

/// Prints a line for every file and says whether all are equal.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let engine = arguments.load(Settings { threads: 1, chunk: 1, simd: Simd::Auto, reuse_cache: false });
    let mut peer = Peer::start(arguments, 1);
    let mut equal = 0;
    for path in &arguments.files {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let ours = engine.tokenize(&text).unwrap();
        let reply = peer.ask(&json!({ "tokenize": text }));
        let theirs: Vec<u32> = serde_json::from_value(reply["tokens"].clone()).unwrap();
        if ours == theirs {
            equal += 1;
            println!("equal, {:6} tokens: {path}", ours.len());
        } else {
            let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            println!("DIFFERENT from token {at} ({} and {} tokens): {path}", ours.len(), theirs.len());
        }
    }
    println!("{equal} of {} files equal", arguments.files.len());
    equal == arguments.files.len() && equal > 0
}
