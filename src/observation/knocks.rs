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
const KNOCK: &str = "puppet:knock";

thread_local! {
    static HEARD: Cell<u32> = const { Cell::new(0) };
}

/// Hears the knocks of the current thread.
pub(super) struct Ear(Dispatch);

impl Ear {
    /// Costs more than listening does: make one and keep it.
    pub(super) fn new() -> Self {
        Self(Dispatch::new(Listener))
    }

    /// Runs `work` and counts the knocks in it. Other log lines of that time are lost.
    pub(super) fn listen<T>(&self, work: impl FnOnce() -> T) -> (T, u32) {
        HEARD.set(0);
        let result = tracing::dispatcher::with_default(&self.0, work);
        (result, HEARD.get())
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
        event.record(&mut KnockVisitor);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct KnockVisitor;

impl Visit for KnockVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" && format!("{value:?}") == KNOCK {
            HEARD.set(HEARD.get() + 1);
        }
    }
}
