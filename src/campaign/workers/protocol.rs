//! What a worker and its parent say to each other: frames of postcard behind their lengths, on the worker's
//! standard input and output.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::campaign::{Block, Limit, Plan};
use crate::host::inspect::Inspection;
use crate::host::{Agreed, Site};
use crate::observation::StepSeen;
use crate::oracle::Violation;

/// The second frame to a worker, behind the [`Setup`], which is the same for all. Its paths are the system's texts, which may be
/// any: of what has the type of a path, serde takes only what is UTF-8.
#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    /// Whether it describes the plugin first, which it may not be able to load.
    pub(super) inspects: bool,
    /// A folder for what the next worker need not do again.
    pub(super) folder: OsString,
    /// The file into which the worker writes where it is: see [`Place`].
    pub(super) place: OsString,
}

/// What a worker is to do. Each order has one answer.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// Run cases that share a session.
    Run {
        plan: Plan,
        cases: Range<u64>,
        time: Option<Duration>,
    },
    /// Run this encoded case alone, for this check.
    Judge { case: Vec<u8>, check: String },
    /// Find out where in the plugin a violation is that this encoded case shows.
    Locate { case: Vec<u8>, violation: Violation },
    /// Run this encoded case alone, for all checks, and tell what was seen.
    Replay { case: Vec<u8> },
    /// Run this encoded case alone, and tell which features it reaches.
    Reach { case: Vec<u8> },
    /// Find how large requests of these functions may be.
    Limits { functions: Vec<usize> },
}

/// What a worker answers.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    /// What the plugin's module says of itself, or why it is none. Told once, before all else, where that is asked for.
    Inspected(Result<Inspection, String>),
    /// It has loaded the plugin, and what was agreed on, where the host keeps it. Told once.
    Loaded(Option<Agreed>),
    /// It has opened sessions of the plugin. Told once, behind that.
    Opened(Opened),
    /// A session could not be opened.
    Refused(String),
    Block(Block),
    Judged(Vec<Violation>),
    Located(Option<Site>),
    Replayed(Vec<StepSeen>, Vec<Violation>),
    Reached(BTreeSet<String>),
    Limits(Vec<Limit>),
}

/// What a worker learns of a plugin by opening it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Opened {
    /// The places of the functions that it negotiated.
    pub(super) negotiated: Vec<usize>,
    /// See [`Runner::objects`](crate::observation::Runner::objects).
    pub(super) objects: Vec<String>,
}

/// Where a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Grows with every dispatch and every case.
    pub(super) beats: u64,
    /// The case in work.
    pub(super) case: u64,
    /// The place of the function that is called; past the last while there is none.
    pub(super) function: u64,
}

impl Place {
    pub(super) const BYTES: usize = 24;

    /// Before the plugin is opened.
    pub(super) const OPENING: Self = Self {
        beats: 0,
        case: 0,
        function: u64::MAX,
    };

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.beats, self.case, self.function];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
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

/// The longest frame, in bytes: a module and all that goes with it. What is longer is no frame.
const FRAME_MAX_BYTES: u32 = 128 << 20;

/// A frame's bytes.
pub(super) fn frame(content: &impl Serialize) -> io::Result<Vec<u8>> {
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
pub(super) fn send(to: &mut impl Write, content: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(content)?)?;
    to.flush()
}

/// Reads a frame; `None` at the end.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > FRAME_MAX_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "this is no frame"));
    }
    // As it comes, not all at once: a length that is none takes no memory.
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    let invalid = |error: postcard::Error| io::Error::new(ErrorKind::InvalidData, error);
    postcard::from_bytes(&bytes).map(Some).map_err(invalid)
}
