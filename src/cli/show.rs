//! `show`: prints a stored case.

use std::path::PathBuf;

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::untrusted_text::in_json;
use cc_lb_fuzz::wire::Request;
use cc_lb_fuzz::{exit_code, report};
use clap::{Args, ValueEnum};

use super::error::CliError;
use super::output::{print, print_bytes};

#[derive(Args)]
pub struct ShowArgs {
    /// The case
    file: PathBuf,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The plugin file that the generated test reads
    #[arg(long, default_value = "plugin.wasm")]
    plugin: PathBuf,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// What differs from the dry-run sample
    #[default]
    Text,
    /// The case as JSON, as in readable case files
    Json,
    /// A test to paste into the tests of the plugin
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
