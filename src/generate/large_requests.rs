//! Requests and parts of them that are large: the sizes of extreme cases, and what is enlarged to
//! them.
//!
//! Bugs in this module look like a part of a request that no case has large.

use arbitrary::Unstructured;
use serde_json::{Map, Value};

use crate::wire::{Header, HeaderName, HeaderValue, Part, Vocabulary};

/// The sizes of texts and answers, in bytes: from what the puppet can process within its fuel to
/// what it mostly cannot, up to the largest input that is sent to it.
pub(super) const SIZES: [usize; 16] = [
    1 << 10,
    1 << 12,
    10_000,
    1 << 14,
    1 << 15,
    1 << 16,
    1 << 16,
    68 << 10,
    100_000,
    1 << 17,
    1 << 17,
    1 << 18,
    1 << 18,
    300_000,
    1 << 19,
    1_000_000,
];

/// Numbers of items in a list and fields in an object.
pub(super) const ITEMS: [usize; 10] = [16, 32, 50, 64, 100, 128, 256, 512, 1000, 1024];

/// More items than any limit of a host that is a usual number.
pub(super) const MOST_ITEMS: usize = 1025;

/// The size of the largest body, in bytes: above any usual limit, and with room for the rest of a
/// request below the limit of the input.
const LARGEST_BODY: usize = 1_000_000;

/// Draws one of the sizes, or one more or less.
pub(super) fn about(sizes: &[usize], u: &mut Unstructured<'_>) -> arbitrary::Result<usize> {
    let near = u.int_in_range(0..=2usize)?;
    Ok(u.choose(sizes)? + near - 1)
}

/// Returns the length of a request as JSON, in bytes.
pub(super) fn length<R: Vocabulary>(request: R) -> usize {
    request.to_json().map_or(0, |json| json.to_string().len())
}

/// Returns the request with the most items in each list and object, as far as it stays smaller than
/// [`LARGEST_BODY`].
pub(super) fn full<R: Vocabulary>(request: R) -> arbitrary::Result<R> {
    let mut parts = 0;
    let mut filled = request;
    filled.parts(&mut |_| parts += 1);
    // The last part first, because a longer list has more parts behind it.
    for chosen in (0..parts).rev() {
        let mut next = filled.clone();
        change_part(&mut next, chosen, fill)?;
        // Lists within lists would become larger than any request.
        if length(next.clone()) < LARGEST_BODY {
            filled = next;
        }
    }
    Ok(filled)
}

