//! Where in a plugin a fault is: the site that two findings of one bug have in common, and findings of two bugs have not.
//!
//! A discrepancy here is one bug told as two, or two told as one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names;

/// So many frames are as many as the runtime tells, or nearly so: the guard's own are among those.
const MANY_FRAMES: usize = 48;

/// The most functions of a recursion that are named.
const NAMED_MAX: usize = 4;

/// A function of the plugin that was running, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's index in the plugin's module.
    pub function: u32,
    /// Its name in full: that of the name section, that of its export, or its index in words.
    pub name: Arc<str>,
    /// A number that is the function's own, and stays it when other functions of the module change, where it has a name.
    pub id: u64,
    /// The instruction, in bytes from the beginning of the function's body.
    pub offset: Option<u32>,
    /// The functions that call each other, of which it is one; `None` where it calls but itself, or nobody, directly.
    pub cycle: Option<Arc<[SiteFunction]>>,
    /// Whether nothing can be made of it: it belongs to a language's runtime, or only aborts, and for many.
    pub is_helper: bool,
    /// Whether the function has parameters.
    pub has_parameters: bool,
    /// Whether the function is called from more places than one, or may be.
    pub has_many_callers: bool,
}

impl Frame {
    /// The name, as long as it is printed.
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

/// The place in a plugin that a fault belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Site {
    /// What is there.
    pub kind: SiteKind,
    /// The function; of a recursion all that call each other.
    pub functions: Vec<SiteFunction>,
    /// The instruction, in bytes from the beginning of the function's body; `None` where it is the whole function.
    pub offset: Option<u32>,
}

/// What is at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SiteKind {
    /// The instruction that trapped, or called what did.
    Trap,
    /// Functions that call each other, too deep.
    Recursion,
    /// Functions that call each other, and were running when there was no fuel or time left.
    LastingRecursion,
    /// A loop, or a function, that was running when there was no fuel or time left, and had been for long.
    Running,
    /// The instruction that set the answer, or called what did.
    Answer,
}

/// A function of a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteFunction {
    /// Its name, as long as it is printed.
    pub name: String,
    /// See [`Frame::id`].
    pub id: u64,
}

impl Site {
    /// A site in one function.
    pub(crate) fn at(kind: SiteKind, frame: &Frame, offset: Option<u32>) -> Self {
        Self {
            kind,
            functions: vec![frame.site_function()],
            offset,
        }
    }

    /// Where a call trapped, of the functions that were running, the innermost first: the innermost that is no helper.
    pub(crate) fn of_trap(frames: &[Frame]) -> Option<Self> {
        let own = frames.iter().find(|frame| !frame.is_helper);
        let frame = own.or(frames.last())?;
        Some(Self::at(SiteKind::Trap, frame, frame.offset))
    }

    /// The functions that call each other where the stack ended. Where it ended says nothing: it is another one of them, or
    /// of those that they call, every time.
    pub(crate) fn of_recursion(frames: &[Frame]) -> Option<Self> {
        let again = |frame: &&Frame| {
            let same = frames.iter().filter(|other| other.id == frame.id);
            same.count() > 1
        };
        Self::recursion(SiteKind::Recursion, frames.iter().filter(again))
            .or_else(|| Self::of_long_recursion(frames))
    }

    /// The same where the frames are not enough for it to come round: most of them are of it.
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

    /// The recursion that these functions were running in, in an order that is always the same: all that call each other, of
    /// which another request may run others; where they do so by way of a table, these.
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

    /// Whether it shows only when a call is made once more, on a copy of the plugin that is looked into.
    pub(crate) fn is_located_later(&self) -> bool {
        match self.kind {
            SiteKind::Trap | SiteKind::Recursion => false,
            SiteKind::Running | SiteKind::LastingRecursion | SiteKind::Answer => true,
        }
    }

    /// Sites with equal keys are one.
    pub(crate) fn key(&self) -> String {
        let functions = self.functions.iter().map(|f| format!("{:x}", f.id));
        let functions = functions.collect::<Vec<_>>().join("+");
        let offset = self.offset.map(|offset| format!("@{offset:x}"));
        format!("{}{}", functions, offset.unwrap_or_default())
    }

    /// The names of the functions.
    pub fn names(&self) -> String {
        let names = self.functions.iter().map(|f| f.name.as_str());
        let mut text = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
        if self.functions.len() > NAMED_MAX {
            text += ", …";
        }
        text
    }
}

/// For people, such as `in bug_one, at 0x2c`.
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
