//! The identity that a plugin carries in its custom section.
//!
//! A discrepancy here is a module accepted without exactly one valid identity, or refused with one. The
//! rules are those of `cc_lb_runtime_protocol::identity` 0.1.0.

use cc_lb_plugin_wire::identity::{CC_LB_PLUGIN_SECTION_NAME, IdentityError, PluginIdentity};
use cc_lb_plugin_wire::limits::CUSTOM_SECTION_MAX_SIZE;
use thiserror::Error;
use wasmparser::{Parser, Payload};

use crate::line::one_line;

/// Why a module has no usable identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityReadError {
    /// The bytes are no WebAssembly module.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(#[from] wasmparser::BinaryReaderError),
    /// There is no such section.
    #[error("no custom section {CC_LB_PLUGIN_SECTION_NAME}: build the plugin with the cc-lb PDK")]
    Missing,
    /// There is more than one such section.
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
    #[error("custom section {CC_LB_PLUGIN_SECTION_NAME} is no identity: {}", one_line(.0))]
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
/// [`IdentityReadError`] where the bytes are no module or hold anything but one valid identity.
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
