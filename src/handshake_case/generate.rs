//! Generation of arbitrary handshake cases: valid ones, with mistakes that plugins and hosts make.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use cc_lb_plugin_wire::handshake::HandshakeAccept;
use cc_lb_plugin_wire::limits::{
    CUSTOM_SECTION_MAX_SIZE, HANDSHAKE_OUTPUT_MAX_BYTES, IMPLEMENTED_FUNCTIONS_MAX, VERSION_MAX,
};
use cc_lb_plugin_wire::wire_function::all_wire_functions;

use super::{HandshakeCase, LOOPS_MAX, LOOPS_TOO_MANY, Reply};
use crate::puppet::Bytes;

const IDENTITY: &str = r#"{"magic":[204,27,112,16,0,1,0,0],"abi_envelope":1,"plugin_name":"guest","plugin_version":"1.0.0"}"#;

/// Names of functions that are not wire functions. Some are special to runtimes.
const OTHER_FUNCTIONS: [&str; 8] = [
    "route",
    "helper",
    "",
    "memory",
    "hs_init",
    "_initialize",
    "Shape",
    "shape ",
];

const VERSIONS: [u32; 9] = [
    1,
    2,
    3,
    0,
    7,
    VERSION_MAX - 1,
    VERSION_MAX,
    VERSION_MAX + 1,
    u32::MAX,
];

/// All but one of the others are similar to the first.
const CAPABILITIES: [&str; 10] = [
    "kv:read",
    "kv:write",
    "",
    "KV",
    "KV:READ",
    "Kv:Read",
    "kv:rea",
    "kv:read ",
    "kv:read:all",
    "kv",
];

/// Numbers of iterations of a handshake.
const LOOPS: [u32; 4] = [200_000, LOOPS_MAX, LOOPS_TOO_MANY, 5_000_000];

/// Numbers of functions with other names, around the limits for implemented and offered ones.
const COUNTS: [usize; 8] = [2, 9, 15, 16, 17, 24, 25, 33];

/// The least length of such a name, in bytes, without its first letter.
const NAME_LENGTHS: [usize; 6] = [0, 31, 62, 63, 64, 255];

/// Replacements in an identity or an answer.
const REPLACEMENTS: [(&str, &str); 21] = [
    ("204", "205"),
    ("204,", ""),
    ("\"guest\"", "\"\""),
    ("\"guest\"", "\"Guest\""),
    ("\"guest\"", "\"9guest\""),
    ("\"guest\"", "\"g\\u0000\""),
    ("\"guest\"", "\"gu.est\""),
    ("1.0.0", ""),
    ("1.0.0", "11111111111111111111111111111111"),
    ("1.0.0", "111111111111111111111111111111111"),
    ("1.0.0", "ééééééééééééééééé"),
    (
        "\"guest\"",
        "\"guest_guest_guest_guest_guest_guest_guest_guest_guest_guest_gues\"",
    ),
    (
        "\"guest\"",
        "\"guest_guest_guest_guest_guest_guest_guest_guest_guest_guest_guest\"",
    ),
    ("\"abi_envelope\":1", "\"abi_envelope\":-1"),
    ("\"abi_envelope\":1", "\"abi_envelope\":2"),
    (",\"required_capabilities\":[]", ""),
    ("\"abi_envelope\":1,", ""),
    ("{", "{\"extra\":1,"),
    ("{", "[{"),
    (":1", ":1.0"),
    ("_version", "_Version"),
];

