//! Plugins with one planted bug each, and healthy ones that resemble them.

use cc_lb_plugin_wire::v1::shape::ShapeFn;

use super::library::{address, has, healthy, plugin, traps_if};
use super::limits;
use crate::common::set_output;

/// A plugin, and the key of its only finding.
pub struct Planted {
    pub name: &'static str,
    pub wasm: Vec<u8>,
    pub finds: Option<&'static str>,
}

/// Returns all plugins.
pub fn all() -> Vec<Planted> {
    let own = [
        ("is healthy", healthy_one(), None),
        ("answers in turns", round_robin(), None),
        ("has a cache of bounded size", cache(), None),
        ("takes memory at first", takes_memory_at_first(), None),
        ("is slow for each byte", slow(), None),
        (
            "traps at five headers",
            many_headers(),
            Some("plugin_fault-shape-trap: unreachable-"),
        ),
        (
            "traps at one exact word",
            exact_word(),
            Some("plugin_fault-shape-trap: unreachable-"),
        ),
        (
            "traps at sixty levels",
            deep(),
            Some("plugin_fault-shape-trap: unreachable-"),
        ),
        (
            "traps at three fields together",
            fields_together(),
            Some("plugin_fault-shape-trap: unreachable-"),
        ),
        (
            "traps at the ninetieth call",
            long_session(),
            Some("plugin_fault-shape-trap: unreachable-"),
        ),
        (
            "traps at the three thousandth call",
            three_thousandth_call(),
            Some("plugin_fault-shape-trap: unreachable-"),
        ),
        (
            "costs the square of the headers",
            headers_squared(),
            Some("plugin_fault-shape-out of fuel in spend-"),
        ),
        (
            "reads every body that it was ever sent",
            keeps_bodies(),
            Some("no_drift-shape-fuel-"),
        ),
        (
            "traps in sign behind two build_signer",
            sequence(),
            Some("plugin_fault-sign-trap: unreachable-"),
        ),
        (
            "breaks sign for good",
            breaks_itself(),
            Some("plugin_fault-sign-exit code 9-"),
        ),
        (
            "does more with every call",
            does_more(),
            Some("no_drift-sign-fuel-"),
        ),
        (
            "takes memory with every eighth call",
            takes_memory(),
            Some("no_drift-sign-memory-"),
        ),
        (
            "takes memory for a query",
            takes_memory_for_a_query(),
            Some("no_drift-shape-memory-"),
        ),
        (
            "answers with another's words",
            returns_data_of_others(),
            Some("no_carryover-sign--"),
        ),
        (
            "reads states outside of ASCII slowly",
            limits::slow_on_non_ascii_states(),
            Some("plugin_limit-sign-out of fuel-"),
        ),
        (
            "escapes zeroes slowly",
            limits::slow_on_zeroes(),
            Some("plugin_limit-shape-out of fuel-"),
        ),
        (
            "escapes every body slowly",
            limits::slow_on_bodies(),
            Some("plugin_fault-shape-out of fuel in spend-"),
        ),
        (
            "costs the square of the request",
            squared(),
            Some("linear_cost-shape--"),
        ),
    ];
    let own = own.map(|(name, wasm, finds)| Planted { name, wasm, finds });
    own.into_iter().chain(faults()).collect()
}

pub fn healthy_one() -> Vec<u8> {
    plugin(&[], "", "")
}

/// Alternates between two answers, on purpose.
pub fn round_robin() -> Vec<u8> {
    let other = r#"{"_v":1,"body_base64":"","headers":[],"method":"GET","url":"other"}"#;
    let answer = set_output(other);
    let every_other = format!(
        "(if (i32.and (global.get $calls) (i32.const 1)) (then {answer} (return (i32.const 0))))"
    );
    plugin(&[], &every_other, "")
}

pub fn many_headers() -> Vec<u8> {
    let text = r#""value_base64":"#;
    plugin(&[text], &traps_if(&has(0, text, 5)), "")
}

/// The word that [`exact_word`] traps on.
pub const WORD: &str = "x-canary-7f3a";

pub fn exact_word() -> Vec<u8> {
    plugin(&[WORD], &traps_if(&has(0, WORD, 1)), "")
}

pub fn deep() -> Vec<u8> {
    let deep = "(i32.ge_u (call $depth) (i32.const 60))";
    plugin(&[], &traps_if(deep), "")
}

pub fn fields_together() -> Vec<u8> {
    let texts = [
        r#""method":"DELETE""#,
        r#""query":null"#,
        r#""path":"/v1/models""#,
    ];
    let all = format!(
        "(i32.and {} (i32.and (i32.eqz {}) {}))",
        has(0, texts[0], 1),
        has(1, texts[1], 1),
        has(2, texts[2], 1)
    );
    plugin(&texts, &traps_if(&all), "")
}

pub fn long_session() -> Vec<u8> {
    let long = "(i32.ge_u (global.get $calls) (i32.const 90))";
    plugin(&[], &traps_if(long), "")
}

pub fn three_thousandth_call() -> Vec<u8> {
    let long = "(i32.ge_u (global.get $calls) (i32.const 3000))";
    plugin(&[], &traps_if(long), "")
}

/// Runs out of fuel at about 150 headers, which may be as short as 40 bytes.
pub fn headers_squared() -> Vec<u8> {
    let text = r#""value_base64":"#;
    let count = format!(
        "(call $count (i32.const {}) (i32.const {}))",
        address(0),
        text.len()
    );
    let squared = format!(
        "(global.set $kept {count}) (call $spend (i32.mul (i32.const 64)
            (i32.mul (global.get $kept) (global.get $kept))))"
    );
    plugin(&[text], &squared, "")
}

