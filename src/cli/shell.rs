//! Words of a shell command, so that what is printed can be pasted.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cc_lb_fuzz::line::is_printable;

/// A path as one word, and as no flag.
pub fn quote_path(path: &Path) -> String {
    let text = path.as_os_str();
    if text.as_bytes().starts_with(b"-") {
        quote(Path::new(".").join(path).as_os_str())
    } else {
        quote(text)
    }
}

/// A text as one word, which stands on one line, and in which there is nothing but what is seen: in `'…'` where a shell
/// would read anything else into it, and in `$'…'`, with escapes, where it has what cannot be printed. That form is of
/// bash, zsh, ksh and busybox.
pub fn quote(text: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(byte);
    match text.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(|byte| plain(&byte)) => text.to_owned(),
        Some(text) if text.chars().all(is_printable) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => escaped(text.as_bytes()),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut word = "$'".to_owned();
    let escape = |word: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a text does not fail.
            let _ = write!(word, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => word.extend(['\\', c]),
                '\n' => word += "\\n",
                '\t' => word += "\\t",
                c if is_printable(c) => word.push(c),
                c => escape(&mut word, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        escape(&mut word, chunk.invalid());
    }
    word + "'"
}
