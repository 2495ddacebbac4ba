//! Case files: JSON to read and edit, postcard to be small. Both say which format version they have.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Case, MAX_STEPS, ONCE, Step};
use crate::files::{self, without_byte_order_mark};
use crate::puppet::Program;
use crate::wire::{self, Vocabulary};

/// The latest format version. Every older one keeps loading.
///
/// Format 2 says how often each step is dispatched. A case that needs none of that is written in format 1, which earlier
/// versions of this crate read.
pub const FORMAT: u32 = 2;

/// What a postcard file begins with; a byte with the format version follows.
const MAGIC: &[u8; 4] = b"cclb";

/// The largest file of a case, in bytes, and the most values in its JSON: reading one takes up to 640 bytes.
const FILE_MAX_BYTES: u64 = 64 << 20;
const VALUES_MAX: usize = 1 << 20;

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
    /// The folder could not be read.
    #[error("cannot read the folder {}: {source}", path.display())]
    ReadFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in a folder is no file.
    #[error("{} is {what}", path.display())]
    NoFile {
        /// Where it is.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
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

/// What a case of any format has. Reports have a format as well.
#[derive(Deserialize)]
#[serde(expecting = "an object with a format and steps")]
struct FormatOnly {
    format: u32,
    #[serde(rename = "steps")]
    _steps: IgnoredAny,
}

/// What is in a folder, in the order of the names, but for hidden files.
#[derive(Debug)]
pub struct Folder<R> {
    /// The case files.
    pub cases: Vec<(PathBuf, Case<R>)>,
    /// Why each of the others is none. What is in folders of it is not read.
    pub skipped: Vec<CaseError>,
}

impl<R> Folder<R> {
    /// The cases, where all that is in the folder is one.
    ///
    /// # Errors
    /// The first [`CaseError`] of the others.
    pub fn all(self) -> Result<Vec<Case<R>>, CaseError> {
        match self.skipped.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.cases.into_iter().map(|(_, case)| case).collect()),
        }
    }
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
        if self.steps.iter().all(|step| step.times == ONCE) {
            1
        } else {
            2
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
        let bytes = files::read(path, FILE_MAX_BYTES).map_err(|source| CaseError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::decode(&bytes).map_err(|source| CaseError::In {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads what is in a folder: a corpus.
    ///
    /// # Errors
    /// [`CaseError::ReadFolder`] where the folder cannot be read.
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

    /// Writes the readable form to a file, whole or not at all.
    ///
    /// # Errors
    /// [`CaseError`], naming the file.
    pub fn write(&self, path: &Path) -> Result<(), CaseError> {
        files::write(path, self.to_json()?.as_bytes()).map_err(|source| CaseError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

/// What is in a folder and not hidden, in the order of the names.
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

/// To read what is no file may take forever.
fn check_is_file(path: &Path) -> Result<(), CaseError> {
    let what = match path.metadata() {
        // Some of the system's have no size, and no end either.
        Ok(found) if found.is_file() && found.len() == 0 => "empty",
        Ok(found) if found.is_file() => return Ok(()),
        Ok(found) if found.is_dir() => "a folder",
        Ok(_) => "no regular file",
        Err(_) if path.is_symlink() => "a link to nothing",
        // What is wrong is said when it is read.
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
                "its texts stand for more than {REPEATED_MAX_BYTES} bytes"
            )));
        }
    }
    let FormatOnly { format, .. } = serde_json::from_slice(bytes).map_err(not_a_case)?;
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
