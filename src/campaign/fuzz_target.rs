//! A fuzz target's body: what coverage-guided fuzzers such as libFuzzer call.

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::history::as_seen;
use super::{Bench, CASES_PER_SESSION, CampaignError, THOROUGH_ONE_IN, confirm_all};
use crate::case::{Case, Menu, ShrinkLimits};
use crate::finding::Finding;
use crate::host::{Cause, HandshakeError, Host};
use crate::observation::{CaseRecord, Depth, Subject};
use crate::oracle::may_be_busy;
use crate::wire::Vocabulary;

/// The entropy of one mutation, in bytes.
const MUTATION_ENTROPY: usize = 8192;

/// How many steps a mutated case has at least, where they fit. A fuzzer spends a hundred times more on an input
/// than on a step, so short cases would waste its time.
const FILLED_STEPS: usize = 32;

/// Runs encoded cases on the puppet, one after the other, with the sessions and checks of a campaign.
pub struct FuzzTarget<'h, H: Host, R> {
    bench: Bench<'h, H, R>,
    history: Vec<Case<R>>,
    runs: u64,
    dispatches: u64,
}

/// What a fuzzer may do with an input that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it where it reached something new.
    Keep,
    /// Do not build on it: it is no case, or one that takes all the fuel or time there is, and a corpus of
    /// such would make fuzzing slow.
    Reject,
}

impl<'h, H: Host, R: Vocabulary> FuzzTarget<'h, H, R> {
    /// Opens a session of the puppet on this host.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens none.
    pub fn new(host: &'h H) -> Result<Self, HandshakeError> {
        Ok(Self {
            bench: Bench::new(host, Subject::Puppet)?,
            history: Vec::new(),
            runs: 0,
            dispatches: 0,
        })
    }

    /// How many requests were dispatched so far on the sessions that inputs share; fuzzers count inputs.
    pub fn dispatches(&self) -> u64 {
        self.dispatches
    }

    /// Runs a case on the session that the cases before it used, now and then a fresh one, and returns what was
    /// seen and the first finding, confirmed and shrunk.
    ///
    /// # Errors
    /// [`CampaignError`] where the host opens no session.
    pub fn check(
        &mut self,
        case: Case<R>,
    ) -> Result<(CaseRecord, Option<Finding<R>>), CampaignError> {
        if self.history.len() as u64 >= CASES_PER_SESSION {
            self.renew()?;
        }
        let depth = match self.runs % THOROUGH_ONE_IN {
            0 => Depth::Thorough,
            _ => Depth::Light,
        };
        self.runs += 1;
        let record = self.bench.runner.run(&case, depth)?;
        self.dispatches += (record.steps.len() + record.probes.len()) as u64;
        let mut violations = self.bench.check(&record);
        // Fuzzers run beside others, and under a sanitizer.
        violations.retain(|violation| !may_be_busy(violation, &record));
        let by_chance = record.met_the_wall();
        let is_sound = violations.is_empty();
        if is_sound {
            self.history.push(as_seen(case, depth));
            return Ok((record, None));
        }
        self.history.push(case);
        let mut findings = confirm_all(
            &mut self.bench,
            violations,
            &self.history,
            by_chance,
            ShrinkLimits::default(),
        );
        let finding = findings.next().transpose()?;
        drop(findings);
        self.renew()?;
        Ok((record, finding))
    }

    fn renew(&mut self) -> Result<(), HandshakeError> {
        self.history.clear();
        self.bench.runner.renew()
    }

    /// Runs an input: a case in either form.
    ///
    /// # Errors
    /// [`CampaignError`] where the host opens no session.
    ///
    /// # Panics
    /// Where a check finds something: that is how a fuzzer is told. The text is the finding's check, what
    /// was seen, and its shrunk case as JSON.
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

/// Mutates an encoded case in place, structure and all: the body of a `fuzz_mutator!`.
///
/// The first `size` bytes of `data` are the input, and the result is written over them; it has at most
/// `max_size` bytes, and is in the compact form. An input that is no case becomes an arbitrary one; a short case
/// is filled up with arbitrary steps, where they fit. Returns the new size, which is the old one where no
/// mutation fits.
pub fn mutate<R: Vocabulary>(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut entropy = [0; MUTATION_ENTROPY];
    ChaCha8Rng::seed_from_u64(seed.into()).fill_bytes(&mut entropy);
    let mut u = Unstructured::new(&entropy);
    let menu = Menu::puppet::<R>();
    let mutated = match Case::<R>::decode(&data[..size]) {
        Ok(mut case) => (0..=u.int_in_range(0..=2u8).unwrap_or(0))
            .try_for_each(|_| case.mutate(&menu, &mut u))
            .map(|()| case),
        Err(_) => menu.case(&mut u),
    };
    let Ok(mutated) = mutated else {
        return size;
    };
    let mut filled = mutated.clone();
    while filled.steps.len() < FILLED_STEPS {
        match menu.step(&mut u) {
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
