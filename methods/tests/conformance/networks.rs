//! Every method on the networks that a user's own data are given by name, and on a module scripted in PyTorch: it
//! trains them, or says what it misses.

use std::path::Path;

use lab::models::gru::{Units, of_rows};
use lab::models::plain_vit::{self, plain_vit};
use lab::models::resnet::{self, resnet};
use lab::models::script::{Task, script};
use lab::network::Network;
use lab::trial::streams;
use lab::{LabError, offers};
use ledger::settings::Values;
use tch::{Device, Kind};
use training::trial::train;

use super::{changes_at_once, entries, smoke_settings, trains};

/// Which methods say no to which networks, and a word of why.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("distil", &["resnet", "vit", "gru", "module"], "learns from another run"),
    ("one-byte", &["resnet", "module"], "running statistics"),
    ("low-precision", &["vit", "module"], "no list of layers"),
];

/// A network by name for rows or images in the four classes of the trial.
fn network(name: &str) -> (Network, &'static [i64]) {
    let image: &[i64] = &[4, 4, 1];
    let units = Units { width: 8, depth: 2 };
    match name {
        "resnet" => {
            let shape = resnet::Shape { channels: 1, widths: vec![4, 8], blocks: 1, outputs: 4 };
            (resnet(&shape, &streams(), Device::Cpu).unwrap(), image)
        }
        "vit" => {
            let (image_size, width) = ([1, 4, 4], 8);
            let shape = plain_vit::Shape {
                image: image_size,
                patch: 2,
                width,
                depth: 1,
                heads: 2,
                outputs: 4,
            };
            (plain_vit(shape, &streams(), Device::Cpu).unwrap(), image)
        }
        "gru" => (of_rows(4, units, 4, &streams(), Device::Cpu).unwrap(), image),
        _ => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/torchscript");
            let bytes = std::fs::read(folder.join("classes.pt")).unwrap();
            let task = Task { example: vec![4], kind: Kind::Float, output: vec![4] };
            (script(&bytes, "classes.pt", &task, &streams(), Device::Cpu).unwrap(), &[4])
        }
    }
}

fn run(entry: &lab::method::Entry, name: &str) -> Result<Network, LabError> {
    let (network, shape) = network(name);
    train(entry.method, &smoke_settings(entry), network, shape, 1).map(|(network, _)| network)
}

#[test]
fn every_method_trains_every_network_by_name_and_a_module_or_says_what_it_misses() {
    let offered = [offers::LOSS, offers::CLASSES];
    let fitting = entries().filter(|entry| {
        !entry.method.needs.is_empty()
            && entry.method.needs.iter().all(|need| offered.contains(need))
    });
    for entry in fitting {
        for name in ["resnet", "vit", "gru", "module"] {
            let refused =
                REFUSED.iter().find(|(id, names, _)| *id == entry.id && names.contains(&name));
            let network = match (run(entry, name), refused) {
                (Err(error), Some((_, _, word))) => {
                    assert!(error.to_string().contains(word), "{} on {name}: {error}", entry.id);
                    continue;
                }
                (Ok(_), Some(_)) => panic!("{} on {name} is not refused any more", entry.id),
                (Err(error), None) => panic!("{} on {name}: {error}", entry.id),
                (Ok(network), None) => network,
            };
            for parameter in &network.parameters {
                let finite = bool::try_from(&parameter.tensor.isfinite().all()).unwrap();
                assert!(finite, "{} on {name}: {}", entry.id, parameter.name);
            }
            if trains(entry) || changes_at_once(entry) {
                let before = self::network(name).0.digest().unwrap();
                assert_ne!(network.digest().unwrap(), before, "{} on {name}", entry.id);
            }
        }
    }
}

#[test]
fn a_module_trains_to_the_same_bits_twice_though_it_drops_out() {
    let once = || {
        let sgd = methods::find("sgd").unwrap();
        let (network, shape) = network("module");
        train(sgd.method, &Values::new(), network, shape, 2).unwrap().0.digest().unwrap()
    };
    assert_eq!(once(), once());
}
