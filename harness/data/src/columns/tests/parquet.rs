//! Parquet files: what is read, what is refused, and what damaged ones come to.

use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{BoolType, DoubleType, FloatType, Int32Type, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::fuzz::survive;
use super::*;

/// A Parquet file of one row group: columns `id` (i64), `loss` (f64), `small` (u32), `hit` (bool),
/// `single` (optional f32, null at row 2 unless `full`) and `word` (text).
fn parquet_file(compression: Compression, full: bool) -> Vec<u8> {
    let schema = "message table {
        required int64 id; required double loss; required int32 small (integer(32, false));
        required boolean hit; optional float single; required binary word (utf8);
        optional group nest { required int32 inner; } repeated int32 many;
        required int32 day (date); required int64 huge (integer(64, false)); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    macro_rules! column {
        ($type:ty, $values:expr, $levels:expr, $repetitions:expr) => {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<$type>().write_batch(&$values, $levels, $repetitions).unwrap();
            column.close().unwrap();
        };
    }
    column!(Int64Type, [3, -1, 2], None, None);
    column!(DoubleType, [0.5, f64::NAN, -1.25], None, None);
    column!(Int32Type, [-1, 0, 1], None, None);
    column!(BoolType, [true, false, true], None, None);
    if full {
        column!(FloatType, [0.25, 1.0, 2.0], Some(&[1, 1, 1]), None);
    } else {
        column!(FloatType, [0.25, 1.0], Some(&[1, 1, 0]), None);
    }
    column!(::parquet::data_type::ByteArrayType, ["a".into(), "b".into(), "c".into()], None, None);
    column!(Int32Type, [1, 2, 3], Some(&[1, 1, 1]), None);
    column!(Int32Type, [1, 2, 3], Some(&[1, 1, 1]), Some(&[0, 0, 0]));
    column!(Int32Type, [1, 2, 3], None, None);
    column!(Int64Type, [1, 2, -3], None, None);
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

#[test]
fn named_columns_of_every_numeric_type_and_compression_are_read() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::GZIP(Default::default()),
    ] {
        let file = parquet_file(compression, true);
        let read = |column| read_as("a.parquet", &file, Some(column)).unwrap().values;
        assert_eq!(read("id"), Values::Integers(vec![3, -1, 2]));
        assert_eq!(read("small"), Values::Integers(vec![4_294_967_295, 0, 1]));
        assert_eq!(read("hit"), Values::Integers(vec![1, 0, 1]));
        assert_eq!(read("single"), Values::Floats(vec![0.25, 1.0, 2.0]));
        let Values::Floats(loss) = read("loss") else { panic!("integers") };
        assert!(loss[0] == 0.5 && loss[1].is_nan() && loss[2] == -1.25);
    }
}

#[test]
fn nulls_nested_columns_and_other_types_are_refused() {
    let file = parquet_file(Compression::SNAPPY, false);
    let refused = |column| message("a.parquet", &file, column);
    insta::assert_snapshot!(
        [
            refused(Some("single")),
            refused(Some("word")),
            refused(Some("nest.inner")),
            refused(Some("many")),
            refused(Some("day")),
            refused(Some("huge")),
            refused(Some("lost")),
            refused(None),
            message("a.parquet", &file[..file.len() - 1], Some("id")),
            message("a.parquet", &file[..200], Some("id")),
            message("a.parquet", b"PAR1", Some("id")),
        ]
        .join("\n"),
        @r#"
        a.parquet:single: "null" at row 2 (counted from 0) is not a number; leave that row out everywhere
        a.parquet:word: the dtype is BYTE_ARRAY (UTF8); write the numbers as integers, or as 32- or 64-bit floating point
        a.parquet:nest.inner: the dtype is INT32; nested columns are not read: write the numbers as a column of their own
        a.parquet:many: each row holds a list of numbers, but one number a row is needed: save the mean of each row as a column of its own
        a.parquet:day: the dtype is INT32 (Date); write the numbers as integers, or as 32- or 64-bit floating point
        a.parquet:huge: "18446744073709551613" at row 2 (counted from 0) is beyond 64-bit integers; subtract a constant first
        a.parquet: there is no column "lost"; its columns: id, loss, small, hit, single, word, nest.inner, many, day, huge; did you mean "loss"?
        a.parquet: it has 10 columns; its columns: id, loss, small, hit, single, word, nest.inner, many, day, huge; name one: a.parquet:id
        a.parquet: not a readable Parquet file: Parquet error: Invalid Parquet file. Corrupt footer; the file may be truncated or damaged: write it again, compressed with snappy, zstd, lz4, gzip or nothing
        a.parquet: not a readable Parquet file: Parquet error: Invalid Parquet file. Corrupt footer; the file may be truncated or damaged: write it again, compressed with snappy, zstd, lz4, gzip or nothing
        a.parquet: not a readable Parquet file: EOF: Parquet file too small. Size is 4 but need 8; the file may be truncated or damaged: write it again, compressed with snappy, zstd, lz4, gzip or nothing
        "#
    );
}

