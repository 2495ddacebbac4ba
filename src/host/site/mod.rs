//! The site of a fault in a plugin: equal for two findings of one bug, and different for two bugs.
//!
//! Bugs in this module look like one bug that is reported as two, or two that are reported as one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) mod code;
pub(crate) mod names;
mod recursion;
mod returns;

/// The number of frames from which a backtrace counts as cut: nearly as many as the runtime
/// reports, some of which belong to the guard.
const MANY_FRAMES: usize = 48;

/// The most functions of a recursion whose names are displayed.
const NAMED_MAX: usize = 4;

/// A function of the plugin on the stack, and the instruction in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The index of the function in the plugin's module.
    pub function: u32,
    /// The full name: from the name section, or else of its export, or else made of its index.
    pub name: Arc<str>,
    /// An id of the function. If the function has a name, the id stays when other functions of the
    /// module change.
    pub id: u64,
    /// The instruction, as an offset in bytes from the start of the function's body.
    pub offset: Option<u32>,
    /// The functions of the call cycle that it belongs to; `None` if there is none, or only direct
    /// recursion.
    pub cycle: Option<Arc<[SiteFunction]>>,
    /// Whether the frame is useless as a site: the function belongs to a language's runtime, or it
    /// only aborts and is shared.
    pub is_helper: bool,
    /// Whether the function has parameters.
    pub has_parameters: bool,
    /// Whether the function is called from more than one place, or may be.
    pub has_many_callers: bool,
}

impl Frame {
    /// Returns the name as it is displayed.
    pub fn short_name(&self) -> String {
        names::printable(&self.name)
    }

    pub(super) fn site_function(&self) -> SiteFunction {
        SiteFunction {
            name: self.short_name(),
            id: self.id,
        }
    }
}

/// The place in a plugin to which a fault is attributed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Site {
    /// What is at the site.
    pub kind: SiteKind,
    /// The function, or all functions of a recursion.
    pub functions: Vec<SiteFunction>,
    /// The instruction, as an offset in bytes from the start of the function's body; `None` for the
    /// whole function.
    pub offset: Option<u32>,
}

/// What is at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SiteKind {
    /// The instruction that trapped, or the call of a helper that did.
    Trap,
    /// A recursion that is too deep.
    Recursion,
    /// A recursion that was running when the fuel or time ran out.
    LastingRecursion,
    /// A loop or a function that was running when the fuel or time ran out, and had been for long.
    Running,
    /// The instruction that set the answer, or the call of a helper that did.
    Answer,
}

/// A function of a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteFunction {
    /// The name as it is displayed.
    pub name: String,
    /// See [`Frame::id`].
    pub id: u64,
}

impl Site {
    /// Returns a site in one function.
    pub(crate) fn at(kind: SiteKind, frame: &Frame, offset: Option<u32>) -> Self {
        Self {
            kind,
            functions: vec![frame.site_function()],
            offset,
        }
    }

    /// Returns the site of a trap: the innermost frame that is not a helper. `frames` are innermost
    /// first.
    pub(crate) fn of_trap(frames: &[Frame]) -> Option<Self> {
        let own = frames.iter().find(|frame| !frame.is_helper);
        let frame = own.or(frames.last())?;
        Some(Self::at(SiteKind::Trap, frame, frame.offset))
    }

    /// Returns the recursion that exhausted the stack. The function at the end of the stack does
    /// not matter: it may be another one each time.
    pub(crate) fn of_recursion(frames: &[Frame]) -> Option<Self> {
        let again = |frame: &&Frame| {
            let same = frames.iter().filter(|other| other.id == frame.id);
            same.count() > 1
        };
        Self::recursion(SiteKind::Recursion, frames.iter().filter(again))
            .or_else(|| Self::of_long_recursion(frames))
    }

    /// Does the same for a recursion that is longer than the backtrace: most frames belong to it.
    fn of_long_recursion(frames: &[Frame]) -> Option<Self> {
        let of_one = |cycle: &Arc<[SiteFunction]>| {
            let same = frames
                .iter()
                .filter(|other| other.cycle.as_ref() == Some(cycle));
            2 * same.count() > frames.len()
        };
        let own = frames
            .iter()
            .find(|frame| frame.cycle.as_ref().is_some_and(of_one));
        let is_deep = frames.len() >= MANY_FRAMES;
        Self::recursion(SiteKind::Recursion, own.filter(|_| is_deep).into_iter())
    }

    /// Returns the recursion of these functions, in a fixed order: the whole call cycle, because
    /// another request may run other functions of it. If they call each other through a table, only
    /// these functions.
    pub(crate) fn recursion<'f>(
        kind: SiteKind,
        frames: impl Iterator<Item = &'f Frame>,
    ) -> Option<Self> {
        let frames: Vec<_> = frames.collect();
        let cycle = frames.first()?.cycle.as_ref();
        let is_one = frames.iter().all(|frame| frame.cycle.as_ref() == cycle);
        let functions = match cycle.filter(|_| is_one) {
            Some(cycle) => cycle.to_vec(),
            None => {
                let functions: BTreeSet<_> =
                    frames.iter().map(|frame| frame.site_function()).collect();
                functions.into_iter().collect()
            }
        };
        Some(Self {
            kind,
            functions,
            offset: None,
        })
    }

    /// Returns whether such a site is only found by a second call, on a metered copy of the plugin.
    pub(crate) fn is_located_later(&self) -> bool {
        match self.kind {
            SiteKind::Trap | SiteKind::Recursion => false,
            SiteKind::Running | SiteKind::LastingRecursion | SiteKind::Answer => true,
        }
    }

    /// Returns a key that is equal for equal sites.
    pub(crate) fn key(&self) -> String {
        let functions = self.functions.iter().map(|f| format!("{:x}", f.id));
        let functions = functions.collect::<Vec<_>>().join("+");
        let offset = self.offset.map(|offset| format!("@{offset:x}"));
        format!("{}{}", functions, offset.unwrap_or_default())
    }

    /// Returns the names of the functions, at most four of them.
    pub fn names(&self) -> String {
        let names = self.functions.iter().map(|f| f.name.as_str());
        let mut text = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
        if self.functions.len() > NAMED_MAX {
            text += ", …";
        }
        text
    }
}

/// Formats the site for people, such as `in bug_one, at 0x2c`.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        match (self.kind, self.offset) {
            (SiteKind::Recursion | SiteKind::LastingRecursion, _) => {
                write!(f, "in the recursion of {names}")
            }
            (SiteKind::Running, Some(at)) => write!(f, "in {names}, in the loop at {at:#x}"),
            (SiteKind::Answer, Some(at)) => write!(f, "set in {names}, at {at:#x}"),
            (SiteKind::Trap, Some(at)) => write!(f, "in {names}, at {at:#x}"),
            (_, None) => write!(f, "in {names}"),
        }
    }
}
