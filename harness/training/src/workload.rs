//! A workload: data, model, metrics, target and budget.
//!
//! A workload gives methods [`Splits`] and [`SideInfo`]; what judges a model, its [`Judge`], stays
//! with the training loop, so that no method can see an evaluation.

use std::sync::Arc;

use crate::splits::{DataIdentity, Splits};
use data::Sources;
use lab::LabError;
use lab::network::Network;
use lab::offers;
use lab::seat::Facts;
use lab::side_info::{Conditions, Generation, SideInfo};
use ledger::catalogue::{Count, DataName, MetricInfo, WorkloadInfo};
use ledger::record::pictures::Pictures;
use ledger::settings::{SettingError, SettingInfo, Values, refuse_unknown};
use ledger::streams::Streams;
use tch::Device;

use crate::artefacts::Artefacts;
use crate::judge::Judge;

/// A workload. Its id is the file's name with dashes, its family the folder's, its card the file's
/// doc comment: the registry fills these in. What workloads have in common is a constant of their
/// shared module, from which they take the rest: `..templates::WORKLOAD`.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// One line for people.
    pub title: &'static str,
    /// What the data are.
    pub data: DataName,
    /// What it offers methods: words of [`lab::offers`]; all that [`Ready::offers`] finds.
    pub offers: &'static [&'static str],
    /// Every metric it reports.
    pub metrics: &'static [MetricInfo],
    /// Metric the target is set on, one of `metrics`.
    pub metric: &'static str,
    /// Default target, on the validation split.
    pub target: f64,
    /// Where the default target comes from.
    pub target_origin: &'static str,
    /// Default budget in epochs of the training split.
    pub budget_epochs: f64,
    /// Default distance between evaluations, in epochs of the training split.
    pub evaluate_every_epochs: f64,
    /// Number of training, validation and test examples.
    pub split_sizes: [u32; 3],
    /// Setting with the number of training examples, where epochs of budgets are of that many.
    pub epoch_setting: Option<&'static str>,
    /// Counts the training examples, where that takes a look at files of the user's.
    pub count: Option<Count>,
    /// Settings table.
    pub settings: fn() -> Vec<SettingInfo>,
    /// Checks and completes settings.
    pub resolve: fn(&Values) -> Result<Values, SettingError>,
    /// Loads or generates the data and puts them on the device.
    pub load: fn(&Values, &Sources, Device) -> Result<Ready, LabError>,
    /// Builds the network from the `init` stream.
    pub network: fn(&Values, &SideInfo, &Streams, Device) -> Result<Network, LabError>,
    /// Brings the network to where every method starts from, when that is not its initialisation.
    pub start: Option<Start>,
    /// Draws what a run leaves to look at, from the network that is judged at its end.
    pub pictures: Option<Draw>,
}

/// Draws the pictures of a run.
pub type Draw = fn(&Network, &Splits) -> Result<Pictures, LabError>;

impl Workload {
    /// Nothing yet: no settings, no start, and an error where data or a network are asked for. What
    /// shared constants begin with.
    pub const BLANK: Self = Self {
        title: "",
        data: DataName::Generated,
        offers: &[],
        metrics: &[],
        metric: "",
        target: 0.0,
        target_origin: "",
        budget_epochs: 0.0,
        evaluate_every_epochs: 0.0,
        split_sizes: [0; 3],
        epoch_setting: None,
        count: None,
        settings: Vec::new,
        resolve: |values| refuse_unknown(values, &[]).map(|()| Values::new()),
        load: |_, _, _| Err(undeclared("data")),
        network: |_, _, _, _| Err(undeclared("network")),
        start: None,
        pictures: None,
    };
}

fn undeclared(what: &str) -> LabError {
    std::io::Error::other(format!("the workload's file declares no {what}")).into()
}

/// A workload with what the folder scan knows of it.
#[derive(Debug)]
pub struct Entry {
    /// Name in suites.
    pub id: &'static str,
    /// Folder of its file.
    pub family: &'static str,
    /// The file's doc comment, as Markdown.
    pub card: &'static str,
    /// What the file declares.
    pub workload: &'static Workload,
}

