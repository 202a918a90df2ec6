//! `quality` and `time`: paired tests, Benjamini-Hochberg over all of them, margin, floor, interval.

use crate::regress::RegressError;
use crate::regress::align::Aligned;
use crate::regress::metric::{Class, MetricName, Value};
use crate::regress::report::{Effect, Row, Verdict};
use crate::regress::rule::{Rule, Test};
use ledger::goal::Direction;
use stats::StatsError;
use stats::equivalence::equivalence;
use stats::interval::{self, Interval};
use stats::multiple::benjamini_hochberg;
use stats::sign_flip::sign_flip_above;
use stats::t_test::{Alternative, t_test};
use stats::verdict::Scale;

use super::{Floor, unjudged};

/// The effects of one metric, positive where the head is worse.
pub(super) struct Sample {
    worse: Vec<f64>,
    interval: Interval,
    mean: f64,
    margin: f64,
    threshold: f64,
}

/// The row with its measured change, and what the tests need; or the row with why it has none.
pub(super) fn measure(
    aligned: &Aligned,
    row: Row,
    interleaved: bool,
    floor: Floor<'_>,
    rule: &Rule,
) -> Result<(Row, Option<Sample>), RegressError> {
    let time = aligned.definition.class == Class::Time;
    let refuse =
        |row: Row, reason: String| Ok((unjudged(row, Verdict::Inconclusive, reason), None));
    if time && !interleaved {
        let reason = "times of two sessions are no pairs: let both binaries take turns (--binary)";
        return refuse(row, reason.to_owned());
    }
    let pairs = match pairs(aligned) {
        Ok(pairs) => pairs,
        Err(reason) => return refuse(row, reason),
    };
    let row = Row { pairs: pairs.len(), ..row };
    // Scores of one seed are the same bits where nothing changed: that needs no test.
    if !pairs.is_empty() && pairs.iter().all(|(base, head)| base == head) && !time {
        let reason = format!("equal in all {} pairs", pairs.len());
        let (base, head) = middle(&pairs, time);
        let (base, head) = (Some(Value::Number(base)), Some(Value::Number(head)));
        return Ok((Row { verdict: Verdict::Same, reason, base, head, ..row }, None));
    }
    if pairs.len() < rule.least_pairs {
        let (n, least) = (pairs.len(), rule.least_pairs);
        let unit = if n == 1 { "pair is" } else { "pairs are" };
        let advice = if time { "add rounds" } else { "add seeds" };
        return refuse(row, format!("{n} {unit} too few, {least} are needed: {advice}"));
    }
    let row = match floor_of(aligned, floor, pairs.len()) {
        Ok(floor) => Row { floor, ..row },
        Err(reason) => return refuse(row, reason),
    };
    // A reader checked that a tested metric has a direction.
    let lower = aligned.definition.direction != Some(Direction::HigherIsBetter);
    let (base, head) = middle(&pairs, time);
    let share = aligned.definition.margin.unwrap_or(rule.margin);
    let margin = match (time, aligned.definition.margin) {
        (true, _) => share.ln_1p(),
        (false, Some(margin)) => margin,
        (false, None) => share * scale_of_score(aligned.definition.best, base, head),
    };
    let worse: Vec<f64> = pairs
        .iter()
        .map(|&(base, head)| if time { head.ln() - base.ln() } else { head - base })
        .map(|change| if lower { change } else { 0.0 - change })
        .collect();
    let row = Row { base: Some(Value::Number(base)), head: Some(Value::Number(head)), ..row };
    if worse.iter().all(|change| *change == 0.0) {
        let reason = format!("equal in all {} pairs", row.pairs);
        return Ok((Row { verdict: Verdict::Same, reason, ..row }, None));
    }
    if margin == 0.0 {
        let reason = "the base is 0, so that a share of it is no margin: state one in the suite";
        return refuse(row, reason.to_owned());
    }
    let failed = |source| RegressError::Stats { metric: aligned.name.to_string(), source };
    let estimate = interval::mean(&worse, rule.resampling.level).map_err(failed)?;
    let threshold = margin.max(row.floor.map_or(0.0, |floor| rule.floor_multiple * floor.ln_1p()));
    let sample =
        Sample { worse, interval: estimate.interval, mean: estimate.value, margin, threshold };
    let row = Row {
        effect: Some(effect(&sample, time, lower)),
        threshold: Some(if time { threshold.exp_m1() } else { threshold }),
        ..row
    };
    Ok((row, Some(sample)))
}

/// What a score's margin is a share of: how far the base is from the best value there is, so that
/// 0.970 and 0.955 of 1 are as far apart as they are to who counts errors; the base's own size where
/// no value is best.
pub(in crate::regress) fn scale_of_score(best: Option<f64>, base: f64, head: f64) -> f64 {
    match best {
        None => base.abs(),
        // A base that has it leaves the head's distance.
        Some(best) if base == best => (best - head).abs(),
        Some(best) => (best - base).abs(),
    }
}

