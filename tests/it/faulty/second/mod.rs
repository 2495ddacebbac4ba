//! Faults by a second author, who wrote them from the obligations of the traits and the wire types and knew neither the
//! generators nor the checks: each field, each direction, each size, each moment.

mod accepted;
mod answered;
mod calls;
mod handshakes;
mod identities;
mod json;
mod kept;
mod leftovers;
mod limits;
mod lists;
mod messages;
mod policies;
mod refused;
mod sessions;
mod states;
mod targets;
mod terms;
mod texts;
mod written;

use std::collections::BTreeSet;

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::case::ShrinkLimits;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;

use super::plain::{MakesFault, Plain};
use super::{Faulty, Kind, dispatch, opening};

/// All of them, in the order of a dispatch.
pub fn all() -> Vec<Faulty> {
    let each: [fn() -> Vec<Faulty>; 18] = [
        targets::faults,
        messages::faults,
        texts::faults,
        lists::faults,
        states::faults,
        leftovers::faults,
        written::faults,
        accepted::faults,
        refused::faults,
        answered::faults,
        sessions::faults,
        calls::faults,
        kept::faults,
        limits::faults,
        policies::faults,
        identities::faults,
        handshakes::faults,
        terms::faults,
    ];
    each.iter().flat_map(|faults| faults()).collect()
}

/// Those that a campaign does not find, and why. What is found one day belongs to the others.
pub fn missed() -> Vec<(Faulty, &'static str)> {
    vec![
        (
            dispatch::<policies::AnswersForObservationsOfNothing>("fallback_policy"),
            "a request without a text has no room for a program, and no other call fails",
        ),
        (
            dispatch::<policies::IgnoresErrorsWithoutAText>("fallback_policy"),
            "behind the guard every error has a text",
        ),
        (
            dispatch::<sessions::GivesRenewedInstancesHalfTheFuel>("no_poison"),
            "right behind a call that fails stands a healthy one, which takes little fuel",
        ),
        (
            opening::<handshakes::TakesAnyExportForAFunction>(),
            "what an opening exports is a function without parameters",
        ),
    ]
}

/// Hosts whose sessions are not apart. No case shows it by itself.
fn whose_sessions_are_not_apart() -> Vec<(&'static str, MakesFault)> {
    vec![
        ("closes all sessions after fifty failures", || {
            Box::new(sessions::ClosesAllSessionsAfterFiftyFailures::default())
        }),
        ("opens no instance after a hundred sessions", || {
            Box::new(sessions::OpensNoInstanceAfterAHundredSessions::default())
        }),
        ("times all sessions", || {
            Box::new(limits::TimesAllSessions::default())
        }),
    ]
}

#[test]
fn what_one_session_does_to_others_is_one_finding_that_says_so() {
    for (what, fault) in whose_sessions_are_not_apart() {
        let host = Plain::new(fault);
        let plan = Plan::puppet::<Request>(1, 2_000);
        let found = campaign::findings::<_, Request>(&host, Subject::Puppet, &plan);
        let found = found.expect("it opens");
        let told: Vec<_> = found
            .iter()
            .map(|finding| (finding.violation.check.name(), &finding.violation.class[..]))
            .collect();
        assert_eq!(
            told,
            [("no_poison", "other sessions")],
            "{what}: {found:#?}"
        );
        let detail = &found[0].violation.detail;
        assert!(detail.ends_with("sessions are not isolated"), "{detail}");
    }
}

#[test]
#[ignore = "some minutes in a release build"]
fn what_is_said_to_be_missed_is_missed() {
    for (faulty, why) in missed() {
        let found = faulty.hunt(1, 20_000, ShrinkLimits::default());
        assert!(
            found.is_none(),
            "{} is found, no matter that {why}",
            faulty.name
        );
    }
}

#[test]
fn every_fault_stands_in_the_table_of_obligations() {
    let table = include_str!("../../../../docs/obligations.md");
    let cells = table.lines().filter_map(|line| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(line.split_once(" | ")?.1)
    });
    let names = cells.flat_map(|names| names.split(", "));
    let named: BTreeSet<String> = names
        .filter(|name| *name != "faulty hosts")
        .map(str::to_owned)
        .collect();
    let missed = missed().into_iter().map(|(faulty, _)| faulty);
    let all = super::all().into_iter().chain(missed);
    let of_hosts = all.filter(|of| matches!(of.kind, Kind::Dispatch(_) | Kind::HandshakeCase(_)));
    let of_hosts = of_hosts.map(|of| of.name);
    let not_apart = whose_sessions_are_not_apart();
    let not_apart = not_apart.into_iter().map(|(name, _)| name.to_owned());
    let faults: BTreeSet<String> = of_hosts.chain(not_apart).collect();
    assert_eq!(named, faults);
}
