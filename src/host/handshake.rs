//! The handshake: the host's offer, the plugin's answer, and the checks of the answer.
//!
//! The rules are those of `cc_lb_runtime_protocol::handshake` 0.1.0, and the error is that of
//! `cc_lb_plugin_conformance::handshake` 0.1.0.
//!
//! Bugs in this module look like a session with terms that were not offered, or a valid plugin that
//! is refused.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::{
    HANDSHAKE_SCHEMA_VERSION_V1, HandshakeAccept, HandshakeError as WireError, HandshakeOffer,
};
use cc_lb_plugin_wire::identity::PluginIdentity;
use cc_lb_plugin_wire::limits::{
    HANDSHAKE_OUTPUT_MAX_BYTES, IMPLEMENTED_FUNCTIONS_MAX, SKIP_HANDSHAKE_IF_FRESH_TTL_SECS,
    VERSION_MAX, VERSION_MIN,
};
use cc_lb_plugin_wire::wire_function::{WireFunction, all_wire_functions};
use cc_lb_plugin_wire::{v1, v3};
use thiserror::Error;

use super::cause::{Cause, Decoding};
use super::compiled_plugin::Instance;
use crate::untrusted_text::one_line;

/// The export that answers the handshake.
pub const HANDSHAKE_EXPORT: &str = "cc_lb_handshake";

/// The version of the `_v` envelope that the host offers.
pub const ENVELOPE_VERSION: u32 = 1;

/// The reason why a session could not be opened. The variants are those of the reference; the
/// messages are for people and may change. Names and reasons are kept as the plugin sent them, and
/// displayed in one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The plugin could not be compiled or instantiated.
    #[error("plugin instantiation failed: {}", one_line(reason))]
    Instantiate {
        /// The error of the runtime.
        reason: String,
    },
    /// The plugin does not export a handshake.
    #[error("the plugin does not export {HANDSHAKE_EXPORT}")]
    MissingExport,
    /// The plugin's identity, or a field of its answer or of the offer, violates a rule.
    #[error("invalid identity field {field}: {}", one_line(reason))]
    InvalidIdentity {
        /// The name of the field.
        field: &'static str,
        /// The rule that it violates.
        reason: String,
    },
    /// A function is declared or chosen, but the module does not export it, or the plugin does not
    /// declare it.
    #[error("the plugin declares {}, but does not implement it", one_line(name))]
    FunctionMissing {
        /// The name of the function.
        name: String,
    },
    /// The plugin chose a version below the highest that both sides support.
    #[error(
        "the plugin chose version {plugin_chose} of {}, but both sides support {host_offered_max}",
        one_line(function)
    )]
    DowngradeAttempt {
        /// The name of the function.
        function: String,
        /// The highest version that both sides support.
        host_offered_max: u32,
        /// The version that the plugin chose.
        plugin_chose: u32,
    },
    /// The plugin requires a capability that the host does not offer.
    #[error(
        "the plugin requires the capability {}, which this host does not offer",
        one_line(name)
    )]
    MissingCapability {
        /// The name of the capability.
        name: String,
    },
    /// The offer did not serialize, or the answer did not deserialize or is too large.
    #[error("handshake serialization failed: {}", one_line(reason))]
    Serialization {
        /// The description of the failure.
        reason: String,
    },
    /// The call of the handshake failed: a trap, no fuel or time left, an error or an exit code.
    #[error("the handshake call failed: {}", one_line(reason))]
    WasmTrap {
        /// The reason why it failed.
        reason: String,
    },
}