/// Judges the tested rows together; each sample comes with the place of its row.
pub(super) fn decide(
    rows: &mut [Row],
    samples: &[(usize, Sample)],
    rule: &Rule,
) -> Result<(), RegressError> {
    let needed = (samples.len() as f64 / rule.q).log2();
    let mut p_worse = Vec::with_capacity(samples.len());
    let mut p_better = Vec::with_capacity(samples.len());
    for (place, sample) in samples {
        let name = &rows[*place].name;
        let better: Vec<f64> = sample.worse.iter().map(|change| 0.0 - change).collect();
        p_worse.push(p_above(&sample.worse, rule, name)?);
        p_better.push(p_above(&better, rule, name)?);
    }
    let not_p = |source| RegressError::Stats { metric: "all metrics".to_owned(), source };
    let q_worse = benjamini_hochberg(&p_worse).map_err(not_p)?;
    let q_better = benjamini_hochberg(&p_better).map_err(not_p)?;
    for (index, (place, sample)) in samples.iter().enumerate() {
        let row = &mut rows[*place];
        let (p, q) = if sample.mean >= 0.0 {
            (p_worse[index], q_worse[index])
        } else {
            (p_better[index], q_better[index])
        };
        (row.p, row.q) = (Some(p), Some(q));
        if rule.test == Test::SignFlip && (row.pairs as f64) < needed {
            let (n, m) = (row.pairs, samples.len());
            row.judged = false;
            row.reason = format!(
                "{n} pairs cannot pass the sign-flip test over {m} metrics: {} are needed, or the t-test",
                needed.ceil()
            );
            continue;
        }
        let failed = |source| RegressError::Stats { metric: row.name.to_string(), source };
        let same = equivalence(&sample.worse, sample.margin, rule.equivalence_alpha)
            .map_err(failed)?
            .equivalent;
        let (verdict, reason) = judge(sample, q, same, rule);
        (row.verdict, row.reason) = (verdict, reason);
    }
    Ok(())
}

fn judge(sample: &Sample, q: f64, same: bool, rule: &Rule) -> (Verdict, String) {
    let (significant, beyond) = (q <= rule.q, sample.mean.abs() > sample.threshold);
    let (worse, better) = (sample.interval.low > 0.0, sample.interval.high < 0.0);
    if significant && beyond && worse {
        (Verdict::Regressed, "worse by every part of the rule".to_owned())
    } else if significant && beyond && better {
        (Verdict::Improved, "better by every part of the rule".to_owned())
    } else if same {
        (Verdict::Same, "shown to be within the margin".to_owned())
    } else {
        let mut lacking = Vec::new();
        if !significant {
            lacking.push("no change is significant over all metrics");
        }
        if !beyond {
            lacking.push("the change is not beyond margin and noise floor");
        }
        if !worse && !better {
            lacking.push("the interval holds 0");
        }
        (Verdict::Inconclusive, format!("{}; equivalence is not shown", lacking.join(", ")))
    }
}

fn p_above(effects: &[f64], rule: &Rule, name: &MetricName) -> Result<f64, RegressError> {
    let failed = |source: StatsError| RegressError::Stats { metric: name.to_string(), source };
    match rule.test {
        Test::StudentT => {
            t_test(effects, 0.0, Alternative::Greater).map(|test| test.p).map_err(failed)
        }
        Test::SignFlip => {
            sign_flip_above(effects, rule.resampling.seed).map(|test| test.p).map_err(failed)
        }
    }
}

/// The change as a reader sees it: head / base, or head - base, whichever way is better.
fn effect(sample: &Sample, time: bool, lower: bool) -> Effect {
    let Interval { low, high, level } = sample.interval;
    let (value, low, high) =
        if lower { (sample.mean, low, high) } else { (-sample.mean, -high, -low) };
    let (scale, value, low, high) = if time {
        (Scale::LogRatio, value.exp(), low.exp(), high.exp())
    } else {
        (Scale::Difference, value, low, high)
    };
    Effect { scale, value, interval: Interval { low, high, level } }
}

/// (base, head) of every pair: each round of a time, each seed of a score (the first round of it,
/// repeats of a seed being no more evidence); or why there are none.
fn pairs(aligned: &Aligned) -> Result<Vec<(f64, f64)>, String> {
    let time = aligned.definition.class == Class::Time;
    let mut pairs = Vec::new();
    let (mut disturbed, mut last_seed) = (0, None);
    for ((seed, round), couple) in &aligned.couples {
        if !time && last_seed == Some(seed) {
            continue;
        }
        last_seed = Some(seed);
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::number);
        match (number(&couple.base), number(&couple.head)) {
            _ if time && couple.disturbed => disturbed += 1,
            (Some(base), Some(head)) => pairs.push((base, head)),
            // Leaving it out would favour the side that only measures what goes well.
            (Some(_), None) => {
                return Err(format!("the head has no value under seed {seed:?}, round {round}"));
            }
            (None, _) => {
                return Err(format!("the base has no value under seed {seed:?}, round {round}"));
            }
        }
    }
    if pairs.is_empty() && disturbed > 0 {
        return Err(format!("withheld: the machine was too busy during all {disturbed} pairs"));
    }
    Ok(pairs)
}

/// Mean of both sides of the pairs: geometric for times.
fn middle(pairs: &[(f64, f64)], geometric: bool) -> (f64, f64) {
    let n = pairs.len() as f64;
    let mean = |side: fn(&(f64, f64)) -> f64| {
        if geometric {
            (pairs.iter().map(|pair| side(pair).ln()).sum::<f64>() / n).exp()
        } else {
            pairs.iter().map(|pair| side(pair) / n).sum()
        }
    };
    (mean(|pair| pair.0), mean(|pair| pair.1))
}

/// The noise floor of a time for this many pairs, as a share; none for a score.
fn floor_of(aligned: &Aligned, floor: Floor<'_>, pairs: usize) -> Result<Option<f64>, String> {
    match floor {
        _ if aligned.definition.class != Class::Time => Ok(None),
        Floor::BeingMeasured => Ok(None),
        Floor::Measured(Err(reason)) => Err(reason.to_owned()),
        Floor::Measured(Ok(floor)) => floor.of(&aligned.name, aligned.config, pairs).map(Some),
    }
}
