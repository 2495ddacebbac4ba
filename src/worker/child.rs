//! The worker's side: the process that runs the cases.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use super::bounds::ProcessBounds;
use super::protocol::{Answer, Heartbeat, Hello, Opened, Order, receive, send};
use super::setup::{HostKind, Setup};
use crate::campaign::CampaignError;
use crate::case::{Case, Depth};
use crate::check::checks;
use crate::execute::{Executor, InProcessExecutor};
use crate::exit_code;
#[cfg(feature = "reference")]
use crate::host::Reference;
use crate::host::handshake::build_offer;
use crate::host::inspect::inspect;
use crate::host::{Guarded, Host, Loader};
use crate::limits::limits;
use crate::record::{StepSummary, features};
use crate::wire::{Request, Vocabulary};

/// The stack of the thread that runs the plugin, in bytes. The main thread's depends on the system
/// (`ulimit -s`), and the runtime lets a plugin use 512 KiB of any stack, even if it is smaller.
/// The rest is more than any host needs; unused pages take no memory.
const STACK_BYTES: usize = 16 << 20;

/// Runs as a worker until the parent is gone. A program that is started as a worker calls this
/// first and exits with the returned code.
pub fn serve() -> ExitCode {
    let child = match Child::start() {
        Ok(child) => child,
        Err(error) => {
            // The parent may not listen.
            let _ = writeln!(
                io::stderr(),
                "cc-lb-fuzz: this is a worker process; campaigns start it: {error}"
            );
            return ExitCode::from(exit_code::COULD_NOT_RUN);
        }
    };
    match child.setup().host_kind() {
        Some(HostKind::Guarded) => child.serve(&Guarded),
        #[cfg(feature = "reference")]
        Some(HostKind::Reference) => {
            let folder = child.hello.folder.clone();
            child.serve(&Reference::cached(folder))
        }
        _ => {
            let reason = format!("this program has no host {}", child.setup().host);
            child.refuse(reason)
        }
    }
}

/// A worker that knows what to run.
pub struct Child {
    setup: Setup,
    hello: Hello,
    orders: Receiver<Order>,
    bounds: ProcessBounds,
}

