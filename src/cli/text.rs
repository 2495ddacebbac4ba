//! Plugins in the text format, made into modules by a process of their own: reading a text may take the square of its length,
//! and it may be anybody's.
//!
//! A discrepancy here is a text that takes the memory or the time of whoever reads it.

use std::borrow::Cow;
use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::{OPENING_TIME_MAX, WORKER_MEMORY_MAX};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::line::shortened;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use super::error::CliError;

/// The longest text that is read as a module, in bytes.
const TEXT_MAX_BYTES: usize = 4 << 20;

/// How long a process may take that reads a text: of that, [`OPENING_TIME_MAX`] is work.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a process that somebody kills is started anew.
const KILLS: u32 = 4;

/// How often it is looked whether it is done.
const POLL: Duration = Duration::from_millis(2);

/// The stack of the thread that reads a text, in bytes: it may be as deep as the reader follows.
const STACK_BYTES: usize = 16 << 20;

/// The module that the text of a plugin at a path is. `program` is this program.
pub fn module_of(path: &Path, text: &[u8], program: &Path) -> Result<Vec<u8>, CliError> {
    let no_module = |reason| {
        Err(CliError::NotWasm {
            path: path.to_owned(),
            reason,
        })
    };
    if text.len() > TEXT_MAX_BYTES {
        return no_module(format!(
            "its text has more than {TEXT_MAX_BYTES} bytes; give the module itself"
        ));
    }
    let Assembled {
        status,
        module,
        said,
    } = assembled_at_last(text, program).map_err(CliError::Program)?;
    let dear = |what: String| {
        no_module(format!(
            "reading its text takes more {what}; give the module itself"
        ))
    };
    let Some(status) = status else {
        return dear(format!("than {} s", PATIENCE.as_secs()));
    };
    let signal = status.signal().map(Signal::try_from);
    match (status.code(), signal) {
        (Some(0), _) => Ok(module),
        (Some(code), _) if code == i32::from(exit_code::COULD_NOT_RUN) => no_module(said),
        (_, Some(Ok(Signal::SIGXCPU))) => {
            let seconds = OPENING_TIME_MAX.as_secs();
            dear(format!(
                "than the {seconds} s of the processor that there are"
            ))
        }
        (_, Some(Ok(Signal::SIGABRT))) if said.contains("memory allocation of ") => {
            let most = WORKER_MEMORY_MAX >> 20;
            dear(format!("memory than there is, {most} MiB at most"))
        }
        _ => no_module(format!(
            "the process that reads its text ended with {status}"
        )),
    }
}

/// What a process that reads a text came to.
struct Assembled {
    /// `None` where it came to no end.
    status: Option<ExitStatus>,
    module: Vec<u8>,
    said: String,
}

/// The same of another one where somebody killed it, a few times.
fn assembled_at_last(text: &[u8], program: &Path) -> io::Result<Assembled> {
    let mut kills = 0;
    loop {
        let made = assembled(text, program)?;
        let signal = made.status.and_then(|status| status.signal());
        if signal != Some(Signal::SIGKILL as i32) || kills == KILLS {
            return Ok(made);
        }
        kills += 1;
    }
}

fn assembled(text: &[u8], program: &Path) -> io::Result<Assembled> {
    let mut process = Command::new(program)
        .arg("assemble")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (input, output, errors) = (
        process.stdin.take(),
        process.stdout.take(),
        process.stderr.take(),
    );
    std::thread::scope(|scope| {
        let streams = || -> io::Result<_> {
            let thread = Builder::new;
            // One that ends early does not read all of it.
            let write = move || drop(input.map(|mut input| input.write_all(text)));
            thread().spawn_scoped(scope, write)?;
            let module = thread().spawn_scoped(scope, move || all_of(output))?;
            let said = thread().spawn_scoped(scope, move || all_of(errors))?;
            Ok((module, said))
        };
        let streams = streams();
        let status = match &streams {
            Ok(_) => wait(&mut process),
            Err(_) => Ok(None),
        };
        if !matches!(status, Ok(Some(_))) {
            process.kill()?;
            process.wait()?;
        }
        let (module, said) = streams?;
        let joined = |thread: ScopedJoinHandle<'_, Vec<u8>>| thread.join().unwrap_or_default();
        Ok(Assembled {
            status: status?,
            module: joined(module),
            said: String::from_utf8_lossy(&joined(said)).into_owned(),
        })
    })
}

fn wait(process: &mut Child) -> io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        let status = process.try_wait()?;
        if status.is_some() || begin.elapsed() > PATIENCE {
            return Ok(status);
        }
        std::thread::sleep(POLL);
    }
}

/// What comes until it is closed.
fn all_of(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// Does what [`module_of`] starts: makes a module of the text on the standard input, within the bounds of a worker.
pub fn assemble() -> ExitCode {
    // Where the system does not bound it, it is not bounded.
    let _ = setrlimit(Resource::RLIMIT_DATA, WORKER_MEMORY_MAX, WORKER_MEMORY_MAX);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_CPU) {
        let most = soft.min(OPENING_TIME_MAX.as_secs());
        let _ = setrlimit(Resource::RLIMIT_CPU, most, hard);
    }
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let thread = Builder::new().stack_size(STACK_BYTES);
    let made = match thread.spawn(read_module) {
        Ok(thread) => thread
            .join()
            .unwrap_or_else(|_| Err("its reader panicked".to_owned())),
        Err(error) => Err(error.to_string()),
    };
    let written = match &made {
        Ok(wasm) => io::stdout().write_all(wasm),
        Err(reason) => io::stderr().write_all(reason.as_bytes()),
    };
    let written = written.and_then(|()| io::stdout().flush());
    if made.is_ok() && written.is_ok() {
        ExitCode::from(exit_code::CLEAN)
    } else {
        ExitCode::from(exit_code::COULD_NOT_RUN)
    }
}

fn read_module() -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = io::stdin().read_to_end(&mut text);
    read.map_err(|error| error.to_string())?;
    // It shows the line where something is wrong, which may be all of the text.
    wat::parse_bytes(&text)
        .map(Cow::into_owned)
        .map_err(|error| shortened(&error.to_string()))
}
