//! Hosts that take a handshake that is none, or turn away a sound one.

use std::time::Duration;

use cc_lb_fuzz::handshake::{HANDSHAKE_EXPORT, HandshakeError};
use cc_lb_fuzz::host::identity::read_identity;
use cc_lb_fuzz::host::{Host, Loader, Observed, PluginHost, PluginSession, Session, guard};
use cc_lb_plugin_wire::handshake::{HandshakeAccept, HandshakeOffer};
use cc_lb_plugin_wire::limits::{
    HANDSHAKE_FUEL, HANDSHAKE_OUTPUT_MAX_BYTES, HANDSHAKE_WALL_MS, IMPLEMENTED_FUNCTIONS_MAX,
    VERSION_MAX, VERSION_MIN,
};
use cc_lb_plugin_wire::wire_function::{WireFunction, all_wire_functions};
use serde_json::Value;
use wasmparser::{Parser, Payload};

use super::identities::refused;
use crate::faulty::openings::{Opened, loader};
use crate::faulty::plain::{Plain, PlainSession};
use crate::faulty::{Faulty, opening};

pub fn faults() -> Vec<Faulty> {
    vec![
        opening::<TakesTheLastVersionForTheHighest>(),
        opening::<ComparesCapabilitiesIgnoringCase>(),
        opening::<TrimsCapabilities>(),
        opening::<GrantsWhatABroaderCapabilityBeginsWith>(),
        opening::<GrantsTheBeginningOfACapability>(),
        opening::<GrantsCapabilitiesWithoutAName>(),
        opening::<AcceptsTheVersionBelow>(),
        opening::<AcceptsTheVersionAbove>(),
        opening::<TakesVersionsForARange>(),
        opening::<AcceptsSeventeenFunctions>(),
        opening::<PassesOverVersionsThatDoNotExist>(),
        opening::<TruncatesTheVersionsOfAHandshake>(),
        opening::<PassesOverFunctionsThatWereNotOffered>(),
        opening::<TakesChosenFunctionsForImplemented>(),
        opening::<TakesChosenVersionsForSupported>(),
        opening::<LeavesTheSchemaVersionUnchecked>(),
        opening::<TrimsTheNamesOfFunctions>(),
        opening::<AcceptsWhatStandsBehindTheHandshake>(),
        opening::<SkipsWhatStandsBeforeTheHandshake>(),
        opening::<AcceptsUnknownFieldsInTheHandshake>(),
        opening::<FillsInWhatAHandshakeLacks>(),
        opening::<GivesHandshakesTenTimesTheFuel>(),
        opening::<AcceptsHandshakesOf64Kib>(),
        opening::<TurnsAwayHandshakesOf16Kib>(),
        opening::<GivesHandshakesATenthOfTheFuel>(),
        opening::<TurnsAwayPluginsWithoutFunctions>(),
    ]
}

/// A host that is sound, or one on terms that a sound host does not take.
pub enum Opens {
    Sound(PluginHost),
    Amended(Box<Plain>),
}

pub enum OpensSession {
    Sound(PluginSession),
    Amended(PlainSession),
}

impl Host for Opens {
    type Session = OpensSession;

    fn open(&self) -> Result<OpensSession, HandshakeError> {
        Ok(match self {
            Self::Sound(host) => OpensSession::Sound(host.open()?),
            Self::Amended(host) => OpensSession::Amended(host.open()?),
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        match self {
            Self::Sound(host) => host.negotiated(function),
            Self::Amended(host) => host.negotiated(function),
        }
    }
}

impl Session for OpensSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        match self {
            Self::Sound(session) => session.observe::<F>(request),
            Self::Amended(session) => session.dispatch::<F>(request),
        }
    }
}

/// An opening that forgives one thing. Without a fault it takes what a sound host takes.
pub trait Lenient {
    const FUEL: u64 = HANDSHAKE_FUEL;
    const ANSWER_MAX: usize = HANDSHAKE_OUTPUT_MAX_BYTES;

    /// The answer's text as what it says.
    fn read(&self, answer: &str) -> Option<HandshakeAccept> {
        serde_json::from_str(answer).ok()
    }

    /// What the answer, and the offer, is taken for.
    fn amend(&self, _accept: &mut HandshakeAccept, _offer: &mut HandshakeOffer) {}

