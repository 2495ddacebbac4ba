//! How deep a case is looked into.

/// How much is done beside the steps of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The session that is open, and a healthy call behind each step that did not answer; one of each function where the
    /// clock ended the puppet.
    Light,
    /// The same, a healthy call of every function at the end, and the whole case on fresh sessions and on the
    /// published host for comparison.
    Thorough,
    /// The same, and the case again and again: see [`LeakCheck`](crate::record::LeakCheck).
    LeakCheck,
}
