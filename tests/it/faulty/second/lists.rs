//! Hosts that change the candidates and events of requests.

use serde_json::Value;

use super::json::{keep_last, list};
use crate::faulty::plain::Fault;
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<KeepsSixteenCandidates>("request_fidelity"),
        dispatch::<SortsCandidates>("request_fidelity"),
        dispatch::<DropsCandidatesOfTheSameUpstream>("request_fidelity"),
        dispatch::<KeepsOneQuotaOfAWindow>("request_fidelity"),
        dispatch::<KeepsTheLast64Events>("request_fidelity"),
        dispatch::<MergesChunks>("request_fidelity"),
        dispatch::<NumbersChunksItself>("request_fidelity"),
        dispatch::<PutsTheEndOfARequestLast>("request_fidelity"),
        dispatch::<DropsEventsBehindTheEnd>("request_fidelity"),
    ]
}

#[derive(Default)]
pub struct KeepsSixteenCandidates;

impl Fault for KeepsSixteenCandidates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(candidates) = list(request, "candidates") {
            candidates.truncate(16);
        }
    }
}

#[derive(Default)]
pub struct SortsCandidates;

impl Fault for SortsCandidates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(candidates) = list(request, "candidates") {
            candidates.sort_by_key(|candidate| candidate["upstream_id"].to_string());
        }
    }
}

#[derive(Default)]
pub struct DropsCandidatesOfTheSameUpstream;

impl Fault for DropsCandidatesOfTheSameUpstream {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(candidates) = list(request, "candidates") {
            keep_last(candidates, |candidate| candidate["upstream_id"].to_string());
        }
    }
}

#[derive(Default)]
pub struct KeepsOneQuotaOfAWindow;

impl Fault for KeepsOneQuotaOfAWindow {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for candidate in list(request, "candidates").into_iter().flatten() {
            if let Some(quotas) = list(candidate, "subscription_quotas") {
                keep_last(quotas, |quota| quota["window"].to_string());
            }
        }
    }
}

#[derive(Default)]
pub struct KeepsTheLast64Events;

impl Fault for KeepsTheLast64Events {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(events) = list(request, "events") {
            events.drain(..events.len().saturating_sub(64));
        }
    }
}

#[derive(Default)]
pub struct MergesChunks;

impl Fault for MergesChunks {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let Some(events) = list(request, "events") else {
            return;
        };
        events.dedup_by(|chunk, before| {
            let are_chunks = chunk["kind"] == "chunk" && before["kind"] == "chunk";
            if are_chunks {
                let bytes = |chunk: &Value| chunk["total_bytes"].as_u64().unwrap_or(0);
                let sum = bytes(before).saturating_add(bytes(chunk));
                before["total_bytes"] = sum.into();
            }
            are_chunks
        });
    }
}

#[derive(Default)]
pub struct NumbersChunksItself;

impl Fault for NumbersChunksItself {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let events = list(request, "events").into_iter().flatten();
        let chunks = events.filter(|event| event["kind"] == "chunk");
        for (index, chunk) in chunks.enumerate() {
            chunk["batch_index"] = index.into();
        }
    }
}

#[derive(Default)]
pub struct PutsTheEndOfARequestLast;

impl Fault for PutsTheEndOfARequestLast {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(events) = list(request, "events") {
            events.sort_by_key(|event| event["kind"] == "request_finished");
        }
    }
}

#[derive(Default)]
pub struct DropsEventsBehindTheEnd;

impl Fault for DropsEventsBehindTheEnd {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(events) = list(request, "events")
            && let Some(end) = events
                .iter()
                .position(|event| event["kind"] == "request_finished")
        {
            events.truncate(end + 1);
        }
    }
}
