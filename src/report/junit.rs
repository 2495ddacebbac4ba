//! JUnit XML, for build servers: a test case for each function, a failing one for each finding, and a passing one for each
//! limit. The names are unique, because consumers show only one of several test cases with the same name.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Xml, TestCase, TestCaseStatus, TestSuite};

use super::json::{FindingReport, Report, Status};
use super::text::unexamined;

/// Returns the report as JUnit XML.
///
/// # Errors
/// Returns the errors of the XML writer.
pub fn junit(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new(report.subject.clone());
    suite.set_time(Duration::from_millis(report.elapsed_ms));
    for of_function in &report.functions {
        let status = TestCaseStatus::success();
        let mut case = TestCase::new(of_function.function, status);
        case.set_classname("cc-lb-fuzz");
        case.set_time(Duration::from_micros(of_function.time_us));
        suite.add_test_case(case);
    }
    for finding in &report.findings {
        let mut status = match finding.status {
            // It may be a false alarm.
            Status::UnexaminedMeasurement => TestCaseStatus::skipped(),
            _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        status.set_message(finding.detail.clone());
        status.set_type(finding.check.to_string());
        status.set_description(in_words(finding));
        let mut case = TestCase::new(finding.unique_title(), status);
        case.set_classname("cc-lb-fuzz");
        suite.add_test_case(case);
    }
    if let Some(reason) = &report.ended_early {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(format!(
            "the campaign ended early, after {} cases: {reason}",
            report.cases
        ));
        let mut case = TestCase::new("campaign", status);
        case.set_classname("cc-lb-fuzz");
        suite.add_test_case(case);
    }
    for limit in &report.found_limits {
        let mut case = TestCase::new(limit.unique_title(), TestCaseStatus::success());
        case.set_classname("cc-lb-fuzz");
        case.set_system_out(format!("{}\n{}", limit.detail, in_words(limit)));
        suite.add_test_case(case);
    }
    if let Some(unexamined) = unexamined(report.unexamined) {
        suite.set_system_out(unexamined);
    }
    let mut xml = Xml::new("cc-lb-fuzz");
    xml.add_test_suite(suite);
    // The only characters that XML does not allow and the writer does not filter.
    xml.to_string()
        .map(|xml| xml.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

fn in_words(finding: &FindingReport) -> String {
    let lines = [finding.explanation, finding.advice, finding.caveat()];
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{lines}{}replay: {}", finding.case_text, finding.replay)
}
