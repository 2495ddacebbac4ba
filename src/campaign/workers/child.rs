//! The worker's side.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, rlim_t, setrlimit};

use super::protocol::{Answer, Hello, Opened, Order, Place, receive, send};
use super::{HostKind, OPENING_TIME_MAX, Setup, WORKER_MEMORY_MAX};
use crate::campaign::{Bench, CampaignError, Lab, limits};
use crate::case::Case;
use crate::exit_code;
#[cfg(feature = "reference")]
use crate::host::Reference;
use crate::host::handshake::build_offer;
use crate::host::inspect::inspect;
use crate::host::{Guarded, Host, Loader};
use crate::observation::{Depth, StepSeen, features};
use crate::oracle::checks;
use crate::wire::{Request, Vocabulary};

/// The stack of the thread that a plugin runs on, in bytes. The main thread's is only as large as the system was told
/// (`ulimit -s`), and the runtime lets a plugin use 512 KiB of whichever stack there is, be they there or not. The rest is more
/// than any host needs; what nobody writes to takes no memory.
const STACK_BYTES: usize = 16 << 20;

/// Does what a worker does, until its parent is gone. A program that is started as a worker calls this first and
/// exits with what it returns.
pub fn serve() -> ExitCode {
    let child = match Child::start() {
        Ok(child) => child,
        Err(error) => {
            // Who started it may not listen.
            let _ = writeln!(
                io::stderr(),
                "cc-lb-fuzz: this is a worker, and is started by a campaign: {error}"
            );
            return ExitCode::from(exit_code::COULD_NOT_RUN);
        }
    };
    let host = child.setup().host.clone();
    if host == HostKind::Guarded.name() {
        return child.serve(&Guarded);
    }
    #[cfg(feature = "reference")]
    if host == HostKind::Reference.name() {
        let folder = child.hello.folder.clone();
        return child.serve(&Reference::cached(folder));
    }
    child.refuse(format!("this program has no host {host}"))
}

/// A worker that was told what to run.
pub struct Child {
    setup: Setup,
    hello: Hello,
    orders: Receiver<Order>,
    /// How much time of the processor it may take once the plugin is loaded, and the most that this may be, as the system says.
    time: Option<(rlim_t, rlim_t)>,
}

