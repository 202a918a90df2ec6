use lab::side_info::Tokens;
use lab::trial;
use ledger::settings;
use ledger::settings::{Range, Values};
use serde_json::{Value, json};
use tch::Tensor;

use super::*;

settings! {
    /// A workload with a network.
    struct Settings {
        /// The network.
        network: NetworkChoice = NetworkChoice::Mlp, from "assumed";
        /// Width.
        width: u32 = 64, range Range::of(1.0..=16_384.0), from "assumed";
        /// Depth.
        depth: u32 = 2, range Range::of(0.0..=64.0), from "assumed";
    }
}

fn resolve(value: Value) -> Result<Values, String> {
    let values: Values = serde_json::from_value(value).unwrap();
    let once = resolved(&values, Settings::resolve).map_err(|error| error.to_string())?;
    assert_eq!(resolved(&once, Settings::resolve).as_ref(), Ok(&once), "twice");
    Ok(once)
}

fn size(value: Value) -> NetworkSize {
    let Settings { network, width, depth } = Settings::read(&resolve(value).unwrap()).unwrap();
    NetworkSize { choice: network, width, depth }
}

fn image(shape: [usize; 3]) -> SideInfo {
    SideInfo { classes: Some(3), shape: shape.to_vec(), ..SideInfo::default() }
}

fn tokens() -> SideInfo {
    let tokens = Tokens { vocabulary: 7, context: 5, end: None, mask: None, first_ordinary: 0 };
    SideInfo { tokens: Some(tokens), ..SideInfo::default() }
}

fn row() -> SideInfo {
    SideInfo { classes: None, shape: vec![6], ..SideInfo::default() }
}

fn built(value: Value, side: &SideInfo) -> Result<Network, String> {
    let size = size(value);
    let fits = fits(&size, side).map_err(|error| error.to_string());
    let built = network(&size, side, &trial::streams(), Device::Cpu);
    let built = built.map_err(|error| error.to_string());
    assert_eq!(fits.as_ref().err(), built.as_ref().err(), "plan and run agree");
    built
}

#[test]
fn sizes_within_and_beside_a_perceptron_are_the_same_settings() {
    let beside = resolve(json!({ "network": "mlp", "width": 8, "depth": 1 })).unwrap();
    assert_eq!(
        beside,
        resolve(json!({ "network": { "mlp": { "width": 8, "depth": 1 } } })).unwrap()
    );
    assert_eq!(beside, resolve(json!({ "width": 8, "depth": 1 })).unwrap());
    let cnn = resolve(json!({ "network": { "cnn": { "width": 32 } } })).unwrap();
    assert_eq!(json!(cnn), json!({ "network": "cnn", "width": 32 }));
    assert_eq!(
        json!(resolve(json!({})).unwrap()),
        json!({ "network": "mlp", "width": 64, "depth": 2 })
    );
}

#[test]
fn a_name_alone_takes_the_sizes_of_its_paper_and_all_of_them_are_kept() {
    let of = |name: &str| resolve(json!({ "network": name })).unwrap()["network"].clone();
    assert_eq!(of("resnet"), json!({ "resnet": { "widths": [16, 32, 64], "depth": 3 } }));
    assert_eq!(of("vit"), json!({ "vit": { "patch": 4, "width": 192, "depth": 12, "heads": 3 } }));
    assert_eq!(of("gpt"), json!({ "gpt": { "width": 128, "depth": 2, "heads": 4 } }));
    assert_eq!(of("gru"), json!({ "gru": { "width": 128, "depth": 1 } }));
    let some = resolve(json!({ "network": { "vit": { "patch": 2 } } })).unwrap();
    assert_eq!(
        json!(some),
        json!({ "network": { "vit": { "patch": 2, "width": 192, "depth": 12, "heads": 3 } } })
    );
}

