;; The guard: stands between a plugin and Extism's kernel.
;;
;; The kernel keeps its bookkeeping, a root and a header before each block, in the same memory that the plugin
;; writes to through `store_u8` and `store_u64`, and trusts it. The guard keeps a list of the blocks that the
;; plugin was given in this call, and lets it write into these and nowhere else. So only the kernel ever writes
;; its bookkeeping. What the plugin must not do is a trap, which is a fallback like any other.
(module $cc-lb-fuzz-guard
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
  (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))

  ;; The blocks: their start and their length, 16 bytes each. Room for 16,384 of them.
  (memory 4 4)
  (global $end (mut i32) (i32.const 0))

  ;; The block that was written to last: where it starts, how long it is, and how many starts of eight bytes it
  ;; has.
  (global $start (mut i64) (i64.const 0))
  (global $room (mut i64) (i64.const 0))
  (global $room_for_8 (mut i64) (i64.const 0))

  ;; What was allocated in this call.
  (global $allocated (mut i64) (i64.const 0))

  ;; Whether an error is set.
  (global $failed (mut i32) (i32.const 0))

  ;; Called before every call of the plugin.
  (func (export "begin")
    (call $forget_all)
    (global.set $allocated (i64.const 0))
    (global.set $failed (i32.const 0))
    (call $remember (call $input_offset) (call $input_length)))

  ;; Called behind the start code: an error or output that it set says nothing. Extism forgets them, too, before the first
  ;; call.
  (func (export "started")
    (global.set $failed (i32.const 0))
    (call $error_set (i64.const 0))
    (call $no_output))

  (func $forget_all
    (global.set $end (i32.const 0))
    (call $forget_last))

  (func $forget_last
    (global.set $start (i64.const 0))
    (global.set $room (i64.const 0))
    (global.set $room_for_8 (i64.const 0)))

  ;; Takes a block into the list. Too many blocks are a trap.
  (func $remember (param $block i64) (param $length i64)
    (if (i64.eqz (local.get $block)) (then (return)))
    (if (i64.eqz (local.get $length)) (then (return)))
    (i64.store (global.get $end) (local.get $block))
    (i64.store offset=8 (global.get $end) (local.get $length))
    (global.set $end (i32.add (global.get $end) (i32.const 16))))

  ;; The place of the block in the list that holds $length bytes from $at on, -1 if none does. Newer blocks
  ;; first.
  (func $find (param $at i64) (param $length i64) (result i32)
    (local $place i32) (local $into i64)
    (local.set $place (global.get $end))
    (block $none
      (loop $more
        (br_if $none (i32.eqz (local.get $place)))
        (local.set $place (i32.sub (local.get $place) (i32.const 16)))
        (local.set $into (i64.sub (local.get $at) (i64.load (local.get $place))))
        ;; Both sides are far below 2^63 where the first holds.
        (br_if $more (i64.ge_u (local.get $into) (i64.load offset=8 (local.get $place))))
        (br_if $more
          (i64.lt_u
            (i64.sub (i64.load offset=8 (local.get $place)) (local.get $into))
            (local.get $length)))
        (return (local.get $place))))
    (i32.const -1))

  ;; Traps unless $length bytes from $at on lie in one block, which is then the last one.
  (func $check (param $at i64) (param $length i64)
    (local $place i32) (local $room i64)
    (local.set $place (call $find (local.get $at) (local.get $length)))
    (if (i32.lt_s (local.get $place) (i32.const 0)) (then (unreachable)))
    (local.set $room (i64.load offset=8 (local.get $place)))
    (global.set $start (i64.load (local.get $place)))
    (global.set $room (local.get $room))
    (global.set $room_for_8
      (select
        (i64.sub (local.get $room) (i64.const 7))
        (i64.const 0)
        (i64.ge_u (local.get $room) (i64.const 8)))))

  ;; The place of the block that starts here, -1 if none does.
  (func $find_start (param $block i64) (result i32)
    (local $place i32)
    (local.set $place (call $find (local.get $block) (i64.const 1)))
    (if (i32.ge_s (local.get $place) (i32.const 0))
      (then
        (if (i64.eq (i64.load (local.get $place)) (local.get $block))
          (then (return (local.get $place))))))
    (i32.const -1))

  ;; Takes a block that the kernel has freed out of the list.
  (func $forget (param $block i64)
    (local $place i32)
    (local.set $place (call $find_start (local.get $block)))
    (if (i32.lt_s (local.get $place) (i32.const 0)) (then (return)))
    (global.set $end (i32.sub (global.get $end) (i32.const 16)))
    (i64.store (local.get $place) (i64.load (global.get $end)))
    (i64.store offset=8 (local.get $place) (i64.load offset=8 (global.get $end)))
    (call $forget_last))

  (func (export "store_u8") (param $at i64) (param $byte i32)
    (if (i64.ge_u (i64.sub (local.get $at) (global.get $start)) (global.get $room))
      (then (call $check (local.get $at) (i64.const 1))))
    (call $store_u8 (local.get $at) (local.get $byte)))

  (func (export "store_u64") (param $at i64) (param $bytes i64)
    (if (i64.ge_u (i64.sub (local.get $at) (global.get $start)) (global.get $room_for_8))
      (then (call $check (local.get $at) (i64.const 8))))
    (call $store_u64 (local.get $at) (local.get $bytes)))

  ;; At most 1 MiB in one call, 0 beyond: the kernel zeroes what a call allocated at the expense of the next one.
  (func (export "alloc") (param $length i64) (result i64)
    (local $block i64)
    (if (i32.eqz (call $may_allocate (local.get $length))) (then (return (i64.const 0))))
    (local.set $block (call $alloc (local.get $length)))
    (call $remember (local.get $block) (local.get $length))
    (local.get $block))

  (func $may_allocate (param $length i64) (result i32)
    (if (i64.gt_u (local.get $length) (i64.sub (i64.const 0x100000) (global.get $allocated)))
      (then (return (i32.const 0))))
    (global.set $allocated (i64.add (global.get $allocated) (local.get $length)))
    (i32.const 1))

  ;; A block that a host function gave. Its length counts like any other.
  (func $given (param $block i64) (result i64)
    (local $length i64)
    (if (i64.eqz (local.get $block)) (then (return (i64.const 0))))
    (local.set $length (call $length (local.get $block)))
    (call $remember (local.get $block) (local.get $length))
    (global.set $allocated
      (select
        (i64.const 0x100000)
        (i64.add (global.get $allocated) (local.get $length))
        (i64.gt_u (i64.add (global.get $allocated) (local.get $length)) (i64.const 0x100000))))
    (local.get $block))

  ;; Host functions give nothing more when everything was allocated.
  (func $is_full (result i32)
    (i64.ge_u (global.get $allocated) (i64.const 0x100000)))

  (func (export "config_get") (param $key i64) (result i64)
    (if (call $is_full) (then (return (i64.const 0))))
    (call $given (call $config_get (local.get $key)))
    (call $settle (local.get $key)))
  (func (export "var_get") (param $key i64) (result i64)
    (if (call $is_full) (then (return (i64.const 0))))
    (call $given (call $var_get (local.get $key)))
    (call $settle (local.get $key)))
  (func (export "http_headers") (result i64)
    (if (call $is_full) (then (return (i64.const 0))))
    (call $given (call $http_headers)))
  (func (export "http_request") (param $request i64) (param $body i64) (result i64)
    (if (call $is_full) (then (return (i64.const 0))))
    (call $given (call $http_request (local.get $request) (local.get $body)))
    (call $settle (local.get $request))
    (call $settle (local.get $body)))
  (func (export "var_set") (param $key i64) (param $value i64)
    (call $var_set (local.get $key) (local.get $value))
    (call $settle (local.get $key))
    (call $settle (local.get $value)))

  ;; Forgets the block if the kernel has it no more: host functions free what they were handed.
  (func $settle (param $block i64)
    (if (i32.ge_s (call $find_start (local.get $block)) (i32.const 0))
      (then
        (if (i64.eqz (call $length (local.get $block)))
          (then (call $forget (local.get $block)))))))

  (func (export "log_trace") (param $text i64)
    (call $log_trace (local.get $text)) (call $settle (local.get $text)))
  (func (export "log_debug") (param $text i64)
    (call $log_debug (local.get $text)) (call $settle (local.get $text)))
  (func (export "log_info") (param $text i64)
    (call $log_info (local.get $text)) (call $settle (local.get $text)))
  (func (export "log_warn") (param $text i64)
    (call $log_warn (local.get $text)) (call $settle (local.get $text)))
  (func (export "log_error") (param $text i64)
    (call $log_error (local.get $text)) (call $settle (local.get $text)))

  ;; What is no block of this call is not freed.
  (func (export "free") (param $block i64)
    (if (i32.ge_s (call $find_start (local.get $block)) (i32.const 0))
      (then
        (call $forget (local.get $block))
        (call $free (local.get $block)))))

  ;; The output lies in one block. Nothing counts behind an error.
  (func (export "output_set") (param $at i64) (param $length i64)
    (if (global.get $failed) (then (return)))
    (if (i64.eqz (local.get $length))
      (then (call $no_output) (return)))
    (call $check (local.get $at) (local.get $length))
    (call $output_set (local.get $at) (local.get $length)))

  ;; The input is always there to point at.
  (func $no_output
    (call $output_set (call $input_offset) (i64.const 0)))

  ;; An error is a block, or none. It voids the output: Extism can lose the error when the fuel ends, and must
  ;; not find an answer then.
  (func (export "error_set") (param $block i64)
    (if (i64.eqz (local.get $block))
      (then
        (global.set $failed (i32.const 0))
        (call $error_set (i64.const 0))
        (return)))
    (if (i32.lt_s (call $find_start (local.get $block)) (i32.const 0)) (then (unreachable)))
    (global.set $failed (i32.const 1))
    (call $no_output)
    (call $error_set (local.get $block)))

  ;; The host resets the kernel before each call; a plugin has no business to.
  (func (export "reset") (unreachable))
  (func (export "input_set") (param i64 i64) (unreachable)))
