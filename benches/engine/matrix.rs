//! One digest over threads × chunk × state of the cache × instruction set.

use std::collections::BTreeMap;
use std::time::Instant;

use runproof::engine::{GenerateLimits, Settings, Simd};

use super::Arguments;

/// Prints a line for every cell and says whether all digests are one.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let limits = GenerateLimits { max_tokens: arguments.number("tokens", 60) as u32, constraint: None };
    let mut digests: BTreeMap<String, usize> = BTreeMap::new();
    let all = [("fast", Simd::Auto), ("scalar", Simd::Scalar)];
    for (name, simd) in all.into_iter().filter(|(name, _)| arguments.text("simd").is_none_or(|wanted| wanted == *name))
    {
        for threads in [1, 2, 4] {
            for chunk in [1, 100, 128, usize::MAX] {
                let mut engine = arguments.load(Settings { threads, chunk, simd, reuse_cache: true });
                let prompt = arguments.prompt(&engine, 1500);
                // Another prompt that shares an odd number of tokens, so that the second visit finds part of it.
                let mut other = prompt[..prompt.len() * 48 / 100 + 3].to_vec();
                other.extend_from_slice(&prompt[..9]);
                let short = GenerateLimits { max_tokens: 3, constraint: None };
                for cache in ["fresh", "part reused", "all but one reused"] {
                    if cache == "part reused" {
                        engine.generate(&other, &short, &mut |_| {}).unwrap();
                    }
                    let start = Instant::now();
                    let reply = engine.generate(&prompt, &limits, &mut |_| {}).unwrap();
                    println!(
                        "{name:6} threads {threads} chunk {:>4} {cache:18} {} prompt + {} generated {} {:.1} s",
                        if chunk == usize::MAX { "all".to_owned() } else { chunk.to_string() },
                        reply.prompt_tokens,
                        reply.tokens.len(),
                        reply.logits,
                        start.elapsed().as_secs_f64(),
                    );
                    *digests.entry(reply.logits.to_string()).or_default() += 1;
                }
            }
        }
    }
    println!("{} digest(s): {digests:?}", digests.len());
    digests.len() == 1
}
