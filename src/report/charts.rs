//! Charts of the HTML report: histograms of calls, and cost curves of growing requests.

use maud::{Markup, html};

use super::json::{Bucket, LimitReport};

/// The inner size of a chart of curves, and the margins for its axes, in pixels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 44.0;
const BELOW: f64 = 34.0;

/// A histogram: a column for each power of two from the first to the last of `all`, so that several functions share an axis.
pub(super) fn columns(of_it: &[Bucket], all: &[Bucket], label: impl Fn(u64) -> String) -> Markup {
    let first = all
        .iter()
        .map(|bucket| bucket.from)
        .min()
        .unwrap_or(1)
        .ilog2();
    let last = all
        .iter()
        .map(|bucket| bucket.from)
        .max()
        .unwrap_or(1)
        .ilog2();
    let most = of_it
        .iter()
        .map(|bucket| bucket.count)
        .max()
        .unwrap_or(0)
        .max(1);
    html! {
        div class="columns" {
            @for power in first..=last {
                @let from = 1u64 << power;
                @let count = of_it.iter().find(|bucket| bucket.from == from).map_or(0, |bucket| bucket.count);
                // The square root keeps small counts visible beside large ones.
                @let height = 100.0 * (count as f64 / most as f64).sqrt();
                div title=(format!("{} and more: {count}", label(from))) {
                    i style=(format!("height:{height:.1}%")) {}
                }
            }
        }
        div class="axis" { span { (label(1 << first)) } span { (label(1 << last)) } }
    }
}

/// The curves of a function's fields: the fuel against the size of the guest's input, both on logarithmic axes.
pub(super) fn curves(of_it: &[&LimitReport]) -> Markup {
    let points = |limit: &LimitReport| -> Vec<(f64, f64)> {
        let known = limit
            .curve
            .iter()
            .filter_map(|point| Some((point.input_bytes? as f64, point.fuel? as f64)));
        known
            .filter(|(bytes, fuel)| *bytes >= 1.0 && *fuel >= 1.0)
            .collect()
    };
    let all: Vec<_> = of_it.iter().flat_map(|limit| points(limit)).collect();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let logs = all.iter().map(of).map(f64::log10);
        let least = logs.clone().fold(f64::INFINITY, f64::min).floor();
        let most = logs.fold(least + 1.0, f64::max).ceil();
        (least, most)
    };
    if all.is_empty() {
        return html! { p { "Nothing was answered." } };
    }
    let (x, y) = (range(|point| point.0), range(|point| point.1));
    let at = |value: f64, (least, most): (f64, f64)| (value.log10() - least) / (most - least);
    let place = |point: &(f64, f64)| {
        (
            LEFT + WIDTH * at(point.0, x),
            HEIGHT * (1.0 - at(point.1, y)),
        )
    };
    let line = |limit: &LimitReport| -> String {
        let places = points(limit)
            .iter()
            .map(place)
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect::<Vec<_>>();
        places.join(" ")
    };
    let (width, height) = (LEFT + WIDTH + 16.0, HEIGHT + BELOW);
    html! {
        svg class="curves" viewBox=(format!("0 -8 {width} {}", height + 8.0)) role="img" {
            @for power in decades(x) {
                @let place = LEFT + WIDTH * at(power, x);
                line x1=(place) x2=(place) y1="0" y2=(HEIGHT) {}
                text x=(place) y=(HEIGHT + 14.0) text-anchor="middle" { (short(power)) }
            }
            @for power in decades(y) {
                @let place = HEIGHT * (1.0 - at(power, y));
                line x1=(LEFT) x2=(LEFT + WIDTH) y1=(place) y2=(place) {}
                text x=(LEFT - 6.0) y=(place + 4.0) text-anchor="end" { (short(power)) }
            }
            text x=(LEFT + WIDTH / 2.0) y=(HEIGHT + 30.0) text-anchor="middle" { "bytes of input" }
            @for (nth, limit) in of_it.iter().enumerate() {
                polyline class=(format!("curve-{}", nth % 6)) points=(line(limit)) {
                    title { (limit.name()) }
                }
            }
        }
        ul class="legend" {
            @for (nth, limit) in of_it.iter().enumerate() {
                li class=(format!("curve-{}", nth % 6)) { (limit.name()) }
            }
        }
    }
}

/// The powers of ten on an axis.
fn decades((least, most): (f64, f64)) -> impl Iterator<Item = f64> {
    (least as i32..=most as i32).map(|power| 10f64.powi(power))
}

/// A number in short, such as 12k.
pub(super) fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{}M", (number / 1e6).round()),
        number if number >= 1e3 => format!("{}k", (number / 1e3).round()),
        number => format!("{number}"),
    }
}
