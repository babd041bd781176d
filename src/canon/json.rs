//! Canonical JSON (RFC 8785, the JSON Canonicalization Scheme).
//!
//! Our own formats hold integers up to 2^53 - 1, strings, booleans, arrays and objects; [`to_bytes`] refuses anything
//! else. Foreign bodies may hold floats: [`foreign`] writes them as ECMAScript does, and refuses a document that
//! RFC 8785 cannot represent exactly, whose raw bytes are then its identity.

use std::cmp::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The largest integer that every JSON reader keeps exactly (2^53 - 1; RFC 8785 §3.2.2.3, RFC 7493 §2.2).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Says why a value has no canonical form, or why bytes are not canonical JSON.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CanonError {
    /// A float where our formats allow none.
    #[error("the number {0} is not an integer")]
    Float(String),
    /// An integer that a double cannot hold.
    #[error("the integer {0} is beyond 2^53 - 1")]
    Large(String),
    /// A type that does not serialise, or bytes that do not parse as it.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Valid JSON whose bytes are not the canonical ones.
    #[error("the JSON is not in canonical form (RFC 8785); the first differing byte is at offset {0}")]
    NotCanonical(usize),
}

/// Returns the canonical bytes of one of our own values.
///
/// # Errors
/// A float, an integer beyond 2^53 - 1, or a type that serde cannot represent as JSON.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonError> {
    let value = serde_json::to_value(value)?;
    let mut out = Vec::new();
    write(&value, Floats::Refused, &mut out)?;
    Ok(out)
}

/// Returns the canonical bytes of one of our own objects, as [`to_bytes`] does.
///
/// # Errors
/// As [`to_bytes`].
pub(crate) fn object_to_bytes(members: &Map<String, Value>) -> Result<Vec<u8>, CanonError> {
    let mut out = Vec::new();
    write_members(members, Floats::Refused, &mut out)?;
    Ok(out)
}

/// Returns the canonical bytes of a foreign JSON value, floats included.
///
/// # Errors
/// An integer beyond 2^53 - 1: rounding it silently would give two documents one identity.
pub fn foreign(value: &Value) -> Result<Vec<u8>, CanonError> {
    let mut out = Vec::new();
    write(value, Floats::AsEcmaScript, &mut out)?;
    Ok(out)
}

/// Parses bytes that must be exactly the canonical form of a `T`.
///
/// Comparing with the re-serialised value refuses duplicate keys, unknown number forms and trailing bytes in one rule.
///
/// # Errors
/// Bytes that do not parse as `T`, or differ from the canonical bytes of what they parse to.
pub fn from_bytes<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonError> {
    let value: T = serde_json::from_slice(bytes)?;
    let canonical = to_bytes(&value)?;
    if canonical != bytes {
        let offset = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(CanonError::NotCanonical(offset));
    }
    Ok(value)
}

#[derive(Clone, Copy)]
enum Floats {
    Refused,
    AsEcmaScript,
}

fn write(value: &Value, floats: Floats, out: &mut Vec<u8>) -> Result<(), CanonError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, floats, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, floats, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => write_members(members, floats, out)?,
    }
    Ok(())
}

fn write_members(members: &Map<String, Value>, floats: Floats, out: &mut Vec<u8>) -> Result<(), CanonError> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|(a, _), (b, _)| order(a, b));
    out.push(b'{');
    for (i, (key, item)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write(item, floats, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Compares two keys as RFC 8785 sorts them: by UTF-16 code units (§3.2.3), which differs from byte order above U+FFFF.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    match a.is_ascii() && b.is_ascii() {
        true => a.cmp(b),
        false => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

fn write_number(number: &serde_json::Number, floats: Floats, out: &mut Vec<u8>) -> Result<(), CanonError> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    match (magnitude, floats) {
        (Some(magnitude), _) if magnitude > MAX_INTEGER => return Err(CanonError::Large(number.to_string())),
        (Some(_), _) => out.extend_from_slice(number.to_string().as_bytes()),
        (None, Floats::Refused) => return Err(CanonError::Float(number.to_string())),
        (None, Floats::AsEcmaScript) => {
            let float = number.as_f64().ok_or_else(|| CanonError::Float(number.to_string()))?;
            out.extend_from_slice(ryu_js::Buffer::new().format(float).as_bytes());
        }
    }
    Ok(())
}

/// Writes a string with its quotes.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // What needs no escape is copied in one piece.
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_example_of_rfc_8785_section_3_2_2() {
        let input = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let value: Value = serde_json::from_str(input).unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(foreign(&value).unwrap()).unwrap(), expected);
    }

    #[test]
    fn our_formats_refuse_floats_and_large_integers() {
        assert!(matches!(to_bytes(&json!(1.5)), Err(CanonError::Float(_))));
        assert!(matches!(to_bytes(&json!(9_007_199_254_740_992_u64)), Err(CanonError::Large(_))));
        assert!(matches!(to_bytes(&json!(-9_007_199_254_740_992_i64)), Err(CanonError::Large(_))));
        assert_eq!(to_bytes(&json!(9_007_199_254_740_991_u64)).unwrap(), b"9007199254740991");
    }

    #[test]
    fn only_canonical_bytes_read_back() {
        assert!(from_bytes::<Value>(br#"{"a":1,"b":2}"#).is_ok());
        for bytes in
            [&br#"{"b":2,"a":1}"#[..], br#"{"a":1,"a":1}"#, br#"{"a": 1}"#, b"{\"a\":1}\n", br#"{"a":"\u0041"}"#]
        {
            assert!(from_bytes::<Value>(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let number = -(MAX_INTEGER as i64)..=MAX_INTEGER as i64;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number.prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |f| serde_json::Number::from_f64(f).map(Value::Number)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_second_implementation_agrees(value in any_json()) {
            if let Ok(ours) = foreign(&value) {
                prop_assert_eq!(ours, serde_json_canonicalizer::to_vec(&value).unwrap());
            }
        }
    }
}
