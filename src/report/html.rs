//! One self-contained HTML page: the outcomes of each function's calls, and findings that expand.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts;
use super::json::{FindingReport, FunctionReport, LimitReport, Report};
use super::text::{self, unexamined};
use crate::untrusted_text::in_json;

const STYLE: &str = include_str!("page.css");

/// Returns the report as an HTML page.
pub fn html_page(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "cc-lb-fuzz: " (report.subject) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report))
                section {
                    h2 { "Findings" }
                    @if findings(report).count() == 0 {
                        p { "None." }
                    }
                    @for finding in findings(report) { (finding_of(finding)) }
                }
                @if open(report).count() > 0 {
                    section {
                        h2 { "Unexamined" }
                        @for finding in open(report) { (finding_of(finding)) }
                    }
                }
                @if !report.found_limits.is_empty() {
                    section {
                        h2 { "Limits" }
                        p { "What the plugin cannot do, and no host requires." }
                        @for limit in &report.found_limits { (finding_of(limit)) }
                    }
                }
                section {
                    h2 { "Functions" }
                    (functions(&report.functions))
                }
                @if report.functions.iter().any(|of_it| of_it.dispatches > 0) {
                    section {
                        h2 { "Fuel and time of a call" }
                        (distributions(&report.functions))
                    }
                }
                @if !report.limits.is_empty() {
                    section {
                        h2 { "What a larger request costs, in fuel" }
                        (growth(&report.limits))
                    }
                }
                footer { "cc-lb-fuzz " (report.version) ", seed " (report.seed) }
            }
        }
    };
    page.into_string()
}

/// The findings that were examined.
fn findings(report: &Report) -> impl Iterator<Item = &FindingReport> {
    let findings = report.findings.iter();
    findings.filter(|finding| !finding.status.is_unexamined())
}

/// The findings that were not examined.
fn open(report: &Report) -> impl Iterator<Item = &FindingReport> {
    let findings = report.findings.iter();
    findings.filter(|finding| finding.status.is_unexamined())
}

fn head(report: &Report) -> Markup {
    let (found, open) = (findings(report).count(), open(report).count());
    let mut verdict = match (found, report.found_limits.len()) {
        (0, 0) => "nothing found".to_owned(),
        (found, limits) => text::findings(found, limits),
    };
    if open > 0 {
        verdict += &format!(", {open} unexamined");
    }
    html! {
        header class=(if report.findings.is_empty() { "clean" } else { "findings" }) {
            h1 { (report.subject) }
            p class="verdict" { (verdict) }
            @if let Some(reason) = &report.ended_early {
                p { "The campaign ended early: " (reason) }
            }
            @if let Some(unexamined) = unexamined(report.unexamined) {
                p { (unexamined) }
            }
            dl {
                (figure("cases", &report.cases.to_string()))
                (figure("calls", &report.dispatches.to_string()))
                (figure("time", &format!("{:.1} s", report.elapsed_ms as f64 / 1000.0)))
                (figure("slowest call", &format!("{:.1} ms", report.slowest_us as f64 / 1000.0)))
                @if let Some(bytes) = report.memory_bytes {
                    (figure("most memory", &format!("{} MiB", bytes >> 20)))
                }
            }
        }
    }
}

fn figure(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn finding_of(finding: &FindingReport) -> Markup {
    html! {
        details {
            summary { (finding.title()) span { (finding.detail) } }
            p { (finding.explanation) " " (finding.advice) " " (finding.caveat()) }
            pre { (finding.case_text) }
            p { "Replay it:" }
            pre { (finding.replay) }
            @if !finding.case.is_null() {
                details {
                    summary { "The case as JSON" }
                    pre { (in_json(&serde_json::to_string_pretty(&finding.case).unwrap_or_default())) }
                }
            }
        }
    }
}

fn functions(functions: &[FunctionReport]) -> Markup {
    html! {
        table {
            thead { tr { th { "function" } th { "calls" } th { "ok" } th { "outcomes" } } }
            tbody {
                @for of_it in functions {
                    tr {
                        td { (of_it.function) }
                        td { (of_it.dispatches) }
                        td { (of_it.ok) }
                        td { (bar(of_it)) }
                    }
                }
            }
        }
    }
}

/// Histograms of the fuel and the time of each function's calls.
fn distributions(functions: &[FunctionReport]) -> Markup {
    let fuel: Vec<_> = functions
        .iter()
        .flat_map(|of_it| of_it.fuel.clone())
        .collect();
    let time: Vec<_> = functions
        .iter()
        .flat_map(|of_it| of_it.latency_us.clone())
        .collect();
    let milliseconds = |us: u64| format!("{} ms", us as f64 / 1000.0);
    html! {
        table class="distributions" {
            thead { tr { th { "function" } th { "fuel" } th { "time" } } }
            tbody {
                @for of_it in functions.iter().filter(|of_it| of_it.dispatches > 0) {
                    tr {
                        td { (of_it.function) }
                        td { (charts::columns(&of_it.fuel, &fuel, |fuel| charts::short(fuel as f64))) }
                        td { (charts::columns(&of_it.latency_us, &time, milliseconds)) }
                    }
                }
            }
        }
    }
}

/// The growth curves of each function, and the largest sizes.
fn growth(limits: &[LimitReport]) -> Markup {
    let mut functions: Vec<_> = limits.iter().map(|limit| &limit.function).collect();
    functions.dedup();
    html! {
        div class="growth" {
            @for function in functions {
                @let own: Vec<_> = limits.iter().filter(|limit| limit.function == *function).collect();
                figure {
                    figcaption { (function) }
                    (charts::curves(&own))
                }
            }
        }
        table {
            thead { tr { th { "field" } th { "largest" } th { "" } th { "first failure" } } }
            tbody {
                @for limit in limits {
                    tr {
                        td { (limit.function) " " (limit.field) }
                        td { @match limit.largest { Some(most) => (most), None => "none" } }
                        td { (limit.unit) }
                        td {
                            (limit.beyond.as_deref().unwrap_or("nothing larger was tried"))
                            @if let Some(unusual) = &limit.unusual {
                                "; no host sends this: " (unusual)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns a bar of the outcomes, each as wide as its share.
fn bar(of_it: &FunctionReport) -> Markup {
    let fallbacks = of_it.fallbacks.iter();
    let parts = std::iter::once(("ok", of_it.ok))
        .chain(fallbacks.map(|(kind, count)| (kind.as_str(), *count)))
        .filter(|(_, count)| *count > 0);
    html! {
        div class="bar" {
            @for (index, (kind, count)) in parts.enumerate() {
                @let share = 100.0 * count as f64 / of_it.dispatches.max(1) as f64;
                div class=(if kind == "ok" { "ok".to_owned() } else { format!("fallback-{}", index % 6) })
                    style=(format!("width:{share:.2}%"))
                    title=(format!("{kind}: {count}")) {
                    @if share >= 12.0 { (kind) " " (count) }
                }
            }
        }
    }
}
