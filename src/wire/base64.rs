//! What the base64 fields, message bodies and header values, have in common.

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use proptest::prelude::*;

/// Texts that are not valid base64, some of them almost.
const BROKEN: [&str; 10] = [
    "=",
    "====",
    "A",
    "A===",
    "YQ",
    "YQ=",
    "YR==",
    "YQ==\n",
    "-_-_",
    "no base64!",
];

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Returns the boundary values of a base64 field. `sizes` are the sizes of the large contents, in
/// bytes.
pub(super) fn edges(sizes: &[usize]) -> impl Iterator<Item = String> {
    let mut edges = vec![
        String::new(),
        encode([0]),
        encode([0xff, 0xfe, 0x00]),
        encode("null"),
        encode("[".repeat(1000)),
        encode("\u{feff}{}"),
        encode("a\r\nx-injected: 1"),
    ];
    edges.extend(BROKEN.map(str::to_owned));
    edges.extend(sizes.iter().map(|&size| encode(vec![b'a'; size])));
    edges.into_iter()
}

pub(super) fn arbitrary_value(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let length = u.int_in_range(0..=48)?;
    let bytes = u.bytes(length.min(u.len()))?;
    Ok(if u.ratio(1, 2)? {
        encode(bytes)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    })
}

pub(super) fn arbitrary_strategy() -> impl Strategy<Value = String> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..=48);
    prop_oneof![bytes.prop_map(encode), ".{0,48}"]
}
