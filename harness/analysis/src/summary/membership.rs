//! The membership tests of a suite: one per seed, judged against what the suite expects.

pub mod ladder;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::suite::membership::{Access, CurvePlace, Documents, Expect, MembershipUse, Sign};
use crate::suite_run::SuiteRun;
use ledger::digest::Digest;
use ledger::lineage::CellName;
use ledger::order::Unit;
use ledger::record::RunRecord;
use stats::provenance::audit::{Audit, Epoch, Order, Places};
use stats::provenance::combine::{holm, stouffer};
use stats::provenance::epochs::DEFAULT_GAMMA;
use stats::provenance::law::{Ancestry, require_independent};
use stats::provenance::order_list::Resolution;
use stats::provenance::tail::LogTails;
use stats::provenance::template::{Shadow, Template};
use stats::provenance::{Finding, Kind, Refusal, Tail};

/// Stretches of the order that a template tells apart.
pub const TEMPLATE_BINS: u64 = 32;

/// One test of a suite over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MembershipAnalysis {
    /// Id of the test.
    pub id: String,
    /// What is tested.
    pub statement: String,
    /// The run whose order is tested.
    pub run: String,
    /// The run whose model is suspected.
    pub suspect: String,
    /// The run whose model is the reference.
    pub reference: Option<String>,
    /// What is known of the suspect.
    pub access: Access,
    /// What must come out, in words.
    pub expected: String,
    /// Its place in a power curve.
    pub curve: Option<CurvePlace>,
    /// One entry per seed.
    pub seeds: Vec<MembershipSeed>,
    /// log10 p of all seeds together, where the suite asks for it.
    pub combined_log10_p: Option<f64>,
    /// Whether what was expected came out; `None` where nothing was, or a cell is missing.
    pub met: Option<bool>,
}

/// One test under one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MembershipSeed {
    /// The seed as the user gave it.
    pub seed: String,
    /// Cell id of the run.
    pub run: String,
    /// Cell id of the suspect.
    pub suspect: String,
    /// What came out.
    pub outcome: TestOutcome,
    /// log10 p after Holm's correction for all suspects of this run in the suite.
    pub holm_log10_p: Option<f64>,
}

/// What comes out of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOutcome {
    /// A p-value.
    Found(Box<Finding>),
    /// No p-value is valid, for this reason.
    Refused(String),
    /// It could not be made, because something is not there.
    Missing(String),
}

/// What tests need beside records; reading is the caller's.
pub trait Evidence {
    /// The ids of a run's transcript, all epochs one after another.
    ///
    /// # Errors
    /// When they cannot be read.
    fn order(&self, run: &str) -> Result<Vec<u32>, String>;

    /// The scores of a model on the training split of a run, in dataset order.
    ///
    /// # Errors
    /// When they are not there or cannot be read.
    fn scores(&self, model: &str, on: &RunRecord, what: ScoreKind) -> Result<Vec<f64>, String>;
}

/// Which scores of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreKind {
    /// What is known of the model.
    pub access: Access,
    /// One score per document of a packed example.
    pub documents: bool,
}

impl ScoreKind {
    /// The scores that a store holds under this name: `loss`, `top1`, `sampled` or `documents`.
    ///
    /// # Errors
    /// For documents scored by other than their losses.
    pub fn name(self) -> Result<&'static str, String> {
        match (self.documents, self.access) {
            (false, Access::LogProbs) => Ok("loss"),
            (false, Access::TopOne) => Ok("top1"),
            (false, Access::Sampled) => Ok("sampled"),
            (true, Access::LogProbs) => Ok("documents"),
            (true, _) => Err("documents are scored by their losses only".to_owned()),
        }
    }
}

/// A run with its record.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Its record.
    pub record: &'a RunRecord,
    /// The name that people call it by.
    pub name: &'a str,
}

