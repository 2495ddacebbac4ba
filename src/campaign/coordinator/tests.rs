use std::collections::VecDeque;

use super::*;
use crate::campaign::block::Stopped;
use crate::check::{NoCrash, NoPanic};
use crate::generate::{CASES_PER_SESSION, Plan};
use crate::wire::Request;

/// What a coordinator emits, in short: the end of a block, or a finding and whether it is certain.
#[derive(Debug, PartialEq)]
enum Seen {
    Done(u64),
    Unexamined { certain: bool },
    Finding,
}

fn short(event: &Event<'_, Request>) -> Seen {
    match event {
        Event::Progress(summary) => Seen::Done(summary.done),
        Event::Finding(finding) => match finding.origin {
            Origin::Unexamined { certain } => Seen::Unexamined { certain },
            _ => Seen::Finding,
        },
    }
}

fn coordinator<E: FnMut(Event<'_, Request>)>(blocks: u64, emit: E) -> Coordinator<Request, E> {
    let plan = Plan::puppet::<Request>(1, blocks * CASES_PER_SESSION);
    let cases = Arc::new(Cases::new(&plan));
    Coordinator::new(cases, Subject::Puppet, &Interrupt::new(), emit)
}

/// Returns the outcome of a block of which everything ran, up to the case with these violations.
fn ran(job: &BlockJob<Request>, stopped: Option<Stopped>) -> Outcome<Request> {
    let range = &job.range;
    let last = stopped
        .as_ref()
        .map_or(range.end, |stopped| stopped.case + 1);
    let part = SessionPart {
        from: range.start,
        end: range.end,
        block: Block {
            cases: last - range.start,
            stopped,
            ..Block::new(job.cases.plan())
        },
    };
    Outcome::Ran(BlockOutcome {
        first: range.start,
        parts: VecDeque::from([part]),
        ended: Ok(()),
    })
}

/// The death of a worker in this case.
fn death(case: u64) -> Stopped {
    let function = &Request::functions()[0];
    Stopped {
        case,
        violations: vec![Violation::new(&NoCrash, function, "it died".to_owned())],
        flaky: false,
    }
}

/// Returns the jobs of all blocks that can be handed out at once.
fn blocks<E: FnMut(Event<'_, Request>)>(
    coordinator: &mut Coordinator<Request, E>,
) -> Vec<BlockJob<Request>> {
    let mut blocks = Vec::new();
    while let Some(job) = coordinator.next_job() {
        match job {
            Job::Run(block) => blocks.push(block),
            Job::Confirm(_) => panic!("nothing has run"),
        }
    }
    blocks
}

