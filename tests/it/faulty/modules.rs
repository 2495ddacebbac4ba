//! Hosts that use too many resources for a module with many items of one kind.

use arbitrary::Unstructured;
use cc_lb_fuzz::check::Violation;
use cc_lb_fuzz::fuzz_target::ModuleTarget;
use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{Guarded, Host, Loader, PluginHost, PluginSession};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use wasmparser::{Parser, Payload};

pub use crate::handshake_cases::modules::costly::Counts;

/// Returns the module of an index of a seed.
pub fn nth(seed: u64, index: u64) -> Counts {
    let entropy = super::entropy::<64>(seed, index);
    Counts::arbitrary(&mut Unstructured::new(&entropy)).expect("the entropy suffices")
}

/// Returns the violation that a loader shows with a module, if there is one.
pub fn check<L: Loader + Default>(counts: &Counts) -> Option<Violation> {
    let target = ModuleTarget::new(L::default());
    target.check(&counts.module()).err()
}

#[derive(Default)]
pub struct CompilesForEachSession;

impl Loader for CompilesForEachSession {
    type Host = Uncompiled;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<Uncompiled, HandshakeError> {
        Ok(Uncompiled {
            host: PluginHost::with_offer(wasm, offer)?,
            wasm: wasm.to_vec(),
            offer: offer.clone(),
        })
    }
}

/// A host that keeps the module without compiling it.
pub struct Uncompiled {
    host: PluginHost,
    wasm: Vec<u8>,
    offer: HandshakeOffer,
}

impl Host for Uncompiled {
    type Session = PluginSession;

    fn open(&self) -> Result<PluginSession, HandshakeError> {
        PluginHost::with_offer(&self.wasm, &self.offer)?.open()
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

/// Allocates a megabyte per export while it loads the module, but no more than the check needs.
#[derive(Default)]
pub struct TakesAMegabyteForEachExport;

impl Loader for TakesAMegabyteForEachExport {
    type Host = PluginHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<PluginHost, HandshakeError> {
        const ENOUGH: usize = 1200;
        let sections = Parser::new(0).parse_all(wasm);
        let exports = sections.filter_map(|section| match section.ok()? {
            Payload::ExportSection(exports) => Some(exports.count() as usize),
            _ => None,
        });
        let room = vec![vec![1_u8; 1 << 20]; exports.sum::<usize>().min(ENOUGH)];
        let loaded = Guarded.load(wasm, offer);
        drop(std::hint::black_box(room));
        loaded
    }
}
