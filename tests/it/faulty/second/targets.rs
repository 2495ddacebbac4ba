//! Hosts that change paths, queries and URLs of requests.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::json::{http, list, text, url};
use crate::faulty::plain::Fault;
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<DecodesPercentsInPaths>("request_fidelity"),
        dispatch::<JoinsSlashesOfPaths>("request_fidelity"),
        dispatch::<ResolvesDotsInPaths>("request_fidelity"),
        dispatch::<PutsASlashBeforePaths>("request_fidelity"),
        dispatch::<SplitsPathsAtQuestionMarks>("request_fidelity"),
        dispatch::<WritesEmptyQueriesAsNull>("request_fidelity"),
        dispatch::<WritesPlusAsSpaceInQueries>("request_fidelity"),
        dispatch::<LowersTheHostOfUrls>("request_fidelity"),
        dispatch::<PutsASlashBehindTheHostOfUrls>("request_fidelity"),
        dispatch::<CutsFragmentsOfUrls>("request_fidelity"),
        dispatch::<DropsTheDefaultPortOfUrls>("request_fidelity"),
        dispatch::<TrimsTheSlashOfBaseUrls>("request_fidelity"),
        dispatch::<FillsInTheBaseUrl>("request_fidelity"),
        dispatch::<WritesMissingCacheScoresAsNull>("request_fidelity"),
        dispatch::<LeavesOutZerosOfCacheScores>("request_fidelity"),
    ]
}

#[derive(Default)]
pub struct DecodesPercentsInPaths;

impl Fault for DecodesPercentsInPaths {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(path) = text(http(request), "path") {
            *path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        }
    }
}

#[derive(Default)]
pub struct JoinsSlashesOfPaths;

impl Fault for JoinsSlashesOfPaths {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(path) = text(http(request), "path") {
            while path.contains("//") {
                *path = path.replace("//", "/");
            }
        }
    }
}

#[derive(Default)]
pub struct ResolvesDotsInPaths;

impl Fault for ResolvesDotsInPaths {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let Some(path) = text(http(request), "path") else {
            return;
        };
        let mut kept = Vec::new();
        for part in path.split('/') {
            match part {
                "." => {}
                ".." => {
                    kept.pop();
                }
                part => kept.push(part),
            }
        }
        let resolved = kept.join("/");
        *path = resolved;
    }
}

#[derive(Default)]
pub struct PutsASlashBeforePaths;

impl Fault for PutsASlashBeforePaths {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(path) = text(http(request), "path")
            && !path.starts_with('/')
        {
            path.insert(0, '/');
        }
    }
}

#[derive(Default)]
pub struct SplitsPathsAtQuestionMarks;

impl Fault for SplitsPathsAtQuestionMarks {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let http = http(request);
        let Some(path) = text(http, "path") else {
            return;
        };
        if let Some((before, behind)) = path.split_once('?') {
            let (before, behind) = (before.to_owned(), behind.to_owned());
            *path = before;
            http["query"] = behind.into();
        }
    }
}

/// Treats an empty query as none, like some URL parsers.
#[derive(Default)]
pub struct WritesEmptyQueriesAsNull;

impl Fault for WritesEmptyQueriesAsNull {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let http = http(request);
        if text(http, "query").is_some_and(|query| query.is_empty()) {
            http["query"] = Value::Null;
        }
    }
}

#[derive(Default)]
pub struct WritesPlusAsSpaceInQueries;

impl Fault for WritesPlusAsSpaceInQueries {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(query) = text(http(request), "query") {
            *query = query.replace('+', "%20");
        }
    }
}

#[derive(Default)]
pub struct LowersTheHostOfUrls;

impl Fault for LowersTheHostOfUrls {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(url) = url(request)
            && let Some((scheme, rest)) = url.split_once("://")
        {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let low = format!("{}://{}", scheme.to_lowercase(), host.to_lowercase());
            *url = low + path;
        }
    }
}

/// Normalizes URLs like the crate `url`.
#[derive(Default)]
pub struct PutsASlashBehindTheHostOfUrls;

impl Fault for PutsASlashBehindTheHostOfUrls {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(url) = url(request)
            && let Some((_, rest)) = url.split_once("://")
            && !rest.contains('/')
        {
            url.push('/');
        }
    }
}

#[derive(Default)]
pub struct CutsFragmentsOfUrls;

impl Fault for CutsFragmentsOfUrls {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(url) = url(request)
            && let Some(end) = url.find('#')
        {
            url.truncate(end);
        }
    }
}

#[derive(Default)]
pub struct DropsTheDefaultPortOfUrls;

impl Fault for DropsTheDefaultPortOfUrls {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(url) = url(request) {
            *url = url.replacen(":443/", "/", 1);
            if url.ends_with(":443") {
                url.truncate(url.len() - 4);
            }
        }
    }
}

#[derive(Default)]
pub struct TrimsTheSlashOfBaseUrls;

impl Fault for TrimsTheSlashOfBaseUrls {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(url) = text(request, "upstream_base_url") {
            *url = url.trim_end_matches('/').to_owned();
        }
    }
}

#[derive(Default)]
pub struct FillsInTheBaseUrl;

impl Fault for FillsInTheBaseUrl {
    fn request(&mut self, function: &str, request: &mut Value) {
        if function == "shape" && request.get("upstream_base_url").is_none() {
            request["upstream_base_url"] = "https://api.anthropic.com".into();
        }
    }
}

/// Serializes fields that should be omitted.
#[derive(Default)]
pub struct WritesMissingCacheScoresAsNull;

impl Fault for WritesMissingCacheScoresAsNull {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for candidate in list(request, "candidates").into_iter().flatten() {
            if candidate.get("cache_score").is_none() {
                candidate["cache_score"] = Value::Null;
            }
        }
    }
}

#[derive(Default)]
pub struct LeavesOutZerosOfCacheScores;

impl Fault for LeavesOutZerosOfCacheScores {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for candidate in list(request, "candidates").into_iter().flatten() {
            if let Some(Value::Object(score)) = candidate.get_mut("cache_score") {
                let indices = ["matched_breakpoint_index", "predicted_expires_at_unix_secs"];
                score.retain(|key, value| *value != 0 || !indices.contains(&key.as_str()));
            }
        }
    }
}