impl HandshakeError {
    fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidIdentity {
            field,
            reason: reason.into(),
        }
    }

    /// Converts the errors of the protocol crate as the reference does.
    fn from_wire(error: WireError) -> Self {
        let reason = error.to_string();
        match error {
            WireError::FunctionCountExceeded { .. }
            | WireError::FunctionVersionCountExceeded { .. }
            | WireError::VersionOutOfRange { .. } => Self::invalid("function_versions", reason),
            WireError::CapabilityCountExceeded { .. } => Self::invalid("host_capabilities", reason),
            WireError::ChosenVersionNotOffered { .. }
            | WireError::ChosenForUnknownFunction { .. } => {
                Self::invalid("chosen_versions", reason)
            }
            WireError::DowngradeAttempt {
                function,
                chosen,
                max_intersection,
            } => Self::DowngradeAttempt {
                function,
                host_offered_max: max_intersection,
                plugin_chose: chosen,
            },
            WireError::RequiredCapabilityUnavailable { capability } => {
                Self::MissingCapability { name: capability }
            }
            WireError::HandshakeSchemaVersionMismatch { .. } => {
                Self::invalid("handshake_schema_version", reason)
            }
            WireError::Canonical(_) => Self::Serialization { reason },
        }
    }

    /// Converts the failure of the handshake call.
    fn from_call(cause: Cause) -> Self {
        match cause {
            // A guest that checks the offer itself may report it in its error. The reference reads
            // exactly this text as a missing capability, unless the text contains a word that it
            // takes for a timeout.
            Cause::GuestError(text) => match required_capability(&text) {
                Some(name) => Self::MissingCapability {
                    name: name.to_owned(),
                },
                None => Self::WasmTrap { reason: text },
            },
            cause => Self::WasmTrap {
                reason: cause.to_string(),
            },
        }
    }
}

fn required_capability(text: &str) -> Option<&str> {
    const OF_A_TIMEOUT: [&str; 4] = ["timeout", "timed out", "deadline", "fuel"];
    let lower = text.to_ascii_lowercase();
    if OF_A_TIMEOUT.iter().any(|word| lower.contains(word)) {
        return None;
    }
    text.strip_prefix("required capability '")?
        .strip_suffix("' not available in host capabilities")
}

/// Returns the offer of a host with these capabilities: every published wire function in every
/// version.
///
/// To negotiate a function of your own, add it to `function_versions` and open the plugin with
/// [`PluginHost::with_offer`](crate::host::plugin::PluginHost::with_offer).
pub fn build_offer(host_capabilities: &BTreeSet<String>) -> HandshakeOffer {
    fn entry<F: WireFunction>() -> (String, Vec<u32>) {
        (F::NAME.to_owned(), F::SUPPORTED_VERSIONS.to_vec())
    }
    HandshakeOffer {
        handshake_schema_version: HANDSHAKE_SCHEMA_VERSION_V1,
        envelope_version: ENVELOPE_VERSION,
        function_versions: BTreeMap::from([
            entry::<v1::shape::ShapeFn>(),
            entry::<v1::normalize_error::NormalizeErrorFn>(),
            entry::<v1::build_signer::BuildSignerFn>(),
            entry::<v1::sign::SignFn>(),
            entry::<v1::on_unauthorized::OnUnauthorizedFn>(),
            entry::<v1::observe::ObserveFn>(),
            entry::<v3::filter::FilterFn>(),
        ]),
        host_capabilities: host_capabilities.clone(),
    }
}

/// Sends the offer to a fresh instance of the plugin and returns its validated answer.
///
/// # Errors
/// Returns a [`HandshakeError`]. The checks run in the order of the reference: the offer, the
/// export, the call, the size and form of the answer, then its content.
pub(super) fn negotiate(
    instance: &mut Instance,
    offer: &HandshakeOffer,
) -> Result<HandshakeAccept, HandshakeError> {
    offer.validate().map_err(HandshakeError::from_wire)?;
    if !instance.exports(HANDSHAKE_EXPORT) {
        return Err(HandshakeError::MissingExport);
    }
    let accept = ask(instance, offer)?;
    accept
        .validate_against_offer(offer)
        .map_err(HandshakeError::from_wire)?;
    check_declarations(&accept, offer)?;
    check_choices(&accept)?;
    check_exports(instance, &accept, offer)?;
    Ok(accept)
}

/// Returns the metadata of a negotiated plugin. The timestamps are constants, as in the reference:
/// the harness has no clock that the protocol reads, and it does not run the self-check.
pub(super) fn metadata(identity: PluginIdentity, accept: HandshakeAccept) -> AugmentedMetadata {
    AugmentedMetadata {
        identity,
        negotiated_functions: accept.chosen_versions,
        negotiated_capabilities: accept.required_capabilities,
        handshake_completed_at: 1,
        self_check_passed: true,
        self_check_completed_at: 1,
        expires_at: 1 + SKIP_HANDSHAKE_IF_FRESH_TTL_SECS as i64,
    }
}

