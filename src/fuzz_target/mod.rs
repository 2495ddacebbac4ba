//! The bodies of the fuzz targets: what coverage-guided fuzzers such as libFuzzer call.

mod dispatch;
mod handshake;
mod handshake_sound;
mod module;

pub use dispatch::{FuzzTarget, Verdict, mutate_case};
pub use handshake::{HandshakeTarget, mutate_handshake};
pub use handshake_sound::HANDSHAKE_SOUND;
pub use module::ModuleTarget;
