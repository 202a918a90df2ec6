//! The one policy that all tasks share: proximal policy optimisation (Schulman et al., arXiv:1707.06347) with the bench's own
//! clipped surrogate, advantage estimates and value loss.
//!
//! A step is a lesson of as many tasks as the batch has, in as many ticks as the longest episode: each task has a hopper that
//! begins with it, all are moved in lockstep, and one that has fallen or arrived goes on with the task whose turn it
//! is, in the order of the batch. So a lesson of n tasks costs n·[`LONGEST`] environment steps, whatever
//! happens in it, and a task that ends in a fall takes no more of them than its episodes last.

use ledger::streams::{Streams, normal_f64};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use super::course::{ACTIONS, Course, Hopper, LONGEST, SENSES, rescaled};
use lab::LabError;
use lab::advantage::{gae, surrogate, whiten};
use lab::critic::value_losses;
use lab::models::Builder;
use lab::network::{Layer, Network, Parameter, Role, values};
use lab::seat::{Batch, Costs, Facts, Objective, StepInfo};
use lab::state::State;

/// Width of both hidden layers.
const WIDTH: usize = 64;
/// γ.
const GAMMA: f64 = 0.99;
/// λ of the advantage estimates.
const LAMBDA: f64 = 0.95;
/// How far a ratio may go from 1.
const CLIP: f64 = 0.2;
/// How far a value may go from the one at sampling.
const VALUE_CLIP: f64 = 0.2;
/// Weight of the entropy of actions.
const ENTROPY: f64 = 0.01;
/// Passes over the decisions of a lesson.
const PASSES: u32 = 4;
/// Updates of a pass, each on as many decisions.
const PARTS: u32 = 2;
/// Points that are a reward of 1.
const SCALE: f64 = 100.0;
/// Logarithm of the deviation of actions, at first.
const SPREAD: f32 = -0.5;
/// Parameters of each of the two networks; those of the policy come first.
const PARAMETERS: usize = 6;
/// The logarithms of the deviations, the last parameter.
const SPREADS: usize = 2 * PARAMETERS;
/// Numbers that a decision is learned from, beside senses and actions: its log-probability and value at
/// sampling, its advantage, its return.
const LEARNED: usize = 4;

/// Policy (means of the actions, its output), value, and the spread of actions.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn network(streams: &Streams, device: Device) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    for (name, outputs) in [("policy", ACTIONS), ("value", 1)] {
        for (number, [from, to]) in
            [[SENSES, WIDTH], [WIDTH, WIDTH], [WIDTH, outputs]].iter().enumerate()
        {
            builder.linear(&format!("{name}{}", number + 1), *from, *to)?;
        }
    }
    let mut network = builder.finish(layers(0));
    let tensor = Tensor::f_full([ACTIONS as i64], f64::from(SPREAD), (Kind::Float, device))?;
    let tensor = tensor.set_requires_grad(true);
    let name = "policy.spread".to_owned();
    network.parameters.push(Parameter { name, layer: 5, role: Role::Bias, tensor });
    Ok(network)
}

/// Three linear layers with tanh between them, over parameters from `first` on.
fn layers(first: usize) -> Vec<Layer> {
    let linear = |at: usize| Layer::Linear { weight: first + at, bias: first + at + 1 };
    vec![linear(0), Layer::Tanh, linear(2), Layer::Tanh, linear(4)]
}

/// What each hopper wants by the policy, without noise.
fn means(network: &Network, senses: &[f32]) -> Result<Vec<f32>, LabError> {
    let senses = Tensor::f_from_slice(senses)?.f_view([-1, SENSES as i64])?;
    values(&network.forward(&senses.f_to_device(network.device())?, false)?).map_err(LabError::from)
}

fn append(all: &mut Vec<f32>, senses: [f64; SENSES]) {
    all.extend(senses.map(|sense| sense as f32));
}

