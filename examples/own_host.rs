//! A host of your own in worker processes: `Loader`, `Host` and `Session` for it, in a program that
//! is a worker if it is started with `worker`.
//!
//! The hosts here are this project's host with one fault each, which need a separate process to
//! survive or to show:
//!
//! ```sh
//! cargo run --example own_host -- aborts
//! ```

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use cc_lb_fuzz::campaign::Event;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{Cause, Host, Loader, Observed, PluginHost, PluginSession, Session};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_fuzz::worker::{Child, Setup, Workers};
use cc_lb_fuzz::{exit_code, puppet};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;

/// What a host does when the guest traps.
#[derive(Clone, Copy)]
enum Fault {
    None,
    Aborts,
    Exits,
    Hangs,
    Hogs,
    Leaks,
}

impl Fault {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sound" => Self::None,
            "aborts" => Self::Aborts,
            "exits" => Self::Exits,
            "hangs" => Self::Hangs,
            "hogs" => Self::Hogs,
            "leaks" => Self::Leaks,
            _ => return None,
        })
    }

    fn strike(self) {
        match self {
            Self::None => {}
            Self::Aborts => std::process::abort(),
            Self::Exits => std::process::exit(3),
            Self::Hangs => std::thread::sleep(Duration::from_secs(3600)),
            Self::Hogs => drop(std::hint::black_box(vec![1_u8; 112 << 20])),
            Self::Leaks => std::mem::forget(std::hint::black_box(vec![1_u8; 64 << 10])),
        }
    }
}

struct MyHost {
    host: PluginHost,
    fault: Fault,
}

struct MySession {
    session: PluginSession,
    fault: Fault,
}

impl Loader for Fault {
    type Host = MyHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<MyHost, HandshakeError> {
        let host = PluginHost::with_offer(wasm, offer)?;
        let fault = *self;
        Ok(MyHost { host, fault })
    }
}

impl Host for MyHost {
    type Session = MySession;

    fn open(&self) -> Result<MySession, HandshakeError> {
        let session = self.host.open()?;
        let fault = self.fault;
        Ok(MySession { session, fault })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for MySession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let observed = self.session.observe::<F>(request);
        if matches!(observed.call.cause, Some(Cause::Trap(_))) {
            self.fault.strike();
        }
        observed
    }
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == "worker" {
        return work();
    }
    if Fault::named(&argument).is_none() {
        eprintln!("which host? sound, aborts, exits, hangs, hogs, or leaks");
        return ExitCode::from(exit_code::COULD_NOT_RUN);
    }
    match campaign(argument) {
        Ok(findings) => {
            println!("{findings} findings");
            ExitCode::from(match findings {
                0 => exit_code::CLEAN,
                _ => exit_code::FINDINGS,
            })
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit_code::COULD_NOT_RUN)
        }
    }
}

fn campaign(host: String) -> Result<usize, Box<dyn std::error::Error>> {
    let setup = Setup {
        host,
        wasm: puppet::wasm().to_vec(),
        subject: Subject::Puppet,
        capabilities: Default::default(),
        deny_refusals: false,
        deny_limits: false,
    };
    let workers = Workers::new(std::env::current_exe()?, ["worker"], setup)?;
    let plan = Plan::puppet::<Request>(1, 100);
    let summary = workers.run(&plan, NonZeroUsize::MIN, &mut |event| {
        if let Event::Finding(finding) = event {
            println!("{}: {}", finding.violation.check, finding.violation.detail);
        }
    })?;
    Ok(summary.findings)
}

fn work() -> ExitCode {
    let Ok(child) = Child::start() else {
        return ExitCode::from(exit_code::COULD_NOT_RUN);
    };
    match Fault::named(&child.setup().host) {
        Some(fault) => child.serve(&fault),
        None => child.refuse("no such host".to_owned()),
    }
}
