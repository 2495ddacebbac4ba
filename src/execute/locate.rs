//! Locates what the runtime does not report: where the fuel or the time ran out, and where an
//! answer was set. It runs the case once more on a metered copy of the plugin.
//!
//! Bugs in this module look like different sites for cases that show one bug.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::dispatch::execute;
use crate::case::Step;
use crate::host::{Call, Cause, Frame, Host, Session, Site, SiteKind, StopPoint};
use crate::wire::{Function, Vocabulary};

/// The most steps of a case that are run again.
const STEPS_MAX: usize = 512;

/// The most attempts to stop where the fuel ran out.
const TRIES: usize = 5;

/// Locates the failure of the last step, given its cause. Returns `None` if the host has no metered
/// copies, or the copy does not get that far.
pub(crate) fn locate<H: Host, R: Vocabulary>(
    host: &H,
    steps: &[Step<R>],
    cause: Option<&Cause>,
    heartbeat: &mut dyn FnMut(&'static Function),
) -> Option<Site> {
    if steps.len() > STEPS_MAX {
        return None;
    }
    let mut run = |steps: &[Step<R>], stop| run(host, steps, stop, heartbeat);
    match cause? {
        Cause::OutOfFuel => at_the_end_of_the_fuel(|stop| run(steps, stop)),
        Cause::Timeout => at_the_end_of_the_time(|stop| run(steps, stop)),
        Cause::Undecodable(_) => {
            let answer = where_it_is_set(|stop| run(steps, stop))?;
            let request = steps.last()?.request.function();
            let index = R::functions().iter().position(|other| other == request)?;
            let healthy = [Step::healthy(index)];
            let healthy = where_it_is_set(|stop| run(&healthy, stop)).unwrap_or_default();
            parting(&answer, &healthy)
        }
        _ => None,
    }
}

/// Runs the steps on a session of a metered copy, the last one up to the stop point.
fn run<H: Host, R: Vocabulary>(
    host: &H,
    steps: &[Step<R>],
    stop: StopPoint,
    heartbeat: &mut dyn FnMut(&'static Function),
) -> Option<Call> {
    // If opening the copy fails, nothing is located.
    let mut session = host.open_metered().ok().flatten()?;
    let (last, before) = steps.split_last()?;
    for step in before {
        heartbeat(step.request.function());
        execute(step.request_with_program(), &mut session);
    }
    session.stop_at(stop);
    heartbeat(last.request.function());
    Some(execute(last.request_with_program(), &mut session).call)
}

/// Locates the end of the fuel. How far a call gets in a given number of ticks is only known
/// afterwards, because the fuel of the meter does not count.
fn at_the_end_of_the_fuel(mut run: impl FnMut(StopPoint) -> Option<Call>) -> Option<Site> {
    // A tick takes at least one fuel.
    let mut ticks = HANDSHAKE_FUEL;
    let mut site = None;
    for _ in 0..TRIES {
        let metering = run(StopPoint::after(ticks))?.metering?;
        if ticks == metering.ticks {
            site = metering.lasting;
            let near_the_end = HANDSHAKE_FUEL / 8 * 7..=HANDSHAKE_FUEL / 16 * 17;
            if near_the_end.contains(&metering.fuel) {
                break;
            }
        }
        // Slightly before the end. If the copy does not get that far, slightly before its own end.
        let goal = u128::from(HANDSHAKE_FUEL / 16 * 15);
        let wanted = u128::from(metering.ticks) * goal / u128::from(metering.fuel.max(1));
        let most = metering.ticks - metering.ticks / 16;
        ticks = u64::try_from(wanted).map_or(most, |wanted| wanted.min(most));
        if ticks == 0 {
            break;
        }
    }
    site
}

/// Locates the end of the time. The clock stops each call of the copy at another point, but in the
/// same loop.
fn at_the_end_of_the_time(mut run: impl FnMut(StopPoint) -> Option<Call>) -> Option<Site> {
    let mut ticks = u64::MAX;
    for _ in 0..TRIES {
        let metering = run(StopPoint::after(ticks))?.metering?;
        if ticks == metering.ticks {
            return metering.lasting;
        }
        ticks = (metering.ticks - metering.ticks / 16).min(ticks / 2);
        if ticks == 0 {
            break;
        }
    }
    None
}

/// Returns the frames at the point where the call set its answer for the last time, innermost
/// first.
fn where_it_is_set(mut run: impl FnMut(StopPoint) -> Option<Call>) -> Option<Vec<Frame>> {
    let answers = run(StopPoint::default())?.metering?.answers;
    let stop = StopPoint {
        ticks: None,
        answers: Some(answers).filter(|answers| *answers > 0),
    };
    stop.answers?;
    Some(run(stop)?.frames)
}

/// Returns the site where the call paths to an answer and to a healthy answer diverge.
///
/// Frames that both have in common, from the innermost on, pass on whatever they are given. So do
/// functions with parameters, up to the last one with many callers. Returns `None` if the paths do
/// not diverge: then only the content of the answer is wrong.
fn parting(answer: &[Frame], healthy: &[Frame]) -> Option<Site> {
    let same = |(one, other): &(&Frame, &Frame)| one.id == other.id && one.offset == other.offset;
    let common = answer.iter().zip(healthy).take_while(same).count();
    let own = answer.get(common..)?;
    let given = own.iter().take_while(|frame| frame.has_parameters).count();
    let for_many = own[..given]
        .iter()
        .rposition(|frame| frame.has_many_callers);
    let frame = own
        .get(for_many.map_or(0, |last| last + 1))
        .or(own.last())?;
    Some(Site::at(SiteKind::Answer, frame, frame.offset))
}