/// Changes the part of a request with this index.
fn change_part<R: Vocabulary>(
    request: &mut R,
    chosen: usize,
    mut change: impl FnMut(Part<'_>) -> arbitrary::Result<()>,
) -> arbitrary::Result<()> {
    let (mut at, mut done) = (0, Ok(()));
    request.parts(&mut |part| {
        if at == chosen {
            done = change(part);
        }
        at += 1;
    });
    done
}

/// Fills a list or an object with the most items. Other parts remain.
fn fill(part: Part<'_>) -> arbitrary::Result<()> {
    match part {
        Part::Text(_) | Part::Body(_) => {}
        Part::Headers(headers) => *headers = numbered_headers(MOST_ITEMS),
        Part::Items(items) => items.repeat(MOST_ITEMS)?,
        Part::Json(json) => {
            let mut fields = numbered_fields(MOST_ITEMS);
            fields.insert("list".to_owned(), vec![0; MOST_ITEMS].into());
            *json = fields.into();
        }
        Part::Object(object) => *object = numbered_fields(MOST_ITEMS),
    }
    Ok(())
}

fn numbered_headers(count: usize) -> Vec<Header> {
    let header = |index: usize| Header {
        name: HeaderName(format!("x-{index}")),
        value_base64: HeaderValue("eA==".to_owned()),
    };
    (0..count).map(header).collect()
}

fn numbered_fields(count: usize) -> Map<String, Value> {
    let fields = (0..count).map(|index| (format!("k{index}"), Value::from(index)));
    fields.collect()
}

/// Returns the request with the largest body, or with the largest text if it has no body.
pub(super) fn with_largest_body<R: Vocabulary>(mut request: R) -> R {
    let mut is_done = false;
    request.parts(&mut |part| {
        if let Part::Body(body) = part
            && !is_done
        {
            *body = "eHh4".repeat(LARGEST_BODY / 4);
            is_done = true;
        }
    });
    if !is_done {
        request.carry("a".repeat(LARGEST_BODY));
    }
    request
}

/// Draws the request with one of its parts large.
pub(super) fn with_large_part<R: Vocabulary>(
    mut request: R,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let mut all = 0;
    request.parts(&mut |_| all += 1);
    if all == 0 {
        request.carry("a".repeat(about(&SIZES, u)?));
        return Ok(request);
    }
    // Most limits are on bodies.
    let mut bodies = Vec::new();
    let mut index = 0;
    request.parts(&mut |part| {
        if matches!(part, Part::Body(_)) {
            bodies.push(index);
        }
        index += 1;
    });
    let chosen = if bodies.is_empty() || u.ratio(2, 3)? {
        u.choose_index(all)?
    } else {
        *u.choose(&bodies)?
    };
    change_part(&mut request, chosen, |part| enlarge(part, u))?;
    Ok(request)
}

fn enlarge(part: Part<'_>, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    match part {
        Part::Text(text) => *text = "a".repeat(about(&SIZES, u)?),
        Part::Body(body) => {
            let size = about(&SIZES, u)?;
            // A multiple of four, as in base64, or not.
            let size = if u.arbitrary()? { size & !3 } else { size };
            *body = "eHh4".chars().cycle().take(size).collect();
        }
        Part::Headers(headers) => *headers = numbered_headers(about(&ITEMS, u)?),
        Part::Items(items) => items.repeat(about(&ITEMS, u)?)?,
        Part::Json(json) => *json = large_json(u)?,
        Part::Object(object) => *object = large_object(u)?,
    }
    Ok(())
}

fn large_json(u: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Value::from("a".repeat(about(&SIZES, u)?)),
        1 => Value::from(vec![0; about(&ITEMS, u)?]),
        2 => {
            let depth = u.choose(&[16usize, 32, 64, 100, 120])?;
            (0..*depth).fold(Value::from(0), |inner, _| Value::from(vec![inner]))
        }
        _ => Value::Object(large_object(u)?),
    })
}

fn large_object(u: &mut Unstructured<'_>) -> arbitrary::Result<Map<String, Value>> {
    if u.ratio(1, 3)? {
        let key = "k".repeat(about(&SIZES, u)?);
        return Ok([(key, Value::from(0))].into_iter().collect());
    }
    Ok(numbered_fields(about(&ITEMS, u)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    #[test]
    fn a_full_request_has_the_most_headers_and_fields_and_can_be_sent() {
        for index in 0..Request::functions().len() {
            let mut request = full(Request::dry_run(index)).expect("it needs nothing drawn");
            let mut lists = 0;
            request.parts(&mut |part| match part {
                Part::Headers(headers) => {
                    assert_eq!(headers.len(), MOST_ITEMS);
                    lists += 1;
                }
                Part::Object(fields) => {
                    assert_eq!(fields.len(), MOST_ITEMS);
                    lists += 1;
                }
                Part::Items(_) => lists += 1,
                _ => {}
            });
            let bytes = length(request);
            assert!(bytes < LARGEST_BODY, "{index}: {bytes} bytes");
            assert!(lists == 0 || bytes > 4 * MOST_ITEMS, "{index}: {bytes}");
            let bytes = length(with_largest_body(Request::dry_run(index)));
            assert!(bytes >= LARGEST_BODY, "{index}: {bytes} bytes");
            assert!(bytes <= 1 << 20, "{index}: {bytes} bytes");
        }
    }
}