impl Entry {
    /// The row that planner, `list` and `explain` see.
    #[must_use]
    pub fn info(&self) -> WorkloadInfo {
        let Workload { settings, resolve, .. } = *self.workload;
        let Workload { title, data, offers, metrics, metric, .. } = *self.workload;
        let Workload { target, target_origin, split_sizes, epoch_setting, count, .. } =
            *self.workload;
        let Workload { budget_epochs, evaluate_every_epochs, .. } = *self.workload;
        WorkloadInfo {
            id: self.id,
            family: self.family,
            title,
            data,
            offers,
            metrics,
            metric,
            target,
            target_origin,
            budget_epochs,
            evaluate_every_epochs,
            split_sizes,
            epoch_setting,
            count,
            settings: settings(),
            resolve,
            card: self.card,
        }
    }
}

/// Trains the common start of all methods of one seed; what it cost and its digest are facts.
pub type Start =
    fn(&mut Network, &Ready, &Values, &Streams, &dyn Artefacts) -> Result<Facts, LabError>;

/// A workload's data, ready to train on.
#[derive(Debug)]
pub struct Ready {
    /// Tensors on the device.
    pub splits: Splits,
    /// What they are.
    pub identity: Arc<DataIdentity>,
    /// What methods may know of them.
    pub side: SideInfo,
    /// What judges a model.
    pub judge: Box<dyn Judge>,
}

impl Ready {
    /// What methods find here, in the words of [`Workload::offers`].
    #[must_use]
    pub fn offers(&self) -> Vec<&'static str> {
        let SideInfo { loss, classes, tokens, groups, scores, verifier, generation, .. } =
            &self.side;
        let SideInfo { points, student, elastic, permutation, clips, episodes, .. } = &self.side;
        let SideInfo { captions, world, branches, budgets, thoughts, .. } = &self.side;
        let SideInfo { sentences, markers, pairs, apart, unlabelled, .. } = &self.side;
        let conditions = generation.as_ref().and_then(|Generation { conditions, .. }| *conditions);
        let SideInfo { course, bank, reflection, refinement, teachers, house, .. } = &self.side;
        let SideInfo { arrivals, scales, resolution, .. } = &self.side;
        let SideInfo { patches, films, rotary, .. } = &self.side;
        let prompts = verifier.as_ref().and_then(|verifier| verifier.prompt_length());
        let words = [
            (loss.is_some(), offers::LOSS),
            (classes.is_some(), offers::CLASSES),
            (tokens.is_some(), offers::TOKENS),
            (tokens.is_some_and(|tokens| tokens.end.is_some()), offers::RESPONSES),
            (!groups.is_empty() && self.splits.probe.is_some(), offers::GROUPS),
            (!scores.is_empty(), offers::SCORES),
            (pairs.is_some(), offers::PAIRS),
            (apart.is_some(), offers::APART),
            (verifier.is_some(), offers::VERIFIER),
            (prompts.is_some(), offers::PROMPTS),
            (branches.is_some(), offers::BRANCHES),
            (generation.is_some(), offers::DENOISING),
            (generation.as_ref().is_some_and(|one| one.shape.len() == 3), offers::IMAGES),
            (matches!(conditions, Some(Conditions::Classes(_))), offers::CLASSES_TO_ASK),
            (matches!(conditions, Some(Conditions::Rewards { .. })), offers::REWARDS),
            (generation.as_ref().is_some_and(|g| g.reward.is_some()), offers::REWARD),
            (points.is_some() && student.is_some(), offers::TASKS),
            (elastic.is_some(), offers::PARTS),
            (captions.is_some(), offers::CAPTIONS),
            (budgets.is_some(), offers::BUDGETS),
            (thoughts.is_some(), offers::THOUGHTS),
            (!permutation.is_empty(), offers::PERMUTATION),
            (world.is_some(), offers::PREFERENCES),
            (clips.is_some(), offers::CLIPS),
            (episodes.is_some(), offers::EPISODES),
            (sentences.is_some(), offers::SENTENCES),
            (markers.is_some(), offers::MARKERS),
            (unlabelled.is_some(), offers::UNLABELLED),
            (course.is_some(), offers::COURSE),
            (bank.is_some(), offers::BANK),
            (reflection.is_some(), offers::REFLECTION),
            (refinement.is_some(), offers::REFINEMENT),
            (teachers.is_some(), offers::TEACHERS),
            (house.is_some(), offers::HOUSE),
            (arrivals.is_some(), offers::ARRIVALS),
            (!scales.is_empty(), offers::SCALES),
            (resolution.is_some(), offers::HIGHER),
            (patches.is_some(), offers::PATCHES),
            (*films > 0, offers::FILMS),
            (*rotary > 0, offers::ROTARY),
        ];
        words.into_iter().filter_map(|(found, word)| found.then_some(word)).collect()
    }
}
