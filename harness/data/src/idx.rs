//! IDX files, raw or gzip: MNIST and Fashion-MNIST.
//!
//! Format (Y. LeCun's page): two zero bytes, a type code (8 = unsigned byte), the number of
//! dimensions, each dimension as u32 big-endian, then the values, last dimension fastest.

use std::path::Path;

use crate::error::DataError;
use crate::files::Content;
use crate::raw::Images;

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;
/// Largest content accepted: above MNIST's 47 MB, far below what would hurt.
const CAP: u64 = 128 << 20;

/// The images of one file with the labels of another.
///
/// `image_file` and `label_file` are the files' bytes, gzip or not; the paths are for messages.
/// Images must be `shape` = [height, width]. Returns `n x 1 x height x width` pixels.
///
/// # Errors
/// On a wrong magic number or dimension, a length other than the declared one, a broken gzip
/// stream, a label of `classes` or more, or unequal numbers of images and labels.
pub fn images(
    (image_path, image_file): (&Path, &[u8]),
    (label_path, label_file): (&Path, &[u8]),
    shape: [usize; 2],
    classes: u8,
) -> Result<Images, DataError> {
    let (count, pixels) = image_content(image_path, image_file, shape)?;
    let labels = label_content(label_path, label_file, classes)?;
    if count != labels.len() as u64 {
        return Err(DataError::Count {
            image_path: image_path.to_path_buf(),
            label_path: label_path.to_path_buf(),
            images: count,
            labels: labels.len() as u64,
        });
    }
    let [height, width] = shape;
    Ok(Images { pixels, shape: [1, height, width], labels, classes, full_scale: 255 })
}

fn image_content(path: &Path, file: &[u8], shape: [usize; 2]) -> Result<(u64, Vec<u8>), DataError> {
    let mut content = Content::new(path, file);
    let [magic, count, height, width] = header(path, &mut content)?;
    check_magic(path, magic, IMAGES, "unsigned bytes in 3 dimensions: images")?;
    for (dimension, offset, found, expected) in
        [("height", 8, height, shape[0]), ("width", 12, width, shape[1])]
    {
        let found = u64::from(found);
        if found != expected as u64 {
            let (path, expected) = (path.to_path_buf(), expected.to_string());
            return Err(DataError::Dimension { path, dimension, offset, found, expected });
        }
    }
    let length = u64::from(count).saturating_mul(u64::from(height)).saturating_mul(width.into());
    let pixels = values(path, &mut content, count, length)?;
    Ok((count.into(), pixels))
}

fn label_content(path: &Path, file: &[u8], classes: u8) -> Result<Vec<u8>, DataError> {
    let mut content = Content::new(path, file);
    let [magic, count] = header(path, &mut content)?;
    check_magic(path, magic, LABELS, "unsigned bytes in 1 dimension: labels")?;
    let labels = values(path, &mut content, count, count.into())?;
    match (8..).zip(&labels).find(|&(_, &label)| label >= classes) {
        None => Ok(labels),
        Some((offset, &value)) => {
            Err(DataError::Label { path: path.to_path_buf(), offset, value, classes })
        }
    }
}

/// The magic number and the dimensions. A file of another kind is told by its magic number even
/// if it is too short for the dimensions.
fn header<const WORDS: usize>(
    path: &Path,
    content: &mut Content<'_>,
) -> Result<[u32; WORDS], DataError> {
    let bytes = content.take(4 * WORDS as u64)?;
    let mut words = [0; WORDS];
    let (chunks, rest) = bytes.as_chunks::<4>();
    if chunks.len() != WORDS || !rest.is_empty() {
        let (found, expected) = (bytes.len() as u64, 4 * WORDS as u64);
        return Err(DataError::Length {
            path: path.to_path_buf(),
            found,
            expected,
            declared: false,
        });
    }
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    Ok(words)
}

fn check_magic(
    path: &Path,
    found: u32,
    expected: u32,
    meaning: &'static str,
) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    Err(DataError::Magic { path: path.to_path_buf(), found, expected, meaning })
}

