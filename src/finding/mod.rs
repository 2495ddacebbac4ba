//! The finding: what broke, minimised.
//!
//! A discrepancy here is a finding whose case does not show it.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::check::{Advice, BEHIND_OTHERS, Nature, OTHER_SESSIONS, Violation};
use crate::fingerprint::Fingerprint;
use crate::puppet::{HALF_WAY, MEANS, Program};
use crate::wire::{Request, Vocabulary};

mod confirm;
pub(crate) mod history;
mod known;
mod other_sessions;
mod suspect;

pub use confirm::{confirm, confirm_all};
pub use known::{ALIKE_MAX, KnownFindings};
pub use suspect::{Confirmation, Known, Suspect};

/// How many characters of a finding's key its name begins with: one is to be read, and pasted.
const NAME_WORDS_MAX: usize = 80;

/// A violation and the smallest case that was found to show it.
#[derive(Clone, Debug)]
pub struct Finding<R = Request> {
    /// What is wrong.
    pub violation: Violation,
    /// The case that shows it, on a fresh session.
    pub case: Case<R>,
    /// How the case came about.
    pub origin: Origin,
    /// Whether shrinking left no smaller candidate.
    pub minimal: bool,
}

/// How a finding's case came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The case that was running, shrunk.
    Case,
    /// The cases that the session had seen, joined and shrunk: the case alone does not show it.
    History,
    /// The cases that the session had seen, joined, but they did not show it again.
    Unreproduced,
    /// A stored case, as it is.
    Stored,
    /// The cases that the session had seen, joined: there was no time to look into it.
    Unexamined {
        /// Whether something is wrong for sure: neither a clock nor another measurement had a say in it, or it was a clock
        /// in several sessions, or a worker died, be it that somebody killed it.
        certain: bool,
    },
}

impl<R> Finding<R> {
    /// What the operations do that are left in the case's programs, without mere [`MEANS`] where there is more: with
    /// the check, the function and the class it stands for the root cause.
    pub fn effects(&self) -> BTreeSet<&'static str> {
        let programs = self.case.steps.iter().filter_map(|s| s.program.as_ref());
        let all: BTreeSet<_> = programs.flat_map(Program::effects).collect();
        let ends: BTreeSet<_> = all.iter().copied().filter(|e| !MEANS.contains(e)).collect();
        if ends.is_empty() { all } else { ends }
    }

    /// What it means and what to do.
    pub fn advice(&self) -> Advice {
        if self.violation.nature() == Nature::PluginCall && self.case.dispatches() > 1 {
            BEHIND_OTHERS
        } else {
            self.violation.advice()
        }
    }

    /// Findings with equal keys are the same.
    pub fn key(&self) -> String {
        match self.is_about_nothing_else() {
            Some(key) => key,
            None => key_of(&self.violation, &self.effects()),
        }
    }

    /// What it is called, without the number of its key: the check, the function, the class, the function of the plugin that
    /// it is in, and what the operations do. Two findings may have the same words.
    fn words(&self) -> String {
        if let Some(key) = self.is_about_nothing_else() {
            return key;
        }
        let Violation {
            check, function, ..
        } = &self.violation;
        let effects = joined(&self.effects());
        format!("{check}-{function}-{}-{effects}", self.violation.label())
    }

    /// The key of what is told once, whatever it is about: of what did not show again nobody knows what it comes from, nor
    /// which function has to do with it. What was not looked into is no finding yet.
    fn is_about_nothing_else(&self) -> Option<String> {
        // Nor is anything else of what changes all sessions.
        if self.violation.class == OTHER_SESSIONS {
            return Some(format!("{}-{OTHER_SESSIONS}", self.violation.check));
        }
        match self.origin {
            // How a process died says what it died of.
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

    /// A name that the same finding has in every campaign, and no other one: words, and a number of all of its key.
    pub fn name(&self) -> String {
        named(&self.words(), Fingerprint::of_text(&self.key()))
    }
}

impl<R: Vocabulary> Finding<R> {
    /// A name for the finding's file, without an ending: the same words, and a number of its key and of what it was found on.
    /// Findings of other plugins, and of other versions of one, have files of their own, and so has each case that did not show
    /// again what it showed.
    pub fn file_stem(&self, found_on: &Fingerprint) -> String {
        let mut number = found_on.with(&self.key());
        if self.origin == Origin::Unreproduced {
            number = number.with(&self.case.to_json().unwrap_or_default());
        }
        named(&self.words(), number)
    }
}

fn named(words: &str, number: Fingerprint) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<_> = words
        .split(|c| !plain(c))
        .filter(|word| !word.is_empty())
        .collect();
    // All of it is ASCII.
    let words: String = words.join("-").chars().take(NAME_WORDS_MAX).collect();
    format!("{}-{}", words.trim_end_matches('-'), number.short())
}

fn joined(effects: &BTreeSet<&'static str>) -> String {
    let mut effects: Vec<_> = effects.iter().copied().collect();
    // Whatever it is that interrupts the puppet.
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

/// Whether a healthy call failed behind other calls, in a way that is known.
pub(crate) fn is_healthy_call(violation: &Violation) -> bool {
    violation.nature() == Nature::HealthyCall
        && !violation.class.is_empty()
        && violation.class != OTHER_SESSIONS
}
