//! # slp-resolve
//!
//! Shuffled statements over named registers modulo p and one register to resolve, generated from a
//! fixed seed. `two-chains` (the default) is modulo 3 with a second chain of the same length;
//! `lego` is plain LEGO (Skill-it, arXiv:2307.14430): modulo 2, one chain, `val` and `not`. The
//! skill of an example is the position in its chain of the register asked for; every split holds
//! all skills equally often. The loss is the answer's.
//!
//! In plain LEGO the last register of the chain is the parity of all clauses, so that the deepest
//! skill can be learned without resolving a name, and before the others; `two-chains` has no such
//! short cut.
//!
//! With `noise` a share of the training examples of the deeper half of skills has another answer than the right one; probe,
//! validation and test are right. `examples` trains on fewer.
//!
//! With few names there are fewer than 98,304 different examples to train on: then the training
//! split is as many as there are, less one in 64 (so that the last ones can be found), and an epoch
//! of a suite, 98,304 samples, is several passes. Settings that leave fewer to train on than to look
//! at, validate and test on are refused. Plain LEGO of 8 names and 3 registers has 44,364.

use std::collections::BTreeSet;
use std::sync::Arc;

use data::sequences::{Part, Parts, Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::resolve::Resolve;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{self, Size, split};
use crate::shared::skills::Skills;
use lab::LabError;
use lab::models::gpt::{bidirectional, gpt};
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{Apart, SideInfo, Tokens};
use lab::split::Split;
use training::workload::{Ready, Workload};

choice! {
    /// What stands among the statements.
    pub enum Variant {
        /// Two chains modulo 3.
        TwoChains = "two-chains",
        /// One chain modulo 2.
        Lego = "lego",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// What stands among the statements.
        variant: Variant = Variant::TwoChains, from "assumed: LEGO's short cut taken away";
        /// Registers of a chain, and so number of skills.
        chain: u32 = 3, range Range::of(2.0..=5.0), from "assumed; Skill-it: 5";
        /// Names to choose from.
        names: u32 = 10, range Range::of(2.0..=f64::from(MOST_NAMES)), from "assumed; Skill-it: 26";
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
        /// Whether a position sees only those before it.
        causal: bool = false, from "assumed";
        /// Number of training examples: a multiple of `chain`, no less than are held out.
        examples: u32 = SIZES[0], from "assumed";
        /// Share of the training examples of the deeper half of skills that have a wrong answer.
        noise: f64 = 0.0, range Range::of(0.0..=1.0), from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 1.0 / 3.0),
    MetricInfo::error("nll"),
    MetricInfo::share("skill_1", 1.0 / 3.0),
    MetricInfo::share("skill_2", 1.0 / 3.0),
    MetricInfo::share("skill_3", 1.0 / 3.0),
    MetricInfo::share("skill_4", 1.0 / 3.0),
    MetricInfo::share("skill_5", 1.0 / 3.0),
];

/// To train on where there are as many; every number of skills from 2 to 5 divides the held-out sizes.
const SIZES: [u32; 3] = [98_304, 960, 1_920];

/// Examples of each skill that adaptive orders may look at.
const PROBE: u32 = 128;

/// Of as many different examples one is left undrawn: the last ones of all would hardly be found.
const UNDRAWN: u64 = 64;

/// How often an example apart that exists already is drawn again.
const TRIES: u32 = 1_000;

/// Most names that there are.
const MOST_NAMES: u16 = 26;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "registers to resolve, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::GROUPS, offers::APART],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.95,
    target_origin: "assumed",
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.0625,
    split_sizes: SIZES,
    settings: Settings::table,
    epoch_setting: Some("examples"),
    resolve: |values| {
        let mut resolved = Settings::resolve(values)?;
        Settings::read(values)?.sizes()?;
        // Two that came after arms had been tuned: at their defaults, cells are what they were.
        resolved.retain(|name, value| match name.as_str() {
            "examples" => *value != SIZES[0],
            "noise" => *value != 0.0,
            _ => true,
        });
        Ok(resolved)
    },
    load: |values, _, device| load(values, device),
    network: |values, side, streams, device| {
        let Settings { size, causal, .. } = Settings::read(values)?;
        let shape = size.shape(side.vocabulary(), side.context());
        let network = match causal {
            true => gpt(shape, streams, device),
            false => bidirectional(shape, streams, device),
        }?;
        language::spread(&network)?;
        Ok(network)
    },
    ..Workload::BLANK
};