#[test]
fn blocks_that_come_in_in_any_order_are_told_in_the_order_of_their_cases() {
    let mut seen = Vec::new();
    let mut coordinator = coordinator(3, |event: Event<'_, Request>| seen.push(short(&event)));
    let blocks = blocks(&mut coordinator);
    assert_eq!(blocks.len(), 3);
    for block in blocks.iter().rev() {
        coordinator.receive(ran(block, None));
        assert!(coordinator.next_job().is_none());
    }
    let summary = coordinator.close().expect("nothing failed");
    assert_eq!(summary.cases, 3 * CASES_PER_SESSION);
    assert_eq!(summary.resume_at, summary.done);
    let done = [1, 2, 3].map(|block| Seen::Done(block * CASES_PER_SESSION));
    assert_eq!(seen, done);
}

#[test]
fn what_is_being_confirmed_when_a_campaign_fails_is_left_unexamined_with_all_behind_it() {
    let mut seen = Vec::new();
    let mut coordinator = coordinator(3, |event: Event<'_, Request>| seen.push(short(&event)));
    let blocks = blocks(&mut coordinator);
    coordinator.receive(ran(&blocks[0], Some(death(3))));
    assert!(matches!(coordinator.next_job(), Some(Job::Confirm(_))));
    // One at a time, whichever executor asks.
    assert!(coordinator.next_job().is_none());
    coordinator.receive(ran(&blocks[1], Some(death(CASES_PER_SESSION + 1))));
    assert!(coordinator.next_job().is_none());
    coordinator.fail(CampaignError::Interrupted);
    let summary = coordinator.close().expect("an interrupt is no error");
    assert_eq!(summary.cases, 4 + 2);
    assert_eq!(summary.unexamined_certain, 2);
    assert_eq!((summary.done, summary.resume_at), (0, 0));
    // Both have the same key.
    assert_eq!(seen, [Seen::Unexamined { certain: true }]);
}

#[test]
fn a_violation_that_is_confirmed_is_told_at_once_and_the_next_one_like_it_is_known() {
    let mut seen = Vec::new();
    let mut coordinator = coordinator(2, |event: Event<'_, Request>| seen.push(short(&event)));
    let blocks = blocks(&mut coordinator);
    for block in &blocks {
        coordinator.receive(ran(block, Some(death(block.range.start))));
    }
    let Some(Job::Confirm(job)) = coordinator.next_job() else {
        panic!("there is something to confirm");
    };
    let confirmed = Confirmation::Finding(Box::new(Finding {
        violation: job.violation.clone(),
        // The violation needs no operation.
        case: Case { steps: Vec::new() },
        origin: Origin::Case,
        minimal: true,
    }));
    coordinator.receive(Outcome::Confirmed(Ok(confirmed)));
    assert!(coordinator.next_job().is_none());
    let summary = coordinator.close().expect("nothing failed");
    assert_eq!((summary.findings, summary.unexamined), (1, 0));
    let done = [1, 2].map(|block| Seen::Done(block * CASES_PER_SESSION));
    let [first, second] = done;
    assert_eq!(seen, [Seen::Finding, first, second]);
}

#[test]
fn what_ran_before_an_executor_failed_is_left_unexamined_and_the_block_is_not_done() {
    let mut seen = Vec::new();
    let mut coordinator = coordinator(1, |event: Event<'_, Request>| seen.push(short(&event)));
    let blocks = blocks(&mut coordinator);
    let Outcome::Ran(mut ran) = ran(&blocks[0], Some(death(5))) else {
        panic!("it is a block");
    };
    ran.ended = Err(CampaignError::Interrupted);
    coordinator.receive(Outcome::Ran(ran));
    assert!(coordinator.next_job().is_none());
    let summary = coordinator.close().expect("an interrupt is no error");
    assert_eq!((summary.cases, summary.unexamined_certain), (6, 1));
    assert_eq!((summary.done, summary.resume_at), (0, 0));
    assert_eq!(seen, [Seen::Unexamined { certain: true }]);
}

#[test]
fn what_was_looked_into_when_a_campaign_fails_is_not_left_unexamined() {
    let mut seen = Vec::new();
    let mut coordinator = coordinator(1, |event: Event<'_, Request>| seen.push(short(&event)));
    let blocks = blocks(&mut coordinator);
    let function = &Request::functions()[0];
    let mut stopped = death(2);
    let panicked = Violation::new(&NoPanic, function, "it panicked".to_owned());
    stopped.violations.insert(0, panicked);
    coordinator.receive(ran(&blocks[0], Some(stopped)));
    assert!(matches!(coordinator.next_job(), Some(Job::Confirm(_))));
    coordinator.receive(Outcome::Confirmed(Ok(Confirmation::NotReproduced)));
    assert!(matches!(coordinator.next_job(), Some(Job::Confirm(_))));
    coordinator.receive(Outcome::Confirmed(Err(CampaignError::Interrupted)));
    let summary = coordinator.close().expect("an interrupt is no error");
    assert_eq!((summary.unconfirmed, summary.unexamined), (1, 1));
    assert_eq!(seen, [Seen::Unexamined { certain: true }]);
}
