//! The identity of a plugin in its custom section. The rules are those of
//! `cc_lb_runtime_protocol::identity` 0.1.0.
//!
//! Bugs in this module look like a module that is accepted without exactly one valid identity, or
//! refused with one.

use cc_lb_plugin_wire::identity::{CC_LB_PLUGIN_SECTION_NAME, IdentityError, PluginIdentity};
use cc_lb_plugin_wire::limits::CUSTOM_SECTION_MAX_SIZE;
use thiserror::Error;
use wasmparser::{Parser, Payload};

use crate::untrusted_text::one_line;

/// The reason why a module has no usable identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityReadError {
    /// The bytes are not a WebAssembly module.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(#[from] wasmparser::BinaryReaderError),
    /// The module has no such section.
    #[error("no custom section {CC_LB_PLUGIN_SECTION_NAME}: build the plugin with the cc-lb PDK")]
    Missing,
    /// The module has more than one such section.
    #[error("more than one custom section {CC_LB_PLUGIN_SECTION_NAME}")]
    Duplicate,
    /// The section is larger than the protocol allows.
    #[error(
        "custom section {CC_LB_PLUGIN_SECTION_NAME} has {size} bytes, {CUSTOM_SECTION_MAX_SIZE} at most"
    )]
    TooLarge {
        /// The section's size in bytes.
        size: usize,
    },
    /// The section is not the JSON of an identity.
    #[error("custom section {CC_LB_PLUGIN_SECTION_NAME} is not an identity: {}", one_line(.0))]
    Malformed(#[from] serde_json::Error),
    /// The identity breaks a rule of the protocol.
    #[error(
        "custom section {CC_LB_PLUGIN_SECTION_NAME} holds an invalid identity: {}",
        one_line(.0)
    )]
    Invalid(#[from] IdentityError),
}

/// Reads the identity of a module.
///
/// # Errors
/// Returns an [`IdentityReadError`] if the bytes are not a module, or if it does not have exactly
/// one valid identity.
pub fn read_identity(wasm: &[u8]) -> Result<PluginIdentity, IdentityReadError> {
    let mut found = None;
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CustomSection(section) = payload? else {
            continue;
        };
        if section.name() != CC_LB_PLUGIN_SECTION_NAME {
            continue;
        }
        if found.is_some() {
            return Err(IdentityReadError::Duplicate);
        }
        let size = section.data().len();
        if size > CUSTOM_SECTION_MAX_SIZE {
            return Err(IdentityReadError::TooLarge { size });
        }
        let identity: PluginIdentity = serde_json::from_slice(section.data())?;
        identity.validate()?;
        found = Some(identity);
    }
    found.ok_or(IdentityReadError::Missing)
}
