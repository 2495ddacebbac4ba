//! Counts the calls of the guest, without trust in the host or in the guest's own memory.
//!
//! The puppet logs a line, and Extism forwards it to `tracing` on the thread that dispatches. So a
//! retry is visible whatever the host does between the calls, even if it creates a new instance.

use std::cell::Cell;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The message that the puppet logs.
const LOG_CALL: &str = "puppet:knock";

thread_local! {
    static HEARD: Cell<u32> = const { Cell::new(0) };
}

/// A counter of the log calls on the current thread.
pub(crate) struct CallCounter {
    dispatch: Dispatch,
    /// Whether it has counted any log call. A host may run the guest on another thread.
    has_counted: bool,
}

impl CallCounter {
    /// Returns a counter. This is more expensive than counting: make one and keep it.
    pub(crate) fn new() -> Self {
        Self {
            dispatch: Dispatch::new(Listener),
            has_counted: false,
        }
    }

    /// Runs `work` and returns its result with the number of log calls; `None` if no log call was
    /// ever counted. Other log messages of `work` are dropped.
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
