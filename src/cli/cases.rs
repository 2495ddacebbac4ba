//! Reads the cases in the files and folders that a command gets, before any case runs.

use std::path::{Path, PathBuf};

use cc_lb_fuzz::case::{Case, CaseError};
use cc_lb_fuzz::wire::Request;

use super::error::CliError;
use super::output::note;

/// A case and its file.
pub type CaseFile = (PathBuf, Case<Request>);

/// The cases of files and folders; see [`of_folder`]. A named file that is not a case is an error.
pub fn of_paths(paths: &[PathBuf]) -> Result<Vec<CaseFile>, CliError> {
    let mut cases = Vec::new();
    for path in paths {
        if path.is_dir() {
            cases.extend(of_folder(path)?);
        } else {
            cases.push((path.clone(), Case::read(path)?));
        }
    }
    Ok(cases)
}

/// The cases of a folder, at least one. Everything else in it is skipped, with a line for each.
pub fn of_folder(folder: &Path) -> Result<Vec<CaseFile>, CliError> {
    let found = Case::read_folder(folder)?;
    if found.cases.is_empty() {
        return Err(CliError::NoCases {
            path: folder.to_owned(),
            because: in_short(&found.skipped),
        });
    }
    note_skipped(&found.skipped);
    Ok(found.cases)
}

/// The cases of a folder that may be empty or missing.
pub fn of_folder_if_any(folder: &Path) -> Result<Vec<CaseFile>, CliError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let found = Case::read_folder(folder)?;
    note_skipped(&found.skipped);
    Ok(found.cases)
}

fn note_skipped(skipped: &[CaseError]) {
    for error in skipped {
        note(&format!("skipped: {error}"));
    }
}

/// The first of the reasons, and how many more there are.
fn in_short(skipped: &[CaseError]) -> String {
    match skipped {
        [] => "; it is empty".to_owned(),
        [one] => format!("; {one}"),
        [first, more @ ..] => format!("; {first}; and {} more", more.len()),
    }
}
