//! The metered copy of a plugin: it counts what it does and stops at a given point. It locates a
//! call in the plugin if the runtime does not, for example when the fuel ran out.
//!
//! The copy is behind the same guard, and its outcomes are not judged: it determines where
//! something happens, not whether. `meter.wat` counts. The plugin is rewritten to call it at the
//! start of a function, on entering and repeating a loop, and after calls.
//!
//! Bugs in this module look like a site in the wrong loop or the wrong function.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, EntityType, Function, ImportSection, Instruction, Module, TypeSection, ValType,
};
use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

use super::guard::{self, Guarded};
use super::site::{Frame, Site, SiteKind};
use crate::host::guard::names::{GUARD, METER};
use crate::host::guard::rejection::Rejection;
use crate::host::site::code::Code;
use crate::host::site::names;

/// The functions of the meter that the plugin calls; they follow its imports.
const ADDED: [&str; 4] = ["tick", "enter", "back", "enter_loop"];

/// A function or loop that ran for this fraction of the ticks before the stop, a quarter, is where
/// the fuel went.
const LASTING: u64 = 4;

/// The fuel that the meter takes for a tick.
const TICK_FUEL: u64 = 10;

/// The addresses in the meter's memory.
mod address {
    pub(super) const TICKS: u64 = 0;
    pub(super) const TICKS_MAX: u64 = 8;
    pub(super) const ANSWERS: u64 = 16;
    pub(super) const ANSWERS_MAX: u64 = 24;
    pub(super) const RUNNING: u64 = 32;
    pub(super) const OVERHEAD: u64 = 40;

    /// Returns the address of the tick at which the function at this depth of the stack started.
    pub(crate) fn function(depth: u64) -> u64 {
        0x10000 + 8 * (depth & 0xffff)
    }

    /// Returns the address of the tick at which a loop was entered.
    pub(crate) fn loop_(number: u32) -> u64 {
        0x90000 + 8 * (u64::from(number) & 0xffff)
    }
}

/// The point at which a metered call stops. A call that does not reach it runs to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopPoint {
    /// Stop after this many ticks: starts of functions and iterations of loops.
    pub ticks: Option<u64>,
    /// Stop before this many answers are set.
    pub answers: Option<u64>,
}

impl StopPoint {
    /// Returns the point after this many ticks.
    pub(crate) fn after(ticks: u64) -> Self {
        Self {
            ticks: Some(ticks),
            answers: None,
        }
    }
}

/// The counts of a metered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterReading {
    /// The number of ticks.
    pub ticks: u64,
    /// The number of answers that were set.
    pub answers: u64,
    /// The fuel that the call used, without that of the meter.
    pub fuel: u64,
    /// The place where the call stopped: the innermost function, or loop in it, that ran for the
    /// last quarter of the ticks.
    pub lasting: Option<Site>,
}

/// Guards a plugin and adds the meter to it.
pub(super) fn metered(wasm: &[u8]) -> Result<(Guarded, Meter), Rejection> {
    let guarded = guard::guard_module(wasm, true)?;
    let (meter, plugin) = Meter::new(guarded.plugin)?;
    Ok((Guarded { plugin, ..guarded }, meter))
}

/// A plugin that was rewritten for the meter.
pub(super) struct Meter {
    original: Bodies,
    metered: Bodies,
    imported: u32,
    /// The number of the first loop in each function.
    first_loops: Vec<u32>,
}

/// A module and the ranges of its function bodies.
struct Bodies {
    wasm: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Bodies {
    fn new(wasm: Vec<u8>) -> Result<Self, BinaryReaderError> {
        let mut ranges = Vec::new();
        for payload in Parser::new(0).parse_all(&wasm) {
            if let Payload::CodeSectionEntry(body) = payload? {
                ranges.push(body.range());
            }
        }
        Ok(Self { wasm, ranges })
    }

    fn body(&self, index: usize) -> Option<FunctionBody<'_>> {
        let range = self.ranges.get(index)?.clone();
        let start = range.start;
        let bytes = self.wasm.get(range)?;
        let reader = wasmparser::BinaryReader::new(bytes, start);
        Some(FunctionBody::new(reader))
    }
}

/// The loops around an instruction, outermost first: the number and the offset of each.
type Loops = Vec<(u32, u32)>;

/// A function on the stack when a call stopped.
struct Running<'f> {
    frame: &'f Frame,
    since: u64,
    loops: &'f Loops,
}

impl Meter {
    /// Rewrites a guarded plugin. Returns the meter and the rewritten module.
    pub(crate) fn new(plugin: Vec<u8>) -> Result<(Self, Vec<u8>), Rejection> {
        let mut rewriter = Rewriter::default();
        rewriter.scan(&plugin)?;
        let mut module = Module::new();
        rewriter.parse_core_module(&mut module, Parser::new(0), &plugin)?;
        let wasm = module.finish();
        let meter = Self {
            original: Bodies::new(plugin)?,
            metered: Bodies::new(wasm.clone())?,
            imported: rewriter.imported,
            first_loops: rewriter.first_loops,
        };
        Ok((meter, wasm))
    }

