//! Bulk instructions: they fill, copy and initialize memory and tables, take one unit of fuel
//! regardless of their duration, and cannot be interrupted.
//!
//! Each is replaced with a call of a function that does the same. For memory it works in pieces,
//! each of which takes fuel and can be interrupted; a table is small, so it is done at once. The
//! call has as many bytes as the instruction, so all other code keeps its offsets. If a later piece
//! traps, nothing sees the pieces that were written: the instance is dropped.
//!
//! Bugs in this module look like a plugin that answers differently than without the guard, or a
//! call that exceeds its time.

use std::ops::Range;

use wasm_encoder::{Encode as _, Function, InstructionSink, RawSection, SectionId, ValType};
use wasmparser::{FunctionBody, Operator, Payload};

use super::limits::BULK_MAX;
use super::rejection::Rejection;

/// The size of a piece in bytes, which takes some microseconds to write.
const PIECE_BYTES: i32 = 1 << 16;

/// A bulk instruction with its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    MemoryFill,
    MemoryCopy,
    MemoryInit { segment: u32 },
    TableFill { table: u32 },
    TableCopy { to: u32, from: u32 },
    TableInit { segment: u32, table: u32 },
}

/// An occurrence of a bulk instruction in the module.
#[derive(Debug)]
struct Found {
    /// The bytes of the instruction in the module.
    range: Range<usize>,
    /// The index of its form.
    form: usize,
}

/// The bulk instructions of a module and the functions that replace them.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    forms: Vec<Form>,
    found: Vec<Found>,
    types: u32,
    functions: u32,
}

/// The parameters of the added functions. Their types follow the module's own, in this order.
const PARAMETERS: [[ValType; 3]; 2] = [
    [ValType::I32; 3],
    [ValType::I32, ValType::FUNCREF, ValType::I32],
];

impl Form {
    /// Returns the form of an instruction, or `None` if it is not a bulk instruction.
    fn from_operator(operator: &Operator<'_>) -> Option<Self> {
        Some(match *operator {
            Operator::MemoryFill { .. } => Self::MemoryFill,
            Operator::MemoryCopy { .. } => Self::MemoryCopy,
            Operator::MemoryInit { data_index, .. } => Self::MemoryInit {
                segment: data_index,
            },
            Operator::TableFill { table } => Self::TableFill { table },
            Operator::TableCopy {
                dst_table,
                src_table,
            } => Self::TableCopy {
                to: dst_table,
                from: src_table,
            },
            Operator::TableInit { elem_index, table } => Self::TableInit {
                segment: elem_index,
                table,
            },
            _ => return None,
        })
    }

    fn ty(self) -> u32 {
        u32::from(matches!(self, Self::TableFill { .. }))
    }

    /// Emits the instruction.
    fn carry_out(self, code: &mut InstructionSink<'_>) {
        match self {
            Self::MemoryFill => code.memory_fill(0),
            Self::MemoryCopy => code.memory_copy(0, 0),
            Self::MemoryInit { segment } => code.memory_init(0, segment),
            Self::TableFill { table } => code.table_fill(table),
            Self::TableCopy { to, from } => code.table_copy(to, from),
            Self::TableInit { segment, table } => code.table_init(table, segment),
        };
    }

    /// Returns the function that replaces the instruction.
    fn function(self) -> Function {
        let mut function = Function::new([]);
        let mut code = function.instructions();
        match self {
            Self::MemoryFill => self.forwards(&mut code, false),
            Self::MemoryInit { .. } => self.forwards(&mut code, true),
            Self::MemoryCopy => {
                // A copy towards higher addresses runs from the end, so that it does not overwrite
                // its source.
                code.local_get(TO).local_get(FROM).i32_gt_u().if_(EMPTY);
                self.backwards(&mut code);
                code.end();
                self.forwards(&mut code, true);
            }
            Self::TableFill { .. } | Self::TableCopy { .. } | Self::TableInit { .. } => {
                self.whole(&mut code);
            }
        }
        code.end();
        function
    }

    /// Emits the instruction with the function's parameters.
    fn whole(self, code: &mut InstructionSink<'_>) {
        code.local_get(TO).local_get(FROM).local_get(LENGTH);
        self.carry_out(code);
    }

    /// Emits the last piece, which may be all, and a return. It is skipped if more than one piece
    /// is left.
    fn last(self, code: &mut InstructionSink<'_>) {
        code.local_get(LENGTH)
            .i32_const(PIECE_BYTES)
            .i32_le_u()
            .if_(EMPTY);
        self.whole(code);
        code.return_().end();
    }

    fn forwards(self, code: &mut InstructionSink<'_>, moves: bool) {
        code.loop_(EMPTY);
        self.last(code);
        code.local_get(TO).local_get(FROM).i32_const(PIECE_BYTES);
        self.carry_out(code);
        add(code, TO, PIECE_BYTES);
        if moves {
            add(code, FROM, PIECE_BYTES);
        }
        add(code, LENGTH, -PIECE_BYTES);
        code.br(0).end();
    }

