//! The update rule of a training done elsewhere, as its user writes it down in YAML. The names and
//! meanings are those of `torch.optim`; Muon is Keller Jordan's.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::suite;
use ledger::catalogue::hint;

/// An update rule, its learning rate and where its state lies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleFile {
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// Learning rate.
    pub lr: Rate,
    /// Largest norm of the gradient, as `clip_grad_norm_` bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// State at the start.
    pub state: State,
}

/// An update rule without its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Rule {
    /// `torch.optim.SGD`.
    Sgd {
        /// Momentum.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
        /// Added to the gradient, times the parameters.
        weight_decay: f64,
    },
    /// `torch.optim.Adam`: weight decay is added to the gradient.
    Adam(Adam),
    /// `torch.optim.AdamW`: weight decay is decoupled.
    Adamw(Adam),
    /// Muon, with AdamW beside it.
    Muon(Muon),
}

/// Settings of Adam and AdamW.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adam {
    /// Decay of first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// Settings of Muon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Muon {
    /// Share of the momentum that stays.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Newton–Schulz iterations.
    pub ns_steps: u32,
    /// Shapes of the parameters that make up p.
    pub shapes: Vec<Vec<u32>>,
    /// Which rule moves each of them.
    pub moved_by: Vec<MovedBy>,
    /// Learning rate of the AdamW beside it; a schedule scales it as it scales `lr`.
    pub aux_lr: f64,
    /// Its other settings.
    pub aux: Adam,
}

/// Which rule moves a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MovedBy {
    /// Muon.
    Muon,
    /// AdamW.
    Adamw,
}

/// A learning rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rate {
    /// The same at every step; above 0.
    Constant(f64),
    /// One a step; none below 0.
    Each(Vec<f64>),
    /// A file of them.
    File(PathBuf),
}

/// Where the state lies: files of shape p, and a count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Momentum buffer of SGD or Muon; without it the first step starts one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<PathBuf>,
    /// First moment (`exp_avg`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub m: Option<PathBuf>,
    /// Second moment (`exp_avg_sq`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v: Option<PathBuf>,
    /// Steps taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
}

/// Why the file says no update rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleFileError {
    /// No YAML, an unknown key, or a value of another type.
    #[error("{at}{message}", at = place(*.line, *.column))]
    Text {
        /// Line from 1; 0 where it is not known.
        line: usize,
        /// Column from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// No such rule.
    #[error("there is no kind {found:?}{hint}")]
    Kind {
        /// The name found.
        found: String,
        /// The nearest name.
        hint: String,
    },
    /// A key is missing.
    #[error("`{key}` is missing: {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to write.
        remedy: &'static str,
    },
    /// A key of another rule.
    #[error("`{key}` means nothing to kind {kind}; it takes: {takes}")]
    Meaningless {
        /// The key.
        key: &'static str,
        /// The rule.
        kind: String,
        /// Keys that it takes.
        takes: String,
    },
    /// A value out of its range.
    #[error("{key} is {found}: {remedy}")]
    Value {
        /// The key, with an index in a list.
        key: String,
        /// The value found.
        found: String,
        /// What it must be.
        remedy: &'static str,
    },
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}, column {column}: ") }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    kind: Option<String>,
    lr: Option<serde_yaml::Value>,
    momentum: Option<f64>,
    nesterov: Option<bool>,
    betas: Option<[f64; 2]>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
    clip: Option<f64>,
    #[serde(default)]
    state: State,
    shapes: Option<Vec<Vec<u32>>>,
    moved_by: Option<Vec<MovedBy>>,
    ns_steps: Option<u32>,
    aux: Option<Aux>,
    dampening: Option<f64>,
    amsgrad: Option<bool>,
    maximize: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aux {
    lr: Option<f64>,
    betas: Option<[f64; 2]>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
}

const KINDS: [&str; 4] = ["sgd", "adam", "adamw", "muon"];

