use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ledger::catalogue::Schedule;
use ledger::digest::Digest;
use ledger::goal::{Budget, Direction, Target};
use ledger::layout::Layout;
use ledger::order::OrderLaw;
use ledger::record::format::ClockSeconds;
use ledger::streams::Streams;
use tch::Device;

use super::*;
use lab::averaging::ema::Ema;
use lab::models::mlp::mlp;
use lab::network::Parameter;
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::orders::episodes::Episodes;
use lab::seat::{
    Averaging, Constraint, EpochPlan, Learner, Look, Looks, Objective, Optimizer, Order,
    Parametrisation, Stage, View,
};
use lab::trial;

/// A clock that only moves when the code under test says so.
#[derive(Debug, Clone, Default)]
struct Hand(Rc<Cell<u64>>);

impl Hand {
    fn pass(&self, seconds: u64) {
        self.0.set(self.0.get() + seconds);
    }
}

impl Time for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.get())
    }
}

/// What happened, in order.
type Diary = Rc<RefCell<Vec<String>>>;

/// Cross-entropy that takes time wherever an objective may, in `stages` stages, scoring examples
/// by their id.
struct Slow {
    hand: Hand,
    diary: Diary,
    passes: u32,
    stages: u64,
    scores: Vec<f64>,
}

impl Objective for Slow {
    fn start(&mut self, _: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.hand.pass(1000);
        self.diary.borrow_mut().push(format!("start on {}", train.len()));
        Ok(Some(vec![1, 2, 3]))
    }

    fn stage(&self, now: &StepInfo) -> Stage {
        let index = now.step * self.stages / now.total_steps;
        Stage { index: u32::try_from(index).unwrap(), lr_factor: 1.0 }
    }

    fn before_step(&mut self, _: &Network, batch: &Batch, _: &StepInfo) -> Result<(), LabError> {
        self.hand.pass(100);
        self.scores = batch.ids.iter().copied().map(f64::from).collect();
        Ok(())
    }

    fn passes(&self) -> u32 {
        self.passes
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.hand.pass(10);
        self.diary.borrow_mut().push(format!("step {} pass {}", now.step, now.pass));
        DefaultLoss::Classes.losses(network, batch, now)
    }

    fn after_step(&mut self, _: &Network, _: &Batch, _: &StepInfo) -> Result<(), LabError> {
        self.hand.pass(1);
        Ok(())
    }

