//! The reports: what people and machines read of a campaign.
//!
//! One file for each format. Reports are made from summaries, findings and records and know nothing of
//! hosts. A discrepancy here is a report that does not say what was found.

#[cfg(feature = "cli")]
mod charts;
#[cfg(feature = "cli")]
mod html;
#[cfg(feature = "cli")]
mod inspection;
#[cfg(feature = "cli")]
mod junit;
#[cfg(feature = "cli")]
mod limits;
#[cfg(feature = "cli")]
mod markdown;
mod record;
mod sarif;
#[cfg(feature = "cli")]
mod table;
mod test_code;
mod text;

#[cfg(feature = "cli")]
pub use html::html_page;
#[cfg(feature = "cli")]
pub use inspection::inspection_text;
#[cfg(feature = "cli")]
pub use junit::junit;
#[cfg(feature = "cli")]
pub use limits::limits_text;
#[cfg(feature = "cli")]
pub use markdown::markdown;
pub use record::{
    Bucket, FindingReport, FunctionReport, LimitReport, PointReport, REPORT_FORMAT, Report, Status,
};
pub use sarif::sarif;
#[cfg(feature = "cli")]
pub use table::summary_text;
pub use test_code::test_code;
pub use text::{case_text, finding_text, replay_line, replay_text};
