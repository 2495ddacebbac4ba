//! Building blocks of planted plugins.

use cc_lb_plugin_wire::v1::build_signer::BuildSignerFn;
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::v1::sign::SignFn;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{Guest, accept, escape, set_output};

/// Returns the healthy answer of a function.
pub fn healthy<F: WireFunction>() -> String {
    let mut answer = serde_json::to_value(F::dry_run_response()).expect("a response serializes");
    answer["_v"] = 1.into();
    answer.to_string()
}

/// Functions that the bugs use: they read the input into memory from 64 KiB on, and search it.
const LIBRARY: &str = r#"
    (memory 32)
    (global $length (mut i32) (i32.const 0))
    (global $calls (mut i32) (i32.const 0))
    (global $built (mut i32) (i32.const 0))
    (global $kept (mut i32) (i32.const 0))
    (func $read
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (global.set $length (i32.const 0))
        (block $end (loop $more
            (br_if $end (i64.ge_u (i64.extend_i32_u (global.get $length)) (call $input_length)))
            (i32.store8 (i32.add (global.get $length) (i32.const 0x10000))
                (call $input_load_u8 (i64.extend_i32_u (global.get $length))))
            (global.set $length (i32.add (global.get $length) (i32.const 1)))
            (br $more))))
    ;; Counts the occurrences of the $n bytes at $text in the input.
    (func $count (param $text i32) (param $n i32) (result i32)
        (local $at i32) (local $same i32) (local $found i32)
        (block $end (loop $more
            (br_if $end (i32.gt_s (i32.add (local.get $at) (local.get $n)) (global.get $length)))
            (local.set $same (i32.const 0))
            (block $differs (loop $next
                (br_if $differs (i32.ge_u (local.get $same) (local.get $n)))
                (br_if $differs (i32.ne
                    (i32.load8_u (i32.add (local.get $text) (local.get $same)))
                    (i32.load8_u offset=0x10000 (i32.add (local.get $at) (local.get $same)))))
                (local.set $same (i32.add (local.get $same) (i32.const 1)))
                (br $next)))
            (local.set $found (i32.add (local.get $found) (i32.eq (local.get $same) (local.get $n))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more)))
        (local.get $found))
    ;; Returns the depth of the input's brackets.
    (func $depth (result i32)
        (local $at i32) (local $open i32) (local $most i32) (local $byte i32)
        (block $end (loop $more
            (br_if $end (i32.ge_u (local.get $at) (global.get $length)))
            (local.set $byte (i32.load8_u offset=0x10000 (local.get $at)))
            (if (i32.or (i32.eq (local.get $byte) (i32.const 0x5b)) (i32.eq (local.get $byte) (i32.const 0x7b)))
                (then (local.set $open (i32.add (local.get $open) (i32.const 1)))))
            (if (i32.or (i32.eq (local.get $byte) (i32.const 0x5d)) (i32.eq (local.get $byte) (i32.const 0x7d)))
                (then (local.set $open (i32.sub (local.get $open) (i32.const 1)))))
            (if (i32.gt_s (local.get $open) (local.get $most))
                (then (local.set $most (local.get $open))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more)))
        (local.get $most))
    ;; Counts the bytes of the input from $from to $to.
    (func $bytes (param $from i32) (param $to i32) (result i32)
        (local $at i32) (local $byte i32) (local $found i32)
        (block $end (loop $more
            (br_if $end (i32.ge_u (local.get $at) (global.get $length)))
            (local.set $byte (i32.load8_u offset=0x10000 (local.get $at)))
            (local.set $found (i32.add (local.get $found) (i32.and
                (i32.ge_u (local.get $byte) (local.get $from))
                (i32.le_u (local.get $byte) (local.get $to)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more)))
        (local.get $found))
    (func $spin (loop $more (br $more)))
    (func $spend (param $times i32)
        (loop $more
            (local.set $times (i32.sub (local.get $times) (i32.const 1)))
            (br_if $more (i32.gt_s (local.get $times) (i32.const 0)))))
    ;; Keeps the first marker. The beginning of markers is no constant of this module, so that the
    ;; dictionary does not contain it.
    (func $keep (local $at i32)
        (if (i32.load (i32.const 0x8000)) (then (return)))
        (block $end (loop $more
            (br_if $end (i32.ge_u (local.get $at) (global.get $length)))
            (if (i64.eq (i64.load offset=0x10000 (local.get $at))
                    (i64.xor (i64.const -1) (i64.const -7742357831833903972)))
                (then
                    (memory.copy (i32.const 0x8000)
                        (i32.add (local.get $at) (i32.const 0x10000)) (i32.const 16))
                    (return)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more))))
    ;; Returns the $n bytes at $text as the answer, with the kept marker at offset $from.
    (func $tell (param $text i32) (param $n i32) (param $from i32) (local $output i64) (local $at i32)
        (if (i32.load (i32.const 0x8000)) (then
            (memory.copy (i32.add (local.get $text) (local.get $from)) (i32.const 0x8000) (i32.const 16))))
        (local.set $output (call $alloc (i64.extend_i32_u (local.get $n))))
        (loop $more
            (call $store_u8 (i64.add (local.get $output) (i64.extend_i32_u (local.get $at)))
                (i32.load8_u (i32.add (local.get $text) (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $at) (local.get $n))))
        (call $output_set (local.get $output) (i64.extend_i32_u (local.get $n))))
"#;

/// Returns a plugin that has `shape`, `build_signer` and `sign`, and these strings in its data.
/// `shape` and `sign` run the given code before they return the healthy answer.
pub fn plugin(texts: &[&str], shape: &str, sign: &str) -> Vec<u8> {
    plugin_with_state(texts, shape, sign, &healthy::<BuildSignerFn>())
}

/// Does the same, with this answer of `build_signer`.
pub fn plugin_with_state(texts: &[&str], shape: &str, sign: &str, signer: &str) -> Vec<u8> {
    let mut guest = Guest::shape("");
    let functions = ["shape", "build_signer", "sign"];
    let for_each = |form: fn(&str) -> String| functions.map(form).join(",");
    guest.handshake = accept(
        &for_each(|name| format!(r#""{name}":1"#)),
        &for_each(|name| format!(r#""{name}":[1]"#)),
        &for_each(|name| format!(r#""{name}""#)),
        "",
    );
    let mut data = String::new();
    for (index, text) in texts.iter().enumerate() {
        data += &format!(
            "(data (i32.const {}) \"{}\")\n",
            address(index),
            escape(text)
        );
    }
    let function = |name: &str, before: &str, answer: String| {
        format!(
            r#"(func (export "{name}") (result i32) (call $read) {before} {} (i32.const 0))"#,
            set_output(&answer)
        )
    };
    let built = "(global.set $built (i32.add (global.get $built) (i32.const 1)))";
    guest.functions = [
        LIBRARY.to_owned(),
        data,
        function("shape", shape, healthy::<ShapeFn>()),
        function("build_signer", built, signer.to_owned()),
        function("sign", sign, healthy::<SignFn>()),
    ]
    .concat();
    guest.wasm()
}

pub fn address(index: usize) -> usize {
    16 + 128 * index
}

/// Returns a condition: the input contains the string with this index at least this many times.
pub fn has(index: usize, text: &str, times: u32) -> String {
    let (address, length) = (address(index), text.len());
    format!(
        "(i32.ge_u (call $count (i32.const {address}) (i32.const {length})) (i32.const {times}))"
    )
}

pub fn traps_if(condition: &str) -> String {
    format!("(if {condition} (then (unreachable)))")
}
