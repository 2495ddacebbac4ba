//! The tool where the system bounds what it has: plugins run, or it says what there is too little of.

use std::process::{Command, Output};

use cc_lb_fuzz::exit_code;

use crate::cli::{code, folder, text};
use crate::common::{Guest, set_output};

/// A plugin that answers, with more functions.
fn plugin(functions: &str) -> Vec<u8> {
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    let mut guest = Guest::shape("");
    guest.functions = format!(
        r#"(memory 1) (func (export "shape") (result i32) {} (i32.const 0)) {functions}"#,
        set_output(answer)
    );
    guest.wasm()
}

/// Runs the tool on a plugin in a process with a limit of `ulimit`.
fn limited(limit: &str, plugin: &[u8], arguments: &str) -> Output {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), plugin).expect("it can be written");
    let tool = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let command = format!("ulimit {limit}; exec {} {arguments}", tool.display());
    let output = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", &command])
        // Each thread that compiles has a stack.
        .env("RAYON_NUM_THREADS", "2")
        .output();
    output.expect("there is a shell")
}

/// Runs the tool in a process whose address space has so many KiB.
fn bounded(kib: u64, arguments: &str) -> Output {
    limited(&format!("-v {kib}"), &plugin(""), arguments)
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
fn a_memory_that_grows_in_small_steps_is_not_copied_at_each_of_them() {
    let grow = "(drop (memory.grow (i32.const 17)))".repeat(59);
    let functions = format!(r#"(func $grow (export "") {grow}) (start $grow)"#);
    let output = limited(
        "-v 4000000",
        &plugin(&functions),
        "run plugin.wasm --cases 4 --seed 1",
    );
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), exit_code::CLEAN, "{said}");
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

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_that_takes_too_much_memory_to_open_is_refused_in_one_line_by_every_command() {
    let large = plugin(&"(func) ".repeat(15_000));
    for command in ["inspect", "limits", "run --cases 4"] {
        let arguments = format!("{command} plugin.wasm");
        let output = limited("-d 150000", &plugin(""), &arguments);
        let said = text(&output.stderr);
        assert_eq!(code(&output), exit_code::CLEAN, "{command}: {said}");
        let output = limited("-d 100000", &large, &arguments);
        let said = text(&output.stderr);
        assert_eq!(code(&output), exit_code::COULD_NOT_RUN, "{command}: {said}");
        let starts = said.starts_with("cc-lb-fuzz: plugin.wasm cannot be opened: ");
        // It may be the one that is to be compiled, or the room that compiled code is to have.
        let reasons = ["takes more memory than the", "Cannot allocate"];
        let is_said = reasons.iter().any(|reason| said.contains(reason));
        assert!(starts && is_said, "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_text_that_takes_too_long_to_read_is_refused_in_one_line_by_every_command() {
    // Each label is looked for among all of them.
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
        // A second of the processor, where it would have ten.
        let script = format!(
            "ulimit -S -t 1; exec {} {command} plugin.wat",
            tool.display()
        );
        let output = Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", &script])
            .output()
            .expect("there is a shell");
        let said = text(&output.stderr);
        assert_eq!(code(&output), exit_code::COULD_NOT_RUN, "{command}: {said}");
        assert!(said.contains("of processor time"), "{said}");
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_may_take_more_of_the_processor_than_the_shell_gives_a_process() {
    let run = "run plugin.wasm --time 5s --workers 1 --seed 1 --quiet";
    let output = limited("-S -t 2", &plugin(""), run);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), exit_code::CLEAN, "{said}");
}

/// A plugin whose start code calls itself to a depth. Each call takes about 48 bytes of the stack.
fn goes_down(levels: u32) -> Vec<u8> {
    plugin(&format!(
        r#"(func $down (param i32)
            (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
        (func $start (call $down (i32.const {levels})))
        (start $start)"#
    ))
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_has_its_stack_however_little_the_process_was_given() {
    let run = |levels| {
        // Half of what the runtime lets a plugin use.
        let arguments = "run plugin.wasm --cases 4 --seed 1";
        let output = limited("-s 256", &goes_down(levels), arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        (code(&output), said)
    };
    let (ended, said) = run(8_000);
    assert_eq!(ended, exit_code::CLEAN, "{said}");
    // And no more.
    let (ended, said) = run(40_000);
    assert_eq!(ended, exit_code::COULD_NOT_RUN, "{said}");
    assert!(said.contains("the guest trapped: stack overflow"), "{said}");
}
