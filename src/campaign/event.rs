//! Events of a campaign.

use super::statistics::Summary;
use crate::finding::Finding;

/// An event of a campaign.
#[derive(Debug)]
pub enum Event<'a, R> {
    /// The cases of a block have run: see [`Plan::session_of`](crate::generate::Plan::session_of).
    Progress(&'a Summary),
    /// Something was found: a confirmed and shrunk violation, or, at the end, one that was not
    /// examined for lack of time, as its [`origin`](Finding::origin) says. Emitted once for each
    /// key. It may be a limit of the plugin, which is not a failure: see
    /// [`Violation::is_limit`](crate::check::Violation::is_limit).
    Finding(&'a Finding<R>),
}
