//! Files of the command line tool: shared folders, failed writes, and files that are not cases.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use cc_lb_fuzz::exit_code;

use crate::cli::{code, folder, text, tool, traps_on_a_query};
use crate::common::{case, healthy};
use crate::plugin_folder::{RUN, folder_with_plugin, names, put, replay_commands, run_in_shell};

/// Returns a plugin like [`traps_on_a_query`] that traps on every request: another bug whose
/// finding has the same name.
fn traps_always() -> Vec<u8> {
    let text = include_str!("../../guests/traps_on_a_query.wat");
    let always = text.replace("(if (call $has_query)", "(if (i32.const 1)");
    wat::parse_str(always).expect("it is valid")
}

/// Returns another module that does the same as [`traps_on_a_query`].
fn another_version() -> Vec<u8> {
    [&traps_on_a_query()[..], b"\0\x05\x04more"].concat()
}

#[test]
fn findings_of_different_plugins_and_versions_have_different_files() {
    let folder = folder_with_plugin();
    put(folder.path(), "other.wasm", &traps_always());
    let first = tool(folder.path(), &RUN);
    let other = tool(
        folder.path(),
        &["run", "other.wasm", "--cases=60", "--seed=1"],
    );
    let printed = text(&first.stdout) + &text(&other.stdout);
    let commands = replay_commands(&printed);
    assert_eq!(commands.len(), 2, "{printed}");
    for command in &commands {
        let replay = run_in_shell(folder.path(), command);
        assert_eq!(code(&replay), exit_code::FINDINGS, "{command}");
    }
    let artifacts = folder.path().join("artifacts");
    let before = names(&artifacts);
    let contents = || -> Vec<_> {
        let read = |name: &String| fs::read(artifacts.join(name)).expect("it exists");
        before.iter().map(read).collect()
    };
    let original = contents();
    // A later version at the same path.
    let later = another_version();
    put(folder.path(), "plugin.wasm", &later);
    tool(folder.path(), &RUN);
    let after = names(&artifacts);
    assert!(after.is_superset(&before), "{before:?} {after:?}");
    assert_eq!(contents(), original);
    // The same plugin at another path has the same file.
    fs::create_dir(folder.path().join("else")).expect("it can be created");
    put(folder.path(), "else/where.wasm", &later);
    tool(
        folder.path(),
        &["run", "else/where.wasm", "--cases=60", "--seed=2"],
    );
    assert_eq!(names(&artifacts), after);
    assert_eq!(contents(), original);
}

/// Returns the number of finished cases in the state file of a campaign.
fn done(state: &Path) -> Option<u64> {
    let state: serde_json::Value = serde_json::from_slice(&fs::read(state).ok()?).ok()?;
    state["done"].as_u64()
}

#[test]
fn campaigns_in_one_folder_resume_separately_whatever_path_names_the_plugin() {
    let folder = folder_with_plugin();
    put(folder.path(), "other.wasm", &another_version());
    let start = |plugin: &str, seed: &str| {
        let flags = ["--function=shape_v2", "--cases=500000", "--workers=1"];
        let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
        run.current_dir(folder.path())
            .args(["run", plugin, "--quiet"]);
        let run = run.args(flags).arg(seed).stdout(Stdio::null());
        run.spawn().expect("it starts")
    };
    let mut runs = [
        start("plugin.wasm", "--seed=3"),
        start("other.wasm", "--seed=4"),
    ];
    let artifacts = folder.path().join("artifacts");
    let states = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&artifacts).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let is_state = |path: &PathBuf| path.to_string_lossy().contains("/.campaign-");
        paths.filter(is_state).collect()
    };
    let begin = Instant::now();
    let has_progress = |path: &PathBuf| done(path).is_some_and(|done| done > 0);
    while states().iter().filter(|path| has_progress(path)).count() < 2
        && begin.elapsed() < Duration::from_secs(120)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    for run in &mut runs {
        run.kill().expect("it can be killed");
        run.wait().expect("it exits");
    }
    let last = states().iter().filter_map(|path| done(path)).max();
    let cases = format!("--cases={}", last.expect("it was stored") + 640);
    let absolute = folder.path().join("other.wasm").display().to_string();
    for (plugin, seed) in [("./plugin.wasm", "seed 3,"), (&absolute, "seed 4,")] {
        let flags = ["--function=shape_v2", "--resume", &cases];
        let rest = tool(folder.path(), &[&["run", plugin][..], &flags].concat());
        let printed = text(&rest.stdout) + &text(&rest.stderr);
        assert!(printed.contains(seed), "{printed}");
    }
    assert_eq!(states(), [] as [PathBuf; 0]);
}

