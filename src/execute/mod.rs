//! Runs cases on a host. The observations become records, and an executor applies the checks to
//! them.

mod call_counter;
#[cfg(feature = "reference")]
mod differential;
mod dispatch;
pub(crate) mod executor;
mod in_process;
mod leak_check;
mod locate;
mod machine_load;
pub mod memory;
mod response_dictionary;
mod runner;

pub use dispatch::dispatch;
pub use executor::Executor;
pub use in_process::InProcessExecutor;
pub use runner::Runner;
