//! The identity of one example, independent of its place in a dataset.

use crate::digest::Digest;

/// SHA-256("palimpsest/sample/v1" || length of `input` u64 LE || `input` || `label`), where `input`
/// is the canonical bytes of the input. The length keeps input and label from being shifted
/// against each other.
#[must_use]
pub fn sample_id(input: &[u8], label: &[u8]) -> Digest {
    Digest::of_parts(&[b"palimpsest/sample/v1", &(input.len() as u64).to_le_bytes(), input, label])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_hashes_prefix_length_input_and_label() {
        let text = b"palimpsest/sample/v1\x03\0\0\0\0\0\0\0abcd";
        assert_eq!(sample_id(b"abc", b"d"), Digest::of(text));
    }

    #[test]
    fn moving_a_byte_from_label_to_input_changes_the_id() {
        assert_ne!(sample_id(b"ab", b"c"), sample_id(b"a", b"bc"));
    }
}
