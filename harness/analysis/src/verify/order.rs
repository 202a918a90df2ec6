//! The order section of a record against the files beside it and the seed that it shows.

use std::io::{BufReader, Read as _};
use std::path::Path;

use super::{Check, Draw, Drawn, Verified, same};
use ledger::digest::Digest;
use ledger::merkle::Leaves;
use ledger::order::{OrderLaw, Unit, uniform_order_into, uniform_units};
use ledger::plain;
use ledger::record::format::{ORDER_VERSION, OrderSection, RunRecord, Status};
use ledger::record::identity::Config;
use ledger::record::store::Store;
use ledger::seed::{Randomness, Seed};
use ledger::transcript::replay::{read_ids, replay};

pub(super) fn check(
    store: &Store,
    record: &RunRecord,
    order: &OrderSection,
    draw: Option<&Draw<'_>>,
) -> Verified {
    let folder = store.folder(&record.cell);
    let seed = order.seed();
    let leaves = read_leaves(&folder.join("sample_ids.bin"));
    let blob =
        plain::read(&folder.join("order.bin")).map_err(|error| format!("order.bin: {error}"));

    let root = leaves.as_ref().map_err(Clone::clone).and_then(|leaves| {
        same(&(leaves.len() as u64), &order.examples)?;
        same(&order.dataset_root, &leaves.root())
    });
    let commitment = order.terms().commitment();
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
        Check::of("order version", check_version(order)),
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
    if order.layout.is_some() {
        checks.push(Check::of("layout", check_layout(order)));
    }
    let examples = leaves.as_ref().map(Leaves::len).map_err(Clone::clone);
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
    let mut unchecked = Vec::new();
    if record.external.is_some() {
        unchecked.push(
            "consumption: a program of one's own told it; the bench saw what order it gave out"
                .to_owned(),
        );
    }
    if record.own_task().is_some() {
        unchecked.push(
            "data and metrics: a program of one's own has the data and told the metrics; sample ids are of places alone"
                .to_owned(),
        );
    }
    if order.version == 1 {
        unchecked.push("law and unit: a commitment of version 1 does not hold them".to_owned());
    }
    let followed = match order.law {
        OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch => {
            let name = format!("{} order of the seed", order.law.name());
            checks.push(Check::of(&name, check_uniform(record, order, seed, examples, blob)));
            None
        }
        OrderLaw::UniformSubset | OrderLaw::Replacement | OrderLaw::Blockwise => {
            match draw.map(|draw| draw(&record.cell)) {
                None => Some("nothing draws it here".to_owned()),
                Some(Err(reason)) => Some(reason),
                Some(Ok(drawn)) => match check_drawn(order, &drawn) {
                    // Another build may draw otherwise; that a method's law was another is a
                    // forger's word until its commit is run.
                    Err(difference)
                        if drawn.law == order.law
                            && drawn.code != record.environment.code_digest =>
                    {
                        Some(format!(
                            "this palimpsest draws another ({difference}), and the run names another build; check \
                         out its commit"
                        ))
                    }
                    outcome => {
                        let name = format!("{} order of the seed", order.law.name());
                        checks.push(Check::of(&name, outcome));
                        None
                    }
                },
            }
        }
        OrderLaw::Sorted => Some("by a score or a file, not by the seed alone".to_owned()),
        OrderLaw::Adaptive => Some("by what the training showed, not by the seed alone".to_owned()),
    };
    unchecked.extend(followed.map(|reason| format!("{} order: {reason}", order.law.name())));
    Verified { checks, unchecked }
}

fn check_version(order: &OrderSection) -> Result<(), String> {
    if !(1..=ORDER_VERSION).contains(&order.version) {
        return Err(format!(
            "version {}, but this build reads 1 to {ORDER_VERSION}",
            order.version
        ));
    }
    if order.version == 1 && order.beacon_source.is_some() {
        return Err("a promise of version 1 names no source of a beacon".to_owned());
    }
    if let (Some(source), None) = (&order.beacon_source, &order.beacon) {
        return Err(format!(
            "the public randomness of {source} was promised, and none was mixed in"
        ));
    }
    if order.unit != Unit::of(order.layout.as_ref()) {
        return Err(format!(
            "unit {}, but runs move single samples, or packs with a layout",
            order.unit.name()
        ));
    }
    if order.version == 1 && order.layout.is_some() {
        return Err("a promise of version 1 names no layout".to_owned());
    }
    Ok(())
}

