//! The order section of a record against the files beside it and the seed that it shows.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;

use super::{Check, same};
use ledger::commitment::run_commitment;
use ledger::digest::Digest;
use ledger::merkle::Leaves;
use ledger::order::{OrderLaw, Unit, uniform_order_into};
use ledger::record::format::{OrderSection, RunRecord};
use ledger::record::identity::Config;
use ledger::record::store::Store;
use ledger::seed::{Randomness, Seed};
use ledger::transcript::replay::{read_ids, replay};

pub(super) fn check(store: &Store, record: &RunRecord, order: &OrderSection) -> Vec<Check> {
    let folder = store.folder(&record.cell);
    let seed = order.seed();
    let leaves = read_leaves(&folder.join("sample_ids.bin"));
    let blob = fs::read(folder.join("order.bin")).map_err(|error| format!("order.bin: {error}"));

    let root = leaves.as_ref().map_err(Clone::clone).and_then(|leaves| {
        same(&(leaves.len() as u64), &order.examples)?;
        same(&order.dataset_root, &leaves.root())
    });
    let commitment = run_commitment(
        &order.dataset_root,
        &order.config_hash,
        order.examples,
        order.epochs_planned,
        &order.seed_commit,
    );
    let chain = || {
        let blob = blob.as_ref().map_err(Clone::clone)?;
        let leaves = leaves.as_ref().map_err(Clone::clone)?;
        let end = replay(blob, &order.epochs, order.commitment, &order.chain, leaves)
            .map_err(|error| error.to_string())?;
        if end.step == record.steps {
            Ok(())
        } else {
            Err(format!("the record has {} steps, but the transcript {}", record.steps, end.step))
        }
    };
    let mut checks = vec![
        Check::of("order version", same(&order.version, &1)),
        Check::of("configuration", check_config(record, order)),
        Check::of(
            "seed",
            seed.as_ref().map_err(Clone::clone).and_then(|seed| check_seed_name(record, seed)),
        ),
        Check::of(
            "seed commitment",
            seed.as_ref()
                .map_err(Clone::clone)
                .and_then(|seed| same(&order.seed_commit, &seed.commit())),
        ),
        Check::of(
            "dataset root",
            root.and_then(|()| {
                let data = record.data.as_ref().ok_or("the record names no data")?;
                same(&order.dataset_root, &data.train_root)
            }),
        ),
        Check::of("commitment", same(&order.commitment, &commitment)),
        Check::of("transcript and chain", chain()),
    ];
    // The leaves of a large dataset are the larger part of the memory, and done with.
    drop(leaves);
    if let Some(given) = record.given_order {
        let ids = blob.as_ref().map_err(Clone::clone);
        let ids = ids.and_then(|blob| read_ids(blob).map_err(|error| error.to_string()));
        checks.push(Check::of(
            "given order",
            ids.and_then(|ids| same(&given, &ledger::given::digest(&ids))),
        ));
    }
    let of_the_seed = matches!(order.law, OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch);
    if of_the_seed && order.unit == Unit::Sample {
        checks.push(Check::of("uniform order of the seed", check_uniform(order, seed, blob)));
    }
    checks
}

fn check_config(record: &RunRecord, order: &OrderSection) -> Result<(), String> {
    let (workload, arm) = record.planned();
    let environment = &record.environment;
    let config = Config {
        workload: &workload,
        arm: &arm,
        parents: &record.parents(),
        libtorch: &environment.libtorch,
        code: &environment.code_digest,
        device: &environment.device,
    };
    same(&order.config_hash, &config.hash().map_err(|error| error.to_string())?)
}

/// That the seed has the name and the origin that the record gives it.
fn check_seed_name(record: &RunRecord, seed: &Seed) -> Result<(), String> {
    let integer = record.seed.split('+').next().and_then(|text| text.parse().ok());
    let (named, name) = match (seed.randomness, integer) {
        (Randomness::Fixed, Some(integer)) => {
            let named = Seed { beacon: seed.beacon.clone(), ..Seed::from_integer(integer) };
            (named, integer.to_string())
        }
        (Randomness::Fixed, None) => {
            return Err(format!("a fixed seed is called {:?}, not an integer", record.seed));
        }
        (Randomness::Os, _) => (seed.clone(), Digest(seed.bytes).to_string()),
    };
    same(&record.seed, &seed.named(&name))?;
    if named == *seed { Ok(()) } else { Err(format!("it is not the seed of {}", record.seed)) }
}

fn check_uniform(
    order: &OrderSection,
    seed: Result<Seed, String>,
    blob: Result<Vec<u8>, String>,
) -> Result<(), String> {
    let effective = seed?.effective(&order.dataset_root);
    let ids = read_ids(&blob?).map_err(|error| error.to_string())?;
    let examples =
        u32::try_from(order.examples).map_err(|_| "more than 2^32 examples".to_owned())?;
    let mut planned = Vec::new();
    let mut shuffled = None;
    for epoch in &order.epochs {
        let number = if order.law == OrderLaw::Uniform { epoch.epoch } else { 0 };
        if shuffled != Some(number) {
            uniform_order_into(&effective, number, examples, &mut planned);
            shuffled = Some(number);
        }
        let range = usize::try_from(epoch.offset).ok().zip(usize::try_from(epoch.n).ok());
        let consumed = range.and_then(|(offset, n)| ids.get(offset..offset.checked_add(n)?));
        let consumed =
            consumed.ok_or_else(|| format!("epoch {}: outside order.bin", epoch.epoch))?;
        let differs = consumed.iter().zip(&planned).position(|(a, b)| a != b);
        let differs = differs.or((consumed.len() > planned.len()).then_some(planned.len()));
        if let Some(at) = differs {
            return Err(format!(
                "epoch {}, position {at}: consumed ids differ from the seed's order",
                epoch.epoch
            ));
        }
    }
    Ok(())
}

/// The leaf hashes of `sample_ids.bin`, without holding the file beside them.
fn read_leaves(path: &Path) -> Result<Leaves, String> {
    let io = |error: std::io::Error| format!("sample_ids.bin: {error}");
    let file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    if !bytes.is_multiple_of(32) {
        return Err(format!("sample_ids.bin has {bytes} bytes, not a multiple of 32"));
    }
    let mut source = BufReader::with_capacity(1 << 16, file);
    let mut leaves = Leaves::default();
    let mut id = [0; 32];
    for _ in 0..bytes / 32 {
        source.read_exact(&mut id).map_err(io)?;
        leaves.push(&id);
    }
    Ok(leaves)
}
