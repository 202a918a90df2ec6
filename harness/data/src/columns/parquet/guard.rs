//! What a Parquet file declares, held against its length before the parser believes it.
//!
//! Footer and page headers are Thrift structs in the compact protocol (parquet-format, parquet.thrift).
//! The parser reads the fields that it knows by the types that they should have, follows the schema by
//! recursion, makes room for as many children as an element says, steps through lists of booleans in
//! unknown fields without moving on, and unpacks pages to whatever their headers say. A stack that
//! ends, or memory that is not there, would end the whole process. So the structs are walked here first,
//! by the same types: a field of another type than its own is refused, so that both read the same.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use Shape::{Binary, Bool, Byte, Double, I16, I32, I64, List, Struct};

/// Levels of the schema, far more than lists of numbers need.
const DEEPEST: usize = 64;
/// Nested values of fields that nobody knows, as the parser has it.
const DEEPEST_UNKNOWN: usize = 64;
/// Bytes that the pages of a column may unpack to, besides [`FACTOR`] times the file.
const ROOM: u64 = 1 << 26;
/// How often a file's length its pages, or names that it repeats, may come to: constant columns are
/// packed to a thousandth.
const FACTOR: u64 = 1024;
/// Bytes that a number takes: pages may declare as many as these fit into the room.
const NUMBER: u64 = 8;
/// Bytes looked at for a page header at first; those with long statistics have more.
const WINDOW: u64 = 1 << 12;

/// The type of a field.
enum Shape {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static Shape),
    Struct(Fields),
}

type Fields = &'static [(i16, Shape)];

const NOTHING: Shape = Struct(&[]);
const TIME: Shape = Struct(&[(1, Bool), (2, Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))]);
const LOGICAL: Shape = Struct(&[
    (5, Struct(&[(1, I32), (2, I32)])),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
]);
const ELEMENT: Shape = Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL),
]);
const KEY_VALUE: Shape = Struct(&[(1, Binary), (2, Binary)]);
const STATISTICS: Shape = Struct(&[
    (1, Binary),
    (2, Binary),
    (3, I64),
    (4, I64),
    (5, Binary),
    (6, Binary),
    (7, Bool),
    (8, Bool),
    (9, I64),
]);
const BOX: Shape = Struct(&[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
]);
const CHUNK: Shape = Struct(&[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&KEY_VALUE)),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
    (17, Struct(&[(1, BOX), (2, List(&I32))])),
]);
const COLUMN: Shape =
    Struct(&[(1, Binary), (2, I64), (3, CHUNK), (4, I64), (5, I32), (6, I64), (7, I32)]);
const GROUP: Shape = Struct(&[
    (1, List(&COLUMN)),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, I16),
]);
/// `FileMetaData`.
const FOOTER: Fields = &[
    (1, I32),
    (2, List(&ELEMENT)),
    (3, I64),
    (4, List(&GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))),
];
/// `PageHeader`.
const PAGE: Fields = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)])),
    (6, NOTHING),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
    (
        8,
        Struct(&[
            (1, I32),
            (2, I32),
            (3, I32),
            (4, I32),
            (5, I32),
            (6, I32),
            (7, Bool),
            (8, STATISTICS),
        ]),
    ),
];

/// What a column of a file of `length` bytes may come to, in bytes.
pub(super) fn most(length: u64) -> u64 {
    ROOM.saturating_add(length.saturating_mul(FACTOR))
}

/// Walks the footer and holds the shape of the schema to it.
///
/// # Errors
/// With what is wrong.
pub(super) fn check_footer(file: &mut File, length: u64) -> Result<(), String> {
    let read = |error: std::io::Error| error.to_string();
    let mut end = [0; 8];
    // What is no Parquet file at its end is the parser's to tell.
    let Some(before) = length.checked_sub(end.len() as u64) else { return Ok(()) };
    file.seek(SeekFrom::Start(before)).map_err(read)?;
    file.read_exact(&mut end).map_err(read)?;
    let [a, b, c, d, magic @ ..] = end;
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != *b"PAR1" || size > before {
        return Ok(());
    }
    let mut bytes = vec![0; size as usize];
    file.seek(SeekFrom::Start(before - size)).map_err(read)?;
    file.read_exact(&mut bytes).map_err(read)?;
    let mut children = Vec::new();
    let mut schemas = 0;
    let mut walk = Walk::new(&bytes, |path, seen| match (path, seen) {
        ([2], Seen::List) => schemas += 1,
        ([2], Seen::Struct) => children.push(0),
        ([2, 5], Seen::Number(count)) => {
            if let Some(last) = children.last_mut() {
                *last = count;
            }
        }
        _ => {}
    });
    walk.fields(FOOTER).map_err(|broken| format!("its footer {}", broken.0))?;
    drop(walk);
    if schemas > 1 {
        return Err("its footer has two schemas".to_owned());
    }
    check_schema(&children)
}

