//! What the README says is true.