/// The values after the header: exactly `length` bytes, at least one sample.
fn values(
    path: &Path,
    content: &mut Content<'_>,
    count: u32,
    length: u64,
) -> Result<Vec<u8>, DataError> {
    let path_buf = || path.to_path_buf();
    if count == 0 {
        let (dimension, expected) = ("count", "at least 1".to_owned());
        return Err(DataError::Dimension {
            path: path_buf(),
            dimension,
            offset: 4,
            found: 0,
            expected,
        });
    }
    if length > CAP {
        let what = "the declared content".to_owned();
        return Err(DataError::TooLarge { path: path_buf(), what, bytes: length, cap: CAP });
    }
    content.take_rest(length, true)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::gzip;

    pub(crate) fn image_file(count: u32, [height, width]: [u32; 2]) -> Vec<u8> {
        let header = [IMAGES, count, height, width].into_iter().flat_map(u32::to_be_bytes);
        header.chain((0..count * height * width).map(|i| (i % 251) as u8)).collect()
    }

    pub(crate) fn label_file(labels: &[u8]) -> Vec<u8> {
        let header = [LABELS, labels.len() as u32].into_iter().flat_map(u32::to_be_bytes);
        header.chain(labels.iter().copied()).collect()
    }

    fn parse(image_file: &[u8], label_file: &[u8]) -> Result<Images, DataError> {
        images((Path::new("i"), image_file), (Path::new("l"), label_file), [2, 3], 10)
    }

    #[test]
    fn raw_and_gzip_files_load_alike() {
        let (i, l) = (image_file(2, [2, 3]), label_file(&[7, 9]));
        let loaded = parse(&i, &l).unwrap();
        assert_eq!(loaded.sample_bytes(1).unwrap(), [6, 7, 8, 9, 10, 11]);
        assert_eq!((loaded.shape, loaded.labels.as_slice()), ([1, 2, 3], &[7, 9][..]));
        assert_eq!(parse(&gzip(&i), &gzip(&l)).unwrap(), loaded);
    }

    #[test]
    fn truncated_file_names_the_bytes_found_and_declared() {
        let (mut i, l) = (image_file(2, [2, 3]), label_file(&[7, 9]));
        i.pop();
        let error = parse(&i, &l).unwrap_err().to_string();
        assert_eq!(
            error,
            "i: 27 bytes where 28 are declared; the file is cut short: fetch it again"
        );
        assert_eq!(parse(&gzip(&i), &l).unwrap_err().to_string(), error);
    }

    #[test]
    fn a_file_longer_than_its_header_says_is_refused() {
        let mut i = image_file(2, [2, 3]);
        i.push(0);
        let error = parse(&i, &label_file(&[7, 9])).unwrap_err();
        assert!(matches!(error, DataError::Length { found: 29, expected: 28, .. }), "{error}");
    }

    #[test]
    fn labels_given_as_images_are_told_by_their_magic_number() {
        let l = label_file(&[1; 20]);
        let error = parse(&l, &l).unwrap_err();
        assert!(matches!(error, DataError::Magic { found: LABELS, .. }), "{error}");
        let error = parse(&image_file(2, [2, 3]), &image_file(2, [2, 3])).unwrap_err();
        assert!(matches!(error, DataError::Magic { found: IMAGES, .. }), "{error}");
    }

    #[test]
    fn another_image_size_names_the_dimension_and_its_offset() {
        let error = parse(&image_file(2, [3, 2]), &label_file(&[7, 9])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "i: height is 3 at offset 8, expected 2; is it another data set's file?"
        );
    }

    #[test]
    fn a_header_declaring_terabytes_is_refused_without_reading_them() {
        let header = [IMAGES, u32::MAX, 2, 3].into_iter().flat_map(u32::to_be_bytes);
        let error = parse(&header.collect::<Vec<_>>(), &label_file(&[1])).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_label_out_of_range_names_its_offset_and_value() {
        let error = parse(&image_file(2, [2, 3]), &label_file(&[7, 10])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "l: label 10 at offset 9, expected 0 to 9; fetch the file again"
        );
    }

    #[test]
    fn unequal_numbers_of_images_and_labels_are_refused() {
        let error = parse(&image_file(2, [2, 3]), &label_file(&[7])).unwrap_err();
        assert!(matches!(error, DataError::Count { images: 2, labels: 1, .. }), "{error}");
    }

    #[test]
    fn an_empty_file_and_an_empty_set_are_refused() {
        assert!(matches!(parse(&[], &[]), Err(DataError::Length { found: 0, .. })));
        let error = parse(&image_file(0, [2, 3]), &label_file(&[])).unwrap_err();
        assert!(matches!(error, DataError::Dimension { dimension: "count", .. }), "{error}");
    }

    proptest! {
        #[test]
        fn corrupted_files_never_panic_and_never_lie_about_size(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            keep in any::<prop::sample::Index>(),
            wrapped in any::<bool>(),
        ) {
            let mut i = image_file(3, [2, 3]);
            if wrapped {
                i = gzip(&i);
            }
            for (place, value) in edits {
                let place = place.index(i.len());
                i[place] = value;
            }
            i.truncate(keep.index(i.len() + 1));
            if let Ok(images) = parse(&i, &label_file(&[1, 2, 3])) {
                prop_assert_eq!(images.pixels.len(), 18);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(i in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&i, &i);
        }
    }
}
