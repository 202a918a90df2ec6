//! Merkle trees of RFC 6962 (leaf prefix 0x00, node prefix 0x01, SHA-256): roots over example ids
//! and proofs that one example is at one place without showing the others.

use sha2::block_api::compress256;

use crate::digest::Digest;

/// Why there is no inclusion proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no leaf {index} in a tree of {size} leaves, which are numbered from 0")]
pub struct OutsideTree {
    /// The leaf asked for.
    pub index: u64,
    /// The number of leaves.
    pub size: u64,
}

/// SHA-256(0x00 || leaf).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], leaf])
}

/// [`leaf_hash`] of a digest: prefix, 32 bytes, padding, the length of 264 bits, in one block.
fn digest_leaf_hash(leaf: &[u8; 32]) -> Digest {
    let mut block = [0; 64];
    block[1..33].copy_from_slice(leaf);
    block[33] = 0x80;
    block[62..].copy_from_slice(&264_u16.to_be_bytes());
    padded_hash(&[block])
}

/// SHA-256(0x01 || left || right): 65 bytes, then padding and the length of 520 bits.
fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut blocks = [[0; 64]; 2];
    blocks[0][0] = 1;
    blocks[0][1..33].copy_from_slice(left.as_bytes());
    blocks[0][33..].copy_from_slice(&right.as_bytes()[..31]);
    blocks[1][0] = right.as_bytes()[31];
    blocks[1][1] = 0x80;
    blocks[1][62..].copy_from_slice(&520_u16.to_be_bytes());
    padded_hash(&blocks)
}

/// SHA-256 of a message that was padded by hand (FIPS 180-4, section 5.1.1). Trees hash only
/// messages of two lengths; without the hasher's buffer that takes a third less time.
fn padded_hash(blocks: &[[u8; 64]]) -> Digest {
    // FIPS 180-4, section 5.3.3.
    let mut state = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    compress256(&mut state, blocks);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    Digest(digest)
}

/// The leaf hashes of a dataset's sample ids, in dataset order: taken once, used by every root over
/// its examples. 32 bytes an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaves(Vec<Digest>);

impl Leaves {
    /// Leaf hashes of `sample_ids`.
    #[must_use]
    pub fn of(sample_ids: &[Digest]) -> Self {
        let mut leaves = Self::default();
        sample_ids.iter().for_each(|id| leaves.push(id.as_bytes()));
        leaves
    }

    /// Adds the leaf hash of the next sample id.
    pub fn push(&mut self, sample_id: &[u8; 32]) {
        self.0.push(digest_leaf_hash(sample_id));
    }

    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The leaf hash of an example.
    #[must_use]
    pub fn get(&self, example: u32) -> Option<&Digest> {
        self.0.get(example as usize)
    }

    /// The dataset root.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut builder = MerkleBuilder::new();
        self.0.iter().for_each(|leaf| builder.push_leaf_hash(*leaf));
        builder.root()
    }
}

/// Computes a root leaf by leaf, holding one digest for each bit of the number of leaves.
#[derive(Debug, Clone, Default)]
pub struct MerkleBuilder {
    leaves: u64,
    /// Roots of the full subtrees so far, largest first.
    subtrees: Vec<Digest>,
}

impl MerkleBuilder {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        self.push_leaf_hash(leaf_hash(leaf));
    }

    /// Appends a leaf by its [`leaf_hash`], for callers that meet the same leaf many times.
    pub fn push_leaf_hash(&mut self, leaf: Digest) {
        let mut node = leaf;
        // Each trailing one of the count is a full subtree that the new leaf completes.
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.subtrees.push(node);
        self.leaves += 1;
    }

    /// The root over the leaves so far; SHA-256 of nothing for the empty tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(&last) = subtrees.next() else { return Digest::of(b"") };
        subtrees.fold(last, |right, left| node_hash(left, &right))
    }
}

/// The root over 32-byte leaves.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let mut builder = MerkleBuilder::new();
    for leaf in leaves {
        builder.push_leaf_hash(digest_leaf_hash(leaf.as_bytes()));
    }
    builder.root()
}

/// The audit path of leaf `index`, from the leaf's sibling up (RFC 6962, section 2.1.1).
///
/// # Errors
/// When there is no such leaf.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Result<Vec<Digest>, OutsideTree> {
    if index >= leaves.len() {
        return Err(OutsideTree { index: index as u64, size: leaves.len() as u64 });
    }
    let mut level: Vec<Digest> = leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect();
    let mut at = index;
    let mut path = Vec::new();
    while level.len() > 1 {
        path.extend(level.get(at ^ 1));
        // A node without a sibling moves up unchanged.
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                alone => alone[0],
            })
            .collect();
        at /= 2;
    }
    Ok(path)
}

