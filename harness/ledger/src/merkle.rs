//! Merkle trees of RFC 6962 (leaf prefix 0x00, node prefix 0x01, SHA-256): roots over example ids
//! and proofs that one example is at one place without showing the others.

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

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
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
        builder.push(leaf.as_bytes());
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
