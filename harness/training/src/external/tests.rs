use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use data::Origin;
use ledger::external::npy::{Kind, write};
use ledger::external::protocol::{Consumed, Kept, Outputs, Ready as IsReady, Reason};
use ledger::goal::{Budget, Direction, Target};
use ledger::order::uniform_order;
use tempfile::TempDir;

use super::*;
use crate::judge::Judge;
use crate::keeping::{Reached, Wanted};
use crate::metrics::classification;
use crate::splits::{DataIdentity, Splits};
use lab::side_info::SideInfo;

const TRAIN: u32 = 10;
const HELD_OUT: i64 = 4;

static ENTRY: workload::Entry = workload::Entry {
    id: "three-classes",
    family: "classification",
    card: "",
    workload: &workload::Workload::BLANK,
};

#[derive(Debug)]
struct Classifier;

impl Judge for Classifier {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        classification::evaluate(request.model.network, request.split)
    }
}

fn split(rows: i64) -> Split {
    let labels: Vec<i64> = (0..rows).map(|row| row % 3).collect();
    let stored = Tensor::arange(rows * 2, (tch::Kind::Float, Device::Cpu)).view([rows, 2]);
    Split { stored, labels: Tensor::from_slice(&labels), groups: Vec::new() }
}

fn ready() -> Ready {
    let ids: Vec<Digest> = (0..TRAIN).map(|id| Digest::of(&id.to_le_bytes())).collect();
    let splits = Splits {
        train: split(i64::from(TRAIN)),
        probe: None,
        validation: split(HELD_OUT),
        test: split(HELD_OUT),
    };
    let side =
        SideInfo { loss: Some(DefaultLoss::Classes), classes: Some(3), ..SideInfo::default() };
    let identity = Arc::new(DataIdentity::new(ids, &[], &[], Origin::Generated));
    Ready { splits, identity, side, judge: Box::new(Classifier) }
}

#[derive(Clone)]
struct HandMoved(Rc<Cell<u64>>);

impl Time for HandMoved {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.get())
    }
}

/// A program that takes 3 s to load, 2 s a stretch and 10 s a look, and always says class 0.
struct Scripted {
    time: Rc<Cell<u64>>,
    folder: std::path::PathBuf,
    asked: Vec<Ask>,
    batch: u32,
    /// What it says in place of its own answer.
    instead: fn(&Ask, usize) -> Option<Answer>,
    logits: [f32; 3],
    loss: Option<f64>,
    /// Its metrics, where it evaluates itself.
    metrics: BTreeMap<String, Option<f64>>,
    /// Its state: the sum of the places that it was given.
    sum: u32,
}

/// Keeps a run each few samples, in memory, and stops it there the first time.
#[derive(Debug, Default)]
struct Memory {
    every: u64,
    kept: Option<Vec<u8>>,
    stops: bool,
    heard: Vec<String>,
}

