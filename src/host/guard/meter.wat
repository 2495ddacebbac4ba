;; The meter: counts what a plugin does, and stops it at a given point to see where it is. It is only in a copy of the
;; plugin that was rewritten for it.
;;
;; Time is counted in ticks: starts of functions, and iterations of loops. `overhead` is the fuel that the counting takes,
;; including calls; each function here adds its own share, which is constant.
(module $cc-lb-fuzz-meter
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "cc-lb-fuzz:guard" "output_set" (func $guarded_output_set (param i64 i64)))

  ;; 0 ticks, 8 ticks to stop at, 16 answers, 24 answers to stop at, 32 running functions, 40 overhead without that of ticks;
  ;; from 0x10000 on, the tick at which each running function started; from 0x90000 on, the tick at which each loop was last
  ;; entered.
  (memory 17 17)
  ;; The first two of these, because they are used most.
  (global $ticks (mut i64) (i64.const 0))
  (global $ticks_max (mut i64) (i64.const -1))

  ;; A loop starts an iteration. This costs 10 fuel.
  (func (export "tick")
    (global.set $ticks (i64.add (global.get $ticks) (i64.const 1)))
    (if (i64.eq (global.get $ticks) (global.get $ticks_max)) (then (unreachable))))

  ;; A function starts. Returns the number of running functions.
  (func (export "enter") (result i32)
    (i64.store (i32.const 40) (i64.add (i64.load (i32.const 40)) (i64.const 23)))
    (i32.store (i32.const 32) (i32.add (i32.load (i32.const 32)) (i32.const 1)))
    (i64.store offset=0x10000
      (i32.shl (i32.and (i32.load (i32.const 32)) (i32.const 0xffff)) (i32.const 3))
      (global.get $ticks))
    (global.set $ticks (i64.add (global.get $ticks) (i64.const 1)))
    (if (i64.eq (global.get $ticks) (global.get $ticks_max)) (then (unreachable)))
    (i32.load (i32.const 32)))

  ;; A call has returned: this many functions are running.
  (func (export "back") (param $running i32)
    (i64.store (i32.const 40) (i64.add (i64.load (i32.const 40)) (i64.const 12)))
    (i32.store (i32.const 32) (local.get $running)))

  ;; A loop is entered, before its first iteration.
  (func (export "enter_loop") (param $loop i32)
    (i64.store (i32.const 40) (i64.add (i64.load (i32.const 40)) (i64.const 16)))
    (i64.store offset=0x90000
      (i32.shl (i32.and (local.get $loop) (i32.const 0xffff)) (i32.const 3))
      (global.get $ticks)))

  ;; An answer is set.
  (func (export "output_set") (param $at i64) (param $length i64)
    (i64.store (i32.const 40) (i64.add (i64.load (i32.const 40)) (i64.const 22)))
    (i64.store (i32.const 16) (i64.add (i64.load (i32.const 16)) (i64.const 1)))
    (if (i64.eq (i64.load (i32.const 16)) (i64.load (i32.const 24))) (then (unreachable)))
    (call $guarded_output_set (local.get $at) (local.get $length)))

  ;; The input consists of pairs of an address and a value to write there.
  (func (export "write")
    (local $at i64)
    (block $end
      (loop $more
        (br_if $end (i64.ge_u (local.get $at) (call $input_length)))
        (i64.store
          (i32.wrap_i64 (call $input_load_u64 (local.get $at)))
          (call $input_load_u64 (i64.add (local.get $at) (i64.const 8))))
        (local.set $at (i64.add (local.get $at) (i64.const 16)))
        (br $more)))
    (global.set $ticks (i64.load (i32.const 0)))
    (global.set $ticks_max (i64.load (i32.const 8))))

  ;; The input consists of addresses, the output of the values there.
  (func (export "read")
    (local $at i64) (local $block i64)
    (i64.store (i32.const 0) (global.get $ticks))
    (local.set $block (call $alloc (call $input_length)))
    (block $end
      (loop $more
        (br_if $end (i64.ge_u (local.get $at) (call $input_length)))
        (call $store_u64
          (i64.add (local.get $block) (local.get $at))
          (i64.load (i32.wrap_i64 (call $input_load_u64 (local.get $at)))))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $more)))
    (call $output_set (local.get $block) (call $input_length))))
