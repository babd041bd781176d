//! OpenSSH's forms: the public key of `allowed_signers`, and a detached signature for `ssh-keygen -Y verify`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use super::key::{PublicKey, SecretKey};

const ALGORITHM: &[u8] = b"ssh-ed25519";
const MAGIC: &[u8] = b"SSHSIG";
/// The namespace of our signatures, so that none made for another purpose counts.
pub(super) const NAMESPACE: &str = "runproof-certificate";

fn string(bytes: &[u8]) -> Vec<u8> {
    // Keys, names and digests: never near 4 GiB.
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn blob(key: &PublicKey) -> Vec<u8> {
    [string(ALGORITHM), string(key.as_bytes())].concat()
}

impl PublicKey {
    /// Returns the key as a line of `authorized_keys` or `allowed_signers` has it.
    pub fn to_openssh(&self) -> String {
        format!("ssh-ed25519 {}", STANDARD.encode(blob(self)))
    }
}

/// Returns a detached signature over `message` in OpenSSH's armour (PROTOCOL.sshsig).
pub fn sshsig(key: &SecretKey, message: &[u8]) -> String {
    let digest = sha2::Sha512::digest(message);
    let common = [string(NAMESPACE.as_bytes()), string(b""), string(b"sha512")].concat();
    let signed = [MAGIC, &common, &string(&digest)].concat();
    let signature = [string(ALGORITHM), string(&key.sign(&signed))].concat();
    let all = [MAGIC, &1_u32.to_be_bytes(), &string(&blob(&key.public())), &common, &string(&signature)].concat();
    let text = STANDARD.encode(all);
    let lines: Vec<&str> =
        text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}
