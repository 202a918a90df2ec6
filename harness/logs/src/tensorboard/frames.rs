//! The records of an event file: length (u64, little-endian), masked CRC-32C of these 8 bytes, the bytes,
//! their masked CRC-32C. The mask is a rotation by 15 bits and a constant, as in TensorFlow's `TFRecord`.

use std::io::{self, Read};

use crc::{CRC_32_ISCSI, Crc};

/// Most bytes of a record: scalars have some dozens, images some megabytes.
const MOST_BYTES: u64 = 1 << 30;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

fn masked(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// What comes next in a file.
pub(super) enum Frame {
    /// A record whose checksums hold.
    Whole(Vec<u8>),
    /// The beginning of one, and then the end of the file.
    CutOff,
    /// Nothing.
    End,
}

/// Reads records one after the other.
pub(super) struct Frames<R> {
    source: R,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source }
    }

    /// Up to so many bytes: what is allocated grows with what is there, and not with what a length says.
    fn take(&mut self, most: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = io::Read::by_ref(&mut self.source).take(most).read_to_end(&mut bytes);
        read.map_err(|error| format!("it cannot be read: {error}"))?;
        Ok(bytes)
    }

    pub(super) fn next(&mut self) -> Result<Frame, String> {
        let head = self.take(12)?;
        if head.is_empty() {
            return Ok(Frame::End);
        }
        let (Some((length, rest)), true) = (head.split_first_chunk::<8>(), head.len() == 12) else {
            return Ok(Frame::CutOff);
        };
        if rest != masked(length).to_le_bytes() {
            return Err(
                "the checksum of its length does not hold: it is no event file, or damaged"
                    .to_owned(),
            );
        }
        let length = u64::from_le_bytes(*length);
        if length > MOST_BYTES {
            return Err(format!("it says that it has {length} bytes, more than {MOST_BYTES}"));
        }
        let mut bytes = self.take(length + 4)?;
        if (bytes.len() as u64) < length + 4 {
            return Ok(Frame::CutOff);
        }
        let sum = bytes.split_off(bytes.len() - 4);
        if sum != masked(&bytes).to_le_bytes() {
            return Err("its checksum does not hold: the file is damaged; copy it again".to_owned());
        }
        Ok(Frame::Whole(bytes))
    }
}

/// Bytes as a record.
#[cfg(test)]
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let sums = [masked(&length), masked(bytes)].map(u32::to_le_bytes);
    [&length[..], &sums[0], bytes, &sums[1]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let length = u64::MAX.to_le_bytes();
        let lying = [&length[..], &masked(&length).to_le_bytes()].concat();
        assert!(Frames::new(&lying[..]).next().is_err_and(|told| told.contains("more than")));
        let length = (1_u64 << 29).to_le_bytes();
        let long = [&length[..], &masked(&length).to_le_bytes(), b"short"].concat();
        assert!(matches!(Frames::new(&long[..]).next(), Ok(Frame::CutOff)));
        assert!(Frames::new(&[0; 12][..]).next().is_err_and(|told| told.contains("no event file")));
    }
}