#[test]
fn a_state_of_the_first_format_is_resumed_and_a_later_format_is_refused() {
    let folder = folder_with_plugin();
    fs::create_dir(folder.path().join("artifacts")).expect("it can be created");
    // That format identifies a module by this hash.
    let hash = traps_on_a_query()
        .iter()
        .fold(0xcbf29ce484222325, |n, byte| {
            (n ^ u64::from(*byte)).wrapping_mul(0x100000001b3)
        });
    let state = |what: &str| {
        format!(r#"{{"what":"{what}","module":{hash},"seed":7,"done":128,"format":1}}"#)
            .replace(r#","format":1"#, "")
    };
    let resume = |plugin: &str, state: &str| {
        put(folder.path(), "artifacts/.campaign.json", state.as_bytes());
        let flags = ["--phase=seeds", "--resume"];
        let run = tool(folder.path(), &[&["run", plugin][..], &flags].concat());
        (code(&run), text(&run.stdout) + &text(&run.stderr))
    };
    let (_, printed) = resume("./plugin.wasm", &state("plugin.wasm --phase seeds"));
    assert!(printed.contains("seed 7, from case 128 on"), "{printed}");
    let artifacts = names(&folder.path().join("artifacts"));
    assert!(
        !artifacts.iter().any(|name| name.starts_with(".campaign")),
        "{artifacts:?}"
    );
    let refused = [
        (
            state("plugin.wasm --phase random"),
            "it belongs to another campaign: plugin.wasm --phase random",
        ),
        (
            r#"{"format":3,"everything":"else"}"#.to_owned(),
            "it is of format 3; this version reads formats up to 2: update cc-lb-fuzz",
        ),
        (
            state("plugin.wasm --phase seeds").replace("seed\"", "sprout\""),
            "unknown field `sprout`",
        ),
    ];
    for (state, reason) in refused {
        let (code, printed) = resume("plugin.wasm", &state);
        assert_eq!(code, exit_code::COULD_NOT_RUN, "{printed}");
        assert!(printed.contains(reason), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_truncated_one() {
    let folder = folder_with_plugin();
    put(folder.path(), "report.html", b"what was there");
    let long = case(vec![healthy("shape_v1"); 200]);
    long.write(&folder.path().join("long.json"))
        .expect("it can be written");
    // Runs a command that cannot write more than this many KiB to a file.
    // `ulimit` counts blocks of 512 bytes.
    let with_file_limit = |kib: u32, command: &str| {
        let program = cargo_bin("cc-lb-fuzz");
        let line = format!(
            "ulimit -f {}; exec {} {command}",
            2 * kib,
            program.display()
        );
        let ended = run_in_shell(folder.path(), &line);
        (code(&ended), text(&ended.stderr))
    };
    // An HTML report is longer than 4 KiB, and a case is shorter.
    let (code, error) = with_file_limit(
        4,
        "run plugin.wasm --cases 60 --seed 1 --report html=report.html",
    );
    assert_eq!(code, exit_code::FINDINGS, "{error}");
    assert!(
        error.contains("cannot write the report report.html: "),
        "{error}"
    );
    let kept = fs::read(folder.path().join("report.html")).expect("it exists");
    assert_eq!(text(&kept), "what was there");
    let (code, error) = with_file_limit(16, "corpus add corpus long.json");
    assert_eq!(code, exit_code::COULD_NOT_RUN, "{error}");
    assert!(error.contains("cannot write the case corpus/"), "{error}");
    assert!(!error.contains(".tmp"), "{error}");
    for inside in ["artifacts", "corpus", "."] {
        for name in names(&folder.path().join(inside)) {
            let file = folder.path().join(inside).join(&name);
            let length = file.metadata().expect("it exists").len();
            assert!(length > 0 && !name.starts_with(".tmp"), "{inside}/{name}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_cannot_be_written_is_reported_before_the_run() {
    let folder = folder_with_plugin();
    let healthy = case([healthy("shape_v1")]);
    healthy
        .write(&folder.path().join("case.json"))
        .expect("it can be written");
    symlink("/proc/nothing", folder.path().join("link")).expect("it can be created");
    symlink("nowhere/at/all", folder.path().join("broken")).expect("it can be created");
    let run = ["run", "plugin.wasm", "--cases=60"];
    for (flags, message) in [
        (["--artifacts", "/proc"], "cannot write /proc: "),
        (["--artifacts", "/proc/a/b"], "cannot write /proc/a/b: "),
        (["--artifacts", "case.json"], "cannot write case.json: "),
        (["--artifacts", "case.json/a"], "cannot write case.json/a: "),
        (["--artifacts", "broken"], "cannot write broken: "),
        (["--report", "json=/proc/out"], "report /proc/out: "),
        (["--report", "json=link"], "report link: "),
    ] {
        let ended = tool(folder.path(), &[&run[..], &flags].concat());
        let error = text(&ended.stderr);
        assert_eq!(code(&ended), exit_code::COULD_NOT_RUN, "{flags:?} {error}");
        assert!(error.contains(message), "{flags:?} {error}");
        assert!(!error.contains(".tmp"), "{error}");
        assert_eq!(text(&ended.stdout), "", "{flags:?}");
    }
    let minimize = ["minimize", "case.json", "--artifacts", "/proc"];
    let ended = tool(folder.path(), &minimize);
    assert_eq!(code(&ended), exit_code::COULD_NOT_RUN);
}

#[test]
fn reports_can_be_written_to_pipes_streams_and_links_and_have_the_usual_mode() {
    let folder = folder_with_plugin();
    let program = cargo_bin("cc-lb-fuzz").display().to_string();
    let lines = format!(
        "mkfifo pipe; cat pipe >piped & ln -s real.xml link.xml; umask 027
        {program} run plugin.wasm --cases 60 --seed 1 --report sarif=pipe --report junit=link.xml \
            --report markdown=new.md --report json=/dev/stdout >printed
        wait"
    );
    run_in_shell(folder.path(), &lines);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("it exists");
    assert!(read("piped").contains("\"2.1.0\""), "{}", read("piped"));
    assert!(read("real.xml").contains("failures=\"1\""));
    assert!(folder.path().join("link.xml").is_symlink());
    let printed = read("printed");
    assert!(
        printed.starts_with("fuzzing plugin.wasm; seed 1\n"),
        "{printed}"
    );
    assert!(printed.contains("\n{\n  \"format\": 2,\n"), "{printed}");
    let mode = |name: &str| {
        folder
            .path()
            .join(name)
            .metadata()
            .expect("it exists")
            .mode()
            & 0o777
    };
    assert_eq!((mode("new.md"), mode("real.xml")), (0o640, 0o640));
    // An existing file keeps its mode.
    let to = |mode: u32| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(folder.path().join("new.md"), to(0o604)).expect("the mode can be changed");
    tool(
        folder.path(),
        &[&RUN[..], &["--report", "markdown=new.md"]].concat(),
    );
    assert_eq!(mode("new.md"), 0o604);
}

/// Writes files that are not cases into a folder, and returns how many of them are reported as
/// skipped.
fn add_other_files(folder: &Path) -> usize {
    put(folder, "README.md", b"# Cases");
    put(folder, "report.json", br#"{"format":2,"version":"0.1.0"}"#);
    put(folder, "cut.json", b"{\"format\":1,");
    put(folder, "\u{e9}mpty", b"");
    put(folder, ".hidden", b"");
    fs::create_dir(folder.join("folder")).expect("it can be created");
    symlink("nowhere", folder.join("link")).expect("it can be created");
    6
}

#[test]
fn files_that_are_not_cases_are_skipped_with_a_reason_and_kept() {
    let folder = folder_with_plugin();
    let cases = folder.path().join("cases");
    fs::create_dir(&cases).expect("it can be created");
    let skipped = add_other_files(&cases);
    let only = case([healthy("shape_v1")]);
    for name in ["one.json", "two.json"] {
        only.write(&cases.join(name)).expect("it can be written");
    }
    let seeds = ["run", "plugin.wasm", "--phase", "seeds", "--seed", "1"];
    for arguments in [
        &["replay", "cases"][..],
        &["corpus", "stats", "cases"],
        &["corpus", "add", "new", "cases"],
        &["corpus", "add", "cases", "cases/one.json"],
        &["corpus", "min", "cases"],
        &[&seeds[..], &["--corpus", "cases", "--artifacts", "a"]].concat(),
        &[&seeds[..], &["--artifacts", "cases"]].concat(),
    ] {
        let ended = tool(folder.path(), arguments);
        let (printed, error) = (text(&ended.stdout), text(&ended.stderr));
        assert_eq!(code(&ended), exit_code::CLEAN, "{arguments:?} {error}");
        assert_eq!(error.lines().count(), skipped, "{arguments:?} {error}");
        for reason in [
            "skipped: cases/folder is a folder",
            "skipped: cases/link is a link to nothing",
            "skipped: cases/report.json: not a case: missing field `steps`",
        ] {
            assert!(error.contains(reason), "{arguments:?} {error}");
        }
        match arguments[1] {
            "cases" => assert!(printed.ends_with("0 of 2 cases show a finding\n")),
            "stats" => assert!(printed.contains("2 cases, "), "{printed}"),
            "min" => assert!(printed.ends_with("1 of 2 cases left\n"), "{printed}"),
            _ => {}
        }
    }
    assert_eq!(names(&cases).len(), skipped + 2, "{:?}", names(&cases));
    // A file that is named itself is not skipped.
    let named = tool(folder.path(), &["replay", "cases/README.md"]);
    assert_eq!(code(&named), exit_code::COULD_NOT_RUN);
}

#[test]
fn a_folder_without_cases_is_an_error_of_one_line() {
    let folder = folder_with_plugin();
    let other_files = folder.path().join("other_files");
    fs::create_dir_all(folder.path().join("outer/inner")).expect("it can be created");
    let inner = folder.path().join("outer/inner/case.json");
    let only = case([healthy("shape_v1")]);
    only.write(&inner).expect("it can be written");
    fs::create_dir_all(&other_files).expect("it can be created");
    fs::create_dir_all(folder.path().join("empty")).expect("it can be created");
    add_other_files(&other_files);
    symlink("nowhere", folder.path().join("link")).expect("it can be created");
    for (path, reason) in [
        (
            "outer",
            "there are no cases in outer; outer/inner is a folder",
        ),
        ("empty", "there are no cases in empty; it is empty"),
        (
            "other_files",
            "there are no cases in other_files; other_files/README.md: not a case: ",
        ),
        ("link", "link: No such file"),
    ] {
        for arguments in [
            &["run", "plugin.wasm", "--cases", "1", "--corpus", path][..],
            &["replay", path],
            &["corpus", "stats", path],
            &["corpus", "add", "new", path],
            &["corpus", "min", path],
        ] {
            let ended = tool(folder.path(), arguments);
            let error = text(&ended.stderr);
            assert_eq!(code(&ended), exit_code::COULD_NOT_RUN, "{arguments:?}");
            assert!(error.contains(reason), "{arguments:?} {error}");
            assert_eq!(error.lines().count(), 1, "{arguments:?} {error}");
        }
    }
    assert!(!folder.path().join("new").exists());
}

#[test]
fn findings_count_even_if_they_cannot_be_written_or_printed() {
    let folder = folder_with_plugin();
    assert_eq!(code(&tool(folder.path(), &RUN)), exit_code::FINDINGS);
    let stored = names(&folder.path().join("artifacts"));
    let case = stored.iter().find(|name| !name.starts_with('.'));
    let case = Path::new("artifacts").join(case.expect("one is stored"));
    let case = case.to_str().expect("it is UTF-8");
    let minimize = [
        "minimize",
        case,
        "--plugin",
        "plugin.wasm",
        "--artifacts",
        "smaller",
    ];
    assert_eq!(code(&tool(folder.path(), &minimize)), exit_code::FINDINGS);
    for name in names(&folder.path().join("smaller")) {
        let path = folder.path().join("smaller").join(name);
        fs::remove_file(&path).expect("it is a file");
        fs::create_dir(&path).expect("it can be created");
    }
    let minimized = tool(folder.path(), &minimize);
    assert_eq!(code(&minimized), exit_code::FINDINGS);
    assert!(text(&minimized.stdout).starts_with("finding: "));
    assert!(text(&minimized.stderr).contains("cannot write"));
    if Path::new("/dev/full").exists() {
        let tool = cargo_bin("cc-lb-fuzz");
        let replay = format!(
            "{} replay {case} --plugin plugin.wasm > /dev/full",
            tool.display()
        );
        let replayed = run_in_shell(folder.path(), &replay);
        assert_eq!(code(&replayed), exit_code::FINDINGS);
        assert!(text(&replayed.stderr).contains("the standard output"));
    }
}

#[test]
fn the_path_of_a_plugin_cannot_imitate_a_line_of_the_tool() {
    let folder = folder();
    let name = "x\nfinding: forged\n\n# forged\u{1b}[31m.wasm";
    put(folder.path(), name, &traps_on_a_query());
    let mut run = RUN.to_vec();
    run[1] = name;
    run.extend([
        "--report",
        "markdown=r.md",
        "--report",
        "junit=r.xml",
        "--report",
        "html=r.html",
    ]);
    let ran = tool(folder.path(), &run);
    assert_eq!(code(&ran), exit_code::FINDINGS, "{}", text(&ran.stderr));
    let reports = ["r.md", "r.xml", "r.html"].map(|report| {
        let report = fs::read(folder.path().join(report));
        text(&report.expect("it was written"))
    });
    for printed in reports.into_iter().chain([text(&ran.stdout)]) {
        let mut lines = printed.lines();
        assert!(
            !lines.any(|line| line.starts_with("finding: forged") || line.starts_with("# forged"))
        );
        assert!(!printed.contains('\u{1b}'), "{printed}");
    }
}

#[test]
fn a_case_file_that_is_empty_or_too_large_is_skipped() {
    let folder = folder_with_plugin();
    for (name, size, reason) in [
        ("empty", 0, "is empty"),
        ("endless", 3 << 30, "more than 67108864 bytes"),
    ] {
        let corpus = folder.path().join(name);
        fs::create_dir(&corpus).expect("it can be created");
        let case = fs::File::create(corpus.join("case.json")).expect("it can be created");
        case.set_len(size).expect("a sparse file can be created");
        let replay = ["replay", name, "--plugin", "plugin.wasm"];
        let error = text(&tool(folder.path(), &replay).stderr);
        assert!(error.contains(reason), "{error}");
    }
}
