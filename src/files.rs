//! Atomic writing of files, and checks whether they can be written.
//!
//! Bugs in this module look like a file that is empty or cut short, or an unwritable folder that is
//! only noticed after the work.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The longest chain of links to a file.
const LINKS_MAX: usize = 40;

/// Writes a file atomically: writes a temporary file in the same folder and renames it. If that
/// fails, the old content stays. A device or a pipe is written in place, and so is a file in a
/// folder in which no file can be created.
///
/// # Errors
/// Returns the error of the system, without the names of files.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (target, permissions) = match path.metadata() {
        Ok(found) if found.is_file() => {
            writable(path)?;
            // A link whose target is gone or has no name is written in place.
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
        // The file is a mount point, or the folder is not writable.
        Err(error) if permissions.is_some() && is_about_the_folder(&error) => {
            in_place(&target, bytes)
        }
        written => written,
    }
}

/// Checks that a file could be written. What is neither a file nor a folder is not checked.
///
/// # Errors
/// Returns the errors of [`write()`].
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

/// Checks that files could be created in a folder, which may not exist yet, by creating a temporary
/// file.
///
/// # Errors
/// Returns the errors of [`write()`].
pub fn check_folder(folder: &Path) -> io::Result<()> {
    let mut folder = folder;
    loop {
        match folder.metadata() {
            Ok(_) => return temporary_in(folder).map(drop),
            // A dangling link: no folder can be created in its place.
            Err(error) if folder.symlink_metadata().is_ok() => return Err(error),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Err(error) => match folder.parent() {
                Some(_) => folder = folder_of(folder),
                None => return Err(error),
            },
        }
    }
}

/// Reads a file of at most `most` bytes, because a file may be larger than the memory.
///
/// # Errors
/// Returns the error of the system, or [`ErrorKind::FileTooLarge`] if the file has more bytes.
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

/// Returns the bytes without a UTF-8 byte order mark, which some editors write.
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

/// Creates a hidden file, which is deleted on drop. Its permissions are those of any new file.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(without_name)
}

/// Removes the name of the temporary file from an error, which would only confuse.
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

/// Returns the canonical path of the file that writing to `path` replaces. Returns `None` if the
/// path is written in place, such as a device, or its folder does not exist.
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

/// Returns the target of a link to a file that does not exist yet.
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
