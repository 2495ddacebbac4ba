//! Sessions: which cases share one. That depends on the plan and the case's index alone, so that what a case meets does
//! not depend on who runs it.

use std::ops::Range;

use super::{CASES_PER_SESSION, Plan};

/// How many cases a long session of a plugin lives through: what it keeps adds up.
const LONG: u64 = 16 * CASES_PER_SESSION;

/// Sixteen sessions of the usual length, then a long one.
const ROUND: u64 = 2 * LONG;

/// How many sessions that are.
const SESSIONS_OF_A_ROUND: u64 = LONG / CASES_PER_SESSION + 1;

impl Plan {
    /// The cases of the session that has this one. The puppet keeps nothing, so that its sessions are never long; nor are
    /// the first ones of a plugin, for what is found at the end of one has a long history.
    pub fn session_of(&self, case: u64) -> Range<u64> {
        let within = case % ROUND;
        let (from, length) = if self.menu.programs.is_none() && within >= LONG {
            (case - within + LONG, LONG)
        } else {
            (case - within % CASES_PER_SESSION, CASES_PER_SESSION)
        };
        from..from.saturating_add(length)
    }

    /// How many sessions come before that of this case.
    pub(super) fn sessions_before(&self, case: u64) -> u64 {
        let first = self.session_of(case).start;
        match self.menu.programs {
            Some(_) => first / CASES_PER_SESSION,
            None => {
                let of_round = (first % ROUND) / CASES_PER_SESSION;
                first / ROUND * SESSIONS_OF_A_ROUND + of_round
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    /// The first cases of a plan, session by session.
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
