//! The finding: what broke, minimised.
//!
//! A discrepancy here is a finding whose case does not show it.

use std::collections::{BTreeSet, HashSet};

use crate::case::Case;
use crate::fingerprint::Fingerprint;
use crate::oracle::{Advice, BEHIND_OTHERS, NoPoison, Oracle as _, PluginFault, Violation};
use crate::puppet::{HALF_WAY, MEANS, Program};
use crate::wire::Request;

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
        /// Whether something is wrong for sure: neither a clock nor another measurement had a say in it.
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
        match ends.is_empty() {
            true => all,
            false => ends,
        }
    }

    /// What it means and what to do.
    pub fn advice(&self) -> Advice {
        match self.violation.check == PluginFault.name() && self.case.dispatches() > 1 {
            true => BEHIND_OTHERS,
            false => self.violation.advice(),
        }
    }

    /// Findings with equal keys are the same.
    pub fn key(&self) -> String {
        // Of what did not show again nobody knows what it comes from, nor which function has to do with it.
        if self.origin == Origin::Unreproduced {
            return format!("{}-unreproduced", self.violation.check);
        }
        if let Origin::Unexamined { .. } = self.origin {
            let key = Self::key_of(&self.violation, &BTreeSet::new());
            return format!("{key}-unexamined");
        }
        Self::key_of(&self.violation, &self.effects())
    }

    /// Whether it is none of what was told before; it is from now on. A plugin's fault that shows only behind other calls,
    /// and a healthy call that fails in the same way behind others, are one bug.
    pub(crate) fn is_new(&self, told: &mut HashSet<String>) -> bool {
        let is_new = told.insert(self.key());
        let of_many = self.violation.check == PluginFault.name() && self.case.dispatches() > 1;
        let behind_others = of_many || is_healthy_call(&self.violation);
        let same_bug = behind_others && !told.insert(behind_others_key(&self.violation));
        is_new && !same_bug
    }

    /// Whether nobody need look at the case of a violation: what was told says the same, without any operation's help.
    pub(crate) fn is_told(violation: &Violation, told: &HashSet<String>) -> bool {
        let same_bug = is_healthy_call(violation) && told.contains(&behind_others_key(violation));
        same_bug || told.contains(&Self::key_of(violation, &BTreeSet::new()))
    }

    pub(crate) fn key_of(violation: &Violation, effects: &BTreeSet<&'static str>) -> String {
        let (check, function, class) = violation.key();
        let mut effects: Vec<_> = effects.iter().copied().collect();
        // Whatever it is that interrupts the puppet.
        if effects.contains(&HALF_WAY) {
            effects = vec![HALF_WAY];
        }
        format!("{check}-{function}-{class}-{}", effects.join("-"))
    }

    /// A name that the same finding has in every campaign, and no other one: the words of its key, and a number of all
    /// of it.
    pub fn name(&self) -> String {
        let key = self.key();
        named(&key, Fingerprint::of_text(&key))
    }

    /// A name for the finding's file, without an ending: the words of its key, and a number of all of it and of what it
    /// was found on. Findings of other plugins, and of other versions of one, have files of their own.
    pub fn file_stem(&self, found_on: &Fingerprint) -> String {
        let key = self.key();
        named(&key, found_on.with(&key))
    }
}

fn named(key: &str, number: Fingerprint) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<_> = key
        .split(|c| !plain(c))
        .filter(|word| !word.is_empty())
        .collect();
    // All of it is ASCII.
    let words: String = words.join("-").chars().take(NAME_WORDS_MAX).collect();
    format!("{}-{}", words.trim_end_matches('-'), number.short())
}

/// Whether a healthy call failed behind other calls, in a way that is known.
pub(crate) fn is_healthy_call(violation: &Violation) -> bool {
    violation.check == NoPoison.name() && !violation.class.is_empty()
}

fn behind_others_key(violation: &Violation) -> String {
    format!("behind others: {} {}", violation.function, violation.class)
}
