//! Hosts that change headers and bodies of requests.

use base64::Engine;
use serde_json::Value;

use super::json::{LENIENT, each_body, headers, keep_last, low_name};
use crate::faulty::plain::Fault;
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<LowersHeaderNames>("request_fidelity"),
        dispatch::<DropsEmptyHeaders>("request_fidelity"),
        dispatch::<KeepsTheLastOfEqualHeaders>("request_fidelity"),
        dispatch::<HidesSecretHeaders>("request_fidelity"),
        dispatch::<DropsHopByHopHeaders>("request_fidelity"),
        dispatch::<KeepsAHundredHeaders>("request_fidelity"),
        dispatch::<EncodesBodiesAgain>("request_fidelity"),
        dispatch::<WritesBodiesInTheAlphabetOfUrls>("request_fidelity"),
        dispatch::<WrapsBodiesAt76>("request_fidelity"),
        dispatch::<CutsBodiesAt64Kib>("request_fidelity"),
        dispatch::<WritesMissingBodiesOfErrorsAsEmpty>("request_fidelity"),
        dispatch::<LeavesOutBodiesOver256Kib>("request_fidelity"),
    ]
}

#[derive(Default)]
pub struct LowersHeaderNames;

impl Fault for LowersHeaderNames {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for header in headers(request).into_iter().flatten() {
            header["name"] = low_name(header).into();
        }
    }
}

#[derive(Default)]
pub struct DropsEmptyHeaders;

impl Fault for DropsEmptyHeaders {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(headers) = headers(request) {
            headers.retain(|header| header["value_base64"] != "");
        }
    }
}

#[derive(Default)]
pub struct KeepsTheLastOfEqualHeaders;

impl Fault for KeepsTheLastOfEqualHeaders {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(headers) = headers(request) {
            keep_last(headers, low_name);
        }
    }
}

#[derive(Default)]
pub struct HidesSecretHeaders;

impl Fault for HidesSecretHeaders {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for header in headers(request).into_iter().flatten() {
            if ["authorization", "cookie", "x-api-key"].contains(&low_name(header).as_str()) {
                header["value_base64"] = "KioqKg==".into();
            }
        }
    }
}

#[derive(Default)]
pub struct DropsHopByHopHeaders;

impl Fault for DropsHopByHopHeaders {
    fn request(&mut self, _function: &str, request: &mut Value) {
        const HOP: [&str; 5] = ["connection", "host", "te", "transfer-encoding", "upgrade"];
        if let Some(headers) = headers(request) {
            headers.retain(|header| !HOP.contains(&low_name(header).as_str()));
        }
    }
}

#[derive(Default)]
pub struct KeepsAHundredHeaders;

impl Fault for KeepsAHundredHeaders {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(headers) = headers(request) {
            headers.truncate(100);
        }
    }
}

// Bodies and sizes.

#[derive(Default)]
pub struct EncodesBodiesAgain;

impl Fault for EncodesBodiesAgain {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_body(request, &mut |body| {
            if let Ok(bytes) = LENIENT.decode(&*body) {
                *body = LENIENT.encode(bytes);
            }
        });
    }
}

#[derive(Default)]
pub struct WritesBodiesInTheAlphabetOfUrls;

impl Fault for WritesBodiesInTheAlphabetOfUrls {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_body(request, &mut |body| {
            *body = body.replace('+', "-").replace('/', "_");
        });
    }
}

/// Breaks lines of base64 like MIME.
#[derive(Default)]
pub struct WrapsBodiesAt76;

impl Fault for WrapsBodiesAt76 {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_body(request, &mut |body| {
            let chars: Vec<char> = body.chars().collect();
            let lines = chars.chunks(76).map(|line| line.iter().collect::<String>());
            *body = lines.collect::<Vec<String>>().join("\r\n");
        });
    }
}

#[derive(Default)]
pub struct CutsBodiesAt64Kib;

impl Fault for CutsBodiesAt64Kib {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_body(request, &mut |body| {
            body.truncate(body.floor_char_boundary(64 << 10));
        });
    }
}

#[derive(Default)]
pub struct LeavesOutBodiesOver256Kib;

impl Fault for LeavesOutBodiesOver256Kib {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_body(request, &mut |body| {
            if body.len() > 256 << 10 {
                body.clear();
            }
        });
    }
}

#[derive(Default)]
pub struct WritesMissingBodiesOfErrorsAsEmpty;

impl Fault for WritesMissingBodiesOfErrorsAsEmpty {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let error = request.get_mut("error");
        if let Some(error) = error.filter(|error| error["body_base64"].is_null()) {
            error["body_base64"] = "".into();
        }
    }
}
