//! The tool under resource limits: plugins run, or an error says which resource is too small.

use std::process::{Command, Output};

use cc_lb_fuzz::exit_code;

use crate::cli::{code, folder, text};
use crate::common::{Guest, set_output};

/// Returns a plugin that answers, with additional functions.
fn plugin(functions: &str) -> Vec<u8> {
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    let mut guest = Guest::shape("");
    guest.functions = format!(
        r#"(memory 1) (func (export "shape") (result i32) {} (i32.const 0)) {functions}"#,
        set_output(answer)
    );
    guest.wasm()
}

/// Runs the tool on a plugin in a process with a limit that `ulimit` sets.
fn limited(limit: &str, plugin: &[u8], arguments: &str) -> Output {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), plugin).expect("it can be written");
    let tool = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let command = format!("ulimit {limit}; exec {} {arguments}", tool.display());
    let output = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", &command])
        // Each compiler thread has a stack.
        .env("RAYON_NUM_THREADS", "2")
        .output();
    output.expect("the shell runs")
}

/// Runs the tool in a process whose address space is limited to this many KiB.
fn with_address_space(kib: u64, arguments: &str) -> Output {
    limited(&format!("-v {kib}"), &plugin(""), arguments)
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_runs_without_room_for_a_pool_of_instances() {
    for kib in [60_000_000, 4_000_000] {
        let output = with_address_space(kib, "run plugin.wasm --cases 4 --seed 1");
        let output_text = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(code(&output), exit_code::CLEAN, "{kib}: {output_text}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_memory_that_grows_in_small_steps_is_not_copied_each_time() {
    let grow = "(drop (memory.grow (i32.const 17)))".repeat(59);
    let functions = format!(r#"(func $grow (export "") {grow}) (start $grow)"#);
    let output = limited(
        "-v 4000000",
        &plugin(&functions),
        "run plugin.wasm --cases 4 --seed 1",
    );
    let output_text = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), exit_code::CLEAN, "{output_text}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_plugin_is_not_blamed_if_the_published_host_needs_more_address_space() {
    let output = with_address_space(
        4_000_000,
        "run plugin.wasm --host reference --cases 4 --seed 1",
    );
    let output_text = text(&output.stderr);
    assert_eq!(code(&output), exit_code::COULD_NOT_RUN, "{output_text}");
    let errors: Vec<_> = output_text
        .lines()
        .filter(|l| l.contains("cannot be opened"))
        .collect();
    let [line] = &errors[..] else {
        panic!("{output_text}");
    };
    assert!(
        line.contains("the address space of this process is limited"),
        "{line}"
    );
    assert!(line.contains("ulimit -v"), "{line}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_that_needs_too_much_memory_to_open_is_refused_in_one_line_by_every_command() {
    let large = plugin(&"(func) ".repeat(15_000));
    for command in ["inspect", "limits", "run --cases 4"] {
        let arguments = format!("{command} plugin.wasm");
        let output = limited("-d 150000", &plugin(""), &arguments);
        let output_text = text(&output.stderr);
        assert_eq!(code(&output), exit_code::CLEAN, "{command}: {output_text}");
        let output = limited("-d 100000", &large, &arguments);
        let output_text = text(&output.stderr);
        assert_eq!(
            code(&output),
            exit_code::COULD_NOT_RUN,
            "{command}: {output_text}"
        );
        let starts = output_text.starts_with("cc-lb-fuzz: plugin.wasm cannot be opened: ");
        // Either the module or the memory for its compiled code is too large.
        let reasons = ["takes more memory than the", "Cannot allocate"];
        let has_reason = reasons.iter().any(|reason| output_text.contains(reason));
        assert!(starts && has_reason, "{command}: {output_text}");
        assert_eq!(output_text.lines().count(), 1, "{command}: {output_text}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_text_that_takes_too_long_to_read_is_refused_in_one_line_by_every_command() {
    // Each label is searched for among all of them.
    let labels = 100_000;
    let text_of = format!(
        "(module (func loop $z {} br_table {}))",
        "loop ".repeat(labels),
        "$z ".repeat(labels)
    );
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wat"), text_of).expect("it can be written");
    let tool = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    for command in ["inspect", "limits", "run --cases 4"] {
        // One second of processor time instead of ten.
        let script = format!(
            "ulimit -S -t 1; exec {} {command} plugin.wat",
            tool.display()
        );
        let output = Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", &script])
            .output()
            .expect("the shell runs");
        let output_text = text(&output.stderr);
        assert_eq!(
            code(&output),
            exit_code::COULD_NOT_RUN,
            "{command}: {output_text}"
        );
        assert!(output_text.contains("of processor time"), "{output_text}");
        assert_eq!(output_text.lines().count(), 1, "{command}: {output_text}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_may_use_more_processor_time_than_the_soft_limit() {
    let run = "run plugin.wasm --time 5s --workers 1 --seed 1 --quiet";
    let output = limited("-S -t 2", &plugin(""), run);
    let output_text = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), exit_code::CLEAN, "{output_text}");
}

/// Returns a plugin whose start code recurses to this depth. Each level takes about 48 bytes of the
/// stack.
fn recurses(levels: u32) -> Vec<u8> {
    plugin(&format!(
        r#"(func $down (param i32)
            (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
        (func $start (call $down (i32.const {levels})))
        (start $start)"#
    ))
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_has_its_full_stack_however_small_that_of_the_process_is() {
    let run = |levels| {
        // Half of the stack that the runtime gives a plugin.
        let arguments = "run plugin.wasm --cases 4 --seed 1";
        let output = limited("-s 256", &recurses(levels), arguments);
        let output_text = text(&output.stdout) + &text(&output.stderr);
        (code(&output), output_text)
    };
    let (ended, output_text) = run(8_000);
    assert_eq!(ended, exit_code::CLEAN, "{output_text}");
    // It does not have more than that.
    let (ended, output_text) = run(40_000);
    assert_eq!(ended, exit_code::COULD_NOT_RUN, "{output_text}");
    assert!(
        output_text.contains("the guest trapped: stack overflow"),
        "{output_text}"
    );
}
