//! The reports: what people and machines read of a campaign.
//!
//! One file for each format. Reports are made from summaries, findings and records and know nothing of
//! hosts. A discrepancy here is a report that does not say what was found.

mod terminal;

pub use terminal::{case_text, finding_text, replay_text, summary_text};
