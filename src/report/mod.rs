//! Reports: what people and machines read about a campaign.
//!
//! One file per format. Reports are made from summaries, findings and records, and do not use hosts. Bugs in this module
//! look like a report that omits or distorts what was found.

#[cfg(feature = "cli")]
mod charts;
#[cfg(feature = "cli")]
mod html;
#[cfg(feature = "cli")]
mod inspection;
mod json;
#[cfg(feature = "cli")]
mod junit;
#[cfg(feature = "cli")]
mod limits_table;
#[cfg(feature = "cli")]
mod markdown;
mod sarif;
#[cfg(feature = "cli")]
mod summary_table;
mod test_code;
mod text;

#[cfg(feature = "cli")]
pub use html::html_page;
#[cfg(feature = "cli")]
pub use inspection::inspection_text;
pub use json::{
    Bucket, FindingReport, FunctionReport, LimitReport, PointReport, REPORT_FORMAT, Report, Status,
};
#[cfg(feature = "cli")]
pub use junit::junit;
#[cfg(feature = "cli")]
pub use limits_table::limits_text;
#[cfg(feature = "cli")]
pub use markdown::markdown;
pub use sarif::sarif;
#[cfg(feature = "cli")]
pub use summary_table::summary_text;
pub use test_code::test_code;
pub use text::{case_text, finding_text, replay_line, replay_text};
