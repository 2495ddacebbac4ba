//! Shrinking of texts, with few tries for a text of any length.
//!
//! A text becomes a run of one letter if that is accepted, and bisection finds the length of the
//! run. From any other text, ever smaller parts are removed.

use std::ops::{ControlFlow, Range};

/// The fewest characters of a text that is tried as a run of one letter.
const LONG_CHARS: usize = 16;

/// The most positions of a text at which the removal of a part is tried.
const PARTS_MAX: usize = 64;

/// The longest unit of a run, in characters.
const UNIT_MAX_CHARS: usize = 4;

/// A callback that returns whether a text is accepted, or ends the search.
pub(super) type Keep<'k> = &'k mut dyn FnMut(&str) -> ControlFlow<(), bool>;

/// Makes the text shorter and simpler as long as `keep` accepts it. The result is the last text
/// that `keep` accepted.
pub(super) fn shorten(text: &str, numbers: Numbers, keep: Keep<'_>) -> ControlFlow<()> {
    let mut search = Search {
        best: text.chars().collect(),
        keep,
    };
    if text.is_empty() || search.accepts(Vec::new())? {
        return ControlFlow::Continue(());
    }
    search.letters()?;
    loop {
        let run = longest_run(&search.best);
        let is_whole = run
            .as_ref()
            .is_some_and(|run| run.range.len() == search.best.len());
        let mut smaller = match run {
            Some(run) => search.shorter_run(&run, numbers)?,
            None => false,
        };
        // Parts of the run were just tried.
        if is_whole {
            return ControlFlow::Continue(());
        }
        smaller |= search.without_parts()?;
        if !smaller {
            return ControlFlow::Continue(());
        }
    }
}

struct Search<'k> {
    best: Vec<char>,
    keep: Keep<'k>,
}

