//! Faults by a second author, who knew the obligations of the traits and the wire types, but
//! neither the generators nor the checks. They cover each field, direction, size and point in time.

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

use super::plain::{FaultFactory, PlainHost};
use super::{FaultyHost, Kind, dispatch, faulty_loader};

/// Returns all faulty hosts, in the order of the steps of a dispatch.
pub fn all() -> Vec<FaultyHost> {
    let each: [fn() -> Vec<FaultyHost>; 18] = [
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

/// Returns the faults that no campaign finds, and the reasons. Once one is found, move it to
/// [`all`].
pub fn missed() -> Vec<(FaultyHost, &'static str)> {
    vec![
        (
            dispatch::<policies::AnswersForObservationsOfNothing>("fallback_policy"),
            "a request without a string cannot carry a program, and no other call fails",
        ),
        (
            dispatch::<policies::IgnoresErrorsWithoutAText>("fallback_policy"),
            "behind the guard, every error has a message",
        ),
        (
            dispatch::<sessions::GivesRenewedInstancesHalfTheFuel>("no_poison"),
            "a healthy call, which uses little fuel, follows each failed call",
        ),
        (
            faulty_loader::<handshakes::TakesAnyExportForAFunction>(),
            "handshake cases only export functions without parameters",
        ),
    ]
}

/// Returns hosts whose sessions are not isolated. No single case shows these faults.
fn hosts_without_isolation() -> Vec<(&'static str, FaultFactory)> {
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
fn a_host_whose_sessions_are_not_isolated_has_one_finding_that_says_so() {
    for (name, fault) in hosts_without_isolation() {
        let host = PlainHost::new(fault);
        let plan = Plan::puppet::<Request>(1, 2_000);
        let found = campaign::findings::<_, Request>(&host, Subject::Puppet, &plan);
        let found = found.expect("the host opens");
        let classes: Vec<_> = found
            .iter()
            .map(|finding| (finding.violation.check.name(), &finding.violation.class[..]))
            .collect();
        assert_eq!(
            classes,
            [("no_poison", "other sessions")],
            "{name}: {found:#?}"
        );
        let detail = &found[0].violation.detail;
        assert!(detail.ends_with("sessions are not isolated"), "{detail}");
    }
}

#[test]
#[ignore = "some minutes in a release build"]
fn faults_listed_as_missed_are_not_found() {
    for (faulty, reason) in missed() {
        let found = faulty.hunt(1, 20_000, ShrinkLimits::default());
        assert!(
            found.is_none(),
            "{} is found, although {reason}",
            faulty.name
        );
    }
}

#[test]
fn the_table_of_obligations_lists_every_fault() {
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
    let of_hosts =
        all.filter(|faulty| matches!(faulty.kind, Kind::Dispatch(_) | Kind::HandshakeCase(_)));
    let of_hosts = of_hosts.map(|faulty| faulty.name);
    let not_isolated = hosts_without_isolation().into_iter();
    let not_isolated = not_isolated.map(|(name, _)| name.to_owned());
    let faults: BTreeSet<String> = of_hosts.chain(not_isolated).collect();
    assert_eq!(named, faults);
}
