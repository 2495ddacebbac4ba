//! Lookup of wire functions by name or label.

use thiserror::Error;

use super::function::Function;

/// No function has the requested name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown function {name}{}; the functions are: {}", meant(*nearest), labels.join(", "))]
#[non_exhaustive]
pub struct UnknownFunction {
    /// The requested name.
    pub name: String,
    /// The known name or label most similar to it, if one is similar enough.
    pub nearest: Option<&'static str>,
    /// The labels of all functions.
    pub labels: Vec<&'static str>,
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}

pub(super) fn function_indices(
    functions: &'static [Function],
    names: &[String],
) -> Result<Vec<usize>, UnknownFunction> {
    let is = |function: &Function, name: &String| function.label == name || function.name == name;
    let known = |name: &&String| functions.iter().any(|function| is(function, name));
    if let Some(name) = names.iter().find(|name| !known(name)) {
        return Err(UnknownFunction {
            name: name.clone(),
            nearest: nearest(functions, name),
            labels: functions.iter().map(|function| function.label).collect(),
        });
    }
    let wanted = |index: &usize| {
        let mut names = names.iter();
        names.len() == 0 || names.any(|name| is(&functions[*index], name))
    };
    Ok((0..functions.len()).filter(wanted).collect())
}

fn nearest(functions: &'static [Function], name: &str) -> Option<&'static str> {
    /// The least Jaro-Winkler similarity, from 0 to 1, at which a known name is suggested.
    const ALIKE: f64 = 0.7;
    let names = functions
        .iter()
        .flat_map(|function| [function.name, function.label]);
    let alike = names.map(|known| (strsim::jaro_winkler(known, name), known));
    let (likeness, known) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness >= ALIKE).then_some(known)
}
