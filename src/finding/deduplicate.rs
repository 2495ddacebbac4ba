//! Deduplication: each bug is reported once.

use std::collections::{HashMap, HashSet};

use super::{Finding, Origin, is_healthy_call, key_of_plain};
use crate::check::{Nature, Violation};

/// The most findings of each check and function that differ only in a number or a text that the
/// plugin chose.
pub const ALIKE_MAX: usize = 8;

/// The findings that were reported. Two findings of one bug are reported once. A plugin may produce
/// any number of findings that differ in a number or a text; after [`ALIKE_MAX`] of them, all
/// others are reported as one.
#[derive(Clone, Debug, Default)]
pub struct KnownFindings {
    keys: HashSet<String>,
    /// The number of reported findings of each kind that may have any number.
    many: HashMap<String, usize>,
    /// The check, function and class of findings with a located site.
    located: HashSet<String>,
}

impl KnownFindings {
    /// Returns whether a reported finding covers the violation, so that its case need not be
    /// examined.
    pub(crate) fn has(&self, violation: &Violation) -> bool {
        let key = after_other_calls_key(violation);
        let same_bug = is_healthy_call(violation)
            && KINDS_AFTER_OTHER_CALLS
                .iter()
                .any(|kind| self.keys.contains(&format!("{kind}: {key}")));
        let catch_all = self.catch_all(violation);
        let is_one_of_many =
            catch_all.is_some_and(|violation| self.keys.contains(&key_of_plain(&violation)));
        // A fault on requests that hosts send outranks a limit, even at the same site.
        let is_a_fault_too = violation.on_usual_requests().is_some_and(|fault| {
            self.has_at_a_place(&fault) || self.keys.contains(&key_of_plain(&fault))
        });
        same_bug || is_one_of_many || is_a_fault_too || self.keys.contains(&key_of_plain(violation))
    }

    /// Returns whether a finding like it was reported with a site, if the site of this one is
    /// unknown.
    pub(crate) fn has_at_a_place(&self, violation: &Violation) -> bool {
        violation.can_be_located() && self.located.contains(&located_key(violation))
    }

    /// Returns whether a finding was reported.
    pub(crate) fn has_finding<R>(&self, finding: &Finding<R>) -> bool {
        self.keys.contains(&finding.key())
    }

