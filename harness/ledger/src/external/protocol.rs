//! The messages between the bench and the program of an external arm, version 1: a JSON object a line,
//! of one key, which says what it is. The program says `hello`; from then on the bench asks and the
//! program answers, one message each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::Values;

/// Version of the protocol that this build speaks.
pub const VERSION: u32 = 1;

/// The environment variable that holds the path of the socket.
pub const SOCKET: &str = "PALIMPSEST_SOCKET";

/// Longest line that a program may say, in bytes.
pub const LONGEST: usize = 1 << 20;

/// Most facts that a program may tell.
pub const MOST_FACTS: usize = 64;

/// What the bench says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// What the task is, before any data; answered by `ready`.
    Begin(Begin),
    /// The training data are there; answered by `loaded`. The train clock runs.
    Data(Data),
    /// Train on what comes next in the order; answered by `consumed`. The train clock runs.
    Train(Train),
    /// Give outputs for held-out inputs; answered by `outputs`. The train clock stands still.
    Evaluate(Evaluate),
    /// Evaluate, where that is the program's own; answered by `metrics`. The train clock stands still.
    Metrics(Metrics),
    /// Keep the program's state in a file, to go on from in another process; answered by `kept`.
    Keep(Keep),
    /// Go on from what an earlier process has kept; answered by `restored`.
    Restore(Restore),
    /// Save the model to a file; answered by `saved`.
    Save(Save),
    /// Tell what a reader should know; answered by `facts`.
    Facts {},
    /// It is over; answered by `bye`.
    End {},
    /// It is over because of an error; there is no answer.
    Error(Reason),
}

/// What the program says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The first message.
    Hello(Hello),
    /// The model is built.
    Ready(Ready),
    /// The training data are loaded.
    Loaded {},
    /// What was trained on.
    Consumed(Consumed),
    /// Outputs for held-out inputs.
    Outputs(Outputs),
    /// Metrics by name; null for one that is not finite.
    Metrics(BTreeMap<String, Option<f64>>),
    /// The state was kept, or why it was not.
    Kept(Kept),
    /// The program is where the earlier process was.
    Restored {},
    /// The model was saved, or there is nothing to save.
    Saved {},
    /// Facts by name.
    Facts(BTreeMap<String, Value>),
    /// The last message.
    Bye {},
    /// The program gives up.
    Error(Reason),
}

impl Answer {
    /// The key of the message.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ready(_) => "ready",
            Self::Loaded {} => "loaded",
            Self::Consumed(_) => "consumed",
            Self::Outputs(_) => "outputs",
            Self::Metrics(_) => "metrics",
            Self::Kept(_) => "kept",
            Self::Restored {} => "restored",
            Self::Saved {} => "saved",
            Self::Facts(_) => "facts",
            Self::Bye {} => "bye",
            Self::Error(_) => "error",
        }
    }
}

/// Why a side gives up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In words.
    pub reason: String,
}

/// Who the program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Version of the protocol that it speaks.
    pub protocol: u32,
    /// Versions of what it uses, by name.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// What it computes on.
    #[serde(default)]
    pub device: Option<String>,
    /// Settings that it reads from `begin`; not those of its arguments.
    #[serde(default)]
    pub takes: Vec<String>,
}

/// What the task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// Version of the protocol.
    pub protocol: u32,
    /// The workload's id; of a workload of the program's own, its name.
    pub workload: String,
    /// Whether data and evaluation are the program's own: it is asked for metrics, and told no data.
    pub own: bool,
    /// Shape of one input; empty where the data are the program's own.
    pub shape: Vec<u64>,
    /// Number of classes: outputs have one column for each; 0 where the data are the program's own.
    pub classes: u32,
    /// Number of examples of each split; of training alone where the data are the program's own.
    pub examples: Counts,
    /// Samples to train on at most.
    pub budget: u64,
    /// Distance of evaluations in samples.
    pub evaluate_every: u64,
    /// Metric that the target is set on.
    pub metric: String,
    /// The arm's settings.
    pub settings: Values,
    /// For generators of the program's own; a function of the run's seed.
    pub seed: u32,
    /// Threads to compute with.
    pub threads: u32,
    /// The folder that the names of files in messages are in, both ways.
    pub folder: String,
    /// Whether the bench will ask for the program's state on the way, where `ready` says that it `keeps` one; absent where not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub kept: bool,
}

