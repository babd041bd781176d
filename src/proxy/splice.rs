//! Setting one member of a JSON object in its bytes, so that every other byte stays as the agent wrote it.

use std::ops::Range;

use serde_json::Value;

/// Returns `body` with the member at `path` (`name` or `group/name`) set to `value`; nothing if it is no JSON object.
pub(super) fn set(body: &[u8], path: &str, value: &Value) -> Option<Vec<u8>> {
    serde_json::from_slice::<Value>(body).ok()?.as_object()?;
    let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let (members, end) = members(body)?;
    // The last one of a name is the one that readers take.
    let found = members.iter().rfind(|(key, _)| key == name).map(|(_, range)| range.clone());
    let text = match (&found, rest) {
        (Some(range), Some(rest)) if body[range.start] == b'{' => set(&body[range.clone()], rest, value)?,
        (_, Some(rest)) => format!("{{{}:{value}}}", Value::from(rest)).into_bytes(),
        (_, None) => value.to_string().into_bytes(),
    };
    let (range, text) = match found {
        Some(range) => (range, text),
        None => {
            let comma = if members.is_empty() { "" } else { "," };
            (end..end, [format!("{comma}{}:", Value::from(name)).as_bytes(), &text].concat())
        }
    };
    Some([&body[..range.start], &text, &body[range.end..]].concat())
}

/// Returns the members of a JSON object with the range of each value, and where its closing brace is.
fn members(body: &[u8]) -> Option<(Vec<(String, Range<usize>)>, usize)> {
    let mut at = body.iter().position(|byte| *byte == b'{')? + 1;
    let mut members = Vec::new();
    loop {
        at = skip(body, at);
        match body.get(at)? {
            b'}' => return Some((members, at)),
            b',' => at += 1,
            _ => {
                let end = value_end(body, at)?;
                let key: String = serde_json::from_slice(&body[at..end]).ok()?;
                // Past the colon.
                at = skip(body, skip(body, end) + 1);
                let end = value_end(body, at)?;
                members.push((key, at..end));
                at = end;
            }
        }
    }
}

fn skip(body: &[u8], from: usize) -> usize {
    from + body[from.min(body.len())..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Returns where the value that begins at `from` ends. The document is known to be JSON.
fn value_end(body: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = from;
    loop {
        match *body.get(at)? {
            b'"' => {
                at += 1;
                while *body.get(at)? != b'"' {
                    at += if body[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' => return Some(at),
            byte if depth == 0 && (matches!(byte, b',' | b':') || byte.is_ascii_whitespace()) => return Some(at),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn done(body: &str, path: &str, value: Value) -> String {
        String::from_utf8(set(body.as_bytes(), path, &value).unwrap()).unwrap()
    }

    #[test]
    fn one_member_changes_and_no_other_byte() {
        assert_eq!(done(r#"{ "a" : 1.50 , "b":[{"a":2}] }"#, "a", json!(0)), r#"{ "a" : 0 , "b":[{"a":2}] }"#);
        assert_eq!(done(r#"{"b":"}\\\"{"}"#, "a", json!(0)), r#"{"b":"}\\\"{","a":0}"#);
        assert_eq!(done("{}", "a", json!("x")), r#"{"a":"x"}"#);
        assert_eq!(done(r#"{"a":1,"a":2}"#, "a", json!(0)), r#"{"a":1,"a":0}"#);
        assert_eq!(done(r#"{"o":{"x": true}, "z":null}"#, "o/t", json!(0)), r#"{"o":{"x": true,"t":0}, "z":null}"#);
        assert_eq!(done(r#"{"o":null}"#, "o/t", json!(0)), r#"{"o":{"t":0}}"#);
        assert_eq!(done(r#"{"z":1}"#, "o/t", json!(0)), r#"{"z":1,"o":{"t":0}}"#);
        assert_eq!(set(b"[1]", "a", &json!(0)), None);
        assert_eq!(set(b"{\"a\":", "a", &json!(0)), None);
    }

    proptest! {
        #[test]
        fn the_result_reads_as_the_object_with_the_member(
            text in "[a-z\"\\\\{},: ]{0,8}", number in any::<i32>(), nested in prop::collection::vec(any::<bool>(), 0..4), path in "(a|b|c|o/a|o/q)",
        ) {
            let mut value = json!({"a": text, "b": {"n": nested, "t": text}, "o": {"a": number}});
            let body = serde_json::to_string_pretty(&value).unwrap();
            let out: Value = serde_json::from_slice(&set(body.as_bytes(), &path, &json!(7)).unwrap()).unwrap();
            match path.split_once('/') {
                Some((group, name)) => value[group][name] = json!(7),
                None => value[&path] = json!(7),
            }
            prop_assert_eq!(out, value);
        }
    }
}
