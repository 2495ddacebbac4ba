//! The meter: a copy of a plugin that counts what it does and stops where it is told to, so that its place can be told
//! where the runtime tells none, as at the end of the fuel.
//!
//! The copy is behind the same guard, and nothing that it does is judged: it says where, never whether. `meter.wat` counts;
//! the plugin is rewritten to call it where a function begins, where a loop is entered and goes round, and behind calls.
//!
//! A discrepancy here is a place by another loop, or another function.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::LazyLock;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, EntityType, Function, ImportSection, Instruction, Module, TypeSection, ValType,
};
use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

use super::code::Code;
use super::guard::{self, GUARD, Guarded, Rejection};
use super::names;
use super::site::{Frame, Site, SiteKind};

/// The name under which Extism links the meter of a plugin that is metered.
pub(super) const METER: &str = "cc-lb-fuzz:meter";

/// The export that writes to the memory of the meter.
pub(super) const METER_WRITE: &str = "cc-lb-fuzz:write";

/// The export that reads from the memory of the meter.
pub(super) const METER_READ: &str = "cc-lb-fuzz:read";

/// The functions of the meter that the plugin calls, which come behind its imports.
const ADDED: [&str; 4] = ["tick", "enter", "back", "enter_loop"];

/// What was running for this part of a call, up to its end, is what it spent its fuel on.
const LASTING: u64 = 4;

/// The fuel that the meter takes for a tick.
const TICK_FUEL: u64 = 10;

/// The places of the meter's memory.
mod address {
    pub(super) const TICKS: u64 = 0;
    pub(super) const TICKS_MAX: u64 = 8;
    pub(super) const ANSWERS: u64 = 16;
    pub(super) const ANSWERS_MAX: u64 = 24;
    pub(super) const RUNNING: u64 = 32;
    pub(super) const OVERHEAD: u64 = 40;

    /// When the function began that is so deep in the stack.
    pub(super) fn function(depth: u64) -> u64 {
        0x10000 + 8 * (depth & 0xffff)
    }

    /// When a loop was entered.
    pub(super) fn loop_(number: u32) -> u64 {
        0x90000 + 8 * (u64::from(number) & 0xffff)
    }
}

/// Where a metered call is to stop; the call runs to its end where it does not come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After so many ticks: beginnings of functions and rounds of loops.
    pub ticks: Option<u64>,
    /// Before so many answers are set.
    pub answers: Option<u64>,
}

impl Stop {
    /// After so many ticks.
    pub(crate) fn after(ticks: u64) -> Self {
        Self {
            ticks: Some(ticks),
            answers: None,
        }
    }
}

/// What was counted in a metered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metering {
    /// How many ticks it took.
    pub ticks: u64,
    /// How many answers it set.
    pub answers: u64,
    /// The fuel that it used, without what the meter took.
    pub fuel: u64,
    /// Where it stopped: the innermost function, or loop of it, that had been running for the last quarter of the ticks.
    pub lasting: Option<Site>,
}

/// The meter's module.
pub(super) fn module() -> extism::Wasm {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(include_str!("meter.wat")).expect("meter.wat is valid"));
    extism::Wasm::data(&**WASM).with_name(METER)
}

/// What the front takes from the meter, and hands on under these names.
pub(super) const OF_THE_FRONT: [(&str, &str); 2] = [("write", METER_WRITE), ("read", METER_READ)];

/// Makes a copy of a plugin that is as safe to run, and metered.
pub(super) fn metered(wasm: &[u8]) -> Result<(Guarded, Meter), Rejection> {
    let guarded = guard::guard_module(wasm, true)?;
    let (meter, plugin) = Meter::of(guarded.plugin)?;
    Ok((Guarded { plugin, ..guarded }, meter))
}

/// A plugin that was rewritten to be metered.
pub(super) struct Meter {
    original: Bodies,
    metered: Bodies,
    imported: u32,
    /// The number of the first loop of each function.
    first_loops: Vec<u32>,
}

/// A module, and where in it the bodies of its functions are.
struct Bodies {
    wasm: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Bodies {
    fn of(wasm: Vec<u8>) -> Result<Self, BinaryReaderError> {
        let mut ranges = Vec::new();
        for payload in Parser::new(0).parse_all(&wasm) {
            if let Payload::CodeSectionEntry(body) = payload? {
                ranges.push(body.range());
            }
        }
        Ok(Self { wasm, ranges })
    }

    fn body(&self, place: usize) -> Option<FunctionBody<'_>> {
        let range = self.ranges.get(place)?.clone();
        let start = range.start;
        let bytes = self.wasm.get(range)?;
        let reader = wasmparser::BinaryReader::new(bytes, start);
        Some(FunctionBody::new(reader))
    }
}

/// The loops around an instruction, the outermost first: the number of each, and where it is.
type Loops = Vec<(u32, u32)>;

