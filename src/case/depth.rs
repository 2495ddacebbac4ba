//! The depth of a case: how much is done besides its steps.

/// How much the runner does besides the steps of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The open session, and a healthy call after each step that did not answer. If the puppet
    /// timed out, a healthy call of each function.
    Light,
    /// The same, a healthy call of every function at the end, and the whole case on fresh sessions
    /// and on the published host for comparison.
    Thorough,
    /// The same, and the case repeatedly: see [`LeakCheck`](crate::record::LeakCheck).
    LeakCheck,
}
