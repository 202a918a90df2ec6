//! Mutated files: every outcome is a column or an error, never a panic, and never more memory than
//! the file accounts for. Panics within the Parquet parser are contained, and come as errors.

use std::fs;

use rand_core::Rng as _;
use rand_pcg::Pcg64;

use super::{npy, npy_of};
use crate::columns::*;

/// Mutations of each seed file in every test run; `PALIMPSEST_FUZZ` asks for another number.
const MUTATIONS: u64 = 1500;

fn mutations() -> u64 {
    let asked = std::env::var("PALIMPSEST_FUZZ").ok();
    asked.map_or(MUTATIONS, |text| text.parse().expect("PALIMPSEST_FUZZ is a number"))
}

/// One to eight changes: a flipped bit, an odd byte, a cut, a doubled or an inserted stretch.
fn mutate(rng: &mut Pcg64, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let below = |rng: &mut Pcg64, n: usize| (rng.next_u64() % (n.max(1) as u64)) as usize;
    for _ in 0..=below(rng, 8) {
        let at = below(rng, bytes.len());
        let stretch = below(rng, 16).min(bytes.len() - at.min(bytes.len()));
        match below(rng, 7) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << below(rng, 8),
            2 if !bytes.is_empty() => {
                bytes[at] = [0, 0xff, 0x7f, 0x80, b'\n', b'"', b',', b'9'][below(rng, 8)];
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + stretch)),
            5 => {
                let copy = bytes[at..at + stretch].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let new: Vec<u8> = (0..stretch).map(|_| rng.next_u64() as u8).collect();
                bytes.splice(at..at, new);
            }
        }
    }
    bytes
}

/// Reads mutations of the seed under `name`: one test per seed, so that none takes longer than a
/// test may.
pub(super) fn survive(name: &str, columns: &[Option<&str>], stream: u128, seed: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut rng = Pcg64::new(20_251_022, stream);
    let mut readable = 0;
    for round in 0..mutations() {
        fs::write(&path, mutate(&mut rng, seed)).unwrap();
        let column = columns[round as usize % columns.len()].map(str::to_owned);
        match numbers(&ColumnSource { path: path.clone(), column }) {
            Ok(column) => {
                readable += 1;
                let _ = column.as_ids::<u32>();
                let _ = column.as_f64();
            }
            Err(error) => assert!(error.to_string().contains(name), "{error}"),
        }
        // Text and lists go most of the same way.
        if round % 8 > 0 {
            continue;
        }
        let column = columns[round as usize / 8 % columns.len()].map(str::to_owned);
        let source = ColumnSource { path: path.clone(), column };
        for error in [ids(&source).err(), lists(&source).err()].into_iter().flatten() {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    assert!(readable > 0, "no mutation was readable, so that values were never reached");
}

#[test]
fn mutated_npy_files_of_integers_never_panic() {
    survive("a.npy", &[None], 7, &npy("<i8", "(3,)", &[1; 24]));
}

#[test]
fn mutated_npy_files_in_fortran_order_never_panic() {
    let table = "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3)}";
    survive("a.npy", &[None], 8, &npy_of(3, table, &[0x40; 24]));
}

#[test]
fn mutated_npy_files_of_half_floats_never_panic() {
    survive("a.npy", &[None], 9, &npy("<f2", "(8,)", &[0x3c; 16]));
}

#[test]
fn mutated_npy_files_of_text_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut rng = Pcg64::new(20_251_022, 10);
    let seed = npy("<U2", "(3,)", b"a\0\0\0b\0\0\0c\0\0\0\0\0\0\0d\0\0\0\0\0\0\0");
    let mut readable = 0;
    for _ in 0..mutations() {
        fs::write(&path, mutate(&mut rng, &seed)).unwrap();
        match ids(&ColumnSource { path: path.clone(), column: None }) {
            Ok(_) => readable += 1,
            Err(error) => assert!(error.to_string().contains("a.npy"), "{error}"),
        }
    }
    assert!(readable > 0, "no mutation was readable, so that texts were never reached");
}

const CSV: [Option<&str>; 3] = [Some("loss"), None, Some("id")];

#[test]
fn mutated_csv_files_never_panic() {
    survive("a.csv", &CSV, 7, b"id,loss\n0,1.5\n1,-2e3\n2,\"3\"\n");
}

#[test]
fn mutated_files_with_tabs_never_panic() {
    survive("a.csv", &CSV, 8, b"\xef\xbb\xbfid\tloss\r\n\"0\"\t1\r\n");
}

#[test]
fn mutated_files_without_a_header_never_panic() {
    survive("a.csv", &CSV, 9, b"17\n18\n19\n");
}
