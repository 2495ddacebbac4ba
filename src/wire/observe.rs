//! `observe`: receives the events of requests.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{Event, wire_struct};
use super::convert::struct_wire;
use super::generates::{Carrier, generates};
use super::list::List;
use super::text::Message;

wire_struct! {
    /// The request of `observe`.
    Observe {
        /// The events, in order.
        pub events: List<Event>,
    }
}
struct_wire!(Observe: v1::observe::ObserveRequest, v2::observe::ObserveRequest; { events });
generates!(Observe: v1::observe::ObserveFn, v2::observe::ObserveFn);

impl Carrier for Observe {
    /// Appends an event that holds the text, because the dry-run sample has no events.
    fn carry(&mut self, text: String) {
        self.events.0.push(Event::Error {
            code: Message(String::new()),
            message: Message(text),
            source: Message(String::new()),
        });
    }
}
