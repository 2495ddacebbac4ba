//! Files that are written whole or not at all, and whether they could be.
//!
//! Bugs in this module look like a file that is empty or cut short, or a folder whose fault is noticed after the work.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The most links that lead to one file.
const LINKS_MAX: usize = 40;

/// Writes a file: to a temporary one in the same folder, which then takes its place. If that fails, what was there
/// before stays. A device or a pipe is written to as it is; so is a file in a folder in which none can be made.
///
/// # Errors
/// Those of the system, without the names of files.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (target, permissions) = match path.metadata() {
        Ok(found) if found.is_file() => {
            writable(path)?;
            // Behind a link that is gone or has no name it is written in place.
            let Ok(target) = path.canonicalize() else {
                return in_place(path, bytes);
            };
            (target, Some(found.permissions()))
        }
        Ok(_) => return in_place(path, bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => (behind_links(path), None),
        Err(error) => return Err(error),
    };
    match replace(&target, bytes, permissions.clone()) {
        // One that is mounted by itself, or in a folder that is not ours.
        Err(error) if permissions.is_some() && is_about_the_folder(&error) => {
            in_place(&target, bytes)
        }
        written => written,
    }
}

/// Whether a file could be written. What is neither a file nor a folder is not tried.
///
/// # Errors
/// As [`write()`].
pub fn check(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => Ok(()),
        Ok(_) => writable(path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            check_folder(folder_of(&behind_links(path)))
        }
        Err(error) => Err(error),
    }
}

/// Whether files could be made in a folder, which need not be there yet: a temporary one is.
///
/// # Errors
/// As [`write()`].
pub fn check_folder(folder: &Path) -> io::Result<()> {
    let mut folder = folder;
    loop {
        match folder.metadata() {
            Ok(_) => return temporary_in(folder).map(drop),
            // A link to nothing: no folder can be made in its place.
            Err(error) if folder.symlink_metadata().is_ok() => return Err(error),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Err(error) => match folder.parent() {
                Some(_) => folder = folder_of(folder),
                None => return Err(error),
            },
        }
    }
}

/// Reads a file, which may be larger than there is memory.
///
/// # Errors
/// As [`write()`], and where it has more than so many bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if read as u64 > most {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// The bytes without the mark that some editors put before a text.
pub(crate) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn replace(target: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let mut file = temporary_in(folder_of(target))?;
    file.as_file_mut().write_all(bytes)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

fn in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).truncate(true).open(path)?;
    file.write_all(bytes)
}

fn writable(path: &Path) -> io::Result<()> {
    File::options().append(true).open(path).map(drop)
}

fn is_about_the_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy
    )
}

/// A hidden file, which is gone when it is dropped. Others may read it as they may what is written without it.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(without_name)
}

/// What the system said, without the name of a temporary file, which says nothing to anybody.
fn without_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path \"") {
        Some((said, _)) => io::Error::new(error.kind(), said),
        None => error,
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The file that is replaced where a path is written to, by one name whatever the path is; `None` for what is written in place, such
/// as a device, and where there is no such folder.
pub fn replaced(path: &Path) -> Option<PathBuf> {
    match path.metadata() {
        Ok(found) if !found.is_file() => None,
        Ok(_) => path.canonicalize().ok(),
        Err(_) => {
            let file = behind_links(path);
            let folder = folder_of(&file).canonicalize().ok()?;
            Some(folder.join(file.file_name()?))
        }
    }
}

/// What a link to a file that is not there yet stands for.
fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match path.read_link() {
            Ok(next) => path = folder_of(&path).join(next),
            Err(_) => break,
        }
    }
    path
}
