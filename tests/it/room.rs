//! The tool where the system bounds its address space: plugins run, or it says that it is not the plugin.

use std::process::{Command, Output};

use cc_lb_fuzz::exit_code;

use crate::cli::{code, folder, text};
use crate::common::{Guest, set_output};

/// Runs the tool in a process whose address space has so many KiB.
fn bounded(kib: u64, arguments: &str) -> Output {
    let folder = folder();
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    let mut guest = Guest::shape("");
    guest.functions = format!(
        r#"(memory 1) (func (export "shape") (result i32) {} (i32.const 0))"#,
        set_output(answer)
    );
    std::fs::write(folder.path().join("plugin.wasm"), guest.wasm()).expect("it can be written");
    let tool = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let command = format!("ulimit -v {kib}; exec {} {arguments}", tool.display());
    let output = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", &command])
        .output();
    output.expect("there is a shell")
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_runs_where_there_is_no_room_for_a_pool_of_instances() {
    for kib in [60_000_000, 4_000_000] {
        let output = bounded(kib, "run plugin.wasm --cases 4 --seed 1");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(code(&output), exit_code::CLEAN, "{kib}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_published_host_which_needs_more_is_not_blamed_on_the_plugin() {
    let output = bounded(
        4_000_000,
        "run plugin.wasm --host reference --cases 4 --seed 1",
    );
    let said = text(&output.stderr);
    assert_eq!(code(&output), exit_code::COULD_NOT_RUN, "{said}");
    let errors: Vec<_> = said
        .lines()
        .filter(|l| l.contains("cannot be opened"))
        .collect();
    let [line] = &errors[..] else {
        panic!("{said}");
    };
    assert!(
        line.contains("the address space of this process is limited"),
        "{line}"
    );
    assert!(line.contains("ulimit -v"), "{line}");
}
