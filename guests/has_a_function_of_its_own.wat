;; A plugin with a wire function that cc-lb does not publish: `score` answers 7, or refuses a
;; negative weight.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))

  (@custom "cc_lb.plugin.v1"
    "{\22magic\22:[204,27,112,16,0,1,0,0],\22abi_envelope\22:1,\22plugin_name\22:\22scorer\22,\22plugin_version\22:\221.0.0\22}")

  (memory 1)
  (data (i32.const 0)
    "{\22handshake_schema_version\22:1,\22envelope_version\22:1,\22chosen_versions\22:{\22score\22:3},"
    "\22plugin_supported\22:{\22score\22:[3]},\22implemented_functions\22:[\22score\22],"
    "\22required_capabilities\22:[]}\00")
  (data (i32.const 0x400) "{\22_v\22:3,\22score\22:7}\00")
  (data (i32.const 0x500) "a weight is not negative\00")

  (func (export "cc_lb_handshake") (result i32)
    (call $output (i32.const 0))
    (i32.const 0))

  (func (export "score") (result i32)
    (if (call $has_minus)
      (then
        (call $error_set (call $block (i32.const 0x500)))
        (return (i32.const 1))))
    (call $output (i32.const 0x400))
    (i32.const 0))

  (func $has_minus (result i32)
    (local $at i64)
    (block $none
      (loop $more
        (br_if $none (i64.ge_u (local.get $at) (call $input_length)))
        (if (i32.eq (call $input_load_u8 (local.get $at)) (i32.const 0x2d))
          (then (return (i32.const 1))))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $more)))
    (i32.const 0))

  (func $output (param $from i32)
    (call $output_set (call $block (local.get $from)) (call $length (local.get $from))))

  ;; Returns the length of the text at $from, up to its NUL.
  (func $length (param $from i32) (result i64)
    (local $length i64)
    (block $end
      (loop $more
        (br_if $end (i32.eqz (i32.load8_u (i32.add (local.get $from) (i32.wrap_i64 (local.get $length))))))
        (local.set $length (i64.add (local.get $length) (i64.const 1)))
        (br $more)))
    (local.get $length))

  ;; Returns a new block of Extism's memory with the text at $from.
  (func $block (param $from i32) (result i64)
    (local $length i64) (local $block i64) (local $at i64)
    (local.set $length (call $length (local.get $from)))
    (local.set $block (call $alloc (local.get $length)))
    (block $end
      (loop $more
        (br_if $end (i64.ge_u (local.get $at) (local.get $length)))
        (call $store_u8
          (i64.add (local.get $block) (local.get $at))
          (i32.load8_u (i32.add (local.get $from) (i32.wrap_i64 (local.get $at)))))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $more)))
    (local.get $block)))
