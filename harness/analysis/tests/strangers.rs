//! The corpus of the fuzz targets, and what they found: no file of a stranger ends or hangs a reader.

#[path = "../../../fuzz/src/evidence.rs"]
mod evidence;

#[test]
fn every_file_of_the_corpus_is_read_or_refused() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    for (name, read) in evidence::READERS {
        let mut files = 0;
        for file in std::fs::read_dir(format!("{corpus}/{name}")).expect("a corpus") {
            let path = file.expect("a file").path();
            read(&std::fs::read(&path).expect("a file"));
            files += 1;
        }
        assert!(files > 0, "{name} starts from nothing");
    }
}
