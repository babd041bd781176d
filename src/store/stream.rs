//! Lossless rearrangement of server-sent events, so that the text of a streamed answer lies in one piece.
//!
//! A streamed answer repeats the same JSON around every few letters of text. [`split`] writes that JSON once as a
//! template (what stands before and after the text), then the lengths, then all text in one piece, which compresses
//! against the next request that repeats it. [`join`] gives back the exact bytes. Nothing is parsed: any bytes that
//! are cut at blank lines may be templates, and a body that does not come back equal is stored as it is.
//!
//! Layout, all numbers LEB128: count of templates, each as length and bytes of its head and of its tail; length of
//! the record list; the record list: template number from 1 and length of its text, or 0 and the length of a record
//! that is stored whole; then the text.

use super::extent::{put, take};

const MAX_TEMPLATES: usize = 32;
const MIN_RECORDS: usize = 4;
/// A head shorter than this is not worth a template.
const MIN_HEAD: usize = 12;

/// Returns the rearranged body, if it is a stream that gets smaller by it and comes back equal.
pub(crate) fn split(body: &[u8]) -> Option<Vec<u8>> {
    if ![&b"data:"[..], b"event:", b"id:", b":"].iter().any(|start| body.starts_with(start)) {
        return None;
    }
    let records = records(body);
    if records.len() < MIN_RECORDS {
        return None;
    }
    let mut templates: Vec<(&[u8], &[u8])> = Vec::new();
    let (mut list, mut text) = (Vec::new(), Vec::new());
    for (index, record) in records.iter().enumerate() {
        let fits = |(head, tail): &(&[u8], &[u8])| {
            record.len() >= head.len() + tail.len() && record.starts_with(head) && record.ends_with(tail)
        };
        let mut found = templates.iter().rposition(fits);
        if found.is_none()
            && templates.len() < MAX_TEMPLATES
            && let Some(next) = records.get(index + 1)
            && let Some(template) = template(record, next)
        {
            templates.push(template);
            found = Some(templates.len() - 1);
        }
        let part = match found {
            Some(number) => {
                put(&mut list, number as u64 + 1);
                &record[templates[number].0.len()..record.len() - templates[number].1.len()]
            }
            None => {
                put(&mut list, 0);
                record
            }
        };
        put(&mut list, part.len() as u64);
        text.extend_from_slice(part);
    }
    let mut out = Vec::new();
    put(&mut out, templates.len() as u64);
    for part in templates.iter().flat_map(|(head, tail)| [head, tail]) {
        put(&mut out, part.len() as u64);
        out.extend_from_slice(part);
    }
    put(&mut out, list.len() as u64);
    out.extend_from_slice(&list);
    out.extend_from_slice(&text);
    (out.len() < body.len() && join(&out, body.len()).as_deref() == Some(body)).then_some(out)
}

/// Returns the body of `size` bytes that [`split`] rearranged; `None` if `bytes` are not such a body.
pub(crate) fn join(mut bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let rest = &mut bytes;
    let count = take(rest).filter(|count| *count <= MAX_TEMPLATES as u64)?;
    let templates = (0..count).map(|_| Some((piece(rest)?, piece(rest)?))).collect::<Option<Vec<_>>>()?;
    let mut list = piece(rest)?;
    let mut body = Vec::with_capacity(size);
    while !list.is_empty() {
        let (head, tail) = match take(&mut list)? {
            0 => (&b""[..], &b""[..]),
            number => *templates.get(usize::try_from(number).ok()? - 1)?,
        };
        let length = usize::try_from(take(&mut list)?).ok()?;
        let (part, after) = rest.split_at_checked(length)?;
        *rest = after;
        if head.len() + part.len() + tail.len() > size - body.len() {
            return None;
        }
        for bytes in [head, part, tail] {
            body.extend_from_slice(bytes);
        }
    }
    (rest.is_empty() && body.len() == size).then_some(body)
}

fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (piece, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(piece)
}

/// Cuts after every blank line.
fn records(body: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    let mut start = 0;
    for at in 1..body.len() {
        let blank = body[at] == b'\n' && (body[at - 1] == b'\n' || body[..at].ends_with(b"\n\r"));
        if blank {
            records.push(&body[start..=at]);
            start = at + 1;
        }
    }
    if start < body.len() {
        records.push(&body[start..]);
    }
    records
}

