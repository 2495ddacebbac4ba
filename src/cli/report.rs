//! The files of reports.

use std::path::{Path, PathBuf};

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
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || "it is FORMAT=FILE; formats are html, json, junit, markdown, sarif".to_owned();
        let (format, path) = text.split_once('=').ok_or_else(wrong)?;
        let format = match format {
            "html" => Format::Html,
            "json" => Format::Json,
            "junit" => Format::Junit,
            "markdown" => Format::Markdown,
            "sarif" => Format::Sarif,
            _ => return Err(wrong()),
        };
        match path.is_empty() {
            true => Err(wrong()),
            false => Ok(Self {
                format,
                path: path.into(),
            }),
        }
    }

    /// Whether it tells the limits of a plugin.
    pub fn tells_limits(&self) -> bool {
        matches!(self.format, Format::Html | Format::Json)
    }

    /// Makes its folder.
    pub fn prepare(&self) -> Result<(), CliError> {
        if self.path.is_dir() {
            return Err(CliError::Report {
                path: self.path.clone(),
                reason: "it is a folder".to_owned(),
            });
        }
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => make_folder(folder),
            _ => Ok(()),
        }
    }

    /// Writes the report.
    pub fn write(&self, report: &Report) -> Result<(), CliError> {
        let failed = |reason: String| CliError::Report {
            path: self.path.clone(),
            reason,
        };
        let text = match self.format {
            Format::Html => Ok(html_page(report)),
            Format::Json => report.to_json().map_err(|error| error.to_string()),
            Format::Junit => junit(report).map_err(|error| error.to_string()),
            Format::Markdown => Ok(markdown(report)),
            Format::Sarif => sarif(report).map_err(|error| error.to_string()),
        };
        let text = text.map_err(failed)?;
        std::fs::write(&self.path, text).map_err(|error| failed(error.to_string()))
    }
}
