//! The front: the module that Extism calls instead of the plugin.
//!
//! For each function of the plugin that a host can call, it has one that tells the guard about the
//! new call, calls the function, and lets the guard return the result to Extism. The start code is
//! one of these functions, but its output and errors are not returned.
//!
//! Bugs in this module look like a call that the guard does not know about.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemoryType, Module, TypeSection, ValType,
};

use super::names::{BEGIN, CLEAR, END, GUARD, LINK, MEMORY, PLUGIN, START, inner_name};
use super::start_code::{Start, StartCode};

/// The types of functions without a result, of those that return a code, and of `hs_init`.
const NOTHING: u32 = 0;
const CODE: u32 = 1;
const HASKELL: u32 = 2;

/// A call of one of the plugin's functions.
struct Passed {
    function: u32,
    /// The number of zeros that it is called with, and the number of its results that are dropped.
    zeros: usize,
    unread: usize,
}

/// Returns the front for a plugin with these functions, each with whether it returns a code.
pub(crate) fn front(
    callable: &[(&str, bool)],
    start_code: &StartCode,
    has_memory: bool,
    is_metered: bool,
) -> Result<Vec<u8>, reencode::Error<Infallible>> {
    let mut front = Front::default();
    front.types.ty().function([], []);
    front.types.ty().function([], [ValType::I32]);
    let StartCode { instance, link } = start_code;
    let haskell = instance.iter().find_map(|start| match start {
        Start::Haskell(results) => Some(results),
        _ => None,
    });
    if let Some(results) = haskell {
        let results = results.iter().map(|ty| AsItIs.val_type(*ty));
        let results: Vec<_> = results.collect::<Result<_, _>>()?;
        front.types.ty().function([ValType::I32; 2], results);
    }
    let begin = front.import(GUARD, BEGIN, NOTHING);
    let end = front.import(GUARD, END, NOTHING);
    let passed: Vec<_> = callable
        .iter()
        .map(|(name, returns)| front.import(PLUGIN, name, u32::from(*returns)))
        .collect();
    let mut import_all = |calls: &[Start]| -> Vec<Passed> {
        calls
            .iter()
            .map(|start| front.import_start(start))
            .collect()
    };
    let (instance, link) = (import_all(instance), import_all(link));
    if is_metered {
        for (import, name) in crate::host::guard::names::METER_EXPORTS {
            let function = front.import(crate::host::guard::names::METER, import, NOTHING);
            front.exports.export(name, ExportKind::Func, function);
        }
    }
    if has_memory {
        front.import_memory();
    }
    for ((name, returns), function) in callable.iter().zip(passed) {
        let plain = Passed {
            function,
            zeros: 0,
            unread: 0,
        };
        front.define(name, u32::from(*returns), begin, &[plain], Some(end));
    }
    for (name, calls) in [(START, instance), (LINK, link)] {
        if !calls.is_empty() {
            front.define(name, NOTHING, begin, &calls, None);
        }
    }
    let mut nothing = Function::new([]);
    nothing.instructions().end();
    front.add(CLEAR, NOTHING, &nothing);
    if has_memory {
        let mut body = Function::new([]);
        body.instructions().memory_size(0).end();
        front.add(MEMORY, CODE, &body);
    }
    Ok(front.finish())
}

/// The module under construction.
#[derive(Default)]
struct Front {
    types: TypeSection,
    imports: ImportSection,
    /// The number of imported functions. They precede the defined functions.
    imported: u32,
    functions: FunctionSection,
    exports: ExportSection,
    bodies: CodeSection,
}

impl Front {
    fn import(&mut self, module: &str, name: &str, ty: u32) -> u32 {
        self.imports.import(module, name, EntityType::Function(ty));
        self.imported += 1;
        self.imported - 1
    }

    fn import_start(&mut self, start: &Start) -> Passed {
        let (name, ty) = match start {
            Start::Section => (START.to_owned(), NOTHING),
            Start::Haskell(_) => (inner_name(start.name()), HASKELL),
            Start::Reactor | Start::Constructors => (inner_name(start.name()), NOTHING),
        };
        let (zeros, unread) = match start {
            Start::Haskell(results) => (2, results.len()),
            _ => (0, 0),
        };
        Passed {
            function: self.import(PLUGIN, &name, ty),
            zeros,
            unread,
        }
    }

    fn import_memory(&mut self) {
        let any = MemoryType {
            minimum: 0,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        self.imports.import(PLUGIN, MEMORY, EntityType::Memory(any));
    }

    /// Defines a function that tells the guard about a new call, makes `calls`, and then calls
    /// `last`.
    fn define(&mut self, name: &str, ty: u32, begin: u32, calls: &[Passed], last: Option<u32>) {
        let mut body = Function::new([]);
        let mut code = body.instructions();
        code.call(begin);
        for passed in calls {
            for _ in 0..passed.zeros {
                code.i32_const(0);
            }
            code.call(passed.function);
            for _ in 0..passed.unread {
                code.drop();
            }
        }
        if let Some(last) = last {
            code.call(last);
        }
        code.end();
        self.add(name, ty, &body);
    }

    fn add(&mut self, name: &str, ty: u32, body: &Function) {
        let index = self.imported + self.functions.len();
        self.exports.export(name, ExportKind::Func, index);
        self.functions.function(ty);
        self.bodies.function(body);
    }

    fn finish(self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types);
        module.section(&self.imports);
        module.section(&self.functions);
        module.section(&self.exports);
        module.section(&self.bodies);
        module.finish()
    }
}

struct AsItIs;

impl Reencode for AsItIs {
    type Error = Infallible;
}
