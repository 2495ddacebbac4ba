//! The effects of operations: a small set of names that distinguishes root causes.

use std::collections::BTreeSet;

use super::program::{Import, Op, Program};

impl Op {
    /// Returns the effect of the operation. Operations with the same effect use the same code of a
    /// host.
    pub fn effect(&self) -> &'static str {
        match self {
            Self::LogCall | Self::Tally => "log",
            Self::Emit(_) | Self::Repeat { .. } | Self::EmitHealthy | Self::Publish => "answer",
            Self::EmitInput | Self::QuoteInput => "echo",
            Self::SetError(_) => "error",
            Self::Grow(_) | Self::Flood(_) => "memory",
            Self::GrowTable(_) => "table",
            Self::Burn(_) | Self::BurnTo(_) | Self::Spin => "fuel",
            Self::Stall | Self::Fill(_) | Self::Copy(_) | Self::Line(_) => "bulk",
            Self::Trap(_) => "trap",
            Self::Return(_) => "return",
            Self::Hold => HALF_WAY,
            Self::Times(_) => "times",
            Self::In(_) => "place",
            Self::Call { function, .. } => function.effect(),
            Self::StoreRange { .. } => Import::StoreU64.effect(),
        }
    }
}

impl Import {
    /// Returns the effect of a call. Functions that read a block by its handle share one: Extism
    /// reads all of them in the same way.
    fn effect(self) -> &'static str {
        match self {
            Self::Alloc => "alloc",
            Self::Free => "free",
            Self::StoreU8 | Self::StoreU64 => "store",
            Self::LoadU8 | Self::LoadU64 | Self::InputLoadU8 | Self::InputLoadU64 => "load",
            Self::Length | Self::LengthUnsafe | Self::MemoryBytes => "length",
            Self::InputLength | Self::InputOffset => "input",
            Self::OutputLength | Self::OutputOffset | Self::ErrorGet => "output",
            Self::InputSet => "input_set",
            Self::OutputSet => "output_set",
            Self::Reset => "reset",
            Self::ErrorSet
            | Self::ConfigGet
            | Self::VarGet
            | Self::VarSet
            | Self::HttpRequest
            | Self::LogTrace
            | Self::LogDebug
            | Self::LogInfo
            | Self::LogWarn
            | Self::LogError => "block by handle",
            Self::HttpStatusCode | Self::HttpHeaders | Self::GetLogLevel => "host",
        }
    }
}

/// Effects that are only means for others: they provide a block, an address or a length, repeat an
/// operation, or say where the program is.
pub const MEANS: [&str; 7] = [
    "alloc", "input", "length", "load", "output", "place", "times",
];

/// The effect of [`Op::Hold`], which may leave an instance half-way through a change of its state:
/// the root cause, whatever interrupts the puppet.
pub const HALF_WAY: &str = "half-way";

impl Program {
    /// Returns the effects of the program's operations.
    pub fn effects(&self) -> BTreeSet<&'static str> {
        self.0.iter().map(Op::effect).collect()
    }
}
