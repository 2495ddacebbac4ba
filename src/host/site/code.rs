//! Static analysis of a plugin's functions: their names, and which of them only abort.
//!
//! A module may be hostile: everything here takes time and memory in proportion to its size.
//!
//! Bugs in this module look like a frame with the name of another function, or a helper that is
//! taken for the bug.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmparser::{
    BinaryReaderError, ElementItems, ExternalKind, FunctionBody, KnownCustom, Operator, Parser,
    Payload, TypeRef,
};

use super::returns::returns;
use super::{Frame, SiteFunction, names, recursion};

/// The most passes of the analysis of aborting functions. Each pass finds the callers of functions
/// found before, so this is the longest chain of such calls.
const ROUNDS: usize = 32;

/// The most code that these passes read, in bytes: three times the largest code section.
const READ_MAX_BYTES: usize = 6 << 20;

/// Two or more callers: then the caller does not determine the site.
const ANYWHERE: u8 = 2;

/// The analysed functions of a module.
#[derive(Debug, Default)]
pub(crate) struct Code {
    functions: Vec<Known>,
    names: HashMap<u32, Named>,
    /// For each function in a call cycle, the functions of that cycle.
    cycles: HashMap<u32, Arc<[SiteFunction]>>,
}

/// The analysis of one function.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Whether the function never returns.
    only_aborts: bool,
    /// The number of places that call it or may call it, up to [`ANYWHERE`].
    callers: u8,
    has_parameters: bool,
}

/// The name and id of a function.
#[derive(Debug)]
struct Named {
    name: Arc<str>,
    id: u64,
}

impl Code {
    /// Analyses a valid module. Of any other, the analysis covers the part before the first error.
    pub(crate) fn new(wasm: &[u8]) -> Self {
        let mut code = Self::default();
        // The part before an error still counts.
        let _ = code.read(wasm);
        code
    }

