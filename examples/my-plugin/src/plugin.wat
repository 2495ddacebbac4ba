;; A plugin that answers every `shape` alike.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))

  (@custom "cc_lb.plugin.v1"
    "{\22magic\22:[204,27,112,16,0,1,0,0],\22abi_envelope\22:1,\22plugin_name\22:\22my-plugin\22,\22plugin_version\22:\221.0.0\22}")

  (memory 1)
  (data (i32.const 0)
    "{\22handshake_schema_version\22:1,\22envelope_version\22:1,\22chosen_versions\22:{\22shape\22:1},"
    "\22plugin_supported\22:{\22shape\22:[1]},\22implemented_functions\22:[\22shape\22],"
    "\22required_capabilities\22:[]}\00")
  (data (i32.const 0x400)
    "{\22_v\22:1,\22url\22:\22https://api.anthropic.com/v1/messages\22,\22method\22:\22POST\22,\22headers\22:[],"
    "\22body_base64\22:\22\22}\00")

  (func (export "cc_lb_handshake") (result i32)
    (call $answer (i32.const 0))
    (i32.const 0))

  (func (export "shape") (result i32)
    (call $answer (i32.const 0x400))
    (i32.const 0))

  ;; Sets the text at $from, up to its NUL, as the output.
  (func $answer (param $from i32)
    (local $length i64) (local $block i64) (local $at i64)
    (block $end
      (loop $more
        (br_if $end (i32.eqz (i32.load8_u (i32.add (local.get $from) (i32.wrap_i64 (local.get $length))))))
        (local.set $length (i64.add (local.get $length) (i64.const 1)))
        (br $more)))
    (local.set $block (call $alloc (local.get $length)))
    (block $end
      (loop $more
        (br_if $end (i64.ge_u (local.get $at) (local.get $length)))
        (call $store_u8
          (i64.add (local.get $block) (local.get $at))
          (i32.load8_u (i32.add (local.get $from) (i32.wrap_i64 (local.get $at)))))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $more)))
    (call $output_set (local.get $block) (local.get $length))))