impl Search<'_> {
    fn accepts(&mut self, candidate: Vec<char>) -> ControlFlow<(), bool> {
        if candidate == self.best {
            return ControlFlow::Continue(false);
        }
        let accepted = (self.keep)(&candidate.iter().collect::<String>())?;
        if accepted {
            self.best = candidate;
        }
        ControlFlow::Continue(accepted)
    }

    /// Tries a text of equal length, or of as many bytes, that consists of one letter, plain or in
    /// base64; then of the first and of the most frequent character.
    fn letters(&mut self) -> ControlFlow<()> {
        let chars = self.best.len();
        let bytes = self.best.iter().map(|c| c.len_utf8()).sum();
        if chars < LONG_CHARS || self.best.iter().all(|c| *c == 'a') {
            return ControlFlow::Continue(());
        }
        let of = |unit: &str, length: usize| -> Vec<char> {
            let unit: Vec<char> = unit.chars().collect();
            unit.repeat(length / unit.len())
        };
        let mut candidates = vec![of("a", chars)];
        if bytes != chars {
            candidates.push(of("a", bytes));
        }
        // Three letters in base64.
        candidates.push(of("YWFh", chars));
        let (first, most) = (self.best[0], most_often(&self.best));
        candidates.extend([first, most].map(|c| vec![c; chars]));
        candidates.dedup();
        for candidate in candidates {
            // The text is already as simple as this candidate.
            if candidate == self.best || self.accepts(candidate)? {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    /// Shortens a run to the fewest repetitions that are accepted.
    fn shorter_run(&mut self, run: &Run, numbers: Numbers) -> ControlFlow<(), bool> {
        let Run { range, unit } = run;
        if self.accepts(self.with_run(range, 0))? {
            return ControlFlow::Continue(true);
        }
        if numbers == Numbers::AsTheyAre {
            return ControlFlow::Continue(false);
        }
        let before = self.best.len();
        // In characters: a length that is rejected, and one that is accepted.
        let (mut too_few, mut enough) = (0, range.len());
        // Base64 comes in groups of four characters.
        for step in [unit * 4usize.div_ceil(*unit), *unit] {
            // Removes the incomplete group at the end of the run first, or keeps it.
            let whole = enough / step * step;
            if whole != enough && !self.cut(range, &mut enough, whole)? {
                continue;
            }
            while enough - too_few > step {
                let middle = too_few + ((enough - too_few) / step / 2).max(1) * step;
                if !self.cut(range, &mut enough, middle)? {
                    too_few = middle;
                }
            }
        }
        ControlFlow::Continue(self.best.len() < before)
    }

    /// Cuts the run that begins with this range, and now has `length` characters, to `fewer`
    /// characters.
    fn cut(
        &mut self,
        range: &Range<usize>,
        length: &mut usize,
        fewer: usize,
    ) -> ControlFlow<(), bool> {
        let run = range.start..range.start + *length;
        let accepted = self.accepts(self.with_run(&run, fewer))?;
        if accepted {
            *length = fewer;
        }
        ControlFlow::Continue(accepted)
    }

    /// Returns the text with the run in this range cut to `length` characters.
    fn with_run(&self, range: &Range<usize>, length: usize) -> Vec<char> {
        [&self.best[..range.start + length], &self.best[range.end..]].concat()
    }

    /// Removes half of the text, a quarter, and so on, down to single characters: of all of a short
    /// text, or of the beginning and the end of a long one.
    fn without_parts(&mut self) -> ControlFlow<(), bool> {
        let before = self.best.len();
        let mut part = before / 2;
        while part > 1 && part * PARTS_MAX >= self.best.len() {
            self.without_each(0, part, PARTS_MAX)?;
            part /= 2;
        }
        if self.best.len() <= PARTS_MAX {
            self.without_each(0, 1, PARTS_MAX)?;
        } else {
            self.without_each(0, 1, PARTS_MAX / 2)?;
            let end = self.best.len().saturating_sub(PARTS_MAX / 2);
            self.without_each(end, 1, PARTS_MAX / 2)?;
        }
        ControlFlow::Continue(self.best.len() < before)
    }

    /// Removes each part from `start` on, with at most `tries` candidates. The text does not become
    /// empty.
    fn without_each(&mut self, mut start: usize, part: usize, tries: usize) -> ControlFlow<()> {
        for _ in 0..tries {
            let end = (start + part).min(self.best.len());
            if start >= end || end - start == self.best.len() {
                break;
            }
            let without = [&self.best[..start], &self.best[end..]].concat();
            if !self.accepts(without)? {
                start += part;
            }
        }
        ControlFlow::Continue(())
    }
}

fn most_often(chars: &[char]) -> char {
    let mut sorted = chars.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|one, next| one == next);
    runs.max_by_key(|run| run.len()).map_or('a', |run| run[0])
}

/// A repetition of a unit.
struct Run {
    range: Range<usize>,
    /// The length of the unit, in characters.
    unit: usize,
}

/// Returns the longest run, with the shortest unit, if it has [`LONG_CHARS`] characters.
fn longest_run(chars: &[char]) -> Option<Run> {
    let mut longest: Option<Run> = None;
    for unit in 1..=UNIT_MAX_CHARS {
        let mut start = 0;
        for end in unit..=chars.len() {
            if end < chars.len() && chars[end] == chars[end - unit] {
                continue;
            }
            let length = (end - start) / unit * unit;
            let most = longest
                .as_ref()
                .map_or(LONG_CHARS - 1, |run| run.range.len());
            if length > most {
                longest = Some(Run {
                    range: start..start + length,
                    unit,
                });
            }
            start = (end + 1).saturating_sub(unit);
        }
    }
    longest
}

/// The way to shrink a number that cannot have its target value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// The least number that is accepted.
    Least,
    /// Zero, or the number as it is. At the least accepted number, a measurement may be flaky.
    AsTheyAre,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the shortened text and the number of tries.
    fn shortened(text: &str, keeps: impl Fn(&str) -> bool) -> (String, usize) {
        let (mut best, mut tries) = (text.to_owned(), 0);
        let _ = shorten(text, Numbers::Least, &mut |candidate| {
            tries += 1;
            let kept = keeps(candidate);
            if kept {
                best = candidate.to_owned();
            }
            ControlFlow::Continue(kept)
        });
        (best, tries)
    }

    #[test]
    fn a_long_text_is_shortened_in_few_dozens_of_tries() {
        let euros = "€".repeat(1_700);
        let (text, tries) = shortened(&euros, |text| text.matches('€').count() >= 1_234);
        assert_eq!(text, "€".repeat(1_234));
        assert!(tries <= 60, "{tries}");
        let (text, tries) = shortened(&euros, |text| text.len() >= 1_000);
        assert_eq!(text, "a".repeat(1_000));
        assert!(tries <= 60, "{tries}");
    }

    #[test]
    fn a_run_inside_of_a_text_is_shortened_too() {
        let text = format!("key={};end", "\"\\".repeat(2_500));
        let shows = |text: &str| text.starts_with("key=") && text.matches("\"\\").count() >= 777;
        let (text, tries) = shortened(&text, shows);
        assert_eq!(text, format!("key={}", "\"\\".repeat(777)));
        assert!(tries <= 600, "{tries}");
    }

    #[test]
    fn base64_is_shortened_in_fours() {
        let zeros = "A".repeat(15_020);
        let shows = |text: &str| {
            text.len().is_multiple_of(4) && text.len() >= 10_000 && text.starts_with("AA")
        };
        let (text, tries) = shortened(&zeros, shows);
        assert_eq!(text, "A".repeat(10_000));
        assert!(tries <= 120, "{tries}");
    }

    #[test]
    fn a_text_that_cannot_be_shortened_takes_few_tries() {
        let mixed: String = (0..5_000u32)
            .map(|n| char::from(b'!' + (n * n % 89) as u8))
            .collect();
        let (text, tries) = shortened(&mixed, |text| text == mixed);
        assert_eq!(text, mixed);
        assert!(tries <= 300, "{tries}");
    }
}
