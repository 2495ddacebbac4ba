//! Hosts that accept an invalid handshake, or reject a valid one.

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
use crate::faulty::openings::{LoadResult, loader};
use crate::faulty::plain::{PlainHost, PlainSession};
use crate::faulty::{FaultyHost, faulty_loader};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        faulty_loader::<TakesTheLastVersionForTheHighest>(),
        faulty_loader::<ComparesCapabilitiesIgnoringCase>(),
        faulty_loader::<TrimsCapabilities>(),
        faulty_loader::<GrantsWhatABroaderCapabilityBeginsWith>(),
        faulty_loader::<GrantsTheBeginningOfACapability>(),
        faulty_loader::<GrantsCapabilitiesWithoutAName>(),
        faulty_loader::<AcceptsTheVersionBelow>(),
        faulty_loader::<AcceptsTheVersionAbove>(),
        faulty_loader::<TakesVersionsForARange>(),
        faulty_loader::<AcceptsSeventeenFunctions>(),
        faulty_loader::<PassesOverVersionsThatDoNotExist>(),
        faulty_loader::<TruncatesTheVersionsOfAHandshake>(),
        faulty_loader::<PassesOverFunctionsThatWereNotOffered>(),
        faulty_loader::<TakesChosenFunctionsForImplemented>(),
        faulty_loader::<TakesChosenVersionsForSupported>(),
        faulty_loader::<LeavesTheSchemaVersionUnchecked>(),
        faulty_loader::<TrimsTheNamesOfFunctions>(),
        faulty_loader::<AcceptsWhatStandsBehindTheHandshake>(),
        faulty_loader::<SkipsWhatStandsBeforeTheHandshake>(),
        faulty_loader::<AcceptsUnknownFieldsInTheHandshake>(),
        faulty_loader::<FillsInWhatAHandshakeLacks>(),
        faulty_loader::<GivesHandshakesTenTimesTheFuel>(),
        faulty_loader::<AcceptsHandshakesOf64Kib>(),
        faulty_loader::<TurnsAwayHandshakesOf16Kib>(),
        faulty_loader::<GivesHandshakesATenthOfTheFuel>(),
        faulty_loader::<TurnsAwayPluginsWithoutFunctions>(),
    ]
}

/// A sound host, or one with terms that a sound host rejects.
pub enum LenientHost {
    Sound(PluginHost),
    Amended(Box<PlainHost>),
}

pub enum LenientSession {
    Sound(PluginSession),
    Amended(PlainSession),
}

impl Host for LenientHost {
    type Session = LenientSession;

    fn open(&self) -> Result<LenientSession, HandshakeError> {
        Ok(match self {
            Self::Sound(host) => LenientSession::Sound(host.open()?),
            Self::Amended(host) => LenientSession::Amended(host.open()?),
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        match self {
            Self::Sound(host) => host.negotiated(function),
            Self::Amended(host) => host.negotiated(function),
        }
    }
}

impl Session for LenientSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        match self {
            Self::Sound(session) => session.observe::<F>(request),
            Self::Amended(session) => session.dispatch::<F>(request),
        }
    }
}

/// A handshake that is lenient in one respect. The default methods accept what a sound host
/// accepts.
pub trait Lenient {
    const FUEL: u64 = HANDSHAKE_FUEL;
    const ANSWER_MAX: usize = HANDSHAKE_OUTPUT_MAX_BYTES;

    /// Parses the answer.
    fn read(&self, answer: &str) -> Option<HandshakeAccept> {
        serde_json::from_str(answer).ok()
    }

    /// Changes the answer and the offer before they are validated.
    fn amend(&self, _accept: &mut HandshakeAccept, _offer: &mut HandshakeOffer) {}

    /// Returns whether the module exports this function.
    fn has(&self, plugin: &extism::Plugin, _wasm: &[u8], name: &str) -> bool {
        plugin.function_exists(name)
    }

    fn load_leniently(&self, wasm: &[u8], offer: &HandshakeOffer) -> LoadResult<LenientHost> {
        match PluginHost::with_offer(wasm, offer) {
            Ok(host) => Ok(LenientHost::Sound(host)),
            Err(error) => {
                let amended = self.amended(wasm, offer).map(Box::new);
                amended.map(LenientHost::Amended).ok_or(error)
            }
        }
    }

    fn amended(&self, wasm: &[u8], offer: &HandshakeOffer) -> Option<PlainHost> {
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
        PlainHost::with_negotiated(wasm, accept.chosen_versions).ok()
    }
}

/// Calls the handshake of a plugin. Returns the plugin and its answer to the offer.
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

/// Implements the rules of `handshake.rs` for the content of an answer.
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

/// Implements its rule for exports: a plugin implements exactly the functions that it exports.
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

/// Defines a lenient loader.
macro_rules! lenient {
    ($name:ident { $($hook:tt)* }) => {
        #[derive(Clone, Copy, Default)]
        pub struct $name;

        impl Lenient for $name {
            $($hook)*
        }

        impl Loader for $name {
            type Host = LenientHost;

            fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> LoadResult<LenientHost> {
                self.load_leniently(wasm, offer)
            }
        }
    };
}

// Compares with the last version of the offer, as if versions were sorted.
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

/// Replaces each required capability by an offered one that is like it.
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

// An offer of `kv` grants `kv:read` and `kv:write`.
lenient!(GrantsWhatABroaderCapabilityBeginsWith {
    fn amend(&self, accept: &mut HandshakeAccept, offer: &mut HandshakeOffer) {
        grant(accept, offer, |offered, name| name.starts_with(offered));
    }
});

// An offer of `kv:read` grants `kv`.
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

// The comparison is off by one.
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

// A version need only lie between the lowest and the highest one of the offer.
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

// One function is not counted, preferably one without a chosen version.
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

// A later plugin may have functions that this host does not know.
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

// Memories, globals and functions with parameters count too.
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
