//! The one integration binary.

mod cli;
mod env;
mod model;
mod rooms;
mod snap;

mod cli;
mod gate;
mod model;
mod store;
mod stub;
mod transcript;