impl Child {
    /// Sets the resource limits, of which that on time lasts until the plugin is loaded, and reads
    /// what to run.
    ///
    /// # Errors
    /// Returns an error if the standard input is not that of a worker.
    pub fn start() -> io::Result<Self> {
        let bounds = ProcessBounds::set();
        let nothing = || io::Error::other("nothing on the standard input");
        let setup = receive(&mut io::stdin().lock())?.ok_or_else(nothing)?;
        let hello = receive(&mut io::stdin().lock())?.ok_or_else(nothing)?;
        let (sender, orders) = mpsc::channel();
        // In a separate thread, so that a worker in an endless call notices that its parent is
        // gone.
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Ok(Some(order)) = receive(&mut input) {
                if sender.send(order).is_err() {
                    break;
                }
            }
            std::process::exit(0);
        });
        bounds.bound_time();
        Ok(Self {
            setup,
            hello,
            orders,
            bounds,
        })
    }

    /// Returns what to run.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Reports that it cannot run the plugin.
    pub fn refuse(self, reason: String) -> ExitCode {
        refuse(reason)
    }

    /// Runs the plugin on the loader's host and carries out orders, on a thread with the same stack
    /// size everywhere.
    pub fn serve(self, loader: &(impl Loader + Sync)) -> ExitCode {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            match thread.spawn_scoped(scope, move || self.serve_here(loader)) {
                // The panic's message was printed when it happened.
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(error) => refuse(format!("cannot start a thread to run it on: {error}")),
            }
        })
    }

    fn serve_here(self, loader: &impl Loader) -> ExitCode {
        let setup = self.setup();
        if self.hello.inspects {
            let found = inspect(&setup.wasm).map_err(|rejection| rejection.to_string());
            let is_over = found.is_err();
            let told = send(&mut io::stdout(), &Answer::Inspected(found));
            if is_over || told.is_err() {
                return exit(told);
            }
            self.bounds.bound_time();
        }
        let loaded = loader.load(&setup.wasm, &build_offer(&setup.capabilities));
        match loaded {
            Ok(host) => exit(self.serve_orders(&host)),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    fn serve_orders(&self, host: &impl Host) -> io::Result<()> {
        // Two sessions are open at a time, each on its own copy of the plugin, so both copies are
        // compiled now. Errors are reported when a session is needed.
        if self.setup().host_kind() == Some(HostKind::Guarded) {
            self.bounds.bound_time();
            drop((host.open(), host.open()));
        }
        // From now on there are only calls, which have limits of their own. The number of calls is
        // not limited.
        self.bounds.unbound_time();
        send(&mut io::stdout(), &Answer::Loaded(host.agreed()))?;
        let setup = self.setup();
        let place = File::options().write(true).open(&self.hello.heartbeat)?;
        let checks = checks(setup.deny_limits, setup.deny_refusals);
        let mut executor = match InProcessExecutor::<_, Request>::new(host, setup.subject) {
            Ok(executor) => executor.with_checks(&checks),
            Err(error) => return send(&mut io::stdout(), &Answer::Refused(error.to_string())),
        };
        let heartbeat = Rc::new(HeartbeatWriter {
            file: place,
            at: Cell::new(Heartbeat::OPENING),
        });
        let writer = Rc::clone(&heartbeat);
        let runner = executor.runner();
        runner.before_dispatches(move |function| {
            let mut functions = Request::functions().iter();
            let function = functions.position(|other| other == function);
            writer.write(writer.at.get().case, function);
        });
        #[cfg(feature = "reference")]
        if setup.subject == crate::record::Subject::Puppet
            && setup.host_kind() != Some(HostKind::Reference)
        {
            let offer = build_offer(&setup.capabilities);
            let load = || Reference::default().load(&setup.wasm, &offer);
            match load().or_else(|_| load()) {
                Ok(reference) => runner.compare_with(reference),
                Err(error) => {
                    return send(&mut io::stdout(), &Answer::Refused(error.to_string()));
                }
            }
        }
        runner.measure_memory();
        heartbeat.write(0, None);
        let opened = Opened {
            negotiated: runner.negotiated(),
            response_dictionary: runner.response_dictionary(),
        };
        send(&mut io::stdout(), &Answer::Opened(opened))?;
        while let Ok(order) = self.orders.recv() {
            let answer = carry_out(&mut executor, host, order, &heartbeat);
            let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
            send(&mut io::stdout(), &answer)?;
        }
        Ok(())
    }
}

/// Writes the state of the worker, for its parent to read after a crash.
struct HeartbeatWriter {
    file: File,
    at: Cell<Heartbeat>,
}

impl HeartbeatWriter {
    fn write(&self, case: u64, function: Option<usize>) {
        let at = Heartbeat {
            beats: self.at.get().beats + 1,
            case,
            function: function.map_or(u64::MAX, |place| place as u64),
        };
        self.at.set(at);
        // If writing fails, the state is an older one.
        let _ = self.file.write_all_at(&at.to_bytes(), 0);
    }
}

fn carry_out<H: Host>(
    executor: &mut InProcessExecutor<'_, H, Request>,
    host: &H,
    order: Order,
    heartbeat: &HeartbeatWriter,
) -> Result<Answer, CampaignError> {
    // No function yet: a session may be opened before the first call.
    heartbeat.write(heartbeat.at.get().case, None);
    match order {
        Order::Run { plan, cases, time } => {
            let deadline = time.and_then(|time| Instant::now().checked_add(time));
            let begins = |case| heartbeat.write(case, None);
            Ok(Answer::Block(
                executor.run_block(&plan, cases, deadline, begins)?,
            ))
        }
        Order::Judge { case, check } => with_case(&case, |case| {
            Ok(Answer::Judged(executor.judge(case, check)?))
        }),
        Order::Locate { case, violation } => with_case(&case, |case| {
            Ok(Answer::Located(executor.locate(case, &violation)?))
        }),
        Order::Replay { case } => with_case(&case, |case| {
            let (record, found) = executor.judge_alone(case, Depth::LeakCheck)?;
            let seen = record.steps.iter().map(StepSummary::from).collect();
            Ok(Answer::Replayed(seen, found))
        }),
        Order::Reach { case } => with_case(&case, |case| {
            let record = executor.runner().run_undisturbed(case)?;
            Ok(Answer::Reached(features(case, &record)))
        }),
        Order::Limits { functions } => {
            let before = |place| heartbeat.write(0, Some(place));
            let limits = limits::<_, Request>(host, &functions, &before)?;
            Ok(Answer::Limits(limits))
        }
    }
}

/// What comes of an encoded case, or why it is none.
fn with_case(
    encoded: &[u8],
    answer: impl FnOnce(&Case) -> Result<Answer, CampaignError>,
) -> Result<Answer, CampaignError> {
    match Case::decode(encoded) {
        Ok(case) => answer(&case),
        Err(error) => Ok(Answer::Refused(error.to_string())),
    }
}

fn refuse(reason: String) -> ExitCode {
    exit(send(&mut io::stdout(), &Answer::Refused(reason)))
}

fn exit(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit_code::COULD_NOT_RUN),
    }
}
