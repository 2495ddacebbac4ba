//! What an opening must come to, worked out apart from the host's own checks.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_plugin_wire::handshake::{HANDSHAKE_SCHEMA_VERSION_V1, HandshakeAccept, HandshakeOffer};
use cc_lb_plugin_wire::identity::{CC_LB_PLUGIN_MAGIC, PluginIdentity};
use cc_lb_plugin_wire::limits::{
    CAPABILITIES_MAX_COUNT, CUSTOM_SECTION_MAX_SIZE, FUNCTION_VERSIONS_KEYS_MAX,
    FUNCTION_VERSIONS_PER_FN_MAX, HANDSHAKE_OUTPUT_MAX_BYTES, IMPLEMENTED_FUNCTIONS_MAX,
    PLUGIN_NAME_MAX_BYTES, PLUGIN_VERSION_MAX_BYTES, VERSION_MAX, VERSION_MIN,
};
use cc_lb_plugin_wire::wire_function::all_wire_functions;

use super::{Opening, Reply};
use crate::host::handshake::ENVELOPE_VERSION;

impl Opening {
    /// The offer that the host makes.
    pub fn offer(&self) -> HandshakeOffer {
        HandshakeOffer {
            handshake_schema_version: HANDSHAKE_SCHEMA_VERSION_V1,
            envelope_version: ENVELOPE_VERSION,
            function_versions: self.offered.clone(),
            host_capabilities: self.capabilities.clone(),
        }
    }

    /// The functions that are negotiated and their versions; `None` where the host must refuse.
    pub fn terms(&self) -> Option<BTreeMap<String, u32>> {
        let accept = self.accept()?;
        let holds = self.may_be_offered()
            && self.can_start()
            && self.has_an_identity()
            && accept.handshake_schema_version == HANDSHAKE_SCHEMA_VERSION_V1
            && accept.implemented_functions.len() <= IMPLEMENTED_FUNCTIONS_MAX
            && self.declares_what_it_has(&accept.implemented_functions)
            && accept.plugin_supported.iter().all(|(function, versions)| {
                self.offered.contains_key(function) && versions.iter().all(is_version)
            })
            && accept
                .chosen_versions
                .iter()
                .all(|(function, version)| self.is_highest(&accept, function, *version))
            && accept.required_capabilities.is_subset(&self.capabilities);
        holds.then_some(accept.chosen_versions)
    }

    fn accept(&self) -> Option<HandshakeAccept> {
        let answer = match &self.reply {
            Reply::Answer(answer) | Reply::ExitCode(answer, 0) => answer,
            // An empty error is none.
            Reply::Error(answer, error) if error.0.is_empty() => answer,
            _ => return None,
        };
        if answer.0.len() > HANDSHAKE_OUTPUT_MAX_BYTES {
            return None;
        }
        serde_json::from_str(std::str::from_utf8(&answer.0).ok()?).ok()
    }

    fn may_be_offered(&self) -> bool {
        let fits = |versions: &Vec<u32>| {
            versions.len() <= FUNCTION_VERSIONS_PER_FN_MAX && versions.iter().all(is_version)
        };
        self.offered.len() <= FUNCTION_VERSIONS_KEYS_MAX
            && self.offered.values().all(fits)
            && self.capabilities.len() <= CAPABILITIES_MAX_COUNT
    }

    /// No function of its module takes anything, and each returns a code: none of these two is what a runtime calls.
    fn can_start(&self) -> bool {
        let mut exports = self.exports.iter();
        !exports.any(|name| ["hs_init", "_initialize"].contains(&&name[..]))
    }

    fn has_an_identity(&self) -> bool {
        let [identity] = &self.identities[..] else {
            return false;
        };
        let read = serde_json::from_slice::<PluginIdentity>(&identity.0);
        let Ok(PluginIdentity {
            magic,
            plugin_name: name,
            plugin_version: version,
            ..
        }) = read
        else {
            return false;
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        identity.0.len() <= CUSTOM_SECTION_MAX_SIZE
            && magic == CC_LB_PLUGIN_MAGIC
            && (1..=PLUGIN_NAME_MAX_BYTES).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(plain)
            && (1..=PLUGIN_VERSION_MAX_BYTES).contains(&version.len())
    }

    /// The wire functions among the exports, and those offered, are what is declared.
    fn declares_what_it_has(&self, declared: &BTreeSet<String>) -> bool {
        let wire: BTreeSet<&str> = all_wire_functions().iter().copied().collect();
        let counts = |name: &&String| wire.contains(&name[..]) || self.offered.contains_key(*name);
        declared.iter().all(|name| self.offered.contains_key(name))
            && self
                .exports
                .iter()
                .filter(counts)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .eq(declared)
    }

    /// The version is of a declared function, and the highest that both sides have.
    fn is_highest(&self, accept: &HandshakeAccept, function: &str, version: u32) -> bool {
        let (Some(offered), Some(supported)) = (
            self.offered.get(function),
            accept.plugin_supported.get(function),
        ) else {
            return false;
        };
        let both = offered.iter().filter(|v| supported.contains(v));
        accept.implemented_functions.contains(function) && both.max() == Some(&version)
    }
}

fn is_version(version: &u32) -> bool {
    (VERSION_MIN..=VERSION_MAX).contains(version)
}
