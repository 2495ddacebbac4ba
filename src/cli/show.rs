//! `show`: a stored case, to read or to paste.

use std::path::PathBuf;

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::line::in_json;
use cc_lb_fuzz::report;
use cc_lb_fuzz::wire::Request;
use clap::{Args, ValueEnum};

use super::error::CliError;
use super::output::{print, print_bytes};

#[derive(Args)]
pub struct ShowArgs {
    /// The case
    file: PathBuf,
    /// As what it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The plugin that the code of a test reads
    #[arg(long, default_value = "plugin.wasm")]
    plugin: PathBuf,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// What differs from the dry-run sample
    #[default]
    Text,
    /// The readable form of a case file
    Json,
    /// A test to paste into those of the plugin
    Rust,
}

pub fn show(args: &ShowArgs) -> Result<u8, CliError> {
    let case = Case::<Request>::read(&args.file)?;
    match args.format {
        Format::Text => print(&report::case_text(&case))?,
        Format::Json => print_bytes(in_json(&case.to_json()?).as_bytes())?,
        Format::Rust => {
            let name = args.file.file_stem().unwrap_or_default();
            let plugin = args.plugin.display().to_string();
            let code = report::test_code(&case, &name.to_string_lossy(), &plugin)?;
            print_bytes(code.as_bytes())?;
        }
    }
    Ok(exit_code::CLEAN)
}