    /// Returns the finding to report: this one, or one that stands for all others of its kind;
    /// `None` if it was reported. A plugin's fault that shows only after other calls, and a healthy
    /// call that fails in the same way after other calls, are one bug.
    pub(crate) fn insert<R>(&mut self, mut finding: Finding<R>) -> Option<Finding<R>> {
        if finding.origin != Origin::Unreproduced && !self.has_finding(&finding) {
            match self.catch_all(&finding.violation) {
                Some(catch_all) => finding.violation = catch_all,
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
        let of_many = violation.nature() == Nature::PluginCall && finding.case.dispatches() > 1;
        // Two faults are distinguished by their own keys.
        let (own, same) = if is_healthy_call(violation) {
            (KINDS_AFTER_OTHER_CALLS[1], &KINDS_AFTER_OTHER_CALLS[..])
        } else {
            (KINDS_AFTER_OTHER_CALLS[0], &KINDS_AFTER_OTHER_CALLS[1..])
        };
        let mut same_bug = false;
        if of_many || is_healthy_call(violation) {
            let key = after_other_calls_key(violation);
            same_bug = same
                .iter()
                .any(|kind| self.keys.contains(&format!("{kind}: {key}")));
            self.keys.insert(format!("{own}: {key}"));
        }
        (is_new && !same_bug).then_some(finding)
    }

    fn count(&mut self, violation: &Violation) {
        if let Some(catch_all) = violation.catch_all_class() {
            *self.many.entry(family(violation, catch_all)).or_default() += 1;
        }
    }

    /// Returns the violation that stands for this one, if there were many of its kind.
    fn catch_all(&self, violation: &Violation) -> Option<Violation> {
        let class = violation.catch_all_class()?;
        let told = self.many.get(&family(violation, class));
        let is_one_too_many = *told? >= ALIKE_MAX;
        is_one_too_many.then(|| Violation {
            class: class.to_owned(),
            site: None,
            detail: format!(
                "{}; {ALIKE_MAX} others were reported, further ones are reported as one",
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

fn family(violation: &Violation, catch_all: &str) -> String {
    format!("{}-{}-{catch_all}", violation.check, violation.function)
}

/// The kinds of bugs that show only after other calls: a fault, or the healthy call that it breaks.
const KINDS_AFTER_OTHER_CALLS: [&str; 2] =
    ["fault after other calls", "healthy call after other calls"];

/// Returns the part of the key that both kinds share. The site of a healthy call is not located.
fn after_other_calls_key(violation: &Violation) -> String {
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
    use crate::case::{Case, Step};
    use crate::check::{Check, CheckRef, NoLimit, NoPoison, PluginFault, PluginLimit};
    use crate::host::{Site, SiteFunction, SiteKind};

    fn fault(class: String) -> Finding {
        Finding {
            violation: Violation {
                check: CheckRef::new(&PluginFault),
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

    /// Running out of fuel in a function of the plugin.
    fn running_in(check: &'static dyn Check, function: u64) -> Finding {
        let mut finding = fault("out of fuel".to_owned());
        finding.violation.check = CheckRef::new(check);
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
        let mut reported = KnownFindings::default();
        let mut classes = Vec::new();
        for code in 1..100 {
            let finding = fault(format!("exit code {code}"));
            assert_eq!(
                reported.has(&finding.violation),
                code as usize > ALIKE_MAX + 1
            );
            classes.extend(
                reported
                    .insert(finding)
                    .map(|finding| finding.violation.class),
            );
        }
        assert_eq!(classes.len(), ALIKE_MAX + 1, "{classes:?}");
        assert_eq!(classes[0], "exit code 1");
        assert_eq!(classes[ALIKE_MAX], "exit code: others");
        // Reported findings stay known, and other kinds are counted separately.
        assert!(reported.has(&fault("exit code 3".to_owned()).violation));
        let traps = reported.insert(fault("trap: unreachable".to_owned()));
        assert_eq!(
            traps.map(|finding| finding.violation.class),
            Some("trap: unreachable".to_owned())
        );
        // Findings that were reported before are reported again in the same way.
        let mut again = KnownFindings::default();
        let classes_again: Vec<_> = classes
            .iter()
            .filter_map(|class| again.insert(fault(class.clone())))
            .map(|finding| finding.violation.class)
            .collect();
        assert_eq!(classes_again, classes);
    }

    #[test]
    fn a_limit_is_known_where_a_fault_of_its_function_class_and_place_was_told() {
        let mut reported = KnownFindings::default();
        assert!(reported.insert(running_in(&PluginFault, 1)).is_some());
        let limits: [&dyn Check; 2] = [&PluginLimit, &NoLimit];
        for check in limits {
            assert!(reported.has(&running_in(check, 1).violation), "{check:?}");
            assert!(!reported.has(&running_in(check, 2).violation), "{check:?}");
            let mut nowhere = running_in(check, 2).violation;
            nowhere.site = None;
            assert!(reported.has(&nowhere), "{check:?}");
            nowhere.function = "sign".to_owned();
            assert!(!reported.has(&nowhere), "{check:?}");
        }
    }

    #[test]
    fn two_faults_after_other_calls_are_two_and_the_healthy_call_that_they_break_is_none() {
        let after_other_calls = |check: &'static dyn Check, function: u64| {
            let mut finding = running_in(check, function);
            finding.case.steps = vec![Step::healthy(0), Step::healthy(0)];
            finding
        };
        let mut reported = KnownFindings::default();
        for function in 0..2 {
            let fault = after_other_calls(&PluginFault, function);
            assert!(reported.insert(fault.clone()).is_some(), "{function}");
            assert!(reported.insert(fault).is_none(), "{function}");
        }
        let healthy = after_other_calls(&NoPoison, 2);
        assert!(reported.has(&healthy.violation));
        assert!(reported.insert(healthy).is_none());
    }
}
