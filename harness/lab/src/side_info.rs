//! What a workload offers methods beside batches. Nothing here tells how well a model does.

use std::sync::Arc;

use ledger::layout::Layout;
use tch::{Device, Tensor};

use crate::LabError;
use crate::arrivals::Arrivals;
use crate::branches::Branching;
use crate::demonstrations::Bank;
use crate::diffusion::Preconditioning;
use crate::easiness::Pairs;
use crate::house::House;
use crate::models::clips::Clips;
use crate::models::elastic::Elastic;
use crate::objectives::DefaultLoss;
use crate::orders::course::Standing;
use crate::preferences::World;
use crate::recipe::Step;
use crate::seat::{Outcome, TaskInfo};
use crate::split::Split;
use crate::teachers::Teachers;
use crate::thoughts::Thoughts;

/// What methods may know of a workload's training data.
#[derive(Debug, Clone, Default)]
pub struct SideInfo {
    /// The loss that plain training minimises.
    pub loss: Option<DefaultLoss>,
    /// Number of classes.
    pub classes: Option<u32>,
    /// Shape of one example as the network takes it, where a network by name is built for it.
    pub shape: Vec<usize>,
    /// Height, width and channels of the images that inputs are; where they are rows of numbers, channel by
    /// channel. `None` where they are no images.
    pub picture: Option<[usize; 3]>,
    /// Names of the groups that [`crate::split::Split::groups`] counts.
    pub group_names: Vec<String>,
    /// Group of each training example; empty without groups.
    pub groups: Vec<u32>,
    /// Score of each training example, higher is better; empty without scores.
    pub scores: Vec<f64>,
    /// Alphabet and length of token sequences.
    pub tokens: Option<Tokens>,
    /// Documents of equal length that each example packs side by side; 0 or 1 for none.
    pub documents: u32,
    /// Checks responses to training prompts.
    pub verifier: Option<Arc<dyn Verifier>>,
    /// How responses may branch.
    pub branches: Option<Branching>,
    /// Shape and scale of what is to be generated.
    pub generation: Option<Generation>,
    /// The tasks that training examples are.
    pub points: Option<Points>,
    /// Where each bit of the inputs goes; empty where nothing is permuted.
    pub permutation: Vec<u32>,
    /// The workload's own way to learn from a batch of tasks.
    pub student: Option<Student>,
    /// The shape of a network that smaller ones can be cut from.
    pub elastic: Option<Elastic>,
    /// What is acted in, one training example a round, where somebody prefers one episode to another.
    pub world: Option<Arc<dyn World>>,
    /// Clips that training examples are the frames of.
    pub clips: Option<Clips>,
    /// What the examples of a task are there for, where training examples lie task by task.
    pub episodes: Option<Layout>,
    /// What captions are, where images of several sizes (the groups) have some.
    pub captions: Option<Captions>,
    /// Where prompts state how long a response is to be, if they do.
    pub budgets: Option<Budgets>,
    /// How a policy thinks before it predicts a token, if it does.
    pub thoughts: Option<Thoughts>,
    /// The sentences of training examples, where each has a score.
    pub sentences: Option<Arc<Sentences>>,
    /// What is said of each training example in tokens of its own, where something is.
    pub markers: Option<Arc<Markers>>,
    /// The pairs that training examples are, as a first stage saw them.
    pub pairs: Option<Arc<Pairs>>,
    /// More examples of the same kind, for learners that only measure.
    pub apart: Option<Arc<dyn Apart>>,
    /// Which examples have gold answers that may be learned from, where not all have.
    pub unlabelled: Option<Unlabelled>,
    /// Where in a course each training example stands, where they stand in one.
    pub course: Option<Arc<Vec<Standing>>>,
    /// Solved examples that may be shown before a question.
    pub bank: Option<Arc<Bank>>,
    /// How a model is asked whether what it wrote does harm, where training examples exercise it.
    pub reflection: Option<ReflectionWords>,
    /// How earlier answers stand before another one, where a model is asked again.
    pub refinement: Option<Refinement>,
    /// What several teachers say to each training example, where they do.
    pub teachers: Option<Arc<Teachers>>,
    /// The household that training examples are tasks in.
    pub house: Option<Arc<House>>,
    /// Which training examples arrive together, where they arrive in turn.
    pub arrivals: Option<Arrivals>,
    /// How many cells along an axis each scale of an example's tokens has, coarse to fine; empty without scales.
    pub scales: Vec<u32>,
    /// Sizes, where images are asked for at a higher resolution than examples have.
    pub resolution: Option<Resolution>,
    /// What is known of the frames that training examples are, where they are two frames of patches.
    pub patches: Option<Arc<Patches>>,
    /// Frames of the films that training examples are; 0 where they are none.
    pub films: u32,
    /// Longest context of a network with rotary positions; 0 for others.
    pub rotary: u32,
}