    fn scores(&self) -> Option<&[f64]> {
        Some(&self.scores)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Rounds of eight ids, looked up in turn, with a probe before each round.
struct Watching(Diary, Hand);

impl Order for Watching {
    fn law(&self) -> OrderLaw {
        OrderLaw::Adaptive
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        vec![8; usize::try_from(budget_samples / 8).unwrap()]
    }

    fn wants_probe(&self, _: u32) -> bool {
        true
    }

    fn observe(&mut self, feedback: Feedback<'_>) {
        let text = match feedback {
            Feedback::Step { ids, scores } => {
                assert_eq!(ids.len(), scores.len());
                assert!(ids.iter().zip(scores).all(|(id, score)| f64::from(*id) == *score));
                "scores".to_owned()
            }
            Feedback::Probe { group_losses } => format!("probe of {}", group_losses.len()),
        };
        self.0.borrow_mut().push(text);
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        self.1.pass(10_000);
        assert_eq!(source.eligible, Some(&[1, 2, 3][..]));
        EpochPlan { ids: (epoch * 8..epoch * 8 + 8).collect(), block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Takes time to look, and says whether it saw averaged weights.
#[derive(Debug)]
struct Watch(Hand, Rc<RefCell<Vec<f64>>>);

impl Judge for Watch {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        self.0.pass(1_000_000);
        let first = request.model.network.parameters[0].tensor.double_value(&[0, 0]);
        self.1.borrow_mut().push(first);
        Ok(BTreeMap::from([("first".to_owned(), first)]))
    }
}

struct Setting {
    network: Network,
    recipe: Recipe,
    hand: Hand,
    diary: Diary,
    seen: Rc<RefCell<Vec<f64>>>,
}

impl Setting {
    fn new(passes: u32, stages: u64) -> Self {
        let (hand, diary) = (Hand::default(), Diary::default());
        let network = mlp(&[6, 5, 4], &trial::streams(), Device::Cpu).unwrap();
        let scores = Vec::new();
        let objective =
            Slow { hand: hand.clone(), diary: Rc::clone(&diary), passes, stages, scores };
        let optimizer = Box::new(Sgd::new(SgdSettings::default(), &network));
        let step = Step::Gradient { objective: Box::new(objective), optimizer };
        let mut recipe = Recipe::of(8, Schedule::Constant, step);
        recipe.order = Box::new(Watching(Rc::clone(&diary), hand.clone()));
        Self { network, recipe, hand, diary, seen: Rc::default() }
    }

    fn train(&mut self, samples: u64) -> Result<ClockSeconds, LabError> {
        self.observed(samples, &mut |_| Ok(()))
    }

    fn observed(
        &mut self,
        samples: u64,
        observe: &mut Observe<'_>,
    ) -> Result<ClockSeconds, LabError> {
        let split = |groups: Vec<u32>| Split { groups, ..trial::split(&[6]).unwrap() };
        let splits = Splits {
            train: split(Vec::new()),
            probe: Some(split((0..trial::EXAMPLES).map(|id| id % 3).collect())),
            validation: split(Vec::new()),
            test: split(Vec::new()),
        };
        let streams = trial::streams();
        let mut clock = Clock::start(self.hand.clone(), Device::Cpu);
        let judge = Watch(self.hand.clone(), Rc::clone(&self.seen));
        let target = Target {
            metric: "first".into(),
            direction: Direction::HigherIsBetter,
            value: 1e9,
            origin: String::new(),
        };
        Run {
            network: &mut self.network,
            recipe: &mut self.recipe,
            splits: &splits,
            loss: Some(DefaultLoss::Classes),
            judge: Some(&judge),
            source: OrderSource {
                effective_seed: &[1; 32],
                streams: &streams,
                examples: trial::EXAMPLES,
                eligible: None,
            },
            budget: Budget { samples, evaluate_every: samples },
            target: &target,
            transcript: &mut Transcript::start(Digest::of(b"test")),
            clock: &mut clock,
            part: WHOLE,
            keeper: None,
        }
        .train(observe)?;
        Ok(clock.read())
    }
}

#[test]
fn all_that_a_method_does_is_charged_to_its_clock_and_looking_is_not() {
    let mut setting = Setting::new(1, 1);
    let clocks = setting.train(16).unwrap();
    // start, two rounds, two steps of 100 + 10 + 1.
    assert_eq!(clocks.train, 1000.0 + 2.0 * 10_000.0 + 2.0 * 111.0);
    // Before training, at the end, and on the test split at the end.
    assert_eq!(clocks.eval, 3e6);
}

#[test]
fn an_order_sees_probes_and_scores_before_its_next_round_and_never_an_evaluation() {
    let mut setting = Setting::new(2, 1);
    setting.train(16).unwrap();
    let expected = [
        "start on 128",
        "probe of 3",
        "step 0 pass 0",
        "step 0 pass 1",
        "scores",
        "probe of 3",
        "step 1 pass 0",
        "step 1 pass 1",
        "scores",
    ];
    assert_eq!(*setting.diary.borrow(), expected);
}

/// Multiplies inputs by what it drew for each example.
struct Scaling;

impl View for Scaling {
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        let drawn = batch.ids.iter().map(|id| {
            ledger::streams::uniform(&mut streams.keyed("view", *id, now.epoch), 1, 0.0, 1.0)[0]
        });
        let drawn: Vec<f32> = drawn.collect();
        batch.inputs = batch.inputs.f_mul(&Tensor::from_slice(&drawn).view([-1, 1]))?;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn a_view_changes_what_the_network_sees_and_not_the_stored_split() {
    let digest = |view: Option<Box<dyn View>>| {
        let mut setting = Setting::new(1, 1);
        setting.recipe.view = view;
        setting.train(16).unwrap();
        setting.network.digest().unwrap()
    };
    assert_ne!(digest(None), digest(Some(Box::new(Scaling))));
    assert_eq!(digest(Some(Box::new(Scaling))), digest(Some(Box::new(Scaling))));
}

/// Weights that are all seven, from the second update of a stage on.
#[derive(Default)]
struct Seven(u32, Vec<Vec<i64>>);

impl Averaging for Seven {
    fn after_update(&mut self, parameters: &[Parameter], _: &StepInfo) -> Result<(), LabError> {
        self.0 += 1;
        self.1 = parameters.iter().map(|parameter| parameter.tensor.size()).collect();
        Ok(())
    }

    fn weights(&self) -> Result<Option<Vec<Tensor>>, LabError> {
        let sevens = self
            .1
            .iter()
            .map(|size| Tensor::f_full(size.as_slice(), 7.0, (Kind::Float, Device::Cpu)));
        if self.0 < 2 { Ok(None) } else { Ok(Some(sevens.collect::<Result<_, _>>()?)) }
    }

    fn reset(&mut self, _: &[Parameter]) -> Result<(), LabError> {
        self.0 = 0;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn averaged_weights_are_judged_and_the_trained_ones_stay_bit_for_bit() {
    let mut plain = Setting::new(1, 1);
    plain.train(32).unwrap();
    let mut averaged = Setting::new(1, 1);
    averaged.recipe.averaging = Some(Box::new(Seven::default()));
    averaged.train(32).unwrap();
    assert_eq!(plain.network.digest().unwrap(), averaged.network.digest().unwrap());
    assert_eq!(averaged.seen.borrow()[1..], [7.0, 7.0]);
    assert_ne!(plain.seen.borrow()[1], 7.0);
}

#[test]
fn an_average_begins_with_the_weights_that_training_begins_with() {
    let mut plain = Setting::new(1, 1);
    plain.train(8).unwrap();
    let mut averaged = Setting::new(1, 1);
    // Made of other weights: as before a start or a tutor.
    let other = mlp(&[6, 5, 4], &Streams::new([9; 32]), Device::Cpu).unwrap();
    averaged.recipe.averaging = Ema::seat(0.5, &other.parameters);
    averaged.train(8).unwrap();
    let (plain, averaged) = (plain.seen.borrow(), averaged.seen.borrow());
    assert_eq!(plain[0], averaged[0]);
    assert!((averaged[1] - f64::midpoint(plain[0], plain[1])).abs() < 1e-7, "{averaged:?}");
}

/// Trains halves of the weights, which the network sees doubled; the gradient is brought back to what
/// moves the weights as plain training does. Powers of two are exact.
struct Halves;

impl Halves {
    fn times(network: &Network, factor: f64) -> Result<Vec<Parameter>, LabError> {
        let scaled = network.parameters.iter().map(|parameter| {
            let tensor = parameter.tensor.f_mul_scalar(factor)?;
            Ok(Parameter { name: parameter.name.clone(), tensor, ..*parameter })
        });
        scaled.collect()
    }
}

impl Parametrisation for Halves {
    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        network.parameters = tch::no_grad(|| Self::times(network, 0.5))?;
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        Ok(trained.over(Self::times(trained, 2.0)?))
    }

    fn amend(
        &mut self,
        _: &Network,
        gradients: &mut Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        for tensor in &mut gradients.tensors {
            *tensor = tensor.f_mul_scalar(0.25)?;
        }
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn what_a_parametrisation_lets_be_seen_is_learnt_through_judged_and_kept() {
    let mut plain = Setting::new(2, 1);
    plain.train(32).unwrap();
    let mut halved = Setting::new(2, 1);
    halved.recipe.parametrisation = Some(Box::new(Halves));
    halved.train(32).unwrap();
    assert_eq!(plain.seen.borrow()[..], halved.seen.borrow()[..]);
    let first = |network: &Network| network.parameters[0].tensor.double_value(&[0, 0]);
    assert_eq!(first(&halved.network) * 2.0, first(&plain.network));
    let kept = halved.recipe.kept(halved.network).unwrap();
    assert_eq!(kept.digest().unwrap(), plain.network.digest().unwrap());
    assert!(kept.parameters.iter().all(|parameter| parameter.tensor.is_leaf()));
}

/// The judged network once more, and one of zeros.
struct Twice;

impl Looks for Twice {
    fn looks(&self, trained: &Network, seen: &Network) -> Result<Vec<Look>, LabError> {
        let again = Look { name: "again".into(), network: seen.duplicate(), recalibrate: None };
        let zeros = trained.over(Halves::times(trained, 0.0)?);
        Ok(vec![again, Look { name: "zeros".into(), network: zeros, recalibrate: None }])
    }

    fn mean(&self) -> bool {
        true
    }
}

#[test]
fn looks_are_judged_at_the_end_each_under_its_name() {
    let mut setting = Setting::new(1, 1);
    setting.recipe.looks = Some(Box::new(Twice));
    let (mut names, mut means) = (Vec::new(), Vec::new());
    let clocks = setting
        .observed(32, &mut |evaluation| {
            names.push(evaluation.metrics.keys().cloned().collect::<Vec<_>>());
            means.extend(evaluation.metrics.get("test/first@mean").copied());
            Ok(())
        })
        .unwrap();
    let last = ["first", "first@again", "first@mean", "first@zeros"];
    let last: Vec<_> =
        ["test", "validation"].iter().flat_map(|s| last.map(|m| format!("{s}/{m}"))).collect();
    assert_eq!(names, [vec!["validation/first".to_owned()], last]);
    let seen = setting.seen.borrow();
    assert_eq!((seen[1], seen[3]), (seen[2], 0.0));
    assert_eq!(means, [seen[1] / 2.0]);
    // One look at the start, and at the end three networks on two splits.
    assert_eq!(clocks.eval, 7e6);
}

#[test]
fn a_new_stage_starts_optimiser_and_averaging_afresh() {
    // Four steps in four stages: no stage has a second update, and momentum never builds up.
    let mut stages = Setting::new(1, 4);
    stages.recipe.averaging = Some(Box::new(Seven::default()));
    stages.train(32).unwrap();
    assert_ne!(stages.seen.borrow()[1], 7.0);
    let mut one = Setting::new(1, 1);
    one.train(32).unwrap();
    assert_ne!(one.network.digest().unwrap(), stages.network.digest().unwrap());
}

#[test]
fn a_clipped_gradient_keeps_its_direction_and_takes_the_given_norm() {
    let mut gradients = [Tensor::from_slice(&[3.0_f32, 0.0]), Tensor::from_slice(&[4.0_f32])];
    clip(&mut gradients, 1.0).unwrap();
    let [a, b] = gradients.each_ref().map(|gradient| gradient.double_value(&[0]));
    assert!((a - 0.6).abs() < 1e-6 && (b - 0.8).abs() < 1e-6, "{a} {b}");
    clip(&mut gradients, 5.0).unwrap();
    assert_eq!(gradients[1].double_value(&[0]), b);
}

/// Asks for the gradient one further in every parameter, and moves nothing; the largest gradient
/// that it was handed.
struct Further(Rc<Cell<f64>>);

impl Optimizer for Further {
    fn elsewhere(
        &mut self,
        parameters: &[Parameter],
        _: &Gradients,
        _: &StepInfo,
    ) -> Result<Option<Vec<Tensor>>, LabError> {
        let further = parameters.iter().map(|p| p.tensor.detach().f_add_scalar(1.0));
        Ok(Some(further.collect::<Result<_, _>>()?))
    }

    fn update(
        &mut self,
        _: &[Parameter],
        gradients: &Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        let largest = gradients.tensors.iter().map(|g| g.abs().max().double_value(&[]));
        self.0.set(largest.fold(0.0, f64::max));
        Ok(())
    }

    fn reset(&mut self) -> Result<(), LabError> {
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Holds every parameter at 0, where it is allowed to.
struct Zeros;

impl Constraint for Zeros {
    fn prepare(&mut self, _: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        Ok(())
    }

    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError> {
        for parameter in parameters {
            let _ = parameter.tensor.f_zero_()?;
        }
        Ok(())
    }

    fn project(
        &mut self,
        _: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn a_gradient_elsewhere_is_paid_for_held_to_the_restriction_and_moves_no_parameter() {
    let largest = |constraint: Option<Box<dyn Constraint>>| {
        let mut setting = Setting::new(1, 1);
        let seen = Rc::new(Cell::new(0.0));
        if let Step::Gradient { optimizer, .. } = &mut setting.recipe.step {
            *optimizer = Box::new(Further(Rc::clone(&seen)));
        }
        setting.recipe.constraint = constraint;
        let before = setting.network.digest().unwrap();
        let clocks = setting.train(16).unwrap();
        assert_eq!(clocks.train, 1000.0 + 2.0 * 10_000.0 + 2.0 * 121.0);
        assert_eq!(setting.network.digest().unwrap(), before);
        seen.get()
    };
    // Of a network of zeros the output's bias alone has a gradient, of two examples in each class.
    let (free, held) = (largest(None), largest(Some(Box::new(Zeros))));
    assert!(held < 1e-6 && free > 0.01, "{held} {free}");
}

/// Trains the last layer alone in every second step; notes the gradients that it is handed.
struct Suffix(Diary);

impl Optimizer for Suffix {
    fn active(&mut self, now: &StepInfo) -> Active {
        if now.step % 2 == 1 { Active::From(1) } else { Active::All }
    }

    fn update(
        &mut self,
        _: &[Parameter],
        gradients: &Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        self.0.borrow_mut().push(format!("moves {:?}", gradients.active));
        Ok(())
    }

    fn reset(&mut self) -> Result<(), LabError> {
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Notes by which parameters the loss has a derivative: those that its graph reaches.
struct Reach(Diary);

impl Objective for Reach {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let losses = DefaultLoss::Classes.losses(network, batch, now)?;
        let whole = losses.f_sum(tch::Kind::Float)?;
        let reached = |index: &usize| {
            let by = [&network.parameters[*index].tensor];
            Tensor::f_run_backward(&[&whole], &by, true, false).is_ok()
        };
        let reached: Vec<usize> = (0..network.parameters.len()).filter(reached).collect();
        self.0.borrow_mut().push(format!("reaches {reached:?}"));
        Ok(losses)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn no_graph_leads_to_a_frozen_layer_so_that_its_backward_pass_is_not_made() {
    let mut setting = Setting::new(1, 1);
    let diary = || Rc::clone(&setting.diary);
    let (objective, optimizer) = (Box::new(Reach(diary())), Box::new(Suffix(diary())));
    setting.recipe = Recipe::of(8, Schedule::Constant, Step::Gradient { objective, optimizer });
    setting.train(24).unwrap();
    let all = ["reaches [0, 1, 2, 3]", "moves [0, 1, 2, 3]"];
    let last = ["reaches [2, 3]", "moves [2, 3]"];
    assert_eq!(*setting.diary.borrow(), [all, last, all].concat());
}

/// Adds one to every parameter.
struct Counting;

impl Learner for Counting {
    fn step(
        &mut self,
        network: &mut Network,
        _: &Batch,
        _: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        tch::no_grad(|| {
            for parameter in &mut network.parameters {
                let _ = parameter.tensor.f_add_scalar_(1.0)?;
            }
            Ok(None)
        })
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn a_learner_takes_the_whole_step() {
    let mut setting = Setting::new(1, 1);
    setting.recipe.step = Step::Learner(Box::new(Counting));
    setting.recipe.order = Box::new(lab::orders::uniform::Uniform);
    let before = setting.network.parameters[0].tensor.double_value(&[0, 0]);
    setting.train(32).unwrap();
    let after = setting.network.parameters[0].tensor.double_value(&[0, 0]);
    assert!((after - before - 4.0).abs() < 1e-6);
}

/// Three workers that say who they are, in so many bytes, and how often the network was moved.
struct Roll(Diary, usize);

impl Search for Roll {
    fn workers(&self) -> u32 {
        3
    }

    fn width(&self) -> usize {
        2
    }

    fn ask(
        &mut self,
        network: &mut Network,
        worker: u32,
        loss: &mut lab::seat::LossAt<'_>,
        now: &StepInfo,
    ) -> Result<Vec<u8>, LabError> {
        assert!(loss(network)? > 0.0);
        self.0.borrow_mut().push(format!("worker {worker}"));
        Ok(vec![u8::try_from(worker + 3 * now.step as u32).unwrap(); self.1])
    }

    fn follow(
        &mut self,
        network: &mut Network,
        said: &[u8],
        now: &StepInfo,
    ) -> Result<(), LabError> {
        assert_eq!(said.len(), 6);
        self.0.borrow_mut().push(format!("follows {} at {}", said[5], now.step));
        let moved = f64::from(said[5]) * now.lr_factor;
        let _ = network.parameters[0].tensor.f_add_scalar_(moved)?;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Cross-entropy that notes whose loss it is asked for, and halves the rate from step 1 on.
struct Noting(Diary);

impl Objective for Noting {
    fn stage(&self, now: &StepInfo) -> Stage {
        Stage { index: 0, lr_factor: if now.step == 0 { 1.0 } else { 0.5 } }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.0.borrow_mut().push(format!("{:?}", batch.ids));
        assert_eq!(batch.inputs.size()[0], batch.labels.size()[0]);
        let losses = DefaultLoss::Classes.losses(network, batch, now)?;
        assert!(!losses.requires_grad());
        Ok(losses)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Of rounds of eight ids, taken in turn.
fn searching(width: usize) -> Setting {
    let mut setting = Setting::new(1, 1);
    let diary = || Rc::clone(&setting.diary);
    setting.recipe.step = Step::Forward {
        objective: Box::new(Noting(diary())),
        search: Box::new(Roll(diary(), width)),
        messages: Messages::default(),
    };
    setting.recipe.order =
        Box::new(lab::orders::replayed::Replayed::new(OrderLaw::Sorted, vec![(0..12).collect()]));
    setting
}

#[test]
fn the_workers_of_a_search_get_their_shares_and_the_weights_move_by_what_was_said_alone() {
    let mut setting = searching(2);
    let before = setting.network.parameters[0].tensor.copy();
    setting.train(12).unwrap();
    let asked = ["[0, 1]", "worker 0", "[2, 3, 4]", "worker 1", "[5, 6, 7]", "worker 2"];
    // The last step has four ids.
    let last = ["[8]", "worker 0", "[9]", "worker 1", "[10, 11]", "worker 2"];
    let expected = [&asked[..], &["follows 2 at 0"], &last, &["follows 5 at 1"]].concat();
    assert_eq!(*setting.diary.borrow(), expected);
    let moved = (&setting.network.parameters[0].tensor - before).mean(None).double_value(&[]);
    assert!((moved - (2.0 + 2.5)).abs() < 1e-5, "{moved}");
    let said = setting.recipe.messages().unwrap().bytes().to_vec();
    assert_eq!(said, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);

    let mut again = searching(2);
    again.recipe = again.recipe.following(said).unwrap();
    again.train(12).unwrap();
    assert_eq!(*again.diary.borrow(), ["follows 2 at 0", "follows 5 at 1"], "nobody is asked");
    assert_eq!(again.network.digest().unwrap(), setting.network.digest().unwrap());
}

#[test]
fn a_search_that_says_more_than_it_announced_or_is_constrained_is_refused() {
    let error = searching(3).train(8).unwrap_err().to_string();
    assert_eq!(error, "worker 0 said 3 bytes, not the 2 that were announced");
    let mut setting = searching(2);
    setting.recipe.constraint = Some(Box::new(Zeros));
    let error = setting.train(8).unwrap_err().to_string();
    assert!(error.starts_with("constraints and parametrisations look at gradients"), "{error}");
    assert!(Setting::new(1, 1).recipe.following(vec![0; 6]).is_err());
}

/// Ids from 1 to N: one too far.
struct Outside;

impl Order for Outside {
    fn law(&self) -> OrderLaw {
        OrderLaw::Sorted
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        EpochPlan { ids: (1..=source.examples).collect(), block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[test]
fn an_order_that_leaves_the_training_split_is_the_methods_fault_and_not_the_stores() {
    let mut setting = Setting::new(1, 1);
    setting.recipe.order = Box::new(Outside);
    let error = setting.train(u64::from(trial::EXAMPLES)).unwrap_err();
    assert!(matches!(error, LabError::Order(_)), "{error}");
    assert_eq!(error.to_string(), "the order of epoch 0 names example 128 of 128");
}

#[test]
fn steps_and_rounds_of_an_order_with_roles_are_of_whole_units() {
    let refused = |parts: [u32; 2]| {
        let parts = [("support", parts[0]), ("query", parts[1])];
        let layout = Layout::new(parts.map(|(role, n)| (role.to_owned(), n)).to_vec()).unwrap();
        let mut setting = Setting::new(1, 1);
        setting.recipe.order = Box::new(Episodes(layout));
        setting.train(u64::from(trial::EXAMPLES)).err().map(|error| error.to_string())
    };
    assert_eq!(refused([1, 3]), None);
    let step = "a round or step of 8 ids is not of whole units of 16 (support*4 query*12)";
    assert_eq!(refused([4, 12]).as_deref(), Some(step));
    // Rounds that hold whole units alone are the order's own doing, and 126 of 128 ids are.
    assert!(refused([1, 2]).unwrap().contains("of 8 ids"));
}

#[test]
fn a_batch_gives_its_units_by_role_and_no_others() {
    let layout = Layout::new(vec![("support".to_owned(), 1), ("query".to_owned(), 3)]).unwrap();
    let batch = trial::split(&[6]).unwrap().batch(&[4, 5, 6, 7, 0, 1, 2, 3]).unwrap();
    let units = batch.units(&layout).unwrap();
    let ids = |role: &str| {
        units.iter().map(|unit| unit.role(&layout, role).unwrap().ids).collect::<Vec<_>>()
    };
    assert_eq!(ids("support"), [vec![4], vec![0]]);
    assert_eq!(ids("query"), [vec![5, 6, 7], vec![1, 2, 3]]);
    let query = units[1].role(&layout, "query").unwrap();
    assert_eq!(query.inputs, trial::split(&[6]).unwrap().batch(&[1, 2, 3]).unwrap().inputs);
    assert!(units[0].role(&layout, "worker").is_err() && batch.role(&layout, "query").is_err());
    let torn = trial::split(&[6]).unwrap().batch(&[0, 1, 2, 3, 4]).unwrap();
    assert!(torn.units(&layout).is_err());
}

#[test]
fn a_run_without_rounds_is_looked_at_once_and_leaves_the_network_alone() {
    struct Nothing;
    impl Order for Nothing {
        fn law(&self) -> OrderLaw {
            OrderLaw::Uniform
        }

        fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
            Vec::new()
        }

        fn epoch(&mut self, _: u32, _: &OrderSource<'_>) -> EpochPlan {
            EpochPlan { ids: Vec::new(), block: 0 }
        }

        fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
            Ok(())
        }
    }
    let mut setting = Setting::new(1, 1);
    setting.recipe.order = Box::new(Nothing);
    let before = setting.network.digest().unwrap();
    setting.train(32).unwrap();
    assert_eq!(setting.network.digest().unwrap(), before);
    // Validation and test, once each.
    assert_eq!(setting.seen.borrow().len(), 2);
}
