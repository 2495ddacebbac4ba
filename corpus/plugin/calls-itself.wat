(module (type (func (result i32))) (func $f (export "build_signer") (type 0) (call $f)))
