//! What happens during a campaign.

use super::statistics::Summary;
use crate::finding::Finding;

/// What happens during a campaign.
#[derive(Debug)]
pub enum Event<'a, R> {
    /// A session's cases have run.
    Progress(&'a Summary),
    /// Something was found: confirmed and shrunk, or, at the end, seen and not looked into for want of time, which its
    /// [`origin`](Finding::origin) says. Told once for each key. It may be a limit of the plugin, and no failure: see
    /// [`Violation::is_limit`](crate::check::Violation::is_limit).
    Finding(&'a Finding<R>),
}
