//! The recursions of a module: the cycles in its call graph.
//!
//! Bugs in this module look like one recursion that is reported as two.

use petgraph::Graph;
use petgraph::algo::kosaraju_scc;

/// The most functions that count as one recursion. A longer cycle is half of a program; the
/// functions on the stack say more.
const FUNCTIONS_MAX: usize = 256;

/// Returns the cycles of a call graph, given as pairs of caller and callee. A function that only
/// calls itself is in none.
pub(crate) fn find(mut calls: Vec<(u32, u32)>) -> impl Iterator<Item = Vec<u32>> {
    calls.sort_unstable();
    calls.dedup();
    // Not Tarjan's algorithm, which recurses: a module may be one long chain.
    let cycles = kosaraju_scc(&Graph::<(), ()>::from_edges(calls));
    let several = cycles
        .into_iter()
        .filter(|cycle| (2..=FUNCTIONS_MAX).contains(&cycle.len()));
    several.map(|cycle| {
        let functions = cycle.into_iter().map(|node| node.index() as u32);
        functions.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_call_each_other_are_one_cycle_whichever_way_they_do() {
        let calls = vec![
            (1, 2),
            (2, 1),
            (1, 3),
            (3, 1),
            (4, 4),
            (5, 6),
            (6, 7),
            (7, 5),
            (7, 1),
        ];
        let mut cycles: Vec<_> = find(calls).collect();
        cycles.iter_mut().for_each(|cycle| cycle.sort_unstable());
        cycles.sort_unstable();
        assert_eq!(cycles, [vec![1, 2, 3], vec![5, 6, 7]]);
    }

    #[test]
    fn a_chain_of_any_length_is_none_and_a_long_cycle_is_no_recursion_of_its_own() {
        let chain = (0..100_000).map(|function| (function, function + 1));
        assert_eq!(find(chain.collect()).count(), 0);
        let cycle = (0..1_000).map(|function| (function, (function + 1) % 1_000));
        assert_eq!(find(cycle.collect()).count(), 0);
    }
}
