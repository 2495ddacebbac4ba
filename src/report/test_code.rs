//! A case as the code of a test, to paste into the tests of a plugin.

use crate::case::{Case, CaseError};
use crate::untrusted_text::escape_in_json;
use crate::wire::Request;

/// A test that runs the case on the plugin in the file `plugin`. Characters of `name` other than letters, digits and
/// underscores become underscores in the test's name.
///
/// # Errors
/// Returns a [`CaseError`] if the case does not serialize.
pub fn test_code(case: &Case<Request>, name: &str, plugin: &str) -> Result<String, CaseError> {
    let json = case.to_json()?;
    // The compiler treats some characters specially, even in strings.
    let json = escape_in_json(json.trim_end(), |c| !c.is_ascii());
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    // More than any string in the case ends with.
    let mut marks = String::from("#");
    while json.contains(&format!("\"{marks}")) {
        marks.push('#');
    }
    Ok(format!(
        r##"#[test]
fn case_{name}() -> Result<(), Box<dyn std::error::Error>> {{
    let case = cc_lb_fuzz::case::Case::decode(CASE.as_bytes())?;
    let plugin = std::fs::read({plugin:?})?;
    cc_lb_fuzz::check_plugin(plugin).case(case).cases(0).run()?;
    Ok(())
}}

const CASE: &str = r{marks}"{json}"{marks};
"##
    ))
}
