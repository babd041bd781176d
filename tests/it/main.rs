//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests say where they stop and what they skip, and hand the host's search path on"
)]

mod arms;
mod bench;
mod campaign;
mod certificate;
mod cli;
mod container;
mod edit;
#[cfg(all(feature = "embedded", feature = "live"))]
mod embedded;
mod env;
mod exports;
mod framing;
mod full;
mod gate;
#[cfg(feature = "live")]
mod instance;
mod logs;
#[path = "../../benches/report/world.rs"]
mod made;
mod model;
mod own;
#[cfg(feature = "live")]
mod providers;
#[cfg(feature = "live")]
mod proxy;
mod report;
mod rooms;
mod rung;
mod shards;
mod snap;
mod solve;
mod store;
mod store_crash;
mod store_damage;
mod store_gc;
mod store_merge;
#[cfg(feature = "live")]
mod stub;
#[path = "../../benches/lite/tamper.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod tamper;
mod transcript;
#[cfg(feature = "live")]
mod trouble;
mod vectors;
#[cfg(feature = "live")]
mod weights;
mod workspace;
mod workspace_hostile;