/// Points that the policy earns on each course, without noise.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn earned(network: &Network, courses: &[Course]) -> Result<Vec<f64>, LabError> {
    let mut points = vec![0.0; courses.len()];
    let mut left: Vec<(usize, Hopper)> =
        (0..courses.len()).map(|at| (at, Hopper::default())).collect();
    for _ in 0..LONGEST {
        if left.is_empty() {
            break;
        }
        let mut senses = Vec::with_capacity(left.len() * SENSES);
        left.iter().for_each(|(at, hopper)| append(&mut senses, hopper.senses(&courses[*at])));
        let wanted = means(network, &senses)?;
        let mut wanted = wanted.chunks_exact(ACTIONS);
        left.retain_mut(|(at, hopper)| {
            let action = wanted.next().map_or([0.0; ACTIONS], wide);
            let moved = hopper.decide(&courses[*at], action);
            points[*at] += moved.points;
            moved.end.is_none()
        });
    }
    Ok(points)
}

fn wide(action: &[f32]) -> [f64; ACTIONS] {
    std::array::from_fn(|at| f64::from(action[at]))
}

/// A hopper on its way.
#[derive(Debug)]
struct Runner {
    hopper: Hopper,
    course: Course,
    age: usize,
    points: f64,
    /// Whether it is on the first episode of the task that it began with.
    first: bool,
}

impl Runner {
    fn new(task: [f64; 2], first: bool, env: &mut Pcg64) -> Self {
        Self {
            hopper: Hopper::default(),
            course: Course::of(task, env),
            age: 0,
            points: 0.0,
            first,
        }
    }
}

/// What follows a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next decision of the same hopper.
    Decision,
    /// Nothing: it has fallen or arrived.
    Nothing,
    /// A state of this number that was not lived through: time or lesson were over.
    Cut(usize),
}

/// All decisions of a lesson, tick by tick and in each hopper by hopper.
#[derive(Debug, Default)]
struct Lesson {
    senses: Vec<f32>,
    actions: Vec<f32>,
    log_probabilities: Vec<f32>,
    rewards: Vec<f64>,
    next: Vec<Next>,
    /// The senses of states that were cut off.
    cut: Vec<f32>,
    /// Points of the first episode on each task.
    points: Vec<f64>,
    episodes: u64,
}

impl Lesson {
    /// Advantages and returns of its decisions, given the values of their states and of those cut off.
    fn estimates(&self, own: &[f64], cut: &[f64]) -> [Vec<f64>; 2] {
        let hoppers = self.points.len();
        let (mut advantages, mut returns) = (vec![0.0; own.len()], vec![0.0; own.len()]);
        for hopper in 0..hoppers {
            let mut places = Vec::new();
            for place in (hopper..own.len()).step_by(hoppers) {
                places.push(place);
                let follows = match self.next[place] {
                    Next::Decision => continue,
                    Next::Nothing => 0.0,
                    Next::Cut(state) => cut[state],
                };
                let mut rewards: Vec<f64> = places.iter().map(|at| self.rewards[*at]).collect();
                if let Some(last) = rewards.last_mut() {
                    *last += GAMMA * follows;
                }
                let expected: Vec<f64> = places.iter().map(|at| own[*at]).collect();
                for (at, found) in places.iter().zip(gae(&rewards, &expected, GAMMA, LAMBDA)) {
                    advantages[*at] = found;
                    returns[*at] = found + own[*at];
                }
                places.clear();
            }
        }
        [advantages, returns]
    }
}

/// Proximal policy optimisation on lessons.
#[derive(Debug)]
pub struct Proximal {
    /// Where stumps stand.
    env: Pcg64,
    /// Noise of actions.
    rollout: Pcg64,
    /// Which decisions are learned from together.
    parts: Pcg64,
    /// A row for each decision.
    table: Option<Tensor>,
    /// The same in the order of the pass.
    shuffled: Option<Tensor>,
    scores: Vec<f64>,
    steps: u64,
    episodes: u64,
}

impl Proximal {
    /// With stumps, noise and parts drawn from the streams `env`, `rollout` and `minibatches`.
    #[must_use]
    pub fn new(streams: &Streams) -> Self {
        Self {
            env: streams.generator("env"),
            rollout: streams.generator("rollout"),
            parts: streams.generator("minibatches"),
            table: None,
            shuffled: None,
            scores: Vec::new(),
            steps: 0,
            episodes: 0,
        }
    }

