//! A plugin of your own. Yours is probably Rust code built for wasm32; this one is WebAssembly
//! text, so that the example needs no other target.

/// The plugin's module.
pub const PLUGIN: &[u8] = include_bytes!("plugin.wat");
