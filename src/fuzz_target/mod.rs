//! The bodies of the fuzz targets: what coverage-guided fuzzers such as libFuzzer call.

mod dispatch;
mod handshake;
mod module;

pub use dispatch::{FuzzTarget, Verdict, mutate_case};
pub use handshake::{HANDSHAKE_SOUND, HandshakeTarget, mutate_handshake};
pub use module::ModuleTarget;
