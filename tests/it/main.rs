//! The one integration binary.

mod env;
mod rooms;
mod snap;

mod cli;
mod model;
mod store;
mod stub;
