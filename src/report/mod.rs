//! Runs for people: what came of each arm, with intervals and paired tests, and every attempt of every run.
//!
//! Everything comes from the store: [`Report::gather`] reads the events of the runs that a [`Subject`] names and counts
//! them. The [`Table`]s made of that are printed as text ([`text`]), as Markdown ([`markdown`]) and in one HTML file
//! ([`Page`]), so all three show the same figures. Bytes are deterministic: the same campaign gives the same report,
//! whatever the order, folder or machine that its store comes from. So only canonical digests are named, and times,
//! which are observations, are there only if they are asked for.
//!
//! Not here: whether the evidence holds (`rung`), and performing the replays that takes (`cli`).

mod arms;
mod document;
mod error;
mod figures;
mod gather;
mod html;
mod pairs;
mod plain;
mod read;
mod run;
mod subject;
mod table;
mod tables;
mod visible;

pub use error::ReportError;
pub use figures::ArmFigures;
pub use gather::Report;
pub use html::{Page, Size};
pub use pairs::Pair;
pub use plain::{brief, markdown, text};
pub use read::UNREAD;
pub use run::{AttemptFacts, Ending, RunFacts, TestFacts};
pub use subject::{Planned, Subject};
pub use table::{Cell, Filter, Table};
pub use visible::{printable, printable_line};