impl HandshakeCase {
    /// Returns a valid case with these functions, each in version 1.
    pub fn sound<'a>(functions: impl IntoIterator<Item = &'a str>) -> Self {
        let functions: BTreeSet<String> = functions.into_iter().map(str::to_owned).collect();
        let all = all_wire_functions().iter();
        let mut case = Self {
            identities: vec![IDENTITY.into()],
            reply: Reply::Missing,
            exports: functions.clone(),
            offered: all.map(|name| ((*name).to_owned(), vec![1])).collect(),
            capabilities: BTreeSet::new(),
        };
        case.reply = Reply::Answer(write(&HandshakeAccept {
            handshake_schema_version: 1,
            envelope_version: 1,
            chosen_versions: functions.iter().map(|name| (name.clone(), 1)).collect(),
            plugin_supported: functions
                .iter()
                .map(|name| (name.clone(), vec![1]))
                .collect(),
            implemented_functions: functions,
            required_capabilities: BTreeSet::new(),
        }));
        case
    }

    /// Mutates the case at one point.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub fn mutate(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match u.int_in_range(0..=15)? {
            0..=2 => self.mutate_identities(u)?,
            3..=8 => self.mutate_reply(u)?,
            9 | 10 => toggle(&mut self.exports, function(u)?),
            11 => toggle(&mut self.capabilities, capability(u)?),
            12 => {
                let count = u.int_in_range(31..=34)?;
                let length = *u.choose(&[0, 60, 61, 62])?;
                self.capabilities
                    .extend((0..count).map(|n| format!("cap{n:_>length$}")));
            }
            13 => {
                let count = u.int_in_range(24..=27)?;
                let many = (0..count).map(|n| (format!("f{n}"), vec![1]));
                self.offered.extend(many);
            }
            14 => {
                self.offered.remove(&function(u)?);
            }
            _ => {
                let versions = versions(u)?;
                self.offered.insert(function(u)?, versions);
            }
        }
        Ok(())
    }

    fn mutate_identities(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match u.int_in_range(0..=5)? {
            0 => {
                self.identities.pop();
            }
            1 => self.identities.push(IDENTITY.into()),
            2 => self.identities.push(Bytes::default()),
            _ => {
                for identity in &mut self.identities {
                    mutate_text(&mut identity.0, CUSTOM_SECTION_MAX_SIZE, u)?;
                }
            }
        }
        Ok(())
    }

    fn mutate_reply(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let output = match &self.reply {
            Reply::Answer(bytes) | Reply::Trap(bytes) | Reply::Loops(bytes, _) => bytes.clone(),
            Reply::Error(bytes, _) | Reply::ExitCode(bytes, _) => bytes.clone(),
            Reply::Missing => Bytes::default(),
        };
        self.reply = match u.int_in_range(0..=15)? {
            0 => Reply::Error(output, error(u)?),
            1 => Reply::ExitCode(output, *u.choose(&[1, -1, 0, 256, i32::MIN])?),
            2 => Reply::Trap(output),
            3 => Reply::Missing,
            4 => Reply::Loops(output, *u.choose(&LOOPS)?),
            5..=7 => {
                let mut text = output.0;
                mutate_text(&mut text, HANDSHAKE_OUTPUT_MAX_BYTES, u)?;
                Reply::Answer(Bytes(text))
            }
            _ => match serde_json::from_slice(&output.0) {
                Ok(mut accept) => {
                    self.mutate_accept(&mut accept, u)?;
                    Reply::Answer(write(&accept))
                }
                Err(_) => Reply::Answer(output),
            },
        };
        Ok(())
    }

    /// Offers and implements some functions with other names, which is valid unless there are too
    /// many.
    fn add_functions(
        &mut self,
        accept: &mut HandshakeAccept,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<()> {
        let count = if u.arbitrary()? {
            *u.choose(&COUNTS)?
        } else {
            // With the existing ones, as many as are allowed or one more.
            let all = u.int_in_range(IMPLEMENTED_FUNCTIONS_MAX..=IMPLEMENTED_FUNCTIONS_MAX + 1)?;
            all.saturating_sub(accept.implemented_functions.len())
        };
        let length = *u.choose(&NAME_LENGTHS)?;
        let leaves_one_out = u.ratio(1, 4)?;
        let sides = [(versions(u)?, versions(u)?), (vec![1], vec![1])];
        for (index, (offered, supported)) in (0..count).zip(sides.iter().cycle()) {
            // The names differ at their ends.
            let name = format!("f{index:_>length$}");
            let both = offered.iter().filter(|v| supported.contains(v)).max();
            self.offered.insert(name.clone(), offered.clone());
            self.exports.insert(name.clone());
            accept.implemented_functions.insert(name.clone());
            accept
                .plugin_supported
                .insert(name.clone(), supported.clone());
            if let Some(chosen) = both.filter(|_| index > 0 || !leaves_one_out) {
                accept.chosen_versions.insert(name, *chosen);
            }
        }
        Ok(())
    }

    /// Chooses a version that both sides support, which may be a downgrade.
    fn agree_on(
        &mut self,
        accept: &mut HandshakeAccept,
        name: String,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<()> {
        let (offered, supported) = (versions(u)?, versions(u)?);
        let both: Vec<u32> = offered
            .iter()
            .copied()
            .filter(|v| supported.contains(v))
            .collect();
        let chosen = if both.is_empty() {
            *u.choose(&VERSIONS)?
        } else {
            *u.choose(&both)?
        };
        self.offered.insert(name.clone(), offered);
        accept.plugin_supported.insert(name.clone(), supported);
        accept.chosen_versions.insert(name.clone(), chosen);
        accept.implemented_functions.insert(name.clone());
        self.exports.insert(name);
        Ok(())
    }

    fn mutate_accept(
        &mut self,
        accept: &mut HandshakeAccept,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<()> {
        let name = function(u)?;
        match u.int_in_range(0..=15)? {
            0..=3 => self.agree_on(accept, name, u)?,
            4 => {
                let version = *u.choose(&VERSIONS)?;
                accept.chosen_versions.insert(name, version);
            }
            5 => {
                accept.chosen_versions.remove(&name);
            }
            6 => toggle(&mut accept.implemented_functions, name),
            7 => {
                let versions = versions(u)?;
                accept.plugin_supported.insert(name, versions);
            }
            8 => accept.handshake_schema_version = *u.choose(&VERSIONS)?,
            9 => shift_version(accept, &name, u)?,
            10 => {
                let (offered, required) = (CAPABILITIES[0].to_owned(), capability(u)?);
                self.capabilities.insert(offered);
                accept.required_capabilities.insert(required);
            }
            11 => self.add_functions(accept, u)?,
            12 => {
                // A version between two offered ones.
                let version = u.int_in_range(2..=3)?;
                let around = vec![version - 1, version + 1];
                self.offered.insert(name.clone(), around);
                accept.plugin_supported.insert(name.clone(), vec![version]);
                accept.chosen_versions.insert(name, version);
            }
            13 => spoil_versions(accept, name, u)?,
            14 => rename(accept, &name, u)?,
            _ => {
                let capability = capability(u)?;
                if u.arbitrary()? {
                    self.capabilities.insert(capability.clone());
                }
                accept.required_capabilities.insert(capability);
            }
        }
        Ok(())
    }
}

/// Chooses the version above or below the agreed one.
fn shift_version(
    accept: &mut HandshakeAccept,
    name: &str,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    if let Some(version) = accept.chosen_versions.get_mut(name) {
        *version = if u.arbitrary()? {
            version.wrapping_add(1)
        } else {
            version.wrapping_sub(1)
        };
    }
    Ok(())
}

/// Adds an invalid version to the supported ones, or changes versions so that only their lower 16
/// bits stay the same.
fn spoil_versions(
    accept: &mut HandshakeAccept,
    name: String,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let chosen = accept.chosen_versions.get_mut(&name);
    let supported = accept.plugin_supported.entry(name).or_default();
    if u.arbitrary()? {
        supported.push(*u.choose(&[0, VERSION_MAX + 1, u32::MAX])?);
    } else {
        for version in supported.iter_mut().chain(chosen) {
            *version = version.wrapping_add(VERSION_MAX + 1);
        }
    }
    Ok(())
}

/// Renames an implemented function to a similar name.
fn rename(
    accept: &mut HandshakeAccept,
    name: &str,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    if !accept.implemented_functions.remove(name) {
        return Ok(());
    }
    let similar = [name.to_uppercase(), format!(" {name}"), format!("{name}\0")];
    let similar = u.choose(&similar)?.clone();
    if let Some(version) = accept.chosen_versions.remove(name) {
        accept.chosen_versions.insert(similar.clone(), version);
    }
    if let Some(supported) = accept.plugin_supported.remove(name) {
        accept.plugin_supported.insert(similar.clone(), supported);
    }
    accept.implemented_functions.insert(similar);
    Ok(())
}

impl<'a> Arbitrary<'a> for HandshakeCase {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let all = all_wire_functions();
        let mut functions = Vec::new();
        for name in all {
            if u.arbitrary()? {
                functions.push(*name);
            }
        }
        let mut case = Self::sound(functions);
        for _ in 0..u.int_in_range(0..=3)? {
            case.mutate(u)?;
        }
        Ok(case)
    }
}

fn write(accept: &HandshakeAccept) -> Bytes {
    // Maps with string keys always serialize.
    Bytes(serde_json::to_vec(accept).unwrap_or_default())
}

fn toggle(set: &mut BTreeSet<String>, name: String) {
    if !set.remove(&name) {
        set.insert(name);
    }
}

fn function(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let name = match u.int_in_range(0..=7)? {
        0 => u.choose(&OTHER_FUNCTIONS)?,
        _ => u.choose(all_wire_functions())?,
    };
    Ok((*name).to_owned())
}

fn capability(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    Ok((*u.choose(&CAPABILITIES)?).to_owned())
}

fn versions(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u32>> {
    match u.int_in_range(0..=9)? {
        0 => {
            // About as many as are allowed, one of them twice.
            let mut versions: Vec<u32> = (1..=u.int_in_range(14..=17)?).collect();
            versions.extend(versions.first().copied().filter(|_| versions.len() < 17));
            Ok(versions)
        }
        1 => Ok(Vec::new()),
        // In another order, with one of them twice.
        3 | 5 => {
            let mut versions: Vec<u32> = (1..=u.int_in_range(2..=5)?).collect();
            let by = u.int_in_range(1..=versions.len() - 1)?;
            versions.rotate_left(by);
            versions.extend(versions.first().copied());
            Ok(versions)
        }
        2 => Ok(vec![*u.choose(&VERSIONS)?, *u.choose(&VERSIONS)?]),
        n => Ok((1..=n / 2).collect()),
    }
}

fn error(u: &mut Unstructured<'_>) -> arbitrary::Result<Bytes> {
    const ERRORS: [&str; 4] = [
        "",
        "unsupported",
        "required capability 'kv:read' not available in host capabilities",
        "fuel",
    ];
    Ok((*u.choose(&ERRORS)?).into())
}

/// Mutates a text whose length is limited.
fn mutate_text(
    text: &mut Vec<u8>,
    limit: usize,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    match u.int_in_range(0..=7)? {
        0 => {
            let length = limit + u.int_in_range(0..=2)? - 1;
            text.resize(length.max(text.len()), b' ');
        }
        1 => {
            let at = u.int_in_range(0..=text.len())?;
            text.truncate(at);
        }
        2 => {
            let at = u.int_in_range(0..=text.len())?;
            text.insert(at, u.arbitrary()?);
        }
        3 => text.extend(*u.choose(&[&b"\0"[..], b"{}", b"\n", b"\xff", b"x"])?),
        _ => {
            let (from, to) = u.choose(&REPLACEMENTS)?;
            *text = replace_first(text, from.as_bytes(), to.as_bytes());
        }
    }
    Ok(())
}

fn replace_first(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|at| at == from) {
        Some(at) => [&text[..at], to, &text[at + from.len()..]].concat(),
        None => text.to_vec(),
    }
}
