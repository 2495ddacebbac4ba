//! Quotes words of a shell command, so that printed commands can be pasted.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cc_lb_fuzz::untrusted_text::is_printable;

/// A path as one word that is not read as a flag.
pub fn quote_path(path: &Path) -> String {
    let text = path.as_os_str();
    if text.as_bytes().starts_with(b"-") {
        quote(Path::new(".").join(path).as_os_str())
    } else {
        quote(text)
    }
}

/// A text as one word on one line, with printable characters only: in `'…'` if a shell would
/// interpret it, and as the output of `printf` if it has unprintable characters. Every `sh`-like
/// shell reads that; not all know `$'…'`.
pub fn quote(text: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(byte);
    match text.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(|byte| plain(&byte)) => text.to_owned(),
        Some(text) if text.chars().all(is_printable) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => printed(text.as_bytes()),
    }
}

/// Command substitution removes trailing newlines. They are appended as `${IFS#??}`: the default separators, which are a
/// space, a tab and a newline, without the first two.
fn printed(bytes: &[u8]) -> String {
    let last = bytes.iter().rposition(|byte| *byte != b'\n');
    let (bytes, ends) = bytes.split_at(last.map_or(0, |last| last + 1));
    let ends = "${IFS#??}".repeat(ends.len());
    format!("\"$(printf '{}'){ends}\"", format_of(bytes))
}

/// The format with which `printf` prints these bytes, in ASCII, and safe inside `'…'`.
fn format_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let is_read_as_it_is = match byte {
            // It would start a flag.
            b'-' => at > 0,
            // One ends the word, the other is history expansion in an interactive shell.
            b'\'' | b'!' => false,
            byte => matches!(byte, b' '..=b'~'),
        };
        match byte {
            b'%' => text += "%%",
            b'\\' => text += r"\\",
            byte if is_read_as_it_is => text.push(char::from(*byte)),
            byte => text += &format!("\\{byte:03o}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_can_be_printed_stays_as_it_is_and_what_cannot_is_octal() {
        for (text, word) in [
            ("a/b-c_1.json".as_bytes(), "a/b-c_1.json"),
            (b"", "''"),
            ("it's é".as_bytes(), r"'it'\''s é'"),
            (b"a\tb\xffx", r#""$(printf 'a\011b\377x')""#),
            ("é\x7f".as_bytes(), r#""$(printf '\303\251\177')""#),
            (b"-%\\'!-\x1b7", r#""$(printf '\055%%\\\047\041-\0337')""#),
            (b"a\nb\n\n", r#""$(printf 'a\012b')${IFS#??}${IFS#??}""#),
        ] {
            assert_eq!(quote(OsStr::from_bytes(text)), word);
        }
        assert_eq!(quote_path(Path::new("-\t")), r#""$(printf './-\011')""#);
    }

    #[test]
    fn a_shell_reads_each_word_as_the_text_that_it_was() {
        let each = (1..=u8::MAX).map(|byte| vec![byte, b'7', byte]);
        let more = [
            &b"\n"[..],
            b"a\n\n",
            b"--\t",
            b"it's $HOME\\n `x` !! \"q\" * ) ( # %s\t",
        ];
        let texts: Vec<_> = each.chain(more.map(<[u8]>::to_vec)).collect();
        let words = texts.iter().map(|text| quote(OsStr::from_bytes(text)));
        let line = format!(r"printf '%s\0' {}", words.collect::<Vec<_>>().join(" "));
        let expected = texts.iter().flat_map(|text| [&text[..], b"\0"].concat());
        let expected: Vec<u8> = expected.collect();
        for shell in ["sh", "bash"] {
            // Not every system has both.
            if let Ok(read) = Command::new(shell).args(["-c", &line]).output() {
                assert_eq!(read.stdout, expected, "{shell}");
            }
        }
    }
}
