mod fuzz;
#[cfg(feature = "parquet")]
mod parquet;

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A folder with one file.
pub(super) fn folder_with(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read_as(name: &str, bytes: &[u8], column: Option<&str>) -> Result<Column, ColumnError> {
    let (_folder, path) = folder_with(name, bytes);
    numbers(&ColumnSource { path, column: column.map(str::to_owned) })
}

/// The message without the folder of the file.
fn message(name: &str, bytes: &[u8], column: Option<&str>) -> String {
    let (folder, path) = folder_with(name, bytes);
    let read = numbers(&ColumnSource { path, column: column.map(str::to_owned) });
    without(folder.path(), &read.unwrap_err())
}

fn without(folder: &Path, error: &ColumnError) -> String {
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

/// A `.npy` file of version `version` with this dictionary and these bytes of values.
pub(super) fn npy_of(version: u8, dictionary: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = [MAGIC_NPY, &[version, 0]].concat();
    match version {
        1 => bytes.extend((dictionary.len() as u16).to_le_bytes()),
        _ => bytes.extend((dictionary.len() as u32).to_le_bytes()),
    }
    [&bytes, dictionary.as_bytes(), values].concat()
}

const MAGIC_NPY: &[u8] = npy::MAGIC;

pub(super) fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let dictionary =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    npy_of(1, &dictionary, values)
}

mod sources {
    use super::*;

    #[test]
    fn a_column_follows_the_first_colon_after_a_known_extension() {
        for (text, path, column) in [
            ("a.npy", "a.npy", None),
            ("a.csv:loss", "a.csv", Some("loss")),
            ("C:\\x\\a.CSV:loss", "C:\\x\\a.CSV", Some("loss")),
            ("12:30/a.parquet:p:q", "12:30/a.parquet", Some("p:q")),
            ("12:30/a", "12:30/a", None),
            ("a.tsv:", "a.tsv", Some("")),
            ("a.csv.gz:loss", "a.csv.gz", Some("loss")),
            ("a.npz:loss", "a.npz", Some("loss")),
        ] {
            let source: ColumnSource = text.parse().unwrap();
            assert_eq!((source.path.to_str().unwrap(), source.column.as_deref()), (path, column));
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn folders_and_absent_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: PathBuf| numbers(&ColumnSource { path, column: None }).unwrap_err();
        assert!(matches!(read(folder.path().into()), ColumnError::NotAFile { .. }));
        let error = read(folder.path().join("none.npy")).to_string();
        assert!(error.contains("none.npy: ") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn files_of_other_kinds_are_told_by_their_first_bytes() {
        insta::assert_snapshot!(
            [
                message("a.npy", b"", None),
                message("a.npy", b"PK\x03\x04rest", None),
                message("a.csv.gz", b"\x1f\x8b\x08", Some("loss")),
                message("a.npz", &zip("order.npy"), None),
                message("a.pt", &zip("a/data.pkl"), None),
                message("a.pt", b"\x80\x02\x8a\x0a", None),
                message("a.npy", b"1.0\n2.0\n", None),
                message("a.parquet", b"a,b\n", None),
                message("a.csv", b"\xff\xfea\0", None),
                message("a.bin", b"\x00\x01\x02", None),
            ]
            .join("\n"),
            @r#"
            a.npy: not a .npy, .csv, .tsv or .parquet file: it is empty; write it again
            a.npy: not a .npy, .csv, .tsv or .parquet file: it starts like a zip archive; unpack it, or save the numbers with numpy.save
            a.csv.gz: not a .npy, .csv, .tsv or .parquet file: it starts like gzip; unpack it first
            a.npz: not a .npy, .csv, .tsv or .parquet file: it is a .npz archive of several arrays; save the one array with numpy.save
            a.pt: not a .npy, .csv, .tsv or .parquet file: it is a file of torch.save, which holds a Python pickle; pickles can run code and are never read: save the numbers with numpy.save(FILE, tensor.numpy())
            a.pt: not a .npy, .csv, .tsv or .parquet file: it starts like a Python pickle, perhaps of torch.save; pickles can run code and are never read: save the numbers with numpy.save
            a.npy: not a .npy, .csv, .tsv or .parquet file: it starts with 1.0\n2.0\n; write it again, or give it the extension of what it is
            a.parquet: not a .npy, .csv, .tsv or .parquet file: it starts with a,b\n; write it again, or give it the extension of what it is
            a.csv: not a .npy, .csv, .tsv or .parquet file: it starts like UTF-16 text; save it as UTF-8
            a.bin: not a .npy, .csv, .tsv or .parquet file: it starts with \x00\x01\x02; text needs the extension .csv or .tsv
            "#
        );
    }

    /// The start of a zip archive whose first member has this name.
    fn zip(name: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend([0; 22]);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(name.bytes());
        bytes
    }

    #[test]
    fn the_content_decides_against_the_extension() {
        let column = read_as("a.csv", &npy("<u1", "(2,)", &[3, 4]), None).unwrap();
        assert_eq!(column.values, Values::Integers(vec![3, 4]));
    }
}

mod npy_files {
    use super::*;

    fn values(descr: &str, bytes: &[u8]) -> Values {
        let size: usize = descr[2..].parse().unwrap();
        read_as("a.npy", &npy(descr, &format!("({},)", bytes.len() / size), bytes), None)
            .unwrap()
            .values
    }

    #[test]
    fn every_width_sign_and_byte_order_reads_to_the_same_numbers() {
        macro_rules! check {
            ($letter:literal, $type:ty, $values:expr, $expected:expr) => {
                let numbers: Vec<$type> = $values;
                let size = size_of::<$type>();
                let little: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                let big: Vec<u8> = numbers.iter().flat_map(|x| x.to_be_bytes()).collect();
                for (order, bytes) in [("<", &little), (">", &big), ("=", &little)] {
                    let descr = format!("{order}{}{size}", $letter);
                    assert_eq!(values(&descr, bytes), $expected, "{descr}");
                }
            };
        }
        let signed = |low: i64| Values::Integers(vec![low, -1, 0, 5]);
        check!("i", i8, vec![i8::MIN, -1, 0, 5], signed(-128));
        check!("i", i16, vec![i16::MIN, -1, 0, 5], signed(-32_768));
        check!("i", i32, vec![i32::MIN, -1, 0, 5], signed(-2_147_483_648));
        check!("i", i64, vec![i64::MIN, -1, 0, 5], signed(i64::MIN));
        check!("u", u8, vec![u8::MAX, 7], Values::Integers(vec![255, 7]));
        check!("u", u16, vec![u16::MAX, 7], Values::Integers(vec![65_535, 7]));
        check!("u", u32, vec![u32::MAX, 7], Values::Integers(vec![4_294_967_295, 7]));
        check!("u", u64, vec![i64::MAX as u64, 7], Values::Integers(vec![i64::MAX, 7]));
        check!("f", f32, vec![0.1, -2.5], Values::Floats(vec![f64::from(0.1_f32), -2.5]));
        check!("f", f64, vec![0.1, -2.5], Values::Floats(vec![0.1, -2.5]));
        check!(
            "f",
            ::half::f16,
            vec![::half::f16::from_f64(0.1), ::half::f16::MAX],
            Values::Floats(vec![0.099_975_585_937_5, 65_504.0])
        );
        assert_eq!(values("|b1", &[0, 1, 1]), Values::Integers(vec![0, 1, 1]));
    }

    #[test]
    fn versions_two_and_three_read_like_one() {
        let dictionary = "{'shape': (2,), 'fortran_order': False, 'descr': '<i2'}";
        for version in [1, 2, 3] {
            let column =
                read_as("a.npy", &npy_of(version, dictionary, &[1, 0, 2, 1]), None).unwrap();
            assert_eq!(column.values, Values::Integers(vec![1, 258]), "version {version}");
        }
    }

    #[test]
    fn a_table_of_either_layout_is_read_row_by_row() {
        for (fortran, bytes) in [("False", [1, 2, 3, 4, 5, 6]), ("True", [1, 4, 2, 5, 3, 6])] {
            let dictionary =
                format!("{{'descr': '|u1', 'fortran_order': {fortran}, 'shape': (2, 3L)}}");
            let column = read_as("a.npy", &npy_of(1, &dictionary, &bytes), None).unwrap();
            assert_eq!(column.values, Values::Integers(vec![1, 2, 3, 4, 5, 6]));
            assert_eq!(
                (column.rows, column.columns, column.shape()),
                (2, Some(3), "(2, 3)".into())
            );
        }
    }

    #[test]
    fn an_empty_array_is_an_empty_column() {
        assert!(read_as("a.npy", &npy("<f8", "(0,)", &[]), None).unwrap().is_empty());
    }

    #[test]
    fn lengths_that_no_value_backs_are_refused_or_cost_nothing() {
        let most = i64::MAX;
        for shape in ["(0, 7)".to_owned(), format!("({most}, 0)"), format!("(0, {most})")] {
            for descr in ["<f8", "<U1"] {
                let (folder, path) = folder_with("a.npy", &npy(descr, &shape, &[]));
                let error = ids(&ColumnSource { path, column: None }).unwrap_err();
                let told = without(folder.path(), &error);
                assert!(told.contains("there is nothing in it"), "{told}");
            }
        }
        // 16 GiB a name, of which there are none.
        let (_folder, path) = folder_with("a.npy", &npy("<U4294967295", "(0,)", &[]));
        let Ids::Texts(texts) = ids(&ColumnSource { path, column: None }).unwrap() else {
            panic!()
        };
        assert!(texts.codes.is_empty());
    }

    #[test]
    fn wrong_dtypes_shapes_and_lengths_are_refused_with_the_remedy() {
        let eight = [0; 8];
        insta::assert_snapshot!(
            [
                message("a.npy", &npy("|O", "(3,)", &eight), None),
                message("a.npy", &npy("<c16", "(1,)", &eight), None),
                message("a.npy", &npy("<U2", "(1,)", &eight), None),
                message("a.npy", &npy("<M8[ns]", "(1,)", &eight), None),
                message("a.npy", &npy("<f16", "(1,)", &eight), None),
                message("a.npy", &npy("i", "(1,)", &eight), None),
                message("a.npy", &npy_of(1, "{'descr': [('id', '<i4'), ('x', '<f8')], 'fortran_order': False, 'shape': (3,)}", &eight), None),
                message("a.npy", &npy("<f8", "()", &eight), None),
                message("a.npy", &npy("<f8", "(1, 1, 1)", &eight), None),
                message("a.npy", &npy("<f8", "(2,)", &eight), None),
                message("a.npy", &npy("<f4", "(1,)", &eight), None),
                message("a.npy", &npy("<f8", "(4611686018427387904, 8)", &eight), None),
                message("a.npy", &npy("<f8", "(2305843009213693951,)", &eight), None),
                message("a.npy", &npy("<u8", "(1,)", &[255; 8]), None),
                message("a.npy", &npy("<f8", "(1,)", &eight), Some("loss")),
            ]
            .join("\n"),
            @r#"
            a.npy: the dtype is '|O'; objects are Python pickles, which can run code and are never read: save plain numbers with .astype(numpy.float64)
            a.npy: the dtype is '<c16'; complex numbers have no order: save their real part
            a.npy: the dtype is '<U2'; text is not read: save the numbers it spells with .astype(numpy.float64)
            a.npy: the dtype is '<M8[ns]'; times are not read: save them with .astype(numpy.int64)
            a.npy: the dtype is '<f16'; long doubles are not read: save them with .astype(numpy.float64)
            a.npy: the dtype is 'i'; save the numbers with .astype(numpy.int64) or .astype(numpy.float64)
            a.npy: the dtype is '[('id', '<i4'), ('x', '<f8')]'; these are records: save one field of them alone
            a.npy: the shape is (); a list or a table is needed: save it with .reshape(-1)
            a.npy: the shape is (1, 1, 1); a list or a table is needed: save it with .reshape(-1)
            a.npy: 8 bytes of values, but dtype <f8 and shape (2,) need 16; the file is truncated: save it again
            a.npy: 8 bytes of values, but dtype <f4 and shape (1,) need 4; the file is followed by other bytes: save it again
            a.npy: the shape is (4611686018427387904, 8); no file is that large: the header is broken, save it again
            a.npy: 8 bytes of values, but dtype <f8 and shape (2305843009213693951,) need 18446744073709551608; the file is truncated: save it again
            a.npy: value 0 (counted from 0) is 18446744073709551615, which is above 9223372036854775807; subtract a constant first
            a.npy: a .npy file has no column "loss"; its columns: it holds one array; name the file alone
            "#
        );
    }

    #[test]
    fn broken_headers_are_refused_with_the_place() {
        let two_gib = [MAGIC_NPY, &[2, 0], &i32::MAX.to_le_bytes()].concat();
        insta::assert_snapshot!(
            [
                message("a.npy", MAGIC_NPY, None),
                message("a.npy", &[MAGIC_NPY, &[9, 1, 0, 0]].concat(), None),
                message("a.npy", &[MAGIC_NPY, &[1, 0, 200, 0], b"{'descr"].concat(), None),
                message("a.npy", &two_gib, None),
                message("a.npy", &npy_of(1, "{'descr': '<f8', 'shape': (1,)}", &[]), None),
                message("a.npy", &npy_of(1, "{'descr': '<f8', 'descr': '<f8'}", &[]), None),
                message("a.npy", &npy("<f8", "(-1,)", &[]), None),
                message("a.npy", &npy("<f8", "(99999999999999999999,)", &[]), None),
                message("a.npy", &npy_of(1, "{'descr': '<f8', 'fortran_order': 1}", &[]), None),
                message("a.npy", &npy_of(1, "{'descr': __import__('os')}", &[]), None),
                message("a.npy", &npy_of(1, "{'more': 1}", &[]), None),
                message("a.npy", &npy_of(1, "{'descr': [(('", &[]), None),
            ]
            .join("\n"),
            @r#"
            a.npy: not a readable .npy file: it ends within its header, after 6 bytes; save it again with numpy.save
            a.npy: not a readable .npy file: its format version is 9.1, but 1 to 3 are known; save it again with numpy.save
            a.npy: not a readable .npy file: it ends within its header, after 17 bytes; save it again with numpy.save
            a.npy: not a readable .npy file: its header claims 2147483647 bytes, more than 1048576; save it again with numpy.save
            a.npy: not a readable .npy file: there is no 'fortran_order' in its header {'descr': '<f8', 'shape': (1,)}; save it again with numpy.save
            a.npy: not a readable .npy file: there are two keys "descr" in its header {'descr': '<f8', 'descr': '<f8'}; save it again with numpy.save
            a.npy: not a readable .npy file: there is no length below 2^64 at byte 51 in its header {'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }; save it again with numpy.save
            a.npy: not a readable .npy file: there is no length below 2^64 at byte 51 in its header {'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }; save it again with numpy.save
            a.npy: not a readable .npy file: there is no True or False at byte 34 in its header {'descr': '<f8', 'fortran_order': 1}; save it again with numpy.save
            a.npy: not a readable .npy file: there is no quoted string at byte 10 in its header {'descr': __import__('os')}; save it again with numpy.save
            a.npy: not a readable .npy file: there is an unknown key "more" in its header {'more': 1}; save it again with numpy.save
            a.npy: not a readable .npy file: the string at byte 14 has no end in its header {'descr': [(('; save it again with numpy.save
            "#
        );
    }

    /// The bytes that NumPy 2.4 writes for `numpy.save(f, numpy.array([0.5, -2.0]))`.
    #[test]
    fn what_is_written_is_what_numpy_writes() {
        let mut bytes = Vec::new();
        write_npy(&mut bytes, &[0.5_f64, -2.0]).unwrap();
        let dictionary = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
        let expected = [
            b"\x93NUMPY\x01\x00\x76\x00",
            format!("{dictionary:117}\n").as_bytes(),
            &[0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0],
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            doubles: Vec<f64>, singles: Vec<f32>, ids: Vec<u32>,
        ) {
            let mut file = Vec::new();
            write_npy(&mut file, &doubles)?;
            prop_assert_eq!(file.len() % 64, doubles.len() * 8 % 64);
            let bits = |values: Values| match values {
                Values::Floats(values) => values.into_iter().map(f64::to_bits).collect::<Vec<_>>(),
                Values::Integers(_) => Vec::new(),
            };
            let read = read_as("a.npy", &file, None)?;
            prop_assert_eq!(bits(read.values), doubles.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
            file.clear();
            write_npy(&mut file, &singles)?;
            let read = bits(read_as("a.npy", &file, None)?.values);
            prop_assert_eq!(read, singles.iter().map(|&x| f64::from(x).to_bits()).collect::<Vec<_>>());
            file.clear();
            write_npy(&mut file, &ids)?;
            prop_assert_eq!(read_as("a.npy", &file, None)?.as_ids::<u32>()?, ids);
        }
    }

    #[test]
    fn values_are_read_over_many_chunks() {
        let ids: Vec<u32> = (0..200_000).map(|i| i * 7).collect();
        let mut file = Vec::new();
        write_npy(&mut file, &ids).unwrap();
        assert_eq!(read_as("a.npy", &file, None).unwrap().as_ids::<u32>().unwrap(), ids);
    }
}

mod csv_files {
    use super::*;

    #[test]
    fn a_named_column_is_read_through_quotes_byte_order_mark_and_line_ends_of_windows() {
        let text =
            "\u{feff}\"id\",\"the \"\"loss\"\"\",note\r\n0, 1.5 ,\"a,b\r\nc\"\r\n1,-2e-3,\r\n";
        let column = read_as("a.csv", text.as_bytes(), Some("the \"loss\"")).unwrap();
        assert_eq!(column.values, Values::Floats(vec![1.5, -0.002]));
        assert_eq!((column.rows, column.columns), (2, None));
        let ids = read_as("a.csv", text.as_bytes(), Some("id")).unwrap();
        assert_eq!(ids.as_ids::<u32>().unwrap(), [0, 1]);
    }

    #[test]
    fn a_lone_column_needs_neither_name_nor_header() {
        for text in ["3\n1\n2", "position\n3\n1\n2\n", "\u{feff}3\r\n1\r\n2\r\n", "3\n1\n2\n\n\n"] {
            let column = read_as("a.csv", text.as_bytes(), None).unwrap();
            assert_eq!(column.values, Values::Integers(vec![3, 1, 2]), "{text:?}");
        }
    }

    /// What pandas writes for a nameless column has its number as the header.
    #[test]
    fn a_first_line_that_may_be_a_header_is_taken_for_neither() {
        let refused = |text: &str| message("a.csv", text.as_bytes(), None);
        for text in [
            "0\n1.5\n2.5\n",
            "17\n1.5\n2.5\n",
            "0\n3\n1\n0\n2\n",
            "0\n57\n12\n",
            "1\n0\n1\n",
            "0\n1.5\n2\n",
        ] {
            assert!(
                refused(text).contains("may be a header or a value"),
                "{text:?}: {}",
                refused(text)
            );
        }
        insta::assert_snapshot!(refused("0\n1.5\n2.5\n"), @"a.csv: its first line is 0, which may be a header or a value; its columns: 0; name the column (a.csv:0) if it is a header, else put a line with a name above it");
        // What can only be values, and a header that was named.
        for (text, count) in [
            ("0\n2\n1\n", 3),
            ("2\n1\n3\n", 3),
            ("57\n12\n57\n", 3),
            ("0.0\n1.5\n", 2),
            ("1.5\n2\n", 2),
            ("-1\n2\n", 2),
        ] {
            assert_eq!(read_as("a.csv", text.as_bytes(), None).unwrap().len(), count, "{text:?}");
        }
        let named = read_as("a.csv", b"0\n1.5\n2.5\n", Some("0")).unwrap();
        assert_eq!(named.values, Values::Floats(vec![1.5, 2.5]));
        assert_eq!(read_as("a.csv", b"0,1\n7,8\n", Some("1")).unwrap().len(), 1);
        insta::assert_snapshot!(message("a.csv", b"0,3.5\n1,2.5\n", Some("0")), @r#"a.csv: its first row holds numbers, and "0" is one of them; its columns: 0, 3.5; add a row of names"#);
    }

    #[test]
    fn names_of_examples_are_read_letter_by_letter() {
        let read = |name: &str, bytes: &[u8], column: Option<&str>| {
            let (folder, path) = folder_with(name, bytes);
            let found = ids(&ColumnSource { path, column: column.map(str::to_owned) });
            found.map_err(|error| without(folder.path(), &error))
        };
        let texts = |found: Result<Ids, String>| match found.unwrap() {
            Ids::Texts(texts) => (texts.names, texts.codes),
            Ids::Numbers(column) => panic!("{column:?}"),
        };
        let found = texts(read("a.csv", b"id,x\ndoc-1,1\n 7,2\ndoc-1,3\n\"7\",4\n", Some("id")));
        let names = ["doc-1", " 7", "7"].map(str::to_owned).to_vec();
        assert_eq!(found, (names, vec![0, 1, 0, 2]));
        assert!(matches!(read("a.csv", b"id\n007\n8\n", Some("id")), Ok(Ids::Numbers(_))));
        let letters =
            |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>();
        let values = letters("a\u{e9}\0b\0\0");
        let found = texts(read("a.npy", &npy("<U3", "(2,)", &values), None));
        assert_eq!(found, (["a\u{e9}", "b"].map(str::to_owned).to_vec(), vec![0, 1]));
        let found = texts(read("a.npy", &npy("|S2", "(3,)", b"abc\0ab"), None));
        assert_eq!(found, (["ab", "c"].map(str::to_owned).to_vec(), vec![0, 1, 0]));
        insta::assert_snapshot!(
            [
                read("a.csv", b"id\ndoc-1\ndoc-2\n", None),
                read("a.csv", b"id,x\ndoc-1,1\n,2\n", Some("id")),
                read("a.csv", b"id,x\n1,1\n,2\n", Some("id")),
                read("a.npy", &npy("<U1", "(1,)", &[0, 0, 0, 9]), None),
                read("a.npy", &npy("<U1", "(2,)", &letters("a\0")), None),
                read("a.npy", &npy("<U0", "(9,)", b""), None),
                read("a.npy", &npy("<U4", "(9,)", b"1234"), None),
                read("a.npy", &npy("|O", "(1,)", &[0; 8]), None),
            ]
            .map(Result::unwrap_err)
            .join("\n"),
            @r#"
            a.csv: it holds text, whose first line may be a header or a value; its columns: id; name the column (a.csv:id) if it is a header, else put a line with a name above it
            a.csv:id: "" at line 3 is empty; leave that row out everywhere, or mend it
            a.csv:id: "" at line 3 is empty; leave that row out everywhere, or mend it
            a.npy: value 0 (counted from 0) is "", which is not Unicode; leave that row out everywhere, or mend it
            a.npy: value 1 (counted from 0) is "", which is empty; leave that row out everywhere, or mend it
            a.npy: the dtype is '<U0'; text is not read: save the numbers it spells with .astype(numpy.float64)
            a.npy: 4 bytes of values, but dtype <U4 and shape (9,) need 144; the file is truncated: save it again
            a.npy: the dtype is '|O'; objects are Python pickles, which can run code and are never read: save plain numbers with .astype(numpy.float64)
            "#
        );
    }

    #[test]
    fn a_tsv_is_split_at_tabs() {
        let column = read_as("a.tsv", b"a\tb,c\n1\t2\n", Some("b,c")).unwrap();
        assert_eq!(column.values, Values::Integers(vec![2]));
    }

    #[test]
    fn whole_numbers_before_the_first_fraction_become_fractions() {
        let column = read_as("a.csv", b"x\n1\n2.5\n3\n-inf\n", Some("x")).unwrap();
        assert_eq!(column.values, Values::Floats(vec![1.0, 2.5, 3.0, f64::NEG_INFINITY]));
    }

    #[test]
    fn what_is_no_column_of_numbers_is_refused_with_line_and_value() {
        let text = b"id,loss,lost\n0,1,2\n";
        insta::assert_snapshot!(
            [
                message("a.csv", text, Some("los")),
                message("a.csv", text, Some("zzz")),
                message("a.csv", text, None),
                message("a.csv", b"a,a\n1,2\n", Some("a")),
                message("a.csv", b"1,2\n3,4\n", Some("a")),
                message("a.csv", b"id;loss\n1;2\n", Some("loss")),
                message("a.csv", b"a,b\n1,2\n1,2,3\n", Some("a")),
                message("a.csv", b"a,b\n1,2\n\"x\ny\",2\n1\n", Some("b")),
                message("a.csv", b"a\n1\nNaN\n", Some("a")),
                message("a.csv", b"a,b\n1,2\n,2\n", Some("a")),
                message("a.csv", b"a\n1\n1_000\n", Some("a")),
                message("a.csv", b"a\n\xff\xfe\n", Some("a")),
                message("a.csv", b"a\n99999999999999999999\n", Some("a")),
                message("a.csv", b"a\n9007199254740993\n0.5\n", Some("a")),
                message("a.csv", b"a\r\n1\r\nx\r\n", Some("a")),
                message("a.csv", b"a,b\r\n\r\n1,2\r\n\r\n3,x\r\n", Some("b")),
                message("a.csv", b"a\n1\n\n2\n", Some("a")),
                message("a.csv", b"\r\n1\r\n\r\n2\r\n", None),
                message("a.csv", b"\n\n", Some("a")),
            ]
            .join("\n"),
            @r#"
            a.csv: there is no column "los"; its columns: id, loss, lost; did you mean "lost"?
            a.csv: there is no column "zzz"; its columns: id, loss, lost
            a.csv: it has 3 columns; its columns: id, loss, lost; name one: a.csv:id
            a.csv: 2 columns are named "a"; its columns: a, a
            a.csv: there is no column "a"; its columns: 1, 2; the first row holds numbers: add a row of names
            a.csv: there is no column "loss"; its columns: id;loss; fields must be separated by ','
            a.csv: not a readable CSV file: line 3 has 3 fields, but the first row has 2; mend that line, or quote fields that hold a separator
            a.csv: not a readable CSV file: line 5 has 1 fields, but the first row has 2; mend that line, or quote fields that hold a separator
            a.csv:a: "NaN" at line 3 is not a number; leave that row out everywhere, or mend it
            a.csv:a: "" at line 3 is empty; leave that row out everywhere, or mend it
            a.csv:a: "1_000" at line 3 is not a number; leave that row out everywhere, or mend it
            a.csv:a: "��" at line 2 is not a number; leave that row out everywhere, or mend it
            a.csv:a: "99999999999999999999" at line 2 is beyond 64-bit integers; subtract a constant first
            a.csv:a: "0.5" at line 3 is a whole number beyond 2^53 among fractions; 64-bit floating point would round it: subtract a constant first
            a.csv:a: "x" at line 3 is not a number; leave that row out everywhere, or mend it
            a.csv:b: "x" at line 5 is not a number; leave that row out everywhere, or mend it
            a.csv: not a readable CSV file: before line 4 there is an empty line, or a line end of another kind; leave that row out everywhere, or mend it
            a.csv: not a readable CSV file: before line 4 there is an empty line, or a line end of another kind; leave that row out everywhere, or mend it
            a.csv: not a readable CSV file: it has no rows; write it again
            "#
        );
    }

    #[test]
    fn a_header_without_rows_is_an_empty_column() {
        assert!(read_as("a.csv", b"a,b\n", Some("b")).unwrap().is_empty());
    }
}

mod conversions {
    use super::*;

    fn column(values: Values) -> Column {
        let rows = values.len();
        Column { source: "a.csv:x".parse().unwrap(), values, rows, columns: None }
    }

    #[test]
    fn ids_are_whole_small_enough_and_not_negative() {
        let integers = |values: &[i64]| column(Values::Integers(values.to_vec()));
        assert_eq!(integers(&[0, 7]).as_ids::<u64>().unwrap(), [0, 7]);
        insta::assert_snapshot!(
            [
                integers(&[0, -1]).as_ids::<u64>().unwrap_err().to_string(),
                integers(&[1 << 32]).as_ids::<u32>().unwrap_err().to_string(),
                column(Values::Floats(vec![1.0])).as_ids::<u32>().unwrap_err().to_string(),
            ]
            .join("\n"),
            @r#"
            a.csv:x: value 1 (counted from 0) is -1, which is negative; give whole numbers from 0
            a.csv:x: value 0 (counted from 0) is 4294967296, which is above 4294967295; give whole numbers from 0
            a.csv:x: the dtype is floating point; whole numbers are needed: save them with .astype(numpy.int64)
            "#
        );
    }

    #[test]
    fn numbers_are_never_rounded_in_silence() {
        let integers = |value: i64| column(Values::Integers(vec![value]));
        assert_eq!(integers(1 << 62).as_f64().unwrap(), [4_611_686_018_427_387_904.0]);
        assert_eq!(integers(i64::MIN).as_f64().unwrap(), [-9_223_372_036_854_775_808.0]);
        insta::assert_snapshot!(integers((1 << 53) + 1).as_f64().unwrap_err(), @"a.csv:x: value 0 (counted from 0) is 9007199254740993, which is beyond what 64-bit floating point holds exactly; subtract a constant first");
    }

    proptest! {
        #[test]
        fn a_whole_number_is_exact_if_it_comes_back_from_f64(value: i64, shift in 0..64) {
            let value = value >> shift;
            let back = value as f64 as i128 == i128::from(value);
            // Beyond 2^53 the check asks for eleven zero bits, which always suffice.
            prop_assert!(!exact(value) || back);
            prop_assert!(exact(value) || value.unsigned_abs() > 1 << 53);
        }
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_one_that_reads_it() {
    insta::assert_snapshot!(
        message("a.parquet", b"PAR1", Some("id")),
        @"a.parquet: this build reads no Parquet; build with `--features parquet`, as `just install` does, or save the numbers as .npy or .csv"
    );
}
