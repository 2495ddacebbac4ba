//! Reports in every format.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::Duration;

use cc_lb_fuzz::campaign::{Counts, FunctionStats, Histogram, Summary};
use cc_lb_fuzz::check::{CheckRef, NoCrash, PluginFault, PluginLimit, Violation};
use cc_lb_fuzz::finding::{Finding, Origin};
use cc_lb_fuzz::fingerprint::Fingerprint;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::report::{
    FindingReport, LimitReport, PointReport, Report, finding_text, html_page, junit, markdown,
    sarif, summary_text,
};
use cc_lb_fuzz::wire::{Query, Request, Vocabulary};

use crate::common::{case, healthy, with_program};

fn spread(sizes: [u64; 3]) -> Histogram {
    let mut seen = Histogram::default();
    sizes.into_iter().for_each(|size| seen.record(size));
    seen
}

fn summary() -> Summary {
    let functions = Request::functions().iter().take(3);
    Summary {
        cases: 1_000,
        from: 0,
        done: 1_000,
        resume_at: 1_000,
        elapsed: Duration::from_millis(1_500),
        functions: functions
            .zip([100, 2_000, 30])
            .map(|(function, ok)| FunctionStats {
                function,
                counts: Counts {
                    dispatches: ok + 13,
                    ok,
                    fallbacks: [("trap", 12), ("out of fuel", 1)]
                        .map(|(kind, count)| (kind.to_owned(), count))
                        .into(),
                    time: Duration::from_millis(ok),
                    fuel: spread([900, 1_000, 70_000]),
                    latency_us: spread([20, 30, 200_000]),
                },
            })
            .collect(),
        slowest: Duration::from_millis(201),
        memory: Some(145 << 20),
        findings: 1,
        limits: 1,
        unconfirmed: 2,
        unexamined: 3,
        unexamined_certain: 1,
        interrupted: false,
        phase: None,
    }
}

#[test]
fn the_summary_of_a_campaign_is_a_table_and_a_line() {
    insta::assert_snapshot!(summary_text(&summary()));
}

#[test]
fn a_campaign_without_findings_says_so() {
    let summary = Summary {
        findings: 0,
        limits: 0,
        unconfirmed: 0,
        unexamined: 0,
        unexamined_certain: 0,
        memory: None,
        functions: Vec::new(),
        ..summary()
    };
    insta::assert_snapshot!(summary_text(&summary).trim());
}

fn finding(origin: Origin, minimal: bool) -> Finding {
    let mut step = healthy("shape_v2");
    if let Request::ShapeV2(shape) = &mut step.request {
        shape.request.query = Some(Query("beta=true".to_owned()));
        shape.principal.id.0 = "x".repeat(500);
    }
    Finding {
        violation: Violation {
            check: CheckRef::new(&PluginFault),
            function: "shape".to_owned(),
            class: "trap: unreachable".to_owned(),
            site: None,
            detail: "the guest trapped: unreachable".to_owned(),
            measured: false,
        },
        case: case([
            step,
            with_program("sign_v1", [Op::Trap(TrapOp::Memory)]),
            healthy("observe_v1"),
        ]),
        origin,
        minimal,
    }
}

#[test]
fn a_finding_shows_what_differs_from_the_dry_run_sample_and_the_replay_command() {
    let finding = finding(Origin::Case, true);
    insta::assert_snapshot!(finding_text(
        &finding,
        "cc-lb-fuzz replay artifacts/case.json"
    ));
    let prefix = "plugin_fault-shape-trap-unreachable-trap-";
    let found_on = Fingerprint::of_text("a plugin");
    for name in [finding.name(), finding.file_stem(&found_on)] {
        let number = name
            .strip_prefix(prefix)
            .expect("the name begins with its label");
        assert_eq!(number.len(), 8, "{name}");
    }
}