    /// Whether the module has this function.
    fn has(&self, plugin: &extism::Plugin, _wasm: &[u8], name: &str) -> bool {
        plugin.function_exists(name)
    }

    fn opens(&self, wasm: &[u8], offer: &HandshakeOffer) -> Opened<Opens> {
        match PluginHost::with_offer(wasm, offer) {
            Ok(host) => Ok(Opens::Sound(host)),
            Err(error) => {
                let amended = self.amended(wasm, offer).map(Box::new);
                amended.map(Opens::Amended).ok_or(error)
            }
        }
    }

    fn amended(&self, wasm: &[u8], offer: &HandshakeOffer) -> Option<Plain> {
        read_identity(wasm).ok()?;
        offer.validate().ok()?;
        let (plugin, answer) = handshake(wasm, offer, Self::FUEL)?;
        if answer.len() > Self::ANSWER_MAX {
            return None;
        }
        let mut accept = self.read(&answer)?;
        let mut offer = offer.clone();
        self.amend(&mut accept, &mut offer);
        accept.validate_against_offer(&offer).ok()?;
        let has = |name: &str| self.has(&plugin, wasm, name);
        if !is_sound(&accept, &offer) || !agrees_with_exports(&accept, &offer, has) {
            return None;
        }
        Plain::on_terms(wasm, accept.chosen_versions).ok()
    }
}

/// The plugin, and what it answers to the offer.
fn handshake(wasm: &[u8], offer: &HandshakeOffer, fuel: u64) -> Option<(extism::Plugin, String)> {
    let manifest = guard::manifest(wasm).ok()?;
    let manifest = manifest.with_timeout(Duration::from_millis(HANDSHAKE_WALL_MS));
    let builder = extism::PluginBuilder::new(manifest).with_cache_disabled();
    let compiled = builder.with_fuel_limit(fuel).compile().ok()?;
    let mut plugin = extism::Plugin::new_from_compiled(&compiled).ok()?;
    let offer = serde_json::to_string(offer).ok()?;
    let answer = plugin.call::<&str, &[u8]>(HANDSHAKE_EXPORT, &offer).ok()?;
    let answer = String::from_utf8(answer.to_vec()).ok()?;
    Some((plugin, answer))
}

/// The rules of `handshake.rs` about what an answer says.
fn is_sound(accept: &HandshakeAccept, offer: &HandshakeOffer) -> bool {
    let offered = |name: &String| offer.function_versions.contains_key(name);
    let valid = |version: &u32| (VERSION_MIN..=VERSION_MAX).contains(version);
    let implemented = &accept.implemented_functions;
    let supported = &accept.plugin_supported;
    let mut chosen = accept.chosen_versions.iter();
    implemented.len() <= IMPLEMENTED_FUNCTIONS_MAX
        && implemented.iter().all(offered)
        && supported
            .iter()
            .all(|(name, versions)| offered(name) && versions.iter().all(valid))
        && chosen.all(|(name, version)| {
            let supported = supported.get(name);
            implemented.contains(name) && supported.is_some_and(|all| all.contains(version))
        })
}

/// The rule about exports.
fn agrees_with_exports(
    accept: &HandshakeAccept,
    offer: &HandshakeOffer,
    has: impl Fn(&str) -> bool,
) -> bool {
    let implemented = &accept.implemented_functions;
    let known = all_wire_functions().iter().copied();
    let mut names = known.chain(offer.function_versions.keys().map(String::as_str));
    implemented.iter().all(|name| has(name))
        && names.all(|name| implemented.contains(name) || !has(name))
}

/// A loader that forgives something.
macro_rules! lenient {
    ($name:ident { $($hook:tt)* }) => {
        #[derive(Clone, Copy, Default)]
        pub struct $name;

        impl Lenient for $name {
            $($hook)*
        }

        impl Loader for $name {
            type Host = Opens;

            fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Opened<Opens> {
                self.opens(wasm, offer)
            }
        }
    };
}

// It takes the plugin for one that supports what it chose, and no other version that is offered before.
lenient!(TakesTheLastVersionForTheHighest {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        for (function, chosen) in &accept.chosen_versions {
            let offered = offer.function_versions.get_mut(function);
            if let Some(offered) = offered
                && let Some(at) = offered.iter().rposition(|version| version == chosen)
            {
                offered.drain(..at);
            }
        }
    }
});

