//! Whether a network's initial values follow the run's seed or a number of their own.
//!
//! With a number, runs of every seed start from the same values, and two runs of one seed can start
//! from different ones: so order and initialisation, both of which follow the seed, are told apart.

use ledger::digest::Digest;
use ledger::settings;
use ledger::streams::Streams;

settings! {
    /// Where initial values come from.
    pub struct Initial {
        /// Initial values: 0 for those of the run's seed; another number for those of that number, the same in every run.
        init: u32 = 0, from "control of the provenance suite";
    }
}

impl Initial {
    /// The streams that a network's initial values are drawn from.
    #[must_use]
    pub fn streams(&self, run: &Streams) -> Streams {
        match self.init {
            0 => run.clone(),
            own => Streams::new(Digest::of_parts(&[b"palimpsest/init/v1", &own.to_le_bytes()]).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use lab::trial::with;

    #[test]
    fn a_number_gives_every_run_the_same_values_and_no_number_gives_each_its_own() {
        for id in [
            "clusters-mlp",
            "domains-gpt",
            "markov-gpt",
            "markov-gru",
            "markov-mlp",
            "templates-cnn",
            "templates-mlp",
        ] {
            let digest = |init: u32, seed: u64| {
                let stage = crate::fixture(id, &with([("init", init.into())])).unwrap();
                stage.network(seed).unwrap().digest().unwrap()
            };
            assert_eq!(digest(3, 0), digest(3, 1), "{id}");
            assert_ne!(digest(3, 0), digest(4, 0), "{id}");
            assert_ne!(digest(0, 0), digest(0, 1), "{id}");
        }
    }
}
