//! Whose loss is predicted: that of a whole split, of a group within it, or of training examples that
//! may have been forgotten; and the loss elsewhere that an answer is judged by.

use anyhow::bail;
use lab::side_info::SideInfo;
use lab::split::Split;
use ledger::catalogue::hint;
use stats::estimates::settings::{FitSettings, HeldOut, Target};
use tch::Tensor;
use training::splits::Splits;

/// What is predicted and what it is judged by, in words.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was asked for, where it is not a whole split.
    pub target: Option<String>,
    /// The loss that is predicted.
    pub name: String,
    /// The split that an answer is judged by.
    pub elsewhere: HeldOut,
    /// The loss there.
    pub elsewhere_name: String,
}

/// The examples that are predicted and those that an answer is judged by, where they are not whole
/// splits.
pub struct Parts {
    /// Of the first.
    pub here: Option<Split>,
    /// Of the second.
    pub there: Option<Split>,
}

/// The split of this name.
pub fn whole(splits: &Splits, split: HeldOut) -> &Split {
    match split {
        HeldOut::Validation => &splits.validation,
        HeldOut::Test => &splits.test,
    }
}

/// Finds what `fit` asks for. What was chosen for a split is judged on the other; for a group, on the
/// same group there; for training examples, on the split, which says what remembering them costs.
pub fn find(
    fit: &FitSettings,
    splits: &Splits,
    side: &SideInfo,
) -> anyhow::Result<(Judged, Parts)> {
    let (here, there) = (fit.held_out, fit.held_out.other());
    Ok(match &fit.target {
        Target::Split => {
            let (name, elsewhere_name) = (here.name().to_owned(), there.name().to_owned());
            let judged = Judged { target: None, name, elsewhere: there, elsewhere_name };
            (judged, Parts { here: None, there: None })
        }
        Target::Domain(group) => {
            let number = side.group_names.iter().position(|name| name == group);
            let Some(number) = number else {
                let names: Vec<&str> = side.group_names.iter().map(String::as_str).collect();
                if names.is_empty() {
                    bail!("--target domain:{group}: this workload has no groups");
                }
                bail!("--target domain:{group}: no such group{}", hint(group, names));
            };
            let of = |split: HeldOut| -> anyhow::Result<Split> {
                let all = whole(splits, split);
                let members = (0_u32..).zip(&all.groups);
                let ids: Vec<u32> = members
                    .filter(|(_, group)| **group as usize == number)
                    .map(|(id, _)| id)
                    .collect();
                if ids.is_empty() {
                    bail!(
                        "--target domain:{group}: the {} split has no example of it",
                        split.name()
                    );
                }
                some(all, &ids)
            };
            let parts = Parts { here: Some(of(here)?), there: Some(of(there)?) };
            let named = |split: HeldOut| format!("{} {group}", split.name());
            let target = Some(format!("the group \"{group}\" of the {} split", here.name()));
            let (name, elsewhere_name) = (named(here), named(there));
            (Judged { target, name, elsewhere: there, elsewhere_name }, parts)
        }
        Target::Examples(ids) => {
            let last = splits.train.len() - 1;
            if let Some(id) = ids.iter().find(|id| i64::from(**id) > last) {
                bail!("--target examples:{id}: the training split has the examples 0 to {last}");
            }
            let listed: Vec<String> = ids.iter().map(u32::to_string).collect();
            let name = match ids.as_slice() {
                [one] => format!("example {one}"),
                _ => format!("{} examples", ids.len()),
            };
            let target = Some(format!("the training examples {}", listed.join(" ")));
            let parts = Parts { here: Some(some(&splits.train, ids)?), there: None };
            let elsewhere_name = here.name().to_owned();
            (Judged { target, name, elsewhere: here, elsewhere_name }, parts)
        }
    })
}

/// Some of a split's examples.
fn some(split: &Split, ids: &[u32]) -> anyhow::Result<Split> {
    let rows: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    let rows = Tensor::f_from_slice(&rows)?.f_to_device(split.labels.device())?;
    Ok(Split {
        stored: split.stored.f_index_select(0, &rows)?,
        labels: split.labels.f_index_select(0, &rows)?,
        groups: ids.iter().filter_map(|id| split.groups.get(*id as usize).copied()).collect(),
    })
}
