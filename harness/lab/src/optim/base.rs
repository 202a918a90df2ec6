//! The optimiser under methods that are not optimisers: SGD unless the suite says otherwise.

use ledger::settings::{Range, SettingError, refuse_idle};
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
        /// AdamW, which has no `momentum` and no `nesterov`.
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
        refuse Self::idle;
    }
}

impl BaseSettings {
    /// Whether the rule has no momentum to keep.
    #[must_use]
    pub fn keeps_no_momentum(&self) -> bool {
        self.optimizer == Rule::Sgd && self.sgd.momentum == 0.0
    }

    /// Refuses what was set for the rule that is not taken.
    fn idle(&self) -> Result<(), SettingError> {
        let (adamw, sgd) = (self.optimizer == Rule::Adamw, self.optimizer == Rule::Sgd);
        let idle = [
            ("beta1", sgd, "\"optimizer\": \"adamw\""),
            ("beta2", sgd, "\"optimizer\": \"adamw\""),
            ("eps", sgd, "\"optimizer\": \"adamw\""),
            ("momentum", adamw, "\"optimizer\": \"sgd\""),
            ("nesterov", adamw, "\"optimizer\": \"sgd\""),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::with;
    use serde_json::Value;

    #[test]
    fn what_the_other_rule_reads_is_refused_and_what_this_one_reads_is_not() {
        let [sgd, adamw] = ["sgd", "adamw"].map(|name| ("optimizer", name.into()));
        let cases: [(_, Value, _, _); 5] = [
            ("beta1", 0.5.into(), &adamw, &sgd),
            ("beta2", 0.99.into(), &adamw, &sgd),
            ("eps", 1e-6.into(), &adamw, &sgd),
            ("momentum", 0.5.into(), &sgd, &adamw),
            ("nesterov", false.into(), &sgd, &adamw),
        ];
        for (name, value, of, other) in cases {
            let resolved = |rule: &(&'static str, Value)| {
                BaseSettings::resolve(&with([rule.clone(), (name, value.clone())]))
            };
            assert_eq!(resolved(of).unwrap()[name], value);
            let refused = resolved(other).unwrap_err().to_string();
            let expected =
                format!("setting {name:?} is of \"optimizer\": {} alone: leave it out", of.1);
            assert_eq!(refused, expected);
        }
        for rule in [sgd, adamw] {
            assert!(BaseSettings::resolve(&with([rule, ("weight_decay", 0.1.into())])).is_ok());
        }
    }
}