impl Child {
    /// Bounds the process, its memory and until the plugin is loaded its time, and hears what it is to run.
    ///
    /// # Errors
    /// An error of reading the standard input, which is not that of a worker.
    pub fn start() -> io::Result<Self> {
        // Where the system does not bound it, it is not bounded.
        let _ = setrlimit(Resource::RLIMIT_DATA, WORKER_MEMORY_MAX, WORKER_MEMORY_MAX);
        // Deaths are expected; nobody looks at the remains.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        let time = getrlimit(Resource::RLIMIT_CPU).ok();
        let nothing = || io::Error::other("nothing on the standard input");
        let setup = receive(&mut io::stdin().lock())?.ok_or_else(nothing)?;
        let hello = receive(&mut io::stdin().lock())?.ok_or_else(nothing)?;
        let (sender, orders) = mpsc::channel();
        // Apart, so that a worker in a plugin that never ends notices that its parent is gone.
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Ok(Some(order)) = receive(&mut input) {
                if sender.send(order).is_err() {
                    break;
                }
            }
            std::process::exit(0);
        });
        let child = Self {
            setup,
            hello,
            orders,
            time,
        };
        child.bound_time();
        Ok(child)
    }

    /// Lets the process take [`OPENING_TIME_MAX`] of the processor from now on.
    fn bound_time(&self) {
        let Some((most, hard)) = self.time else {
            return;
        };
        let used = getrusage(UsageWho::RUSAGE_SELF);
        let used = used.map_or(0, |used| {
            let seconds = used.user_time().tv_sec() + used.system_time().tv_sec();
            seconds.unsigned_abs()
        });
        let soon = used + OPENING_TIME_MAX.as_secs();
        let _ = setrlimit(Resource::RLIMIT_CPU, most.min(soon), hard);
    }

    /// What it is to run.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Says that it cannot.
    pub fn refuse(self, reason: String) -> ExitCode {
        refuse(reason)
    }

    /// Runs the plugin on a loader's host, and does as it is told. It does so on a thread of its own, with a stack that is as
    /// large wherever it is started.
    pub fn serve(self, loader: &(impl Loader + Sync)) -> ExitCode {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            match thread.spawn_scoped(scope, move || self.serve_here(loader)) {
                // Its words were said when it panicked.
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(error) => refuse(format!("there is no thread to run it on: {error}")),
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
            self.bound_time();
        }
        let loaded = loader.load(&setup.wasm, &build_offer(&setup.capabilities));
        match loaded {
            Ok(host) => exit(self.obey(&host)),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    fn obey(&self, host: &impl Host) -> io::Result<()> {
        // Two sessions are open at a time, each on a copy of its own: the second is compiled now, as the first was. What is wrong
        // with one is told when it is needed.
        if self.setup().host == HostKind::Guarded.name() {
            self.bound_time();
            drop((host.open(), host.open()));
        }
        // From now on there are calls, each of which has limits of its own. How many one process makes is nobody's business.
        if let Some((_, hard)) = self.time {
            let _ = setrlimit(Resource::RLIMIT_CPU, hard, hard);
        }
        send(&mut io::stdout(), &Answer::Loaded(host.agreed()))?;
        let setup = self.setup();
        let place = File::options().write(true).open(&self.hello.place)?;
        let checks = checks(setup.deny_limits, setup.deny_refusals);
        let mut bench = match Bench::<_, Request>::new(host, setup.subject) {
            Ok(bench) => bench.with_checks(&checks),
            Err(error) => return send(&mut io::stdout(), &Answer::Refused(error.to_string())),
        };
        let whereabouts = Rc::new(Whereabouts {
            file: place,
            at: Cell::new(Place::OPENING),
        });
        let beat = Rc::clone(&whereabouts);
        let runner = bench.runner();
        runner.before_dispatches(move |function| {
            let mut functions = Request::functions().iter();
            let function = functions.position(|other| other == function);
            beat.tell(beat.at.get().case, function);
        });
        #[cfg(feature = "reference")]
        if setup.subject == crate::observation::Subject::Puppet
            && setup.host != HostKind::Reference.name()
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
        whereabouts.tell(0, None);
        let opened = Opened {
            negotiated: runner.negotiated(),
            objects: runner.objects(),
        };
        send(&mut io::stdout(), &Answer::Opened(opened))?;
        while let Ok(order) = self.orders.recv() {
            let answer = do_as_told(&mut bench, host, order, &whereabouts);
            let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
            send(&mut io::stdout(), &answer)?;
        }
        Ok(())
    }
}

/// Where the worker is, for its parent to read when it died.
struct Whereabouts {
    file: File,
    at: Cell<Place>,
}

impl Whereabouts {
    fn tell(&self, case: u64, function: Option<usize>) {
        let at = Place {
            beats: self.at.get().beats + 1,
            case,
            function: function.map_or(u64::MAX, |place| place as u64),
        };
        self.at.set(at);
        // A place that is not written is an older one.
        let _ = self.file.write_all_at(&at.to_bytes(), 0);
    }
}

fn do_as_told<H: Host>(
    bench: &mut Bench<'_, H, Request>,
    host: &H,
    order: Order,
    whereabouts: &Whereabouts,
) -> Result<Answer, CampaignError> {
    // Until the first call: a session may be opened before.
    whereabouts.tell(whereabouts.at.get().case, None);
    match order {
        Order::Run { plan, cases, time } => {
            let deadline = time.and_then(|time| Instant::now().checked_add(time));
            let begins = |case| whereabouts.tell(case, None);
            Ok(Answer::Block(
                bench.run_block(&plan, cases, deadline, begins)?,
            ))
        }
        Order::Judge { case, check } => match Case::decode(&case) {
            Ok(case) => Ok(Answer::Judged(bench.judge(&case, &check)?)),
            Err(error) => Ok(Answer::Refused(error.to_string())),
        },
        Order::Locate { case, violation } => match Case::decode(&case) {
            Ok(case) => Ok(Answer::Located(bench.locate(&case, &violation)?)),
            Err(error) => Ok(Answer::Refused(error.to_string())),
        },
        Order::Replay { case } => match Case::decode(&case) {
            Ok(case) => {
                let (record, found) = bench.judge_alone(&case, Depth::Soak)?;
                let seen = record.steps.iter().map(StepSeen::from).collect();
                Ok(Answer::Replayed(seen, found))
            }
            Err(error) => Ok(Answer::Refused(error.to_string())),
        },
        Order::Reach { case } => match Case::decode(&case) {
            Ok(case) => {
                let record = bench.runner().run_undisturbed(&case)?;
                Ok(Answer::Reached(features(&case, &record)))
            }
            Err(error) => Ok(Answer::Refused(error.to_string())),
        },
        Order::Limits { functions } => {
            let before = |place| whereabouts.tell(0, Some(place));
            let limits = limits::<_, Request>(host, &functions, &before)?;
            Ok(Answer::Limits(limits))
        }
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