    fn backwards(self, code: &mut InstructionSink<'_>) {
        code.loop_(EMPTY);
        self.last(code);
        add(code, LENGTH, -PIECE_BYTES);
        code.local_get(TO).local_get(LENGTH).i32_add();
        code.local_get(FROM).local_get(LENGTH).i32_add();
        code.i32_const(PIECE_BYTES);
        self.carry_out(code);
        code.br(0).end();
    }
}

/// The parameters of an added function: the destination, the source or the value, and the length.
const TO: u32 = 0;
const FROM: u32 = 1;
const LENGTH: u32 = 2;

const EMPTY: wasm_encoder::BlockType = wasm_encoder::BlockType::Empty;

fn add(code: &mut InstructionSink<'_>, local: u32, value: i32) {
    code.local_get(local)
        .i32_const(value)
        .i32_add()
        .local_set(local);
}

impl Bulk {
    /// Finds the bulk instructions of a valid module.
    ///
    /// # Errors
    /// Returns a [`Rejection`] if there are too many different ones.
    pub(crate) fn find_all(payloads: &[Payload<'_>]) -> Result<Self, Rejection> {
        let mut bulk = Self::default();
        for payload in payloads {
            match payload {
                Payload::TypeSection(section) => bulk.types = section.count(),
                // All imports are functions.
                Payload::ImportSection(section) => {
                    bulk.functions += section.clone().into_imports().count() as u32;
                }
                Payload::FunctionSection(section) => bulk.functions += section.count(),
                Payload::CodeSectionEntry(body) => bulk.find(body)?,
                _ => {}
            }
        }
        Ok(bulk)
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    fn find(&mut self, body: &FunctionBody<'_>) -> Result<(), Rejection> {
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let start = operators.original_position();
            let Some(form) = Form::from_operator(&operators.read()?) else {
                continue;
            };
            let known = self.forms.iter().position(|known| *known == form);
            let form = known.unwrap_or_else(|| {
                self.forms.push(form);
                self.forms.len() - 1
            });
            if self.forms.len() > BULK_MAX as usize {
                return Err(Rejection::Bulk);
            }
            let range = start..operators.original_position();
            self.found.push(Found { range, form });
        }
        Ok(())
    }

    /// Returns the section of types, functions or code with the additions, or `None` for any other
    /// section or if there is nothing to add.
    pub(crate) fn section(&self, wasm: &[u8], id: u8, range: Range<usize>) -> Option<Section> {
        if self.forms.is_empty() {
            return None;
        }
        let mut added = Vec::new();
        let mut bytes = wasm.get(range.clone())?.to_vec();
        let more = if id == SectionId::Type as u8 {
            for parameters in PARAMETERS {
                added.push(0x60);
                parameters[..].encode(&mut added);
                0u32.encode(&mut added);
            }
            PARAMETERS.len()
        } else if id == SectionId::Function as u8 {
            for form in &self.forms {
                (self.types + form.ty()).encode(&mut added);
            }
            self.forms.len()
        } else if id == SectionId::Code as u8 {
            for found in &self.found {
                let (start, end) = (
                    found.range.start - range.start,
                    found.range.end - range.start,
                );
                let function = self.functions + found.form as u32;
                put_call(bytes.get_mut(start..end)?, function);
            }
            for form in &self.forms {
                form.function().encode(&mut added);
            }
            self.forms.len()
        } else {
            return None;
        };
        let count_bytes = bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let count = bytes[..count_bytes].iter().rev();
        let count = count.fold(0u32, |count, byte| count << 7 | u32::from(byte & 0x7f));
        let mut data = Vec::new();
        (count + more as u32).encode(&mut data);
        data.extend_from_slice(&bytes[count_bytes..]);
        data.extend(added);
        Some(Section { id, data })
    }
}

/// A rewritten section.
pub(crate) struct Section {
    id: u8,
    data: Vec<u8>,
}

impl Section {
    pub(crate) fn raw(&self) -> RawSection<'_> {
        RawSection {
            id: self.id,
            data: &self.data,
        }
    }
}

/// Overwrites an instruction of at least three bytes with a call. The function's index takes all
/// remaining bytes, up to five, with padding if it needs fewer; the rest is `nop`.
fn put_call(bytes: &mut [u8], function: u32) {
    const CALL: u8 = 0x10;
    const NOP: u8 = 0x01;
    const NUMBER_MAX_BYTES: usize = 5;
    bytes.fill(NOP);
    let Some((call, rest)) = bytes.split_first_mut() else {
        return;
    };
    *call = CALL;
    let length = rest.len().min(NUMBER_MAX_BYTES);
    let number = &mut rest[..length];
    for (at, byte) in number.iter_mut().enumerate() {
        *byte = (function >> (7 * at)) as u8 & 0x7f | 0x80;
    }
    if let Some(last) = number.last_mut() {
        *last &= 0x7f;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_length_of_what_it_takes_the_place_of() {
        for (length, function, expected) in [
            (3, 16_383, &[0x10, 0xff, 0x7f][..]),
            (4, 1, &[0x10, 0x81, 0x80, 0x00]),
            (8, 300, &[0x10, 0xac, 0x82, 0x80, 0x80, 0x00, 0x01, 0x01]),
        ] {
            let mut bytes = vec![0xfc; length];
            put_call(&mut bytes, function);
            assert_eq!(bytes, expected);
        }
    }
}