/// That every epoch and every step is of whole units, so that the role of an id follows from its place.
fn check_layout(order: &OrderSection) -> Result<(), String> {
    let Some(layout) = &order.layout else { return Ok(()) };
    let whole = |n: u64| layout.whole(n) == n;
    for epoch in &order.epochs {
        let torn = epoch.steps.iter().find(|(size, _)| !whole(u64::from(*size)));
        let torn = torn.map(|(size, _)| u64::from(*size)).or((!whole(epoch.n)).then_some(epoch.n));
        if let Some(n) = torn {
            return Err(format!(
                "epoch {}: {n} ids are not of whole units of {} ({layout})",
                epoch.epoch,
                layout.size()
            ));
        }
    }
    Ok(())
}

/// The order is what the method draws from the seed.
fn check_drawn(order: &OrderSection, drawn: &Drawn) -> Result<(), String> {
    if order.law != drawn.law {
        return Err(format!(
            "the law is {} in the record, but the method's is {}",
            order.law.name(),
            drawn.law.name()
        ));
    }
    let recorded: Vec<Digest> = order.epochs.iter().map(|epoch| epoch.order_hash).collect();
    match recorded.iter().zip(&drawn.order_hashes).position(|(a, b)| a != b) {
        Some(epoch) => Err(format!("epoch {epoch}: consumed ids differ from the seed's order")),
        None if recorded.len() != drawn.order_hashes.len() => Err(format!(
            "{} epochs, but the method draws {}",
            recorded.len(),
            drawn.order_hashes.len()
        )),
        None => Ok(()),
    }
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
            let Seed { beacon, beacon_source, .. } = seed.clone();
            let named = Seed { beacon, beacon_source, ..Seed::from_integer(integer) };
            (named, integer.to_string())
        }
        (Randomness::Fixed, None) => {
            return Err(format!("a fixed seed is called {:?}, not an integer", record.seed));
        }
        (Randomness::Os, _) => (seed.clone(), Digest(seed.bytes).to_string()),
        (Randomness::Beacon, _) => {
            return Err(
                "a seed is fixed or from the operating system; a beacon is mixed in".to_owned()
            );
        }
    };
    same(&record.seed, &seed.named(&name))?;
    if named == *seed { Ok(()) } else { Err(format!("it is not the seed of {}", record.seed)) }
}

fn check_uniform(
    record: &RunRecord,
    order: &OrderSection,
    seed: Result<Seed, String>,
    examples: Result<usize, String>,
    blob: Result<Vec<u8>, String>,
) -> Result<(), String> {
    let effective = seed?.effective(&order.dataset_root);
    let ids = read_ids(&blob?).map_err(|error| error.to_string())?;
    // The record's word alone would have 2^32 ids shuffled, and one stretch of order.bin compared for
    // every epoch of a long list.
    let found = examples? as u64;
    if found != order.examples {
        return Err(format!("{} examples, but sample_ids.bin has {found}", order.examples));
    }
    let consumed = order.epochs.iter().fold(0_u64, |sum, epoch| sum.saturating_add(epoch.n));
    if consumed > ids.len() as u64 {
        return Err(format!("epochs of {consumed} ids, but order.bin has {}", ids.len()));
    }
    let examples =
        u32::try_from(order.examples).map_err(|_| "more than 2^32 examples".to_owned())?;
    let layout = order.layout.as_ref();
    let whole = |n: u64| layout.map_or(n, |layout| layout.whole(n));
    let mut planned = Vec::new();
    let mut shuffled = None;
    let last = order.epochs.len().saturating_sub(1);
    for (place, epoch) in order.epochs.iter().enumerate() {
        // Only the end of the budget cuts an epoch short.
        if place < last && epoch.n != whole(order.examples) {
            return Err(format!(
                "epoch {}: {} ids of {}, though another epoch follows",
                epoch.epoch, epoch.n, order.examples
            ));
        }
        let number = if order.law == OrderLaw::Uniform { epoch.epoch } else { 0 };
        if shuffled != Some(number) {
            match layout {
                None => uniform_order_into(&effective, number, examples, &mut planned),
                Some(layout) => planned = uniform_units(&effective, number, examples, layout),
            }
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
    let budget = record.goal.budget.samples;
    if record.status != Status::Diverged && consumed != whole(budget) {
        return Err(format!("{consumed} ids were consumed of a budget of {budget}"));
    }
    Ok(())
}

/// The leaf hashes of `sample_ids.bin`, without holding the file beside them.
fn read_leaves(path: &Path) -> Result<Leaves, String> {
    let io = |error: std::io::Error| format!("sample_ids.bin: {error}");
    let file = plain::open(path).map_err(io)?;
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
