//! What a host and its sessions owe to whoever uses them.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::{Deserialize, Serialize};

use super::handshake::HandshakeError;
use super::meter::StopPoint;
use super::outcome::Observed;

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
    fn agreed(&self) -> Option<NegotiatedTerms> {
        None
    }
}

/// What a plugin and its host agreed on in the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NegotiatedTerms {
    /// The wire functions by name, and the version of each.
    pub functions: BTreeMap<String, u32>,
    /// What the host offered and the plugin may use.
    pub capabilities: BTreeSet<String>,
}

impl From<&AugmentedMetadata> for NegotiatedTerms {
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
    /// Dispatches one request and tells what was observed beside the outcome.
    ///
    /// A host that cannot observe returns [`Call::default`](super::Call::default) beside the outcome: checks that need what is
    /// missing pass over it.
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response>;

    /// How large the guest's memory is, in bytes; `None` where the host cannot tell, or there is none. It is asked for
    /// between calls, now and then.
    fn guest_memory(&mut self) -> Option<u64> {
        None
    }

    /// Lets calls from now on run so far and no further, in a session of [`Host::open_metered`]; any other session does not
    /// heed it.
    fn stop_at(&mut self, stop: StopPoint) {
        let _ = stop;
    }
}
