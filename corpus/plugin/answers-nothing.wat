(module (type (func (result i32))) (func (export "shape") (type 0) (i32.const 0)))
