//! The arrays beside the messages: `.npy`, version 1.0, little-endian, in C order.

use std::io::{self, Write};

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// The header ends where the values can begin at a multiple of this.
const ALIGNED: usize = 64;

/// Kinds of values that are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    F4,
    /// 64-bit floats.
    F8,
    /// 64-bit integers.
    I8,
    /// 32-bit unsigned integers.
    U4,
}

impl Kind {
    /// NumPy's name of it.
    #[must_use]
    pub const fn descr(self) -> &'static str {
        match self {
            Self::F4 => "<f4",
            Self::F8 => "<f8",
            Self::I8 => "<i8",
            Self::U4 => "<u4",
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::F4 | Self::U4 => 4,
            Self::F8 | Self::I8 => 8,
        }
    }
}

/// What stands before the values.
#[must_use]
pub fn header(kind: Kind, shape: &[u64]) -> Vec<u8> {
    let lengths: Vec<String> = shape.iter().map(u64::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        kind.descr(),
        lengths.join(", ")
    );
    let begun = MAGIC.len() + 2 + text.len() + 1;
    text.push_str(&" ".repeat(begun.next_multiple_of(ALIGNED) - begun));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    // A few lengths are far from the 65,535 bytes that version 1.0 has room for.
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.into_bytes());
    bytes
}

/// Writes an array of values that are bytes already.
///
/// # Errors
/// When `target` refuses the bytes.
pub fn write(target: &mut impl Write, kind: Kind, shape: &[u64], values: &[u8]) -> io::Result<()> {
    target.write_all(&header(kind, shape))?;
    target.write_all(values)
}

/// Most bytes that the file of a table of numbers may have: the header of any writer, and the values.
#[must_use]
pub fn most_bytes(rows: usize, columns: usize) -> u64 {
    (rows.saturating_mul(columns).saturating_mul(8) as u64).saturating_add(1 << 16)
}

/// A table of `rows` × `columns` floats, 32 or 64 bits each.
///
/// # Errors
/// When these are the bytes of something else; with what was found and the remedy.
pub fn read_table(bytes: &[u8], rows: usize, columns: usize) -> Result<Vec<f32>, String> {
    let not = || "it is no .npy file of version 1.0; numpy.save writes one".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(not)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(not)?;
    let (text, values) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or_else(not)?;
    let text = std::str::from_utf8(text).map_err(|_| not())?;
    let field = |name: &str| {
        let (_, behind) = text.split_once(&format!("'{name}':"))?;
        Some(behind.trim_start())
    };
    let descr = field("descr").and_then(|text| text.split('\'').nth(1)).ok_or_else(not)?;
    let kind = [Kind::F4, Kind::F8].into_iter().find(|kind| kind.descr() == descr);
    let kind =
        kind.ok_or_else(|| format!("its values are {descr:?}; give <f4, 32-bit floats, or <f8"))?;
    if !field("fortran_order").is_some_and(|text| text.starts_with("False")) {
        return Err("its values lie column by column; give numpy.ascontiguousarray".to_owned());
    }
    let shape = field("shape").and_then(|text| text.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(not)?;
    let lengths = shape.split(',').map(str::trim).filter(|length| !length.is_empty());
    let lengths: Vec<&str> = lengths.collect();
    if lengths != [rows.to_string(), columns.to_string()] {
        return Err(format!("its shape is ({shape}), but must be ({rows}, {columns})"));
    }
    if values.len() != rows.saturating_mul(columns).saturating_mul(kind.size()) {
        return Err(format!("it holds {} bytes of values, not those of ({shape})", values.len()));
    }
    Ok(match kind {
        Kind::F8 => {
            let (values, _) = values.as_chunks::<8>();
            #[expect(clippy::cast_possible_truncation, reason = "outputs are judged in 32 bits")]
            let values = values.iter().map(|value| f64::from_le_bytes(*value) as f32);
            values.collect()
        }
        _ => {
            let (values, _) = values.as_chunks::<4>();
            values.iter().map(|value| f32::from_le_bytes(*value)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: Kind, shape: &[u64], values: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, shape, values).unwrap();
        bytes
    }

    // numpy.save(f, numpy.array([[1.5], [-2.0]], "<f4")), NumPy 2: 128 bytes of header.
    #[test]
    fn the_header_is_numpys() {
        let header = header(Kind::F4, &[2, 1]);
        assert_eq!(header.len(), 128);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert_eq!(text.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }");
        assert!(text.ends_with(" \n"));
        let list = super::header(Kind::U4, &[7]);
        assert!(String::from_utf8_lossy(&list).contains("'shape': (7,), }"));
        assert_eq!(list.len() % 64, 0);
    }

    #[test]
    fn tables_of_both_floats_are_read_back() {
        let singles: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let doubles: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let read = |bytes: &[u8]| read_table(bytes, 2, 1);
        assert_eq!(read(&table(Kind::F4, &[2, 1], &singles)).unwrap(), [1.5, -2.0]);
        assert_eq!(read(&table(Kind::F8, &[2, 1], &doubles)).unwrap(), [1.5, -2.0]);
    }

    #[test]
    fn what_is_no_such_table_is_refused_with_the_remedy() {
        let told = |bytes: &[u8]| read_table(bytes, 2, 1).unwrap_err();
        let good = table(Kind::F4, &[2, 1], &[0; 8]);
        assert!(told(b"1.5 -2.0").contains("no .npy file"));
        assert!(told(&good[..20]).contains("no .npy file"));
        assert_eq!(
            told(&table(Kind::F4, &[1, 2], &[0; 8])),
            "its shape is (1, 2), but must be (2, 1)"
        );
        assert!(told(&table(Kind::F4, &[2], &[0; 8])).contains("its shape is (2,)"));
        assert!(told(&table(Kind::I8, &[2, 1], &[0; 16])).contains("give <f4"));
        assert!(told(&good[..good.len() - 1]).contains("7 bytes of values"));
        let columns = String::from_utf8_lossy(&good[10..128]).replace("False", "True ");
        let turned = [&good[..10], columns.as_bytes(), &good[128..]].concat();
        assert!(told(&turned).contains("ascontiguousarray"));
    }
}
