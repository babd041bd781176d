//! Records a synthetic campaign of N instances × 6 arms, to measure reports with; see README.md beside this file.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench reads its arguments and says what it made"
)]

mod world;

use std::path::Path;

use runproof::store::{Access, Durability, Store};
use world::{Campaign, Course, Made};

const ARMS: [&str; 6] = ["patch", "direct-1", "direct-2", "direct-6", "direct-6+skills", "direct-6+fallback"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, store, instances, functions, seeds @ ..] = args.as_slice() else {
        return Err("usage: made_campaign STORE INSTANCES FUNCTIONS [SEED…]".into());
    };
    let (instances, functions): (usize, usize) = (instances.parse()?, functions.parse()?);
    let seeds: Vec<u32> = seeds.iter().map(|seed| seed.parse()).collect::<Result<_, _>>()?;
    let seeds = if seeds.is_empty() { vec![42] } else { seeds };
    let made = (0..instances).map(|number| {
        let course = match number % 10 {
            0..=2 => Course::AtOnce,
            3..=5 => Course::AfterFeedback,
            6 => Course::FallbackOnly,
            7 => Course::VisibleOnly,
            _ => Course::Never,
        };
        Made::new(&format!("made__shop-{number:04}"), number, course, functions, "")
    });
    let campaign = Campaign::new("made", made.collect(), &ARMS, &seeds);
    let mut store = Store::open(Path::new(store), Access::Create, Durability::Normal)?;
    campaign.record(&mut store, false, 1, &|_, _, _| false);
    store.close()?;
    println!("recorded {} runs", campaign.plan.members().len());
    Ok(())
}
