//! Divides cases into sessions. This depends only on the plan and the index, so the history of a
//! case does not depend on which worker runs it.

use std::ops::Range;

use super::plan::Plan;

/// The number of cases in a long session of a plugin, which shows what the plugin accumulates.
const LONG: u64 = 16 * CASES_PER_SESSION;

/// Sixteen sessions of the usual length, then a long one.
const ROUND: u64 = 2 * LONG;

/// The number of these sessions.
const SESSIONS_OF_A_ROUND: u64 = LONG / CASES_PER_SESSION + 1;

/// The division of cases into sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sessions {
    /// Whether some sessions are long. The puppet's are not, because it keeps nothing. The first
    /// ones of a plugin are not either, because what is found at the end of a long session has a
    /// long history.
    pub(super) long: bool,
}

impl Sessions {
    /// Returns the division for a plan.
    pub(super) fn of_plan(plan: &Plan) -> Self {
        Self {
            long: plan.generator.programs.is_none(),
        }
    }

    /// Returns the cases of the session that contains this one.
    pub(super) fn session_of(self, case: u64) -> Range<u64> {
        let within = case % ROUND;
        let (from, length) = if self.long && within >= LONG {
            (case - within + LONG, LONG)
        } else {
            (case - within % CASES_PER_SESSION, CASES_PER_SESSION)
        };
        from..from.saturating_add(length)
    }

    /// Returns the number of sessions before that of this case.
    pub(super) fn before(self, case: u64) -> u64 {
        let first = self.session_of(case).start;
        if self.long {
            let of_round = (first % ROUND) / CASES_PER_SESSION;
            first / ROUND * SESSIONS_OF_A_ROUND + of_round
        } else {
            first / CASES_PER_SESSION
        }
    }
}

impl Plan {
    /// Returns the cases of the session that contains this one. Some sessions of a plugin are long,
    /// but none of the puppet.
    pub fn session_of(&self, case: u64) -> Range<u64> {
        Sessions::of_plan(self).session_of(case)
    }

    /// Returns the number of sessions before that of this case.
    pub(crate) fn sessions_before(&self, case: u64) -> u64 {
        Sessions::of_plan(self).before(case)
    }
}

/// The number of cases in a session. Some sessions of a plugin have more: see [`Plan::session_of`].
pub const CASES_PER_SESSION: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    /// Returns the sessions of the first cases of a plan.
    fn sessions(plan: &Plan, cases: u64) -> Vec<Range<u64>> {
        let mut next = 0;
        let sessions = std::iter::from_fn(|| {
            let session = plan.session_of(next);
            assert_eq!(session.start, next, "one begins where the last ended");
            next = session.end;
            (session.start < cases).then_some(session)
        });
        sessions.collect()
    }

    #[test]
    fn some_sessions_of_a_plugin_live_through_many_cases_and_the_first_ones_do_not() {
        let plan = Plan::plugin::<Request>(1, 0);
        let sessions = sessions(&plan, 3 * ROUND);
        for (place, session) in sessions.iter().enumerate() {
            for case in [session.start, session.end - 1] {
                assert_eq!(plan.session_of(case), *session);
                assert_eq!(plan.sessions_before(case), place as u64);
            }
        }
        let lengths: Vec<_> = sessions.iter().map(|of| of.end - of.start).collect();
        assert_eq!(lengths[..16], [64; 16]);
        assert_eq!(lengths.iter().filter(|length| **length == 1024).count(), 3);
    }

    #[test]
    fn sessions_of_the_puppet_are_as_short_as_they_ever_were() {
        let plan = Plan::puppet::<Request>(1, 0);
        let sessions = sessions(&plan, ROUND);
        assert!(
            sessions
                .iter()
                .all(|of| of.end - of.start == CASES_PER_SESSION)
        );
        assert_eq!(
            plan.sessions_before(ROUND - 1),
            ROUND / CASES_PER_SESSION - 1
        );
    }
}