/// Numbers of examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Of training.
    pub train: u64,
    /// Of validation.
    pub validation: u64,
    /// Of test.
    pub test: u64,
}

/// The program is ready to train.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Number of trainable values.
    #[serde(default)]
    pub parameters: u64,
    /// Whether it answers `keep` and `restore`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keeps: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a field by reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Files of the training data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Inputs, 32-bit floats, an example a row.
    pub inputs: String,
    /// Classes, 64-bit integers.
    pub labels: String,
}

/// A stretch of an epoch to train on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// The epoch, from 0.
    pub epoch: u32,
    /// File of its order: example ids, 32-bit unsigned integers.
    pub order: String,
    /// Place of the first id to consume.
    pub from: u32,
    /// The place behind the last id of the epoch.
    pub to: u32,
    /// The stretch ends with the step that reaches this place, or with the epoch.
    pub until: u32,
    /// Epochs of the whole run.
    pub epochs: u32,
}

/// What was trained on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumed {
    /// Sizes of the steps in turn, run-length encoded: `[[size, count], …]`.
    pub steps: Vec<(u32, u32)>,
    /// The ids, where the program kept them: they must be those of the order.
    #[serde(default)]
    pub ids: Option<Vec<u32>>,
    /// Loss of the last step.
    #[serde(default)]
    pub loss: Option<f64>,
    /// True when it is not finite any more.
    #[serde(default)]
    pub diverged: bool,
}

/// Held-out inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// `validation` or `test`.
    pub split: String,
    /// File of the inputs.
    pub inputs: String,
    /// Their number.
    pub rows: u64,
}

/// Outputs for held-out inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// Their file: a row an input, a column a class, before any softmax.
    pub file: String,
}

/// What metrics are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// `validation` or `test`.
    pub split: String,
}

/// Where a program's state goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Name of the file; it is read once and taken away.
    pub file: String,
}

/// What became of a program's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Why it was not kept this time; none where it was.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Where a program's state is, and where the run was when it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Name of the file, as the program wrote it; it stays until the program has answered.
    pub file: String,
    /// The epoch, from 0, of the last step that was taken.
    pub epoch: u32,
    /// Samples consumed.
    pub samples: u64,
    /// Steps taken.
    pub steps: u64,
}

/// Where a model goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// Name of the file.
    pub file: String,
}

