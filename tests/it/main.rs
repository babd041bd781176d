//! The one integration binary.

mod cli;
mod edit;
mod env;
mod gate;
mod model;
mod rooms;
mod snap;
mod solve;
mod store;
mod store_crash;
mod store_damage;
mod stub;
mod transcript;
mod weights;
mod workspace;
