use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::columns::{write_npy, write_npy_table};

const SHARES: Shares = Shares { validation: 0.2, test: 0.2 };

/// 30 rows, the last ten as the ten before them, in three kinds.
fn rows() -> Vec<String> {
    let row = |i: usize| format!("{},{}.5,{}", i * i, i, ["10", "9", "b"][i % 3]);
    (0..20).chain(10..20).map(row).collect()
}

fn csv(folder: &TempDir, rows: &[String]) -> PathBuf {
    let path = folder.path().join("t.csv");
    fs::write(&path, format!("x,y,kind\n{}\n", rows.join("\n"))).unwrap();
    path
}

fn of(path: &Path, kind: LabelKind, label: &str) -> Result<OwnData, DataError> {
    OwnData::of_table(path, &Wanted { label, ignored: &[], kind }, SHARES)
}

fn rows_of(data: &OwnData, part: &[u32]) -> Vec<(Vec<u32>, u32)> {
    let OwnLabels::Classes { of, .. } = &data.labels else { panic!("classes") };
    let row = |&at: &u32| {
        (data.example(at).iter().map(|value| value.to_bits()).collect(), of[at as usize])
    };
    let mut rows: Vec<_> = part.iter().map(row).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn the_same_rows_are_held_out_whatever_their_order_and_copies_stay_together() {
    let folder = tempfile::tempdir().unwrap();
    let data = of(&csv(&folder, &rows()), LabelKind::Names, "kind").unwrap();
    let mut turned = rows();
    turned.rotate_left(11);
    turned.swap(3, 17);
    let again = of(&csv(&folder, &turned), LabelKind::Names, "kind").unwrap();
    let parts = |data: &OwnData| {
        let Split { train, validation, test } = &data.split;
        [train, validation, test].map(|part| rows_of(data, part))
    };
    assert_eq!(parts(&data), parts(&again));
    let [train, validation, test] = parts(&data);
    assert!(validation.iter().all(|row| !train.contains(row) && !test.contains(row)));
    assert!(test.iter().all(|row| !train.contains(row)));
    assert_ne!(data.file.sha256, again.file.sha256);
    assert_eq!((data.shape.as_slice(), data.file.name.as_str()), (&[2][..], "file:t.csv"));
}

#[test]
fn classes_are_numbered_by_their_names_and_numbers_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        |rows: &[String]| match of(&csv(&folder, rows), LabelKind::Names, "kind").unwrap().labels {
            OwnLabels::Classes { names, of } => (names, of[..3].to_vec()),
            OwnLabels::Numbers(_) => panic!("classes"),
        };
    let texts = |names: [&str; 3]| names.map(str::to_owned).to_vec();
    assert_eq!(names(&rows()), (texts(["10", "9", "b"]), vec![0, 1, 2]));
    let numbers: Vec<String> = rows().iter().map(|row| row.replace('b', "-2")).collect();
    assert_eq!(names(&numbers), (texts(["-2", "9", "10"]), vec![2, 1, 0]));
}

#[test]
fn an_id_is_that_of_the_numbers_and_the_label() {
    let folder = tempfile::tempdir().unwrap();
    let data = of(&csv(&folder, &rows()), LabelKind::Names, "kind").unwrap();
    let mut bytes = [4.0_f32.to_le_bytes(), 2.5_f32.to_le_bytes()].concat();
    bytes.extend(b"b");
    assert_eq!(data.ids[2], sample_id(&bytes, 0));
    let numbers = rows().iter().map(|row| row.replace(",b", ",7")).collect::<Vec<_>>();
    let data = of(&csv(&folder, &numbers), LabelKind::Numbers, "kind").unwrap();
    let bytes = [4.0_f32, 2.5, 7.0].map(f32::to_le_bytes).concat();
    assert_eq!(data.ids[2], sample_id(&bytes, 0));
    assert_eq!(data.labels.len(), 30);
}

#[test]
fn arrays_are_read_as_a_table_is() {
    let folder = tempfile::tempdir().unwrap();
    let [inputs, labels] = ["X.npy", "y.npy"].map(|name| folder.path().join(name));
    let values: Vec<f32> = (0..30 * 6).map(|i| i as f32 / 4.0).collect();
    write_npy_table(&mut fs::File::create(&inputs).unwrap(), &values, 6).unwrap();
    let classes: Vec<u32> = (0..30).map(|i| i % 3).collect();
    write_npy(&mut fs::File::create(&labels).unwrap(), &classes).unwrap();
    let data = OwnData::of_arrays(&inputs, &labels, LabelKind::Names, SHARES).unwrap();
    assert_eq!(
        (data.shape.as_slice(), data.example(2)[0], data.file.name.as_str()),
        (&[6][..], 3.0, "file:X.npy+y.npy")
    );
    let numbers = OwnData::of_arrays(&inputs, &labels, LabelKind::Numbers, SHARES).unwrap();
    assert_eq!(numbers.labels, OwnLabels::Numbers(classes.iter().map(|&c| c as f32).collect()));
    write_npy(&mut fs::File::create(&labels).unwrap(), &classes[1..]).unwrap();
    let told = OwnData::of_arrays(&inputs, &labels, LabelKind::Names, SHARES).unwrap_err();
    assert!(told.to_string().contains("30") && told.to_string().contains("29"), "{told}");
    let told = OwnData::of_arrays(&inputs, &inputs, LabelKind::Numbers, SHARES).unwrap_err();
    assert!(told.to_string().contains("(30, 6)"), "{told}");
    let halves: Vec<f32> = (0..30).map(|i| i as f32 / 2.0).collect();
    write_npy(&mut fs::File::create(&labels).unwrap(), &halves).unwrap();
    let told = OwnData::of_arrays(&inputs, &labels, LabelKind::Names, SHARES).unwrap_err();
    assert!(told.to_string().contains("astype"), "{told}");
}

#[test]
fn labels_that_nothing_can_be_learnt_from_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(usize) -> String, kind, parts: &[&str]| {
        let rows: Vec<String> = (0..30).map(|i| format!("{i},{i},{}", change(i))).collect();
        let told = of(&csv(&folder, &rows), kind, "kind").unwrap_err().to_string();
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    refused(
        &|_| "a".to_owned(),
        LabelKind::Names,
        &["t.csv", "\"kind\" has one value alone, \"a\""],
    );
    refused(
        &|i| format!("{i}.25"),
        LabelKind::Names,
        &["30 different values in 30 rows", "-regression"],
    );
    refused(&|_| "1e60".to_owned(), LabelKind::Numbers, &["t.csv:kind", "beyond 32-bit", "divide"]);
}
