//! Bodies that are nearly what a plugin expects: a plugin that reads JSON looks for fields that may be missing, empty or of
//! another type.

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::tree;

/// JSON that is no object, or an empty one.
const EDGES: [&str; 9] = [
    "[]", "{}", "null", "true", "0", "-1", r#""""#, "[null]", "[{}]",
];

/// What the others are near to: two requests and an error.
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

/// The [`EDGES`] and what is one change away from the samples, in base64.
pub(crate) fn near_bodies() -> &'static [String] {
    static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut all: Vec<String> = EDGES.map(str::to_owned).into();
        for sample in samples() {
            all.push(sample.to_string());
            for path in tree::paths(&sample, |_| true) {
                let others = [
                    json!(null),
                    json!(""),
                    json!([]),
                    json!({}),
                    json!(0),
                    json!(-1),
                ];
                let others = others.into_iter().map(|value| {
                    let mut other = sample.clone();
                    tree::place(&mut other, &path, value);
                    other
                });
                all.extend(
                    others
                        .chain([without(&sample, &path)])
                        .map(|other| other.to_string()),
                );
            }
        }
        all.iter()
            .map(|json| BASE64_STANDARD.encode(json))
            .collect()
    });
    &ALL
}

/// The sample without the field or item at this path.
fn without(sample: &Value, path: &str) -> Value {
    let mut other = sample.clone();
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    match other.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(key)),
        Some(Value::Array(items)) => {
            let place = key.parse().unwrap_or(usize::MAX);
            if place < items.len() {
                items.remove(place);
            }
        }
        _ => {}
    }
    other
}
