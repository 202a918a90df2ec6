//! Reading files that may be absent, huge, compressed or broken, within fixed bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::error::DataError;

/// Largest file taken into memory; the largest official one (CIFAR-10's archive) has 170 MB.
pub(crate) const FILE_CAP: u64 = 256 << 20;

/// What a gzip stream starts with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The whole file, at most `cap` bytes.
pub(crate) fn read(path: &Path, cap: u64) -> Result<Vec<u8>, DataError> {
    let io = |source| DataError::Io { path: path.to_path_buf(), source };
    // Looked at before opening: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(DataError::NotAFile { path: path.to_path_buf() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > cap {
        let (what, found) = ("the file".to_owned(), bytes.len() as u64);
        return Err(DataError::TooLarge { path: path.to_path_buf(), what, bytes: found, cap });
    }
    Ok(bytes)
}

/// The first of `candidates` that exists, else [`DataError::Missing`].
pub(crate) fn first_present(
    candidates: Vec<PathBuf>,
    remedy: impl FnOnce() -> String,
) -> Result<PathBuf, DataError> {
    if let Some(path) = candidates.iter().find(|path| path.exists()) {
        return Ok(path.clone());
    }
    let name = candidates.first().and_then(|path| path.file_name());
    let file = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Err(DataError::Missing { file, looked: candidates, remedy: remedy() })
}

/// A file's content, decoded on the way if the file is gzip; counts what it hands out.
pub(crate) struct Content<'a> {
    path: &'a Path,
    decoder: Decoder<'a>,
    offset: u64,
}

enum Decoder<'a> {
    Plain(&'a [u8]),
    Gzip(Box<GzDecoder<&'a [u8]>>),
}

impl<'a> Content<'a> {
    pub(crate) fn new(path: &'a Path, file: &'a [u8]) -> Self {
        let decoder = if file.starts_with(&GZIP) {
            Decoder::Gzip(Box::new(GzDecoder::new(file)))
        } else {
            Decoder::Plain(file)
        };
        Self { path, decoder, offset: 0 }
    }

    /// Up to `limit` further bytes; fewer only at the end of the content. Memory grows with what
    /// is really there, never with what a header declares.
    pub(crate) fn take(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let result = Read::by_ref(&mut self.decoder).take(limit).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match result {
            Ok(_) => Ok(bytes),
            Err(source) => {
                let (path, offset) = (self.path.to_path_buf(), self.offset);
                Err(DataError::Gzip { path, offset, source })
            }
        }
    }

    /// Exactly `length` further bytes and then the end: `declared` says whether the file's own
    /// header promised that length.
    pub(crate) fn take_rest(&mut self, length: u64, declared: bool) -> Result<Vec<u8>, DataError> {
        let before = self.offset;
        let bytes = self.take(length.saturating_add(1))?;
        if bytes.len() as u64 != length {
            let (found, expected) = (self.offset, before.saturating_add(length));
            let path = self.path.to_path_buf();
            return Err(DataError::Length { path, found, expected, declared });
        }
        self.refuse_trailing()?;
        Ok(bytes)
    }

    /// Everything up to the end, which must come within `cap` bytes.
    pub(crate) fn take_all(&mut self, cap: u64) -> Result<Vec<u8>, DataError> {
        let bytes = self.take(cap.saturating_add(1))?;
        if bytes.len() as u64 > cap {
            let (path, what) = (self.path.to_path_buf(), "the decoded content".to_owned());
            return Err(DataError::TooLarge { path, what, bytes: bytes.len() as u64, cap });
        }
        self.refuse_trailing()?;
        Ok(bytes)
    }

    fn refuse_trailing(&self) -> Result<(), DataError> {
        let Decoder::Gzip(decoder) = &self.decoder else { return Ok(()) };
        match decoder.get_ref().len() as u64 {
            0 => Ok(()),
            bytes => Err(DataError::GzipTrailing { path: self.path.to_path_buf(), bytes }),
        }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(buffer),
            Self::Gzip(decoder) => loop {
                let read = decoder.read(buffer)?;
                // A gzip file may be several, one behind another: they are read as one.
                let rest: &[u8] = decoder.get_ref();
                if read > 0 || buffer.is_empty() || !rest.starts_with(&GZIP) {
                    return Ok(read);
                }
                **decoder = GzDecoder::new(rest);
            },
        }
    }
}

#[cfg(test)]
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_cap_is_refused_before_it_fills_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let error = read(&path, 1000).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { bytes: 1001, cap: 1000, .. }), "{error}");
    }

    #[test]
    fn a_folder_is_not_taken_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), 10), Err(DataError::NotAFile { .. })));
        let absent = read(&folder.path().join("none"), 10).unwrap_err();
        assert!(matches!(absent, DataError::Io { .. }));
    }

    #[test]
    fn a_gzip_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![0; 4 << 20]);
        let error = Content::new(Path::new("bomb.gz"), &bomb).take_all(1000).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { bytes: 1001, .. }), "{error}");
    }

    #[test]
    fn a_cut_gzip_stream_names_how_far_it_got() {
        let whole = gzip(&(0..=255).cycle().take(5000).collect::<Vec<u8>>());
        let cut = &whole[..whole.len() - 9];
        let error = Content::new(Path::new("cut.gz"), cut).take_all(10_000).unwrap_err();
        assert!(matches!(error, DataError::Gzip { .. }), "{error}");
    }

    #[test]
    fn gzip_streams_one_behind_another_are_read_as_one() {
        let mut file = [gzip(b"abc"), gzip(b""), gzip(b"defg")].concat();
        let read = |file: &[u8], cap| Content::new(Path::new("x.gz"), file).take_all(cap);
        assert_eq!(read(&file, 7).unwrap(), b"abcdefg");
        assert!(matches!(read(&file, 6), Err(DataError::TooLarge { .. })));
        let rest = Content::new(Path::new("x.gz"), &file).take_rest(7, true).unwrap();
        assert_eq!(rest, b"abcdefg");
        file.extend(b"tail");
        assert!(matches!(read(&file, 9), Err(DataError::GzipTrailing { bytes: 4, .. })));
        // A second stream that breaks off.
        file.truncate(file.len() - 8);
        assert!(matches!(read(&file, 9), Err(DataError::Gzip { .. })));
    }

    #[test]
    fn bytes_after_the_gzip_stream_are_refused() {
        let mut file = gzip(b"abc");
        file.extend(b"tail");
        let error = Content::new(Path::new("x.gz"), &file).take_rest(3, true).unwrap_err();
        assert!(matches!(error, DataError::GzipTrailing { bytes: 4, .. }), "{error}");
    }
}
