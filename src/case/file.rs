//! Case files: JSON to read and edit, postcard for size. Both state their format version.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Case, MAX_STEPS, ONCE, Step};
use crate::files::{self, without_byte_order_mark};
use crate::puppet::Program;
use crate::wire::{self, Vocabulary};

/// The latest format version. All older versions can be read.
///
/// Format 2 adds the number of dispatches of a step. A case that does not need it is written in
/// format 1, which earlier versions of this crate read.
pub const FORMAT: u32 = 2;

/// The magic number of a postcard file; a byte with the format version follows.
const MAGIC: &[u8; 4] = b"cclb";

/// The largest file of a case, in bytes, and the most values in its JSON; parsing one takes up to
/// 640 bytes.
const FILE_MAX_BYTES: u64 = 64 << 20;
const VALUES_MAX: usize = 1 << 20;

/// The most bytes that all `$repeat` texts of a case may stand for.
const REPEATED_MAX_BYTES: usize = 64 << 20;

/// Why a case file could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaseError {
    /// The file could not be read.
    #[error("cannot read the case {}: {source}", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write the case {}: {source}", path.display())]
    Write {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The folder could not be read.
    #[error("cannot read the folder {}: {source}", path.display())]
    ReadFolder {
        /// The path of the folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// An entry of a folder is not a file with content.
    #[error("{} is {what}", path.display())]
    NoFile {
        /// The path of the entry.
        path: PathBuf,
        /// A description of the entry, such as "a folder".
        what: &'static str,
    },
    /// The content of the file is not a valid case.
    #[error("{}: {source}", path.display())]
    In {
        /// The path of the file.
        path: PathBuf,
        /// The error in the content.
        source: Box<CaseError>,
    },
    /// The bytes are a case neither in JSON nor in postcard.
    #[error("not a case: {0}")]
    NotACase(String),
    /// The case has a later format than this version reads.
    #[error(
        "a case of format {found}; this version reads formats up to {FORMAT}: update cc-lb-fuzz"
    )]
    Format {
        /// The format version in the file.
        found: u32,
    },
    /// The case has more than [`MAX_STEPS`] dispatches.
    #[error("a case of {steps} steps; {MAX_STEPS} at most")]
    TooLong {
        /// The number of dispatches.
        steps: usize,
    },
}

#[derive(Serialize)]
#[serde(bound = "R: Vocabulary")]
struct Written<'c, R> {
    format: u32,
    steps: &'c [Step<R>],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "R: Vocabulary")]
struct File<R> {
    format: u32,
    steps: Vec<Step<R>>,
}

/// A step in the compact form of format 1, which never changes.
#[derive(Deserialize)]
#[serde(bound = "R: Vocabulary")]
struct Compact1<R> {
    request: R,
    program: Option<Program>,
}

/// A step in the compact form of format 2.
#[derive(Deserialize)]
#[serde(bound = "R: Vocabulary")]
struct Compact2<R> {
    request: R,
    program: Option<Program>,
    times: NonZeroU32,
}

/// The fields that a case of any format has. The steps distinguish it from a report, which has a
/// format too.
#[derive(Deserialize)]
#[serde(expecting = "an object with a format and steps")]
struct FormatOnly {
    format: u32,
    #[serde(rename = "steps")]
    _steps: IgnoredAny,
}

/// The content of a folder, sorted by name, without hidden files.
#[derive(Debug)]
pub struct Folder<R> {
    /// The cases and the paths of their files.
    pub cases: Vec<(PathBuf, Case<R>)>,
    /// The reason for each entry that is not a case. Subfolders are not read.
    pub skipped: Vec<CaseError>,
}

impl<R> Folder<R> {
    /// Returns the cases if every entry of the folder is one.
    ///
    /// # Errors
    /// Returns the [`CaseError`] of the first entry that is not a case.
    pub fn all(self) -> Result<Vec<Case<R>>, CaseError> {
        match self.skipped.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.cases.into_iter().map(|(_, case)| case).collect()),
        }
    }
}

impl<R: Vocabulary> Case<R> {
    /// Serializes the case as pretty-printed JSON that ends with a newline.
    ///
    /// # Errors
    /// Returns [`CaseError::NotACase`] if a request does not serialize.
    pub fn to_json(&self) -> Result<String, CaseError> {
        let file = Written {
            format: self.format(),
            steps: &self.steps,
        };
        serde_json::to_string_pretty(&file)
            .map(|json| json + "\n")
            .map_err(|error| CaseError::NotACase(error.to_string()))
    }

    /// Serializes the case as postcard after a magic number and the format version.
    ///
    /// # Errors
    /// Returns [`CaseError::NotACase`] if a request does not serialize.
    pub fn to_postcard(&self) -> Result<Vec<u8>, CaseError> {
        let mut bytes = MAGIC.to_vec();
        let format = self.format();
        bytes.push(format as u8);
        let steps = self.steps.iter();
        let written = match format {
            1 => {
                let steps: Vec<_> = steps.map(|step| (&step.request, &step.program)).collect();
                postcard::to_extend(&steps, bytes)
            }
            _ => {
                let steps: Vec<_> = steps
                    .map(|step| (&step.request, &step.program, step.times))
                    .collect();
                postcard::to_extend(&steps, bytes)
            }
        };
        written.map_err(|error| CaseError::NotACase(error.to_string()))
    }

