//! `no_crash`: no plugin ends the process. A violation takes down every other plugin and request with it.

use super::{Check, CheckRef, Nature, Violation};
use crate::case::Depth;
use crate::record::CaseRecord;

/// Holds when the process that ran the case lived: no signal, no abort, no end for want of memory, no silence.
/// It takes a [worker](crate::worker::Workers) to find anything.
#[derive(Debug)]
pub struct NoCrash;

impl Check for NoCrash {
    fn name(&self) -> &'static str {
        "no_crash"
    }

    fn nature(&self) -> Nature {
        Nature::Death
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let Some(death) = &record.death else {
            return Vec::new();
        };
        // The name without its version, as of all violations.
        let function = death.function.as_deref().unwrap_or("open");
        let function = function
            .rsplit_once("_v")
            .map_or(function, |(name, _)| name);
        vec![Violation {
            check: CheckRef::new(&NoCrash),
            function: function.to_owned(),
            class: death.manner.clone(),
            detail: death.to_string(),
            site: None,
            measured: false,
        }]
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}