/// The order of a run as a test takes it.
///
/// # Errors
/// When the run has no order, or one of units with roles: scores per example then have no null.
pub fn order_of(record: &RunRecord, ids: &[u32]) -> Result<Order, String> {
    let order = record.order.as_ref();
    let order = order.ok_or_else(|| format!("run {} failed and has no order", record.cell))?;
    if let Some(layout) = &order.layout {
        return Err(format!(
            "the order of run {} moves units of {} examples as one piece ({layout}), so that no test per example \
             has a null; average scores by unit and give files, with --unit pack and --units",
            record.cell,
            layout.size()
        ));
    }
    let epochs = order.epochs.iter().map(|epoch| {
        let range = usize::try_from(epoch.offset).ok().zip(usize::try_from(epoch.n).ok());
        let part = range.and_then(|(start, n)| ids.get(start..start.checked_add(n)?));
        let part = part.ok_or_else(|| {
            format!("order.bin of run {} is shorter than its record says", record.cell)
        })?;
        let ids = part.iter().copied().map(u64::from).collect();
        Ok(Epoch { epoch: epoch.epoch, ids, steps: epoch.steps.clone() })
    });
    Ok(Order {
        places: Places::Epochs(epochs.collect::<Result<_, String>>()?),
        examples: order.examples,
        law: order.law,
        unit: order.unit,
        randomness: Some(order.unpredictable_by()),
        // A seed and, with a beacon, what is hashed with it: 256 bits either way.
        seed_bits: Some(256),
    })
}

/// What a model's training consumed, for the check that it is independent of a run.
#[must_use]
pub fn ancestry(name: &str, record: &RunRecord) -> Ancestry {
    let parents = record.parents();
    let runs = std::iter::once(record.cell.clone()).chain(parents.iter().cloned()).collect();
    Ancestry { name: name.to_owned(), order_hashes: record.order_hashes(), runs }
}

/// Hashes of the orders that a run itself consumed.
#[must_use]
pub fn own_orders(run: &RunRecord) -> Vec<Digest> {
    run.order.iter().flat_map(|order| &order.epochs).map(|epoch| epoch.order_hash).collect()
}

/// Refuses a model that depends on the order of `run`.
///
/// # Errors
/// When it descends from the run or was trained on one of its orders.
pub fn independent(run: &RunRecord, model: Recorded<'_>) -> Result<(), Refusal> {
    require_independent(&run.cell, &own_orders(run), &ancestry(model.name, model.record))
}

/// Records by cell id, as tests of a suite look them up.
#[must_use]
pub fn by_cell<'a>(
    records: impl Iterator<Item = &'a RunRecord>,
) -> BTreeMap<&'a str, &'a RunRecord> {
    records.map(|record| (record.cell.as_str(), record)).collect()
}

/// Makes every test of a suite; `records` are its cells that have run.
#[must_use]
pub fn judge(
    suite: &SuiteRun,
    records: &BTreeMap<&str, &RunRecord>,
    evidence: &dyn Evidence,
) -> Vec<MembershipAnalysis> {
    let seeds = seeds(suite);
    let tests = suite.sections.provenance.iter().map(|test| {
        let rows = (0..seeds.len()).map(|at| {
            let bench = Bench { suite, seeds: &seeds, at, records, evidence };
            let outcome = bench.outcome(test);
            MembershipSeed {
                seed: seeds[at].to_owned(),
                run: bench.cell(&test.run).unwrap_or_default().to_owned(),
                suspect: bench.cell(&test.suspect).unwrap_or_default().to_owned(),
                outcome,
                holm_log10_p: None,
            }
        });
        MembershipAnalysis {
            id: test.id.clone(),
            statement: test.statement.clone(),
            run: test.run.to_string(),
            suspect: test.suspect.to_string(),
            reference: test.reference.as_ref().map(ToString::to_string),
            access: test.access,
            expected: expected(&test.expect),
            curve: test.curve.clone(),
            seeds: rows.collect(),
            combined_log10_p: None,
            met: None,
        }
    });
    let mut tests: Vec<MembershipAnalysis> = tests.collect();
    correct(&mut tests);
    for (analysis, test) in tests.iter_mut().zip(&suite.sections.provenance) {
        conclude(analysis, &test.expect);
    }
    tests
}

