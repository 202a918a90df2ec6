//! The optimiser under methods that are not optimisers: SGD unless the suite says otherwise.

use ledger::settings::Range;
use ledger::{choice, settings};

use super::adamw::{Adamw, AdamwSettings};
use super::sgd::{Sgd, SgdSettings};
use crate::LabError;
use crate::network::Network;
use crate::seat::Optimizer;

choice! {
    /// Which update rule.
    pub enum Rule {
        /// SGD with momentum.
        Sgd = "sgd",
        /// AdamW; `momentum` and `nesterov` are then unused.
        Adamw = "adamw",
    }
}

settings! {
    /// Settings of the optimiser under a method.
    pub struct BaseSettings {
        /// Update rule.
        optimizer: Rule = Rule::Sgd, from "as in the method's official code";
        /// First-moment decay of AdamW.
        beta1: f64 = 0.9, range Range::of(0.0..1.0), from "PyTorch 2.11 default";
        /// Second-moment decay of AdamW.
        beta2: f64 = 0.999, range Range::of(0.0..1.0), from "PyTorch 2.11 default";
        /// ε of AdamW.
        eps: f64 = 1e-8, range Range::above(0.0), from "PyTorch 2.11 default";
        use sgd: SgdSettings;
    }
}

impl BaseSettings {
    /// The update rule with its state for `network`.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn build(&self, network: &Network) -> Result<Box<dyn Optimizer>, LabError> {
        Ok(match self.optimizer {
            Rule::Sgd => Box::new(Sgd::new(self.sgd.clone(), network)),
            Rule::Adamw => {
                let Self { beta1, beta2, eps, .. } = *self;
                let SgdSettings { lr, weight_decay, .. } = self.sgd;
                let settings = AdamwSettings { lr, beta1, beta2, eps, weight_decay };
                Box::new(Adamw::new(settings, network, |_, _| true)?)
            }
        })
    }
}