    /// Returns the input of the meter's write call, which precedes a metered call.
    pub(crate) fn before(stop: StopPoint) -> Vec<u8> {
        let never = u64::MAX;
        let cells = [
            (address::TICKS, 0),
            (address::TICKS_MAX, stop.ticks.unwrap_or(never)),
            (address::ANSWERS, 0),
            (address::ANSWERS_MAX, stop.answers.unwrap_or(never)),
            (address::RUNNING, 0),
            (address::OVERHEAD, 0),
        ];
        words(cells.into_iter().flat_map(|(at, value)| [at, value]))
    }

    /// Translates frames of the copy to frames of the plugin, each with the loops around it.
    pub(super) fn translate(&self, code: &Code, frames: &[Frame]) -> Vec<(Frame, Loops)> {
        let mut located = HashMap::new();
        let frames = frames.iter().map(|frame| {
            let function = frame.function.saturating_sub(ADDED.len() as u32);
            // A recursion has the same frames many times.
            let entry = located.entry((function, frame.offset));
            let entry = entry.or_insert_with(|| self.locate(function, frame.offset));
            let (offset, loops) = entry.clone().unzip();
            let frame = code.frame(function, offset.map(|offset| offset as usize));
            (frame, loops.unwrap_or_default())
        });
        frames.collect()
    }

