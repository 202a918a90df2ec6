//! What workloads whose examples are generated have in common.

use std::sync::Arc;

use data::sequences::Parts;
use tch::TchError;

use lab::split::Split;
use training::splits::{DataIdentity, Splits};

/// The parts on a device, as `place` puts examples there, and what they are. Without examples for
/// it there is no probe split.
///
/// # Errors
/// When `place` fails: the device has no room.
pub fn placed<T>(
    parts: &Parts<T>,
    place: impl Fn(&[T]) -> Result<Split, TchError>,
) -> Result<(Splits, Arc<DataIdentity>), TchError> {
    let Parts { train, probe, validation, test } = parts;
    let splits = Splits {
        train: place(&train.examples)?,
        probe: match probe.examples.is_empty() {
            true => None,
            false => Some(place(&probe.examples)?),
        },
        validation: place(&validation.examples)?,
        test: place(&test.examples)?,
    };
    let origin = data::Origin::Generated;
    let identity = DataIdentity::new(train.ids.clone(), &validation.ids, &test.ids, origin);
    Ok((splits, Arc::new(identity)))
}