/// Keeps every body that is not empty, and reads all of them on each call.
pub fn keeps_bodies() -> Vec<u8> {
    let empty = r#""body_base64":"","#;
    let keeps = format!(
        "(global.set $kept (i32.add (global.get $kept) (i32.eqz {})))
        (call $spend (i32.mul (global.get $kept) (i32.const 20)))",
        has(0, empty, 1)
    );
    plugin(&[empty], &keeps, "")
}

pub fn sequence() -> Vec<u8> {
    let built = "(i32.eq (global.get $built) (i32.const 2))";
    plugin(&[], "", &traps_if(built))
}

/// Two functions fail in the same way because of two bugs.
pub fn two_bugs() -> Vec<u8> {
    let texts = [r#""query":"""#, r#""url":"""#];
    let fails_at = |index| {
        format!(
            "(if {} (then (return (i32.const 7))))",
            has(index, texts[index], 1)
        )
    };
    plugin(&texts, &fails_at(0), &fails_at(1))
}

/// Returns a plugin for each kind of fault, which `shape` shows on a request with a query.
pub fn faults() -> Vec<Planted> {
    let text = r#""query":""#;
    let faulty = |code: &str| {
        let shape = format!(
            "(if {} (then {code} (return (i32.const 0))))",
            has(0, text, 1)
        );
        plugin(&[text], &shape, "")
    };
    let answer = |answer: &str| faulty(&set_output(answer));
    let other = healthy::<ShapeFn>().replace("\"_v\":1", "\"_v\":2");
    let unsound = healthy::<ShapeFn>().replace("\"method\":", "\"methods\":");
    let urls = healthy::<ShapeFn>().replace(r#""body_base64":""#, r#""body_base64":"-_-_"#);
    assert_ne!(urls, healthy::<ShapeFn>());
    let all = [
        (
            "divides by zero",
            faulty("(i32.div_u (i32.const 1) (i32.const 0)) drop"),
            "plugin_fault-shape-trap: division by zero-",
        ),
        (
            "has an exit code",
            faulty("(return (i32.const 7))"),
            "plugin_fault-shape-exit code 7-",
        ),
        (
            "has no end",
            faulty("(call $spin)"),
            "plugin_fault-shape-out of fuel in spin-",
        ),
        (
            "answers with nothing",
            answer(""),
            "plugin_fault-shape-undecodable: not JSON, EOF while parsing a value-",
        ),
        (
            "answers with a list",
            answer("[]"),
            "plugin_fault-shape-undecodable: not a JSON object-",
        ),
        (
            "answers without a version",
            answer("{}"),
            "plugin_fault-shape-undecodable: no _v-",
        ),
        (
            "answers in another version",
            answer(&other),
            "plugin_fault-shape-undecodable: wrong _v-",
        ),
        (
            "answers without a field",
            answer(&unsound),
            "plugin_fault-shape-undecodable: not the response, unknown field-",
        ),
        (
            "answers with another alphabet's base64",
            answer(&urls),
            "plugin_fault-shape-undecodable: not base64 in body_base64-",
        ),
    ];
    let all = all.map(|(name, wasm, finds)| Planted {
        name,
        wasm,
        finds: Some(finds),
    });
    all.into()
}

/// After a request with a query, `sign` returns an exit code permanently.
pub fn breaks_itself() -> Vec<u8> {
    let text = r#""query":""#;
    let breaks = format!(
        "(if {} (then (global.set $built (i32.const 1000))))",
        has(0, text, 1)
    );
    let broken =
        "(if (i32.ge_u (global.get $built) (i32.const 1000)) (then (return (i32.const 9))))";
    plugin(&[text], &breaks, broken)
}

pub fn does_more() -> Vec<u8> {
    plugin(&[], "", "(call $spend (global.get $calls))")
}

pub fn cache() -> Vec<u8> {
    let most = "(call $spend (select (global.get $calls) (i32.const 100)
        (i32.lt_u (global.get $calls) (i32.const 100))))";
    plugin(&[], "", most)
}

pub fn takes_memory() -> Vec<u8> {
    takes_memory_when("(i32.eqz (i32.and (global.get $calls) (i32.const 7)))")
}

pub fn takes_memory_at_first() -> Vec<u8> {
    takes_memory_when("(i32.lt_u (memory.size) (i32.const 40))")
}

/// Allocates memory on every request that has a query.
pub fn takes_memory_for_a_query() -> Vec<u8> {
    let text = r#""query":""#;
    let takes = format!(
        "(if {} (then (drop (memory.grow (i32.const 1)))))",
        has(0, text, 1)
    );
    plugin(&[text], &takes, "")
}

fn takes_memory_when(when: &str) -> Vec<u8> {
    let grows = format!("(if {when} (then (drop (memory.grow (i32.const 1)))))");
    plugin(&[], "", &grows)
}

/// `shape` keeps the first marker of a request, and `sign` returns it.
pub fn returns_data_of_others() -> Vec<u8> {
    let before = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""#;
    let answer = format!("{before}0123456789abcdef\"}}");
    let (length, from) = (answer.len(), before.len());
    let tell = format!(
        "(call $tell (i32.const {}) (i32.const {length}) (i32.const {from})) (return (i32.const 0))",
        address(0)
    );
    plugin(&[&answer], "(call $keep)", &tell)
}

/// Spends quadratic fuel. Runs out of fuel at about 25 KiB.
pub fn squared() -> Vec<u8> {
    let squared = "(call $spend (i32.div_u
        (i32.mul (global.get $length) (global.get $length)) (i32.const 372)))";
    plugin(&[], squared, "")
}

/// Spends linear fuel. Runs out of fuel at about 25 KiB too.
pub fn slow() -> Vec<u8> {
    let slow = "(call $spend (i32.mul (global.get $length) (i32.const 68)))";
    plugin(&[], slow, "")
}