    fn practise(&mut self, network: &Network, tasks: &[[f64; 2]]) -> Result<Lesson, LabError> {
        let spreads = values(network.at(SPREADS))?;
        let sum: f32 = spreads.iter().sum();
        let mut lesson = Lesson { points: vec![0.0; tasks.len()], ..Lesson::default() };
        let mut runners: Vec<Runner> =
            tasks.iter().map(|task| Runner::new(*task, true, &mut self.env)).collect();
        let mut turns = (0..tasks.len()).cycle();
        for tick in 1..=LONGEST {
            let from = lesson.senses.len();
            for runner in &runners {
                append(&mut lesson.senses, runner.hopper.senses(&runner.course));
            }
            let wanted = means(network, &lesson.senses[from..])?;
            for (task, (runner, wanted)) in
                runners.iter_mut().zip(wanted.chunks_exact(ACTIONS)).enumerate()
            {
                let mut squares = 0.0;
                let action: [f32; ACTIONS] = std::array::from_fn(|at| {
                    let noise = normal_f64(&mut self.rollout) as f32;
                    squares += noise * noise;
                    wanted[at] + noise * spreads[at].exp()
                });
                let moved = runner.hopper.decide(&runner.course, wide(&action));
                runner.age += 1;
                runner.points += moved.points;
                let over = moved.end.is_some() || runner.age == LONGEST;
                lesson.next.push(if moved.end.is_some() {
                    Next::Nothing
                } else if over || tick == LONGEST {
                    append(&mut lesson.cut, runner.hopper.senses(&runner.course));
                    Next::Cut(lesson.cut.len() / SENSES - 1)
                } else {
                    Next::Decision
                });
                lesson.actions.extend(action);
                lesson.log_probabilities.push(-0.5 * squares - sum);
                lesson.rewards.push(moved.points / SCALE);
                if over {
                    lesson.episodes += 1;
                    if runner.first {
                        lesson.points[task] = runner.points;
                    }
                    let turn = turns.next().unwrap_or(task);
                    *runner = Runner::new(tasks[turn], false, &mut self.env);
                }
            }
        }
        Ok(lesson)
    }
}

