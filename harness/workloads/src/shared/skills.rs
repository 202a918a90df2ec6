//! The judge of workloads whose examples ask for one token each and belong to skills.

use std::collections::BTreeMap;

use lab::LabError;
use training::judge::{EvaluationRequest, Judge};

use super::language::Scores;

/// Accuracy of the answer, overall and by skill.
#[derive(Debug)]
pub struct Skills {
    /// The metric of each skill.
    pub names: Vec<String>,
}

impl Judge for Skills {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        let mut metrics = BTreeMap::from([
            ("accuracy".to_owned(), scores.accuracy()),
            ("nll".to_owned(), scores.nll()),
        ]);
        for (skill, name) in (0..).zip(&self.names) {
            let own = scores.group(&request.split.groups, skill);
            metrics.insert(name.clone(), own.accuracy());
        }
        Ok(metrics)
    }
}
