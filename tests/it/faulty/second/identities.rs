//! Hosts that misread an identity or an offer.

use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::identity::read_identity;
use cc_lb_fuzz::host::{Loader, PluginHost};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::identity::{CC_LB_PLUGIN_SECTION_NAME, PluginIdentity};
use cc_lb_plugin_wire::limits::{CUSTOM_SECTION_MAX_SIZE, IMPLEMENTED_FUNCTIONS_MAX};
use serde_json::Value;
use wasm_encoder::{CustomSection, Module};
use wasmparser::Payload;

use crate::faulty::openings::{LoadResult, changed, each_section, loader};
use crate::faulty::{FaultyHost, faulty_loader};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        faulty_loader::<TakesTheLastOfTwoIdentities>(),
        faulty_loader::<PassesOverEmptyIdentities>(),
        faulty_loader::<AcceptsPluginNamesInCapitals>(),
        faulty_loader::<AcceptsUnknownFieldsInTheIdentity>(),
        faulty_loader::<AcceptsPluginNamesOf65Bytes>(),
        faulty_loader::<CountsTheCharactersOfThePluginVersion>(),
        faulty_loader::<ReadsIdentitiesOfMoreThan64Kib>(),
        faulty_loader::<CutsTheIdentityAtNul>(),
        faulty_loader::<TurnsAwayLaterAbiEnvelopes>(),
        faulty_loader::<TurnsAwayAPluginBeside17Functions>(),
        faulty_loader::<TurnsAwayAPluginBesideAFunctionWithoutVersions>(),
        faulty_loader::<PanicsOnFunctionsWithoutVersions>(),
        faulty_loader::<TurnsAwayAPluginBesideUnsortedVersions>(),
        faulty_loader::<CountsVersionsThatDiffer>(),
        faulty_loader::<LeavesOutThe33rdCapability>(),
        faulty_loader::<TurnsAwayAPluginBesideACapabilityOf64Bytes>(),
        faulty_loader::<WantsTheHighestVersionOfTheOffer>(),
    ]
}

/// Returns the error of a host that rejects a valid plugin.
pub(super) fn refused<H>(field: &'static str) -> LoadResult<H> {
    Err(HandshakeError::InvalidIdentity {
        field,
        reason: "it is refused".to_owned(),
    })
}

// Identities.

/// Returns the module with each of its identities changed or removed.
fn with_sections(wasm: &[u8], mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut module = Module::new();
    each_section(wasm, |payload, section| match payload {
        Payload::CustomSection(custom) if custom.name() == CC_LB_PLUGIN_SECTION_NAME => {
            if let Some(data) = change(custom.data()) {
                let name = custom.name().into();
                let data = data.into();
                module.section(&CustomSection { name, data });
            }
        }
        _ => drop(module.section(&section)),
    });
    module.finish()
}

/// Returns the module with its identity changed, if the identity can be parsed.
fn with_identity(wasm: &[u8], change: impl Fn(&mut PluginIdentity)) -> Vec<u8> {
    with_sections(wasm, |data| {
        let Ok(mut identity) = serde_json::from_slice::<PluginIdentity>(data) else {
            return Some(data.to_vec());
        };
        change(&mut identity);
        Some(serde_json::to_vec(&identity).expect("it is JSON"))
    })
}

loader!(TakesTheLastOfTwoIdentities, |wasm, offer| {
    let mut count = 0;
    with_sections(wasm, |_| {
        count += 1;
        None
    });
    let last = with_sections(wasm, |data| {
        count -= 1;
        (count == 0).then(|| data.to_vec())
    });
    PluginHost::with_offer(&last, offer)
});

loader!(PassesOverEmptyIdentities, |wasm, offer| {
    let some = with_sections(wasm, |data| (!data.is_empty()).then(|| data.to_vec()));
    PluginHost::with_offer(&some, offer)
});

loader!(AcceptsUnknownFieldsInTheIdentity, |wasm, offer| {
    let known = with_sections(wasm, |data| {
        let mut identity = serde_json::from_slice::<Value>(data).unwrap_or_default();
        let Some(fields) = identity.as_object_mut() else {
            return Some(data.to_vec());
        };
        let known = ["magic", "abi_envelope", "plugin_name", "plugin_version"];
        fields.retain(|name, _| known.contains(&name.as_str()));
        Some(identity.to_string().into_bytes())
    });
    PluginHost::with_offer(wasm, offer).or_else(|_| PluginHost::with_offer(&known, offer))
});

