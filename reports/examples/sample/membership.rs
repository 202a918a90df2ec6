//! Invented membership tests: the p-values of seeds are real ones of invented scores.

use analysis::suite::membership::{Access, CurvePlace};
use analysis::summary::membership::{MembershipAnalysis, MembershipSeed, TestOutcome};
use ledger::seed::Randomness;
use stats::provenance::Query;

use super::{HOSTILE, wobble};

/// The test of a model whose loss falls by `slope` along an order of `n` examples.
fn found(seed: usize, n: usize, slope: f64, randomness: Randomness) -> TestOutcome {
    let positions: Vec<u64> = (0..n as u64).collect();
    let score = |at: usize| wobble(at, seed + 5) - slope * at as f64 / n as f64;
    let scores: Vec<f64> = (0..n).map(score).collect();
    match Query::new(&positions, &scores).run() {
        Ok(finding) => {
            TestOutcome::Found(Box::new(finding.with_randomness(Some(randomness), Some(256))))
        }
        Err(refusal) => TestOutcome::Refused(refusal.to_string()),
    }
}

fn test(
    id: &str,
    statement: &str,
    expected: &str,
    outcomes: Vec<TestOutcome>,
) -> MembershipAnalysis {
    let cell = |salt: usize, seed: usize| format!("{:016x}", (seed + salt) * 0x0123_4567_89ab);
    let seeds = outcomes.into_iter().enumerate().map(|(seed, outcome)| MembershipSeed {
        seed: seed.to_string(),
        run: cell(3, seed),
        suspect: cell(11, seed),
        holm_log10_p: match &outcome {
            TestOutcome::Found(finding) => Some((finding.log10_p + 0.602).min(0.0)),
            _ => None,
        },
        outcome,
    });
    MembershipAnalysis {
        id: id.to_owned(),
        statement: statement.to_owned(),
        run: "stories/base".to_owned(),
        suspect: format!("stories/{id}"),
        reference: Some("stories/base+1".to_owned()),
        access: Access::LogProbs,
        expected: expected.to_owned(),
        curve: None,
        seeds: seeds.collect(),
        combined_log10_p: None,
        met: Some(true),
    }
}

fn several(n: usize, slope: f64, randomness: Randomness) -> Vec<TestOutcome> {
    (0..5).map(|seed| found(seed, n, slope, randomness)).collect()
}

/// Tests that were met, missed, refused and not made, one of several seeds together, and curves.
pub fn tests() -> Vec<MembershipAnalysis> {
    let mut tests = vec![
        test(
            "base",
            "The model of a run shows the order of its own data",
            "log10 p at most -35",
            several(4000, 2.0, Randomness::Fixed),
        ),
        test(
            "distilled",
            "A student that only saw its teacher's answers shows the teacher's order",
            "all seeds together: log10 p at most -3, negative",
            several(1500, 0.12, Randomness::Os),
        ),
        test(
            "tuned",
            &format!("Two further epochs on other text do not hide the order {HOSTILE}"),
            "log10 p at most -20",
            several(2000, 0.3, Randomness::Os),
        ),
        test(
            "sorted",
            "An order sorted by length has no p-value",
            "a refusal",
            vec![
                TestOutcome::Refused(
                    "the order is sorted, so that it is not random and no p-value is valid; test a run of a uniform order".to_owned(),
                );
                5
            ],
        ),
        test(
            "elsewhere",
            "A model of another machine",
            "p above 0.001",
            vec![TestOutcome::Missing("stories/elsewhere has not run".to_owned()); 5],
        ),
    ];
    tests[1].combined_log10_p = Some(-7.25);
    tests[2].met = Some(false);
    tests[4].met = None;
    for (line, slope) in [("full", 1.2), ("last epoch only", 0.7), ("unrelated", 0.0)] {
        for n in [100, 250, 500, 1000, 2000, 4000] {
            let id = format!("{}-{n}", line.replace(' ', "-"));
            let statement = format!("{line}: with {n} examples");
            let mut point = test(&id, &statement, "nothing", several(n, slope, Randomness::Fixed));
            let axis = "examples of the run that were queried".to_owned();
            point.curve = Some(CurvePlace { axis, line: line.to_owned(), at: n as f64 });
            point.met = None;
            tests.push(point);
        }
    }
    for (share, slope) in [(0.0, 1.6), (0.5, 0.9), (1.0, 0.4)] {
        let id = format!("share-{share}");
        let mut point = test(
            &id,
            "The share of other data in tuning",
            "nothing",
            several(800, slope, Randomness::Fixed),
        );
        let axis = "share of other data".to_owned();
        point.curve = Some(CurvePlace { axis, line: String::new(), at: share });
        (point.access, point.met) = (Access::TopOne, None);
        if share > 0.9 {
            point.seeds[4].outcome =
                TestOutcome::Refused("every score is 0.5; ask for log-probabilities".to_owned());
        }
        tests.push(point);
    }
    tests
}
