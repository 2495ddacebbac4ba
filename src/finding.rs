//! The finding: what broke, minimised.
//!
//! A discrepancy here is a finding whose case does not show it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hasher as _;

use fnv::FnvHasher;

use crate::case::Case;
use crate::oracle::{Advice, BEHIND_OTHERS, NoPoison, Oracle as _, PluginFault, Violation};
use crate::puppet::{HALF_WAY, MEANS, Program};
use crate::wire::Request;

/// The longest name of a finding's file, in characters: file systems have a limit.
const FILE_STEM_MAX: usize = 200;

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
        match self.violation.check == PluginFault.name() && self.case.steps.len() > 1 {
            true => BEHIND_OTHERS,
            false => self.violation.advice(),
        }
    }

    /// Findings with equal keys are the same.
    pub fn key(&self) -> String {
        match self.is_about_nothing_else() {
            Some(key) => key,
            None => key_of(&self.violation, &self.effects()),
        }
    }

    /// The check, the function, the class, the function of the plugin that it is in, and what the operations do: what it is
    /// called. Two findings may have one name.
    pub fn name(&self) -> String {
        if let Some(key) = self.is_about_nothing_else() {
            return key;
        }
        let Violation {
            check, function, ..
        } = &self.violation;
        let effects = joined(&self.effects());
        format!("{check}-{function}-{}-{effects}", self.violation.label())
    }

    /// The key of what did not show again: nobody knows what it comes from, nor which function has to do with it.
    fn is_about_nothing_else(&self) -> Option<String> {
        let is_unreproduced = self.origin == Origin::Unreproduced;
        is_unreproduced.then(|| format!("{}-unreproduced", self.violation.check))
    }

    /// A name for the finding's file, without an ending: the words of its name, and where these do not say all of its key,
    /// for another has the same, a number that is the key's own.
    pub fn file_stem(&self) -> String {
        let name = self.name();
        let key = self.key();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = name.split(|c| !plain(c)).filter(|word| !word.is_empty());
        let stem = words.collect::<Vec<_>>().join("-");
        let between = name.replace(": ", "-");
        if key == name
            && stem.len() <= FILE_STEM_MAX
            && between.chars().all(|c| plain(c) || " -".contains(c))
        {
            return stem;
        }
        let mut number = FnvHasher::default();
        number.write(key.as_bytes());
        // All of it is ASCII.
        let stem: String = stem.chars().take(FILE_STEM_MAX).collect();
        format!("{stem}-{:08x}", number.finish() as u32)
    }
}

/// What was told. Two findings of one bug are told once, and of the many that a plugin may make up by a number or a text that
/// is its own, so many that there is an end of it, and then all others as one.
#[derive(Clone, Debug, Default)]
pub struct Told {
    keys: HashSet<String>,
    /// How many were told of those that there may be any number of.
    many: HashMap<String, usize>,
}

impl Told {
    /// Whether nobody need look at the case of a violation: what was told says the same, without any operation's help.
    pub(crate) fn has(&self, violation: &Violation) -> bool {
        let same_bug =
            is_healthy_call(violation) && self.keys.contains(&behind_others_key(violation));
        let others = self.others(violation);
        let is_one_of_many =
            others.is_some_and(|others| self.keys.contains(&key_of_plain(&others)));
        same_bug || is_one_of_many || self.keys.contains(&key_of_plain(violation))
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
        let of_many = violation.check == PluginFault.name() && finding.case.steps.len() > 1;
        let behind_others = of_many || is_healthy_call(violation);
        let same_bug = behind_others && !self.keys.insert(behind_others_key(violation));
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

/// What a fault and the healthy call that it breaks have in common. Of a healthy call the place is not located.
fn behind_others_key(violation: &Violation) -> String {
    let site = violation.site.as_ref();
    let place = match site.filter(|site| !site.is_located_later()) {
        Some(site) => site.key(),
        None => violation.function.clone(),
    };
    format!("behind others: {place} {}", violation.class)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
