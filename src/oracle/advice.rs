//! What a violation means to whoever reads of it, and what to do.

use serde::Serialize;

use super::Violation;
use crate::host::failure::UNDECODABLE;

/// A violation in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means.
    pub explanation: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plugin cannot do what no host asks of it: a limit, and no failure.
    Limit,
    /// A request is answered worse than it could be, or one day will be.
    Warning,
    /// The plugin fails a request that it should answer, or answers it wrongly.
    Error,
    /// The host breaks its promise: whatever runs on it is in danger.
    Critical,
}

/// The checks that are not about the plugin, but about the host that runs it.
const OF_THE_HOST: Advice = Advice {
    explanation: "The host did not keep its promise to the plugin's caller.",
    advice: "This is the host's fault, whatever the plugin does: tell its maintainers, with the case.",
};

/// The faults of a plugin, by what their class begins with.
const OF_THE_PLUGIN: [(&str, Advice); 15] = [
    (
        "trap: unreachable",
        Advice {
            explanation: "The plugin panicked, aborted or failed an assertion.",
            advice: "Answer the request, or refuse it with an error: the replay says in which functions it was.",
        },
    ),
    (
        "trap: stack overflow",
        Advice {
            explanation: "The plugin called itself too deep.",
            advice: "Bound the recursion: JSON may be nested as deep as its sender likes.",
        },
    ),
    (
        "trap: memory out of bounds",
        Advice {
            explanation: "The plugin read or wrote outside of its memory.",
            advice: "Check lengths and offsets that come from the request; the memory is bounded to 64 MiB here.",
        },
    ),
    (
        "trap",
        Advice {
            explanation: "The plugin did what WebAssembly does not allow.",
            advice: "Check the values of the request before calculating with them.",
        },
    ),
    (
        "exit code",
        Advice {
            explanation: "The plugin's function returned another code than 0: its answer is lost.",
            advice: "Return 0 with an answer, or set an error.",
        },
    ),
    (
        "host function",
        Advice {
            explanation: "The plugin called a function of Extism with what it does not take.",
            advice: "Pass handles and offsets only as Extism gave them.",
        },
    ),
    (
        "out of fuel",
        Advice {
            explanation: "The plugin needed more than 10,000,000 fuel for a request of up to 16 KiB.",
            advice: "Do less for each byte: read the input at once, copy less, build with optimizations.",
        },
    ),
    (
        "timeout",
        Advice {
            explanation: "The plugin took longer than 200 ms for a request of up to 16 KiB.",
            advice: "Fill and copy less memory: that costs time, but no fuel.",
        },
    ),
    (
        "undecodable: wrong _v",
        Advice {
            explanation: "The answer's _v is another than the handshake agreed on.",
            advice: "Answer in the version that was chosen in the handshake.",
        },
    ),
    (
        "undecodable: not the response",
        Advice {
            explanation: "The answer is a JSON object, but not the function's response: a field is missing, of another type, or unknown.",
            advice: "Answer with exactly the fields of the response.",
        },
    ),
    (
        "undecodable: not base64",
        Advice {
            explanation: "A field of the answer that is to be base64 is not: whoever reads it gets nothing.",
            advice: "Encode with the standard alphabet, with + and /, and with padding.",
        },
    ),
    (
        "undecodable",
        Advice {
            explanation: "The answer is no JSON object with an unsigned _v.",
            advice: "Set one JSON object as the output, with nothing behind it.",
        },
    ),
    (
        "error is not UTF-8",
        Advice {
            explanation: "The plugin set an error that is no text.",
            advice: "Set errors that are UTF-8.",
        },
    ),
    (
        "no answer",
        Advice {
            explanation: "The plugin does not answer the dry-run request, the first that a host makes to see whether it works.",
            advice: "Run it without --host reference, which tells why: a trap, an answer that cannot be read, a refusal.",
        },
    ),
    (
        "",
        Advice {
            explanation: "The plugin neither answered nor refused.",
            advice: "Answer the request, or refuse it with an error.",
        },
    ),
];

/// Of a plugin's fault that no call shows alone.
pub(crate) const BEHIND_OTHERS: Advice = Advice {
    explanation: "The plugin fails behind other calls: they leave something behind that breaks this one.",
    advice: "Look for state that calls leave behind: locks, counters, half-filled tables.",
};

impl Violation {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match &self.check[..] {
            "plugin_limit" => Severity::Limit,
            "no_limit" if self.is_of_growth() => Severity::Warning,
            "linear_cost" | "no_drift" | "no_refusal" => Severity::Warning,
            "plugin_fault" | "no_limit" | "no_carryover" => Severity::Error,
            _ => Severity::Critical,
        }
    }

    /// What it means and what to do.
    pub fn advice(&self) -> Advice {
        match &self.check[..] {
            "plugin_fault" => {
                let mut faults = OF_THE_PLUGIN.iter();
                let fault = faults.find(|(class, _)| self.class.starts_with(class));
                fault.map_or(OF_THE_HOST, |(_, advice)| *advice)
            }
            "no_poison" => Advice {
                explanation: "After this a healthy request is not answered any more, which a fresh session answers.",
                advice: "Look for state that a failing call leaves behind: locks, counters, half-filled tables.",
            },
            "plugin_limit" | "no_limit" if self.class.starts_with(UNDECODABLE) => Advice {
                explanation: "The answer has more values than are read here. The published host reads them, however long that takes.",
                advice: "Nothing need be done; to be safe, bound what is answered.",
            },
            "plugin_limit" | "no_limit" => Advice {
                explanation: "The plugin runs out of fuel or time on what no host sends: a limit, and no fault on real requests.",
                advice: "Nothing need be done; to be safe, check the length of such a field first, or refuse it.",
            },
            "linear_cost" => Advice {
                explanation: "The fuel grows faster than the request, until there is none left where there would be.",
                advice: "Look for a loop in a loop: a text that is searched or copied for each of its parts.",
            },
            "no_drift" if self.class == "memory" => Advice {
                explanation: "The same request takes more and more memory, the more often it is made; there are 64 MiB.",
                advice: "Look for what is kept from call to call and never freed.",
            },
            "no_drift" => Advice {
                explanation: "The same request takes more and more fuel, the more often it is made.",
                advice: "Look for a list or table that grows with each call and is gone through in the next.",
            },
            "no_carryover" => Advice {
                explanation: "The answer holds what another request said: one caller learns of another.",
                advice: "Look for what is kept from call to call: a cached header, a buffer that is not cleared.",
            },
            "no_refusal" => Advice {
                explanation: "The plugin set an error: it refused the request.",
                advice: "Answer it if it should be answered; otherwise leave out --deny refused.",
            },
            "no_leak" | "within_memory" => Advice {
                explanation: "The process keeps or takes more memory than a session may.",
                advice: "Look at what grows with each call; a plugin's memory is bounded to 64 MiB.",
            },
            _ => OF_THE_HOST,
        }
    }
}
