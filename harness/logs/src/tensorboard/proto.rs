//! The few fields of TensorFlow's protocol buffers that scalars are in. A reader of the wire format, rather
//! than one generated from the schema: it is four messages, and what is not asked for is passed over.
//!
//! | message | fields |
//! | --- | --- |
//! | `Event` | 1 `wall_time` (double), 2 `step` (int64), 5 `summary` |
//! | `Summary` | 1 `value` (repeated) |
//! | `Summary.Value` | 1 `tag`, 2 `simple_value` (float), 8 `tensor` |
//! | `TensorProto` | 1 `dtype`, 4 `tensor_content`, 5 `float_val`, 6 `double_val`, 7 `int_val`, 10 `int64_val`, 13 `half_val` |

/// An event, as far as it is read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Event {
    /// Seconds since 1970.
    pub(super) wall_time: f64,
    pub(super) step: i64,
    /// Tags and values.
    pub(super) scalars: Vec<(String, f64)>,
}

/// A field's value.
enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

const CUT: &str = "its message ends inside of a field";

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(CUT)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number in its message has more than 64 bits".to_owned())
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).map_err(|_| CUT)?;
                Value::Bytes(self.cut(length)?)
            }
            5 => Value::Fixed32(self.array()?),
            kind => {
                return Err(format!("its message has a field of wire type {kind}, which is none"));
            }
        };
        Ok(Some((key >> 3, value)))
    }

    fn cut(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(CUT)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

/// Reads an event.
pub(super) fn event(bytes: &[u8]) -> Result<Event, String> {
    let mut event = Event::default();
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Fixed64(time)) => event.wall_time = f64::from_le_bytes(time),
            (2, Value::Varint(step)) => event.step = step.cast_signed(),
            (5, Value::Bytes(summary)) => {
                let mut values = Fields(summary);
                while let Some(value) = values.next()? {
                    if let (1, Value::Bytes(value)) = value {
                        event.scalars.extend(scalar(value)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(event)
}

/// A summary's value, where it is a scalar.
fn scalar(bytes: &[u8]) -> Result<Option<(String, f64)>, String> {
    let (mut tag, mut value) = (None, None);
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(text)) => tag = Some(String::from_utf8_lossy(text).into_owned()),
            (2, Value::Fixed32(number)) => value = Some(f64::from(f32::from_le_bytes(number))),
            (8, Value::Bytes(bytes)) => value = tensor(bytes)?.or(value),
            _ => {}
        }
    }
    Ok(tag.zip(value))
}

/// Types of a tensor's elements, as TensorFlow numbers them.
const FLOAT: u64 = 1;
const DOUBLE: u64 = 2;
const INT32: u64 = 3;
const INT64: u64 = 9;
const BFLOAT16: u64 = 14;
const HALF: u64 = 19;

/// The one number of a tensor; none of a text or of several numbers.
fn tensor(bytes: &[u8]) -> Result<Option<f64>, String> {
    let (mut kind, mut content, mut numbers) = (0, &[][..], Vec::new());
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Varint(number)) => kind = number,
            (4, Value::Bytes(bytes)) => content = bytes,
            // Repeated numbers are packed, or one field each.
            (5, Value::Fixed32(number)) => numbers.push(f64::from(f32::from_le_bytes(number))),
            (6, Value::Fixed64(number)) => numbers.push(f64::from_le_bytes(number)),
            (5 | 6, Value::Bytes(packed)) => content = packed,
            (7 | 10, Value::Varint(number)) => numbers.push(whole(number)),
            (13, Value::Varint(bits)) => numbers.extend(half(kind, bits)),
            (7 | 10 | 13, Value::Bytes(packed)) => {
                let mut packed = packed;
                // More than one number is no scalar.
                while !packed.is_empty() && numbers.len() < 2 {
                    let bits = varint(&mut packed)?;
                    numbers.extend(if field == 13 { half(kind, bits) } else { Some(whole(bits)) });
                }
            }
            _ => {}
        }
    }
    Ok(match (numbers.as_slice(), content) {
        ([one], []) => Some(*one),
        ([], content) => raw(kind, content),
        _ => None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn whole(bits: u64) -> f64 {
    bits.cast_signed() as f64
}

/// A number of 16 bits.
fn half(kind: u64, bits: u64) -> Option<f64> {
    let bits = u16::try_from(bits).ok()?;
    match kind {
        HALF => Some(half::f16::from_bits(bits).to_f64()),
        BFLOAT16 => Some(half::bf16::from_bits(bits).to_f64()),
        _ => None,
    }
}

/// The one number that bytes are.
#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn raw(kind: u64, content: &[u8]) -> Option<f64> {
    Some(match kind {
        FLOAT => f64::from(f32::from_le_bytes(content.try_into().ok()?)),
        DOUBLE => f64::from_le_bytes(content.try_into().ok()?),
        INT32 => f64::from(i32::from_le_bytes(content.try_into().ok()?)),
        INT64 => i64::from_le_bytes(content.try_into().ok()?) as f64,
        HALF | BFLOAT16 => half(kind, u64::from(u16::from_le_bytes(content.try_into().ok()?)))?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_of_one_number_is_a_scalar_in_every_form() {
        let float = 0.5_f32.to_le_bytes();
        let content = [&[1 << 3, 1, 4 << 3 | 2, 4][..], &float].concat();
        assert_eq!(tensor(&content).unwrap(), Some(0.5));
        let packed = [&[1 << 3, 1, 5 << 3 | 2, 4][..], &float].concat();
        assert_eq!(tensor(&packed).unwrap(), Some(0.5));
        let single = [&[1 << 3, 1, 5 << 3 | 5][..], &float].concat();
        assert_eq!(tensor(&single).unwrap(), Some(0.5));
        let double = [&[1 << 3, 2, 6 << 3 | 1][..], &2.5_f64.to_le_bytes()].concat();
        assert_eq!(tensor(&double).unwrap(), Some(2.5));
        assert_eq!(tensor(&[1 << 3, 9, 10 << 3 | 2, 1, 7]).unwrap(), Some(7.0));
        assert_eq!(tensor(&[1 << 3, 19, 13 << 3 | 2, 2, 0x80, 0x78]).unwrap(), Some(1.0));
        let two = [&[1 << 3, 1, 4 << 3 | 2, 8][..], &float, &float].concat();
        assert_eq!(tensor(&two).unwrap(), None);
        let text = [1 << 3, 7, 8 << 3 | 2, 1, b'x'];
        assert_eq!(tensor(&text).unwrap(), None);
    }

    #[test]
    fn a_message_that_is_cut_or_none_is_an_error() {
        assert!(event(&[2 << 3]).unwrap_err().contains("ends inside"));
        assert!(event(&[5 << 3 | 2, 9, 1]).unwrap_err().contains("ends inside"));
        assert!(
            event(&[5 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err()
        );
        assert!(event(&[7]).unwrap_err().contains("wire type 7"));
        assert!(event(&[0xff; 11]).unwrap_err().contains("64 bits"));
        assert_eq!(event(&[]).unwrap(), Event::default());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_of_a_stranger_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = event(&bytes);
            let _ = tensor(&bytes);
        }
    }
}