/// A function that was running when a call stopped.
struct Running<'f> {
    frame: &'f Frame,
    since: u64,
    loops: &'f Loops,
}

impl Meter {
    /// Rewrites a plugin that is behind the guard. Returns the copy as well.
    pub(super) fn of(plugin: Vec<u8>) -> Result<(Self, Vec<u8>), Rejection> {
        let mut rewriter = Rewriter::default();
        rewriter.look_at(&plugin)?;
        let mut module = Module::new();
        rewriter.parse_core_module(&mut module, Parser::new(0), &plugin)?;
        let wasm = module.finish();
        let meter = Self {
            original: Bodies::of(plugin)?,
            metered: Bodies::of(wasm.clone())?,
            imported: rewriter.imported,
            first_loops: rewriter.first_loops,
        };
        Ok((meter, wasm))
    }

    /// What is to be written before a call.
    pub(super) fn before(stop: Stop) -> Vec<u8> {
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

    /// The frames of the copy as those of the plugin, and the loops that each is in: the number of each, and where it is.
    pub(super) fn translate(&self, code: &Code, frames: &[Frame]) -> Vec<(Frame, Loops)> {
        let mut places = HashMap::new();
        let frames = frames.iter().map(|frame| {
            let function = frame.function.saturating_sub(ADDED.len() as u32);
            // A recursion has the same ones again and again.
            let place = places.entry((function, frame.offset));
            let place = place.or_insert_with(|| self.place(function, frame.offset));
            let (offset, loops) = place.clone().unzip();
            let frame = code.frame(function, offset.map(|offset| offset as usize));
            (frame, loops.unwrap_or_default())
        });
        frames.collect()
    }

    /// What was counted in a call that took so much fuel. `read` reads from the meter's memory; `frames` are those where it
    /// stopped, the innermost first.
    pub(super) fn after(
        &self,
        fuel: u64,
        code: &Code,
        frames: &[(Frame, Loops)],
        mut read: impl FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<Metering> {
        let cells = [
            address::TICKS,
            address::ANSWERS,
            address::RUNNING,
            address::OVERHEAD,
        ];
        let cells = from_words(&read(&words(cells))?);
        let [ticks, answers, depth, overhead] = cells.try_into().ok()?;
        // When each function began, and when each loop was entered.
        let began = (0..frames.len() as u64).map(|place| depth.saturating_sub(place));
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
        Some(Metering {
            ticks,
            answers,
            fuel: fuel.saturating_sub(overhead + TICK_FUEL * ticks),
            lasting: lasting(&running, &entered, ticks),
        })
    }

    /// Where in a function of the plugin the copy was that was at this offset of its own, and the loops around that: the
    /// number of each, and where it is.
    fn place(&self, function: u32, offset: Option<u32>) -> Option<(u32, Loops)> {
        let offset = offset? as usize;
        let place = function.checked_sub(self.imported)? as usize;
        let (original, metered) = (self.original.body(place)?, self.metered.body(place)?);
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
        let mut number = *self.first_loops.get(place)?;
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

/// The innermost function, or loop of it, that was running for the last part of the ticks and is not of a language's runtime.
/// Of a function that is running more than once only the innermost knows when its loops were entered. Where the site is running
/// more than once, it is the recursion.
fn lasting(running: &[Running<'_>], entered: &HashMap<u32, u64>, ticks: u64) -> Option<Site> {
    let latest = ticks - ticks / LASTING;
    let has_lasted = |running: &Running<'_>| running.since <= latest;
    let deepest = running.iter().rposition(has_lasted)?;
    // What copies memory, or a panic that never returns, is where many bugs end.
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

/// How many instructions are inserted where a function begins.
const PRELUDE: usize = 2;

/// How many instructions are inserted before one and behind it.
fn inserted(operator: &Operator<'_>, imported: u32) -> (usize, usize) {
    match operator {
        Operator::Loop { .. } => (2, 1),
        Operator::Call { function_index } if *function_index >= imported => (0, 2),
        Operator::CallIndirect { .. } => (0, 2),
        Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => (4, 0),
        _ => (0, 0),
    }
}

/// Rewrites a plugin that is valid.
#[derive(Default)]
struct Rewriter {
    /// How many functions it imports: nothing else can be imported.
    imported: u32,
    /// How many parameters each type has.
    parameters: Vec<u32>,
    /// The type of each function that it defines.
    functions: Vec<u32>,
    /// The number of the first loop of each function that was rewritten.
    first_loops: Vec<u32>,
    /// The number of the next loop.
    next_loop: u32,
}

impl Rewriter {
    /// Takes down what has to be known before.
    fn look_at(&mut self, wasm: &[u8]) -> Result<(), BinaryReaderError> {
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
        let place = ADDED.iter().position(|added| *added == name);
        self.imported + place.unwrap_or_default() as u32
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
                // What it calls takes its place.
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

    /// Names are those of the plugin itself.
    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        Ok(())
    }
}
