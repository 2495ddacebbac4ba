//! The README is correct: its commands run, and they print the output that it shows.

use std::path::Path;

use assert_cmd::Command;
use cc_lb_fuzz::exit_code;

use crate::cli::without_timeout;

const README: &str = include_str!("../../README.md");
const CI: &str = include_str!("../../.ci/run");
const WORKFLOWS: [&str; 2] = [
    include_str!("../../.github/workflows/ci.yml"),
    include_str!("../../.github/workflows/nightly.yml"),
];

/// Returns the lines of the README's code blocks in a language.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    let fence = format!("```{language}\n");
    let blocks = README.split(fence.as_str()).skip(1);
    let bodies = blocks.map(|rest| rest.split("```").next().expect("the block is closed"));
    bodies.map(|body| body.lines().collect()).collect()
}

/// Runs the tool in a folder with the repository's guests, as a reader of the README would do in
/// the repository.
fn tool(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    if !folder.join("guests").exists() {
        std::os::unix::fs::symlink(guests, folder.join("guests")).expect("the link is created");
    }
    let mut command = Command::cargo_bin("cc-lb-fuzz").expect("the tool is built");
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

/// Returns the part of a line that is the same in every run: no rates, no times, and no program
/// name.
fn stable(line: &str) -> &str {
    if let Some((_, replay)) = line.split_once("replay: ") {
        return replay.split_once(' ').expect("the command has arguments").1;
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
fn every_command_runs_and_prints_what_the_readme_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut printed = String::new();
    for line in blocks("sh").concat() {
        match line
            .strip_prefix("cargo run --release")
            .map(|rest| rest.strip_prefix(" -- "))
        {
            // The main command takes ten seconds, in CI.
            Some(None) => assert!(CI.contains(line), "{line}"),
            Some(Some(arguments)) => {
                let arguments: Vec<&str> = arguments.split(' ').collect();
                let run = || tool(folder.path(), &arguments);
                let (code, output) = match arguments[..] {
                    ["run", plugin, ..] if plugin.starts_with("guests") => without_timeout(|| {
                        // The next run would try the stored findings first.
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
            // Other tools, and these tests; CI runs the same commands.
            None => {
                let command = line.split(" -- ").next().expect("the line has a command");
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