/// Calls the handshake and deserializes the answer.
fn ask(instance: &mut Instance, offer: &HandshakeOffer) -> Result<HandshakeAccept, HandshakeError> {
    let offer = serde_json::to_string(offer).map_err(|error| HandshakeError::Serialization {
        reason: format!("writing the offer: {error}"),
    })?;
    let answer = instance
        .call(HANDSHAKE_EXPORT, offer.as_bytes())
        .map_err(HandshakeError::from_call)?;
    let answer = String::from_utf8(answer)
        .map_err(|_| HandshakeError::from_call(Cause::Undecodable(Decoding::NotUtf8)))?;
    if answer.len() > HANDSHAKE_OUTPUT_MAX_BYTES {
        return Err(HandshakeError::Serialization {
            reason: format!(
                "the answer has {} bytes, {HANDSHAKE_OUTPUT_MAX_BYTES} at most",
                answer.len()
            ),
        });
    }
    serde_json::from_str(&answer).map_err(|error| HandshakeError::Serialization {
        reason: format!("reading the answer: {error}"),
    })
}

/// Checks that every function in the answer was offered, and that its versions are in range.
fn check_declarations(
    accept: &HandshakeAccept,
    offer: &HandshakeOffer,
) -> Result<(), HandshakeError> {
    let count = accept.implemented_functions.len();
    if count > IMPLEMENTED_FUNCTIONS_MAX {
        return Err(HandshakeError::invalid(
            "implemented_functions",
            format!("{count} functions, {IMPLEMENTED_FUNCTIONS_MAX} at most"),
        ));
    }
    let offered = |function: &String| offer.function_versions.contains_key(function);
    if let Some(unknown) = accept.implemented_functions.iter().find(|f| !offered(f)) {
        return Err(HandshakeError::invalid(
            "implemented_functions",
            format!("{unknown} was not offered"),
        ));
    }
    for (function, versions) in &accept.plugin_supported {
        if !offered(function) {
            return Err(HandshakeError::invalid(
                "plugin_supported",
                format!("{function} was not offered"),
            ));
        }
        let valid = VERSION_MIN..=VERSION_MAX;
        if let Some(version) = versions.iter().find(|v| !valid.contains(v)) {
            return Err(HandshakeError::invalid(
                "plugin_supported",
                format!("version {version} of {function} is not in {VERSION_MIN}..={VERSION_MAX}"),
            ));
        }
    }
    Ok(())
}

/// Checks that every chosen version belongs to an implemented function and is one that the plugin
/// supports.
fn check_choices(accept: &HandshakeAccept) -> Result<(), HandshakeError> {
    for (function, chosen) in &accept.chosen_versions {
        if !accept.implemented_functions.contains(function) {
            return Err(HandshakeError::FunctionMissing {
                name: function.clone(),
            });
        }
        let supported = accept.plugin_supported.get(function);
        if !supported.is_some_and(|versions| versions.contains(chosen)) {
            return Err(HandshakeError::invalid(
                "chosen_versions",
                format!("version {chosen} of {function} is not among plugin_supported"),
            ));
        }
    }
    Ok(())
}

/// Checks that the module exports the declared functions and no other wire function.
fn check_exports(
    instance: &Instance,
    accept: &HandshakeAccept,
    offer: &HandshakeOffer,
) -> Result<(), HandshakeError> {
    let declared = &accept.implemented_functions;
    if let Some(name) = declared.iter().find(|name| !instance.exports(name)) {
        return Err(HandshakeError::FunctionMissing { name: name.clone() });
    }
    let known = all_wire_functions().iter().copied();
    let offered = offer.function_versions.keys().map(String::as_str);
    for name in known.chain(offered) {
        if instance.exports(name) && !declared.contains(name) {
            return Err(HandshakeError::invalid(
                "implemented_functions",
                format!("the module exports {name}, but does not declare it"),
            ));
        }
    }
    Ok(())
}