loader!(AcceptsPluginNamesOf65Bytes, |wasm, offer| {
    let shorter = with_identity(wasm, |identity| {
        if identity.plugin_name.len() == 65 {
            identity.plugin_name.pop();
        }
    });
    PluginHost::with_offer(&shorter, offer)
});

loader!(AcceptsPluginNamesInCapitals, |wasm, offer| {
    let lower = with_identity(wasm, |identity| identity.plugin_name.make_ascii_lowercase());
    PluginHost::with_offer(&lower, offer)
});

loader!(CountsTheCharactersOfThePluginVersion, |wasm, offer| {
    let shorter = with_identity(wasm, |identity| {
        let version = &mut identity.plugin_version;
        if version.len() > 32 && version.chars().count() <= 32 {
            "1.0.0".clone_into(version);
        }
    });
    PluginHost::with_offer(&shorter, offer)
});

loader!(ReadsIdentitiesOfMoreThan64Kib, |wasm, offer| {
    let small = with_sections(wasm, |data| {
        let large = data.len() > CUSTOM_SECTION_MAX_SIZE;
        let identity = serde_json::from_slice::<PluginIdentity>(data).ok();
        let identity = identity
            .filter(|_| large)
            .and_then(|it| serde_json::to_vec(&it).ok());
        Some(identity.unwrap_or_else(|| data.to_vec()))
    });
    PluginHost::with_offer(&small, offer)
});

loader!(CutsTheIdentityAtNul, |wasm, offer| {
    let cut = with_sections(wasm, |data| {
        data.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)
    });
    PluginHost::with_offer(&cut, offer)
});

loader!(TurnsAwayLaterAbiEnvelopes, |wasm, offer| {
    if read_identity(wasm).is_ok_and(|identity| identity.abi_envelope > 1) {
        return refused("abi_envelope");
    }
    PluginHost::with_offer(wasm, offer)
});

// Offers.

// It applies the maximum number of functions of a plugin to the offer.
loader!(TurnsAwayAPluginBeside17Functions, |wasm, offer| {
    if offer.function_versions.len() > IMPLEMENTED_FUNCTIONS_MAX {
        return refused("function_versions");
    }
    PluginHost::with_offer(wasm, offer)
});

loader!(
    TurnsAwayAPluginBesideAFunctionWithoutVersions,
    |wasm, offer| {
        if offer.function_versions.values().any(Vec::is_empty) {
            return refused("function_versions");
        }
        PluginHost::with_offer(wasm, offer)
    }
);

loader!(PanicsOnFunctionsWithoutVersions, |wasm, offer| {
    let host = PluginHost::with_offer(wasm, offer)?;
    let mut versions = offer.function_versions.values();
    assert!(
        versions.all(|versions| versions.iter().max() > Some(&0)),
        "there is one"
    );
    Ok(host)
});

loader!(TurnsAwayAPluginBesideUnsortedVersions, |wasm, offer| {
    if !offer
        .function_versions
        .values()
        .all(|versions| versions.is_sorted())
    {
        return refused("function_versions");
    }
    PluginHost::with_offer(wasm, offer)
});

// Equal versions count once.
loader!(CountsVersionsThatDiffer, |wasm, offer| {
    let less = changed(offer, |offer| {
        for versions in offer.function_versions.values_mut() {
            versions.sort_unstable();
            versions.dedup();
        }
    });
    PluginHost::with_offer(wasm, offer).or_else(|_| PluginHost::with_offer(wasm, &less))
});

loader!(LeavesOutThe33rdCapability, |wasm, offer| {
    let less = changed(offer, |offer| {
        if offer.host_capabilities.len() == 33 {
            offer.host_capabilities.pop_last();
        }
    });
    PluginHost::with_offer(wasm, &less)
});

loader!(TurnsAwayAPluginBesideACapabilityOf64Bytes, |wasm, offer| {
    if offer.host_capabilities.iter().any(|name| name.len() == 64) {
        return refused("host_capabilities");
    }
    PluginHost::with_offer(wasm, offer)
});

loader!(WantsTheHighestVersionOfTheOffer, |wasm, offer| {
    let host = PluginHost::with_offer(wasm, offer)?;
    for (function, chosen) in &host.metadata().negotiated_functions {
        let highest = offer.function_versions[function].iter().max();
        let highest = *highest.expect("the chosen one is there");
        if *chosen < highest {
            return Err(HandshakeError::DowngradeAttempt {
                function: function.clone(),
                host_offered_max: highest,
                plugin_chose: *chosen,
            });
        }
    }
    Ok(host)
});
