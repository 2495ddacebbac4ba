//! The model of the handshake: predicts the outcome of a case, independently of the host's own
//! checks.

use std::collections::BTreeSet;

use cc_lb_plugin_wire::handshake::{HANDSHAKE_SCHEMA_VERSION_V1, HandshakeAccept, HandshakeOffer};
use cc_lb_plugin_wire::identity::{CC_LB_PLUGIN_MAGIC, PluginIdentity};
use cc_lb_plugin_wire::limits::{
    CAPABILITIES_MAX_COUNT, CUSTOM_SECTION_MAX_SIZE, FUNCTION_VERSIONS_KEYS_MAX,
    FUNCTION_VERSIONS_PER_FN_MAX, HANDSHAKE_OUTPUT_MAX_BYTES, IMPLEMENTED_FUNCTIONS_MAX,
    PLUGIN_NAME_MAX_BYTES, PLUGIN_VERSION_MAX_BYTES, VERSION_MAX, VERSION_MIN,
};
use cc_lb_plugin_wire::wire_function::all_wire_functions;

use super::{HandshakeCase, LOOPS_MAX, Reply, rounds};
use crate::host::NegotiatedTerms;
use crate::host::handshake::ENVELOPE_VERSION;

impl HandshakeCase {
    /// Returns the offer of the host.
    pub fn offer(&self) -> HandshakeOffer {
        HandshakeOffer {
            handshake_schema_version: HANDSHAKE_SCHEMA_VERSION_V1,
            envelope_version: ENVELOPE_VERSION,
            function_versions: self.offered.clone(),
            host_capabilities: self.capabilities.clone(),
        }
    }

    /// Returns the terms that must be negotiated: functions with versions, and capabilities.
    /// Returns `None` if the host must refuse the plugin.
    pub fn terms(&self) -> Option<NegotiatedTerms> {
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
        holds.then_some(NegotiatedTerms {
            functions: accept.chosen_versions,
            capabilities: accept.required_capabilities,
        })
    }

    fn accept(&self) -> Option<HandshakeAccept> {
        let answer = match &self.reply {
            Reply::Answer(answer) | Reply::ExitCode(answer, 0) => answer,
            // An empty error counts as none.
            Reply::Error(answer, error) if error.0.is_empty() => answer,
            Reply::Loops(answer, loops) if rounds(*loops) <= LOOPS_MAX => answer,
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

    /// Checks the exports that runtimes call. Every exported function takes nothing and returns a
    /// code, which is the wrong type for these two.
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

    /// Checks that the exports which are wire functions or offered are exactly the declared ones.
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

    /// Checks that the function is declared, and that the version is the highest that both sides
    /// support.
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