/// Square images that are trained on at one size and asked for at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Side of an example.
    pub native: u32,
    /// Side of what is judged.
    pub asked: u32,
    /// What the network's sides are multiples of.
    pub multiple: u32,
}

impl Resolution {
    /// The sides of `rungs` steps of equal length from the native one to that which is asked for.
    ///
    /// # Errors
    /// Says so where the network cannot take one of them.
    pub fn ladder(&self, rungs: u32) -> Result<Vec<u32>, String> {
        let Self { native, asked, multiple } = *self;
        let whole = u64::from(asked.saturating_sub(native));
        let side = |rung: u32| {
            let part = whole * u64::from(rung);
            let side = native + u32::try_from(part / u64::from(rungs.max(1))).unwrap_or(0);
            if part.is_multiple_of(u64::from(rungs.max(1))) && side.is_multiple_of(multiple.max(1))
            {
                return Ok(side);
            }
            Err(format!(
                "\"rungs\" is {rungs}, but equal steps from a side of {native} to {asked} then stop at one that the network \
                 cannot take, which wants multiples of {multiple}: take fewer"
            ))
        };
        (1..=rungs).map(side).collect()
    }
}

/// Builds a workload's own learner.
pub type Student = fn(&TaskInfo<'_>) -> Result<Step, LabError>;

impl SideInfo {
    /// Size of the alphabet; 0 without tokens.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.tokens.and_then(|tokens| usize::try_from(tokens.vocabulary).ok()).unwrap_or(0)
    }

    /// Longest sequence that the network takes; 0 without tokens.
    #[must_use]
    pub fn context(&self) -> usize {
        self.tokens.and_then(|tokens| usize::try_from(tokens.context).ok()).unwrap_or(0)
    }
}

/// Token sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Size of the alphabet, special tokens included.
    pub vocabulary: i64,
    /// Longest sequence that the network takes.
    pub context: i64,
    /// Ends a response.
    pub end: Option<i64>,
    /// Stands for a hidden token.
    pub mask: Option<i64>,
    /// First of the ordinary tokens, which come last in the alphabet.
    pub first_ordinary: i64,
}

/// Checks responses.
pub trait Verifier: std::fmt::Debug + Send + Sync {
    /// What `response` (tokens up to and without the end) is worth as an answer to training
    /// example `id`.
    fn check(&self, id: u32, response: &[i64]) -> Outcome;

    /// Tokens of every prompt, where all have as many.
    fn prompt_length(&self) -> Option<usize> {
        None
    }

    /// Longest response, in tokens, the end included.
    fn longest_response(&self) -> usize;
}

/// Sentences of equal length that training examples consist of, and what somebody says of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentences {
    /// Tokens before the first sentence.
    pub before: usize,
    /// Tokens of a sentence.
    pub length: usize,
    /// Sentences of an example.
    pub count: usize,
    /// How bad each sentence is, 0 to 1: all of the first example, then of the next.
    pub scores: Vec<f32>,
    /// The tokens that tell a good sentence and a bad one; no example holds them.
    pub control: [i64; 2],
}

/// What is said of training examples in tokens that no example holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// Markers of an example, one of each category.
    pub categories: usize,
    /// All of the first example, then of the next.
    pub tokens: Vec<i64>,
}

impl Markers {
    /// The markers of an example; none where there is no such example.
    #[must_use]
    pub fn of(&self, id: u32) -> &[i64] {
        self.tokens.chunks(self.categories.max(1)).nth(id as usize).unwrap_or(&[])
    }
}

/// How earlier answers stand before another one: one after the other with their ends, then a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refinement {
    /// Asks for another answer.
    pub mark: i64,
    /// Answers that the context has room for before another one.
    pub most: u32,
    /// Tokens of the longest answer, its end included.
    pub longest: usize,
}

/// Words of reflection, each a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReflectionWords {
    /// Asks whether what stands before does harm.
    pub ask: i64,
    /// Says that it does.
    pub harmful: i64,
    /// Says that it does not.
    pub harmless: i64,
}

