use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::orientation::orientation;
use super::*;
use crate::own::{OwnData, OwnLabels, Shares};

const SHARES: Shares = Shares { validation: 0.2, test: 0.2 };
const FIT: Fit = Fit { size: 4, colours: Colours::Rgb };

/// A file of `tests/images`.
fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)).unwrap()
}

fn png_of(width: u32, height: u32, colour: ::png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(::png::BitDepth::Eight);
    if colour == ::png::ColorType::Indexed {
        encoder.set_palette(vec![255, 0, 0, 0, 0, 255]);
    }
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

fn grey(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    png_of(width, height, ::png::ColorType::Grayscale, pixels)
}

fn refused(bytes: &[u8], parts: &[&str]) {
    let Refusal { problem, remedy } = decode(bytes).unwrap_err();
    let told = format!("{problem}; {remedy}");
    for part in parts {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

/// A folder of classes, `images` of each, no two alike.
fn classes(names: &[&str], images: u8) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, name) in (0_u8..).zip(names) {
        fs::create_dir_all(folder.path().join(name)).unwrap();
        for image in 0..images {
            let first = image.wrapping_mul(7).wrapping_add(class.wrapping_mul(50));
            let pixels: Vec<u8> = (0..16).map(|pixel| first.wrapping_add(3 * pixel)).collect();
            fs::write(folder.path().join(format!("{name}/{image}.png")), grey(4, 4, &pixels))
                .unwrap();
        }
    }
    folder
}

fn of(folder: &Path) -> Result<OwnData, crate::DataError> {
    OwnData::of_images(folder, FIT, SHARES)
}

fn folder_refused(folder: &Path, parts: &[&str]) {
    let told = of(folder).unwrap_err().to_string();
    for part in parts {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn grey_colour_palette_and_opaque_alpha_are_read_and_what_is_transparent_is_refused() {
    use ::png::ColorType::{GrayscaleAlpha, Indexed, Rgb, Rgba};
    assert_eq!(decode(&grey(2, 1, &[7, 9])).unwrap().pixels, [7, 9]);
    let palette = decode(&png_of(2, 1, Indexed, &[1, 0])).unwrap();
    assert_eq!((palette.channels, palette.pixels), (3, vec![0, 0, 255, 255, 0, 0]));
    assert_eq!(decode(&png_of(1, 1, Rgb, &[1, 2, 3])).unwrap().pixels, [1, 2, 3]);
    let opaque = decode(&png_of(1, 1, Rgba, &[1, 2, 3, 255])).unwrap();
    assert_eq!((opaque.channels, opaque.pixels), (3, vec![1, 2, 3]));
    assert_eq!(decode(&png_of(1, 1, GrayscaleAlpha, &[5, 255])).unwrap().pixels, [5]);
    let through = png_of(2, 1, Rgba, &[1, 2, 3, 255, 4, 5, 6, 12]);
    refused(&through, &["pixel 1 of row 0", "alpha 12", "background"]);
}

#[test]
fn a_png_of_sixteen_bits_an_animated_one_and_a_damaged_one_are_refused_each_with_its_reason() {
    let mut deep = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut deep, 1, 1);
    encoder.set_depth(::png::BitDepth::Sixteen);
    encoder.write_header().unwrap().write_image_data(&[1, 2]).unwrap();
    refused(&deep, &["16 bits", "save it with 8"]);
    let mut moving = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut moving, 1, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    (0..2).for_each(|frame| writer.write_image_data(&[frame]).unwrap());
    writer.finish().unwrap();
    refused(&moving, &["animated (2 frames)"]);
    let whole = grey(4, 4, &[3; 16]);
    for length in 8..whole.len() {
        refused(&whole[..length], &["damaged or cut off"]);
    }
    let mut flipped = whole.clone();
    let middle = whole.len() - 18;
    flipped[middle] ^= 1;
    refused(&flipped, &["damaged"]);
}

#[test]
fn sizes_that_a_header_declares_are_not_believed() {
    let mut bomb = grey(4, 4, &[0; 16]);
    bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    // The checksum of the header, so that only its size is wrong.
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    refused(&bomb, &["60000 x 60000 pixels", "smaller"]);
    let mut jpeg = sample("colour.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    refused(&jpeg, &["65535 x 65535 pixels"]);
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0, 0, 0, 8]);
    refused(&jpeg, &["8 x 0 pixels"]);
}

#[test]
fn jpegs_of_any_sampling_grey_and_progressive_show_what_was_saved() {
    // Left half red, right half blue (of grey: dark and light), 16 pixels wide and 8 high.
    for name in ["colour.jpg", "full.jpg", "progressive.jpg"] {
        let picture = decode(&sample(name)).unwrap();
        assert_eq!((picture.width, picture.height, picture.channels), (16, 8, 3), "{name}");
        let pixel = |x: usize| &picture.pixels[(4 * 16 + x) * 3..][..3];
        assert!(pixel(1)[0] > 200 && pixel(1)[2] < 60, "{name}: {:?}", pixel(1));
        assert!(pixel(14)[2] > 200 && pixel(14)[0] < 60, "{name}: {:?}", pixel(14));
    }
    let grey = decode(&sample("grey.jpg")).unwrap();
    assert_eq!((grey.width, grey.height, grey.channels), (16, 8, 1));
    assert!(grey.pixels[4 * 16 + 1] < 60 && grey.pixels[4 * 16 + 14] > 190);
}

#[test]
fn a_jpeg_that_is_cut_off_of_four_inks_or_damaged_is_refused() {
    let whole = sample("colour.jpg");
    for length in 3..whole.len() - 2 {
        refused(&whole[..length], &["cut off"]);
    }
    refused(&sample("cmyk.jpg"), &["four inks", "RGB"]);
    let mut twelve = whole.clone();
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    twelve[frame + 4] = 12;
    refused(&twelve, &["12 bits"]);
    let mut lossless = whole.clone();
    lossless[frame + 1] = 0xc3;
    refused(&lossless, &["kind 3"]);
    let mut gap = whole;
    gap[2] = 0;
    refused(&gap, &["starts with ff d8 00"]);
}

#[test]
fn other_kinds_are_called_by_their_names_whatever_the_files_are_called() {
    refused(b"", &["empty"]);
    refused(b"GIF89a....", &["GIF"]);
    refused(b"RIFF\x10\0\0\0WEBPVP8 ", &["WebP"]);
    refused(b"\0\0\0\x18ftypheic", &["HEIC"]);
    refused(b"hello", &["starts with 68 65 6c 6c"]);
    let folder = classes(&["a", "b"], 5);
    // A PNG by another name is what it is.
    fs::rename(folder.path().join("a/0.png"), folder.path().join("a/0.jpg")).unwrap();
    of(folder.path()).unwrap();
    fs::write(folder.path().join("b/moving.png"), b"GIF89a").unwrap();
    folder_refused(folder.path(), &["b/moving.png", "GIF", "take it away"]);
}

#[test]
fn an_image_is_turned_as_its_exif_data_say() {
    let upright = decode(&sample("colour.jpg")).unwrap();
    let turned = decode(&sample("turned.jpg")).unwrap();
    assert_eq!((turned.width, turned.height), (8, 16));
    assert_eq!(turned, upright.turned(6));
    // 1 2 3 over 4 5 6.
    let picture = Picture { width: 3, height: 2, channels: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
    for (orientation, pixels) in [
        (1, [1, 2, 3, 4, 5, 6]),
        (2, [3, 2, 1, 6, 5, 4]),
        (3, [6, 5, 4, 3, 2, 1]),
        (4, [4, 5, 6, 1, 2, 3]),
        (5, [1, 4, 2, 5, 3, 6]),
        (6, [4, 1, 5, 2, 6, 3]),
        (7, [6, 3, 5, 2, 4, 1]),
        (8, [3, 6, 2, 5, 1, 4]),
    ] {
        let turned = picture.clone().turned(orientation);
        assert_eq!(turned.pixels, pixels, "{orientation}");
        assert_eq!(turned.width, if orientation < 5 { 3 } else { 2 });
    }
    assert_eq!(orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"), 6);
    assert_eq!(orientation(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0"), 8);
    for none in [&b"II*\0"[..], b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b""] {
        assert_eq!(orientation(none), 1);
    }
}

#[test]
fn a_smaller_image_is_the_mean_over_areas_a_larger_one_is_between_centres_both_of_the_middle() {
    let picture = |width, height, channels, pixels: &[u8]| Picture {
        width,
        height,
        channels,
        pixels: pixels.to_vec(),
    };
    let fit = |size, colours| Fit { size, colours };
    let grey = |size, picture: &Picture| fit(size, Colours::Grey).of(picture);
    // The middle two columns of four; each pixel the mean of one.
    let wide = picture(4, 2, 1, &[99, 10, 20, 99, 99, 30, 41, 99]);
    assert_eq!(grey(2, &wide), [10, 20, 30, 41]);
    assert_eq!(grey(1, &wide), [25], "25.25");
    // Three pixels to two: one and a half each.
    let three = picture(3, 3, 1, &[0, 30, 90, 0, 30, 90, 0, 30, 90]);
    assert_eq!(grey(2, &three), [10, 70, 10, 70]);
    // Two to four: the edges, and quarters between.
    let two = picture(2, 2, 1, &[0, 100, 0, 100]);
    assert_eq!(grey(4, &two)[..4], [0, 25, 75, 100]);
    assert_eq!(grey(3, &picture(1, 1, 1, &[8])), [8; 9]);
    let colour = picture(1, 1, 3, &[255, 128, 0]);
    assert_eq!(fit(1, Colours::Rgb).of(&colour), [255, 128, 0]);
    assert_eq!(grey(1, &colour), [151], "76.245 + 75.136");
    assert_eq!(fit(1, Colours::Rgb).of(&picture(1, 1, 1, &[9])), [9, 9, 9]);
}

#[test]
fn classes_are_folders_and_the_split_is_that_of_the_files_at_every_size() {
    let folder = classes(&["10", "9", "b"], 10);
    let data = of(folder.path()).unwrap();
    let OwnLabels::Classes { names, of: classes_of } = &data.labels else { panic!("classes") };
    assert_eq!(names, &["10", "9", "b"], "not all are numbers");
    assert_eq!((data.shape.as_slice(), classes_of.len()), (&[3, 4, 4][..], 30));
    assert_eq!(data.example(0)[..2], [0.0, 3.0 / 255.0]);
    let larger = Fit { size: 8, colours: Colours::Grey };
    let larger = OwnData::of_images(folder.path(), larger, SHARES).unwrap();
    assert_eq!(larger.split, data.split);
    assert_ne!(larger.ids, data.ids);
    assert_eq!(larger.file, data.file);
    let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(data.file.name, format!("folder:{name}"));
    // What sha256sum prints, line by line, in the order of the names' bytes.
    let mut files: Vec<String> = ["10", "9", "b"]
        .iter()
        .flat_map(|c| (0..10).map(move |i| format!("{c}/{i}.png")))
        .collect();
    files.sort();
    let lines = files.iter().map(|file| {
        let bytes = fs::read(folder.path().join(file)).unwrap();
        format!("{}  {file}\n", Digest::of(&bytes))
    });
    assert_eq!(data.file.sha256, Digest::of(lines.collect::<String>().as_bytes()));
    // Other names of the files, and what is passed over, change nothing but that digest.
    fs::rename(folder.path().join("b/0.png"), folder.path().join("b/zzz.png")).unwrap();
    fs::write(folder.path().join("b/.hidden"), "x").unwrap();
    fs::write(folder.path().join("README.txt"), "x").unwrap();
    let again = of(folder.path()).unwrap();
    let held = |data: &OwnData| {
        let mut ids: Vec<_> = data.split.test.iter().map(|&at| data.ids[at as usize]).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(held(&again), held(&data));
    assert_ne!(again.file.sha256, data.file.sha256);
}

#[test]
fn images_that_show_the_same_stay_together_however_they_were_saved() {
    let folder = classes(&["a", "b"], 10);
    for class in ["a", "b"] {
        for image in 0..10 {
            let path = folder.path().join(format!("{class}/{image}.png"));
            let pixels = decode(&fs::read(&path).unwrap()).unwrap().pixels;
            let rgb: Vec<u8> = pixels.iter().flat_map(|&value| [value; 3]).collect();
            let other = png_of(4, 4, ::png::ColorType::Rgb, &rgb);
            fs::write(path.with_file_name(format!("copy{image}.png")), other).unwrap();
        }
    }
    let data = of(folder.path()).unwrap();
    let [train, validation, test] = [&data.split.train, &data.split.validation, &data.split.test]
        .map(|part| {
            part.iter().map(|&at| data.ids[at as usize]).collect::<std::collections::BTreeSet<_>>()
        });
    assert!(train.is_disjoint(&validation) && train.is_disjoint(&test));
    assert!(validation.is_disjoint(&test) && !test.is_empty());
}

#[test]
fn an_image_that_stands_in_two_classes_is_in_one_split() {
    let folder = classes(&["a", "b"], 20);
    for image in 0..20 {
        let [from, to] = ["a", "b"].map(|class| folder.path().join(class));
        fs::copy(from.join(format!("{image}.png")), to.join(format!("of_a{image}.png"))).unwrap();
    }
    let data = of(folder.path()).unwrap();
    let [train, validation, test] = [&data.split.train, &data.split.validation, &data.split.test]
        .map(|part| {
            let shown = part.iter().map(|&at| format!("{:?}", data.example(at)));
            shown.collect::<std::collections::BTreeSet<_>>()
        });
    assert!(train.is_disjoint(&validation) && train.is_disjoint(&test));
    assert!(validation.is_disjoint(&test) && !validation.is_empty() && !test.is_empty());
    assert_eq!(data.ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 60);
}

#[test]
fn folders_may_say_what_images_are_for_and_what_they_leave_open_comes_out_of_train() {
    let folder = tempfile::tempdir().unwrap();
    let move_to = |part: &str, names: &[&str], from: &TempDir| {
        fs::create_dir_all(folder.path().join(part)).unwrap();
        for name in names {
            fs::rename(from.path().join(name), folder.path().join(part).join(name)).unwrap();
        }
    };
    move_to("train", &["a", "b"], &classes(&["a", "b"], 10));
    let other = classes(&["x", "y", "a", "b"], 3);
    move_to("test", &["a", "b"], &other);
    let data = of(folder.path()).unwrap();
    let counts = [&data.split.train, &data.split.validation, &data.split.test].map(Vec::len);
    assert_eq!(counts, [16, 4, 6]);
    let other = classes(&["x", "y", "z", "v", "a", "b"], 2);
    move_to("val", &["a", "b"], &other);
    let data = of(folder.path()).unwrap();
    let counts = [&data.split.train, &data.split.validation, &data.split.test].map(Vec::len);
    assert_eq!(counts, [20, 4, 6]);
    // The same in train and test.
    fs::copy(folder.path().join("train/a/3.png"), folder.path().join("test/a/again.png")).unwrap();
    folder_refused(folder.path(), &["test/a/again.png shows the same as", "train/a/3.png"]);
    fs::remove_file(folder.path().join("test/a/again.png")).unwrap();
    fs::copy(folder.path().join("train/a/3.png"), folder.path().join("test/b/again.png")).unwrap();
    folder_refused(folder.path(), &["test/b/again.png shows the same as", "train/a/3.png"]);
    fs::remove_file(folder.path().join("test/b/again.png")).unwrap();
    fs::rename(folder.path().join("test/a"), folder.path().join("test/A")).unwrap();
    folder_refused(folder.path(), &["test/A", "class \"A\" has no folder in train"]);
}

#[test]
fn each_way_that_a_folder_can_be_wrong_is_told_with_what_lies_there_and_a_remedy() {
    let broken = |change: &dyn Fn(&Path), parts: &[&str]| {
        let folder = classes(&["a", "b"], 4);
        change(folder.path());
        folder_refused(folder.path(), parts);
    };
    broken(&|f| fs::write(f.join("a/notes.txt"), "x").unwrap(), &["a/notes.txt", "none of .png"]);
    broken(&|f| fs::create_dir(f.join("a/more")).unwrap(), &["a/more", "inside of a class"]);
    broken(&|f| fs::create_dir(f.join("c")).unwrap(), &["class \"c\" has no image"]);
    broken(&|f| fs::write(f.join("x.png"), "x").unwrap(), &["x.png", "image of no class"]);
    broken(&|f| fs::remove_dir_all(f.join("b")).unwrap(), &["one class alone, \"a\""]);
    broken(&|f| fs::write(f.join("a/b\n.png"), "x").unwrap(), &["control character", "rename"]);
    let cut = |f: &Path| {
        let whole = fs::read(f.join("b/2.png")).unwrap();
        fs::write(f.join("b/2.png"), &whole[..40]).unwrap();
    };
    broken(&cut, &["b/2.png", "damaged or cut off", "save it again"]);
    let folder = tempfile::tempdir().unwrap();
    folder_refused(folder.path(), &["holds no folder"]);
    folder_refused(&folder.path().join("none"), &["none", "check that it is there"]);
    let few = classes(&["a", "b"], 1);
    folder_refused(few.path(), &["2 samples cannot give"]);
    let huge = Fit { size: 20_000, ..FIT };
    let folder = classes(&["a", "b"], 4);
    let told = OwnData::of_images(folder.path(), huge, SHARES).unwrap_err().to_string();
    assert!(
        told.contains("8 images of 3 x 20000 x 20000") && told.contains("smaller size"),
        "{told}"
    );
}

#[cfg(unix)]
#[test]
fn links_within_the_folder_are_followed_and_those_that_lead_out_are_not() {
    use std::os::unix::fs::symlink;
    let folder = classes(&["a", "b"], 6);
    symlink(folder.path().join("a/1.png"), folder.path().join("a/link.png")).unwrap();
    assert_eq!(of(folder.path()).unwrap().ids.len(), 13);
    let elsewhere = classes(&["c"], 1);
    let link = folder.path().join("b/out.png");
    symlink(elsewhere.path().join("c/0.png"), &link).unwrap();
    folder_refused(folder.path(), &["b/out.png", "leads out of it", "put the image itself there"]);
    fs::remove_file(&link).unwrap();
    symlink("nowhere", &link).unwrap();
    folder_refused(folder.path(), &["b/out.png", "check that it is there"]);
    fs::remove_file(&link).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(&link).status().unwrap();
    assert!(pipe.success());
    folder_refused(folder.path(), &["b/out.png", "a pipe"]);
}

#[test]
fn a_class_of_which_nothing_is_left_to_train_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "test"] {
        for (at, (class, images)) in (0_u8..).zip([("a", 6), ("b", 1), ("c", 1), ("d", 1)]) {
            let of = folder.path().join(part).join(class);
            fs::create_dir_all(&of).unwrap();
            for image in 0..images {
                let first = 50 * at + 10 * u8::from(part == "test");
                fs::write(of.join(format!("{image}.png")), grey(1, 1, &[first + image])).unwrap();
            }
        }
    }
    // All shares of `train` up to nearly all: some of them take the only image of a class.
    let told = (1..=8).find_map(|held| {
        let shares = Shares { validation: f64::from(held) / 9.0, test: 0.1 };
        let fit = Fit { size: 1, colours: Colours::Grey };
        OwnData::of_images(folder.path(), fit, shares).err()
    });
    let told = told.unwrap().to_string();
    assert!(told.contains("which has 2 in all, no image is left to train on"), "{told}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        for start in [&b""[..], super::of_png::START, super::of_jpeg::START, b"\xff\xd8\xff\xc0\0\x11\x08"] {
            let _ = decode(&[start, &tail].concat());
        }
        let _ = orientation(&[b"MM\0*\0\0\0\x08", &tail[..]].concat());
    }

    #[test]
    fn no_damage_to_an_image_makes_a_decoder_panic(
        which in 0_usize..6, changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..8),
        cut in any::<u16>(),
    ) {
        let names = ["colour.jpg", "full.jpg", "progressive.jpg", "grey.jpg", "turned.jpg"];
        let mut bytes =
            names.get(which).map_or_else(|| grey(5, 3, &[9; 15]), |name| sample(name));
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - usize::from(cut) % 8);
        if let Ok(picture) = decode(&bytes) {
            let Picture { width, height, channels, pixels } = &picture;
            prop_assert_eq!(pixels.len(), width * height * channels);
        }
    }

    #[test]
    fn what_is_fitted_is_between_the_darkest_and_the_lightest_of_what_was_there(
        width in 1_usize..12, height in 1_usize..12, size in 1_usize..12, seed in any::<u8>(),
    ) {
        let pixels: Vec<u8> =
            (0..width * height).map(|at| (at as u8).wrapping_mul(37).wrapping_add(seed)).collect();
        let picture = Picture { width, height, channels: 1, pixels };
        let fitted = Fit { size, colours: Colours::Grey }.of(&picture);
        prop_assert_eq!(fitted.len(), size * size);
        let (least, most) = (picture.pixels.iter().min(), picture.pixels.iter().max());
        prop_assert!(fitted.iter().min() >= least && fitted.iter().max() <= most);
    }
}
