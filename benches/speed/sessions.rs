//! Opening sessions, and what they cost in memory.

use std::time::{Duration, Instant};

use cc_lb_fuzz::host::dispatch::seal;
use cc_lb_fuzz::host::{Host, PluginHost, PluginSession, Session, guard};
use cc_lb_fuzz::observation::memory;
use cc_lb_fuzz::puppet::{self, Op, Program};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use cc_lb_plugin_conformance::dispatch::PluginSession as PublishedSession;
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::Figure;
use crate::dispatches::bare;

const ROUNDS: usize = 12;

/// The dispatches before memory is looked at first, and last.
const FEW: u64 = 100_000;
const MANY: u64 = 10_000_000;

fn timed(times: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..times).for_each(|_| work());
    start.elapsed() / times
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn opening() -> Figure {
    let host = PluginHost::new(puppet::wasm()).expect("it opens");
    let mut own = Duration::ZERO;
    let rounds = (0..ROUNDS).map(|_| {
        own = timed(64, || drop(host.open().expect("it opens")));
        let published = timed(4, || {
            drop(PublishedSession::new(puppet::wasm()).expect("it opens"));
        });
        ratio(published, own)
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let aside = format!("{} µs", own.as_micros());
    let what = "the published session's opening over a fresh session's";
    Figure::of(what, &mut rounds, "", "50", aside)
}

/// The same healthy call with the guard and without it.
fn guarded() -> Vec<Figure> {
    let compiled = [
        bare(guard::manifest(puppet::wasm()).expect("it may run")),
        bare(extism::Manifest::new([extism::Wasm::data(puppet::wasm())])),
    ];
    let open = |compiled| extism::Plugin::new_from_compiled(compiled).expect("it opens");
    let [mut guarded, mut bare] = [open(&compiled[0]), open(&compiled[1])];
    let input = seal(&ShapeFn::dry_run_request(), 1).expect("it serializes");
    let call = |plugin: &mut extism::Plugin| {
        plugin
            .call::<&str, &[u8]>("shape", &input)
            .expect("it answers")
            .len()
    };
    let rounds = (0..2 * ROUNDS).map(|_| {
        let own = timed(2_000, || assert!(call(&mut guarded) > 0));
        let other = timed(2_000, || assert!(call(&mut bare) > 0));
        ratio(own, other)
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let [own, other] = [&guarded, &bare].map(|plugin| plugin.fuel_consumed().unwrap_or_default());
    vec![
        Figure::of(
            "a guarded call over an unguarded one",
            &mut rounds,
            "",
            "at most 1.10",
            format!("{own} fuel over {other}"),
        ),
        store(&mut guarded, &mut bare),
    ]
}

/// The fuel that the guard takes for each store: what a longer answer costs more behind it than without.
fn store(guarded: &mut extism::Plugin, bare: &mut extism::Plugin) -> Figure {
    const STORES: [u32; 2] = [1_000, 2_000];
    let fuel = |plugin: &mut extism::Plugin, stores: u32| {
        let (byte, times) = (b' ', 8 * stores);
        let program = Program(vec![Op::Repeat { byte, times }]);
        let mut request = Request::dry_run(0);
        request.carry(program.encode());
        let input = request.to_json().expect("it serializes").to_string();
        let answer = plugin.call::<&str, &[u8]>("shape", &input);
        assert_eq!(answer.expect("it answers").len(), times as usize);
        plugin.fuel_consumed().unwrap_or_default()
    };
    let [few, many] = STORES.map(|stores| fuel(guarded, stores) - fuel(bare, stores));
    let more = (many - few) as f64 / f64::from(STORES[1] - STORES[0]);
    let aside = format!("{few} fuel more for a call of {} stores", STORES[0]);
    let what = "the guard's fuel for each store";
    Figure::of(what, &mut [more], "", "at most 8", aside)
}

fn memory() -> Figure {
    let mut session = PluginSession::new(puppet::wasm()).expect("it opens");
    let mut resident = Vec::new();
    for dispatch in 1..=MANY {
        let _ = Session::dispatch::<ShapeFn>(&mut session, ShapeFn::dry_run_request());
        if dispatch == FEW || dispatch == MANY {
            resident.push(memory::resident().unwrap_or_default());
        }
    }
    let grown = resident[1].saturating_sub(resident[0]) as f64 / f64::from(1 << 20);
    Figure::of(
        "resident memory that 10,000,000 dispatches take more than 100,000",
        &mut [grown],
        " MiB",
        "under 1 MiB",
        format!("{} MiB in all", resident[1] >> 20),
    )
}

pub fn figures() -> Vec<Figure> {
    let mut figures = vec![opening()];
    figures.extend(guarded());
    figures.push(memory());
    figures
}