impl RuleFile {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// With the key, the value and what to write.
    pub fn parse(text: &str) -> Result<Self, RuleFileError> {
        let text: Text = crate::yaml::from_str(text).map_err(|error| {
            let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            RuleFileError::Text { line, column, message: suite::explain(&error) }
        })?;
        let remedy = "write one of sgd, adam, adamw, muon";
        let missing = || RuleFileError::Missing { key: "kind", remedy };
        let kind = text.kind.clone().ok_or_else(missing)?.to_ascii_lowercase();
        if !KINDS.contains(&kind.as_str()) {
            let hint = hint(&kind, KINDS);
            return Err(RuleFileError::Kind { found: kind, hint });
        }
        text.require_keys_of(&kind)?;
        text.require_supported()?;
        let lr = text.rate()?;
        if let Some(clip) = text.clip {
            above("clip", clip)?;
        }
        let rule = match kind.as_str() {
            "sgd" => text.sgd()?,
            "adam" => Rule::Adam(text.adam(0.0)?),
            "adamw" => Rule::Adamw(text.adam(0.01)?),
            _ => Rule::Muon(text.muon()?),
        };
        Ok(Self { rule, lr, clip: text.clip, state: text.state })
    }
}

impl Text {
    /// Refuses keys of other rules.
    fn require_keys_of(&self, kind: &str) -> Result<(), RuleFileError> {
        let (sgd, muon) = (kind == "sgd", kind == "muon");
        let adam = !sgd && !muon;
        let State { momentum, m, v, step } = &self.state;
        let keys = [
            ("momentum", self.momentum.is_some(), !adam),
            ("nesterov", self.nesterov.is_some(), !adam),
            ("betas", self.betas.is_some(), adam),
            ("eps", self.eps.is_some(), adam),
            ("shapes", self.shapes.is_some(), muon),
            ("moved_by", self.moved_by.is_some(), muon),
            ("ns_steps", self.ns_steps.is_some(), muon),
            ("aux", self.aux.is_some(), muon),
            ("state.momentum", momentum.is_some(), !adam),
            ("state.m", m.is_some(), !sgd),
            ("state.v", v.is_some(), !sgd),
            ("state.step", step.is_some(), !sgd),
        ];
        match keys.iter().find(|(_, given, known)| *given && !known) {
            None => Ok(()),
            Some(&(key, ..)) => {
                let known = keys.iter().filter(|(.., known)| *known).map(|(key, ..)| *key);
                let takes: Vec<_> =
                    ["lr", "weight_decay", "clip"].into_iter().chain(known).collect();
                let takes = takes.join(", ");
                Err(RuleFileError::Meaningless { key, kind: kind.to_owned(), takes })
            }
        }
    }

    /// Refuses what PyTorch knows and this does not, unless it is at its default.
    fn require_supported(&self) -> Result<(), RuleFileError> {
        let unsupported = [
            (
                "dampening",
                self.dampening.filter(|value| *value != 0.0).map(|value| value.to_string()),
            ),
            ("amsgrad", self.amsgrad.filter(|on| *on).map(|on| on.to_string())),
            ("maximize", self.maximize.filter(|on| *on).map(|on| on.to_string())),
        ];
        for (key, found) in unsupported {
            if let Some(found) = found {
                let remedy = "estimates know the rule without it only";
                return Err(RuleFileError::Value { key: key.to_owned(), found, remedy });
            }
        }
        Ok(())
    }

