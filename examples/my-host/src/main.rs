//! A campaign on a host of your own: `cargo run --release -p my-host`. The host sets no fuel limit
//! and reuses an instance that trapped, so there is something to find.
use std::time::Duration;

use cc_lb_fuzz::dispatch::{decode_envelope, encode_envelope};
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::host::{DispatchOutcome, HandshakeError, Host, Observed, Session, guard};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::report::finding_text;
use cc_lb_fuzz::wire::Request;
use cc_lb_fuzz::{campaign, puppet};
use cc_lb_plugin_wire::wire_function::WireFunction;

struct MyHost(extism::CompiledPlugin);
struct MySession(extism::Plugin);

impl Host for MyHost {
    type Session = MySession;
    fn open(&self) -> Result<MySession, HandshakeError> {
        Ok(MySession(
            extism::Plugin::new_from_compiled(&self.0).unwrap(),
        ))
    }
    fn negotiated(&self, _: &str) -> Option<u32> {
        Some(1)
    }
}

impl Session for MySession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let called = self
            .0
            .call::<_, &[u8]>(F::NAME, encode_envelope(&request, 1).unwrap());
        let response = called
            .ok()
            .and_then(|output| decode_envelope(output, 1).ok());
        response
            .map_or(DispatchOutcome::Fallback(F::FALLBACK), DispatchOutcome::Ok)
            .into()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = guard::manifest(puppet::wasm())?.with_timeout(Duration::from_millis(200));
    let host = MyHost(extism::PluginBuilder::new(manifest).compile()?);
    let plan = Plan::puppet::<Request>(1, 2_000);
    for finding in campaign::findings::<_, Request>(&host, Subject::Puppet, &plan)? {
        println!("{}", finding_text(&finding, "the case is above"));
    }
    Ok(())
}
