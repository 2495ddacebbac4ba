//! The test suite: one binary, since each links the whole runtime.

mod agreement;
mod cases;
mod checks;
mod checks_that_compare;
mod cli;
mod common;
mod dispatch;
mod fuzz_target;
mod generators;
mod guard;
mod handshake;
mod observation;
mod openings;
mod properties;
mod puppet;
mod readme;
mod reports;
mod trophies;
mod workers;
