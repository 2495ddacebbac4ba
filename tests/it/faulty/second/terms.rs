//! Hosts that report other terms than those negotiated.

use std::collections::BTreeSet;

use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{Host, Loader, NegotiatedTerms, PluginHost, PluginSession};
use cc_lb_plugin_wire::handshake::HandshakeOffer;

use crate::faulty::openings::{LoadResult, loader};
use crate::faulty::{FaultyHost, faulty_loader};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        faulty_loader::<TellsTheHighestVersionOfTheOffer>(),
        faulty_loader::<TellsAVersionForEveryFunctionOfTheOffer>(),
        faulty_loader::<TellsAllCapabilitiesOfTheOffer>(),
        faulty_loader::<ForgetsWhatThePluginRequires>(),
        faulty_loader::<LosesFunctionsWithNamesOf64Bytes>(),
        faulty_loader::<KnowsFunctionsByTheFirst16Bytes>(),
    ]
}

/// A sound host that misreports its terms.
pub struct MisreportingHost {
    host: PluginHost,
    agreed: NegotiatedTerms,
}

impl MisreportingHost {
    fn new(
        wasm: &[u8],
        offer: &HandshakeOffer,
        change: impl Fn(&mut NegotiatedTerms),
    ) -> Result<Self, HandshakeError> {
        let host = PluginHost::with_offer(wasm, offer)?;
        let mut agreed = NegotiatedTerms::from(host.metadata());
        change(&mut agreed);
        Ok(Self { host, agreed })
    }
}

impl Host for MisreportingHost {
    type Session = PluginSession;

    fn open(&self) -> Result<PluginSession, HandshakeError> {
        self.host.open()
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.agreed.functions.get(function).copied()
    }

    fn agreed(&self) -> Option<NegotiatedTerms> {
        Some(self.agreed.clone())
    }
}

loader!(TellsTheHighestVersionOfTheOffer: MisreportingHost, |wasm, offer| {
    MisreportingHost::new(wasm, offer, |agreed| {
        for (function, version) in &mut agreed.functions {
            let highest = offer.function_versions[function].iter().max();
            *version = highest.copied().unwrap_or(*version);
        }
    })
});

loader!(TellsAVersionForEveryFunctionOfTheOffer: MisreportingHost, |wasm, offer| {
    MisreportingHost::new(wasm, offer, |agreed| {
        for (function, versions) in &offer.function_versions {
            let version = agreed.functions.entry(function.clone());
            version.or_insert(versions.first().copied().unwrap_or_default());
        }
    })
});

loader!(TellsAllCapabilitiesOfTheOffer: MisreportingHost, |wasm, offer| {
    MisreportingHost::new(wasm, offer, |agreed| {
        agreed.capabilities.clone_from(&offer.host_capabilities);
    })
});

loader!(ForgetsWhatThePluginRequires: MisreportingHost, |wasm, offer| {
    MisreportingHost::new(wasm, offer, |agreed| agreed.capabilities.clear())
});

loader!(LosesFunctionsWithNamesOf64Bytes: MisreportingHost, |wasm, offer| {
    MisreportingHost::new(wasm, offer, |agreed| agreed.functions.retain(|name, _| name.len() < 64))
});

loader!(KnowsFunctionsByTheFirst16Bytes: MisreportingHost, |wasm, offer| {
    MisreportingHost::new(wasm, offer, |agreed| {
        let mut seen = BTreeSet::new();
        let first = |name: &str| name.as_bytes()[..name.len().min(16)].to_vec();
        agreed.functions.retain(|name, _| seen.insert(first(name)));
    })
});