    /// Returns the earliest format that can express the case.
    fn format(&self) -> u32 {
        if self.steps.iter().all(|step| step.times == ONCE) {
            1
        } else {
            2
        }
    }

    /// Deserializes a case from JSON or postcard.
    ///
    /// # Errors
    /// Returns a [`CaseError`] if the bytes are not a case, have a later format, or have too many
    /// steps.
    pub fn decode(bytes: &[u8]) -> Result<Self, CaseError> {
        let steps = match bytes.strip_prefix(MAGIC) {
            Some([format, rest @ ..]) => decode_compact(u32::from(*format), rest)?,
            Some([]) => return Err(CaseError::NotACase("it is truncated".to_owned())),
            None => decode_json(bytes)?,
        };
        let case = Self { steps };
        // Nothing has been allocated for `times` yet.
        match case.dispatches() {
            0 => Err(CaseError::NotACase("it has no steps".to_owned())),
            steps if steps > MAX_STEPS => Err(CaseError::TooLong { steps }),
            _ => Ok(case),
        }
    }

    /// Reads a case file, JSON or postcard.
    ///
    /// # Errors
    /// Returns a [`CaseError`] that names the file.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let bytes = files::read(path, FILE_MAX_BYTES).map_err(|source| CaseError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::decode(&bytes).map_err(|source| CaseError::In {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads all cases in a folder, such as a corpus.
    ///
    /// # Errors
    /// Returns [`CaseError::ReadFolder`] if the folder cannot be read.
    pub fn read_folder(folder: &Path) -> Result<Folder<R>, CaseError> {
        let (mut cases, mut skipped) = (Vec::new(), Vec::new());
        for path in entries(folder)? {
            match check_is_file(&path).and_then(|()| Self::read(&path)) {
                Ok(case) => cases.push((path, case)),
                Err(error) => skipped.push(error),
            }
        }
        Ok(Folder { cases, skipped })
    }

    /// Writes the case as JSON to a file, atomically.
    ///
    /// # Errors
    /// Returns a [`CaseError`] that names the file.
    pub fn write(&self, path: &Path) -> Result<(), CaseError> {
        files::write(path, self.to_json()?.as_bytes()).map_err(|source| CaseError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

/// Returns the entries of a folder that are not hidden, sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let read = |source| CaseError::ReadFolder {
        path: folder.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

/// Rejects what is not a regular file with content: reading it might never end.
fn check_is_file(path: &Path) -> Result<(), CaseError> {
    let what = match path.metadata() {
        // Some files of the system report no size and never end.
        Ok(found) if found.is_file() && found.len() == 0 => "empty",
        Ok(found) if found.is_file() => return Ok(()),
        Ok(found) if found.is_dir() => "a folder",
        Ok(_) => "not a regular file",
        Err(_) if path.is_symlink() => "a link to nothing",
        // Reading the file reports this error.
        Err(_) => return Ok(()),
    };
    Err(CaseError::NoFile {
        path: path.to_owned(),
        what,
    })
}

fn decode_json<R: Vocabulary>(bytes: &[u8]) -> Result<Vec<Step<R>>, CaseError> {
    let bytes = without_byte_order_mark(bytes);
    let not_a_case = |error: serde_json::Error| CaseError::NotACase(error.to_string());
    if wire::values(bytes) > VALUES_MAX {
        return Err(CaseError::NotACase(format!(
            "it has more than {VALUES_MAX} values"
        )));
    }
    if memchr::memmem::find(bytes, b"$repeat").is_some() {
        let value = serde_json::from_slice(bytes).map_err(not_a_case)?;
        if wire::repeated_bytes(&value) > REPEATED_MAX_BYTES {
            return Err(CaseError::NotACase(format!(
                "its strings expand to more than {REPEATED_MAX_BYTES} bytes"
            )));
        }
    }
    let FormatOnly { format, .. } = serde_json::from_slice(bytes).map_err(not_a_case)?;
    check_format(format)?;
    let file: File<R> = serde_json::from_slice(bytes).map_err(not_a_case)?;
    // Earlier versions of this crate, which read format 1, ignore `times`.
    if file.format == 1 && file.steps.iter().any(|step| step.times != ONCE) {
        return Err(CaseError::NotACase(
            "`times` of a step needs format 2".to_owned(),
        ));
    }
    Ok(file.steps)
}

fn decode_compact<R: Vocabulary>(format: u32, bytes: &[u8]) -> Result<Vec<Step<R>>, CaseError> {
    check_format(format)?;
    let not_a_case = |error: postcard::Error| CaseError::NotACase(error.to_string());
    if format == 1 {
        let steps: Vec<Compact1<R>> = postcard::from_bytes(bytes).map_err(not_a_case)?;
        let steps = steps.into_iter().map(|step| Step {
            request: step.request,
            program: step.program,
            times: ONCE,
        });
        return Ok(steps.collect());
    }
    let steps: Vec<Compact2<R>> = postcard::from_bytes(bytes).map_err(not_a_case)?;
    let steps = steps.into_iter().map(|step| Step {
        request: step.request,
        program: step.program,
        times: step.times,
    });
    Ok(steps.collect())
}

fn check_format(found: u32) -> Result<(), CaseError> {
    match found {
        1..=FORMAT => Ok(()),
        0 => Err(CaseError::NotACase("there is no format 0".to_owned())),
        found => Err(CaseError::Format { found }),
    }
}
