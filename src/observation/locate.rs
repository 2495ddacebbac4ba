//! Where in a plugin something is that the runtime does not tell: at the end of the fuel or the time, and where an answer was
//! set. The case runs once more, on a copy of the plugin that is metered.
//!
//! A discrepancy here is another place for each case that shows one bug.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::react::react;
use crate::case::Step;
use crate::host::{Call, Cause, Frame, Host, Session, Site, SiteKind, Stop};
use crate::wire::{Function, Vocabulary};

/// The most steps of a case that are run again, each time.
const STEPS_MAX: usize = 512;

/// How often it is tried to stop where the fuel ended.
const TRIES: usize = 5;

/// Where the last of these steps failed by this cause; `None` where the host has no copies that are metered, or the copy does
/// not come so far.
pub(super) fn locate<H: Host, R: Vocabulary>(
    host: &H,
    steps: &[Step<R>],
    cause: Option<&Cause>,
    beat: &mut dyn FnMut(&'static Function),
) -> Option<Site> {
    if steps.len() > STEPS_MAX {
        return None;
    }
    let mut run = |steps: &[Step<R>], stop| run(host, steps, stop, beat);
    match cause? {
        Cause::OutOfFuel => at_the_end_of_the_fuel(|stop| run(steps, stop)),
        Cause::Timeout => at_the_end_of_the_time(|stop| run(steps, stop)),
        Cause::Undecodable(_) => {
            let answer = where_it_is_set(|stop| run(steps, stop))?;
            let request = steps.last()?.request.function();
            let place = R::functions().iter().position(|other| other == request)?;
            let healthy = [Step::healthy(place)];
            let healthy = where_it_is_set(|stop| run(&healthy, stop)).unwrap_or_default();
            parting(&answer, &healthy)
        }
        _ => None,
    }
}

/// Runs the steps on a session of a copy that is metered, the last of them up to where it is to stop.
fn run<H: Host, R: Vocabulary>(
    host: &H,
    steps: &[Step<R>],
    stop: Stop,
    beat: &mut dyn FnMut(&'static Function),
) -> Option<Call> {
    // There may be no room for it: then nothing is told.
    let mut session = host.open_metered().ok().flatten()?;
    let (last, before) = steps.split_last()?;
    for step in before {
        beat(step.request.function());
        react(step.told(), &mut session);
    }
    session.stop_at(stop);
    beat(last.request.function());
    Some(react(last.told(), &mut session).call)
}

/// How far a call comes that stops after so many ticks is known when it has: the fuel that the meter takes does not count.
fn at_the_end_of_the_fuel(mut run: impl FnMut(Stop) -> Option<Call>) -> Option<Site> {
    // A tick takes one fuel, if not more.
    let mut ticks = HANDSHAKE_FUEL;
    let mut site = None;
    for _ in 0..TRIES {
        let metering = run(Stop::after(ticks))?.metering?;
        if ticks == metering.ticks {
            site = metering.lasting;
            let near_the_end = HANDSHAKE_FUEL / 8 * 7..=HANDSHAKE_FUEL / 16 * 17;
            if near_the_end.contains(&metering.fuel) {
                break;
            }
        }
        // A little before the end, and where the copy does not come so far, a little before it ends.
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

/// The clock ends a call of the copy somewhere else each time, but in the same loop.
fn at_the_end_of_the_time(mut run: impl FnMut(Stop) -> Option<Call>) -> Option<Site> {
    let mut ticks = u64::MAX;
    for _ in 0..TRIES {
        let metering = run(Stop::after(ticks))?.metering?;
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

/// The functions that were running when the call set its answer for the last time, the innermost first.
fn where_it_is_set(mut run: impl FnMut(Stop) -> Option<Call>) -> Option<Vec<Frame>> {
    let answers = run(Stop::default())?.metering?.answers;
    let stop = Stop {
        ticks: None,
        answers: Some(answers).filter(|answers| *answers > 0),
    };
    stop.answers?;
    Some(run(stop)?.frames)
}

/// Where the way to an answer parts from that to a healthy one: what they have in common, from the innermost function on,
/// hands on whatever it is given. So do functions with parameters, up to the last that has many callers. `None` where they
/// part nowhere: then the answer is wrong by what it is made of.
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
