//! Merkle tree hash over an ordered list of leaves (RFC 6962 §2.1): SHA-256, prefix 0x00 for a leaf and 0x01 for a
//! node, the odd node of a level promoted and never duplicated.

use sha2::{Digest as _, Sha256 as Hasher};

use super::Sha256;

/// Builds a root leaf by leaf, holding one digest per level.
#[derive(Debug, Default, Clone)]
pub struct MerkleTree {
    /// Complete subtrees from left to right with their numbers of leaves, each a power of two, strictly falling.
    peaks: Vec<(u64, [u8; 32])>,
}

impl MerkleTree {
    /// Appends one leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut digest: [u8; 32] = Hasher::new().chain_update([0]).chain_update(leaf).finalize().into();
        let mut size = 1;
        while let Some(&(left_size, left)) = self.peaks.last().filter(|(left_size, _)| *left_size == size) {
            digest = node(&left, &digest);
            size += left_size;
            self.peaks.pop();
        }
        self.peaks.push((size, digest));
    }

    /// Returns the number of leaves.
    pub fn len(&self) -> u64 {
        self.peaks.iter().map(|(size, _)| size).sum()
    }

    /// Says whether no leaf was appended.
    pub fn is_empty(&self) -> bool {
        self.peaks.is_empty()
    }

    /// Returns the root: SHA-256 of nothing when empty.
    pub fn root(&self) -> Sha256 {
        let mut peaks = self.peaks.iter().rev().map(|(_, digest)| *digest);
        let Some(last) = peaks.next() else { return Sha256::of(b"") };
        Sha256::from_bytes(peaks.fold(last, |right, left| node(&left, &right)))
    }
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Hasher::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_of(leaves: &[&[u8]]) -> Sha256 {
        let mut tree = MerkleTree::default();
        leaves.iter().for_each(|leaf| tree.push(leaf));
        tree.root()
    }

    /// The recursive definition of RFC 6962 §2.1, as written there.
    fn by_definition(leaves: &[Vec<u8>]) -> [u8; 32] {
        match leaves.len() {
            0 => Hasher::digest(b"").into(),
            1 => Hasher::new().chain_update([0]).chain_update(&leaves[0]).finalize().into(),
            n => {
                let k = 1 << (usize::BITS - 1 - (n - 1).leading_zeros());
                node(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
            }
        }
    }

    #[test]
    fn equals_the_recursive_definition_for_every_size() {
        let leaves: Vec<Vec<u8>> = (0..70_u8).map(|i| vec![i; usize::from(i)]).collect();
        let mut tree = MerkleTree::default();
        for n in 0..leaves.len() {
            assert_eq!(tree.len(), n as u64);
            assert_eq!(tree.root().as_bytes(), &by_definition(&leaves[..n]), "{n} leaves");
            tree.push(&leaves[n]);
        }
    }

    #[test]
    fn known_roots() {
        assert_eq!(root_of(&[]), Sha256::of(b""));
        assert_eq!(root_of(&[b""]), Sha256::of(b"\0"));
    }

    #[test]
    fn a_doubled_last_leaf_changes_the_root() {
        assert_ne!(root_of(&[b"a", b"b", b"c"]), root_of(&[b"a", b"b", b"c", b"c"]));
    }

    #[test]
    fn an_inner_node_is_not_a_leaf() {
        let leaf = |bytes: &[u8]| -> [u8; 32] { Hasher::new().chain_update([0]).chain_update(bytes).finalize().into() };
        let inner = [leaf(b"a"), leaf(b"b")].concat();
        assert_ne!(root_of(&[b"a", b"b", b"c"]), root_of(&[&inner, b"c"]));
    }
}
