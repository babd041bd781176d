//! API keys, which go into one header and nowhere else.

use std::fmt;

use super::{Fault, Provider};

/// A secret that no format, message or debug output shows.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key; blanks around it are removed.
    ///
    /// # Errors
    /// A text that is empty or cannot stand in a header.
    pub fn new(provider: Provider, text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let reason = match text {
            "" => Some("is empty"),
            text if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Some("holds a blank or a special character"),
            _ => None,
        };
        reason.map_or_else(|| Ok(Self(text.to_owned())), |reason| Err(Fault::Key { provider, reason }))
    }

    /// Returns the header value that starts with `scheme`.
    pub(crate) fn header(&self, scheme: &str) -> String {
        format!("{scheme}{}", self.0)
    }

    /// Says whether the bytes hold the key.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.0.len()).any(|window| window == self.0.as_bytes())
    }

    /// Overwrites the key with asterisks wherever the bytes hold it: servers echo what they refuse.
    pub(crate) fn scrub(&self, bytes: &mut [u8]) {
        let length = self.0.len();
        for at in 0..(bytes.len() + 1).saturating_sub(length) {
            if &bytes[at..at + length] == self.0.as_bytes() {
                bytes[at..at + length].fill(b'*');
            }
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_header_value_and_is_not_shown() {
        let key = ApiKey::new(Provider::OpenAi, " sk-CANARY\n").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        for text in ["", "  ", "a b", "a\nb", "ключ"] {
            assert!(ApiKey::new(Provider::OpenAi, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_echoed_key_is_overwritten() {
        let key = ApiKey::new(Provider::OpenAi, "sk-1").unwrap();
        let mut bytes = b"bad key sk-1, sk-1; sk-".to_vec();
        assert!(key.is_in(&bytes));
        key.scrub(&mut bytes);
        assert_eq!(bytes, b"bad key ****, ****; sk-");
        let mut short = *b"sk";
        key.scrub(&mut short);
        assert_eq!(&short, b"sk");
    }
}
