//! What a metric can be: no interval is drawn beyond it, whatever Student's t says.

use analysis::summary::WorkloadAnalysis;
use ledger::goal;

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
        let curves = workload.arms.iter().flat_map(|arm| &arm.by_samples);
        let ends = seeds(workload, &names).chain(curves.map(|point| point.mean));
        Self::between((workload.best, higher), ends)
    }

    /// The same of any metric, by its name without the split; of a part of a metric (`accuracy/4`) what the whole can
    /// be, and everything of one that the workload does not list.
    pub(crate) fn of_metric(workload: &WorkloadAnalysis, metric: &str) -> Self {
        if metric == workload.target.metric {
            return Self::of(workload);
        }
        let whole = metric.split_once('/').map_or(metric, |(whole, _)| whole);
        let row = |name: &str| workload.metrics.iter().find(|row| row.name == name);
        let Some(row) = row(metric).or_else(|| row(whole)) else { return Self::ANY };
        let names = ["validation", "test"].map(|split| goal::key(split, metric));
        let curves = workload.arms.iter().filter_map(|arm| arm.metrics_by_samples.get(&names[0]));
        let ends = seeds(workload, &names).chain(curves.flatten().map(|point| point.mean));
        Self::between((row.best, row.higher_is_better), ends)
    }

    fn between((best, higher): (Option<f64>, bool), measured: impl Iterator<Item = f64>) -> Self {
        let (least, most) = measured
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), v| (l.min(v), m.max(v)));
        let mut possible = match (best, higher) {
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

/// What the seeds had of some metrics at the budget.
fn seeds<'a>(
    workload: &'a WorkloadAnalysis,
    names: &'a [String; 2],
) -> impl Iterator<Item = f64> + 'a {
    let arms = workload.arms.iter();
    let estimates = arms.flat_map(|arm| names.iter().filter_map(|name| arm.at_budget.get(name)));
    estimates.flat_map(|estimate| estimate.values.iter().copied())
}

#[cfg(test)]
mod tests {
    use ledger::catalogue::MetricInfo;

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

    #[test]
    fn a_part_of_a_metric_can_be_what_the_whole_can_and_one_that_nobody_lists_anything() {
        let mut workload = sample::loss().workloads.remove(0);
        let share = |name: &str| MetricInfo {
            name: name.to_owned(),
            higher_is_better: true,
            best: Some(1.0),
            chance: None,
        };
        workload.metrics = vec![share("accuracy"), MetricInfo { best: None, ..share("length") }];
        let of = |metric: &str| Possible::of_metric(&workload, metric);
        assert_eq!(of("accuracy"), Possible { low: 0.0, high: 1.0 });
        assert_eq!(of("accuracy/4"), of("accuracy"));
        assert_eq!((of("length"), of("unknown")), (Possible::ANY, Possible::ANY));
        assert_eq!(of("nll"), Possible::of(&workload));
    }
}
