(module (type (func (result i32)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (func (export "filter") (type 0) (call $store (i64.const 57) (i64.const -1)) (i32.const 0)))
