//! The update rule: its YAML file and the arrays that this names.

use std::path::Path;

use analysis::rule_file::{Rate, Rule, RuleFile, require_rates};
use anyhow::{Context as _, bail};
use data::columns::Array;
use inspect::estimate::brought::Start;
use tch::Tensor;

use super::inputs::Inputs;

/// A rule ready to start.
pub struct UpdateRule {
    /// What the file says.
    pub file: RuleFile,
    /// Learning rate of each step.
    pub rates: Vec<f64>,
    /// State at the start.
    pub start: Start,
}

/// Reads the rule and its state; other files count from the folder of `path`.
pub fn read(path: &Path, steps: usize, inputs: &mut Inputs) -> anyhow::Result<UpdateRule> {
    let shown = path.display();
    if !path.is_file() {
        bail!(
            "{shown}: there is no such file; write the update rule there, as in {{kind: sgd, lr: 0.1}}"
        );
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let file = RuleFile::parse(&text).with_context(|| shown.to_string())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let rates = match &file.lr {
        Rate::Constant(rate) => vec![*rate; steps],
        Rate::Each(rates) => rates.clone(),
        Rate::File(name) if name.to_str().is_some_and(|text| text.parse::<f64>().is_ok()) => bail!(
            "{shown}: lr is the text \"{}\": write a finite number, without quotes, or the name of a \
             .npy file",
            name.display()
        ),
        Rate::File(name) => {
            let name = folder.join(name);
            let rates = Array::open(&name)?.values()?;
            require_rates("lr", &rates).with_context(|| name.display().to_string())?;
            rates
        }
    };
    if rates.len() != steps {
        bail!(
            "{shown}: lr has {} values, but orders have {steps} steps: write one a step",
            rates.len()
        );
    }
    let state = &file.state;
    let mut read = |name: &str, file: &Option<_>| -> anyhow::Result<Option<Tensor>> {
        file.as_ref()
            .map(|file: &std::path::PathBuf| inputs.state(name, &folder.join(file)))
            .transpose()
    };
    let momentum = read("state.momentum", &state.momentum)?;
    let moments = match (read("state.m", &state.m)?, read("state.v", &state.v)?) {
        (Some(first), Some(second)) => Some([first, second]),
        _ => None,
    };
    if let (Some([_, second]), Some(file)) = (&moments, &state.v) {
        let lowest = second.f_argmin(None, false)?.f_int64_value(&[])?;
        let value = second.f_double_value(&[lowest])?;
        if value < 0.0 {
            bail!(
                "{}: value {lowest} (counted from 0) is {value}: a second moment is a mean of \
                 squares, never negative",
                folder.join(file).display()
            );
        }
    }
    if let (Rule::Muon(muon), Some(file)) = (&file.rule, &state.momentum)
        && muon.moved_by.iter().all(|by| *by != analysis::rule_file::MovedBy::Muon)
    {
        bail!("{shown}: state.momentum is {}, but Muon moves none of the shapes", file.display());
    }
    let start = Start { momentum, moments, steps: state.step.unwrap_or(0) };
    Ok(UpdateRule { file, rates, start })
}