#[test]
fn a_finding_says_where_its_case_comes_from() {
    let origins = [
        (Origin::Case, true),
        (Origin::Case, false),
        (Origin::History, true),
        (Origin::Unreproduced, false),
    ];
    let lines = origins.map(|(origin, minimal)| {
        let text = finding_text(&finding(origin, minimal), "");
        text.lines()
            .nth(2)
            .expect("the text has three lines")
            .to_owned()
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn findings_of_a_check_that_do_not_reproduce_have_the_same_key() {
    let mut other = finding(Origin::Unreproduced, false);
    other.violation.function = "sign".to_owned();
    assert_eq!(other.key(), finding(Origin::Unreproduced, false).key());
    assert_ne!(other.key(), finding(Origin::Case, false).key());
}

#[test]
fn deaths_that_do_not_reproduce_differ_by_class_and_each_case_is_kept() {
    let died = |manner: &str| {
        let mut finding = finding(Origin::Unreproduced, false);
        finding.violation.check = CheckRef::new(&NoCrash);
        finding.violation.class = manner.to_owned();
        finding
    };
    assert_ne!(died("SIGKILL").key(), died("SIGABRT").key());
    let found_on = Fingerprint::of_text("plugin.wasm");
    let (one, mut other) = (died("SIGKILL"), died("SIGKILL"));
    other.case.steps.extend(other.case.steps.clone());
    assert_eq!(one.key(), other.key());
    assert_ne!(one.file_stem(&found_on), other.file_stem(&found_on));
}

fn report() -> Report {
    let plan = Plan::plugin::<Request>(7, 1_000);
    let mut report = Report::new("my_plugin.wasm", &plan, &summary());
    let replay = "cc-lb-fuzz replay artifacts/case.json --plugin my_plugin.wasm";
    let finding = finding(Origin::Case, true);
    report.plugin = Some("my plugin.wasm".into());
    report.add(FindingReport::new(&finding, replay));
    report.add(FindingReport::new(&a_limit(), replay));
    report.limits = vec![
        limit("request.body_base64", 60),
        limit("request.headers", 400),
    ];
    report
}

/// Returns a limit that a campaign found.
fn a_limit() -> Finding {
    let mut step = healthy("build_signer_v2");
    if let Request::BuildSignerV2(signer) = &mut step.request {
        signer.factory_state.0 = "€".repeat(1_700).into();
    }
    Finding {
        violation: Violation {
            check: CheckRef::new(&PluginLimit),
            function: "build_signer".to_owned(),
            class: "out of fuel".to_owned(),
            detail: "the guest ran out of fuel; no host sends this: factory_state".to_owned(),
            site: None,
            measured: false,
        },
        case: case([step]),
        origin: Origin::Case,
        minimal: true,
    }
}

#[test]
fn a_limit_is_reported_as_one_and_its_long_text_is_abbreviated() {
    insta::assert_snapshot!(finding_text(
        &a_limit(),
        "cc-lb-fuzz replay artifacts/case.json"
    ));
}

/// Returns a measured limit whose curve takes this much fuel per byte.
fn limit(field: &str, fuel: u64) -> LimitReport {
    let point = |size: u64| PointReport {
        size,
        input_bytes: Some(300 + size as usize),
        fuel: Some(20_000 + fuel * size),
        time_us: 40 + size / 10,
    };
    LimitReport {
        function: "shape_v2".to_owned(),
        field: field.to_owned(),
        unit: "bytes".to_owned(),
        largest: Some(16_400),
        beyond: Some("the guest ran out of fuel".to_owned()),
        unusual: (fuel < 100).then(|| format!("{field} is no text")),
        curve: (0..15).map(|power| point(1 << power)).collect(),
    }
}

/// Checks the page in a browser, if one is installed. A script, which only the test adds, inspects
/// the page and writes what it finds into the title.
#[test]
fn the_page_fits_the_window_of_a_browser_and_its_findings_unfold() {
    const LOOK: &str = "<script>
        const wide = document.documentElement.scrollWidth <= window.innerWidth;
        const drawn = [...document.querySelectorAll('polyline, .columns i, .bar div')]
            .filter(e => !e.getAttribute('style')?.includes(':0'))
            .every(e => e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().height > 0);
        const curves = document.querySelectorAll('polyline').length;
        const shown = document.querySelector('details pre');
        const before = shown.checkVisibility();
        document.querySelector('summary').click();
        document.title = JSON.stringify([wide, drawn, curves, before, shown.checkVisibility()]);
        </script>";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("page.html");
    std::fs::write(&file, html_page(&report()) + LOOK).expect("it can be written");
    for width in [480, 1280] {
        let browser = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--dump-dom",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--window-size={width},900"))
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .arg(&file)
            .output();
        let Ok(seen) = browser else {
            eprintln!("chromium is not installed: the page was not checked");
            return;
        };
        let page = String::from_utf8_lossy(&seen.stdout);
        let stderr = String::from_utf8_lossy(&seen.stderr);
        let title = "<title>[true,true,2,false,true]</title>";
        assert!(page.contains(title), "at {width}: {page}\n{stderr}");
    }
}

#[test]
fn a_json_report_states_its_format() {
    insta::assert_snapshot!(report().to_json().expect("it serializes"));
}

#[test]
fn a_junit_report_has_a_failure_for_each_finding() {
    insta::assert_snapshot!(junit(&report()).expect("the report is written"));
}

#[test]
fn a_sarif_report_has_a_result_for_each_finding() {
    insta::assert_snapshot!(sarif(&report()).expect("it serializes"));
}

#[test]
fn a_markdown_report_is_the_text_of_an_issue() {
    insta::assert_snapshot!(markdown(&report()));
    let mut hostile = report();
    hostile.findings[0].detail = "a line\n```\n# A heading\r# Another".to_owned();
    let text = markdown(&hostile);
    let headings = |text: &str| {
        text.split(['\n', '\r'])
            .filter(|line| line.starts_with('#'))
            .count()
    };
    assert_eq!(headings(&text), headings(&markdown(&report())), "{text}");
}

#[test]
fn an_html_report_is_one_page_without_external_resources() {
    let page = html_page(&report());
    for text in [
        "my_plugin.wasm",
        "1 finding",
        "plugin_fault in shape",
        "plugin_limit in build_signer",
        "1 finding, 1 limit",
        "the guest ran out of fuel; no host sends this: request.body_base64 is no text",
        "seed 7",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for reference in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(reference), "{reference}");
    }
    // Text from a plugin is escaped.
    let mut hostile = report();
    hostile.findings[0].detail = "<script>alert(1)</script>".to_owned();
    assert!(!html_page(&hostile).contains("<script"));
}