impl ReflectionWords {
    /// Probability of harm, of the two words alone, from the logits of all tokens.
    #[must_use]
    pub fn harm(&self, logits: &[f32]) -> f64 {
        let at = |token: i64| usize::try_from(token).ok().and_then(|at| logits.get(at)).copied();
        let [harmful, harmless] =
            [self.harmful, self.harmless].map(|token| f64::from(at(token).unwrap_or(0.0)));
        1.0 / (1.0 + (harmless - harmful).exp())
    }
}

/// Examples of which only the first have gold answers. Those of the others stand in the split for a ceiling and for tests
/// that no method looks at them.
#[derive(Debug, Clone)]
pub struct Unlabelled {
    /// Number of examples with gold answers, which come first.
    pub first: u32,
    /// Reads answers, and knows none.
    pub reader: Arc<dyn Reader>,
}

/// Reads the answer out of a response, right or wrong.
pub trait Reader: std::fmt::Debug + Send + Sync {
    /// The answer of a response (tokens up to and without the end); none where it has none.
    fn answer(&self, response: &[i64]) -> Option<i64>;

    /// Longest response, in tokens, the end included.
    fn longest_response(&self) -> usize;
}

/// Examples that are in no split, drawn when they are asked for.
pub trait Apart: std::fmt::Debug + Send + Sync {
    /// The first `count` of them, with their labels; none is an example of any split, nor there twice.
    ///
    /// # Errors
    /// When there are not as many, or the device has no room.
    fn draw(&self, count: u32, device: Device) -> Result<Split, LabError>;
}

/// Budgets of responses, as prompts state them: one token each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Place of that token in a prompt.
    pub place: usize,
    /// The token of a budget of 1; those of larger ones follow it.
    pub first: i64,
    /// Largest budget that has a token.
    pub largest: u32,
    /// Tokens of the shortest right response to any prompt, without its end.
    pub shortest: u32,
}

/// Captions of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captions {
    /// Classes that they name; a caption is a class times `paraphrases`, plus one of them.
    pub classes: u32,
    /// Captions of a class.
    pub paraphrases: u32,
    /// Height and width of the patches that images are read in.
    pub patch: u32,
}

/// What is to be generated.
#[derive(Debug)]
pub struct Generation {
    /// Shape of one sample.
    pub shape: Vec<i64>,
    /// Standard deviation per coordinate.
    pub sigma_data: f64,
    /// Real draws that no split holds, as many as are judged at once: what a perfect model gives.
    pub fresh: Tensor,
    /// What a sample may be asked to be, if anything; the network then takes columns behind the coordinates.
    pub conditions: Option<Conditions>,
    /// What samples are worth, where somebody says so.
    pub reward: Option<Arc<dyn Reward>>,
    /// How the output of the network was used when the weights that every method starts from were trained, where they were.
    pub start: Option<Preconditioning>,
}

/// Says what samples are worth.
pub trait Reward: std::fmt::Debug + Send + Sync {
    /// The worth of each sample, B × ….
    ///
    /// # Errors
    /// When samples cannot be copied to the host.
    fn of(&self, samples: &Tensor) -> Result<Vec<f64>, LabError>;

    /// The same, shape B, as a function that can be differentiated in the samples; `None` where it is none.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn differentiable(&self, _samples: &Tensor) -> Result<Option<Tensor>, LabError> {
        Ok(None)
    }
}

/// What a sample may be asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// One of so many classes, which labels are.
    Classes(u32),
    /// Worth so much: labels are numbers for the first so many training examples, and say nothing of the others.
    Rewards {
        /// How many have one.
        labelled: u32,
    },
}

impl Clone for Generation {
    fn clone(&self) -> Self {
        let Self { shape, sigma_data, fresh, conditions, reward, start } = self;
        let (shape, fresh) = (shape.clone(), fresh.shallow_clone());
        Self {
            shape,
            sigma_data: *sigma_data,
            fresh,
            conditions: *conditions,
            reward: reward.clone(),
            start: *start,
        }
    }
}

/// Pairs of frames of patches whose flow is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patches {
    /// Height and width of a frame, in patches.
    pub side: usize,
    /// Levels of a patch.
    pub levels: usize,
    /// Of each training example, the flow at every patch of its first frame; none where nothing moves there.
    pub flow: Vec<Vec<Option<[i32; 2]>>>,
}

impl Patches {
    /// Patches of a frame.
    #[must_use]
    pub fn count(&self) -> usize {
        self.side * self.side
    }
}

/// Tasks as points of the unit cube, one per training example.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// Coordinates per task.
    pub dimensions: usize,
    /// Coordinates that teachers propose behind them, of which no task hangs.
    pub irrelevant: usize,
    /// All coordinates, task by task.
    pub coordinates: Vec<f64>,
}
