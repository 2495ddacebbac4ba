//! Arbitrary openings: sound ones, spoiled in the ways in which plugins and hosts get it wrong.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use cc_lb_plugin_wire::handshake::HandshakeAccept;
use cc_lb_plugin_wire::limits::{CUSTOM_SECTION_MAX_SIZE, HANDSHAKE_OUTPUT_MAX_BYTES};
use cc_lb_plugin_wire::wire_function::all_wire_functions;

use super::{Opening, Reply};
use crate::puppet::Bytes;

const IDENTITY: &str = r#"{"magic":[204,27,112,16,0,1,0,0],"abi_envelope":1,"plugin_name":"guest","plugin_version":"1.0.0"}"#;

/// Names of functions that are none of the wire's, some of which mean something to runtimes.
const OTHER_FUNCTIONS: [&str; 6] = ["route", "helper", "", "memory", "hs_init", "_initialize"];

const VERSIONS: [u32; 8] = [1, 2, 3, 0, 7, 65_535, 65_536, u32::MAX];

const CAPABILITIES: [&str; 4] = ["kv:read", "kv:write", "", "KV"];

/// What replaces what in an identity or an answer.
const REPLACEMENTS: [(&str, &str); 16] = [
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
    ("\"abi_envelope\":1", "\"abi_envelope\":-1"),
    ("\"abi_envelope\":1,", ""),
    ("{", "{\"extra\":1,"),
    ("{", "[{"),
    (":1", ":1.0"),
    ("_version", "_Version"),
];

impl Opening {
    /// A sound opening of these functions, each in version 1.
    pub fn sound<'a>(functions: impl IntoIterator<Item = &'a str>) -> Self {
        let functions: BTreeSet<String> = functions.into_iter().map(str::to_owned).collect();
        let all = all_wire_functions().iter();
        let mut opening = Self {
            identities: vec![IDENTITY.into()],
            reply: Reply::Missing,
            exports: functions.clone(),
            offered: all.map(|name| ((*name).to_owned(), vec![1])).collect(),
            capabilities: BTreeSet::new(),
        };
        opening.reply = Reply::Answer(write(&HandshakeAccept {
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
        opening
    }

    /// Changes the opening in one place.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    pub fn mutate(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match u.int_in_range(0..=15)? {
            0..=2 => self.mutate_identities(u)?,
            3..=8 => self.mutate_reply(u)?,
            9 | 10 => toggle(&mut self.exports, function(u)?),
            11 => toggle(&mut self.capabilities, capability(u)?),
            12 => {
                let count = u.int_in_range(31..=34)?;
                self.capabilities
                    .extend((0..count).map(|n| format!("cap{n}")));
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
        match u.int_in_range(0..=4)? {
            0 => {
                self.identities.pop();
            }
            1 => self.identities.push(IDENTITY.into()),
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
            Reply::Answer(bytes) | Reply::Trap(bytes) => bytes.clone(),
            Reply::Error(bytes, _) | Reply::ExitCode(bytes, _) => bytes.clone(),
            Reply::Missing => Bytes::default(),
        };
        self.reply = match u.int_in_range(0..=15)? {
            0 => Reply::Error(output, error(u)?),
            1 => Reply::ExitCode(output, *u.choose(&[1, -1, 0, 256, i32::MIN])?),
            2 => Reply::Trap(output),
            3 => Reply::Missing,
            4..=7 => {
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

    fn mutate_accept(
        &mut self,
        accept: &mut HandshakeAccept,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<()> {
        let name = function(u)?;
        match u.int_in_range(0..=9)? {
            // A version that both sides have, which may be a downgrade or an upgrade of what is there.
            0..=3 => {
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
            }
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

impl<'a> Arbitrary<'a> for Opening {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let all = all_wire_functions();
        let mut functions = Vec::new();
        for name in all {
            if u.arbitrary()? {
                functions.push(*name);
            }
        }
        let mut opening = Self::sound(functions);
        for _ in 0..u.int_in_range(0..=3)? {
            opening.mutate(u)?;
        }
        Ok(opening)
    }
}

fn write(accept: &HandshakeAccept) -> Bytes {
    // Maps with keys that are strings always serialize.
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
        0 => Ok((1..=u.int_in_range(15..=17)?).collect()),
        1 => Ok(Vec::new()),
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

/// Changes a text that has a limit of its length.
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