impl Train {
    /// Holds what a program told against the stretch it was given.
    ///
    /// # Errors
    /// When it trained on more or less than it was given, or on other ids.
    pub fn check(&self, told: &Consumed, order: &[u32]) -> Result<u32, String> {
        let mut total = 0_u64;
        for (size, count) in &told.steps {
            if *size == 0 || *count == 0 {
                return Err(format!("it told steps of [{size}, {count}]; a step has an example"));
            }
            total = total.saturating_add(u64::from(*size).saturating_mul(u64::from(*count)));
        }
        let (given, due) = (u64::from(self.to - self.from), u64::from(self.until - self.from));
        let epoch = self.epoch;
        if total > given {
            return Err(format!(
                "it told {total} examples of epoch {epoch}, but {given} were left: too many"
            ));
        }
        if total < due {
            return Err(format!(
                "it told {total} examples of epoch {epoch}, but {due} were due before the next evaluation: too few"
            ));
        }
        let last = told.steps.last().map_or(0, |(size, _)| u64::from(*size));
        if total - last >= due {
            return Err(format!(
                "it went on behind the step that reached example {} of epoch {epoch}, where an evaluation is due",
                self.until
            ));
        }
        if let Some(ids) = &told.ids {
            let from = self.from as usize;
            let wanted = order.get(from..from + total as usize).unwrap_or_default();
            if ids.len() != wanted.len() {
                return Err(format!(
                    "it told {} ids for steps of {} examples",
                    ids.len(),
                    wanted.len()
                ));
            }
            if let Some(at) = ids.iter().zip(wanted).position(|(told, given)| told != given) {
                return Err(format!(
                    "at place {} of epoch {epoch} it told example {}, which it was not given there: the order has {}",
                    from + at,
                    ids[at],
                    wanted[at]
                ));
            }
        }
        Ok(total as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch() -> Train {
        let order = "order-0.npy".to_owned();
        Train { epoch: 0, order, from: 2, to: 10, until: 7, epochs: 1 }
    }

    fn told(steps: &[(u32, u32)], ids: Option<&[u32]>) -> Result<u32, String> {
        let ids = ids.map(<[u32]>::to_vec);
        let order: Vec<u32> = (100..110).collect();
        stretch().check(&Consumed { steps: steps.to_vec(), ids, ..Consumed::default() }, &order)
    }

    #[test]
    fn a_stretch_ends_with_the_step_that_reaches_the_evaluation() {
        assert_eq!(told(&[(3, 2)], None).unwrap(), 6);
        assert_eq!(told(&[(5, 1)], None).unwrap(), 5);
        assert_eq!(told(&[(4, 2)], None).unwrap(), 8);
        assert_eq!(told(&[(3, 1), (5, 1)], Some(&[102, 103, 104, 105, 106, 107, 108, 109])), Ok(8));
    }

    #[test]
    fn more_less_or_other_examples_than_were_given_are_found() {
        let refused = |steps: &[(u32, u32)], ids: Option<&[u32]>| told(steps, ids).unwrap_err();
        assert!(
            refused(&[(3, 3)], None).contains("9 examples of epoch 0, but 8 were left: too many")
        );
        assert!(refused(&[(2, 2)], None).contains("too few"));
        assert!(refused(&[], None).contains("too few"));
        assert!(refused(&[(1, 6)], None).contains("went on behind"));
        assert!(refused(&[(0, 1)], None).contains("a step has an example"));
        assert!(refused(&[(5, 0)], None).contains("a step has an example"));
        assert!(refused(&[(u32::MAX, u32::MAX); 9], None).contains("too many"));
        assert!(refused(&[(5, 1)], Some(&[102, 103])).contains("2 ids for steps of 5"));
        let other = [102, 103, 7, 105, 106];
        assert!(
            refused(&[(5, 1)], Some(&other)).contains("at place 4 of epoch 0 it told example 7")
        );
    }

    #[test]
    fn messages_are_objects_of_one_key() {
        let text = |answer: &Answer| serde_json::to_string(answer).unwrap();
        assert_eq!(text(&Answer::Loaded {}), r#"{"loaded":{}}"#);
        let read: Answer = serde_json::from_str(r#"{"hello":{"protocol":1}}"#).unwrap();
        assert!(matches!(&read, Answer::Hello(hello) if hello.takes.is_empty()), "{read:?}");
        assert_eq!(serde_json::to_string(&Ask::End {}).unwrap(), r#"{"end":{}}"#);
        assert_eq!(text(&Answer::Restored {}), r#"{"restored":{}}"#);
        assert_eq!(text(&Answer::Ready(Ready::default())), r#"{"ready":{"parameters":0}}"#);
        let kept: Answer = serde_json::from_str(r#"{"kept":{}}"#).unwrap();
        assert_eq!(kept, Answer::Kept(Kept::default()));
        for wrong in [r#"{"hello":{"protocol":1,"x":1}}"#, r#"{"hallo":{}}"#, "[]", "1"] {
            assert!(serde_json::from_str::<Answer>(wrong).is_err(), "{wrong}");
        }
    }
}
