//! JSON with sorted keys, equal to the text of a `serde_json::Value`, without building the tree,
//! which takes longer than the call that the text is for.
//!
//! Bugs in this module look like a guest that receives other bytes than from the published host,
//! although the JSON is equal.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// The capacity that is enough for most requests.
const USUAL_BYTES: usize = 2048;
const USUAL_FIELDS: usize = 32;

/// Serializes the value as JSON with the keys of every object sorted; of duplicate keys, the last
/// one stays. `last` is one more field of the outermost object and wins over a duplicate.
///
/// # Errors
/// Returns an error if the value does not serialize, or has a number that a `serde_json::Value`
/// cannot hold.
pub(super) fn to_sorted<T: Serialize>(
    value: &T,
    last: (&'static str, u32),
) -> Result<String, serde_json::Error> {
    let text = Text(Rc::new(RefCell::new(Vec::with_capacity(USUAL_BYTES))));
    let formatter = Sorting {
        text: text.clone(),
        objects: Vec::new(),
        fields: Vec::with_capacity(USUAL_FIELDS),
        sorted: Vec::new(),
        last,
    };
    value.serialize(&mut Serializer::with_formatter(text.clone(), formatter))?;
    String::from_utf8(text.0.take()).map_err(serde::ser::Error::custom)
}

/// The text so far, written by the serializer and rearranged by its formatter.
#[derive(Clone)]
struct Text(Rc<RefCell<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    // Called for each fragment of the text.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Text {
    #[inline]
    fn length(&self) -> usize {
        self.0.borrow().len()
    }
}

/// A field in the text.
#[derive(Clone)]
struct Field {
    /// The key and the value.
    whole: Range<usize>,
    /// The end of the key.
    key_end: usize,
    /// Whether the key may have escapes.
    is_escaped: bool,
}

impl Field {
    /// Compares the unescaped keys.
    fn cmp_key(&self, other: &Self, text: &[u8]) -> Ordering {
        let [own, others] = [self, other].map(|field| &text[field.whole.start..field.key_end]);
        if self.is_escaped || other.is_escaped {
            let [own, others] = [own, others].map(serde_json::from_slice::<String>);
            // The text is a valid JSON string, because the serializer wrote it.
            own.ok().cmp(&others.ok())
        } else {
            // Without the closing quotes, which would affect the order.
            own[..own.len() - 1].cmp(&others[..others.len() - 1])
        }
    }
}

/// A formatter that writes objects as they come and sorts their fields at the end of each.
struct Sorting {
    text: Text,
    /// For each open object, the index of its first field.
    objects: Vec<usize>,
    /// The fields of all open objects.
    fields: Vec<Field>,
    /// A buffer for sorting.
    sorted: Vec<u8>,
    last: (&'static str, u32),
}

impl Sorting {
    /// Sorts the fields from index `first` on and keeps one for each key.
    fn sort(&mut self, first: usize) {
        let mut text = self.text.0.borrow_mut();
        let fields = &mut self.fields[first..];
        if fields.is_sorted_by(|one, next| one.cmp_key(next, &text).is_lt()) {
            return;
        }
        // The sort is stable, so the last of several equal keys stays last.
        fields.sort_by(|one, other| one.cmp_key(other, &text));
        let sorted = &mut self.sorted;
        sorted.clear();
        for (index, field) in fields.iter().enumerate() {
            let next = fields.get(index + 1);
            if next.is_some_and(|next| next.cmp_key(field, &text).is_eq()) {
                continue;
            }
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&text[field.whole.clone()]);
        }
        let start = fields.iter().map(|field| field.whole.start).min();
        text.truncate(start.unwrap_or_default());
        text.extend_from_slice(sorted);
    }
}

impl Formatter for Sorting {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.objects.push(self.fields.len());
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        let start = self.text.length();
        self.fields.push(Field {
            whole: start..start,
            key_end: start,
            is_escaped: false,
        });
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if let Some(field) = self.fields.last_mut() {
            let text = self.text.0.borrow();
            field.key_end = text.len();
            field.is_escaped = text[field.whole.start..].contains(&b'\\');
        }
        writer.write_all(b":")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(field) = self.fields.last_mut() {
            field.whole.end = self.text.length();
        }
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let first = self.objects.pop().unwrap_or_default();
        if self.objects.is_empty() {
            let (key, value) = self.last;
            self.begin_object_key(writer, first == self.fields.len())?;
            write!(writer, "\"{key}\"")?;
            self.begin_object_value(writer)?;
            write!(writer, "{value}")?;
            self.end_object_value(writer)?;
        }
        self.sort(first);
        self.fields.truncate(first);
        writer.write_all(b"}")
    }

    /// Writes the value as `f64`, as a `Value` stores it, which may have more digits.
    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        self.write_f64(writer, value.into())
    }

    fn write_u128<W: ?Sized + Write>(&mut self, writer: &mut W, value: u128) -> io::Result<()> {
        let value = u64::try_from(value).map_err(|_| out_of_range())?;
        self.write_u64(writer, value)
    }

    fn write_i128<W: ?Sized + Write>(&mut self, writer: &mut W, value: i128) -> io::Result<()> {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.write_u64(writer, value),
            (_, Ok(value)) => self.write_i64(writer, value),
            _ => Err(out_of_range()),
        }
    }
}

fn out_of_range() -> io::Error {
    io::Error::other("number out of range")
}
