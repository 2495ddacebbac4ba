//! Generates cases from a seed and an index alone.
//!
//! Each file has one way to make a case. `schedule.rs` decides which phase the case of an index
//! belongs to, and `cases.rs` makes it.

mod answers;
mod arbitrary_case;
mod bodies;
mod boundaries;
mod cases;
mod changed_answers;
mod dictionary;
mod extremes;
pub(crate) mod growing_fields;
mod large_requests;
pub(crate) mod learned_values;
mod list_items;
mod malformed_json;
mod mutation;
pub(crate) mod negotiated;
mod phase;
mod plan;
mod programs;
mod read_back;
mod sample_mutation;
mod schedule;
mod sessions;
mod single_operations;
mod wild_programs;

pub use arbitrary_case::CaseGenerator;
pub use cases::Cases;
pub use dictionary::dictionary;
pub use negotiated::NoFunctions;
pub use phase::Phase;
pub use plan::{Budget, Plan};
pub use programs::Wildness;
pub(crate) use schedule::is_thorough;
pub use sessions::CASES_PER_SESSION;
