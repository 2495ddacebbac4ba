;; The puppet: a cc-lb plugin that does what the request says.
;;
;; Every wire function looks for the mark "puppet:" in its input. The hex digits after it are a
;; small program: opcodes with their operands, little-endian. Without a mark the puppet gives its
;; healthy answer, the function's dry-run response. `program.rs` assembles programs, `model.rs`
;; predicts their outcome.
;;
;; Nothing of a call outlives it except the sizes of the memory and of an unused table, and the
;; number of calls. So the puppet itself is never the reason why a later call fails. There is one
;; exception, which a program must request: as with many plugins, an instance that is interrupted
;; half-way through a change of its own state is unusable afterwards.
(module
  ;; Everything that a guest may import, in the order of the codes.
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "length_unsafe" (func $length_unsafe (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_set" (func $input_set (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "output_length" (func $output_length (result i64)))
  (import "extism:host/env" "output_offset" (func $output_offset (result i64)))
  (import "extism:host/env" "reset" (func $reset))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "error_get" (func $error_get (result i64)))
  (import "extism:host/env" "memory_bytes" (func $memory_bytes (result i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
  (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
  (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))
  (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))

  (@custom "cc_lb.plugin.v1"
    "{\22magic\22:[204,27,112,16,0,1,0,0],\22abi_envelope\22:1,\22plugin_name\22:\22puppet\22,\22plugin_version\22:\221.0.0\22}")

  ;; Memory: 66 pages.
  ;;   0x000000  texts (below)
  ;;   0x002000  four registers of 8 bytes
  ;;   0x010000  the program, 64 KiB
  ;;   0x020000  the input, 1 MiB
  ;;   0x120000  the answer, 2 MiB
  ;;   0x320000  scratch, 1 MiB, for operations that only take time
  (memory 66)

  ;; Texts end with a NUL. Healthy answers have their keys in order, as serde_json writes them.
  (data (i32.const 0x0000)
    "{\22handshake_schema_version\22:1,\22envelope_version\22:1,"
    "\22chosen_versions\22:{\22shape\22:1,\22normalize_error\22:1,\22build_signer\22:1,\22sign\22:1,"
    "\22on_unauthorized\22:1,\22observe\22:1,\22filter\22:1},"
    "\22plugin_supported\22:{\22shape\22:[1],\22normalize_error\22:[1],\22build_signer\22:[1],\22sign\22:[1],"
    "\22on_unauthorized\22:[1],\22observe\22:[1],\22filter\22:[1]},"
    "\22implemented_functions\22:[\22shape\22,\22normalize_error\22,\22build_signer\22,\22sign\22,"
    "\22on_unauthorized\22,\22observe\22,\22filter\22],"
    "\22required_capabilities\22:[]}\00")
  (data (i32.const 0x1000)
    "{\22_v\22:1,\22body_base64\22:\22\22,\22headers\22:[],\22method\22:\22POST\22,"
    "\22url\22:\22https://api.anthropic.com/v1/messages\22}\00")
  (data (i32.const 0x1100) "{\22_v\22:1,\22body_base64\22:null}\00")
  (data (i32.const 0x1200) "{\22_v\22:1,\22signer_state\22:null}\00")
  (data (i32.const 0x1300)
    "{\22_v\22:1,\22body_base64\22:null,\22headers\22:null,\22method\22:null,\22url\22:null}\00")
  (data (i32.const 0x1400) "{\22_v\22:1,\22decision\22:\22fail\22,\22signer_state\22:null}\00")
  (data (i32.const 0x1500) "{\22_v\22:1}\00")
  (data (i32.const 0x1600)
    "{\22_v\22:1,\22results\22:[{\22decision\22:\22accept\22,\22reason\22:\22\22,"
    "\22upstream_id\22:\2200000000-0000-0000-0000-000000000000\22}]}\00")
  (data (i32.const 0x1700) "puppet:knock\00")

  (func (export "cc_lb_handshake") (result i32)
    (global.set $answer_length (i32.const 0))
    (call $emit_text (i32.const 0x0000))
    (call $publish)
    (i32.const 0))
  (func (export "shape") (result i32) (call $act (i32.const 0x1000)))
  (func (export "normalize_error") (result i32) (call $act (i32.const 0x1100)))
  (func (export "build_signer") (result i32) (call $act (i32.const 0x1200)))
  (func (export "sign") (result i32) (call $act (i32.const 0x1300)))
  (func (export "on_unauthorized") (result i32) (call $act (i32.const 0x1400)))
  (func (export "observe") (result i32) (call $act (i32.const 0x1500)))
  (func (export "filter") (result i32) (call $act (i32.const 0x1600)))

  (global $input_end (mut i32) (i32.const 0))
  (global $pc (mut i32) (i32.const 0))
  (global $program_end (mut i32) (i32.const 0))
  (global $answer_length (mut i32) (i32.const 0))
  (global $half_way (mut i32) (i32.const 0))
  (global $times (mut i32) (i32.const 0))
  (global $seen (mut i32) (i32.const 0))

  ;; The body of every wire function. $healthy: the text of its healthy answer.
  (func $act (param $healthy i32) (result i32)
    (local $mark i32) (local $code i32)
    (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
    (if (global.get $half_way) (then (unreachable)))
    (global.set $answer_length (i32.const 0))
    (global.set $times (i32.const 0))
    (memory.fill (i32.const 0x2000) (i32.const 0) (i32.const 32))
    (call $read_input)
    (local.set $mark (call $find_mark))
    (if (i32.eqz (local.get $mark))
      (then
        (call $emit_text (local.get $healthy))
        (call $publish)
        (return (i32.const 0))))
    (call $read_program (local.get $mark))
    (local.set $code (call $perform (local.get $healthy)))
    (global.set $half_way (i32.const 0))
    (local.get $code))

  ;; Copies the input to 0x020000, eight bytes at a time. More than a MiB is a trap.
  (func $read_input
    (local $at i32) (local $length i32)
    (local.set $length (i32.wrap_i64 (call $input_length)))
    (if (i32.gt_u (local.get $length) (i32.const 0x100000)) (then (unreachable)))
    (block $done
      (loop $more
        (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $length)))
        (i64.store offset=0x20000 (local.get $at)
          (call $input_load_u64 (i64.extend_i32_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $more)))
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (i32.store8 offset=0x20000 (local.get $at)
          (call $input_load_u8 (i64.extend_i32_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $more)))
    (global.set $input_end (i32.add (i32.const 0x20000) (local.get $length))))

  ;; Returns the address after the first mark in the input, 0 if there is none.
  (func $find_mark (result i32)
    (local $at i32)
    (local.set $at (i32.const 0x20000))
    (block $none
      (loop $more
        (br_if $none (i32.gt_u (i32.add (local.get $at) (i32.const 7)) (global.get $input_end)))
        (if (i64.eq
              (i64.and (i64.load (local.get $at)) (i64.const 0x00ffffffffffffff))
              (i64.const 0x003a746570707570)) ;; "puppet:"
          (then (return (i32.add (local.get $at) (i32.const 7)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $more)))
    (i32.const 0))

  ;; Decodes the pairs of hex digits from $at on to 0x010000. More than 64 KiB of program is a trap.
  (func $read_program (param $at i32)
    (local $high i32) (local $low i32)
    (global.set $pc (i32.const 0x10000))
    (global.set $program_end (i32.const 0x10000))
    (block $done
      (loop $more
        (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 2)) (global.get $input_end)))
        (local.set $high (call $digit (i32.load8_u (local.get $at))))
        (br_if $done (i32.lt_s (local.get $high) (i32.const 0)))
        (local.set $low (call $digit (i32.load8_u offset=1 (local.get $at))))
        (br_if $done (i32.lt_s (local.get $low) (i32.const 0)))
        (if (i32.ge_u (global.get $program_end) (i32.const 0x20000)) (then (unreachable)))
        (i32.store8 (global.get $program_end)
          (i32.or (i32.shl (local.get $high) (i32.const 4)) (local.get $low)))
        (global.set $program_end (i32.add (global.get $program_end) (i32.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (br $more))))

  ;; Returns the value of a lower-case hex digit, -1 for any other character.
  (func $digit (param $c i32) (result i32)
    (if (i32.lt_u (i32.sub (local.get $c) (i32.const 0x30)) (i32.const 10))
      (then (return (i32.sub (local.get $c) (i32.const 0x30)))))
    (if (i32.lt_u (i32.sub (local.get $c) (i32.const 0x61)) (i32.const 6))
      (then (return (i32.sub (local.get $c) (i32.const 0x57)))))
    (i32.const -1))

  ;; Runs the program. An unknown opcode or a missing operand is a trap.
  (func $perform (param $healthy i32) (result i32)
    (local $op i32)
    (loop $next
      (if (i32.ge_u (global.get $pc) (global.get $program_end))
        (then (call $publish) (return (i32.const 0))))
      (local.set $op (call $operand_u8))
      (if (i32.eq (local.get $op) (i32.const 1)) (then (call $knock) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 2)) (then (call $emit_operand) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 3)) (then (call $repeat) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 4)) (then (call $emit_input) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 5)) (then (call $quote_input) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 6))
        (then (call $emit_text (local.get $healthy)) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 7)) (then (call $publish) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 8)) (then (call $set_error) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 9))
        (then (drop (memory.grow (call $operand_u32))) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 10)) (then (call $burn) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 11)) (then (call $trap (call $operand_u8)) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 12)) (then (call $spin) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 13)) (then (call $stall) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 15)) (then (call $calls) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 16))
        (then (drop (table.grow $growing (ref.null func) (call $operand_u32))) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 17)) (then (call $flood) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 18))
        (then
          (memory.fill (i32.const 0x320000) (i32.const 1) (call $operand_u32))
          (br $next)))
      (if (i32.eq (local.get $op) (i32.const 19))
        (then
          (memory.copy (i32.const 0x320000) (i32.const 0x320001) (call $operand_u32))
          (br $next)))
      (if (i32.eq (local.get $op) (i32.const 20))
        (then (global.set $half_way (i32.const 1)) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 21))
        (then (global.set $times (call $operand_u32)) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 22)) (then (call $line) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 23)) (then (call $tally) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 24)) (then (call $store_range) (br $next)))
      (if (i32.eq (local.get $op) (i32.const 14))
        (then (local.set $op (call $operand_u32)) (call $publish) (return (local.get $op))))
      (unreachable))
    (unreachable))

  (func $operand_u8 (result i32)
    (i32.load8_u (call $operand (i32.const 1))))

  (func $operand_u32 (result i32)
    (i32.load (call $operand (i32.const 4))))

  ;; Returns the address of the next $length bytes of the program, and moves past them.
  (func $operand (param $length i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $pc))
    (if (i32.gt_u (local.get $length) (i32.sub (global.get $program_end) (local.get $at)))
      (then (unreachable)))
    (global.set $pc (i32.add (local.get $at) (local.get $length)))
    (local.get $at))

  ;; Logs that the guest was called: the harness counts these log calls.
  (func $knock
    (call $log_info (call $block (i32.const 0x1700) (i32.const 12))))

  ;; Makes one log call for each call that the instance has seen, at most 32.
  (func $tally
    (local $left i32)
    (local.set $left
      (select (global.get $seen) (i32.const 32) (i32.lt_u (global.get $seen) (i32.const 32))))
    (loop $more
      (call $knock)
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left))))

  ;; Appends $length bytes to the answer. More than 2 MiB of answer is a trap.
  (func $emit (param $from i32) (param $length i32)
    (call $reserve (local.get $length))
    (memory.copy
      (i32.add (i32.const 0x120000) (global.get $answer_length)) (local.get $from) (local.get $length))
    (global.set $answer_length (i32.add (global.get $answer_length) (local.get $length))))

  (func $reserve (param $length i32)
    (if (i32.gt_u (local.get $length) (i32.sub (i32.const 0x200000) (global.get $answer_length)))
      (then (unreachable))))

  (func $emit_text (param $from i32)
    (local $end i32)
    (local.set $end (local.get $from))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (i32.load8_u (local.get $end))))
        (local.set $end (i32.add (local.get $end) (i32.const 1)))
        (br $more)))
    (call $emit (local.get $from) (i32.sub (local.get $end) (local.get $from))))

  (func $emit_operand
    (local $length i32)
    (local.set $length (call $operand_u32))
    (call $emit (call $operand (local.get $length)) (local.get $length)))

  (func $repeat
    (local $byte i32) (local $times i32)
    (local.set $byte (call $operand_u8))
    (local.set $times (call $operand_u32))
    (call $reserve (local.get $times))
    (memory.fill
      (i32.add (i32.const 0x120000) (global.get $answer_length)) (local.get $byte) (local.get $times))
    (global.set $answer_length (i32.add (global.get $answer_length) (local.get $times))))

  (func $emit_input
    (call $emit (i32.const 0x20000) (i32.sub (global.get $input_end) (i32.const 0x20000))))

  ;; Appends the input as the inside of a JSON string. Outside of strings, JSON has control
  ;; characters only as white space, so each becomes a space, and only quotes and backslashes need
  ;; escaping.
  (func $quote_input
    (local $at i32) (local $to i32) (local $c i32)
    (call $reserve (i32.shl (i32.sub (global.get $input_end) (i32.const 0x20000)) (i32.const 1)))
    (local.set $at (i32.const 0x20000))
    (local.set $to (i32.add (i32.const 0x120000) (global.get $answer_length)))
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $at) (global.get $input_end)))
        (local.set $c (i32.load8_u (local.get $at)))
        (if (i32.lt_u (local.get $c) (i32.const 0x20)) (then (local.set $c (i32.const 0x20))))
        (if (i32.or (i32.eq (local.get $c) (i32.const 0x22)) (i32.eq (local.get $c) (i32.const 0x5c)))
          (then
            (i32.store8 (local.get $to) (i32.const 0x5c))
            (local.set $to (i32.add (local.get $to) (i32.const 1)))))
        (i32.store8 (local.get $to) (local.get $c))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $more)))
    (global.set $answer_length (i32.sub (local.get $to) (i32.const 0x120000))))

  ;; Sets the answer so far as the output. An empty answer sets nothing.
  (func $publish
    (if (i32.eqz (global.get $answer_length)) (then (return)))
    (call $output_set
      (call $block (i32.const 0x120000) (global.get $answer_length))
      (i64.extend_i32_u (global.get $answer_length))))

  ;; Sets the error. An empty text sets none.
  (func $set_error
    (local $length i32) (local $from i32)
    (local.set $length (call $operand_u32))
    (local.set $from (call $operand (local.get $length)))
    (if (i32.eqz (local.get $length)) (then (return)))
    (call $error_set (call $block (local.get $from) (local.get $length))))

  ;; Copies $length bytes to a new block of Extism's memory and returns its handle.
  (func $block (param $from i32) (param $length i32) (result i64)
    (local $block i64) (local $at i64) (local $end i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (local.set $at (local.get $block))
    (local.set $end (i32.add (local.get $from) (local.get $length)))
    (block $done
      (loop $more
        (br_if $done (i32.gt_u (i32.add (local.get $from) (i32.const 8)) (local.get $end)))
        (call $store_u64 (local.get $at) (i64.load (local.get $from)))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $more)))
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (call $store_u8 (local.get $at) (i32.load8_u (local.get $from)))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $more)))
    (local.get $block))

  ;; Counts down from the operand. Each iteration takes a few units of fuel.
  (func $burn
    (local $left i32)
    (local.set $left (call $operand_u32))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $more))))

  ;; Never returns: runs out of fuel.
  (func $spin
    (loop $more (br $more)))

  ;; Never returns: each iteration takes far more time than fuel, so it times out.
  (func $stall
    (loop $more
      (memory.fill (i32.const 0x320000) (i32.const 0) (i32.const 0x100000))
      (br $more)))

  ;; Makes a call, and repeats it as often as requested.
  (func $calls
    (local $pc i32)
    (local.set $pc (global.get $pc))
    (loop $more
      (global.set $pc (local.get $pc))
      (call $call)
      (if (global.get $times)
        (then
          (global.set $times (i32.sub (global.get $times) (i32.const 1)))
          (br $more)))))

  ;; Calls a function of Extism with two operands, and stores the result in a register.
  (func $call
    (local $f i32) (local $a i64) (local $b i64) (local $r i64)
    (local.set $f (call $operand_u8))
    (local.set $a (call $operand_value))
    (local.set $b (call $operand_value))
    (if (i32.eq (local.get $f) (i32.const 0)) (then (local.set $r (call $alloc (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 1)) (then (call $free (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 2)) (then (local.set $r (call $length (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 3)) (then (local.set $r (call $length_unsafe (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 4)) (then (local.set $r (i64.extend_i32_u (call $load_u8 (local.get $a))))))
    (if (i32.eq (local.get $f) (i32.const 5)) (then (local.set $r (call $load_u64 (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 6)) (then (local.set $r (i64.extend_i32_u (call $input_load_u8 (local.get $a))))))
    (if (i32.eq (local.get $f) (i32.const 7)) (then (local.set $r (call $input_load_u64 (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 8)) (then (call $store_u8 (local.get $a) (i32.wrap_i64 (local.get $b)))))
    (if (i32.eq (local.get $f) (i32.const 9)) (then (call $store_u64 (local.get $a) (local.get $b))))
    (if (i32.eq (local.get $f) (i32.const 10)) (then (call $input_set (local.get $a) (local.get $b))))
    (if (i32.eq (local.get $f) (i32.const 11)) (then (call $output_set (local.get $a) (local.get $b))))
    (if (i32.eq (local.get $f) (i32.const 12)) (then (local.set $r (call $input_length))))
    (if (i32.eq (local.get $f) (i32.const 13)) (then (local.set $r (call $input_offset))))
    (if (i32.eq (local.get $f) (i32.const 14)) (then (local.set $r (call $output_length))))
    (if (i32.eq (local.get $f) (i32.const 15)) (then (local.set $r (call $output_offset))))
    (if (i32.eq (local.get $f) (i32.const 16)) (then (call $reset)))
    (if (i32.eq (local.get $f) (i32.const 17)) (then (call $error_set (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 18)) (then (local.set $r (call $error_get))))
    (if (i32.eq (local.get $f) (i32.const 19)) (then (local.set $r (call $memory_bytes))))
    (if (i32.eq (local.get $f) (i32.const 20)) (then (local.set $r (call $config_get (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 21)) (then (local.set $r (call $var_get (local.get $a)))))
    (if (i32.eq (local.get $f) (i32.const 22)) (then (call $var_set (local.get $a) (local.get $b))))
    (if (i32.eq (local.get $f) (i32.const 23)) (then (local.set $r (call $http_request (local.get $a) (local.get $b)))))
    (if (i32.eq (local.get $f) (i32.const 24)) (then (local.set $r (i64.extend_i32_u (call $http_status_code)))))
    (if (i32.eq (local.get $f) (i32.const 25)) (then (local.set $r (call $http_headers))))
    (if (i32.eq (local.get $f) (i32.const 26)) (then (call $log_trace (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 27)) (then (call $log_debug (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 28)) (then (call $log_info (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 29)) (then (call $log_warn (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 30)) (then (call $log_error (local.get $a))))
    (if (i32.eq (local.get $f) (i32.const 31)) (then (local.set $r (i64.extend_i32_u (call $get_log_level)))))
    (if (i32.gt_u (local.get $f) (i32.const 31)) (then (unreachable)))
    (i64.store offset=0x2000
      (i32.shl (i32.and (call $operand_u8) (i32.const 3)) (i32.const 3))
      (local.get $r)))

  ;; Returns a constant, plus the value of a register if there is one of this number.
  (func $operand_value (result i64)
    (local $register i32) (local $value i64)
    (local.set $register (call $operand_u8))
    (if (i32.lt_u (local.get $register) (i32.const 4))
      (then (local.set $value (i64.load offset=0x2000 (i32.shl (local.get $register) (i32.const 3))))))
    (i64.add (local.get $value) (i64.load (call $operand (i32.const 8)))))

  ;; Stores ones over a range of Extism's memory, eight bytes at a time. The bytes are valid UTF-8.
  (func $store_range
    (local $from i64) (local $at i64) (local $length i64)
    (local.set $from (call $operand_value))
    (local.set $length (i64.extend_i32_u (call $operand_u32)))
    (block $done
      (loop $more
        (br_if $done (i64.ge_u (local.get $at) (local.get $length)))
        (call $store_u64
          (i64.add (local.get $from) (local.get $at))
          (i64.const 0x0101010101010101))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $more))))

  ;; Grows the memory and writes to all of the new pages.
  (func $flood
    (drop (memory.grow (call $operand_u32)))
    (memory.fill
      (i32.const 0x420000) (i32.const 1)
      (i32.sub (i32.mul (memory.size) (i32.const 0x10000)) (i32.const 0x420000))))

  ;; Grows the memory and moves everything after the answer many times, without loops or calls
  ;; except for reading the operand.
  (func $line
    (local $a i32) (local $b i32) (local $n i32)
    (drop (memory.grow (call $operand_u32)))
    (local.set $a (i32.const 0x320000))
    (local.set $b (i32.const 0x330000))
    (local.set $n
      (i32.sub (i32.mul (memory.size) (i32.const 0x10000)) (local.get $b)))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n))
    (memory.copy (local.get $a) (local.get $b) (local.get $n)) (memory.copy (local.get $a) (local.get $b) (local.get $n)))

  ;; The ways to trap. An unknown kind traps too, as unreachable.
  (type $nothing (func))
  (table $table 2 2 funcref)
  (table $growing 1 funcref)
  (elem (i32.const 1) $overflow)
  (func $trap (param $kind i32)
    (if (i32.eq (local.get $kind) (i32.const 1)) ;; division by zero
      (then (drop (i32.div_s (i32.const 1) (i32.sub (local.get $kind) (i32.const 1))))))
    (if (i32.eq (local.get $kind) (i32.const 2)) ;; division whose result does not fit
      (then (drop (i32.div_s (i32.const 0x80000000) (i32.sub (local.get $kind) (i32.const 3))))))
    (if (i32.eq (local.get $kind) (i32.const 3)) ;; conversion of a float that is no integer
      (then (drop (i32.trunc_f64_s (f64.const nan)))))
    (if (i32.eq (local.get $kind) (i32.const 4)) ;; load outside the memory
      (then (drop (i32.load (i32.const 0xffffffff)))))
    (if (i32.eq (local.get $kind) (i32.const 5)) ;; call outside the table
      (then (call_indirect (type $nothing) (i32.const 2))))
    (if (i32.eq (local.get $kind) (i32.const 6)) ;; call of an empty entry
      (then (call_indirect (type $nothing) (i32.const 0))))
    (if (i32.eq (local.get $kind) (i32.const 7)) ;; call of a function of another type
      (then (call_indirect (type $nothing) (i32.const 1))))
    (if (i32.eq (local.get $kind) (i32.const 8)) ;; infinite recursion
      (then (drop (call $overflow (i32.const 0)))))
    (unreachable))

  (func $overflow (param $depth i32) (result i32)
    (i32.add (call $overflow (i32.add (local.get $depth) (i32.const 1))) (i32.const 1))))
