//! Writes reports to files.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cc_lb_fuzz::files;
use cc_lb_fuzz::report::{Report, html_page, junit, markdown, sarif};

use super::error::CliError;
use super::output::make_folder;

/// A format and a file.
#[derive(Clone, Debug)]
pub struct ReportFile {
    format: Format,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Html,
    Json,
    Junit,
    Markdown,
    Sarif,
}

impl ReportFile {
    /// Reads `FORMAT=FILE`.
    pub fn parse(text: OsString) -> Result<Self, String> {
        let wrong =
            || "expected FORMAT=FILE; formats are html, json, junit, markdown, sarif".to_owned();
        let mut parts = text.as_bytes().splitn(2, |byte| *byte == b'=');
        let (Some(format), Some(path)) = (parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let format = match format {
            b"html" => Format::Html,
            b"json" => Format::Json,
            b"junit" => Format::Junit,
            b"markdown" => Format::Markdown,
            b"sarif" => Format::Sarif,
            _ => return Err(wrong()),
        };
        if path.is_empty() {
            Err(wrong())
        } else {
            Ok(Self {
                format,
                path: OsStr::from_bytes(path).into(),
            })
        }
    }

    /// Whether the format contains the limits of a plugin.
    pub fn tells_limits(&self) -> bool {
        matches!(self.format, Format::Html | Format::Json)
    }

    /// Whether it would overwrite another report.
    pub fn overwrites(&self, other: &Self) -> bool {
        let file = files::replaced(&self.path);
        file.is_some() && self.stream().is_none() && file == files::replaced(&other.path)
    }

    /// Creates its folder, and checks before the work that the file can be written.
    pub fn prepare(&self) -> Result<(), CliError> {
        if self.path.is_dir() {
            return Err(CliError::Report {
                path: self.path.clone(),
                reason: "it is a folder".to_owned(),
            });
        }
        self.make_folder()?;
        match self.stream() {
            Some(_) => Ok(()),
            None => files::check(&self.path).map_err(|error| self.failed(&error)),
        }
    }

    fn make_folder(&self) -> Result<(), CliError> {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => make_folder(folder),
            _ => Ok(()),
        }
    }

    pub fn failed(&self, reason: &dyn std::fmt::Display) -> CliError {
        CliError::Report {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    /// The standard stream that the path names, such as /dev/stdout. The report is appended to it, even if it is a file.
    fn stream(&self) -> Option<Box<dyn Write>> {
        let own = self.path.metadata().ok()?;
        let is = |stream: Option<Metadata>| {
            stream.is_some_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino()))
        };
        if is(metadata(&io::stdout())) {
            Some(Box::new(io::stdout()))
        } else if is(metadata(&io::stderr())) {
            Some(Box::new(io::stderr()))
        } else {
            None
        }
    }

    /// Writes the report.
    pub fn write(&self, report: &Report) -> Result<(), CliError> {
        let text = match self.format {
            Format::Html => Ok(html_page(report)),
            Format::Json => report.to_json().map_err(|error| error.to_string()),
            Format::Junit => junit(report).map_err(|error| error.to_string()),
            Format::Markdown => Ok(markdown(report)),
            Format::Sarif => sarif(report).map_err(|error| error.to_string()),
        };
        let text = text.map_err(|reason| self.failed(&reason))?;
        // It existed before the run, and may be gone.
        self.make_folder()?;
        let written = match self.stream() {
            Some(mut stream) => stream
                .write_all(text.as_bytes())
                .and_then(|()| stream.flush()),
            None => files::write(&self.path, text.as_bytes()),
        };
        written.map_err(|error| self.failed(&error))
    }
}

/// The metadata of an open stream.
fn metadata(stream: &impl AsFd) -> Option<Metadata> {
    let stream = stream.as_fd().try_clone_to_owned().ok()?;
    File::from(stream).metadata().ok()
}
