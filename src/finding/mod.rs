//! Findings: confirmed violations with shrunk cases.
//!
//! Bugs in this module look like a finding whose case does not show it.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::check::{AFTER_OTHER_CALLS, Advice, Nature, OTHER_SESSIONS, Violation};
use crate::fingerprint::Fingerprint;
use crate::puppet::{HALF_WAY, MEANS, Program};
use crate::wire::{Request, Vocabulary};

mod confirm;
mod deduplicate;
pub(crate) mod history;
mod other_sessions;
mod suspect;

pub use confirm::{confirm, confirm_all};
pub use deduplicate::{ALIKE_MAX, KnownFindings};
pub use suspect::{Confirmation, Known, Suspect};

/// The most characters of a finding's key in its name, so that people can read and paste it.
const NAME_WORDS_MAX: usize = 80;

/// A violation and the smallest case found that shows it.
#[derive(Clone, Debug)]
pub struct Finding<R = Request> {
    /// The violation.
    pub violation: Violation,
    /// The case that shows it on a fresh session.
    pub case: Case<R>,
    /// How the case was found.
    pub origin: Origin,
    /// Whether shrinking left no smaller candidate.
    pub minimal: bool,
}

/// How a finding's case was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The case that was running, shrunk.
    Case,
    /// The cases that the session had run, joined and shrunk: the last case alone does not show it.
    History,
    /// The cases that the session had run, joined, which did not reproduce it.
    Unreproduced,
    /// A stored case, unchanged.
    Stored,
    /// The cases that the session had run, joined, which were not examined for lack of time.
    Unexamined {
        /// Whether something is certainly wrong: no timing or other measurement was involved, or a
        /// timeout was seen in several sessions, or a worker died, even if something else killed
        /// it.
        certain: bool,
    },
}

impl<R> Finding<R> {
    /// Returns the effects of the operations that are left in the case's programs, without mere
    /// [`MEANS`] if there are others. With the check, the function and the class, they identify the
    /// root cause.
    pub fn effects(&self) -> BTreeSet<&'static str> {
        let programs = self.case.steps.iter().filter_map(|s| s.program.as_ref());
        let all: BTreeSet<_> = programs.flat_map(Program::effects).collect();
        let ends: BTreeSet<_> = all.iter().copied().filter(|e| !MEANS.contains(e)).collect();
        if ends.is_empty() { all } else { ends }
    }

    /// Returns what the finding means and what to do about it.
    pub fn advice(&self) -> Advice {
        if self.violation.nature() == Nature::PluginCall && self.case.dispatches() > 1 {
            AFTER_OTHER_CALLS
        } else {
            self.violation.advice()
        }
    }

    /// Returns the key. Findings with equal keys are the same.
    pub fn key(&self) -> String {
        match self.short_key() {
            Some(key) => key,
            None => key_of(&self.violation, &self.effects()),
        }
    }

    /// Returns the words of the name, without the hash of the key: the check, the wire function,
    /// the class, the plugin function that it is in, and the effects of the operations. Two
    /// findings may have the same words.
    fn name_words(&self) -> String {
        if let Some(key) = self.short_key() {
            return key;
        }
        let Violation {
            check, function, ..
        } = &self.violation;
        let effects = joined(&self.effects());
        format!("{check}-{function}-{}-{effects}", self.violation.label())
    }

    /// Returns a shorter key for findings that are reported once, whatever they are about. If a
    /// violation did not reproduce, its cause and function are unknown. If it was not examined, it
    /// is not a finding yet.
    fn short_key(&self) -> Option<String> {
        // The same holds for a violation that affects all sessions.
        if self.violation.class == OTHER_SESSIONS {
            return Some(format!("{}-{OTHER_SESSIONS}", self.violation.check));
        }
        match self.origin {
            // The manner of a death says what caused it.
            Origin::Unreproduced if self.violation.nature() == Nature::Death => {
                let Violation { check, class, .. } = &self.violation;
                Some(format!("{check}-{class}-unreproduced"))
            }
            Origin::Unreproduced => Some(format!("{}-unreproduced", self.violation.check)),
            Origin::Unexamined { .. } => {
                Some(format!("{}-unexamined", key_of_plain(&self.violation)))
            }
            _ => None,
        }
    }

    /// Returns a unique name that is the same in every campaign: words and a hash of the whole key.
    pub fn name(&self) -> String {
        named(&self.name_words(), Fingerprint::of_text(&self.key()))
    }
}

impl<R: Vocabulary> Finding<R> {
    /// Returns the name of the finding's file, without an extension: the same words, and a hash of
    /// the key and of what was fuzzed. Findings of other plugins, and of other versions of one,
    /// have other files, and so has each case that did not reproduce.
    pub fn file_stem(&self, found_on: &Fingerprint) -> String {
        let mut number = found_on.with(&self.key());
        if self.origin == Origin::Unreproduced {
            number = number.with(&self.case.to_json().unwrap_or_default());
        }
        named(&self.name_words(), number)
    }
}

fn named(words: &str, number: Fingerprint) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<_> = words
        .split(|c| !plain(c))
        .filter(|word| !word.is_empty())
        .collect();
    // The text is ASCII.
    let words: String = words.join("-").chars().take(NAME_WORDS_MAX).collect();
    format!("{}-{}", words.trim_end_matches('-'), number.short())
}

fn joined(effects: &BTreeSet<&'static str>) -> String {
    let mut effects: Vec<_> = effects.iter().copied().collect();
    // The other effects do not matter if the puppet is interrupted.
    if effects.contains(&HALF_WAY) {
        effects = vec![HALF_WAY];
    }
    effects.join("-")
}

fn key_of(violation: &Violation, effects: &BTreeSet<&'static str>) -> String {
    format!("{}-{}", violation.key(), joined(effects))
}

fn key_of_plain(violation: &Violation) -> String {
    key_of(violation, &BTreeSet::new())
}

/// Returns whether a healthy call failed after other calls, with a known class.
pub(crate) fn is_healthy_call(violation: &Violation) -> bool {
    violation.nature() == Nature::HealthyCall
        && !violation.class.is_empty()
        && violation.class != OTHER_SESSIONS
}