    fn rate(&self) -> Result<Rate, RuleFileError> {
        let remedy = "write a number, a list of numbers, or the name of a .npy file";
        let refuse = |found: &serde_yaml::Value| {
            let found = serde_yaml::to_string(found).unwrap_or_default().trim().to_owned();
            RuleFileError::Value { key: "lr".to_owned(), found, remedy }
        };
        match self.lr.as_ref().ok_or(RuleFileError::Missing { key: "lr", remedy })? {
            serde_yaml::Value::String(file) => Ok(Rate::File(file.into())),
            serde_yaml::Value::Sequence(rates) => {
                let number = |rate: &serde_yaml::Value| rate.as_f64().ok_or_else(|| refuse(rate));
                let rates: Vec<f64> = rates.iter().map(number).collect::<Result<_, _>>()?;
                require_rates("lr", &rates)?;
                Ok(Rate::Each(rates))
            }
            value => {
                let rate = value.as_f64().ok_or_else(|| refuse(value))?;
                above("lr", rate)?;
                Ok(Rate::Constant(rate))
            }
        }
    }

    fn sgd(&self) -> Result<Rule, RuleFileError> {
        let momentum = self.momentum.unwrap_or(0.0);
        let nesterov = self.nesterov.unwrap_or(false);
        share("momentum", momentum)?;
        if momentum == 0.0 && nesterov {
            let remedy = "Nesterov's form needs a momentum above 0";
            let (key, found) = ("nesterov".to_owned(), "true".to_owned());
            return Err(RuleFileError::Value { key, found, remedy });
        }
        if let (0.0, Some(file)) = (momentum, &self.state.momentum) {
            let remedy = "with momentum 0 there is no buffer: give the momentum too";
            let (key, found) = ("state.momentum".to_owned(), file.display().to_string());
            return Err(RuleFileError::Value { key, found, remedy });
        }
        Ok(Rule::Sgd { momentum, nesterov, weight_decay: self.decay(0.0)? })
    }

    fn decay(&self, default: f64) -> Result<f64, RuleFileError> {
        let decay = self.weight_decay.unwrap_or(default);
        not_below("weight_decay", decay)?;
        Ok(decay)
    }

    fn adam(&self, weight_decay: f64) -> Result<Adam, RuleFileError> {
        self.state.require_moments()?;
        let betas = self.betas.unwrap_or([0.9, 0.999]);
        Adam { betas, eps: self.eps.unwrap_or(1e-8), weight_decay: self.decay(weight_decay)? }
            .checked("")
    }

    fn muon(&self) -> Result<Muon, RuleFileError> {
        self.state.require_moments()?;
        let remedy = "write the shapes of all parameters in their order, as in [[64, 32], [64]]";
        let shapes = self.shapes.clone().ok_or(RuleFileError::Missing { key: "shapes", remedy })?;
        let refuse =
            |key: String, found: String, remedy| RuleFileError::Value { key, found, remedy };
        if let Some(at) = shapes.iter().position(|shape| shape.contains(&0)) {
            let found = format!("{:?}", shapes[at]);
            return Err(refuse(format!("shapes[{at}]"), found, "lengths are above 0"));
        }
        let momentum = self.momentum.unwrap_or(0.95);
        share("momentum", momentum)?;
        let ns_steps = self.ns_steps.unwrap_or(5);
        if !(1..=20).contains(&ns_steps) {
            return Err(refuse("ns_steps".into(), ns_steps.to_string(), "it is from 1 to 20"));
        }
        let moved_by = self.moved_by.clone().unwrap_or_else(|| moved_by_default(&shapes));
        if moved_by.len() != shapes.len() {
            let found = format!("a list of {} for {} shapes", moved_by.len(), shapes.len());
            return Err(refuse("moved_by".into(), found, "write muon or adamw for each shape"));
        }
        let vector = |(shape, by): (&Vec<u32>, &MovedBy)| *by == MovedBy::Muon && shape.len() < 2;
        if let Some(at) = shapes.iter().zip(&moved_by).position(vector) {
            let remedy = "Muon moves what has two dimensions or more: write adamw";
            return Err(refuse(format!("moved_by[{at}]"), "muon".to_owned(), remedy));
        }
        let Aux { lr, betas, eps, weight_decay } = self.aux.as_ref().unwrap_or(&Aux::NONE);
        let aux = Adam {
            betas: betas.unwrap_or([0.9, 0.95]),
            eps: eps.unwrap_or(1e-10),
            weight_decay: weight_decay.unwrap_or(0.0),
        };
        let aux_lr = lr.unwrap_or(3e-4);
        above("aux.lr", aux_lr)?;
        Ok(Muon {
            momentum,
            nesterov: self.nesterov.unwrap_or(true),
            weight_decay: self.decay(0.0)?,
            ns_steps,
            shapes,
            moved_by,
            aux_lr,
            aux: aux.checked("aux.")?,
        })
    }
}

