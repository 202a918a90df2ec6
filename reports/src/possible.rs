//! What a metric can be: no interval is drawn beyond it, whatever Student's t says.

use analysis::summary::WorkloadAnalysis;

/// The least and the largest value of a metric; infinite where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Possible {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Possible {
    /// Everything.
    pub(crate) const ANY: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// Of a workload's target metric. Its best value bounds one side. The other side of a metric that cannot pass 1
    /// is 0, as of a share, and so is the lower one of a metric whose best value nobody knows, such as a distance:
    /// unless some run was below it, which says that the metric can be.
    pub(crate) fn of(workload: &WorkloadAnalysis) -> Self {
        let higher = workload.target.direction.is_higher();
        let names = [workload.target.key("validation"), workload.target.key("test")];
        let ends = workload.arms.iter().flat_map(|arm| {
            let estimates = names.iter().filter_map(|name| arm.at_budget.get(name));
            let seeds = estimates.flat_map(|estimate| estimate.values.iter().copied());
            seeds.chain(arm.by_samples.iter().map(|point| point.mean))
        });
        let (least, most) = ends
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), v| (l.min(v), m.max(v)));
        let mut possible = match (workload.best, higher) {
            (Some(best), true) if best > 0.0 && best <= 1.0 => Self { low: 0.0, high: best },
            (Some(best), true) => Self { high: best, ..Self::ANY },
            (Some(best), false) => Self { low: best, ..Self::ANY },
            (None, false) => Self { low: 0.0, ..Self::ANY },
            (None, true) => Self::ANY,
        };
        // What was measured is possible.
        if least < possible.low {
            possible.low = f64::NEG_INFINITY;
        }
        if most > possible.high {
            possible.high = f64::INFINITY;
        }
        possible
    }

    /// `value`, or the end that it is beyond.
    pub(crate) fn within(self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }

    /// An axis that ends where the metric does.
    pub(crate) fn axis(self, (low, high): (f64, f64)) -> (f64, f64) {
        (low.max(self.low), high.min(self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_share_ends_at_zero_and_one_and_a_loss_begins_at_its_best() {
        let full = sample::full();
        assert_eq!(Possible::of(&full.workloads[0]), Possible { low: 0.0, high: 1.0 });
        let loss = sample::loss();
        assert_eq!(Possible::of(&loss.workloads[0]), Possible { low: 0.0, ..Possible::ANY });
    }

    #[test]
    fn a_metric_that_was_below_zero_can_be() {
        let mut workload = sample::loss().workloads.remove(0);
        workload.best = None;
        assert_eq!(Possible::of(&workload).low, 0.0);
        workload.arms[0].by_samples[0].mean = -0.2;
        assert_eq!(Possible::of(&workload), Possible::ANY);
    }
}
