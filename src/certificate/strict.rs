//! JSON from strangers: a member given twice is an error, also where one spelling is escaped.
//!
//! `serde_json` already refuses trailing bytes, byte order marks, lone surrogates, bytes that are not UTF-8 and depths
//! beyond 128; its own `Value` silently keeps the last of two equal members.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values of one document. Each takes more memory than text; none of ours has so many.
const MAX_VALUES: usize = 2 << 20;

/// Reads a value; counts those that may still come.
struct Strict {
    left: Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for &Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| de::Error::custom("it holds too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if all.contains_key(&name) {
                return Err(de::Error::custom(format!("the member {name:?} is there twice")));
            }
            all.insert(name, value);
        }
        Ok(all.into())
    }
}

/// Parses one JSON document.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: Cell::new(MAX_VALUES) }.deserialize(&mut document)?;
    document.end()?;
    Ok(value)
}

/// Says whether `input` has an object wherever `ours`, what it was read as, is written as one.
///
/// Derived readers take an array in place of an object.
pub(super) fn same_shape(input: &Value, ours: &Value) -> bool {
    match (input, ours) {
        (Value::Object(input), Value::Object(ours)) => {
            input.iter().all(|(name, value)| ours.get(name).is_none_or(|ours| same_shape(value, ours)))
        }
        (_, Value::Object(_)) => false,
        (Value::Array(input), Value::Array(ours)) => input.iter().zip(ours).all(|(a, b)| same_shape(a, b)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_given_twice_is_refused_in_every_spelling() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"b":{"c":1,"c":1}}]"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(parse(br#"{"a":[1,{"b":null}]}"#).unwrap(), serde_json::json!({"a": [1, {"b": null}]}));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let (deep, many) = ("[".repeat(100_000), format!("[{}0]", "0,".repeat(MAX_VALUES)));
        let cases: [&[u8]; 8] =
            [b"", b"{} {}", b"\xef\xbb\xbf{}", b"\0{}", b"\"\xff\"", br#""\ud800""#, deep.as_bytes(), many.as_bytes()];
        for bytes in cases {
            assert!(parse(bytes).is_err());
        }
    }
}
