//! The promise of an order that lies in files of any framework: made and published before training with
//! it, shown with a certificate afterwards.

use serde::{Deserialize, Serialize};

use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};

/// What was promised. Until it is shown, its commitment alone is published; the nonce hides the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderPromise {
    /// SHA-256("palimpsest/files/v1" || nonce || law || 0 || unit || 0 || SHA-256 of each file).
    pub commitment: Digest,
    /// Drawn from the operating system.
    pub nonce: Digest,
    /// Law of the order.
    pub law: OrderLaw,
    /// What the law moves.
    pub unit: Unit,
    /// SHA-256 of the bytes of each file of the order, first to last.
    pub files: Vec<Digest>,
}

impl OrderPromise {
    /// A promise of these files.
    #[must_use]
    pub fn of(nonce: Digest, law: OrderLaw, unit: Unit, files: Vec<Digest>) -> Self {
        let mut promise = Self { commitment: nonce, nonce, law, unit, files };
        promise.commitment = promise.recomputed();
        promise
    }

    /// The commitment of its fields.
    #[must_use]
    pub fn recomputed(&self) -> Digest {
        let mut parts: Vec<&[u8]> = vec![
            b"palimpsest/files/v1",
            self.nonce.as_bytes(),
            self.law.name().as_bytes(),
            b"\0",
            self.unit.name().as_bytes(),
            b"\0",
        ];
        parts.extend(self.files.iter().map(|file| file.as_bytes().as_slice()));
        Digest::of_parts(&parts)
    }

    /// Whether the commitment is that of its fields and they are these.
    ///
    /// # Errors
    /// Naming what is not.
    pub fn holds(&self, law: OrderLaw, unit: Unit, files: &[Digest]) -> Result<(), String> {
        let recomputed = self.recomputed();
        if self.commitment != recomputed {
            return Err(format!(
                "the promise says commitment {}, but its fields give {recomputed}",
                self.commitment
            ));
        }
        if (self.law, self.unit) != (law, unit) {
            return Err(format!(
                "the promise is of law {} and unit {}, not of {} and {}",
                self.law.name(),
                self.unit.name(),
                law.name(),
                unit.name()
            ));
        }
        if self.files != files {
            return Err("the promise is of other files than those of the order".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_holds_for_its_own_files_law_and_unit_only() {
        let [a, b] = [b"a", b"b"].map(|text| Digest::of(text));
        let promise =
            OrderPromise::of(Digest([7; 32]), OrderLaw::Uniform, Unit::Sample, vec![a, b]);
        let mut text = b"palimpsest/files/v1".to_vec();
        text.extend([7; 32]);
        text.extend(b"uniform\0sample\0");
        text.extend(a.0);
        text.extend(b.0);
        assert_eq!(promise.commitment, Digest::of(&text));
        let (law, unit) = (OrderLaw::Uniform, Unit::Sample);
        assert_eq!(promise.holds(law, unit, &[a, b]), Ok(()));
        for told in [
            promise.holds(OrderLaw::UniformSubset, unit, &[a, b]),
            promise.holds(law, Unit::Pack, &[a, b]),
            promise.holds(law, unit, &[b, a]),
            OrderPromise { nonce: Digest([8; 32]), ..promise.clone() }.holds(law, unit, &[a, b]),
        ] {
            assert!(told.is_err());
        }
    }
}