/// What the plugin requires becomes what is offered, where they are alike.
fn grant(accept: &mut HandshakeAccept, offer: &HandshakeOffer, alike: impl Fn(&str, &str) -> bool) {
    let required = std::mem::take(&mut accept.required_capabilities);
    let offered = &offer.host_capabilities;
    let granted = |name: String| match offered.iter().find(|offered| alike(offered, &name)) {
        Some(offered) if !offer.host_capabilities.contains(&name) => offered.clone(),
        _ => name,
    };
    accept.required_capabilities = required.into_iter().map(granted).collect();
}

lenient!(ComparesCapabilitiesIgnoringCase {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        grant(accept, offer, |offered, name| offered.eq_ignore_ascii_case(name));
    }
});

lenient!(TrimsCapabilities {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        grant(accept, offer, |offered, name| offered.trim() == name.trim());
    }
});

// Whoever has `kv` has `kv:read` and `kv:write`.
lenient!(GrantsWhatABroaderCapabilityBeginsWith {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        grant(accept, offer, |offered, name| name.starts_with(offered));
    }
});

// And the other way round.
lenient!(GrantsTheBeginningOfACapability {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        grant(accept, offer, |offered, name| !name.is_empty() && offered.starts_with(name));
    }
});

lenient!(GrantsCapabilitiesWithoutAName {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        accept.required_capabilities.remove("");
    }
});

// It compares with less than one less.
lenient!(AcceptsTheVersionBelow {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        for (function, chosen) in &accept.chosen_versions {
            if let Some(versions) = accept.plugin_supported.get_mut(function) {
                versions.retain(|version| Some(*version) != chosen.checked_add(1));
            }
        }
    }
});

lenient!(AcceptsTheVersionAbove {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        for (function, chosen) in &accept.chosen_versions {
            if let Some(versions) = offer.function_versions.get_mut(function)
                && versions.iter().any(|version| version + 1 == *chosen)
            {
                versions.push(*chosen);
            }
        }
    }
});

// The number of a version that was not offered need only lie among those that were.
lenient!(TakesVersionsForARange {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        for (function, chosen) in &accept.chosen_versions {
            if let Some(versions) = offer.function_versions.get_mut(function)
                && versions.iter().any(|version| version < chosen)
                && versions.iter().any(|version| version > chosen)
            {
                versions.push(*chosen);
            }
        }
    }
});

// What is chosen too is not counted twice.
lenient!(AcceptsSeventeenFunctions {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        if accept.implemented_functions.len() != IMPLEMENTED_FUNCTIONS_MAX + 1 {
            return;
        }
        let chosen = &accept.chosen_versions;
        let mut unchosen = accept.implemented_functions.iter();
        let unchosen = unchosen.rfind(|name| !chosen.contains_key(*name)).cloned();
        let last = unchosen.or_else(|| accept.implemented_functions.last().cloned());
        if let Some(last) = last {
            accept.implemented_functions.remove(&last);
            accept.plugin_supported.remove(&last);
            accept.chosen_versions.remove(&last);
            offer.function_versions.remove(&last);
        }
    }
});

lenient!(PassesOverVersionsThatDoNotExist {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        for versions in accept.plugin_supported.values_mut() {
            versions.retain(|version| (VERSION_MIN..=VERSION_MAX).contains(version));
        }
    }
});

lenient!(TruncatesTheVersionsOfAHandshake {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        let supported = accept.plugin_supported.values_mut().flatten();
        let chosen = accept.chosen_versions.values_mut();
        supported.chain(chosen).for_each(|version| *version &= 0xffff);
    }
});

// A later plugin may have functions of which this host knows nothing.
lenient!(PassesOverFunctionsThatWereNotOffered {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        let offered = |name: &String| offer.function_versions.contains_key(name);
        accept.implemented_functions.retain(|name| offered(name));
        accept.plugin_supported.retain(|name, _| offered(name));
        accept.chosen_versions.retain(|name, _| offered(name));
    }
});

lenient!(TakesChosenFunctionsForImplemented {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        let chosen = accept.chosen_versions.keys().cloned();
        accept.implemented_functions.extend(chosen);
    }
});

lenient!(TakesChosenVersionsForSupported {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        for (function, chosen) in &accept.chosen_versions {
            let supported = accept.plugin_supported.entry(function.clone()).or_default();
            supported.push(*chosen);
        }
    }
});

