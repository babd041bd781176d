//! The DSSE v1.0.2 envelope: what is signed, reading one from a stranger, writing one in one form only.
//!
//! Unknown members are ignored and counted, as DSSE demands. A key id is a hint that decides nothing. The bytes that
//! the signature covers are the bytes that are parsed; the envelope is never serialised again to check anything.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use super::key::SecretKey;
use super::reason::{Problem, Reason};
use super::strict;
use crate::canon::{Sha256, json as canonical};

/// Bytes of a certificate that are read.
pub const MAX_CERTIFICATE: u64 = 16 << 20;
/// Signatures that an envelope may hold.
const MAX_SIGNATURES: usize = 32;
/// Bytes of a key id, a hint.
const MAX_HINT: usize = 1024;
/// The type of what is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureEntry {
    /// What the envelope says of the key; never believed.
    pub hint: Option<String>,
    /// The signature's bytes; 64 of them, if it is one.
    pub signature: Vec<u8>,
}

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Type of the payload.
    pub payload_type: String,
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The signatures in the order found.
    pub signatures: Vec<SignatureEntry>,
    /// Members that mean nothing to us.
    pub ignored: Vec<String>,
}

/// Returns the bytes that are signed (DSSE's pre-authentication encoding); lengths count bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// Signs `payload` with one key.
    pub fn sign(payload: Vec<u8>, key: &SecretKey) -> Self {
        let mut envelope =
            Self { payload_type: PAYLOAD_TYPE.into(), payload, signatures: Vec::new(), ignored: Vec::new() };
        envelope.add_signature(key);
        envelope
    }

    /// Adds a key's signature; the payload stays as it is, and a key signs once.
    pub fn add_signature(&mut self, key: &SecretKey) {
        let signature = key.sign(&self.to_be_signed()).to_vec();
        let hint = key.public().keyid();
        self.signatures.retain(|entry| entry.signature != signature && entry.hint.as_ref() != Some(&hint));
        self.signatures.push(SignatureEntry { hint: Some(hint), signature });
        self.signatures.sort_by(|a, b| a.hint.cmp(&b.hint));
    }

    /// Returns the bytes that every signature is over.
    pub fn to_be_signed(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Returns what a certificate is known by: the SHA-256 of the payload, which signatures do not change.
    pub fn identity(&self) -> Sha256 {
        Sha256::of(&self.payload)
    }

    /// Returns the envelope as a file holds it: canonical JSON and a line feed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let signatures: Vec<Value> = self
            .signatures
            .iter()
            .map(|entry| json!({"keyid": entry.hint.as_deref().unwrap_or_default(), "sig": STANDARD.encode(&entry.signature)}))
            .collect();
        let value = json!({
            "payload": STANDARD.encode(&self.payload), "payloadType": self.payload_type, "signatures": signatures,
        });
        let mut bytes = canonical::to_bytes(&value).expect("strings only");
        bytes.push(b'\n');
        bytes
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// Bytes that are not an envelope within the limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() as u64 > MAX_CERTIFICATE {
            return Err(wrong(format!("it is larger than {MAX_CERTIFICATE} bytes")));
        }
        let value = strict::parse(bytes).map_err(wrong)?;
        let members = value.as_object().ok_or_else(|| wrong("it is not a JSON object"))?;
        let text = |name: &str| {
            let value = members.get(name).ok_or_else(|| wrong(format!("it has no {name}")))?;
            value.as_str().ok_or_else(|| wrong(format!("its {name} is not a string")))
        };
        let signatures = members.get("signatures").and_then(Value::as_array);
        let signatures = signatures.ok_or_else(|| wrong("its signatures are not a list"))?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(wrong(format!("it has {} signatures; at most {MAX_SIGNATURES} are read", signatures.len())));
        }
        let mut ignored: Vec<String> = Vec::new();
        let mut note = |object: &serde_json::Map<String, Value>, known: &[&str]| {
            let unknown = object.keys().filter(|name| !known.contains(&name.as_str()));
            ignored.extend(unknown.map(|name| name.chars().take(100).collect::<String>()));
        };
        note(members, &["payload", "payloadType", "signatures"]);
        let mut entries = Vec::with_capacity(signatures.len());
        for entry in signatures {
            let entry = entry.as_object().ok_or_else(|| wrong("a signature is not a JSON object"))?;
            note(entry, &["keyid", "sig"]);
            let hint = match entry.get("keyid") {
                None => None,
                Some(Value::String(hint)) if hint.len() <= MAX_HINT => Some(hint.clone()),
                Some(_) => return Err(wrong(format!("a keyid is not a string of at most {MAX_HINT} bytes"))),
            };
            let sig = entry.get("sig").and_then(Value::as_str).ok_or_else(|| wrong("a sig is not a string"))?;
            entries.push(SignatureEntry { hint: hint.filter(|hint| !hint.is_empty()), signature: decode("sig", sig)? });
        }
        ignored.sort();
        Ok(Self {
            payload_type: text("payloadType")?.to_owned(),
            payload: decode("payload", text("payload")?)?,
            signatures: entries,
            ignored,
        })
    }
}

fn wrong(what: impl ToString) -> Problem {
    Problem::new(Reason::Envelope, format!("not an envelope: {}", what.to_string()))
}

/// Decodes either alphabet, never both in one text; padding, line breaks and spare bits must be right.
fn decode(name: &str, text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| wrong(format!("its {name} is not base64")))
}
