//! The protocol between a worker and its parent: length-prefixed postcard frames on the worker's
//! standard input and output.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::campaign::Block;
use crate::check::{CheckRef, Violation};
use crate::generate::Plan;
use crate::host::inspect::Inspection;
use crate::host::{NegotiatedTerms, Site};
use crate::limits::Limit;
use crate::record::StepSummary;

/// The second frame to a worker, after the [`Setup`], which is the same for all workers. Paths are
/// sent as strings of the system, because serde only serializes paths that are UTF-8.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Whether the worker describes the plugin first, which it may not be able to load.
    pub(crate) inspects: bool,
    /// The folder for compiled modules.
    pub(crate) folder: OsString,
    /// The file for the state of the worker: see [`Heartbeat`].
    pub(crate) heartbeat: OsString,
}

/// An order to a worker. Each one has one answer.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Run cases that share a session.
    Run {
        plan: Plan,
        cases: Range<u64>,
        time: Option<Duration>,
    },
    /// Run this encoded case alone, for this check.
    Judge { case: Vec<u8>, check: CheckRef },
    /// Locate a violation, which this encoded case shows, in the plugin.
    Locate { case: Vec<u8>, violation: Violation },
    /// Run this encoded case alone with all checks, and return what was observed.
    Replay { case: Vec<u8> },
    /// Run this encoded case alone, and return the features that it reaches.
    Reach { case: Vec<u8> },
    /// Find the limits of these functions.
    Limits { functions: Vec<usize> },
}

/// An answer of a worker.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The description of the module, or why there is none. Sent first, if requested.
    Inspected(Result<Inspection, String>),
    /// The plugin is loaded; what was negotiated, if the host keeps it. Sent once.
    Loaded(Option<NegotiatedTerms>),
    /// Sessions of the plugin are open. Sent once, after that.
    Opened(Opened),
    /// A session could not be opened.
    Refused(String),
    Block(Block),
    Judged(Vec<Violation>),
    Located(Option<Site>),
    Replayed(Vec<StepSummary>, Vec<Violation>),
    Reached(BTreeSet<String>),
    Limits(Vec<Limit>),
}

/// What a worker learns by opening the plugin.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// The indices of the functions that it negotiated.
    pub(crate) negotiated: Vec<usize>,
    /// See [`Runner::response_dictionary`](crate::execute::Runner::response_dictionary).
    pub(crate) response_dictionary: Vec<String>,
}

/// The state of a worker, from which a crash is attributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// A number that grows with every dispatch and every case.
    pub(crate) beats: u64,
    /// The current case.
    pub(crate) case: u64,
    /// The index of the current function; out of range if there is none.
    pub(crate) function: u64,
}

impl Heartbeat {
    pub(crate) const BYTES: usize = 24;

    /// The state before the plugin is opened.
    pub(crate) const OPENING: Self = Self {
        beats: 0,
        case: 0,
        function: u64::MAX,
    };

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.beats, self.case, self.function];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            beats: word(0),
            case: word(8),
            function: word(16),
        }
    }
}

/// The longest frame, in bytes: a module and everything that goes with it.
const FRAME_MAX_BYTES: u32 = 128 << 20;

/// Returns the bytes of a frame.
pub(crate) fn frame(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let invalid = |error: postcard::Error| io::Error::new(ErrorKind::InvalidData, error);
    const LENGTH_BYTES: usize = size_of::<u32>();
    let mut frame = postcard::to_extend(content, vec![0; LENGTH_BYTES]).map_err(invalid)?;
    let length = u32::try_from(frame.len() - LENGTH_BYTES).map_err(io::Error::other)?;
    if length > FRAME_MAX_BYTES {
        let reason = format!("{length} bytes for a worker; {FRAME_MAX_BYTES} at most");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Writes a frame.
pub(crate) fn send(to: &mut impl Write, content: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(content)?)?;
    to.flush()
}

/// Reads a frame; `None` at the end.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > FRAME_MAX_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a frame"));
    }
    // The buffer grows as bytes arrive, so that a wrong length takes no memory.
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    let invalid = |error: postcard::Error| io::Error::new(ErrorKind::InvalidData, error);
    postcard::from_bytes(&bytes).map(Some).map_err(invalid)
}
