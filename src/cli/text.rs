//! Plugins in the text format, made into modules by a process of their own: reading a text may take the square of its length,
//! and it may be anybody's.
//!
//! A discrepancy here is a text that takes the memory or the time of whoever reads it.

use std::borrow::Cow;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::{OPENING_TIME_MAX, WORKER_MEMORY_MAX};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::line::shortened;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use tempfile::tempfile;

/// The longest text that is read as a module, in bytes.
const TEXT_MAX_BYTES: usize = 4 << 20;

/// How long a process may take that reads a text: of that, [`OPENING_TIME_MAX`] is work.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it is done.
const POLL: Duration = Duration::from_millis(2);

/// The stack of the thread that reads a text, in bytes: it may be as deep as the reader follows.
const STACK_BYTES: usize = 16 << 20;

/// The module that a text is; what is wrong with it, where it is none or takes too much. `program` is this program.
pub fn module_of(text: &[u8], program: &Path) -> Result<Vec<u8>, String> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(format!(
            "its text has more than {TEXT_MAX_BYTES} bytes; give the module itself"
        ));
    }
    let made = assembled(text, program);
    let (status, module, said) =
        made.map_err(|error| format!("cannot have another process read it: {error}"))?;
    let dear = |what: String| {
        Err(format!(
            "reading its text takes more {what}; give the module itself"
        ))
    };
    let signal = status.and_then(|status| Signal::try_from(status.signal()?).ok());
    match (status.and_then(|status| status.code()), signal) {
        (Some(0), _) => Ok(module),
        (Some(code), _) if code == i32::from(exit_code::COULD_NOT_RUN) => Err(said),
        (_, Some(Signal::SIGXCPU)) => {
            let seconds = OPENING_TIME_MAX.as_secs();
            dear(format!(
                "than the {seconds} s of the processor that there are"
            ))
        }
        (_, Some(Signal::SIGABRT)) if said.contains("memory allocation of ") => {
            let most = WORKER_MEMORY_MAX >> 20;
            dear(format!("memory than there is, {most} MiB at most"))
        }
        _ => match status {
            Some(status) => Err(format!(
                "the process that reads its text ended with {status}"
            )),
            None => dear(format!("than {} s", PATIENCE.as_secs())),
        },
    }
}

/// What a process that reads a text came to, `None` where it came to no end; what it made of the text, and what it said.
fn assembled(text: &[u8], program: &Path) -> io::Result<(Option<ExitStatus>, Vec<u8>, String)> {
    let (mut input, mut output, mut errors) = (tempfile()?, tempfile()?, tempfile()?);
    input.write_all(text)?;
    input.rewind()?;
    let mut process = Command::new(program)
        .arg("assemble")
        .stdin(input)
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?)
        .spawn()?;
    let begin = Instant::now();
    let mut status = process.try_wait()?;
    while status.is_none() && begin.elapsed() < PATIENCE {
        std::thread::sleep(POLL);
        status = process.try_wait()?;
    }
    if status.is_none() {
        process.kill()?;
        process.wait()?;
    }
    let (mut module, mut said) = (Vec::new(), Vec::new());
    output.rewind()?;
    output.read_to_end(&mut module)?;
    errors.rewind()?;
    errors.read_to_end(&mut said)?;
    Ok((status, module, String::from_utf8_lossy(&said).into_owned()))
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
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
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
