//! How the cost of a case grows with its steps and with the size of its requests.

use std::time::{Duration, Instant};

use cc_lb_fuzz::case::{Case, Depth, Step};
use cc_lb_fuzz::check::{CHECKS, check_all};
use cc_lb_fuzz::execute::InProcessExecutor;
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;

use crate::Figure;

/// The number of tries, of which the fastest counts.
const TRIES: usize = 24;

/// Returns the time of running and judging a case: that of the fastest try.
fn time(case: &Case) -> Duration {
    let host = PluginHost::new(puppet::wasm()).expect("it opens");
    let mut executor =
        InProcessExecutor::<_, Request>::new(&host, Subject::Puppet).expect("it opens");
    let mut once = || {
        let start = Instant::now();
        let record = executor.runner().run(case, Depth::Light).expect("it opens");
        assert!(check_all(CHECKS, &record).is_empty());
        start.elapsed()
    };
    (0..TRIES).map(|_| once()).min().unwrap_or_default()
}

/// Returns a case of one step whose body has this many bytes before base64.
fn with_body(bytes: u64) -> Case {
    let mut request = serde_json::to_value(Step::<Request>::healthy(0).request).expect("JSON");
    let body = request.pointer_mut("/shape_v1/request/body_base64");
    *body.expect("it has one") = serde_json::json!({ "$repeat": ["A", bytes / 3 * 4] });
    Case {
        steps: vec![Step::without_program(
            serde_json::from_value(request).expect("it reads back"),
        )],
    }
}

/// Returns the exponent with which the time grows with the size: the slope of a line fitted to the
/// logarithms.
fn figure(
    what: &'static str,
    unit: &'static str,
    sizes: impl Iterator<Item = u64>,
    case: impl Fn(u64) -> Case,
) -> Figure {
    let points: Vec<(f64, f64)> = sizes
        .map(|size| (size as f64, time(&case(size)).as_secs_f64() * 1e6))
        .collect();
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let alone: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = together / alone;
    let told: Vec<String> = points
        .iter()
        .map(|(size, time)| format!("{size}: {time:.0} µs"))
        .collect();
    let mut slopes = [slope];
    let aside = format!("{unit}: {}", told.join(", "));
    Figure::of(what, &mut slopes, "", "1 or less", aside)
}

pub fn figures() -> Vec<Figure> {
    vec![
        figure(
            "the power with which a case's cost grows with its steps",
            "steps",
            (3..=10).map(|power| 1 << power),
            |steps| Case {
                steps: vec![Step::healthy(0); steps as usize],
            },
        ),
        figure(
            "the power with which a case's cost grows with its bytes",
            "bytes",
            (11..=17).map(|power| 1 << power),
            with_body,
        ),
    ]
}
