//! All checks.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::agrees_with_reference::AgreesWithReference;
use super::deterministic::Deterministic;
use super::fallback_policy::FallbackPolicy;
use super::linear_cost::LinearCost;
use super::no_carryover::NoCarryover;
use super::no_crash::NoCrash;
use super::no_drift::NoDrift;
use super::no_leak::NoLeak;
use super::no_panic::NoPanic;
use super::no_poison::NoPoison;
use super::no_refusal::NoRefusal;
use super::no_retry::NoRetry;
use super::plugin_fault::PluginFault;
use super::plugin_limit::{NoLimit, PluginLimit};
use super::request_fidelity::RequestFidelity;
use super::sound_ok::SoundOk;
use super::within_fuel::WithinFuel;
use super::within_memory::WithinMemory;
use super::within_wall::WithinWall;
use super::{Check, CheckRef, Nature, Violation};
use crate::record::CaseRecord;

/// The default checks: those of the host, and those of the plugin, which do not apply to the
/// puppet.
pub const CHECKS: &[&dyn Check] = &[
    &NoCrash,
    &NoPanic,
    &FallbackPolicy,
    &SoundOk,
    &RequestFidelity,
    &NoPoison,
    &NoRetry,
    &WithinFuel,
    &WithinWall,
    &WithinMemory,
    &NoLeak,
    &Deterministic,
    &AgreesWithReference,
    &PluginFault,
    &PluginLimit,
    &LinearCost,
    &NoDrift,
    &NoCarryover,
];

/// The checks that run only on request.
pub const STRICT_CHECKS: &[&dyn Check] = &[&NoLimit, &NoRefusal];

/// Returns [`CHECKS`], adjusted if limits or refusals are denied.
pub fn checks(deny_limits: bool, deny_refusals: bool) -> Vec<&'static dyn Check> {
    let mut checks = CHECKS.to_vec();
    if deny_limits {
        checks.retain(|check| check.nature() != Nature::Limit);
        checks.push(&NoLimit);
    }
    if deny_refusals {
        checks.push(&NoRefusal);
    }
    checks
}

/// Returns all checks, including those that run only on request.
pub fn all_checks() -> impl Iterator<Item = &'static dyn Check> {
    CHECKS.iter().chain(STRICT_CHECKS).copied()
}

/// Returns the check with this name.
pub fn check_named(name: &str) -> Option<&'static dyn Check> {
    all_checks().find(|check| check.name() == name)
}

/// Returns the violations of all checks in a record, in the order of the checks.
pub fn check_all(checks: &[&dyn Check], record: &CaseRecord) -> Vec<Violation> {
    checks
        .iter()
        .flat_map(|check| check.check(record))
        .collect()
}

// This is here because all checks are known here, so that a check need not know the others.
impl<'de> Deserialize<'de> for CheckRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || D::Error::custom(format_args!("there is no check {name}"));
        check_named(&name).map(CheckRef::new).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_written_as_its_name_and_read_back() {
        for check in all_checks().map(CheckRef::new) {
            let json = serde_json::to_string(&check).expect("it is a text");
            assert_eq!(json, format!("\"{}\"", check.name()));
            let read: CheckRef = serde_json::from_str(&json).expect("it is a check");
            assert_eq!(read, check);
        }
        assert!(serde_json::from_str::<CheckRef>("\"no_such_check\"").is_err());
    }
}