/// Returns what two neighbouring records have in common around one JSON string.
fn template<'a>(record: &'a [u8], next: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let head = common_prefix(record, next);
    let tail = common_suffix(&record[head..], &next[head..]);
    // Texts that begin or end alike must not become part of the template: cut back to the quotes around them.
    let head = record[..head].iter().rposition(|byte| *byte == b'"')? + 1;
    let tail = record.len() - tail + record[record.len() - tail..].iter().position(|byte| *byte == b'"')?;
    (head >= MIN_HEAD && head <= tail).then(|| (&record[..head], &record[tail..]))
}

/// Returns how many bytes two texts have in common at the beginning.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let mut at = 0;
    while at + 64 <= length && a[at..at + 64] == b[at..at + 64] {
        at += 64;
    }
    at + a[at..length].iter().zip(&b[at..length]).take_while(|(x, y)| x == y).count()
}

/// Returns how many bytes two texts have in common at the end.
pub(crate) fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[a.len() - length..], &b[b.len() - length..]);
    let mut left = length;
    while left >= 64 && a[left - 64..left] == b[left - 64..left] {
        left -= 64;
    }
    length - left + a[..left].iter().rev().zip(b[..left].iter().rev()).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(words: &[String]) -> Vec<u8> {
        let mut body = b"event: message_start\ndata: {\"type\":\"message_start\"}\n\n".to_vec();
        for word in words {
            let word = serde_json::to_string(word).unwrap();
            let data = format!("event: content_block_delta\ndata: {{\"delta\":{{\"text\":{word}}},\"index\":0}}\n\n");
            body.extend_from_slice(data.as_bytes());
        }
        body.extend_from_slice(b"event: message_stop\ndata: {}\n\n");
        body
    }

    #[test]
    fn the_text_of_a_stream_lies_in_one_piece() {
        let words = ["The ", "test ", "that ", "fails ", "says ", "so."].map(str::to_owned);
        let body = stream(&words);
        let split = split(&body).unwrap();
        assert!(
            split
                .windows(30)
                .any(|part| part == b"The test that fails says so.ev" || part == b"The test that fails says so.da"),
            "{}",
            split.escape_ascii()
        );
        assert_eq!(join(&split, body.len()).unwrap(), body);
        assert_eq!(join(&split, body.len() + 1), None);
        assert_eq!(join(&split, body.len() - 1), None);
    }

    proptest! {
        #[test]
        fn a_stream_comes_back(words in proptest::collection::vec(".{0,12}", 0..40)) {
            let body = stream(&words);
            if let Some(split) = split(&body) {
                prop_assert_eq!(join(&split, body.len()).unwrap(), body);
            } else {
                prop_assert!(words.len() < 8, "{} words", words.len());
            }
        }

        #[test]
        fn bytes_that_only_look_like_a_stream_come_back(tail in "[\\n\\r\":ad]{0,200}") {
            let body = format!("data:{tail}").into_bytes();
            if let Some(split) = split(&body) {
                prop_assert_eq!(join(&split, body.len()).unwrap(), body);
            }
        }

        #[test]
        fn arbitrary_bytes_never_make_more_than_asked(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 0..300_usize) {
            if let Some(body) = join(&bytes, size) {
                prop_assert_eq!(body.len(), size);
            }
        }

        #[test]
        fn common_parts_are_the_longest(a in "[ab]{0,200}", b in "[ab]{0,200}", shared in "[ab]{0,200}") {
            let (x, y) = (format!("{shared}{a}").into_bytes(), format!("{shared}{b}").into_bytes());
            let naive = x.iter().zip(&y).take_while(|(p, q)| p == q).count();
            prop_assert_eq!(common_prefix(&x, &y), naive);
            let (x, y) = (format!("{a}{shared}").into_bytes(), format!("{b}{shared}").into_bytes());
            let naive = x.iter().rev().zip(y.iter().rev()).take_while(|(p, q)| p == q).count();
            prop_assert_eq!(common_suffix(&x, &y), naive);
        }
    }
}
