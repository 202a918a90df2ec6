//! The splits of a workload's data, and the identity that commitments and cell ids refer to.

use data::{Loaded, Origin, OwnFile};
use lab::split::Split;
use ledger::digest::Digest;
use ledger::merkle;

/// The splits on the device; no example is in two of them.
#[derive(Debug)]
pub struct Splits {
    /// What is trained on.
    pub train: Split,
    /// What adaptive orders may look at, where the workload has groups.
    pub probe: Option<Split>,
    /// What targets are set on.
    pub validation: Split,
    /// What is only reported.
    pub test: Split,
}

/// What a workload's data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataIdentity {
    /// Ids of the training examples, in dataset order.
    pub sample_ids: Vec<Digest>,
    /// RFC 6962 root over them: the dataset root.
    pub train_root: Digest,
    /// Root over the validation examples' ids.
    pub validation_root: Digest,
    /// Root over the test examples' ids.
    pub test_root: Digest,
    /// Whether these are the published bytes.
    pub origin: Origin,
    /// The file of the user's that they are, if they are one.
    pub own: Option<OwnFile>,
}

impl DataIdentity {
    /// The identity of examples by their ids, split by split.
    #[must_use]
    pub fn new(
        sample_ids: Vec<Digest>,
        validation_ids: &[Digest],
        test_ids: &[Digest],
        origin: Origin,
    ) -> Self {
        Self {
            train_root: merkle::root(&sample_ids),
            validation_root: merkle::root(validation_ids),
            test_root: merkle::root(test_ids),
            origin,
            own: None,
            sample_ids,
        }
    }

    /// The identity of loaded data.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let digests = |ids: &[[u8; 32]]| ids.iter().copied().map(Digest).collect::<Vec<_>>();
        Self::new(
            digests(&loaded.sample_ids),
            &digests(&loaded.validation_ids),
            &digests(&loaded.test_ids),
            loaded.origin,
        )
    }
}
