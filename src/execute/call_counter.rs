//! Counting how often the guest was called, without trusting the host or the guest's own memory.
//!
//! The puppet logs a line; Extism hands it to `tracing`, on the thread that dispatches. So a retry shows
//! whatever the host does between the calls, a new instance included.

use std::cell::Cell;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The line that the puppet logs.
const LOG_CALL: &str = "puppet:knock";

thread_local! {
    static HEARD: Cell<u32> = const { Cell::new(0) };
}

/// Hears the knocks of the current thread.
pub(crate) struct CallCounter {
    dispatch: Dispatch,
    /// Whether it ever heard any. A host may run the guest where nobody hears it.
    has_counted: bool,
}

impl CallCounter {
    /// Costs more than listening does: make one and keep it.
    pub(crate) fn new() -> Self {
        Self {
            dispatch: Dispatch::new(Listener),
            has_counted: false,
        }
    }

    /// Runs `work` and counts the knocks in it; `None` where no knock was ever heard. Other log lines of that time are lost.
    pub(crate) fn count_calls<T>(&mut self, work: impl FnOnce() -> T) -> (T, Option<u32>) {
        HEARD.set(0);
        let result = tracing::dispatcher::with_default(&self.dispatch, work);
        let heard = HEARD.get();
        self.has_counted |= heard > 0;
        (result, self.has_counted.then_some(heard))
    }
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::INFO && metadata.target().starts_with("extism")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut LogCallVisitor);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct LogCallVisitor;

impl Visit for LogCallVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" && format!("{value:?}") == LOG_CALL {
            HEARD.set(HEARD.get() + 1);
        }
    }
}