/// The suite's seeds, in order.
fn seeds(suite: &SuiteRun) -> Vec<&str> {
    let mut seeds: Vec<&str> = Vec::new();
    for cell in &suite.cells {
        if !seeds.contains(&cell.seed.as_str()) {
            seeds.push(&cell.seed);
        }
    }
    seeds
}

/// What one test is made on.
struct Bench<'a> {
    suite: &'a SuiteRun,
    seeds: &'a [&'a str],
    at: usize,
    records: &'a BTreeMap<&'a str, &'a RunRecord>,
    evidence: &'a dyn Evidence,
}

impl<'a> Bench<'a> {
    /// The id of a cell, counted from the seed looked at.
    fn cell(&self, name: &CellName) -> Option<&'a str> {
        let seed = self.seeds[(self.at + name.seeds_ahead) % self.seeds.len()];
        let suite = self.suite;
        let cell = suite.cells.iter().find(|cell| {
            name.workload.as_ref() == Some(&suite.workloads[cell.workload].label)
                && suite.arms[cell.arm].label == name.arm
                && cell.seed == seed
        });
        cell.map(|cell| cell.cell.as_str())
    }

    fn record(&self, name: &CellName) -> Result<&'a RunRecord, String> {
        let record = self.cell(name).and_then(|cell| self.records.get(cell).copied());
        record.ok_or_else(|| format!("{name} has not run"))
    }

    fn outcome(&self, test: &MembershipUse) -> TestOutcome {
        match self.prepare(test) {
            Err(missing) => TestOutcome::Missing(missing),
            Ok(prepared) => match prepared.run(test) {
                Ok(finding) => TestOutcome::Found(Box::new(finding)),
                Err(refusal) => TestOutcome::Refused(refusal.to_string()),
            },
        }
    }

    fn prepare(&self, test: &MembershipUse) -> Result<Prepared<'a>, String> {
        let run = self.record(&test.run)?;
        let what = ScoreKind { access: test.access, documents: test.documents != Documents::Whole };
        let scores = |name: &CellName, on: &RunRecord| {
            let record = self.record(name)?;
            Ok::<_, String>((record, self.evidence.scores(&record.cell, on, what)?))
        };
        let order = order_of(run, &self.evidence.order(&run.cell)?)?;
        let shadows = test.template.iter().map(|name| {
            // A shadow's imprint is that on its own examples.
            let own = self.record(name)?;
            let (record, on_own) = scores(name, own)?;
            let reference = test.reference.as_ref().map(|name| Ok(scores(name, own)?.1));
            let reference = reference.transpose().map_err(|error: String| error)?;
            let order = order_of(record, &self.evidence.order(&record.cell)?)?;
            Ok(ShadowRun { name: name.to_string(), record, order, scores: on_own, reference })
        });
        Ok(Prepared {
            run,
            order,
            suspect: scores(&test.suspect, run)?.1,
            reference: match &test.reference {
                Some(name) => {
                    let (record, scores) = scores(name, run)?;
                    Some((name.to_string(), record, scores))
                }
                None => None,
            },
            shadows: shadows.collect::<Result<_, String>>()?,
        })
    }
}

/// A run of another order, whose imprint is known.
struct ShadowRun<'a> {
    name: String,
    record: &'a RunRecord,
    order: Order,
    scores: Vec<f64>,
    /// The reference on the shadow's examples.
    reference: Option<Vec<f64>>,
}

/// Everything that one test reads.
struct Prepared<'a> {
    run: &'a RunRecord,
    order: Order,
    suspect: Vec<f64>,
    reference: Option<(String, &'a RunRecord, Vec<f64>)>,
    shadows: Vec<ShadowRun<'a>>,
}

