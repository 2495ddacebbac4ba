//! What operations do, in the few words that tell root causes apart.

use std::collections::BTreeSet;

use super::program::{Import, Op, Program};

impl Op {
    /// What the operation does: operations of one effect go through the same code of a host.
    pub fn effect(&self) -> &'static str {
        match self {
            Self::Knock => "log",
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
            Self::Call { function, .. } => function.effect(),
        }
    }
}

impl Import {
    /// The functions that read a block by its handle are one: Extism has one way to do it.
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

/// Effects that only get what others take, a block, an address, a length, or only make more of them.
pub const MEANS: [&str; 6] = ["alloc", "input", "length", "load", "output", "times"];

/// The effect of what leaves an instance half-way: the root cause, whatever it is that interrupts the puppet then.
pub const HALF_WAY: &str = "half-way";

impl Program {
    /// What its operations do.
    pub fn effects(&self) -> BTreeSet<&'static str> {
        self.0.iter().map(Op::effect).collect()
    }
}