#[test]
fn a_nan_is_named_with_its_row_when_numbers_are_asked_for() {
    let file = parquet_file(Compression::SNAPPY, true);
    let (folder, path) = folder_with("a.parquet", &file);
    let column = numbers(&ColumnSource { path, column: Some("loss".into()) }).unwrap();
    insta::assert_snapshot!(without(folder.path(), &column.as_f64().unwrap_err()), @"a.parquet:loss: value 1 (counted from 0) is NaN, which is not a number; leave its example out everywhere, or compute it again");
}

#[test]
fn lists_are_read_with_their_own_lengths_by_the_name_of_their_column() {
    let schema = "message table { required double flat;
        optional group loss (list) { repeated group list { optional double element; } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = |values: &[f64], levels: &[i16], begins: &[i16]| {
        let mut bytes = Vec::new();
        let mut file =
            SerializedFileWriter::new(&mut bytes, schema.clone(), Default::default()).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[1.0, 2.0, 3.0], None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(values, Some(levels), Some(begins)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        file.close().unwrap();
        bytes
    };
    let read = |bytes: &[u8], column: &str| {
        let (folder, path) = folder_with("a.parquet", bytes);
        let found = lists(&ColumnSource { path, column: Some(column.to_owned()) });
        found.map_err(|error| without(folder.path(), &error))
    };
    let values = [0.5, 1.5, 2.5, 1.0, 2.0, 3.0];
    let whole = file(&values, &[3; 6], &[0, 1, 0, 0, 1, 1]);
    let found = read(&whole, "loss").unwrap();
    assert_eq!(found, Lists { values: Values::Floats(values.to_vec()), lengths: vec![2, 1, 3] });
    let empty = file(&[1.0, 2.0], &[3, 1, 3], &[0, 0, 0]);
    let hole = file(&[1.0, 2.0, 3.0], &[3, 2, 3, 3], &[0, 1, 0, 0]);
    insta::assert_snapshot!(
        [
            message("a.parquet", &whole, Some("loss")),
            message("a.parquet", &whole, Some("lost")),
            read(&whole, "flat").unwrap_err(),
            read(&empty, "loss").unwrap_err(),
            read(&hole, "loss").unwrap_err(),
        ]
        .join("\n"),
        @r#"
        a.parquet:loss: each row holds a list of numbers, but one number a row is needed: save the mean of each row as a column of its own
        a.parquet: there is no column "lost"; its columns: flat, loss; did you mean "loss"?
        a.parquet:flat: the dtype is DOUBLE; it holds no lists
        a.parquet:loss: "null" at row 1 (counted from 0) is a list without numbers, or with one missing; leave that row out everywhere
        a.parquet:loss: "null" at row 0 (counted from 0) is a list without numbers, or with one missing; leave that row out everywhere
        "#
    );
}

#[test]
fn columns_of_one_name_are_refused_as_in_csv() {
    let schema = "message table { required double loss; required double loss; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    for value in [1.0, 2.0] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[value], None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    file.close().unwrap();
    insta::assert_snapshot!(message("a.parquet", &bytes, Some("loss")), @r#"a.parquet: 2 columns are named "loss"; its columns: loss, loss"#);
}

/// Written by pyarrow 26.0.1 with `write_page_checksum`; `compression="none"`, no dictionary.
const CHECKED: &[u8] = include_bytes!("checked.parquet");

#[test]
fn a_page_that_does_not_fit_its_checksum_is_refused() {
    let read = read_as("a.parquet", CHECKED, Some("loss")).unwrap();
    assert_eq!(read.values, Values::Floats(vec![0.5, 1.5, 2.5]));
    let mut damaged = CHECKED.to_vec();
    let value = 1.5_f64.to_le_bytes();
    let at = damaged.windows(8).position(|bytes| bytes == value).unwrap();
    damaged[at] ^= 1;
    let told = message("a.parquet", &damaged, Some("loss"));
    assert!(told.contains("checksum mismatch"), "{told}");
}

#[test]
fn names_of_examples_are_read_as_text() {
    let file = parquet_file(Compression::SNAPPY, true);
    let (_folder, path) = folder_with("a.parquet", &file);
    let read =
        |column: &str| ids(&ColumnSource { path: path.clone(), column: Some(column.into()) });
    let Ids::Texts(texts) = read("word").unwrap() else { panic!("numbers") };
    assert_eq!(
        (texts.names, texts.codes),
        (vec!["a".into(), "b".into(), "c".into()], vec![0, 1, 2])
    );
    assert!(matches!(read("id").unwrap(), Ids::Numbers(_)));
    assert!(read("day").unwrap_err().to_string().contains("Date"));
}

const PARQUET: [Option<&str>; 6] =
    [Some("id"), Some("loss"), Some("single"), Some("hit"), Some("small"), None];

#[test]
fn mutated_parquet_files_never_panic() {
    survive("a.parquet", &PARQUET, 7, &parquet_file(Compression::UNCOMPRESSED, false));
}

#[test]
fn mutated_parquet_files_with_snappy_never_panic() {
    survive("a.parquet", &PARQUET, 8, &parquet_file(Compression::SNAPPY, true));
}

#[test]
fn mutated_parquet_files_with_zstd_never_panic() {
    let seed = parquet_file(Compression::ZSTD(ZstdLevel::default()), true);
    survive("a.parquet", &PARQUET, 9, &seed);
}