#[test]
fn findings_with_similar_texts_have_different_names() {
    let stem = |class: &str| {
        let mut finding = finding(Origin::Case, true);
        finding.violation.class = class.to_owned();
        finding.case.steps.truncate(1);
        finding.name()
    };
    let alike = [
        "trap: unreachable in a::parse::<&str>",
        "trap: unreachable in a::parse::<[str]>",
        "größe",
        "gr\u{fffd}ße",
        "a: b-c",
        "a-b: c",
        &"x".repeat(300),
        &"x".repeat(301),
    ];
    let stems: std::collections::BTreeSet<_> = alike.iter().map(|class| stem(class)).collect();
    assert_eq!(stems.len(), alike.len(), "{stems:#?}");
    assert!(
        stems.iter().all(|stem| stem.is_ascii() && stem.len() < 100),
        "{stems:#?}"
    );
}

#[test]
fn every_finding_of_a_report_has_a_unique_name_in_every_format() {
    let with = |op: Op| {
        let mut finding = finding(Origin::Case, true);
        finding.case = case([with_program("sign_v1", [op])]);
        FindingReport::new(&finding, "")
    };
    let mut report = report();
    // They only differ in their effects, which are not in the title.
    report.findings = vec![
        with(Op::Trap(TrapOp::Memory)),
        with(Op::Spin),
        with(Op::GrowTable(1)),
    ];
    let values = |text: &str, before: &str| -> BTreeSet<String> {
        let found = text.split(before).skip(1);
        found
            .map(|rest| rest.split('"').next().expect("the value ends").to_owned())
            .collect()
    };
    let xml = junit(&report).expect("the report is written");
    let testcases = xml.matches("<testcase ").count();
    assert_eq!(values(&xml, "<testcase name=\"").len(), testcases, "{xml}");
    let sarif = sarif(&report).expect("it serializes");
    // Three findings and a limit.
    assert_eq!(values(&sarif, "\"finding/v1\": \"").len(), 4, "{sarif}");
    let json = report.to_json().expect("it serializes");
    let names = values(&json, "\"name\": \"");
    assert_eq!(names.len(), 4, "{json}");
    // The name is the same in every report.
    assert!(names.contains(&with(Op::Spin).name));
}

#[test]
fn the_location_of_a_finding_is_a_uri_whatever_the_path_of_the_plugin_is() {
    let uri = |path: &[u8]| {
        let mut report = report();
        report.plugin = Some(std::ffi::OsStr::from_bytes(path).into());
        let sarif: serde_json::Value =
            serde_json::from_str(&sarif(&report).expect("it serializes")).expect("it is JSON");
        report
            .to_json()
            .expect("a path that is not UTF-8 can be written as JSON");
        let place = &sarif["runs"][0]["results"][0]["locations"][0];
        place["physicalLocation"]["artifactLocation"]["uri"].clone()
    };
    assert_eq!(uri(b"out/my_plugin-1.0~a.wasm"), "out/my_plugin-1.0~a.wasm");
    assert_eq!(
        uri(b"a b%20#?c:d\\e.wasm"),
        "a%20b%2520%23%3Fc%3Ad%5Ce.wasm"
    );
    assert_eq!(uri("\u{e9}\n[\"]".as_bytes()), "%C3%A9%0A%5B%22%5D");
    assert_eq!(uri(b"\xff"), "%FF");
    assert_eq!(uri(b"/a/b"), "file:///a/b");
}