/// Elements of a schema by their number of children, each before its own.
fn check_schema(children: &[i64]) -> Result<(), String> {
    let mut open: Vec<i64> = Vec::new();
    for (place, &count) in children.iter().enumerate() {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        let after = (children.len() - place - 1) as i64;
        if !(0..=after).contains(&count) {
            return Err(format!("element {place} of its schema has {count} children of {after}"));
        }
        if count > 0 {
            open.push(count);
        }
        if open.len() > DEEPEST {
            return Err(format!("its schema has more than {DEEPEST} levels"));
        }
    }
    Ok(())
}

/// Walks the headers of the pages in `range` (start and length) of a column and adds up what they
/// declare.
///
/// # Errors
/// With what is wrong, or when the sum is beyond [`most`].
pub(super) fn check_pages(
    file: &mut File,
    length: u64,
    (start, size): (u64, u64),
    spent: &mut Spent,
) -> Result<(), String> {
    let (mut at, mut left) = (start, size);
    while left > 0 {
        let (header, [unpacked, packed, values]) = page(file, at, left)?;
        let step = header.saturating_add(packed);
        // Where pages run over the end of their chunk the parser tells of it.
        if step > left {
            return Ok(());
        }
        (at, left) = (at.saturating_add(step), left - step);
        spent.bytes = spent.bytes.saturating_add(unpacked);
        spent.values = spent.values.saturating_add(values);
        if spent.bytes > most(length) || spent.values > most(length) / NUMBER {
            return Err(format!(
                "its pages declare {} values and {} bytes unpacked, out of proportion to a file of {length} bytes",
                spent.values, spent.bytes
            ));
        }
    }
    Ok(())
}

/// What the pages of a column declare.
#[derive(Debug, Default)]
pub(super) struct Spent {
    bytes: u64,
    values: u64,
}

/// Length of the header at `at`, and what it says: bytes unpacked and packed, and values.
fn page(file: &mut File, at: u64, left: u64) -> Result<(u64, [u64; 3]), String> {
    let read = |error: std::io::Error| error.to_string();
    let mut window = WINDOW.min(left);
    loop {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at)).map_err(read)?;
        (&mut *file).take(window).read_to_end(&mut bytes).map_err(read)?;
        let mut said = [0; 3];
        let mut walk = Walk::new(&bytes, |path, seen| {
            if let Seen::Number(number) = seen {
                let number = u64::try_from(number).unwrap_or(u64::MAX);
                match path {
                    [2] => said[0] = number,
                    [3] => said[1] = number,
                    [5 | 7 | 8, 1] => said[2] = said[2].max(number),
                    _ => {}
                }
            }
        });
        match walk.fields(PAGE) {
            Ok(()) => return Ok(((bytes.len() - walk.rest.len()) as u64, said)),
            Err(Broken(ENDS)) if window < left => window = window.saturating_mul(16).min(left),
            Err(broken) => return Err(format!("the page header at byte {at} {}", broken.0)),
        }
    }
}

/// What is met on the way.
enum Seen {
    List,
    Struct,
    Number(i64),
}

/// Why a struct cannot be walked.
struct Broken(&'static str);

const ENDS: &str = "ends early";

/// A walk over the fields of a struct; `seen` is told the ids of the fields above and what is there.
struct Walk<'a, F> {
    rest: &'a [u8],
    path: Vec<i16>,
    seen: F,
}

