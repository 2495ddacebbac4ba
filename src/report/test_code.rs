//! A case as the code of a test, to paste into the tests of the plugin.

use crate::case::{Case, CaseError};
use crate::wire::Request;

/// A test that runs the case on the plugin in the file `plugin`. What is no letter, digit or underscore in `name` is an
/// underscore in the test's name.
///
/// # Errors
/// [`CaseError`] where the case does not serialize.
pub fn test_code(case: &Case<Request>, name: &str, plugin: &str) -> Result<String, CaseError> {
    let json = case.to_json()?;
    // Some characters mean something to a compiler, wherever they are.
    let mut ascii = String::new();
    for c in json.trim_end().chars() {
        if c.is_ascii() {
            ascii.push(c)
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii += &format!("\\u{unit:04x}");
            }
        }
    }
    let json = ascii;
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    // As many as no string in the case ends with.
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