impl Aux {
    const NONE: Self = Self { lr: None, betas: None, eps: None, weight_decay: None };
}

/// Muon moves weights, apart from the last one and from filters in front, as its author advises.
fn moved_by_default(shapes: &[Vec<u32>]) -> Vec<MovedBy> {
    let last = shapes.iter().rposition(|shape| shape.len() > 1);
    let by = |(at, shape): (usize, &Vec<u32>)| {
        let filters_in_front = at == 0 && shape.len() > 3;
        let muon = shape.len() > 1 && Some(at) != last && !filters_in_front;
        if muon { MovedBy::Muon } else { MovedBy::Adamw }
    };
    shapes.iter().enumerate().map(by).collect()
}

impl Adam {
    fn checked(self, at: &str) -> Result<Self, RuleFileError> {
        for (index, beta) in self.betas.iter().enumerate() {
            share(&format!("{at}betas[{index}]"), *beta)?;
        }
        not_below(&format!("{at}eps"), self.eps)?;
        not_below(&format!("{at}weight_decay"), self.weight_decay)?;
        Ok(self)
    }
}

/// The largest count that the rule's f32 counter tells from the next.
const MOST_STEPS: u64 = (1 << 24) - 1;

impl State {
    /// Both moments with their count, or none of them.
    fn require_moments(&self) -> Result<(), RuleFileError> {
        let given = [self.m.is_some(), self.v.is_some(), self.step.is_some()];
        for (given, key) in given.iter().zip(["state.m", "state.v", "state.step"]) {
            if !given && (self.m.is_some() || self.v.is_some() || self.step > Some(0)) {
                let remedy = "a warm state is m, v and the number of steps taken, all three";
                return Err(RuleFileError::Missing { key, remedy });
            }
        }
        match self.step {
            Some(step) if step > MOST_STEPS => Err(RuleFileError::Value {
                key: "state.step".to_owned(),
                found: step.to_string(),
                remedy: "it is at most 16777215",
            }),
            _ => Ok(()),
        }
    }
}

/// Refuses a list of learning rates with one that is negative or none.
///
/// # Errors
/// With the index and the value.
pub fn require_rates(key: &str, rates: &[f64]) -> Result<(), RuleFileError> {
    if !rates.iter().any(|rate| *rate > 0.0) {
        let (key, found) =
            (key.to_owned(), format!("a list of {} without one above 0", rates.len()));
        return Err(RuleFileError::Value { key, found, remedy: "write a rate for each step" });
    }
    rates.iter().enumerate().try_for_each(|(at, rate)| not_below(&format!("{key}[{at}]"), *rate))
}

fn above(key: &str, value: f64) -> Result<(), RuleFileError> {
    let fine = value > 0.0 && value.is_finite();
    require(fine, key, value, "it must be above 0 and finite")
}

fn not_below(key: &str, value: f64) -> Result<(), RuleFileError> {
    let fine = value >= 0.0 && value.is_finite();
    require(fine, key, value, "it must be 0 or above and finite")
}

fn share(key: &str, value: f64) -> Result<(), RuleFileError> {
    require((0.0..1.0).contains(&value), key, value, "it must be 0 or above and below 1")
}