    fn read(&mut self, wasm: &[u8]) -> Result<(), BinaryReaderError> {
        let mut bodies = Vec::new();
        let mut exported = HashMap::new();
        let mut written = BTreeMap::new();
        let mut have_parameters = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        if let TypeRef::Func(_) = import?.ty {
                            self.functions.push(Known::default());
                        }
                    }
                }
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        have_parameters.push(!ty?.params().is_empty());
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        let has_parameters = have_parameters.get(ty? as usize).copied();
                        self.functions.push(Known {
                            has_parameters: has_parameters.unwrap_or_default(),
                            ..Known::default()
                        });
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            exported.entry(export.index).or_insert(export.name);
                        }
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        self.read_element(element?.items)?;
                    }
                }
                Payload::CodeSectionEntry(body) => bodies.push(body),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(section) = section.as_known() {
                        // Invalid names do not make a module invalid.
                        written = names::of_functions(section).unwrap_or_default();
                    }
                }
                _ => {}
            }
        }
        self.name(&exported, &written);
        self.count_callers(&bodies)?;
        self.find_what_only_aborts(&bodies)
    }

    fn read_element(&mut self, items: ElementItems<'_>) -> Result<(), BinaryReaderError> {
        match items {
            ElementItems::Functions(items) => {
                for function in items {
                    self.is_called_from(ANYWHERE, function?);
                }
            }
            ElementItems::Expressions(_, items) => {
                for expression in items {
                    for operator in expression?.get_operators_reader() {
                        if let Operator::RefFunc { function_index } = operator? {
                            self.is_called_from(ANYWHERE, function_index);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds callers of a function. If its address is taken, it may be called from [`ANYWHERE`].
    fn is_called_from(&mut self, count: u8, function: u32) {
        if let Some(known) = self.functions.get_mut(function as usize) {
            known.callers = (known.callers + count).min(ANYWHERE);
        }
    }

    /// Assigns names and ids. The id is derived from the name, so it stays when other functions
    /// change. Of several functions with one name, the order distinguishes them.
    fn name(&mut self, exported: &HashMap<u32, &str>, written: &BTreeMap<u32, &str>) {
        let mut same: HashMap<Arc<str>, u32> = HashMap::new();
        let mut insert = |function, name: String, kind: u8| {
            let name: Arc<str> = name.into();
            let nth = same.entry(Arc::clone(&name)).or_default();
            let id = id_of(&[&[kind], name.as_bytes(), &nth.to_le_bytes()]);
            *nth += 1;
            self.names.insert(function, Named { name, id });
        };
        let known = self.functions.len();
        for (function, name) in written {
            if (*function as usize) < known {
                insert(*function, names::readable(name), 0);
            }
        }
        let mut exported: Vec<_> = exported.iter().collect();
        exported.sort_unstable();
        for (function, name) in exported {
            if !written.contains_key(function) {
                insert(*function, (*name).to_owned(), 1);
            }
        }
    }

    fn count_callers(&mut self, bodies: &[FunctionBody<'_>]) -> Result<(), BinaryReaderError> {
        let imported = self.functions.len() - bodies.len().min(self.functions.len());
        let mut calls = Vec::new();
        for (body, caller) in bodies.iter().zip(imported as u32..) {
            for operator in body.get_operators_reader()? {
                match operator? {
                    Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                        self.is_called_from(1, function_index);
                        calls.push((caller, function_index));
                    }
                    Operator::RefFunc { function_index } => {
                        self.is_called_from(ANYWHERE, function_index)
                    }
                    _ => {}
                }
            }
        }
        for cycle in recursion::find(calls) {
            let functions = cycle.iter().map(|function| self.frame(*function, None));
            let functions: BTreeSet<_> = functions.map(|frame| frame.site_function()).collect();
            let functions: Arc<[_]> = functions.into_iter().collect();
            let members = cycle.into_iter();
            self.cycles
                .extend(members.map(|function| (function, Arc::clone(&functions))));
        }
        Ok(())
    }

    fn find_what_only_aborts(
        &mut self,
        bodies: &[FunctionBody<'_>],
    ) -> Result<(), BinaryReaderError> {
        let imported = self.functions.len() - bodies.len().min(self.functions.len());
        let mut read_bytes = 0;
        for _ in 0..ROUNDS {
            let mut learned = false;
            for (body, index) in bodies.iter().zip(imported..) {
                read_bytes += body.range().len();
                if read_bytes > READ_MAX_BYTES {
                    return Ok(());
                }
                if !self.functions[index].only_aborts && !self.returns(body)? {
                    self.functions[index].only_aborts = true;
                    learned = true;
                }
            }
            if !learned {
                break;
            }
        }
        Ok(())
    }

    fn returns(&self, body: &FunctionBody<'_>) -> Result<bool, BinaryReaderError> {
        returns(body, |function| {
            let known = self.functions.get(function as usize);
            known.is_some_and(|known| known.only_aborts)
        })
    }

    /// Returns whether the function belongs to the plugin; those with higher indices belong to the
    /// guard.
    pub(crate) fn has(&self, function: u32) -> bool {
        (function as usize) < self.functions.len()
    }

    /// Returns the frame of a function. [`Code::mark_helpers`] sets whether it is a helper.
    pub(crate) fn frame(&self, function: u32, offset: Option<usize>) -> Frame {
        let (name, id) = match self.names.get(&function) {
            Some(named) => (Arc::clone(&named.name), named.id),
            None => {
                let name = format!("function {function}");
                (name.into(), id_of(&[&function.to_le_bytes()]))
            }
        };
        let known = self.functions.get(function as usize);
        let known = known.copied().unwrap_or_default();
        Frame {
            function,
            name,
            id,
            offset: offset.and_then(|offset| u32::try_from(offset).ok()),
            is_helper: false,
            cycle: self.cycles.get(&function).cloned(),
            has_parameters: known.has_parameters,
            has_many_callers: known.callers == ANYWHERE,
        }
    }

    /// Marks the helpers among the frames of a trap, innermost first: functions of a language's
    /// runtime, and functions that only abort, up to the last one with many callers. The next frame
    /// has one caller, or returns: the bug is there.
    pub(crate) fn mark_helpers(&self, frames: &mut [Frame]) {
        let known = |frame: &Frame| self.functions.get(frame.function as usize);
        let aborts = |frame: &Frame| known(frame).is_some_and(|known| known.only_aborts);
        for frame in frames.iter_mut() {
            frame.is_helper = names::is_of_a_language(&frame.name);
        }
        let innermost = frames
            .iter()
            .take_while(|frame| aborts(frame) || frame.is_helper)
            .count();
        let innermost = &mut frames[..innermost];
        let helpers = innermost
            .iter()
            .rposition(|frame| frame.is_helper || frame.has_many_callers);
        let helpers = helpers.map_or(0, |last| last + 1);
        for frame in &mut innermost[..helpers] {
            frame.is_helper = true;
        }
    }
}

/// Returns a hash that is the same on every machine.
fn id_of(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of the functions in a module's text that only abort.
    fn what_only_aborts(text: &str) -> Vec<String> {
        let wasm = wat::parse_str(text).expect("it is valid");
        let code = Code::new(&wasm);
        let only_aborts = |index: &u32| code.functions[*index as usize].only_aborts;
        let all = (0..code.functions.len() as u32).filter(only_aborts);
        all.map(|index| code.frame(index, None).short_name())
            .collect()
    }

    #[test]
    fn what_cannot_return_only_aborts_whatever_it_calls() {
        let aborting = what_only_aborts(
            r#"(module
                (func $dies unreachable)
                (func $calls (call $dies))
                (func $either (param i32) (if (local.get 0) (then (call $dies)) (else (call $calls))))
                (func $in_a_block (block (call $dies)))
                (func $tail (return_call $dies))
                (func $result (result i32) (call $dies) (i32.const 1))
                (func $spins (loop (br 0)))
                (func $table (param i32) (block (block (br_table 0 1 0 (local.get 0))) (call $dies)) (call $dies)))"#,
        );
        let expected = [
            "dies",
            "calls",
            "either",
            "in_a_block",
            "tail",
            "result",
            "spins",
            "table",
        ];
        assert_eq!(aborting, expected);
    }

    #[test]
    fn what_may_return_does_not_only_abort() {
        let aborting = what_only_aborts(
            r#"(module
                (import "m" "f" (func $imported))
                (type $t (func))
                (table 1 funcref)
                (func $dies unreachable)
                (func $sometimes (param i32) (if (local.get 0) (then (call $dies))))
                (func $before (param i32) (br_if 0 (local.get 0)) (call $dies))
                (func $out (param i32) (block (br_if 0 (local.get 0)) (call $dies)))
                (func $returns (param i32) (if (local.get 0) (then (return))) (call $dies))
                (func $other (param i32) (if (local.get 0) (then (call $dies)) (else (nop))))
                (func $table (param i32) (block (block (br_table 0 1 2 (local.get 0))) (call $dies)) (call $dies))
                (func $loops (param i32) (loop (br_if 0 (local.get 0))))
                (func $calls (call $imported))
                (func $tail (return_call_indirect (type $t) (i32.const 0)))
                (func $behind (call $before (i32.const 1))))"#,
        );
        assert_eq!(aborting, ["dies"]);
    }

    /// Returns the names of the site of a trap in the first of these functions, each of which was
    /// called by the next.
    fn site(text: &str, running: &[u32]) -> String {
        let wasm = wat::parse_str(text).expect("it is valid");
        let code = Code::new(&wasm);
        let frames = running.iter().map(|index| code.frame(*index, Some(1)));
        let mut frames: Vec<_> = frames.collect();
        code.mark_helpers(&mut frames);
        crate::host::site::Site::of_trap(&frames).map_or_else(String::new, |site| site.names())
    }

    #[test]
    fn a_site_is_behind_the_helpers_that_many_call() {
        let text = r#"(module
            (func $abort_all unreachable)
            (func $format (call $abort_all))
            (func $fail (call $format))
            (func $one (call $fail))
            (func $two (call $fail))
            (func $entry (param i32) (if (local.get 0) (then (call $one)) (else (call $two))) (nop)))"#;
        assert_eq!(site(text, &[0, 1, 2, 3, 5]), "one");
        assert_eq!(site(text, &[0, 1, 2, 4, 5]), "two");
        assert_eq!(site(text, &[3, 5]), "one");
        // All frames would be skipped.
        assert_eq!(site(text, &[0, 1, 2]), "fail");
        assert_eq!(site(text, &[]), "");
    }

    #[test]
    fn what_stands_in_a_table_is_called_from_anywhere() {
        let text = r#"(module
            (table 2 funcref)
            (elem (i32.const 0) $handler)
            (func $handler unreachable)
            (func $once unreachable)
            (func $entry (param i32) (if (local.get 0) (then (call $once)))))"#;
        assert_eq!(site(text, &[0, 2]), "entry");
        assert_eq!(site(text, &[1, 2]), "once");
    }

    #[test]
    fn functions_of_one_name_and_of_none_are_apart() {
        // One name twice, as C compilers name static functions.
        let mut module = wasm_encoder::Module::new();
        let mut names = wasm_encoder::NameSection::new();
        let mut functions = wasm_encoder::NameMap::new();
        functions.append(0, "fail");
        functions.append(1, "fail");
        names.functions(&functions);
        let mut types = wasm_encoder::TypeSection::new();
        types.ty().function([], []);
        let mut section = wasm_encoder::FunctionSection::new();
        let mut bodies = wasm_encoder::CodeSection::new();
        for _ in 0..4 {
            section.function(0);
            let mut body = wasm_encoder::Function::new([]);
            body.instructions().end();
            bodies.function(&body);
        }
        module.section(&types).section(&section).section(&bodies);
        module.section(&names);
        let code = Code::new(&module.finish());
        let frames: Vec<_> = (0..4).map(|index| code.frame(index, None)).collect();
        let ids: std::collections::HashSet<_> = frames.iter().map(|frame| frame.id).collect();
        assert_eq!(ids.len(), 4);
        let names = frames.iter().map(Frame::short_name).collect::<Vec<_>>();
        assert_eq!(names, ["fail", "fail", "function 2", "function 3"]);
    }
}
