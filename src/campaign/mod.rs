//! Campaigns: many cases, and the findings that they lead to.
//!
//! A campaign generates cases from a seed, runs them in blocks, each of which shares a session, and
//! checks every record. A violation is confirmed on a fresh session, shrunk, and reported as a
//! [`Finding`](crate::finding::Finding). The campaign prints nothing: it emits [`Event`]s.
//!
//! Bugs in this module look like a campaign that misses a violation, or reports one that was not
//! seen.

mod block;
mod clock;
pub(crate) mod coordinator;
mod error;
mod event;
mod examination;
mod histogram;
pub(crate) mod interrupt;
pub(crate) mod job;
mod locating_turns;
mod recorder;
mod reported;
pub(crate) mod run;
mod statistics;
mod unexamined;

pub use block::{Block, BlockExecutor, Stopped};
pub use error::CampaignError;
pub use event::Event;
pub use histogram::Histogram;
pub use interrupt::Interrupt;
pub use run::{findings, run, run_on};
pub use statistics::{Counts, FunctionStats, Summary};
