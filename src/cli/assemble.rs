//! Assembles plugins in the text format, in a separate process: assembling an untrusted text may take time quadratic in its
//! length.
//!
//! Bugs in this module look like a text that exhausts the memory or the time of the process that reads it.

use std::borrow::Cow;
use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::{Duration, Instant};

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::untrusted_text::shortened;
use cc_lb_fuzz::worker::{KILLS_MAX, ProcessBounds};
use nix::sys::signal::Signal;

use super::error::CliError;

/// The longest text that is assembled, in bytes.
const TEXT_MAX_BYTES: usize = 4 << 20;

/// How long the assembling process may take. Its processor time is bounded like a worker's.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to check whether it has finished.
const POLL: Duration = Duration::from_millis(2);

/// The stack of the thread that assembles, in bytes: the text may be as deep as the parser follows.
const STACK_BYTES: usize = 16 << 20;

/// Assembles the text of the plugin at a path. `program` is this program.
pub fn module_of(path: &Path, text: &[u8], program: &Path) -> Result<Vec<u8>, CliError> {
    let no_module = |reason| {
        Err(CliError::NotWasm {
            path: path.to_owned(),
            reason,
        })
    };
    if text.len() > TEXT_MAX_BYTES {
        return no_module(format!(
            "its text has more than {TEXT_MAX_BYTES} bytes; pass the compiled module instead"
        ));
    }
    let Assembled {
        status,
        module,
        said,
    } = assembled_at_last(text, program).map_err(CliError::Program)?;
    let dear = |what: String| {
        no_module(format!(
            "reading its text takes {what}; pass the compiled module instead"
        ))
    };
    let Some(status) = status else {
        return dear(format!("more than {} s", PATIENCE.as_secs()));
    };
    let signal = status.signal().and_then(|n| Signal::try_from(n).ok());
    match status.code() {
        Some(0) => Ok(module),
        Some(code) if code == i32::from(exit_code::COULD_NOT_RUN) => no_module(said),
        _ => match ProcessBounds::exceeded(signal, &said) {
            Some(what) => dear(what),
            None => no_module(format!(
                "the process that reads its text ended with {status}"
            )),
        },
    }
}

/// The result of the assembling process.
struct Assembled {
    /// `None` if it did not end in time.
    status: Option<ExitStatus>,
    module: Vec<u8>,
    said: String,
}

/// Assembles, and retries a few times if somebody killed the process.
fn assembled_at_last(text: &[u8], program: &Path) -> io::Result<Assembled> {
    let mut kills = 0;
    loop {
        let made = assembled(text, program)?;
        let signal = made.status.and_then(|status| status.signal());
        if signal != Some(Signal::SIGKILL as i32) || kills == KILLS_MAX {
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
            // A process that ends early does not read all of it.
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

/// Reads until the stream is closed.
fn all_of(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// The process that [`module_of`] starts: assembles the text on the standard input, within the bounds of a worker.
pub fn assemble() -> ExitCode {
    ProcessBounds::set().bound_time();
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
    // The error quotes the wrong line, which may be the whole text.
    wat::parse_bytes(&text)
        .map(Cow::into_owned)
        .map_err(|error| shortened(&error.to_string()))
}
