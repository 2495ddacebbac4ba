//! Hosts on other terms than those agreed on.

use std::collections::BTreeSet;

use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{Host, Loader, NegotiatedTerms, PluginHost, PluginSession};
use cc_lb_plugin_wire::handshake::HandshakeOffer;

use crate::faulty::openings::{Opened, loader};
use crate::faulty::{Faulty, opening};

pub fn faults() -> Vec<Faulty> {
    vec![
        opening::<TellsTheHighestVersionOfTheOffer>(),
        opening::<TellsAVersionForEveryFunctionOfTheOffer>(),
        opening::<TellsAllCapabilitiesOfTheOffer>(),
        opening::<ForgetsWhatThePluginRequires>(),
        opening::<LosesFunctionsWithNamesOf64Bytes>(),
        opening::<KnowsFunctionsByTheFirst16Bytes>(),
    ]
}

/// A sound host that tells something else of its terms.
pub struct Tells {
    host: PluginHost,
    agreed: NegotiatedTerms,
}

impl Tells {
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

impl Host for Tells {
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

loader!(TellsTheHighestVersionOfTheOffer: Tells, |wasm, offer| {
    Tells::new(wasm, offer, |agreed| {
        for (function, version) in &mut agreed.functions {
            let highest = offer.function_versions[function].iter().max();
            *version = highest.copied().unwrap_or(*version);
        }
    })
});

loader!(TellsAVersionForEveryFunctionOfTheOffer: Tells, |wasm, offer| {
    Tells::new(wasm, offer, |agreed| {
        for (function, versions) in &offer.function_versions {
            let told = agreed.functions.entry(function.clone());
            told.or_insert(versions.first().copied().unwrap_or_default());
        }
    })
});

loader!(TellsAllCapabilitiesOfTheOffer: Tells, |wasm, offer| {
    Tells::new(wasm, offer, |agreed| agreed.capabilities.clone_from(&offer.host_capabilities))
});

loader!(ForgetsWhatThePluginRequires: Tells, |wasm, offer| {
    Tells::new(wasm, offer, |agreed| agreed.capabilities.clear())
});

loader!(LosesFunctionsWithNamesOf64Bytes: Tells, |wasm, offer| {
    Tells::new(wasm, offer, |agreed| agreed.functions.retain(|name, _| name.len() < 64))
});

loader!(KnowsFunctionsByTheFirst16Bytes: Tells, |wasm, offer| {
    Tells::new(wasm, offer, |agreed| {
        let mut seen = BTreeSet::new();
        let first = |name: &str| name.as_bytes()[..name.len().min(16)].to_vec();
        agreed.functions.retain(|name, _| seen.insert(first(name)));
    })
});
