//! The test suite: one binary, since each links the whole runtime.

mod again;
mod agreement;
mod cases;
mod check;
mod cli;
mod commands;
mod common;
mod dispatch;
mod errors;
mod faulty;
mod fuzz_target;
mod generators;
mod golden;
mod guard;
mod handshake;
mod observation;
mod openings;
mod own_check;
mod planted;
mod properties;
mod puppet;
mod readme;
mod reports;
mod sealing;
mod trophies;
mod workers;