fn require(fine: bool, key: &str, value: f64, remedy: &'static str) -> Result<(), RuleFileError> {
    let refused = || RuleFileError::Value { key: key.to_owned(), found: value.to_string(), remedy };
    if fine { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        RuleFile::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_pytorchs() {
        let read = |text: &str| RuleFile::parse(text).unwrap().rule;
        let sgd = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        assert_eq!(read("{kind: sgd, lr: 0.1}"), sgd);
        let adam = |weight_decay| Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay };
        assert_eq!(read("{kind: adam, lr: 1e-3}"), Rule::Adam(adam(0.0)));
        assert_eq!(read("{kind: adamw, lr: 1e-3}"), Rule::Adamw(adam(0.01)));
    }

    #[test]
    fn muon_moves_weights_but_the_last_and_filters_in_front() {
        let moved = |shapes: &str| match RuleFile::parse(&format!(
            "{{kind: muon, lr: 0.02, shapes: {shapes}}}"
        )) {
            Ok(RuleFile { rule: Rule::Muon(muon), .. }) => muon.moved_by,
            other => panic!("{other:?}"),
        };
        use MovedBy::{Adamw, Muon};
        assert_eq!(moved("[[4, 3], [4], [5, 4], [5], [2, 5]]"), [Muon, Adamw, Muon, Adamw, Adamw]);
        assert_eq!(moved("[[8, 3, 3, 3], [8, 8, 3, 3], [2, 8]]"), [Adamw, Muon, Adamw]);
    }

    #[test]
    fn mistakes_are_named_with_key_value_and_remedy() {
        insta::assert_snapshot!(refused("{kind: sgdd, lr: 0.1}"), @r#"there is no kind "sgdd"; did you mean "sgd"?"#);
        insta::assert_snapshot!(refused("kind: sgd\nlr: 0"), @"lr is 0: it must be above 0 and finite");
        insta::assert_snapshot!(refused("{kind: sgd, lr: -.inf}"), @"lr is -inf: it must be above 0 and finite");
        insta::assert_snapshot!(refused("{kind: sgd, lr: [0.1, -0.1]}"), @"lr[1] is -0.1: it must be 0 or above and finite");
        insta::assert_snapshot!(refused("{kind: sgd}"), @"`lr` is missing: write a number, a list of numbers, or the name of a .npy file");
        insta::assert_snapshot!(refused("{kind: adam, lr: 0.1, betas: [0.9, 1.0]}"), @"betas[1] is 1: it must be 0 or above and below 1");
        insta::assert_snapshot!(refused("{kind: sgd, lr: 0.1, nesterov: true}"), @"nesterov is true: Nesterov's form needs a momentum above 0");
        insta::assert_snapshot!(refused("{kind: adam, lr: 0.1, amsgrad: true}"), @"amsgrad is true: estimates know the rule without it only");
        insta::assert_snapshot!(refused("{kind: adam, lr: 0.1, state: {m: m.npy, step: 3}}"), @"`state.v` is missing: a warm state is m, v and the number of steps taken, all three");
        insta::assert_snapshot!(refused("{kind: sgd, lr: 0.1, betas: [0.9, 0.99]}"), @"`betas` means nothing to kind sgd; it takes: lr, weight_decay, clip, momentum, nesterov, state.momentum");
        insta::assert_snapshot!(refused("{kind: muon, lr: 0.1, shapes: [[4]], moved_by: [muon]}"), @"moved_by[0] is muon: Muon moves what has two dimensions or more: write adamw");
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_name() {
        let refused = refused("kind: sgd\nlr: 0.1\nmomentun: 0.9\n");
        assert!(refused.starts_with("line 3, column 1: unknown field `momentun`"), "{refused}");
        assert!(refused.ends_with("did you mean `momentum`?"), "{refused}");
    }

    #[test]
    fn what_is_at_its_default_may_be_written_down() {
        assert!(RuleFile::parse("{kind: sgd, lr: 0.1, dampening: 0, maximize: false}").is_ok());
    }
}