impl Prepared<'_> {
    fn run(&self, test: &MembershipUse) -> Result<Finding, Refusal> {
        self.test(test, self.checked(test)?.as_ref(), None)
    }

    /// The template, where there is one, after every model was seen to be independent of the run.
    fn checked(&self, test: &MembershipUse) -> Result<Option<Template>, Refusal> {
        if let Some((name, record, _)) = &self.reference {
            independent(self.run, Recorded { record, name })?;
        }
        for shadow in &self.shadows {
            independent(self.run, Recorded { record: shadow.record, name: &shadow.name })?;
        }
        if self.shadows.is_empty() { Ok(None) } else { self.template(test).map(Some) }
    }

    /// The test on all examples, or on those alone that were queried.
    fn test(
        &self,
        test: &MembershipUse,
        template: Option<&Template>,
        queried: Option<&BTreeSet<u64>>,
    ) -> Result<Finding, Refusal> {
        // Row by row, the pack that a document is in.
        let packs = match self.order.examples {
            0 => Vec::new(),
            examples => {
                let each = (self.suspect.len() as u64 / examples).max(1);
                (0..examples).flat_map(|pack| (0..each).map(move |_| pack)).collect::<Vec<u64>>()
            }
        };
        let apart = test.documents != Documents::Whole;
        let unit = if apart { Unit::Pack } else { self.order.unit };
        let order = Order { unit, ..self.order.clone() };
        let asked = |pack: &u64| queried.is_none_or(|queried| queried.contains(pack));
        let pick = |scores: &[f64]| -> Vec<f64> {
            match queried {
                // All of them, so that the test refuses a length that does not fit.
                None => scores.to_vec(),
                Some(_) => {
                    let rows = scores.iter().zip(&packs).filter(|(_, pack)| asked(pack));
                    rows.map(|(score, _)| *score).collect()
                }
            }
        };
        let rows: Vec<u64> = packs.iter().copied().filter(asked).collect();
        let suspect = pick(&self.suspect);
        let reference = self.reference.as_ref().map(|(.., scores)| pick(scores));
        Audit {
            order: &order,
            scores: &suspect,
            references: reference.iter().map(Vec::as_slice).collect(),
            rows: (apart || queried.is_some()).then_some(&rows),
            units: (test.documents == Documents::Averaged).then_some(&rows),
            blocks: None,
            template,
            resolution: Resolution::Step,
            metric: test.metric,
            tail: test.tail,
            adjust: test.adjustment(),
            kind: match test.access {
                Access::LogProbs => Kind::Loss,
                Access::TopOne | Access::Sampled => Kind::Agreement,
            },
            monte_carlo: None,
            gamma: DEFAULT_GAMMA,
        }
        .run()
    }
}

impl Prepared<'_> {
    /// The profile that the shadow runs show, adjusted as the suspect is.
    fn template(&self, test: &MembershipUse) -> Result<Template, Refusal> {
        let imprints = self.shadows.iter().map(|shadow| {
            let audit = Audit {
                order: &shadow.order,
                scores: &shadow.scores,
                references: shadow.reference.iter().map(Vec::as_slice).collect(),
                rows: None,
                units: None,
                blocks: None,
                resolution: Resolution::Step,
                template: None,
                metric: test.metric,
                tail: test.tail,
                adjust: test.adjustment(),
                kind: Kind::Loss,
                monte_carlo: None,
                gamma: DEFAULT_GAMMA,
            };
            Ok((shadow, audit.imprint()?))
        });
        let imprints = imprints.collect::<Result<Vec<_>, Refusal>>()?;
        let shadows = imprints.iter().flat_map(|(shadow, (positions, adjusted))| {
            let order_hash = shadow.record.order.as_ref()?.epochs.last()?.order_hash;
            Some(Shadow { order_hash, positions, adjusted })
        });
        Template::learn(&shadows.collect::<Vec<_>>(), &own_orders(self.run), TEMPLATE_BINS)
    }
}

