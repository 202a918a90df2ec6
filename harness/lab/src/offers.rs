//! Words of [`ledger::catalogue::WorkloadInfo::offers`], which methods ask for in their `needs`.

/// A loss of its own that plain training minimises.
pub const LOSS: &str = "a loss";
/// One class per example, and logits.
pub const CLASSES: &str = "classes";
/// Tokens, and a model that predicts the next one.
pub const TOKENS: &str = "tokens";
/// Prompt and response in each example.
pub const RESPONSES: &str = "responses";
/// Named groups of examples, and a probe split.
pub const GROUPS: &str = "groups";
/// A score per example, such as its quality.
pub const SCORES: &str = "scores";
/// Pairs of a relevant document and another, with what a first stage said of both.
pub const PAIRS: &str = "pairs of a first stage";
/// A verifier of responses.
pub const VERIFIER: &str = "a verifier";
/// Prompts of one length, so that a batch of them can be completed together.
pub const PROMPTS: &str = "prompts of one length";
/// Tags of blocks of parallel paths that a response may hold.
pub const BRANCHES: &str = "blocks of parallel paths";
/// A network that takes a noise level, and metrics of samples.
pub const DENOISING: &str = "denoising";
/// Images among what is generated.
pub const IMAGES: &str = "images to generate";
/// Images that are judged at another size than they are trained on.
pub const HIGHER: &str = "images of a higher resolution to generate";
/// Classes that samples can be asked to be of.
pub const CLASSES_TO_ASK: &str = "classes to ask for";
/// What some examples are worth, so that samples can be asked to be worth much.
pub const REWARDS: &str = "rewards of some examples";
/// What a sample is worth, of any sample.
pub const REWARD: &str = "a reward of samples";
/// Tasks as points of a space, and a student of its own.
pub const TASKS: &str = "a task space";
/// A network that smaller ones can be cut from.
pub const PARTS: &str = "an elastic network";
/// Examples in episodes of support and query, and a judge that lets a model adapt to support sets.
pub const EPISODES: &str = "episodes";
/// Prompts that state a budget of tokens for the response.
pub const BUDGETS: &str = "budgets in prompts";
/// Marks between which a policy thinks before it predicts a token of a text.
pub const THOUGHTS: &str = "thoughts before a prediction";
/// Examples of sentences that have a score each, and tokens that tell good ones from bad ones.
pub const SENTENCES: &str = "sentences with scores";
/// Markers of each example, in tokens of their own.
pub const MARKERS: &str = "markers";
/// Images of several sizes, each with a caption.
pub const CAPTIONS: &str = "images of several sizes with captions";
/// A permutation of bits, to be carried out on inputs that were not shown.
pub const PERMUTATION: &str = "a permutation of bits";
/// A world to act in, and answers which of two episodes in it is better.
pub const PREFERENCES: &str = "a world and preferences between its episodes";
/// Clips to keep in one network, one after the other.
pub const CLIPS: &str = "clips";
/// More examples of the kind that is trained on, in no split.
pub const APART: &str = "examples apart from all splits";
/// A place in a course for each example: subject, concept, level.
pub const COURSE: &str = "a course";
/// A bank of solved examples of many tasks, to be shown before a question.
pub const BANK: &str = "a bank of demonstrations";
/// Exercises in telling whether what was written does harm, and the words for it.
pub const REFLECTION: &str = "exercises in reflection";
/// Answers that can be given again behind earlier ones.
pub const REFINEMENT: &str = "answers to be refined";
/// What several teachers say to each example.
pub const TEACHERS: &str = "responses of several teachers";
/// A household to try tasks in.
pub const HOUSE: &str = "a household";
/// Two frames of patches whose flow is known, and a network that is asked for any of them.
pub const PATCHES: &str = "frames of patches";
/// Films of many frames, and a network that reads as many patches of each as it is told to.
pub const FILMS: &str = "films";
/// Rotary positions, whose base and context may change along a run.
pub const ROTARY: &str = "rotary positions";
/// Questions whose gold answers nobody may learn from, and a reader of answers.
pub const UNLABELLED: &str = "questions without gold answers";
/// Examples that arrive in turn, each an image with a question.
pub const ARRIVALS: &str = "examples that arrive in turn";
/// Tokens in scales, coarse to fine, and a network that may use a part of its layers at each.
pub const SCALES: &str = "tokens in scales";
/// Nothing but an order: data and evaluation are a program's own.
pub const ORDER: &str = "an order";
