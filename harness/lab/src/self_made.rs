//! What a method makes for itself to learn from: pairs of a flow, fakes of a reference, roll-outs, pseudo-labels.
//!
//! Each item has an id that is a function of the network that made it, the settings that it was made by, the seed of
//! the set and its place; the record lists every set with the step from which it was learnt from, so that a
//! repetition can be held to it and nobody takes it for real data.

use ledger::digest::Digest;
use ledger::merkle::leaf_hash;
use ledger::settings::Values;
use ledger::streams::Streams;
use rand_pcg::rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Tensor;

use crate::LabError;
use crate::network::values;
use crate::seat::Facts;

/// Name of the list among the facts of a record.
pub const SELF_MADE: &str = "self_made";

/// A set of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfMade {
    kind: String,
    /// Digest of the network that made it, or of what was fitted in its place.
    pub network: Digest,
    settings: Digest,
    seed: Digest,
    /// Number of items.
    pub count: u64,
    /// Evaluations of a network that it took.
    pub evaluations: u64,
    contents: Digest,
    /// The first step that learnt from it.
    pub step: Option<u64>,
}

impl SelfMade {
    /// A set of `count` items that the network of digest `network` has made, which hold the values of `contents`.
    ///
    /// # Errors
    /// When there is no item, or values cannot be copied to the host.
    pub fn new(
        kind: &str,
        network: Digest,
        settings: &Values,
        seed: Digest,
        [count, evaluations]: [u64; 2],
        contents: &[&Tensor],
    ) -> Result<Self, LabError> {
        if count == 0 {
            let reason = format!("a set of {kind} without an item: nothing can be learnt from it");
            return Err(LabError::Method(reason));
        }
        let settings = Digest::of_json(settings).map_err(std::io::Error::from)?;
        let mut bytes = Vec::new();
        for tensor in contents {
            bytes.extend(values(tensor)?.into_iter().flat_map(f32::to_le_bytes));
        }
        let contents = Digest::of(&bytes);
        Ok(Self {
            kind: kind.to_owned(),
            network,
            settings,
            seed,
            count,
            evaluations,
            contents,
            step: None,
        })
    }

    /// The seed of set number `round` of a kind: what its noise is drawn from hangs on it alone, so that sets that
    /// two networks make can be compared item by item. Knowing it tells nothing of the run's other streams.
    #[must_use]
    pub fn seed(streams: &Streams, kind: &str, round: u32) -> Digest {
        let mut random = streams.keyed(&format!("self-made {kind}"), round, 0);
        let mut seed = [0; 32];
        for part in seed.as_chunks_mut::<8>().0 {
            *part = random.next_u64().to_le_bytes();
        }
        Digest(seed)
    }

    /// Id of the item at a place.
    #[must_use]
    pub fn id(&self, place: u64) -> Digest {
        Digest::of_parts(&[
            b"palimpsest/self-made/v1",
            Digest::of(self.kind.as_bytes()).as_bytes(),
            self.network.as_bytes(),
            self.settings.as_bytes(),
            self.seed.as_bytes(),
            &place.to_le_bytes(),
        ])
    }

    /// Takes note that a step learns from it.
    pub fn used(&mut self, step: u64) {
        self.step.get_or_insert(step);
    }

    /// The row of the record; `ids` is the hash of all ids in their order.
    fn row(&self) -> Value {
        let mut ids = Vec::new();
        (0..self.count).for_each(|place| ids.extend(self.id(place).as_bytes()));
        json!({
            "kind": self.kind,
            "network": self.network,
            "settings": self.settings,
            "seed": self.seed,
            "count": self.count,
            "evaluations": self.evaluations,
            "contents": self.contents,
            "ids": leaf_hash(&ids),
            "step": self.step,
        })
    }

    /// The list for the record.
    #[must_use]
    pub fn facts(all: &[Self]) -> Facts {
        let rows: Vec<Value> = all.iter().map(Self::row).collect();
        Facts::from([(SELF_MADE.to_owned(), rows.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::trial::{streams, with};
    use tch::Device;

    fn made(width: usize, steps: u32, round: u32, contents: f32) -> SelfMade {
        let network = mlp2d(2, width, &streams(), Device::Cpu).unwrap();
        let settings = with([("steps", steps.into())]);
        let seed = SelfMade::seed(&streams(), "pairs", round);
        let contents = Tensor::from_slice(&[contents, 1.0]);
        let network = network.digest().unwrap();
        SelfMade::new("pairs", network, &settings, seed, [3, 6], &[&contents]).unwrap()
    }

    #[test]
    fn an_id_is_a_function_of_network_settings_seed_and_place() {
        let plain = made(4, 2, 0, 0.0);
        assert_eq!(plain.id(1), made(4, 2, 0, 0.5).id(1));
        let ids = [plain.id(1), plain.id(2), made(8, 2, 0, 0.0).id(1)];
        let ids = ids.into_iter().chain([made(4, 3, 0, 0.0).id(1), made(4, 2, 1, 0.0).id(1)]);
        assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 5);
    }

    #[test]
    fn the_record_tells_sets_of_other_contents_apart_and_the_first_step_that_used_one() {
        let (mut plain, other) = (made(4, 2, 0, 0.0), made(4, 2, 0, 0.5));
        plain.used(7);
        plain.used(9);
        let facts = SelfMade::facts(&[plain, other]);
        let rows = facts[SELF_MADE].as_array().unwrap();
        assert_eq!((&rows[0]["step"], &rows[1]["step"]), (&json!(7), &Value::Null));
        assert_ne!(rows[0]["contents"], rows[1]["contents"]);
        assert_eq!(rows[0]["ids"], rows[1]["ids"]);
    }

    #[test]
    fn an_empty_set_is_refused() {
        let seed = SelfMade::seed(&streams(), "fakes", 0);
        let error = SelfMade::new("fakes", seed, &Values::new(), seed, [0, 0], &[]);
        assert!(error.unwrap_err().to_string().contains("a set of fakes without an item"));
    }
}