impl Settings {
    fn rendering(&self) -> Resolve {
        let Self { variant, chain, names, .. } = *self;
        let chain = chain as usize;
        let names = u16::try_from(names).unwrap_or(u16::MAX);
        match variant {
            Variant::TwoChains => Resolve { chain, modulus: 3, distractor: true, names },
            Variant::Lego => Resolve::lego(chain, names),
        }
    }

    /// Sizes of the splits: [`SIZES`], with fewer to train on where there are not as many.
    fn sizes(&self) -> Result<Sizes, SettingError> {
        let rendering = self.rendering();
        let Self { examples, chain, .. } = *self;
        let all = self.sizes_of(rendering);
        if examples != SIZES[0]
            && let Some(Sizes { train: most, probe, validation, test }) = all
        {
            let held_out = probe + validation + test;
            if !examples.is_multiple_of(chain) || !(held_out..=most).contains(&examples) {
                return Err(SettingError::Joint(format!(
                    "examples is {examples}, but must be a multiple of chain, which is {chain}, from \
                     {held_out} to {most}"
                )));
            }
            return Ok(Sizes { train: examples, probe, validation, test });
        }
        let fits = |names| self.sizes_of(Resolve { names, ..rendering });
        fits(rendering.names).ok_or_else(|| {
            let (names, registers) = (rendering.names, rendering.registers());
            let smallest = (names..=MOST_NAMES).find(|names| fits(*names).is_some());
            let remedy = smallest.map_or_else(
                || format!("{MOST_NAMES} are not enough either"),
                |smallest| format!("the fewest that do are {smallest}"),
            );
            SettingError::Joint(format!(
                "names is {names}, but {registers} registers named by them make too few different \
                 examples to train, validate and test on: {remedy}"
            ))
        })
    }

