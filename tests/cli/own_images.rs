//! A folder of images of the user's: planned, trained, judged and verified like any data.

use std::fs;

use serde_json::json;

use crate::support::Bench;

const SUITE: &str = "\
suite: mine
question: Do images of mine train?
seeds: 1
workloads:
  - { workload: images, as: stripes, with: { folder: stripes, size: 8, channels: grey, width: 16 }, epochs: 12, evaluate_every: 6 }
arms: [{ method: sgd, as: sgd, with: { batch_size: 8, lr: 0.1 } }]
";

/// A grey PNG.
fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

/// Stripes across and along, with noise, 20 of each, of several sizes.
fn stripes(bench: &Bench, folder: &str) {
    let mut state = 1_u32;
    for class in ["across", "along"] {
        let within = bench.path(folder).join(class);
        fs::create_dir_all(&within).unwrap();
        for image in 0..20_u32 {
            let side = 8 + 4 * (image % 3);
            let mut pixel = |x: u32, y: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = if class == "across" { y } else { x };
                let bright = place * 8 / side % 4 < 2;
                (u32::from(bright) * 180 + (state >> 26)) as u8
            };
            let pixels: Vec<u8> = (0..side * side).map(|at| pixel(at % side, at / side)).collect();
            fs::write(within.join(format!("{image}.png")), png(side, side, &pixels)).unwrap();
        }
    }
}

#[test]
fn a_folder_of_images_goes_from_yaml_to_verify_and_its_record_names_classes_and_digest() {
    let bench = Bench::new();
    stripes(&bench, "stripes");
    let suite = bench.write("mine.yaml", SUITE).display().to_string();
    let plan = bench.run(&["plan", &suite, "--json"]).ends(0).json();
    // 40 images, of which 6 validate and 6 test: twelve epochs of 28.
    assert_eq!(plan["cells"][0]["budget_samples"], 12 * 28, "{plan}");
    bench.run(&["run", &suite]).ends(0);
    let [record] = &bench.records()[..] else { panic!("one run") };
    let data = record.data.clone().unwrap();
    assert_eq!((data.name.as_str(), data.origin.as_str()), ("folder:stripes", "own"));
    assert_eq!(
        (data.classes, record.facts["classes"].clone()),
        (Some(2), json!(["across", "along"]))
    );
    let standardised = &record.facts["standardised"];
    assert_eq!(standardised["by"], "channel");
    let mean = standardised["mean"][0].as_f64().unwrap();
    assert!((0.3..0.6).contains(&mean), "{standardised}");
    assert_eq!(record.order.as_ref().unwrap().examples, 28);
    assert!(record.last["test/accuracy"] > 0.6, "{:?}", record.last);
    bench.run(&["verify", &record.cell]).ends(0);
    bench.run(&["reproduce", &record.cell]).ends(0);
    // The same wherever the folder lies; another where a single file differs.
    stripes(&bench, "elsewhere/stripes");
    let moved = SUITE.replace("folder: stripes", "folder: elsewhere/stripes");
    let suite = bench.write("mine.yaml", &moved).display().to_string();
    let again = bench.run(&["run", &suite]).ends(0);
    assert!(again.stderr.contains("kept"), "{}", again.stderr);
    fs::write(bench.path("elsewhere/stripes/along/new.png"), png(1, 1, &[9])).unwrap();
    bench.run(&["run", &suite]).ends(0);
    assert_eq!(bench.cells().len(), 2);
    bench.run(&["report", &suite]).ends(0);
}

#[test]
fn what_is_wrong_with_images_is_said_before_anything_runs() {
    let bench = Bench::new();
    stripes(&bench, "stripes");
    let refused = |suite: &str, parts: &[&str]| {
        let suite = bench.write("mine.yaml", suite).display().to_string();
        let told = bench.run(&["plan", &suite]).ends(2).stderr;
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    let with = |old: &str, new: &str| SUITE.replace(old, new);
    refused(&with("folder: stripes, ", ""), &["setting \"folder\" has to name a folder"]);
    refused(&with("folder: stripes", "folder: strips"), &["there is no folder strips"]);
    refused(&with("channels: grey", "channels: gray"), &["one of grey, rgb"]);
    refused(&with("size: 8", "size: 0"), &["\"size\" is 0"]);
    let broken = bench.path("stripes/along/7.png");
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    refused(SUITE, &["mine.yaml:5", "stripes/along/7.png", "damaged or cut off", "save it again"]);
    fs::write(&broken, b"GIF89a").unwrap();
    refused(SUITE, &["stripes/along/7.png", "GIF", "save it as PNG or JPEG"]);
    fs::write(&broken, &whole).unwrap();
    let share = |name: &str| with("channels: grey", &format!("channels: grey, {name}: 0.3"));
    bench.run(&["plan", &bench.write("mine.yaml", &share("test")).display().to_string()]).ends(0);
    for part in ["train", "test"] {
        stripes(&bench, &format!("parted/{part}"));
    }
    // Other images to test on.
    for class in ["across", "along"] {
        for image in 0..20_u8 {
            let path = bench.path(&format!("parted/test/{class}/{image}.png"));
            fs::write(path, png(2, 1, &[image, 255 - u8::from(class == "across")])).unwrap();
        }
    }
    let parted = |text: String| text.replace("folder: stripes", "folder: parted");
    refused(
        &parted(share("test")),
        &["\"test\" is 0.3", "parted holds these images", "leave it out"],
    );
    let suite = bench.write("mine.yaml", &parted(share("validation"))).display().to_string();
    bench.run(&["plan", &suite]).ends(0);
    refused(&with("size: 8", "size: 10"), &["\"cnn\" takes images", "or \"mlp\""]);
    let vit = with("width: 16", "network: { vit: { patch: 3 } }");
    refused(&vit, &["\"patch\" of network \"vit\" is 3", "8 × 8: 1, 2, 4, 8"]);
}
