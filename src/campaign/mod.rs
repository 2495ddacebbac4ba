//! The campaign: how long, how wide, and what becomes of what it finds.
//!
//! A campaign draws cases from a seed, runs them through one reused session, and judges every record. A
//! violation is confirmed on a fresh session, shrunk, and told as a [`Finding`](crate::finding::Finding). The campaign prints
//! nothing: it emits [`Event`]s.
//!
//! A discrepancy here is a campaign that misses what its checks would show, or tells what they do not.

mod block;
mod clock;
pub(crate) mod coordinator;
mod distribution;
mod error;
mod event;
mod examination;
pub(crate) mod interrupt;
pub(crate) mod job;
mod open;
mod places;
mod recorder;
pub(crate) mod run;
mod statistics;
mod told;

pub use block::{Block, BlockExecutor, Stopped};
pub use distribution::Distribution;
pub use error::CampaignError;
pub use event::Event;
pub use interrupt::Interrupt;
pub use run::{findings, run, run_on};
pub use statistics::{Counts, FunctionStats, Summary};
