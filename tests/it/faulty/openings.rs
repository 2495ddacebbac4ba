//! Hosts that load plugins that they must reject, or that do not follow the negotiated terms.

use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::handshake_case::HandshakeCase;
use cc_lb_fuzz::host::{
    DispatchOutcome, Host, Loader, Observed, PluginHost, PluginSession, Session,
};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::{WireFunction, all_wire_functions};
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{Export, ExternalKind, Parser, Payload};

pub type LoadResult<H = PluginHost> = Result<H, HandshakeError>;

/// Defines a loader by a function.
macro_rules! loader {
    ($name:ident, |$wasm:ident, $offer:ident| $body:expr) => {
        loader!($name: PluginHost, |$wasm, $offer| $body);
    };
    ($name:ident: $host:ty, |$wasm:ident, $offer:ident| $body:expr) => {
        #[derive(Clone, Copy, Default)]
        pub struct $name;

        impl Loader for $name {
            type Host = $host;

            fn load(&self, $wasm: &[u8], $offer: &HandshakeOffer) -> LoadResult<$host> {
                $body
            }
        }
    };
}

pub(super) use loader;

/// Returns the offer with a change.
pub fn changed(offer: &HandshakeOffer, change: impl Fn(&mut HandshakeOffer)) -> HandshakeOffer {
    let mut offer = offer.clone();
    change(&mut offer);
    offer
}

loader!(AcceptsADowngrade, |wasm, offer| {
    // It only looks at the versions that the plugin chose.
    let first = changed(offer, |offer| {
        let versions = offer.function_versions.values_mut();
        versions.for_each(|versions| versions.truncate(1));
    });
    PluginHost::with_offer(wasm, offer).or_else(|error| match error {
        HandshakeError::DowngradeAttempt { .. } => PluginHost::with_offer(wasm, &first),
        error => Err(error),
    })
});

loader!(GrantsACapabilityThatIsNotOffered, |wasm, offer| {
    let more = changed(offer, |offer| {
        offer.host_capabilities.insert("kv:read".to_owned());
    });
    PluginHost::with_offer(wasm, offer).or_else(|error| match error {
        HandshakeError::MissingCapability { .. } => PluginHost::with_offer(wasm, &more),
        error => Err(error),
    })
});

loader!(TurnsAwayAPluginBesideManyCapabilities, |wasm, offer| {
    let more = changed(offer, |offer| {
        offer.host_capabilities.insert("one more".to_owned());
    });
    PluginHost::with_offer(wasm, &more)
});

loader!(TakesTheFirstOfTwoIdentities, |wasm, offer| {
    let (mut first, mut seen) = (Module::new(), false);
    each_section(wasm, |payload, section| match payload {
        Payload::CustomSection(_) if std::mem::replace(&mut seen, true) => {}
        _ => drop(first.section(&section)),
    });
    PluginHost::with_offer(&first.finish(), offer)
});

loader!(LeavesTheMagicUnchecked, |wasm, offer| {
    let (other, right) = (&b"\"magic\":[205,"[..], b"\"magic\":[204,");
    let mut wasm = wasm.to_vec();
    if let Some(at) = wasm.windows(other.len()).position(|part| part == other) {
        wasm[at..][..right.len()].copy_from_slice(right);
    }
    PluginHost::with_offer(&wasm, offer)
});

loader!(LeavesAnUndeclaredExportUnseen, |wasm, offer| {
    let without = |name: &str| with_exports(wasm, |export| export.name != name, None);
    first_that_loads(wasm, offer, without)
});

loader!(BelievesInAFunctionThatIsMissing, |wasm, offer| {
    let with = |name: &str| with_exports(wasm, |_| true, Some(name));
    first_that_loads(wasm, offer, with)
});

loader!(PanicsOnAHandshakeThatIsNoJson, |wasm, offer| {
    let opened = PluginHost::with_offer(wasm, offer);
    let unreadable = matches!(opened, Err(HandshakeError::Serialization { .. }));
    assert!(!unreadable, "the answer is JSON");
    opened
});

/// Calls a function with each unchanged section of a module.
pub fn each_section(wasm: &[u8], mut each: impl FnMut(&Payload<'_>, RawSection<'_>)) {
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.expect("the module of a handshake case is valid");
        if let Some((id, range)) = payload.as_section() {
            let data = &wasm[range];
            each(&payload, RawSection { id, data });
        }
    }
}

/// Returns the module with these of its exports, and optionally with the handshake exported under
/// another name too.
fn with_exports(wasm: &[u8], keep: impl Fn(&Export<'_>) -> bool, again: Option<&str>) -> Vec<u8> {
    let mut module = Module::new();
    each_section(wasm, |payload, section| match payload {
        Payload::ExportSection(exports) => {
            let mut kept = ExportSection::new();
            for export in exports.clone() {
                let export = export.expect("the export is valid");
                if export.kind == ExternalKind::Func && keep(&export) {
                    kept.export(export.name, ExportKind::Func, export.index);
                }
                if let Some(name) = again.filter(|_| export.name == "cc_lb_handshake") {
                    kept.export(name, ExportKind::Func, export.index);
                }
            }
            module.section(&kept);
        }
        _ => drop(module.section(&section)),
    });
    module.finish()
}

/// Loads the plugin, or else the first variant that loads. A variant changes one wire function.
fn first_that_loads(
    wasm: &[u8],
    offer: &HandshakeOffer,
    change: impl Fn(&str) -> Vec<u8>,
) -> LoadResult {
    PluginHost::with_offer(wasm, offer).or_else(|error| {
        let names = all_wire_functions().iter();
        let mut opened = names.filter_map(|name| PluginHost::with_offer(&change(name), offer).ok());
        opened.next().ok_or(error)
    })
}

/// A host that is sound, except for its versions or for functions that were not negotiated.
pub struct AlteredHost {
    host: PluginHost,
    versions_later: u32,
    answers_for_all: bool,
}

loader!(HasFunctionsInTheNextVersion: AlteredHost, |wasm, offer| {
    Ok(AlteredHost {
        host: PluginHost::with_offer(wasm, offer)?,
        versions_later: 1,
        answers_for_all: false,
    })
});

loader!(AnswersForWhatWasNotNegotiated: AlteredHost, |wasm, offer| {
    Ok(AlteredHost {
        host: PluginHost::with_offer(wasm, offer)?,
        versions_later: 0,
        answers_for_all: true,
    })
});

impl Host for AlteredHost {
    type Session = AlteredSession;

    fn open(&self) -> Result<AlteredSession, HandshakeError> {
        let session = self.host.open()?;
        Ok(AlteredSession(session, self.answers_for_all))
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        Some(self.host.negotiated(function)? + self.versions_later)
    }
}

pub struct AlteredSession(PluginSession, bool);

impl Session for AlteredSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let mut observed = self.0.observe::<F>(request);
        if self.1 && observed.call.input.is_none() {
            observed.outcome = DispatchOutcome::Ok(F::dry_run_response());
        }
        observed
    }
}

/// Returns the handshake case of an index of a seed.
pub fn nth_handshake_case(seed: u64, index: u64) -> HandshakeCase {
    use arbitrary::{Arbitrary as _, Unstructured};
    let entropy = super::entropy::<512>(seed, index);
    HandshakeCase::arbitrary(&mut Unstructured::new(&entropy)).expect("the entropy suffices")
}