impl Objective for Proximal {
    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        let tasks = values(&batch.inputs)?;
        let tasks: Vec<[f64; 2]> =
            tasks.chunks_exact(2).map(|task| [task[0], task[1]].map(f64::from)).collect();
        let lesson = self.practise(network, &tasks)?;
        let states = [&lesson.senses[..], &lesson.cut].concat();
        let states = Tensor::f_from_slice(&states)?.f_view([-1, SENSES as i64])?;
        let states = states.f_to_device(network.device())?;
        let found = values(&network.run(&layers(PARAMETERS), &states, false)?)?;
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        let (own, cut) = found.split_at(lesson.rewards.len());
        let [mut advantages, returns] = lesson.estimates(own, cut);
        whiten(&mut advantages);
        let mut rows = Vec::with_capacity(own.len() * (SENSES + ACTIONS + LEARNED));
        for (at, (senses, action)) in
            lesson.senses.chunks_exact(SENSES).zip(lesson.actions.chunks_exact(ACTIONS)).enumerate()
        {
            rows.extend(senses.iter().chain(action));
            let learned = [own[at], advantages[at], returns[at]].map(|number| number as f32);
            rows.push(lesson.log_probabilities[at]);
            rows.extend(learned);
        }
        let table = Tensor::f_from_slice(&rows)?.f_view([own.len() as i64, -1])?;
        self.table = Some(table.f_to_device(network.device())?);
        self.scores = lesson.points.iter().map(|points| rescaled(*points)).collect();
        self.steps += own.len() as u64;
        self.episodes += lesson.episodes;
        Ok(())
    }

    fn passes(&self) -> u32 {
        PASSES * PARTS
    }

    /// One loss per decision of the part whose turn it is.
    fn losses(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<Tensor, LabError> {
        let Some(table) = &self.table else {
            return Err(LabError::Method("a lesson must be practised before its loss".to_owned()));
        };
        let count = table.size()[0];
        let part = i64::from(now.pass % PARTS);
        if part == 0 {
            let mut places: Vec<u32> = (0..).take(usize::try_from(count).unwrap_or(0)).collect();
            ledger::order::shuffle(&mut self.parts, &mut places);
            let places: Vec<i64> = places.into_iter().map(i64::from).collect();
            let places = Tensor::f_from_slice(&places)?.f_to_device(table.device())?;
            self.shuffled = Some(table.f_index_select(0, &places)?);
        }
        let table = self.shuffled.as_ref().unwrap_or(table);
        let [from, to] = [part, part + 1].map(|part| part * count / i64::from(PARTS));
        let rows = table.f_narrow(0, from, to - from)?;
        let senses = rows.f_narrow(1, 0, SENSES as i64)?;
        let actions = rows.f_narrow(1, SENSES as i64, ACTIONS as i64)?;
        let column = |number: usize| rows.f_select(1, (SENSES + ACTIONS + number) as i64);
        let spreads = network.at(SPREADS);
        let noise = actions.f_sub(&network.forward(&senses, true)?)?.f_div(&spreads.f_exp()?)?;
        let squares = noise.f_square()?.f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?;
        let own = squares.f_mul_scalar(-0.5)?.f_sub(&spreads.f_sum(Kind::Float)?)?;
        let gained = surrogate(&own, &column(0)?, &column(2)?, Some((CLIP, CLIP)))?;
        let value = network.run(&layers(PARAMETERS), &senses, true)?.f_squeeze_dim(-1)?;
        let missed = value_losses(&value, &column(1)?, &column(3)?, VALUE_CLIP)?;
        // Up to a constant, the entropy of a normal draw is the sum of the logarithms of its deviations.
        let entropy = spreads.f_sum(Kind::Float)?.f_mul_scalar(ENTROPY)?;
        Ok(gained.f_add(&missed)?.f_sub(&entropy)?)
    }

    fn scores(&self) -> Option<&[f64]> {
        Some(&self.scores)
    }

    fn costs(&self) -> Costs {
        Costs::from([("environment_steps", self.steps)])
    }

    fn facts(&self) -> Facts {
        Facts::from([("episodes".to_owned(), self.episodes.into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("env", &mut self.env)?;
        state.of("rollout", &mut self.rollout)?;
        state.of("parts", &mut self.parts)?;
        state.of("steps", &mut self.steps)?;
        state.of("episodes", &mut self.episodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_end_with_a_fall_and_go_on_from_the_value_of_what_was_cut_off() {
        // Two hoppers, three ticks: the first falls in the second tick, the other is cut off in the third.
        let next = [
            Next::Decision,
            Next::Decision,
            Next::Nothing,
            Next::Decision,
            Next::Cut(0),
            Next::Cut(1),
        ];
        let lesson = Lesson {
            rewards: vec![1.0, 0.5, -1.0, 0.5, 2.0, 0.5],
            next: next.to_vec(),
            points: vec![0.0; 2],
            ..Lesson::default()
        };
        let [advantages, returns] = lesson.estimates(&[0.2, 0.1, 0.4, 0.3, 0.6, 0.5], &[0.7, 0.8]);
        let fallen = -1.0 - 0.4;
        let last = 0.5 + GAMMA * 0.8 - 0.5;
        let middle = 0.5 + GAMMA * 0.5 - 0.3 + GAMMA * LAMBDA * last;
        let expected = [
            1.0 + GAMMA * 0.4 - 0.2 + GAMMA * LAMBDA * fallen,
            0.5 + GAMMA * 0.3 - 0.1 + GAMMA * LAMBDA * middle,
            fallen,
            middle,
            2.0 + GAMMA * 0.7 - 0.6,
            last,
        ];
        for (at, expected) in expected.iter().enumerate() {
            assert!((advantages[at] - expected).abs() < 1e-12, "{at}: {}", advantages[at]);
        }
        assert!((returns[2] + 1.0).abs() < 1e-12 && (returns[5] - 0.5 - last).abs() < 1e-12);
    }
}
