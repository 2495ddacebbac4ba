//! Bodies that are almost what a plugin expects. A plugin that parses JSON reads fields that may be
//! missing, empty or of another type.

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::case::tree;

/// JSON that is not an object, or an empty one.
const EDGES: [&str; 9] = [
    "[]", "{}", "null", "true", "0", "-1", r#""""#, "[null]", "[{}]",
];

/// Returns the samples that are mutated: two requests and an error.
fn samples() -> [Value; 3] {
    [
        json!({
            "model": "claude-sonnet-4-5",
            "max_tokens": 1024,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello!"},
                {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
            ],
        }),
        json!({
            "model": "claude-sonnet-4-5",
            "max_tokens": 512,
            "stream": true,
            "thinking": {"type": "enabled", "budget_tokens": 256},
            "metadata": {"user_id": "u-1"},
            "tools": [{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "auto"},
            "messages": [{"role": "user", "content": "Weather in Paris?"}],
        }),
        json!({
            "type": "error",
            "error": {"type": "rate_limit_error", "message": "Slow down"},
            "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
        }),
    ]
}

/// Bodies that are not JSON: responses of proxies, and a stream.
const OTHERS: [&str; 4] = [
    "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>",
    "upstream connect error or disconnect/reset before headers",
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    "data: [DONE]\n\n",
];

/// Returns the [`EDGES`], the [`OTHERS`], the samples and their single mutations, in base64.
pub(crate) fn mutated_bodies() -> &'static [String] {
    static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
        let edges = EDGES.into_iter().chain(OTHERS).map(str::to_owned);
        let mutated = samples().into_iter().flat_map(|sample| {
            let changed = single_mutations(&sample);
            std::iter::once(sample).chain(changed)
        });
        let all = edges.chain(mutated.map(|body| tree::text(&body)));
        all.map(|body| BASE64_STANDARD.encode(body)).collect()
    });
    &ALL
}

/// JSON values that a parser may not expect.
pub(crate) static UNEXPECTED_VALUES: LazyLock<[Value; 10]> = LazyLock::new(|| {
    [
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(1),
        json!(true),
        json!(f64::MAX),
    ]
});

/// Returns a typical request body, in base64.
pub(crate) fn typical_body() -> &'static str {
    static BODY: LazyLock<String> = LazyLock::new(|| {
        let [_, request, _] = &samples();
        BASE64_STANDARD.encode(tree::text(request))
    });
    &BODY
}

/// Returns the sample with each of its values in turn replaced or removed.
pub(crate) fn single_mutations(sample: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for path in tree::paths(sample, |_| true) {
        for value in UNEXPECTED_VALUES.iter() {
            let mut other = sample.clone();
            tree::replace(&mut other, &path, value.clone());
            all.push(other);
        }
        all.push(without(sample, &path));
    }
    all
}

/// Returns the sample without the field or item at a path.
fn without(sample: &Value, path: &str) -> Value {
    let mut other = sample.clone();
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    match other.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(key)),
        Some(Value::Array(items)) => {
            let index = key.parse().unwrap_or(usize::MAX);
            if index < items.len() {
                items.remove(index);
            }
        }
        _ => {}
    }
    other
}