    /// Returns the counts of a call that took `fuel`. `read` reads from the meter's memory;
    /// `frames` are those at the stop, innermost first.
    pub(crate) fn after(
        &self,
        fuel: u64,
        code: &Code,
        frames: &[(Frame, Loops)],
        mut read: impl FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<MeterReading> {
        let cells = [
            address::TICKS,
            address::ANSWERS,
            address::RUNNING,
            address::OVERHEAD,
        ];
        let cells = from_words(&read(&words(cells))?);
        let [ticks, answers, depth, overhead] = cells.try_into().ok()?;
        // The starts of the functions, then the entries of the loops.
        let began = (0..frames.len() as u64).map(|index| depth.saturating_sub(index));
        let numbers = frames.iter().flat_map(|(_, loops)| loops);
        let numbers: Vec<u32> = numbers.map(|(number, _)| *number).collect();
        let cells = began.map(address::function);
        let cells = words(cells.chain(numbers.iter().copied().map(address::loop_)));
        let values = if cells.is_empty() {
            Vec::new()
        } else {
            from_words(&read(&cells)?)
        };
        let (began, entered) = values.split_at_checked(frames.len())?;
        let entered = numbers.into_iter().zip(entered.iter().copied()).collect();
        let running = frames.iter().zip(began).rev();
        let running: Vec<_> = running
            .map(|((frame, loops), since)| Running {
                frame,
                since: *since,
                loops,
            })
            .filter(|running| code.has(running.frame.function))
            .collect();
        Some(MeterReading {
            ticks,
            answers,
            fuel: fuel.saturating_sub(overhead + TICK_FUEL * ticks),
            lasting: lasting(&running, &entered, ticks),
        })
    }

    /// Translates an offset in a function of the copy to one in the plugin's function, and returns
    /// the loops around it.
    fn locate(&self, function: u32, offset: Option<u32>) -> Option<(u32, Loops)> {
        let offset = offset? as usize;
        let index = function.checked_sub(self.imported)? as usize;
        let (original, metered) = (self.original.body(index)?, self.metered.body(index)?);
        let (begin, metered_begin) = (original.range().start, metered.range().start);
        let mut metered = metered
            .get_operators_reader()
            .ok()?
            .into_iter_with_offsets();
        let mut is_passed = |times: usize| {
            (0..times).any(|_| match metered.next() {
                Some(Ok((_, at))) => at - metered_begin >= offset,
                _ => true,
            })
        };
        let mut blocks: Vec<Option<(u32, u32)>> = Vec::new();
        let mut number = *self.first_loops.get(index)?;
        let mut passed = is_passed(PRELUDE);
        for operator in original
            .get_operators_reader()
            .ok()?
            .into_iter_with_offsets()
        {
            let (operator, at) = operator.ok()?;
            let at = u32::try_from(at - begin).ok()?;
            let (before, after) = inserted(&operator, self.imported);
            passed = passed || is_passed(before + 1);
            let loops = |blocks: &[Option<(u32, u32)>]| blocks.iter().flatten().copied().collect();
            if passed {
                return Some((at, loops(&blocks)));
            }
            match operator {
                Operator::Loop { .. } => {
                    blocks.push(Some((number, at)));
                    number += 1;
                }
                Operator::Block { .. } | Operator::If { .. } => blocks.push(None),
                Operator::End => drop(blocks.pop()),
                _ => {}
            }
            if is_passed(after) {
                return Some((at, loops(&blocks)));
            }
        }
        None
    }
}

/// Returns the site of the innermost function, or loop in it, that ran for the last part of the
/// ticks and does not belong to a language's runtime. If that function is on the stack more than
/// once, the site is its recursion, because only the innermost call knows when its loops were
/// entered.
fn lasting(running: &[Running<'_>], entered: &HashMap<u32, u64>, ticks: u64) -> Option<Site> {
    let latest = ticks - ticks / LASTING;
    let has_lasted = |running: &Running<'_>| running.since <= latest;
    let deepest = running.iter().rposition(has_lasted)?;
    // Many bugs end in memory copies, or in a panic that never returns.
    let is_own = |running: &Running<'_>| !names::is_of_a_language(&running.frame.name);
    let own = running[..=deepest].iter().rposition(is_own);
    let site = &running[own.unwrap_or(deepest)];
    let same = |other: &Running<'_>| other.frame.function == site.frame.function;
    let first = running.iter().position(same)?;
    let last = running.iter().rposition(same)?;
    if first < last {
        let frames = running[first..last].iter().map(|running| running.frame);
        return Site::recursion(SiteKind::LastingRecursion, frames);
    }
    let lasts = |number: &u32| entered.get(number).is_some_and(|at| *at <= latest);
    let loops = site.loops.iter().take_while(|(number, _)| lasts(number));
    let offset = loops.last().map(|(_, at)| *at);
    Some(Site::at(SiteKind::Running, site.frame, offset))
}

fn words(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn from_words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8);
    words
        .map(|word| {
            word.iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        })
        .collect()
}

/// The number of instructions that are inserted at the start of a function.
const PRELUDE: usize = 2;

/// Returns the numbers of instructions that are inserted before and after an instruction.
fn inserted(operator: &Operator<'_>, imported: u32) -> (usize, usize) {
    match operator {
        Operator::Loop { .. } => (2, 1),
        Operator::Call { function_index } if *function_index >= imported => (0, 2),
        Operator::CallIndirect { .. } => (0, 2),
        Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => (4, 0),
        _ => (0, 0),
    }
}

/// A rewriter of valid plugins.
#[derive(Default)]
struct Rewriter {
    /// The number of imported functions; other imports are refused.
    imported: u32,
    /// The number of parameters of each type.
    parameters: Vec<u32>,
    /// The type of each defined function.
    functions: Vec<u32>,
    /// The number of the first loop of each function so far.
    first_loops: Vec<u32>,
    /// The number of the next loop.
    next_loop: u32,
}

impl Rewriter {
    /// Reads the types and functions that rewriting needs.
    fn scan(&mut self, wasm: &[u8]) -> Result<(), BinaryReaderError> {
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        self.parameters.push(ty?.params().len() as u32);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        import?;
                        self.imported += 1;
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        self.functions.push(ty?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn added(&self, name: &str) -> u32 {
        let index = ADDED.iter().position(|added| *added == name);
        self.imported + index.unwrap_or_default() as u32
    }
}

impl Reencode for Rewriter {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(if function < self.imported {
            function
        } else {
            function + ADDED.len() as u32
        })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([], []);
        types.ty().function([], [ValType::I32]);
        types.ty().function([ValType::I32], []);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        for import in section.into_imports() {
            let import = import?;
            let is_answer = import.module == GUARD && import.name == "output_set";
            let module = if is_answer { METER } else { import.module };
            let ty = self.entity_type(import.ty)?;
            imports.import(module, import.name, ty);
        }
        let first = self.parameters.len() as u32;
        for (name, ty) in ADDED.into_iter().zip([0, 1, 2, 2]) {
            imports.import(METER, name, EntityType::Function(first + ty));
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let ty = self.functions.get(self.first_loops.len());
        let ty = ty.copied().unwrap_or_default();
        self.first_loops.push(self.next_loop);
        let mut own = self
            .parameters
            .get(ty as usize)
            .copied()
            .unwrap_or_default();
        let mut locals = Vec::new();
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            own += count;
            locals.push((count, self.val_type(ty)?));
        }
        locals.push((1, ValType::I32));
        let [tick, enter, back, enter_loop] = ADDED.map(|name| self.added(name));
        let mut function = Function::new(locals);
        function.instructions().call(enter).local_set(own);
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let is_loop = matches!(operator, Operator::Loop { .. });
            let (before, after) = inserted(&operator, self.imported);
            if is_loop {
                let number = self.next_loop as i32;
                self.next_loop += 1;
                function.instructions().i32_const(number).call(enter_loop);
            } else if before > 0 {
                // The called function replaces this one on the stack.
                let mut code = function.instructions();
                code.local_get(own).i32_const(1).i32_sub().call(back);
            }
            let instruction: Instruction<'_> = self.instruction(operator)?;
            function.instruction(&instruction);
            if is_loop {
                function.instructions().call(tick);
            } else if after > 0 {
                function.instructions().local_get(own).call(back);
            }
        }
        code.function(&function);
        Ok(())
    }

    /// Drops names: those of the original plugin are used.
    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        Ok(())
    }
}
