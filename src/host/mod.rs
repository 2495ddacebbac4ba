//! The host: what runs a case's requests on a plugin.
//!
//! [`Host`] opens sessions of one plugin and [`Session`] dispatches requests on one of them. The rest
//! of the harness only knows these traits, so that it can judge any host: [`PluginHost`], the published
//! one (the feature `reference`), the faulty ones of the tests, or yours.
//!
//! A discrepancy that lies in this room is a broken promise of the host itself: a failing call that did
//! not become the function's fallback, or that changed what a later call gets.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::{Deserialize, Serialize};

mod bounds;
mod bulk;
mod code;
mod costs;
mod cycles;
pub mod dispatch;
mod engine;
pub mod failure;
mod front;
mod function_costs;
pub mod guard;
pub mod handshake;
pub mod identity;
pub mod inspect;
mod meter;
pub(crate) mod names;
mod plugin;
mod pool;
#[cfg(feature = "reference")]
mod reference;
mod rejection;
mod returns;
mod site;
mod sorted;
mod start;

pub use dispatch::{DispatchOutcome, FallbackPolicy, PluginSession, RunError};
pub use failure::{Cause, Decoding, Stage, TrapKind};
pub use handshake::HandshakeError;
pub use meter::{Metering, Stop};
pub use plugin::{Call, Guarded, Observed, PluginHost};
#[cfg(feature = "reference")]
pub use reference::{Reference, ReferenceHost, ReferenceSession};
pub use site::{Frame, Site, SiteFunction, SiteKind};

/// Makes hosts of plugins.
///
/// # Obligations
/// - [`Loader::load`] never panics and never hangs, whatever the bytes are.
/// - It fails, or the host has negotiated what the plugin and the offer agree on, and nothing else.
pub trait Loader {
    /// What it makes of a plugin.
    type Host: Host;

    /// Compiles the module `wasm` and negotiates with this offer.
    ///
    /// # Errors
    /// [`HandshakeError`] where it is no module, cannot be instantiated, or fails the handshake.
    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<Self::Host, HandshakeError>;
}

/// Opens sessions of one plugin.
///
/// # Obligations
/// - Every session behaves as if no other had ever been opened: sessions share no state that a plugin
///   can change.
/// - Opening is cheap enough to do for every few hundred cases.
pub trait Host {
    /// The sessions that this host opens.
    type Session: Session;

    /// Opens a session on a fresh instance of the plugin.
    ///
    /// # Errors
    /// [`HandshakeError`] where the plugin cannot be instantiated.
    fn open(&self) -> Result<Self::Session, HandshakeError>;

    /// Opens a session on a copy of the plugin that counts what a call does and stops where it is told to: see
    /// [`Session::stop_at`]. What calls come to there is not judged; it tells where in the plugin they were. `None` where the
    /// host has no such copies.
    ///
    /// # Errors
    /// [`HandshakeError`] where the copy cannot be instantiated.
    fn open_metered(&self) -> Result<Option<Self::Session>, HandshakeError> {
        Ok(None)
    }

    /// The version that was negotiated for the wire function of this name, and `None` where the plugin
    /// does not implement it.
    fn negotiated(&self, function: &str) -> Option<u32>;

    /// All that the handshake agreed on, for people; `None` where the host does not keep it.
    fn agreed(&self) -> Option<Agreed> {
        None
    }
}

/// What a plugin and its host agreed on in the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The wire functions by name, and the version of each.
    pub functions: BTreeMap<String, u32>,
    /// What the host offered and the plugin may use.
    pub capabilities: BTreeSet<String>,
}

impl From<&AugmentedMetadata> for Agreed {
    fn from(metadata: &AugmentedMetadata) -> Self {
        Self {
            functions: metadata.negotiated_functions.clone(),
            capabilities: metadata.negotiated_capabilities.clone(),
        }
    }
}

/// One session: a plugin instance that answers one request after the other.
///
/// # Obligations
/// - [`Session::dispatch`] never unwinds; a call that fails for whatever reason gives
///   `Fallback(F::FALLBACK)`, and `Ok` means that the guest answered with exactly that response.
/// - One dispatch is at most one call of the guest.
/// - Every dispatch has the whole of [`HANDSHAKE_FUEL`] and [`HANDSHAKE_WALL_MS`], and no more.
/// - Whatever a dispatch ended with, the next one behaves as on a fresh session, but for state that the
///   plugin keeps on purpose.
///
/// [`HANDSHAKE_FUEL`]: cc_lb_plugin_wire::limits::HANDSHAKE_FUEL
/// [`HANDSHAKE_WALL_MS`]: cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS
pub trait Session {
    /// Whether every call of the guest tells its input, and a request larger than
    /// [`INPUT_MAX_BYTES`](dispatch::INPUT_MAX_BYTES) is a fallback without a call. Of others the runner makes the input
    /// once more, and leaves such a request out.
    const TELLS_INPUT: bool = false;

    /// Dispatches one request and tells what was observed beside the outcome.
    ///
    /// A host that cannot observe returns [`Call::default`] beside the outcome: checks that need what is
    /// missing pass over it.
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response>;

    /// How large the guest's memory is, in bytes; `None` where the host cannot tell, or there is none. It is asked for
    /// between calls, now and then.
    fn guest_memory(&mut self) -> Option<u64> {
        None
    }

    /// Lets calls from now on run so far and no further, in a session of [`Host::open_metered`]; any other session does not
    /// heed it.
    fn stop_at(&mut self, stop: Stop) {
        let _ = stop;
    }
}