#[test]
fn a_size_that_is_unknown_or_not_valid_is_named_with_its_network() {
    let told = |network: Value| resolve(json!({ "network": network })).unwrap_err();
    for (network, parts) in [
        (json!("resent"), ["\"network\" is \"resent\"", "resnet, vit, gpt, gru"]),
        (json!({ "vit": { "pacth": 4 } }), ["network \"vit\"", "did you mean \"patch\"?"]),
        (json!({ "vit": { "patch": 0 } }), ["\"patch\" is 0", "at least 1"]),
        (json!({ "vit": { "width": 100 } }), ["\"heads\" is 3", "divide the width of 100"]),
        (json!({ "gpt": { "heads": 5 } }), ["\"heads\" is 5", "divide the width of 128"]),
        (
            json!({ "resnet": { "widths": [32, 16] } }),
            ["\"widths\" is [32,16]", "none below the one before"],
        ),
        (json!({ "resnet": { "widths": [] } }), ["\"widths\" is []", "1 to 8"]),
        (json!({ "gru": { "depth": 17 } }), ["\"depth\" is 17", "at most 16"]),
        (json!({ "mlp": { "heads": 2 } }), ["network \"mlp\"", "unknown setting \"heads\""]),
        (json!({ "vit": {}, "gpt": {} }), ["must be one of mlp", "torchscript"]),
        (json!({ "torchscript": "" }), ["must be one of mlp", "torchscript: net.pt"]),
        (
            json!({ "torchscript": "a.pt", "reset": "seeded" }),
            ["\"reset\" stands beside", "its initial weights"],
        ),
        (json!({ "torchscript": "a.pt", "sha256": "abc" }), ["must be one of", "torchscript"]),
        (json!(7), ["\"network\" is 7", "one of mlp"]),
    ] {
        let told = told(network);
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
}

#[test]
fn a_size_beside_a_network_that_has_it_within_is_refused() {
    let told = |value| resolve(value).unwrap_err();
    let vit = told(json!({ "network": "vit", "width": 64 }));
    assert!(
        vit.contains("\"width\" does not stand beside network \"vit\"")
            && vit.contains("{ vit: { width"),
        "{vit}"
    );
    let cnn = told(json!({ "network": "cnn", "depth": 2 }));
    assert!(cnn.contains("\"depth\" does not stand beside network \"cnn\": leave it out"), "{cnn}");
    let module = told(json!({ "network": { "torchscript": "a.pt" }, "depth": 2 }));
    assert!(module.contains("leave it out"), "{module}");
    let twice = told(json!({ "network": { "mlp": { "width": 8 } }, "width": 8 }));
    assert!(twice.contains("\"width\" stands beside it, too"), "{twice}");
}

#[test]
fn every_network_makes_of_examples_what_the_task_asks_for() {
    let images = [
        json!("mlp"),
        json!({ "resnet": { "widths": [2, 4], "depth": 1 } }),
        json!({ "vit": { "patch": 2, "width": 8, "depth": 1, "heads": 2 } }),
        json!({ "gru": { "width": 4 } }),
    ];
    for value in images {
        let network = built(json!({ "network": value.clone() }), &image([2, 4, 6])).unwrap();
        let outputs =
            network.forward(&Tensor::ones([5, 2, 4, 6], (Kind::Float, Device::Cpu)), true);
        assert_eq!(outputs.unwrap().size(), [5, 3], "{value}");
    }
    let square = built(json!({ "network": "cnn", "width": 8 }), &image([1, 8, 8])).unwrap();
    let outputs = square.forward(&Tensor::ones([5, 1, 8, 8], (Kind::Float, Device::Cpu)), true);
    assert_eq!(outputs.unwrap().size(), [5, 3]);
    for value in [
        json!({ "gpt": { "width": 8, "depth": 1, "heads": 2 } }),
        json!({ "gru": { "width": 4, "depth": 2 } }),
    ] {
        let network = built(json!({ "network": value.clone() }), &tokens()).unwrap();
        let outputs = network.forward(&Tensor::ones([2, 5], (Kind::Int64, Device::Cpu)), true);
        assert_eq!(outputs.unwrap().size(), [2, 5, 7], "{value}");
    }
    // One number for a number.
    let network = built(json!({ "depth": 0 }), &row()).unwrap();
    assert_eq!(network.parameters[0].tensor.size(), [1, 6]);
}

#[test]
fn examples_that_a_network_cannot_take_are_refused_with_what_can() {
    for (network, side, parts) in [
        (
            "cnn",
            row(),
            ["\"cnn\" takes images", "shape (6,) has no height and width; take \"mlp\""],
        ),
        ("resnet", row(), ["\"resnet\" takes images", "take \"mlp\""]),
        ("vit", row(), ["\"vit\" takes images", "take \"mlp\""]),
        ("gru", row(), ["\"gru\" takes images", "take \"mlp\""]),
        ("gpt", row(), ["\"gpt\" takes tokens", "take \"mlp\""]),
        ("gpt", image([1, 8, 8]), ["\"gpt\" takes tokens", "\"vit\" for images"]),
        (
            "cnn",
            image([1, 6, 6]),
            ["(1, 6, 6) is no square with a side that is a multiple of 4", "take \"resnet\""],
        ),
        ("vit", image([1, 28, 30]), ["\"patch\" of network \"vit\" is 4", "28 × 30: 1, 2"]),
        ("mlp", tokens(), ["\"mlp\" takes numbers", "take \"gpt\" or \"gru\""]),
        ("resnet", tokens(), ["\"resnet\" takes numbers", "take \"gpt\" or \"gru\""]),
    ] {
        let told = built(json!({ "network": network }), &side).unwrap_err();
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
}

#[test]
fn a_module_that_is_not_the_planned_one_any_more_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pt");
    std::fs::write(&path, "changed").unwrap();
    let planned = Digest::of(b"planned").to_string();
    let value = json!({ "network": { "torchscript": path, "sha256": planned } });
    let told = built(value, &row()).unwrap_err();
    assert!(told.starts_with("net.pt: its SHA-256 is") && told.contains(&planned), "{told}");
    let gone = json!({ "network": { "torchscript": folder.path().join("other.pt") } });
    let told = built(gone, &row()).unwrap_err();
    assert!(told.contains("other.pt: it cannot be read at"), "{told}");
    let device = json!({ "network": { "torchscript": "/dev/zero" } });
    let told = built(device, &row()).unwrap_err();
    assert!(told.contains("cannot be read") && told.contains("device"), "{told}");
    let large = folder.path().join("large.pt");
    std::fs::File::create(&large).unwrap().set_len(MOST_BYTES + 1).unwrap();
    let told = read(&large).unwrap_err().to_string();
    assert!(told.contains("more than 1073741824 bytes"), "{told}");
}

#[test]
fn the_least_that_a_network_of_tokens_holds_is_below_what_it_has_and_not_far() {
    for value in [
        json!({ "gpt": { "width": 64, "depth": 2, "heads": 2 } }),
        json!({ "gru": { "width": 64, "depth": 2 } }),
    ] {
        let size = size(json!({ "network": value }));
        let network = network(&size, &tokens(), &trial::streams(), Device::Cpu).unwrap();
        let has: usize = network.parameters.iter().map(|p| p.tensor.numel()).sum();
        let least = least_parameters(&size.choice, 7);
        assert!(least <= has as u64 && least as f64 > 0.9 * has as f64, "{least} of {has}");
    }
    let widest = json!({ "network": { "gpt": { "width": 16_384, "depth": 100, "heads": 4 } } });
    assert!(least_parameters(&size(widest).choice, 65_536) > 300_000_000_000);
}