    /// The sizes, unless what is left to train on is less than what is held out.
    fn sizes_of(&self, rendering: Resolve) -> Option<Sizes> {
        let [train, validation, test] = SIZES;
        let probe = PROBE * self.chain;
        let held_out = probe + validation + test;
        // Every skill is a chain's share of every split.
        let different = rendering.different().saturating_mul(self.chain.into());
        let most = u32::try_from(different - different.div_ceil(UNDRAWN)).unwrap_or(u32::MAX);
        let left = most.saturating_sub(held_out) / self.chain * self.chain;
        let train = train.min(left);
        (train >= held_out).then_some(Sizes { train, probe, validation, test })
    }
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let settings = Settings::read(values)?;
    let rendering = settings.rendering();
    let skills = settings.chain;
    let sizes = settings.sizes()?;
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-resolve/v1"));
    let draw = |place: Place| rendering.draw(place.index % rendering.chain, &mut random);
    let mut parts = distinct(sizes, draw, Sequence::id)?;
    let Parts { train, probe, validation, test } = &parts;
    let taken = [train, probe, validation, test].into_iter().flat_map(|part| part.ids.clone());
    let apart = Further { settings: settings.clone(), taken: taken.collect() };
    if settings.noise > 0.0 {
        let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-resolve-noise/v1"));
        let Part { examples, ids } = &mut parts.train;
        for (example, id) in examples.iter_mut().zip(ids) {
            settings.disturb(example, &mut random);
            *id = example.id();
        }
    }
    let place = |examples: &[Sequence]| split(examples.iter(), rendering.length(), device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (1..=skills).map(|skill| format!("position {skill}")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: rendering.alphabet().size().into(),
            context: rendering.length() as i64,
            end: None,
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        apart: Some(Arc::new(apart)),
        ..SideInfo::default()
    };
    let names = (1..=skills).map(|skill| format!("skill_{skill}"));
    let judge = Box::new(Skills { names: names.collect() });
    Ok(Ready { splits, identity, side, judge })
}

impl Settings {
    /// Gives an example of the deeper half of skills a wrong answer, at the share that was set: two numbers of `random`
    /// for each such example, whether it is changed or not.
    fn disturb(&self, example: &mut Sequence, random: &mut Pcg64) {
        let (rendering, alphabet) = (self.rendering(), self.rendering().alphabet());
        if example.group < self.chain.div_ceil(2) {
            return;
        }
        let hit = unit_f64(random) < self.noise;
        let others = u32::from(rendering.modulus).saturating_sub(1);
        let further = u32::try_from(bounded(random, others.into())).unwrap_or(0);
        let answer = example.tokens.last_mut().filter(|_| hit);
        if let Some(token) = answer
            && let Some(value) = alphabet.read_digit(*token)
        {
            *token = alphabet.digit((value + 1 + further) % (others + 1));
        }
    }
}

/// Examples as those to train on, in no split.
#[derive(Debug)]
struct Further {
    settings: Settings,
    /// Ids of all splits, before answers were made wrong.
    taken: Vec<Digest>,
}

impl Apart for Further {
    fn draw(&self, count: u32, device: Device) -> Result<Split, LabError> {
        let rendering = self.settings.rendering();
        let chain = rendering.chain;
        let mut seen: BTreeSet<Digest> = self.taken.iter().copied().collect();
        let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-resolve-apart/v1"));
        let mut examples = Vec::with_capacity(count as usize);
        for index in 0..count as usize {
            let mut fresh = (0..TRIES).find_map(|_| {
                let example = rendering.draw(index % chain, &mut random);
                seen.insert(example.id()).then_some(example)
            });
            let Some(example) = &mut fresh else {
                return Err(LabError::Method(format!(
                    "{count} examples apart from all splits are more than the {index} that were found: \
                     ask for fewer, or set fewer examples or more names"
                )));
            };
            self.settings.disturb(example, &mut random);
            examples.extend(fresh);
        }
        Ok(split(examples.iter(), rendering.length(), device)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{EvaluationRequest, Judged, Model};
    use training::trial::Fixture;

    fn fixture(variant: &str) -> Fixture {
        crate::fixture("slp-resolve", &with([("variant", variant.into())])).unwrap()
    }

    #[test]
    fn splits_hold_every_skill_equally_often_and_ask_for_one_token() {
        let fixture = fixture("two-chains");
        let Ready { splits, side, identity, .. } = fixture.ready();
        let probe = splits.probe.as_ref().unwrap();
        for split in [&splits.train, probe, &splits.validation, &splits.test] {
            let count = |skill| split.groups.iter().filter(|group| **group == skill).count();
            assert_eq!([count(0), count(1), count(2)], [split.groups.len() / 3; 3]);
            let asked = split.labels.ge(0).sum(tch::Kind::Int64).int64_value(&[]);
            assert_eq!(asked, split.len());
        }
        let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
        assert_eq!(sizes, SIZES.map(i64::from));
        assert_eq!(side.groups.len(), identity.sample_ids.len());
        assert_eq!(side.tokens.unwrap().context, 21);
    }

    #[test]
    fn few_names_leave_fewer_examples_to_train_on_and_too_few_are_refused_with_the_fewest_that_do()
    {
        let lego = |names: u32| with([("variant", "lego".into()), ("names", names.into())]);
        let eight = crate::fixture("slp-resolve", &lego(8)).unwrap();
        let Ready { splits, identity, .. } = eight.ready();
        let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
        // 63 of 64 of 48,384, less 3,264 that are held out.
        assert_eq!(sizes, [44_364, 960, 1_920]);
        let count = |skill| splits.train.groups.iter().filter(|group| **group == skill).count();
        assert_eq!([count(0), count(1), count(2)], [44_364 / 3; 3]);
        let mut ids = identity.sample_ids.clone();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 44_364);
        let train = |names| Settings::read(&lego(names)).unwrap().sizes().unwrap().train;
        assert_eq!([5, 10, 12].map(train), [5_241, 98_304, 98_304]);
        for few in [2, 4] {
            let error = (WORKLOAD.resolve)(&lego(few)).unwrap_err().to_string();
            assert!(error.contains(&format!("names is {few}")), "{error}");
            assert!(error.contains("the fewest that do are 5"), "{error}");
        }
    }

    #[test]
    fn noise_changes_answers_of_deep_skills_alone_and_at_its_default_nothing_is_changed() {
        let few =
            [("examples", 4_032.into()), ("chain", 4.into()), ("variant", "two-chains".into())];
        let clean = crate::fixture("slp-resolve", &with(few.clone())).unwrap();
        let mut settings = with(few);
        settings.insert("noise".to_owned(), 0.1.into());
        let noisy = crate::fixture("slp-resolve", &settings).unwrap();
        let (clean, noisy) = (clean.ready(), noisy.ready());
        assert_eq!(clean.splits.train.len(), 4_032);
        assert_eq!(clean.splits.train.stored, noisy.splits.train.stored);
        assert_eq!(clean.splits.test.labels, noisy.splits.test.labels);
        let changed = clean.splits.train.labels.ne_tensor(&noisy.splits.train.labels);
        let changed = Vec::<bool>::try_from(&changed.any_dim(1, false)).unwrap();
        let mut of = [0; 4];
        for (group, changed) in clean.splits.train.groups.iter().zip(&changed) {
            of[*group as usize] += u32::from(*changed);
        }
        // 1,008 of each skill, a tenth of the deep ones: deviations of 9.5.
        assert_eq!(of[..2], [0, 0]);
        assert!(of[2].abs_diff(101) < 40 && of[3].abs_diff(101) < 40, "{of:?}");
        let ids = |ready: &Ready| ready.identity.sample_ids.clone();
        let moved = ids(clean).iter().zip(ids(noisy)).filter(|(a, b)| **a != *b).count();
        assert_eq!(moved, of.iter().sum::<u32>() as usize);
        // Said or not, defaults make the same cell.
        let said = with([("examples", SIZES[0].into()), ("noise", 0.0.into())]);
        let resolved = |values: &Values| (WORKLOAD.resolve)(values).unwrap();
        assert_eq!(resolved(&said), resolved(&Values::new()));
        assert!(!resolved(&said).contains_key("noise"));
    }

    #[test]
    fn a_number_of_examples_that_does_not_fit_is_refused_with_those_that_do() {
        for examples in [3_000, 4_001, 200_001] {
            let values = with([("examples", examples.into())]);
            let error = (WORKLOAD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(&format!("examples is {examples}")), "{error}");
            assert!(error.contains("from 3264 to 98304"), "{error}");
        }
    }

    #[test]
    fn examples_apart_are_in_no_split_and_the_first_of_more_are_the_same() {
        let values = with([("examples", 3_300.into())]);
        let fixture = crate::fixture("slp-resolve", &values).unwrap();
        let Ready { splits, side, .. } = fixture.ready();
        let apart = side.apart.as_ref().unwrap();
        let more = apart.draw(600, Device::Cpu).unwrap();
        let some = apart.draw(300, Device::Cpu).unwrap();
        assert_eq!(some.stored, more.stored.narrow(0, 0, 300));
        let rows = |split: &Split| {
            let columns = split.stored.size()[1] as usize;
            let tokens = Vec::<i64>::try_from(&split.stored.view([-1])).unwrap();
            tokens.chunks(columns).map(<[i64]>::to_vec).collect::<BTreeSet<_>>()
        };
        let apart = rows(&more);
        assert_eq!(apart.len(), 600);
        let probe = splits.probe.as_ref().unwrap();
        for split in [&splits.train, probe, &splits.validation, &splits.test] {
            assert!(rows(split).is_disjoint(&apart));
        }
        // Of three skills 16 names or fewer are soon used up.
        let few = with([("variant", "lego".into()), ("names", 5.into())]);
        let fixture = crate::fixture("slp-resolve", &few).unwrap();
        let apart = fixture.ready().side.apart.as_ref().unwrap();
        let error = apart.draw(5_000, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("5000 examples apart"), "{error}");
    }

    #[test]
    fn a_fresh_network_knows_nothing_and_every_skill_is_reported() {
        let fixture = fixture("lego");
        let network = fixture.network(3).unwrap();
        let Ready { splits, judge, .. } = fixture.ready();
        let model = Model::plain(&network);
        let request = EvaluationRequest {
            model,
            split: &splits.validation,
            judged: Judged::Validation,
            last: false,
        };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        let names: Vec<_> = metrics.keys().map(String::as_str).collect();
        assert_eq!(names, ["accuracy", "nll", "skill_1", "skill_2", "skill_3"]);
        let skills = ["skill_1", "skill_2", "skill_3"].map(|name| metrics[name]);
        assert!((skills.iter().sum::<f64>() / 3.0 - metrics["accuracy"]).abs() < 1e-12);
        assert!(metrics["accuracy"] < 0.6 && metrics["nll"] > 0.6, "{metrics:?}");
    }
}
