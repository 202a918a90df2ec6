//! From how an order was made to the null distribution its p-values come from, or to the reason why
//! there is none.

use serde::{Deserialize, Serialize};

use super::Refusal;
use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};

/// The kind of null distribution that a law of the order allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullKind {
    /// All assignments of positions are equally likely: closed forms and permutations hold.
    Uniform,
    /// All assignments within a block are: permutations within blocks, by Monte Carlo.
    WithinBlocks,
    /// The sampler is run again with fresh seeds, by Monte Carlo.
    Reexecution,
}

/// The null of an order with this law and unit for scores given per `tested` unit.
///
/// `uniform-subset` is uniform over the examples that were seen; leave out the others.
///
/// # Errors
/// For a sorted or adaptive order, and when the order moves larger pieces than those tested.
pub fn null_of(law: OrderLaw, unit: Unit, tested: Unit) -> Result<NullKind, Refusal> {
    let kind = match law {
        OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch | OrderLaw::UniformSubset => {
            NullKind::Uniform
        }
        OrderLaw::Blockwise => NullKind::WithinBlocks,
        OrderLaw::Replacement => NullKind::Reexecution,
        OrderLaw::Sorted => {
            return Err(Refusal::NoNull {
                law,
                why: "which leaves nothing to chance: an independent model that finds the same \
                      examples hard would be accused, with a reference too",
                remedy: "train with a uniform order, or test the uniform part of the order only",
            });
        }
        OrderLaw::Adaptive => {
            return Err(Refusal::NoNull {
                law,
                why: "which depends on what the training showed and so on the examples themselves",
                remedy: "train with a uniform order, or test the uniform part of the order only",
            });
        }
    };
    if unit == tested { Ok(kind) } else { Err(Refusal::UnitMismatch { shuffled: unit, tested }) }
}

/// Refuses a closed form where only Monte Carlo holds.
///
/// # Errors
/// For every null but the uniform one.
pub fn require_closed_form(law: OrderLaw, kind: NullKind) -> Result<(), Refusal> {
    let remedy = match kind {
        NullKind::Uniform => return Ok(()),
        NullKind::WithinBlocks => {
            "give the block of each example and a number of draws for Monte Carlo"
        }
        NullKind::Reexecution => {
            "give the order itself and a number of draws, each of which runs the sampler again"
        }
    };
    Err(Refusal::NeedsMonteCarlo { law, remedy })
}

/// What is known of the training behind a reference or a shadow run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestry {
    /// How people call it.
    pub name: String,
    /// Hashes of all orders it or any ancestor was trained on.
    pub order_hashes: Vec<Digest>,
    /// Itself and its ancestors, teachers included, by run id.
    pub runs: Vec<String>,
}

/// Refuses a reference that depends on the audited run.
///
/// `run` is the id of the audited run and `order_hashes` are its own orders, not its ancestors': a
/// common base model is no dependence.
///
/// # Errors
/// When the reference, or an ancestor of it, is the audited run or consumed one of its orders.
pub fn require_independent(
    run: &str,
    order_hashes: &[Digest],
    reference: &Ancestry,
) -> Result<(), Refusal> {
    let refuse = |reason: String| {
        Err(Refusal::DependentReference { reference: reference.name.clone(), reason })
    };
    if reference.runs.iter().any(|ancestor| ancestor == run) {
        return refuse(format!("lineage: it descends from run {run}"));
    }
    match order_hashes.iter().find(|hash| reference.order_hashes.contains(hash)) {
        Some(hash) => refuse(format!("same order hash {}", hash.short(16))),
        None => Ok(()),
    }
}

/// Refuses an id outside 0..examples.
pub(super) fn check_ids(ids: &[u64], examples: u64) -> Result<(), Refusal> {
    if !(1..=1 << 32).contains(&examples) {
        return Err(Refusal::OutOfRange {
            what: "examples",
            value: examples as f64,
            range: "the size of the dataset, 1 to 2^32",
        });
    }
    match ids.iter().position(|id| *id >= examples) {
        None => Ok(()),
        Some(index) => {
            Err(Refusal::NoSuchExample { index: index as u64, id: ids[index], examples })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_orders_have_closed_forms_and_the_others_their_own_null() {
        for (law, kind) in [
            (OrderLaw::Uniform, NullKind::Uniform),
            (OrderLaw::UniformSameEachEpoch, NullKind::Uniform),
            (OrderLaw::UniformSubset, NullKind::Uniform),
            (OrderLaw::Blockwise, NullKind::WithinBlocks),
            (OrderLaw::Replacement, NullKind::Reexecution),
        ] {
            assert_eq!(null_of(law, Unit::Sample, Unit::Sample), Ok(kind));
            assert_eq!(require_closed_form(law, kind).is_ok(), kind == NullKind::Uniform);
        }
    }

    #[test]
    fn an_order_without_chance_is_refused_with_a_remedy() {
        for law in [OrderLaw::Sorted, OrderLaw::Adaptive] {
            let refusal = null_of(law, Unit::Sample, Unit::Sample).unwrap_err();
            let text = refusal.to_string();
            assert!(text.contains("no p-value is valid"), "{text}");
            assert!(text.ends_with("test the uniform part of the order only"), "{text}");
        }
    }

    #[test]
    fn testing_examples_of_shuffled_packs_is_refused_and_aggregation_offered() {
        let refusal = null_of(OrderLaw::Uniform, Unit::Pack, Unit::Sample).unwrap_err();
        insta::assert_snapshot!(refusal, @"the order shuffles whole packs and the scores are per example: p-values on single examples would be too small; give the unit of each example to average the scores within units");
        assert!(null_of(OrderLaw::Uniform, Unit::Pack, Unit::Pack).is_ok());
    }

    #[test]
    fn a_reference_of_the_same_order_or_descent_is_refused() {
        let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
        let reference = |order: Digest, runs: &[&str]| Ancestry {
            name: "ref".into(),
            order_hashes: vec![order],
            runs: runs.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(require_independent("a", &[own], &reference(other, &["b", "base"])), Ok(()));
        let by_order = require_independent("a", &[own], &reference(own, &["b"])).unwrap_err();
        assert!(by_order.to_string().contains("same order hash"), "{by_order}");
        let by_lineage = require_independent("a", &[own], &reference(other, &["b", "a"]));
        assert!(by_lineage.unwrap_err().to_string().contains("descends from run a"));
    }
}
