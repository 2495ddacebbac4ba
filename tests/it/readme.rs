//! What the README says is true: its commands run, and its output is what they print.

use std::path::Path;

use assert_cmd::Command;
use cc_lb_fuzz::exit_code;

use crate::cli::undisturbed;

const README: &str = include_str!("../../README.md");
const CI: &str = include_str!("../../.ci/run");
const WORKFLOWS: [&str; 2] = [
    include_str!("../../.github/workflows/ci.yml"),
    include_str!("../../.github/workflows/nightly.yml"),
];

/// The lines of the README's code blocks of a language.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    let opening = format!("```{language}\n");
    let blocks = README.split(opening.as_str()).skip(1);
    let bodies = blocks.map(|rest| rest.split("```").next().expect("it is closed"));
    bodies.map(|body| body.lines().collect()).collect()
}

/// Runs the tool in a folder with the repository's guests, as the README's reader would in the repository.
fn tool(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    if !folder.join("guests").exists() {
        std::os::unix::fs::symlink(guests, folder.join("guests")).expect("it links");
    }
    let mut command = Command::cargo_bin("cc-lb-fuzz").expect("it is built");
    let output = command
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("it runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("it prints UTF-8"),
    )
}

/// What does not change from run to run: no rates, no times, no name of the program.
fn stable(line: &str) -> &str {
    if let Some((_, replay)) = line.split_once("replay: ") {
        return replay.split_once(' ').expect("it has arguments").1;
    }
    if let Some((counts, _)) = line.split_once(" dispatches, ") {
        return counts;
    }
    match line.split_whitespace().next() {
        Some(label) if label.contains("_v") => line.rsplit_once(' ').expect("columns").0.trim_end(),
        _ => line,
    }
}

#[test]
fn every_command_runs_as_it_says() {
    let folder = tempfile::tempdir().expect("there is room");
    let mut printed = String::new();
    for line in blocks("sh").concat() {
        match line
            .strip_prefix("cargo run --release")
            .map(|rest| rest.strip_prefix(" -- "))
        {
            // The main job takes its ten seconds in CI.
            Some(None) => assert!(CI.contains(line), "{line}"),
            Some(Some(arguments)) => {
                let arguments: Vec<&str> = arguments.split(' ').collect();
                let run = || tool(folder.path(), &arguments);
                let (code, output) = match arguments[..] {
                    ["run", plugin, ..] if plugin.starts_with("guests") => undisturbed(|| {
                        // What one run found the next would try first.
                        let _ = std::fs::remove_dir_all(folder.path().join("artifacts"));
                        run()
                    }),
                    _ => run(),
                };
                assert_eq!(
                    code,
                    Some(i32::from(exit_code::FINDINGS)),
                    "{line}: {output}"
                );
                printed += &output;
            }
            // Tools of their own, and this very test; CI runs the same.
            None => {
                let command = line.split(" -- ").next().expect("there is a command");
                let runs = |script: &str| script.contains(command);
                let runs = runs(CI) || WORKFLOWS.into_iter().any(runs);
                assert!(runs, "CI does not run {command}");
            }
        }
    }
    for block in blocks("text") {
        for line in block {
            let found = printed
                .lines()
                .any(|printed| stable(printed) == stable(line));
            assert!(
                found,
                "the README shows a line that is not printed:\n{line}\n{printed}"
            );
        }
    }
}

#[test]
fn every_check_is_in_the_table() {
    for check in cc_lb_fuzz::check::CHECKS {
        let name = format!("`{}`", check.name());
        assert!(README.contains(&name), "{name}");
    }
}