impl Keeper for Memory {
    fn found(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    fn wanted(&mut self, reached: &Reached) -> Wanted {
        let stops = self.stops && reached.samples >= self.every;
        if stops { Wanted::Stopped } else { Wanted::Nothing }
    }

    fn keep(&mut self, _: &Reached, state: &[u8]) -> Result<(), LabError> {
        self.kept = Some(state.to_vec());
        Ok(())
    }

    fn cannot(&mut self, reason: &str) {
        self.heard.push(reason.to_owned());
    }

    fn reach(&self, samples: u64) -> Option<u64> {
        (self.every > 0).then(|| self.every - samples % self.every)
    }

    fn missed(&mut self, reason: &str) {
        self.heard.push(reason.to_owned());
    }
}

impl Scripted {
    fn takes(&self, seconds: u64) {
        self.time.set(self.time.get() + seconds);
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Program for Scripted {
    fn hear(&mut self) -> Result<Answer, ExternalError> {
        let versions = BTreeMap::from([("python".to_owned(), "3".to_owned())]);
        Ok(Answer::Hello(Hello {
            protocol: VERSION,
            versions,
            device: Some("cpu".to_owned()),
            takes: vec!["lr".to_owned()],
        }))
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, ExternalError> {
        self.asked.push(ask.clone());
        if let Some(answer) = (self.instead)(ask, self.asked.len()) {
            return Ok(answer);
        }
        Ok(match ask {
            Ask::Begin(begin) => Answer::Ready(IsReady { parameters: 7, keeps: begin.kept }),
            Ask::Keep(keep) => {
                fs::write(self.folder.join(&keep.file), self.sum.to_le_bytes()).unwrap();
                Answer::Kept(Kept::default())
            }
            Ask::Restore(restore) => {
                let own = fs::read(self.folder.join(&restore.file)).unwrap();
                self.sum = u32::from_le_bytes(own.try_into().unwrap());
                Answer::Restored {}
            }
            Ask::Data(_) => {
                self.takes(3);
                Answer::Loaded {}
            }
            Ask::Train(train) => {
                self.takes(2);
                let (mut at, mut steps) = (train.from, Vec::new());
                while at < train.until {
                    let size = self.batch.min(train.to - at);
                    steps.push((size, 1));
                    self.sum += at;
                    at += size;
                }
                Answer::Consumed(Consumed { steps, loss: self.loss, ..Consumed::default() })
            }
            Ask::Evaluate(asked) => {
                self.takes(10);
                let row: Vec<u8> = self.logits.iter().flat_map(|x| x.to_le_bytes()).collect();
                let mut file = fs::File::create(self.folder.join("o.npy")).unwrap();
                let values = row.repeat(asked.rows as usize);
                write(&mut file, Kind::F4, &[asked.rows, 3], &values).unwrap();
                Answer::Outputs(Outputs { file: "o.npy".to_owned() })
            }
            Ask::Metrics(_) => {
                self.takes(10);
                Answer::Metrics(self.metrics.clone())
            }
            Ask::Save(_) => Answer::Saved {},
            Ask::Facts {} => Answer::Facts(BTreeMap::from([("sum".to_owned(), self.sum.into())])),
            Ask::End {} => Answer::Bye {},
            Ask::Error(_) => unreachable!(),
        })
    }
}

struct Made {
    left: Result<Left, String>,
    told: Told,
    looks: Vec<Evaluation>,
    program: Scripted,
    _folder: TempDir,
}

fn made(change: impl FnOnce(&mut Scripted)) -> Made {
    made_on(None, change)
}

/// The same on data of the program's own, where there is a task.
fn made_on(own: Option<&OwnTask>, change: impl FnOnce(&mut Scripted)) -> Made {
    made_every(5, own, change)
}

/// The same with looks so many samples apart.
fn made_every(
    evaluate_every: u64,
    own: Option<&OwnTask>,
    change: impl FnOnce(&mut Scripted),
) -> Made {
    made_with(&mut Memory::default(), evaluate_every, own, change)
}

/// The same, kept by `keeper`.
fn made_with(
    keeper: &mut Memory,
    evaluate_every: u64,
    own: Option<&OwnTask>,
    change: impl FnOnce(&mut Scripted),
) -> Made {
    let ready = ready();
    let folder = tempfile::tempdir().unwrap();
    let time = Rc::new(Cell::new(100));
    let mut program = Scripted {
        time: Rc::clone(&time),
        folder: folder.path().to_owned(),
        asked: Vec::new(),
        batch: 4,
        instead: |_, _| None,
        logits: [1.0, 0.0, 0.0],
        loss: Some(0.5),
        metrics: BTreeMap::from([("accuracy".to_owned(), Some(0.95))]),
        sum: 0,
    };
    change(&mut program);
    let goal = Goal {
        target: Target {
            metric: "accuracy".to_owned(),
            direction: Direction::HigherIsBetter,
            value: 0.9,
            origin: "assumed".to_owned(),
        },
        budget: Budget { samples: 15, evaluate_every },
    };
    let arm = External::unread(vec!["p".to_owned()], vec!["p.py".to_owned()]);
    let seed = Seed::from_integer(3);
    let settings = Values::from([("lr".to_owned(), 0.5.into())]);
    let setup = ExternalSetup {
        workload: &ENTRY,
        ready: &ready,
        own,
        arm: &arm,
        settings: &settings,
        seed: &seed,
        config_hash: Digest::of(b"config"),
        goal: &goal,
        device: Device::Cpu,
        threads: 1,
        folder: folder.path(),
        save: true,
    };
    let mut told = Told::nothing_yet(arm.clone());
    let mut looks = Vec::new();
    let place = folder.path().to_owned();
    let mut commit = |_: &Commitment| {
        // Nothing of the data is out before the commitment is.
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        Ok(())
    };
    let mut observe = |look: &Evaluation| {
        looks.push(look.clone());
        Ok(())
    };
    let clock = || HandMoved(Rc::clone(&time));
    let around = Around { commit: &mut commit, observe: &mut observe, keeper };
    let left = setup.run(&mut program, &mut told, clock, around);
    let left = left.map_err(|error| error.to_string());
    Made { left, told, looks, program, _folder: folder }
}

fn refusal(instead: fn(&Ask, usize) -> Option<Answer>) -> String {
    made(|program| program.instead = instead).left.unwrap_err()
}

#[test]
fn the_train_clock_stands_still_while_outputs_are_made() {
    let Made { left, looks, program, told, .. } = made(|_| {});
    let left = left.unwrap();
    let stretches = program.asked.iter().filter(|ask| matches!(ask, Ask::Train(_))).count();
    // Epoch 0 of 10 by steps of 4: looks at 8 and 10; epoch 1 of 5: at its end, 15.
    assert_eq!(stretches, 3);
    assert_eq!(left.clocks.train, 3.0 + 2.0 * 3.0);
    assert_eq!(left.clocks.eval, 10.0 * 5.0);
    let grid: Vec<_> = looks.iter().map(|look| (look.samples, look.steps)).collect();
    assert_eq!(grid, [(0, 0), (8, 2), (10, 3), (15, 5)]);
    assert_eq!(looks[0].clocks.train, 0.0);
    assert_eq!(looks[3].clocks.train, 9.0);
    assert_eq!((left.ending, left.parameter_count), (Ending::Completed, 7));
    assert_eq!(told.versions["python"], "3");
}

#[test]
fn looks_are_where_a_loop_over_steps_has_them() {
    for batch in 1..12 {
        let Made { left, looks, .. } = made(|program| program.batch = batch);
        let found: Vec<_> = looks.iter().map(|look| (look.samples, look.steps)).collect();
        let epochs = left.unwrap().order.epochs;
        let expected: Vec<_> = ledger::record::decided::grid(&epochs, 5).collect();
        assert_eq!(found, expected, "batch {batch}");
    }
}

#[test]
fn the_order_is_the_seeds_and_no_label_that_judges_leaves_this_process() {
    let made = made(|_| {});
    let (left, program) = (made.left.unwrap(), &made.program);
    let effective = Seed::from_integer(3).effective(&ready().identity.train_root);
    let mut expected = uniform_order(&effective, 0, TRAIN);
    expected.extend(&uniform_order(&effective, 1, TRAIN)[..5]);
    assert_eq!(left.order.ids, expected);
    assert_eq!(left.order.epochs[0].steps, [(4, 2), (2, 1)]);
    assert_eq!(
        program.files(),
        ["test-inputs.npy", "train-inputs.npy", "train-labels.npy", "validation-inputs.npy"]
    );
    let labels = fs::read(program.folder.join("train-labels.npy")).unwrap();
    assert_eq!(labels.len(), 128 + 8 * TRAIN as usize);
}

#[test]
fn metrics_are_computed_here_from_outputs_alone() {
    let Made { left, looks, .. } = made(|_| {});
    left.unwrap();
    // Labels are 0, 1, 2, 0.
    assert_eq!(looks[0].metrics["validation/accuracy"], 0.5);
    assert!(!looks[0].metrics.contains_key("test/accuracy"));
    assert_eq!(looks[3].metrics["test/accuracy"], 0.5);
    let nll = -(1_f64.exp() / (1_f64.exp() + 2.0)).ln();
    let expected = (2.0 * nll + 2.0 * (nll + 1.0)) / 4.0;
    assert!((looks[0].metrics["validation/nll"] - expected).abs() < 1e-6);
}

#[test]
fn outputs_or_losses_that_are_no_numbers_are_a_divergence() {
    let Made { left, looks, .. } = made(|program| program.logits = [f32::NAN, 0.0, 0.0]);
    assert_eq!((left.unwrap().ending, looks.len()), (Ending::Diverged, 1));
    let Made { left, looks, .. } = made(|program| {
        program.instead = |ask, _| {
            let Ask::Train(train) = ask else { return None };
            let steps = vec![(train.until - train.from, 1)];
            Some(Answer::Consumed(Consumed { steps, diverged: true, ..Consumed::default() }))
        };
    });
    assert_eq!((left.unwrap().ending, looks.len()), (Ending::Diverged, 2));
    assert_eq!(looks[1].train_loss, None);
}

#[test]
fn a_divergence_where_no_look_is_due_ends_the_run_at_the_next() {
    // The epoch of 10 ends between the looks at 8 and 12.
    let Made { left, looks, .. } = made_every(4, None, |program| {
        program.instead = |ask, _| {
            let Ask::Train(train) = ask else { return None };
            let diverged = train.epoch == 0 && train.until == train.to;
            let (steps, loss) = (vec![(train.until - train.from, 1)], (!diverged).then_some(0.5));
            Some(Answer::Consumed(Consumed { steps, loss, diverged, ..Consumed::default() }))
        };
    });
    assert_eq!(left.map(|left| left.ending), Ok(Ending::Diverged));
    let found: Vec<_> = looks.iter().map(|look| (look.samples, look.train_loss)).collect();
    assert_eq!(found, [(0, None), (4, Some(0.5)), (8, Some(0.5)), (12, None)]);
}

#[test]
fn answers_out_of_turn_and_words_of_giving_up_end_the_run() {
    let told = refusal(|ask, _| matches!(ask, Ask::Data(_)).then_some(Answer::Bye {}));
    assert_eq!(told, "it said `bye` where `loaded` was due");
    let told = refusal(|ask, _| {
        let reason = Reason { reason: "no room".to_owned() };
        matches!(ask, Ask::Train(_)).then_some(Answer::Error(reason))
    });
    assert_eq!(told, "it gave up: no room");
}

#[test]
fn lies_about_the_order_end_the_run() {
    fn steps(ask: &Ask, steps: &[(u32, u32)], ids: Option<Vec<u32>>) -> Option<Answer> {
        let steps = steps.to_vec();
        let told = Consumed { steps, ids, ..Consumed::default() };
        matches!(ask, Ask::Train(_)).then_some(Answer::Consumed(told))
    }
    assert!(refusal(|ask, _| steps(ask, &[(11, 1)], None)).contains("too many"));
    assert!(refusal(|ask, _| steps(ask, &[(4, 1)], None)).contains("too few"));
    assert!(refusal(|ask, _| steps(ask, &[(5, 1), (1, 1)], None)).contains("went on behind"));
    let told = refusal(|ask, _| steps(ask, &[(5, 1)], Some(vec![99; 5])));
    assert!(told.contains("it told example 99, which it was not given there"), "{told}");
}

#[test]
fn a_loss_is_told_always_or_never() {
    let told = refusal(|ask, turn| {
        let Ask::Train(train) = ask else { return None };
        let (steps, loss) = (vec![(train.until - train.from, 1)], (turn < 6).then_some(0.5));
        Some(Answer::Consumed(Consumed { steps, loss, ..Consumed::default() }))
    });
    assert!(told.contains("tell it always or never"), "{told}");
    let silent = made(|program| program.loss = None);
    silent.left.unwrap();
    assert!(silent.looks.iter().all(|look| look.train_loss.is_none()));
}

#[test]
fn outputs_are_a_table_in_the_folder_made_anew_for_each_look() {
    fn at(ask: &Ask, file: &str) -> Option<Answer> {
        let outputs = Outputs { file: file.to_owned() };
        matches!(ask, Ask::Evaluate(_)).then_some(Answer::Outputs(outputs))
    }
    assert!(refusal(|ask, _| at(ask, "../o.npy")).contains("leads out of its folder"));
    assert!(refusal(|ask, _| at(ask, "/o.npy")).contains("absolute path"));
    assert!(refusal(|ask, _| at(ask, "below/o.npy")).contains("in another folder"));
    assert!(refusal(|ask, _| at(ask, "none.npy")).contains("its outputs, none.npy: "));
    assert!(refusal(|ask, _| at(ask, "validation-inputs.npy")).contains("must be (4, 3)"));
    // The second look names the file of the first, which is gone.
    let told = refusal(|ask, turn| if turn > 2 { at(ask, "o.npy") } else { None });
    assert!(told.contains("its outputs, o.npy: "), "{told}");
}

#[test]
fn a_setting_that_nobody_reads_is_refused_before_anything_is_out() {
    let ready = ready();
    let arm = External::unread(vec!["p".to_owned(), "{width}".to_owned()], vec![]);
    let settings = Values::from(["lr", "width", "depth"].map(|name| (name.to_owned(), 1.into())));
    let goal = Goal {
        target: Target {
            metric: "accuracy".to_owned(),
            direction: Direction::HigherIsBetter,
            value: 0.9,
            origin: String::new(),
        },
        budget: Budget { samples: 5, evaluate_every: 5 },
    };
    let (seed, folder) = (Seed::from_integer(0), std::path::PathBuf::new());
    let setup = ExternalSetup {
        workload: &ENTRY,
        ready: &ready,
        own: None,
        arm: &arm,
        settings: &settings,
        seed: &seed,
        config_hash: Digest::of(b""),
        goal: &goal,
        device: Device::Cpu,
        threads: 1,
        folder: &folder,
        save: false,
    };
    let hello = |protocol, takes: &[&str]| Hello {
        protocol,
        versions: BTreeMap::new(),
        device: None,
        takes: takes.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut told = Told::nothing_yet(arm.clone());
    let mut greet = |hello| setup.greet(hello, &mut told).map_err(|error| error.to_string());
    assert!(greet(hello(VERSION, &["lr", "depth", "more"])).is_ok());
    let refused = greet(hello(VERSION, &["lr"])).unwrap_err();
    assert!(refused.contains("setting \"depth\" would be read by nobody"), "{refused}");
    assert!(greet(hello(VERSION + 1, &["lr", "depth"])).unwrap_err().contains("speaks version 2"));
}

fn own_task(test: bool) -> OwnTask {
    let name = "mine".to_owned();
    OwnTask { name, metric: "accuracy".to_owned(), examples: TRAIN, test, ..OwnTask::default() }
}

#[test]
fn a_program_with_data_of_its_own_is_given_an_order_and_asked_for_its_metric() {
    let Made { left, looks, program, _folder, .. } = made_on(Some(&own_task(false)), |_| {});
    let left = left.unwrap();
    let Ask::Begin(begin) = &program.asked[0] else { panic!("{:?}", program.asked[0]) };
    assert_eq!((begin.workload.as_str(), begin.own, begin.classes), ("mine", true, 0));
    assert_eq!((begin.shape.len(), begin.examples.train), (0, u64::from(TRAIN)));
    // No data, no inputs to judge by, and no test split that it does not have.
    let given = |ask: &Ask| matches!(ask, Ask::Data(_) | Ask::Evaluate(_));
    assert!(!program.asked.iter().any(given));
    assert_eq!(program.files(), [] as [String; 0]);
    let split = |ask: &Ask| match ask {
        Ask::Metrics(asked) => Some(asked.split.clone()),
        _ => None,
    };
    let splits: Vec<_> = program.asked.iter().filter_map(split).collect();
    assert_eq!(splits, ["validation"; 4]);
    let value = BTreeMap::from([("validation/accuracy".to_owned(), 0.95)]);
    assert!(looks.iter().all(|look| look.metrics == value));
    // The grid, the order and the clock are those of every run.
    let grid: Vec<_> = looks.iter().map(|look| (look.samples, look.steps)).collect();
    assert_eq!(grid, [(0, 0), (8, 2), (10, 3), (15, 5)]);
    let effective = Seed::from_integer(3).effective(&ready().identity.train_root);
    assert_eq!(left.order.ids[..10], uniform_order(&effective, 0, TRAIN));
    assert_eq!((left.clocks.train, left.clocks.eval), (6.0, 40.0));
}

#[test]
fn a_test_split_of_the_programs_own_is_asked_for_at_the_target_and_at_the_end() {
    let Made { looks, program, left, .. } = made_on(Some(&own_task(true)), |_| {});
    left.unwrap();
    let asked = program.asked.iter().filter(|ask| matches!(ask, Ask::Metrics(_))).count();
    assert_eq!(asked, 6);
    let tested: Vec<bool> =
        looks.iter().map(|look| look.metrics.contains_key("test/accuracy")).collect();
    assert_eq!(tested, [true, false, false, true]);
}

#[test]
fn metrics_are_those_declared_and_one_that_is_not_finite_is_a_divergence() {
    let refused = |metrics: &[(&str, Option<f64>)]| {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let made = made_on(Some(&own_task(false)), |program| program.metrics = metrics);
        (made.left, made.looks)
    };
    let (left, _) = refused(&[("accuracy", Some(0.5)), ("loss", Some(0.5))]);
    assert!(
        left.unwrap_err().contains("told the metric \"loss\", but the suite declares \"accuracy\"")
    );
    let (left, _) = refused(&[]);
    assert!(left.unwrap_err().contains("no metric, but \"accuracy\" was due on validation"));
    let (left, looks) = refused(&[("accuracy", None)]);
    assert_eq!((left.unwrap().ending, looks.len()), (Ending::Diverged, 1));
    assert!(looks[0].metrics.is_empty());
}

/// What must be the same however often a run was interrupted: order, chain, facts, and looks without their clocks.
fn result(made: &Made) -> impl PartialEq + std::fmt::Debug + use<> {
    let left = made.left.as_ref().unwrap();
    let looks = made
        .looks
        .iter()
        .map(|look| (look.samples, look.steps, look.train_loss, look.metrics.clone(), look.chain));
    let clocks = left.clocks;
    (
        (left.order.clone(), left.commitment.digest(), left.steps, left.facts.clone()),
        looks.collect::<Vec<_>>(),
        (left.ending, left.streams.clone()),
        (clocks.eval, made.told.versions.clone()),
    )
}

#[test]
fn a_run_that_is_kept_goes_on_in_another_process_from_every_step_to_the_same_end() {
    for batch in 1..6 {
        let whole = made(|program| program.batch = batch);
        for every in 1..15 {
            let mut memory = Memory { every, stops: true, ..Memory::default() };
            let first = made_with(&mut memory, 5, None, |program| program.batch = batch);
            let Err(stopped) = first.left else {
                // No step ends between there and the end of the run; the epoch of 10 ends with one.
                assert!(every > 10 && memory.kept.is_none(), "batch {batch}, every {every}");
                continue;
            };
            assert!(stopped.starts_with("stopped behind step"), "{stopped}");
            let begin = first.program.asked.first();
            assert!(matches!(begin, Some(Ask::Begin(begin)) if begin.kept));
            assert!(memory.kept.is_some(), "batch {batch}, every {every}");
            memory.stops = false;
            let second = made_with(&mut memory, 5, None, |program| program.batch = batch);
            assert_eq!(result(&second), result(&whole), "batch {batch}, every {every}");
            assert_eq!(second.program.files(), whole.program.files(), "no file of it stays");
            let asked = second.program.asked.iter().map(|ask| match ask {
                Ask::Train(_) => "train",
                Ask::Evaluate(_) => "look",
                Ask::Restore(_) => "restore",
                _ => "",
            });
            let asked: Vec<_> = asked.filter(|kind| !kind.is_empty()).collect();
            assert_eq!(asked[0], "restore", "{asked:?}");
        }
    }
}

#[test]
fn a_run_that_is_kept_on_its_way_gives_out_the_same_steps_in_shorter_stretches() {
    let whole = made(|program| program.batch = 2);
    let mut memory = Memory { every: 3, ..Memory::default() };
    let kept = made_with(&mut memory, 5, None, |program| program.batch = 2);
    let stretches =
        |made: &Made| made.program.asked.iter().filter(|ask| matches!(ask, Ask::Train(_))).count();
    assert!(stretches(&kept) > stretches(&whole));
    assert_eq!(result(&kept), result(&whole));
}

#[test]
fn a_program_that_cannot_be_kept_is_told_of_and_one_that_goes_astray_fails() {
    let stops = || Memory { every: 4, stops: true, ..Memory::default() };
    let mut memory = stops();
    let cannot: fn(&Ask, usize) -> Option<Answer> =
        |ask, _| matches!(ask, Ask::Begin(_)).then_some(Answer::Ready(IsReady::default()));
    let made = made_with(&mut memory, 5, None, |program| program.instead = cannot);
    assert!(made.left.unwrap_err().starts_with("stopped"));
    assert!(memory.kept.is_none() && memory.heard[0].contains("`keeps`"), "{:?}", memory.heard);

    let mut memory = stops();
    let made = made_with(&mut memory, 5, None, |program| {
        program.instead = |ask, _| {
            let reason = Some("no space left".to_owned());
            matches!(ask, Ask::Keep(_)).then_some(Answer::Kept(Kept { reason }))
        };
    });
    assert!(made.left.unwrap_err().starts_with("stopped"));
    assert_eq!(memory.heard, ["its program says: no space left"]);

    let made = made_with(&mut stops(), 5, None, |program| {
        program.instead =
            |ask, _| matches!(ask, Ask::Keep(_)).then(|| Answer::Kept(Kept::default()));
    });
    let error = made.left.unwrap_err();
    assert_eq!(error, "it said that it was kept, but kept is no file of its folder");
}

#[test]
fn what_was_kept_and_does_not_fit_is_no_fault_of_the_program() {
    let kept = || {
        let mut memory = Memory { every: 4, stops: true, ..Memory::default() };
        made_with(&mut memory, 5, None, |_| {}).left.unwrap_err();
        memory.stops = false;
        memory
    };
    let told = |mut memory: Memory, change: fn(&mut Scripted)| {
        made_with(&mut memory, 5, None, change).left.unwrap_err()
    };
    let mut cut = kept();
    cut.kept.as_mut().unwrap().truncate(100);
    let not_its_state = "what was kept of the run is not its state: ";
    assert!(told(cut, |_| {}).starts_with(not_its_state));
    let refuses = told(kept(), |program| {
        program.instead = |ask, _| {
            let reason = Reason { reason: "KeyError: moments".to_owned() };
            matches!(ask, Ask::Restore(_)).then_some(Answer::Error(reason))
        };
    });
    let expected = "its program cannot go on from it: KeyError: moments";
    assert_eq!(refuses, format!("{not_its_state}{expected}"));
    let no_more = told(kept(), |program| {
        program.instead =
            |ask, _| matches!(ask, Ask::Begin(_)).then_some(Answer::Ready(IsReady::default()));
    });
    assert_eq!(no_more, format!("{not_its_state}the program keeps none any more"));
    let mut other = kept();
    let bytes = other.kept.as_mut().unwrap();
    let place = bytes.windows(6).position(|window| window == b"python").unwrap();
    bytes[place] = b'P';
    let upgraded = told(other, |_| {});
    let expected = "its program has said of itself \"Python 3, cpu\", and says \"python 3, cpu\"";
    assert_eq!(upgraded, format!("{not_its_state}{expected}"));
}
