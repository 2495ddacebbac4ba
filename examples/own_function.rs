//! Fuzzing a wire function of your own: a request type that generates it, a vocabulary, an offer.
//!
//! Run it with `cargo run --example own_function`.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use cc_lb_fuzz::campaign::{self, Event};
use cc_lb_fuzz::dispatch::FallbackPolicy;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::{Carrier, Generates, Label};
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::{Deserialize, Serialize};

/// The wire function, as a host would define it.
struct Score;

#[derive(Serialize, Deserialize)]
struct ScoreRequest {
    name: String,
    weight: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoreResponse {
    score: u32,
}

impl WireFunction for Score {
    const NAME: &'static str = "score";
    const FALLBACK: FallbackPolicy = FallbackPolicy::UseDefault;
    const SUPPORTED_VERSIONS: &'static [u32] = &[3];
    type Request = ScoreRequest;
    type Response = ScoreResponse;

    fn dry_run_request() -> ScoreRequest {
        ScoreRequest {
            name: "dry-run".to_owned(),
            weight: 1,
        }
    }

    fn dry_run_response() -> ScoreResponse {
        ScoreResponse { score: 0 }
    }
}

/// The generated form of its request. Field types of the library have realistic, boundary and
/// arbitrary values; any other type that `arbitrary` and `proptest` generate works too.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Arbitrary, proptest_derive::Arbitrary,
)]
struct GeneratedScore {
    name: Label,
    weight: i64,
}

impl Generates<Score> for GeneratedScore {
    fn into_request(self) -> ScoreRequest {
        ScoreRequest {
            name: self.name.0,
            weight: self.weight,
        }
    }

    fn dry_run() -> Self {
        Self {
            name: Label("dry-run".to_owned()),
            weight: 1,
        }
    }
}

impl Carrier for GeneratedScore {
    fn carry(&mut self, text: String) {
        self.name.0 = text;
    }
}

cc_lb_fuzz::vocabulary! {
    /// Everything that the campaign says.
    enum Vocabulary {
        /// Our only function.
        Score(GeneratedScore) => Score, "score_v3";
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wasm = wat::parse_str(include_str!("../guests/has_a_function_of_its_own.wat"))?;
    let mut offer = build_offer(&BTreeSet::new());
    let versions = Score::SUPPORTED_VERSIONS.to_vec();
    offer
        .function_versions
        .insert(Score::NAME.to_owned(), versions);
    let host = PluginHost::with_offer(&wasm, &offer)?;
    let plan = Plan::plugin::<Vocabulary>(1, 1_000);
    let summary = campaign::run::<_, Vocabulary>(&host, Subject::Plugin, &plan, &mut |event| {
        if let Event::Finding(finding) = event {
            eprintln!("{finding:#?}");
        }
    })?;
    let stats = &summary.functions[0];
    println!(
        "{}: {} dispatches, {} ok",
        stats.function.label, stats.counts.dispatches, stats.counts.ok
    );
    println!("fallbacks: {:?}", stats.counts.fallbacks);
    assert_eq!(
        summary.findings, 0,
        "the plugin refuses what it does not like, and that is no fault"
    );
    assert!(stats.counts.ok > 0 && stats.counts.fallbacks["guest error"] > 0);
    Ok(())
}
