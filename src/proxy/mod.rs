//! Recording any agent through a local HTTP proxy, and answering it again from the store.
#![doc = ""]
#![doc = include_str!("FORMAT.md")]
//!
//! The pure half reads exchanges: what a request is keyed by ([`Key`]), what a reply says ([`view`]), how a call
//! samples ([`sampling`]), and the drive of a recording over the seam, the same live and in a replay. The other half,
//! behind the feature `live`, is the only async code of the house: a server on loopback that hands requests on,
//! streams the replies back as they arrive, and gives no reply away before it is durable; in a replay it has no client
//! to ask anybody with.

mod api;
mod body;
mod exchange;
pub mod export;
mod flight;
mod head;
mod key;
#[cfg(feature = "live")]
mod live;
mod normalise;
mod recording;
pub mod sampling;
mod secret;
mod splice;
mod tape;
pub mod view;

pub use api::{Api, Service};
pub use body::{BodyError, decoded};
pub use exchange::{Exchange, ExchangeError, times};
pub use flight::{Wreck, wrecks};
pub use head::{Aborted, Answered, By, Head};
pub use key::{Key, NORMALISER};
#[cfg(feature = "live")]
pub use live::*;
pub use normalise::Normalise;
pub use recording::{Ending, Header, HeaderError, begin, end, ending, header, is_recording, perform, replay, salvage};
pub use sampling::Sampling;
pub use secret::{Scan, Secrets};
pub use tape::{Found, Tape};
