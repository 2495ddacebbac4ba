//! The body of the fuzz target `dispatch`, which coverage-guided fuzzers such as libFuzzer call.

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use crate::campaign::CampaignError;
use crate::case::{Case, Depth, ShrinkLimits};
use crate::check::may_be_busy;
use crate::execute::InProcessExecutor;
use crate::finding::history::with_trailing_probes;
use crate::finding::{Finding, confirm_all};
use crate::generate::{CASES_PER_SESSION, CaseGenerator, is_thorough};
use crate::host::{Cause, HandshakeError, Host};
use crate::record::{CaseRecord, Subject};
use crate::wire::Vocabulary;

/// The entropy of one mutation, in bytes.
const MUTATION_ENTROPY: usize = 8192;

/// The least number of steps of a mutated case, if they fit. For a fuzzer an input costs a hundred
/// times more than a step, so short cases would waste its time.
const FILLED_STEPS: usize = 32;

/// Runs encoded cases on the puppet one after the other, with the sessions and checks of a
/// campaign.
pub struct FuzzTarget<'h, H: Host, R> {
    executor: InProcessExecutor<'h, H, R>,
    history: Vec<Case<R>>,
    runs: u64,
    dispatches: u64,
}

/// What a fuzzer may do with an input that it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it if it reached something new.
    Keep,
    /// Do not build on it: it is not a case, or it takes all the fuel or time, and many such inputs
    /// would slow down fuzzing.
    Reject,
}

impl<'h, H: Host, R: Vocabulary> FuzzTarget<'h, H, R> {
    /// Opens a session of the puppet on this host.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
    pub fn new(host: &'h H) -> Result<Self, HandshakeError> {
        Ok(Self {
            executor: InProcessExecutor::new(host, Subject::Puppet)?,
            history: Vec::new(),
            runs: 0,
            dispatches: 0,
        })
    }

    /// Returns the number of requests dispatched on the shared sessions so far; fuzzers only count
    /// inputs.
    pub fn dispatches(&self) -> u64 {
        self.dispatches
    }

    /// Runs a case on the session of the cases before it, or now and then on a fresh one. Returns
    /// the record and the first finding, confirmed and shrunk.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if the host cannot open a session.
    pub fn check(
        &mut self,
        case: Case<R>,
    ) -> Result<(CaseRecord, Option<Finding<R>>), CampaignError> {
        if self.history.len() as u64 >= CASES_PER_SESSION {
            self.renew()?;
        }
        let depth = if is_thorough(self.runs) {
            Depth::Thorough
        } else {
            Depth::Light
        };
        self.runs += 1;
        let record = self.executor.runner.run(&case, depth)?;
        self.dispatches += (record.steps.len() + record.probes.len()) as u64;
        let mut violations = self.executor.check(&record);
        // Fuzzers run beside each other, and under a sanitizer.
        violations.retain(|violation| !may_be_busy(violation, &record));
        let flaky = record.hit_time_limit();
        let is_sound = violations.is_empty();
        if is_sound {
            self.history.push(with_trailing_probes(case, depth));
            return Ok((record, None));
        }
        self.history.push(case);
        let mut findings = confirm_all(
            &mut self.executor,
            violations,
            &self.history,
            flaky,
            ShrinkLimits::default(),
        );
        let finding = findings.next().transpose()?;
        drop(findings);
        self.renew()?;
        Ok((record, finding))
    }

    fn renew(&mut self) -> Result<(), HandshakeError> {
        self.history.clear();
        self.executor.runner.renew()
    }

    /// Runs an input: a case in JSON or postcard.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if the host cannot open a session.
    ///
    /// # Panics
    /// Panics if a check finds something, because fuzzers detect panics. The message is the check,
    /// what was observed, and the shrunk case as JSON.
    pub fn run(&mut self, input: &[u8]) -> Result<Verdict, CampaignError> {
        let Ok(case) = Case::decode(input) else {
            return Ok(Verdict::Reject);
        };
        let (record, finding) = self.check(case)?;
        if let Some(finding) = finding {
            let json = finding.case.to_json();
            let json = json.unwrap_or_else(|error| error.to_string());
            panic!("{:#?}\n{json}", finding.violation);
        }
        Ok(if exhausts(&record) {
            Verdict::Reject
        } else {
            Verdict::Keep
        })
    }
}

fn exhausts(record: &CaseRecord) -> bool {
    let mut causes = record.steps.iter().map(|step| &step.call.cause);
    causes.any(|cause| matches!(cause, Some(Cause::OutOfFuel | Cause::Timeout)))
}

/// Mutates an encoded case in place, with its structure: the body of a `fuzz_mutator!`.
///
/// The first `size` bytes of `data` are the input. They are replaced with the result, which has at
/// most `max_size` bytes and is in the compact form. An input that is not a case becomes an
/// arbitrary one; a short case is filled up with arbitrary steps, if they fit. Returns the new
/// size, which is the old one if no mutation fits.
pub fn mutate_case<R: Vocabulary>(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
) -> usize {
    let mut entropy = [0; MUTATION_ENTROPY];
    ChaCha8Rng::seed_from_u64(seed.into()).fill_bytes(&mut entropy);
    let mut u = Unstructured::new(&entropy);
    let generator = CaseGenerator::puppet::<R>();
    let mutated = match Case::<R>::decode(&data[..size]) {
        Ok(mut case) => (0..=u.int_in_range(0..=2u8).unwrap_or(0))
            .try_for_each(|_| case.mutate(&generator, &mut u))
            .map(|()| case),
        Err(_) => generator.case(&mut u),
    };
    let Ok(mutated) = mutated else {
        return size;
    };
    let mut filled = mutated.clone();
    while filled.steps.len() < FILLED_STEPS {
        match generator.step(&mut u) {
            Ok(step) => filled.steps.push(step),
            Err(_) => break,
        }
    }
    let encoded = [filled, mutated]
        .into_iter()
        .filter_map(|case| case.to_postcard().ok());
    let fits = |bytes: &Vec<u8>| bytes.len() <= max_size.min(data.len());
    match encoded.into_iter().find(fits) {
        Some(bytes) => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        None => size,
    }
}