lenient!(LeavesTheSchemaVersionUnchecked {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        accept.handshake_schema_version = offer.handshake_schema_version;
    }
});

lenient!(TrimsTheNamesOfFunctions {
    fn amend(&self, accept: &mut HandshakeAccept, _: &mut HandshakeOffer) {
        let trimmed = |name: &String| name.trim().to_ascii_lowercase();
        let implemented = accept.implemented_functions.iter().map(trimmed);
        accept.implemented_functions = implemented.collect();
        let supported = std::mem::take(&mut accept.plugin_supported).into_iter();
        accept.plugin_supported = supported.map(|(name, all)| (trimmed(&name), all)).collect();
        let chosen = accept.chosen_versions.iter().map(|(name, n)| (trimmed(name), *n));
        accept.chosen_versions = chosen.collect();
    }
});

lenient!(AcceptsWhatStandsBehindTheHandshake {
    fn read(&self, answer: &str) -> Option<HandshakeAccept> {
        serde_json::Deserializer::from_str(answer).into_iter().next()?.ok()
    }
});

lenient!(SkipsWhatStandsBeforeTheHandshake {
    fn read(&self, answer: &str) -> Option<HandshakeAccept> {
        serde_json::from_str(&answer[answer.find('{')?..]).ok()
    }
});

lenient!(AcceptsUnknownFieldsInTheHandshake {
    fn read(&self, answer: &str) -> Option<HandshakeAccept> {
        let mut answer: Value = serde_json::from_str(answer).ok()?;
        let known = [
            "handshake_schema_version",
            "envelope_version",
            "chosen_versions",
            "plugin_supported",
            "implemented_functions",
            "required_capabilities",
        ];
        let fields = answer.as_object_mut()?;
        fields.retain(|name, _| known.contains(&name.as_str()));
        serde_json::from_value(answer).ok()
    }
});

lenient!(FillsInWhatAHandshakeLacks {
    fn read(&self, answer: &str) -> Option<HandshakeAccept> {
        let mut answer: Value = serde_json::from_str(answer).ok()?;
        let fields = answer.as_object_mut()?;
        let capabilities = fields.entry("required_capabilities");
        capabilities.or_insert_with(|| Value::Array(Vec::new()));
        serde_json::from_value(answer).ok()
    }
});

lenient!(GivesHandshakesTenTimesTheFuel {
    const FUEL: u64 = 10 * HANDSHAKE_FUEL;
});

lenient!(AcceptsHandshakesOf64Kib {
    const ANSWER_MAX: usize = 2 * HANDSHAKE_OUTPUT_MAX_BYTES;
});

// A memory, a global, a function with parameters.
lenient!(TakesAnyExportForAFunction {
    fn has(&self, _: &extism::Plugin, wasm: &[u8], name: &str) -> bool {
        Parser::new(0).parse_all(wasm).any(|payload| match payload {
            Ok(Payload::ExportSection(exports)) => {
                let mut exports = exports.into_iter().flatten();
                exports.any(|export| export.name == name)
            }
            _ => false,
        })
    }
});

loader!(TurnsAwayHandshakesOf16Kib, |wasm, offer| {
    let host = PluginHost::with_offer(wasm, offer)?;
    let answer = handshake(wasm, offer, HANDSHAKE_FUEL);
    if answer.is_some_and(|(_, answer)| answer.len() > HANDSHAKE_OUTPUT_MAX_BYTES / 2) {
        let reason = "the answer is too large".to_owned();
        return Err(HandshakeError::Serialization { reason });
    }
    Ok(host)
});

loader!(GivesHandshakesATenthOfTheFuel, |wasm, offer| {
    let host = PluginHost::with_offer(wasm, offer)?;
    if handshake(wasm, offer, HANDSHAKE_FUEL / 10).is_none() {
        let reason = "it ran out of fuel".to_owned();
        return Err(HandshakeError::WasmTrap { reason });
    }
    Ok(host)
});

loader!(TurnsAwayPluginsWithoutFunctions, |wasm, offer| {
    let host = PluginHost::with_offer(wasm, offer)?;
    if host.metadata().negotiated_functions.is_empty() {
        return refused("chosen_versions");
    }
    Ok(host)
});