/// Whether `proof` shows that `leaf` is number `index` of the `size` leaves under `root`
/// (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut node = leaf_hash(leaf.as_bytes());
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            // Skip the levels where this node had no sibling.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hashes_padded_by_hand_are_those_of_the_hasher() {
        for i in 0..50_u8 {
            let [left, right] = [Digest::of(&[i]), Digest::of(&[i, i])];
            assert_eq!(digest_leaf_hash(left.as_bytes()), leaf_hash(left.as_bytes()));
            let node = Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()]);
            assert_eq!(node_hash(&left, &right), node);
        }
    }

    #[test]
    fn leaves_taken_once_give_the_root_of_the_ids() {
        for size in [0, 1, 2, 3, 7, 8, 100] {
            let ids = leaves(size);
            let taken = Leaves::of(&ids);
            assert_eq!((taken.len(), taken.is_empty()), (size, size == 0));
            assert_eq!(taken.root(), root(&ids));
            assert_eq!(taken.get(size as u32), None);
        }
    }

    fn leaves(n: usize) -> Vec<Digest> {
        (0..n).map(|i| Digest::of(&i.to_le_bytes())).collect()
    }

    /// RFC 6962, section 2.1, word for word.
    fn recursive_root(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [leaf] => leaf_hash(leaf.as_bytes()),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(k);
                node_hash(&recursive_root(left), &recursive_root(right))
            }
        }
    }

    #[test]
    fn roots_agree_with_the_test_vectors_of_certificate_transparency() {
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut builder = MerkleBuilder::new();
        assert_eq!(builder.root(), Digest::of(b""));
        for (leaf, expected) in data.iter().zip(roots) {
            builder.push(leaf);
            assert_eq!(builder.root().to_string(), expected);
        }
    }

    #[test]
    fn every_leaf_of_every_size_to_200_has_a_proof_that_holds() {
        for size in 1..=200 {
            let leaves = leaves(size);
            let root = root(&leaves);
            assert_eq!(root, recursive_root(&leaves), "size {size}");
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = inclusion_proof(&leaves, index).unwrap();
                assert!(
                    verify_inclusion(leaf, index as u64, size as u64, &proof, &root),
                    "leaf {index} of {size}"
                );
            }
        }
    }

    #[test]
    fn a_leaf_outside_the_tree_has_no_proof() {
        assert_eq!(inclusion_proof(&leaves(3), 3), Err(OutsideTree { index: 3, size: 3 }));
        assert_eq!(inclusion_proof(&[], 0), Err(OutsideTree { index: 0, size: 0 }));
        let leaf = leaves(1)[0];
        assert!(!verify_inclusion(&leaf, 0, 0, &[], &root(&[])));
    }

    #[test]
    fn the_builder_holds_one_digest_for_each_set_bit_of_the_count() {
        let mut builder = MerkleBuilder::new();
        for n in 1..=1000_u64 {
            builder.push(b"leaf");
            assert_eq!(builder.subtrees.len(), n.count_ones() as usize);
        }
    }

    proptest! {
        #[test]
        fn a_changed_proof_fails(
            size in 1_usize..200, at: prop::sample::Index, hit: prop::sample::Index, byte in 0_usize..32,
        ) {
            let leaves = leaves(size);
            let root = root(&leaves);
            let index = at.index(size);
            let (leaf, index, size) = (leaves[index], index as u64, size as u64);
            let proof = inclusion_proof(&leaves, index as usize).unwrap();
            let holds = verify_inclusion;
            prop_assert!(holds(&leaf, index, size, &proof, &root));

            let mut other = leaf;
            other.0[byte] ^= 1;
            prop_assert!(!holds(&other, index, size, &proof, &root));
            let mut other = root;
            other.0[byte] ^= 1;
            prop_assert!(!holds(&leaf, index, size, &proof, &other));
            let mut longer = proof.clone();
            longer.push(leaf);
            prop_assert!(!holds(&leaf, index, size, &longer, &root));
            if !proof.is_empty() {
                prop_assert!(!holds(&leaf, index, size, &proof[1..], &root));
                let mut other = proof.clone();
                let position = hit.index(other.len());
                other[position].0[byte] ^= 1;
                prop_assert!(!holds(&leaf, index, size, &other, &root));
            }
            let other = hit.index(leaves.len()) as u64;
            if other != index {
                prop_assert!(!holds(&leaf, other, size, &proof, &root));
            }
        }

        #[test]
        fn any_index_size_and_proof_is_judged_without_panic(
            index: u64, size: u64, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let proof: Vec<Digest> = proof.into_iter().map(Digest).collect();
            let leaf = Digest::of(b"leaf");
            prop_assert!(!verify_inclusion(&leaf, index, size, &proof, &Digest::of(b"root")));
        }
    }
}
