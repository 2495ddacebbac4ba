//! The finding: what broke, minimised.
//!
//! A discrepancy here is a finding whose case does not show it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::case::Case;
use crate::fingerprint::Fingerprint;
use crate::oracle::{
    Advice, BEHIND_OTHERS, NoCrash, NoPoison, Oracle as _, PluginFault, Violation,
};
use crate::puppet::{HALF_WAY, MEANS, Program};
use crate::wire::{Request, Vocabulary};

/// How many characters of a finding's key its name begins with: one is to be read, and pasted.
const NAME_WORDS_MAX: usize = 80;

/// So many findings are told that differ by a number or a text of the plugin's own, of each check and function.
pub const ALIKE_MAX: usize = 8;

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
        if self.violation.check == PluginFault.name() && self.case.dispatches() > 1 {
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
        match self.origin {
            // How a process died says what it died of.
            Origin::Unreproduced if self.violation.check == NoCrash.name() => {
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

/// What was told. Two findings of one bug are told once, and of the many that a plugin may make up by a number or a text that
/// is its own, so many that there is an end of it, and then all others as one.
#[derive(Clone, Debug, Default)]
pub struct Told {
    keys: HashSet<String>,
    /// How many were told of those that there may be any number of.
    many: HashMap<String, usize>,
    /// The check, function and class of those whose place in the plugin was located.
    located: HashSet<String>,
}

impl Told {
    /// Whether nobody need look at the case of a violation: what was told says the same, without any operation's help.
    pub(crate) fn has(&self, violation: &Violation) -> bool {
        let key = behind_others_key(violation);
        let same_bug = is_healthy_call(violation)
            && KINDS_BEHIND_OTHERS
                .iter()
                .any(|kind| self.keys.contains(&format!("{kind}: {key}")));
        let others = self.others(violation);
        let is_one_of_many =
            others.is_some_and(|others| self.keys.contains(&key_of_plain(&others)));
        // A fault on what hosts send says more than a limit, which may be of the same place.
        let is_a_fault_too = violation.as_no_limit().is_some_and(|fault| {
            self.has_at_a_place(&fault) || self.keys.contains(&key_of_plain(&fault))
        });
        same_bug || is_one_of_many || is_a_fault_too || self.keys.contains(&key_of_plain(violation))
    }

    /// Whether one like it was told whose place in the plugin is known, where that of this one cannot be told.
    pub(crate) fn has_at_a_place(&self, violation: &Violation) -> bool {
        violation.can_be_located() && self.located.contains(&located_key(violation))
    }

    /// Whether a finding was told.
    pub(crate) fn has_finding<R>(&self, finding: &Finding<R>) -> bool {
        self.keys.contains(&finding.key())
    }

    /// The finding to tell: this one, or one that stands for all others of its kind; `None` where it was told. A plugin's
    /// fault that shows only behind other calls, and a healthy call that fails in the same way behind others, are one bug.
    pub(crate) fn tell<R>(&mut self, mut finding: Finding<R>) -> Option<Finding<R>> {
        if finding.origin != Origin::Unreproduced && !self.has_finding(&finding) {
            match self.others(&finding.violation) {
                Some(others) => finding.violation = others,
                None => self.count(&finding.violation),
            }
        }
        let is_new = self.keys.insert(finding.key());
        let violation = &finding.violation;
        if violation
            .site
            .as_ref()
            .is_some_and(|site| site.is_located_later())
        {
            self.located.insert(located_key(violation));
        }
        let of_many = violation.check == PluginFault.name() && finding.case.dispatches() > 1;
        // Two faults are told apart by their own keys.
        let (own, same) = if is_healthy_call(violation) {
            (KINDS_BEHIND_OTHERS[1], &KINDS_BEHIND_OTHERS[..])
        } else {
            (KINDS_BEHIND_OTHERS[0], &KINDS_BEHIND_OTHERS[1..])
        };
        let mut same_bug = false;
        if of_many || is_healthy_call(violation) {
            let key = behind_others_key(violation);
            same_bug = same
                .iter()
                .any(|kind| self.keys.contains(&format!("{kind}: {key}")));
            self.keys.insert(format!("{own}: {key}"));
        }
        (is_new && !same_bug).then_some(finding)
    }

    fn count(&mut self, violation: &Violation) {
        if let Some(others) = violation.others() {
            *self.many.entry(family(violation, others)).or_default() += 1;
        }
    }

    /// What stands for a violation, where there were many of its kind.
    fn others(&self, violation: &Violation) -> Option<Violation> {
        let others = violation.others()?;
        let told = self.many.get(&family(violation, others));
        let is_one_too_many = *told? >= ALIKE_MAX;
        is_one_too_many.then(|| Violation {
            class: others.to_owned(),
            site: None,
            detail: format!(
                "{}; {ALIKE_MAX} others were told, further ones are not told apart",
                violation.detail
            ),
            ..violation.clone()
        })
    }
}

fn located_key(violation: &Violation) -> String {
    format!(
        "{}-{}-{}",
        violation.check, violation.function, violation.class
    )
}

fn family(violation: &Violation, others: &str) -> String {
    format!("{}-{}-{others}", violation.check, violation.function)
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
    violation.check == NoPoison.name() && !violation.class.is_empty()
}

/// What shows only behind other calls: a fault, or the healthy call that it breaks.
const KINDS_BEHIND_OTHERS: [&str; 2] = ["fault behind others", "healthy call behind others"];

/// What these two have in common. Of a healthy call the place is not located.
fn behind_others_key(violation: &Violation) -> String {
    let site = violation.site.as_ref();
    let place = match site.filter(|site| !site.is_located_later()) {
        Some(site) => site.key(),
        None => violation.function.clone(),
    };
    format!("{place} {}", violation.class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Step;
    use crate::host::{Site, SiteFunction, SiteKind};
    use crate::oracle::{NoLimit, PluginLimit};

    fn fault(class: String) -> Finding {
        Finding {
            violation: Violation {
                check: PluginFault.name().to_owned(),
                function: "shape".to_owned(),
                class,
                site: None,
                detail: String::new(),
                measured: false,
            },
            case: Case { steps: Vec::new() },
            origin: Origin::Case,
            minimal: true,
        }
    }

    /// Out of fuel in a function of the plugin.
    fn running_in(check: &str, function: u64) -> Finding {
        let mut finding = fault("out of fuel".to_owned());
        finding.violation.check = check.to_owned();
        finding.violation.site = Some(Box::new(Site {
            kind: SiteKind::Running,
            functions: vec![SiteFunction {
                name: "spend".into(),
                id: function,
            }],
            offset: None,
        }));
        finding
    }

    #[test]
    fn of_endlessly_many_exit_codes_some_are_told_and_all_others_as_one() {
        let mut told = Told::default();
        let mut classes = Vec::new();
        for code in 1..100 {
            let finding = fault(format!("exit code {code}"));
            assert_eq!(told.has(&finding.violation), code as usize > ALIKE_MAX + 1);
            classes.extend(told.tell(finding).map(|finding| finding.violation.class));
        }
        assert_eq!(classes.len(), ALIKE_MAX + 1, "{classes:?}");
        assert_eq!(classes[0], "exit code 1");
        assert_eq!(classes[ALIKE_MAX], "exit code: others");
        // What was told stays told, and other kinds are not many.
        assert!(told.has(&fault("exit code 3".to_owned()).violation));
        let traps = told.tell(fault("trap: unreachable".to_owned()));
        assert_eq!(
            traps.map(|finding| finding.violation.class),
            Some("trap: unreachable".to_owned())
        );
        // Findings that were told once are told the same again.
        let mut again = Told::default();
        let classes_again: Vec<_> = classes
            .iter()
            .filter_map(|class| again.tell(fault(class.clone())))
            .map(|finding| finding.violation.class)
            .collect();
        assert_eq!(classes_again, classes);
    }

    #[test]
    fn a_limit_is_known_where_a_fault_of_its_function_class_and_place_was_told() {
        let mut told = Told::default();
        assert!(told.tell(running_in(PluginFault.name(), 1)).is_some());
        for check in [PluginLimit.name(), NoLimit.name()] {
            assert!(told.has(&running_in(check, 1).violation), "{check}");
            assert!(!told.has(&running_in(check, 2).violation), "{check}");
            let mut nowhere = running_in(check, 2).violation;
            nowhere.site = None;
            assert!(told.has(&nowhere), "{check}");
            nowhere.function = "sign".to_owned();
            assert!(!told.has(&nowhere), "{check}");
        }
    }

    #[test]
    fn two_faults_behind_others_are_two_and_the_healthy_call_that_they_break_is_none() {
        let behind_others = |check: &str, function: u64| {
            let mut finding = running_in(check, function);
            finding.case.steps = vec![Step::healthy(0), Step::healthy(0)];
            finding
        };
        let mut told = Told::default();
        for function in 0..2 {
            let fault = behind_others(PluginFault.name(), function);
            assert!(told.tell(fault.clone()).is_some(), "{function}");
            assert!(told.tell(fault).is_none(), "{function}");
        }
        let healthy = behind_others(NoPoison.name(), 2);
        assert!(told.has(&healthy.violation));
        assert!(told.tell(healthy).is_none());
    }
}