impl<'a, F: FnMut(&[i16], Seen)> Walk<'a, F> {
    fn new(rest: &'a [u8], seen: F) -> Self {
        Self { rest, path: Vec::new(), seen }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Broken> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = split.ok_or(Broken(ENDS))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number of at most 64 bits, seven of them a byte.
    fn varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Broken("has a number of more than 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, Broken> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The header of a field: its id and wire type; none at the end of its struct.
    fn header(&mut self, last: i16) -> Result<Option<(i16, u8)>, Broken> {
        let header = self.byte()?;
        let (delta, wire) = (header >> 4, header & 0xf);
        if wire == 0 {
            return Ok(None);
        }
        let id = match delta {
            0 => i16::try_from(self.signed()?).ok(),
            delta => last.checked_add(delta.into()),
        };
        Ok(Some((id.ok_or(Broken("has a field of no valid id"))?, wire)))
    }

    /// The type and the number of the elements of a list.
    fn list(&mut self) -> Result<(u8, u64), Broken> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => count.into(),
        };
        // Each takes a byte at least.
        if count > self.rest.len() as u64 {
            return Err(Broken("declares a list longer than itself"));
        }
        Ok((header & 0xf, count))
    }

    /// The fields of a struct up to its end.
    fn fields(&mut self, known: Fields) -> Result<(), Broken> {
        let mut last = 0;
        while let Some((id, wire)) = self.header(last)? {
            last = id;
            match known.iter().find(|(field, _)| *field == id) {
                None => self.skip(wire, DEEPEST_UNKNOWN)?,
                Some((_, shape)) => {
                    self.path.push(id);
                    self.value(shape, wire)?;
                    self.path.pop();
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, shape: &Shape, wire: u8) -> Result<(), Broken> {
        if !shape.is(wire) {
            return Err(Broken("has a field of another type than its own"));
        }
        match shape {
            Bool => {}
            Byte => {
                self.byte()?;
            }
            I16 | I32 | I64 => {
                let number = self.signed()?;
                let fits = match shape {
                    I16 => i16::try_from(number).is_ok(),
                    I32 => i32::try_from(number).is_ok(),
                    _ => true,
                };
                if !fits {
                    return Err(Broken("has a number beyond its type"));
                }
                (self.seen)(&self.path, Seen::Number(number));
            }
            Double => {
                self.take(8)?;
            }
            Binary => {
                let length = self.varint()?;
                self.take(length)?;
            }
            Struct(fields) => {
                (self.seen)(&self.path, Seen::Struct);
                self.fields(fields)?;
            }
            List(element) => {
                (self.seen)(&self.path, Seen::List);
                let (wire, count) = self.list()?;
                for _ in 0..count {
                    self.value(element, wire)?;
                }
            }
        }
        Ok(())
    }

    /// A value that nobody knows, by its wire type.
    fn skip(&mut self, wire: u8, deepest: usize) -> Result<(), Broken> {
        let deepest = deepest.checked_sub(1).ok_or(Broken("is nested too deeply"))?;
        match wire {
            1 | 2 => {}
            3 => {
                self.byte()?;
            }
            4..=6 => {
                self.varint()?;
            }
            7 => {
                self.take(8)?;
            }
            8 => {
                let length = self.varint()?;
                self.take(length)?;
            }
            9 | 10 => {
                let (element, count) = self.list()?;
                self.elements(&[element], count, deepest)?;
            }
            11 => {
                let count = self.varint()?;
                if count > 0 {
                    let types = self.byte()?;
                    self.elements(&[types >> 4, types & 0xf], count, deepest)?;
                }
            }
            12 => {
                while let Some((_, wire)) = self.header(0)? {
                    self.skip(wire, deepest)?;
                }
            }
            13 => {
                self.take(16)?;
            }
            _ => return Err(Broken("has a field of an unknown type")),
        }
        Ok(())
    }

    /// So many values of each of these types in turn.
    fn elements(&mut self, types: &[u8], count: u64, deepest: usize) -> Result<(), Broken> {
        // The parser takes no byte for such a boolean, so that any number of them would cost nothing.
        if count > 0 && types.iter().any(|wire| matches!(wire, 1 | 2)) {
            return Err(Broken("lists booleans in a field that nobody knows"));
        }
        for _ in 0..count {
            for wire in types {
                self.skip(*wire, deepest)?;
            }
        }
        Ok(())
    }
}

impl Shape {
    /// Whether this is its type in the bytes.
    fn is(&self, wire: u8) -> bool {
        match self {
            Bool => matches!(wire, 1 | 2),
            Byte => wire == 3,
            I16 => wire == 4,
            I32 => wire == 5,
            I64 => wire == 6,
            Double => wire == 7,
            Binary => wire == 8,
            List(_) => wire == 9,
            Struct(_) => wire == 12,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(bytes: &[u8]) -> (File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        (file, bytes.len() as u64)
    }

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// A field of a 32-bit number, `delta` behind the one before.
    fn number(delta: u8, number: u64) -> Vec<u8> {
        [vec![delta << 4 | 5], varint(2 * number)].concat()
    }

    fn footer(struct_: &[u8]) -> Result<(), String> {
        let size = (struct_.len() as u32).to_le_bytes();
        let (mut file, length) = file(&[b"PAR1", struct_, &size, b"PAR1"].concat());
        check_footer(&mut file, length)
    }

    /// A footer with a schema of elements of so many children each.
    fn schema(children: &[u64]) -> Vec<u8> {
        let head = [vec![0x15, 2, 0x19, 0xfc], varint(children.len() as u64)].concat();
        let element = |count: &u64| [vec![0x48, 0], number(1, *count), vec![0]].concat();
        [head, children.iter().flat_map(element).collect(), vec![0]].concat()
    }

    #[test]
    fn a_schema_that_would_end_stack_or_memory_is_refused() {
        assert_eq!(footer(&schema(&[2, 0, 1, 0])), Ok(()));
        let deep = [vec![1; 100_000], vec![0]].concat();
        assert_eq!(footer(&schema(&deep)), Err("its schema has more than 64 levels".to_owned()));
        let wide = footer(&schema(&[1, i32::MAX as u64, 0]));
        assert!(wide.unwrap_err().contains("has 2147483647 children of 1"));
    }

    #[test]
    fn a_footer_that_two_readers_could_read_otherwise_is_refused() {
        // Another type than the parser takes it for, two schemas, and values that take no byte.
        let cases: [(&[u8], &str); 4] = [
            (&[0x18, 1, 0, 0], "another type than its own"),
            (&[0x29, 0x0c, 0x09, 0x04, 0x0c, 0], "two schemas"),
            (&[0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 7], "longer than itself"),
            (&[0xf9, 0x11, 0, 0], "lists booleans"),
        ];
        for (struct_, problem) in cases {
            let told = footer(struct_).unwrap_err();
            assert!(told.contains(problem), "{told}");
        }
        let nested = [vec![0xf9], vec![0x19; 80]].concat();
        assert!(footer(&nested).unwrap_err().contains("nested too deeply"));
    }

    #[test]
    fn pages_are_added_up_and_held_against_the_file() {
        let page = |unpacked: u64, values: u64| {
            let header = [number(1, 0), number(1, unpacked), number(1, 0)].concat();
            [header, vec![0x2c], number(1, values), vec![0, 0]].concat()
        };
        let sum = |pages: &[Vec<u8>]| {
            let bytes = pages.concat();
            let (mut file, length) = file(&bytes);
            let mut spent = Spent::default();
            check_pages(&mut file, length, (0, length), &mut spent).map(|()| spent)
        };
        let spent = sum(&[page(100, 7), page(50, 3)]).unwrap();
        assert_eq!((spent.bytes, spent.values), (150, 10));
        let half = page(1 << 25, 9);
        assert!(sum(&[half.clone(), half.clone()]).is_ok());
        let told = sum(&[half.clone(), half.clone(), half]).unwrap_err();
        assert!(told.contains("out of proportion to a file of"), "{told}");
        assert!(sum(&[page(1, 1 << 30)]).is_err());
        // A number that wraps in 32 bits is not one that the parser may take for a small one.
        assert!(sum(&[page(1 << 32 | 7, 1)]).unwrap_err().contains("beyond its type"));
    }
}