/// Holm's correction over all suspects that are tested against one run's order.
fn correct(tests: &mut [MembershipAnalysis]) {
    let mut families: BTreeMap<String, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for (test, analysis) in tests.iter().enumerate() {
        for (row, seed) in analysis.seeds.iter().enumerate() {
            if let TestOutcome::Found(finding) = &seed.outcome {
                let family = families.entry(seed.run.clone()).or_default();
                family.push((test, row, finding.log10_p));
            }
        }
    }
    for family in families.values() {
        let log10_ps: Vec<f64> = family.iter().map(|(.., log10_p)| *log10_p).collect();
        // Every one is a p-value of a test, so that nothing can be refused here.
        let Ok(adjusted) = holm(&log10_ps) else { continue };
        for ((test, row, _), log10_p) in family.iter().zip(adjusted) {
            tests[*test].seeds[*row].holm_log10_p = Some(log10_p);
        }
    }
}

fn conclude(analysis: &mut MembershipAnalysis, expect: &Expect) {
    let outcomes = || analysis.seeds.iter().map(|seed| &seed.outcome);
    let missing = outcomes().any(|outcome| matches!(outcome, TestOutcome::Missing(_)));
    if expect.nothing || missing || analysis.seeds.is_empty() {
        return;
    }
    let findings: Vec<&Finding> = outcomes()
        .filter_map(|outcome| match outcome {
            TestOutcome::Found(finding) => Some(finding.as_ref()),
            _ => None,
        })
        .collect();
    let refused = analysis.seeds.len() - findings.len();
    let met = if expect.refused {
        findings.is_empty()
    } else {
        let signed = |finding: &&Finding| match expect.sign {
            None => true,
            Some(Sign::Negative) => finding.statistic < 0.0,
            Some(Sign::Positive) => finding.statistic > 0.0,
        };
        let combined = if expect.combined { together(&findings) } else { None };
        let deep = match (expect.log10_p_at_most, combined) {
            (Some(bar), Some(log10_p)) => log10_p <= bar,
            (Some(bar), None) => findings.iter().all(|finding| finding.log10_p <= bar),
            (None, _) => true,
        };
        let clear = expect.p_above.is_none_or(|bar| findings.iter().all(|f| f.p > bar));
        let met = refused == 0 && deep && clear && findings.iter().all(signed);
        analysis.combined_log10_p = combined;
        met
    };
    analysis.met = Some(met);
}

/// log10 p of independent orders together, by Stouffer with equal weights.
fn together(findings: &[&Finding]) -> Option<f64> {
    let tests: Vec<(LogTails, f64)> =
        findings.iter().map(|finding| (tails(finding), 1.0)).collect();
    let two_sided = findings.iter().all(|finding| finding.tail == Tail::TwoSided);
    let combined = stouffer(&tests).ok().filter(|_| two_sided)?;
    Some(combined.two_sided / std::f64::consts::LN_10)
}

/// Both sides of a two-sided finding whose null is symmetric.
fn tails(finding: &Finding) -> LogTails {
    let two_sided = finding.log10_p * std::f64::consts::LN_10;
    let near = two_sided - std::f64::consts::LN_2;
    let far = (-near.exp()).ln_1p();
    let (less, greater) = if finding.statistic < 0.0 { (near, far) } else { (far, near) };
    LogTails { less, greater, two_sided }
}

fn expected(expect: &Expect) -> String {
    let sign = match expect.sign {
        None => "",
        Some(Sign::Negative) => ", negative",
        Some(Sign::Positive) => ", positive",
    };
    let whose = if expect.combined { "all seeds together: " } else { "" };
    match (expect.log10_p_at_most, expect.p_above) {
        (Some(bar), _) => format!("{whose}log10 p at most {bar}{sign}"),
        (None, Some(bar)) => format!("p above {bar}{sign}"),
        (None, None) if expect.refused => "a refusal".to_owned(),
        (None, None) => "nothing".to_owned(),
    }
}
