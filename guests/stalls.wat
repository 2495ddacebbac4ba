;; `shape` never returns if the request is long, and otherwise takes some milliseconds. Both take
;; far more time than fuel.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))

  (@custom "cc_lb.plugin.v1"
    "{\22magic\22:[204,27,112,16,0,1,0,0],\22abi_envelope\22:1,\22plugin_name\22:\22stalls\22,\22plugin_version\22:\221.0.0\22}")

  (memory 17)
  (data (i32.const 0)
    "{\22handshake_schema_version\22:1,\22envelope_version\22:1,\22chosen_versions\22:{\22shape\22:1},"
    "\22plugin_supported\22:{\22shape\22:[1]},\22implemented_functions\22:[\22shape\22],\22required_capabilities\22:[]}")
  (data (i32.const 0x400) "{\22_v\22:1,\22url\22:\22\22,\22method\22:\22POST\22,\22headers\22:[],\22body_base64\22:\22\22}")

  (func (export "cc_lb_handshake") (result i32)
    (call $answer (i32.const 0) (i32.const 175))
    (i32.const 0))

  (func (export "shape") (result i32)
    (if (i64.gt_u (call $input_length) (i64.const 400)) (then (return (call $misbehave))))
    (call $dawdle)
    (call $answer (i32.const 0x400) (i32.const 63))
    (i32.const 0))

  (func $misbehave (result i32)
    (loop $more
      (memory.fill (i32.const 0x10000) (i32.const 0) (i32.const 0x100000))
      (br $more))
    (unreachable))

  (func $dawdle
    (local $rounds i32)
    (loop $more
      (memory.fill (i32.const 0x10000) (i32.const 0) (i32.const 0x100000))
      (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $rounds) (i32.const 40)))))

  ;; Sets the text of $length bytes at $from as the output.
  (func $answer (param $from i32) (param $length i32)
    (local $block i64) (local $at i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (loop $more
      (call $store_u8
        (i64.add (local.get $block) (i64.extend_i32_u (local.get $at)))
        (i32.load8_u (i32.add (local.get $from) (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (local.get $length))))
    (call $output_set (local.get $block) (i64.extend_i32_u (local.get $length)))))
