//! Case files: JSON to read and edit, postcard to be small. Both say which format version they have.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Case, MAX_STEPS, ONCE, Step};
use crate::puppet::Program;
use crate::wire::{self, Vocabulary};

/// The latest format version. Every older one keeps loading.
///
/// Format 2 says how often each step is dispatched. A case that needs none of that is written in format 1, which earlier
/// versions of this crate read.
pub const FORMAT: u32 = 2;

/// What a postcard file begins with; a byte with the format version follows.
const MAGIC: &[u8; 4] = b"cclb";

/// The most bytes that all texts of a case stand for which are written in short.
const REPEATED_MAX_BYTES: usize = 64 << 20;

/// Why a case file could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaseError {
    /// The file could not be read.
    #[error("cannot read the case {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write the case {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in a named file is wrong.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<CaseError>,
    },
    /// The bytes are neither form of a case.
    #[error("not a case: {0}")]
    NotACase(String),
    /// The case is of a later format.
    #[error(
        "a case of format {found}; this version reads formats up to {FORMAT}: update cc-lb-fuzz"
    )]
    Format {
        /// The format that it says it has.
        found: u32,
    },
    /// The case is too long.
    #[error("a case of {steps} steps; {MAX_STEPS} at most")]
    TooLong {
        /// How often it dispatches something.
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

/// A step in the compact form of format 1. It stays as it is.
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

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl<R: Vocabulary> Case<R> {
    /// The readable form: pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// [`CaseError::NotACase`] where a request does not serialize.
    pub fn to_json(&self) -> Result<String, CaseError> {
        let file = Written {
            format: self.format(),
            steps: &self.steps,
        };
        serde_json::to_string_pretty(&file)
            .map(|json| json + "\n")
            .map_err(|error| CaseError::NotACase(error.to_string()))
    }

    /// The compact form: postcard behind a magic number and the format version.
    ///
    /// # Errors
    /// [`CaseError::NotACase`] where a request does not serialize.
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

    /// The earliest format that can say the case.
    fn format(&self) -> u32 {
        match self.steps.iter().all(|step| step.times == ONCE) {
            true => 1,
            false => 2,
        }
    }

    /// Reads either form.
    ///
    /// # Errors
    /// [`CaseError`] where the bytes are no case, of a later format, or too long.
    pub fn decode(bytes: &[u8]) -> Result<Self, CaseError> {
        let steps = match bytes.strip_prefix(MAGIC) {
            Some([format, rest @ ..]) => decode_compact(u32::from(*format), rest)?,
            Some([]) => return Err(CaseError::NotACase("it is cut short".to_owned())),
            None => decode_json(bytes)?,
        };
        let case = Self { steps };
        // The times are no more than numbers yet.
        match case.dispatches() {
            0 => Err(CaseError::NotACase("it has no steps".to_owned())),
            steps if steps > MAX_STEPS => Err(CaseError::TooLong { steps }),
            _ => Ok(case),
        }
    }

    /// Reads a file of either form.
    ///
    /// # Errors
    /// [`CaseError`], naming the file.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let bytes = std::fs::read(path).map_err(|source| CaseError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::decode(&bytes).map_err(|source| CaseError::In {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads all of a folder's [`files`].
    ///
    /// # Errors
    /// [`CaseError`], naming the folder or the file.
    pub fn read_folder(folder: &Path) -> Result<Vec<Self>, CaseError> {
        let files = files(folder)?;
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// Writes the readable form to a file.
    ///
    /// # Errors
    /// [`CaseError`], naming the file.
    pub fn write(&self, path: &Path) -> Result<(), CaseError> {
        std::fs::write(path, self.to_json()?).map_err(|source| CaseError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

/// The files of a folder that are not hidden, in the order of their names: where each is a case, a corpus.
///
/// # Errors
/// [`CaseError::Read`] where the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let read = |source| CaseError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn decode_json<R: Vocabulary>(bytes: &[u8]) -> Result<Vec<Step<R>>, CaseError> {
    let not_a_case = |error: serde_json::Error| CaseError::NotACase(error.to_string());
    if memchr::memmem::find(bytes, b"$repeat").is_some() {
        let value = serde_json::from_slice(bytes).map_err(not_a_case)?;
        if wire::repeated_bytes(&value) > REPEATED_MAX_BYTES {
            return Err(CaseError::NotACase(format!(
                "its texts stand for more than {REPEATED_MAX_BYTES} bytes"
            )));
        }
    }
    let FormatOnly { format } = serde_json::from_slice(bytes).map_err(not_a_case)?;
    check_format(format)?;
    let file: File<R> = serde_json::from_slice(bytes).map_err(not_a_case)?;
    // An earlier version, for which format 1 is, reads no times.
    if file.format == 1 && file.steps.iter().any(|step| step.times != ONCE) {
        return Err(CaseError::NotACase(
            "`times` of a step is of format 2".to_owned(),
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
        0 => Err(CaseError::NotACase("format 0 never was".to_owned())),
        found => Err(CaseError::Format { found }),
    }
}
