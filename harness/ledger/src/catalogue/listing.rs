//! The catalogue as owned rows that survive JSON: all that `list` and `explain` print.
//!
//! Methods and workloads are compiled into the engine, beside libtorch; a program that does not
//! load libtorch reads their rows from here.

use serde::{Deserialize, Serialize};

use super::{Catalogue, MethodInfo, MetricInfo, Paper, PaperClaim, WorkloadInfo};
use crate::external::own_task::WORKLOAD;
use crate::settings::SettingInfo;

/// Rows of all that a suite can name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Methods, sorted by id.
    pub methods: Vec<MethodRow>,
    /// Workloads, sorted by id.
    pub workloads: Vec<WorkloadRow>,
}

/// What [`MethodInfo`] says of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodRow {
    /// Name in suites.
    pub id: String,
    /// Family.
    pub family: String,
    /// One line for `list`.
    pub summary: String,
    /// The paper it comes from.
    pub paper: Paper<String>,
    /// The paper's claim.
    pub claim: PaperClaim<String>,
    /// Id of the method it should be compared with; absent for baselines.
    pub baseline: Option<String>,
    /// What it asks of a workload.
    pub needs: Vec<String>,
    /// Its settings, in order.
    pub settings: Vec<SettingInfo<String>>,
    /// The card, as Markdown.
    pub card: String,
}

/// What [`WorkloadInfo`] says of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadRow {
    /// Name in suites.
    pub id: String,
    /// Family.
    pub family: String,
    /// One line for people.
    pub title: String,
    /// Name of the data it needs, as `data list` shows it, or `generated`.
    pub data: String,
    /// What it offers methods.
    pub offers: Vec<String>,
    /// Every metric it reports.
    pub metrics: Vec<MetricInfo<String>>,
    /// Metric the target is set on.
    pub metric: String,
    /// Whether larger is better.
    pub higher_is_better: bool,
    /// Default target, on the validation split.
    pub target: f64,
    /// Where the default target comes from.
    pub target_origin: String,
    /// Default budget in epochs of the training split.
    pub budget_epochs: f64,
    /// Default distance between evaluations, in epochs of the training split.
    pub evaluate_every_epochs: f64,
    /// Number of training, validation and test examples.
    pub split_sizes: [u32; 3],
    /// Settings of the workload itself.
    pub settings: Vec<SettingInfo<String>>,
    /// Markdown for `explain`.
    pub card: String,
}

impl Listing {
    /// The method called `id`.
    #[must_use]
    pub fn method(&self, id: &str) -> Option<&MethodRow> {
        self.methods.iter().find(|method| method.id == id)
    }

    /// The workload called `id`.
    #[must_use]
    pub fn workload(&self, id: &str) -> Option<&WorkloadRow> {
        self.workloads.iter().find(|workload| workload.id == id)
    }

    /// Ids of the workloads that offer all that `method` needs.
    pub fn fitting<'a>(&'a self, method: &'a MethodRow) -> impl Iterator<Item = &'a str> {
        let offers = |workload: &&WorkloadRow| {
            // On data of a program's own nothing but programs can train.
            workload.id != WORKLOAD
                && method.needs.iter().all(|need| workload.offers.contains(need))
        };
        self.workloads.iter().filter(offers).map(|workload| workload.id.as_str())
    }

    /// Ids of all methods, then of all workloads.
    pub fn ids(&self) -> impl Iterator<Item = &str> + Clone {
        let methods = self.methods.iter().map(|method| method.id.as_str());
        methods.chain(self.workloads.iter().map(|workload| workload.id.as_str()))
    }
}

impl From<&Catalogue> for Listing {
    fn from(catalogue: &Catalogue) -> Self {
        Self {
            methods: catalogue.methods.iter().map(MethodRow::from).collect(),
            workloads: catalogue.workloads.iter().map(WorkloadRow::from).collect(),
        }
    }
}

impl From<&MethodInfo> for MethodRow {
    fn from(info: &MethodInfo) -> Self {
        let Paper { title, authors, year, reference, code } = info.paper;
        let PaperClaim { statement, number, source } = info.claim;
        Self {
            id: info.id.to_owned(),
            family: info.family.to_owned(),
            summary: info.summary.to_owned(),
            paper: Paper {
                title: title.to_owned(),
                authors: authors.to_owned(),
                year,
                reference: reference.to_owned(),
                code: code.to_owned(),
            },
            claim: PaperClaim {
                statement: statement.to_owned(),
                number: number.to_owned(),
                source: source.to_owned(),
            },
            baseline: info.baseline.map(str::to_owned),
            needs: info.needs.iter().copied().map(str::to_owned).collect(),
            settings: info.settings.iter().map(owned).collect(),
            card: info.card.to_owned(),
        }
    }
}

impl From<&WorkloadInfo> for WorkloadRow {
    fn from(info: &WorkloadInfo) -> Self {
        Self {
            id: info.id.to_owned(),
            family: info.family.to_owned(),
            title: info.title.to_owned(),
            data: info.data.as_str().to_owned(),
            metric: info.metric.to_owned(),
            offers: info.offers.iter().copied().map(str::to_owned).collect(),
            metrics: info.metrics.iter().map(|metric| metric.owned()).collect(),
            higher_is_better: info.higher_is_better(),
            target: info.target,
            target_origin: info.target_origin.to_owned(),
            budget_epochs: info.budget_epochs,
            evaluate_every_epochs: info.evaluate_every_epochs,
            split_sizes: info.split_sizes,
            settings: info.settings.iter().map(owned).collect(),
            card: info.card.to_owned(),
        }
    }
}

fn owned(setting: &SettingInfo) -> SettingInfo<String> {
    SettingInfo {
        name: setting.name.to_owned(),
        doc: setting.doc.to_owned(),
        kind: setting.kind.clone(),
        default: setting.default.clone(),
        source: setting.source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::DataName;
    use super::*;

    fn catalogue() -> Catalogue {
        let settings = vec![SettingInfo {
            name: "lr",
            doc: "Step size.",
            kind: "a number above 0".to_owned(),
            default: 0.1.into(),
            source: "paper §3, \"main.py\"",
        }];
        let method = MethodInfo {
            id: "muon",
            family: "optim",
            summary: "orthogonalised momentum",
            paper: Paper { title: "T", authors: "A", year: 2025, reference: "R", code: "C" },
            claim: PaperClaim { statement: "faster", number: "1.35", source: "table 2" },
            baseline: Some("sgd"),
            needs: &["classes"],
            settings: settings.clone(),
            resolve: |values| Ok(values.clone()),
            card: "# Muon\n\ng ← μ·g",
        };
        let workload = WorkloadInfo {
            id: "digits-mlp",
            family: "classification",
            title: "digits",
            data: DataName::Set("digits"),
            offers: &["classes"],
            metrics: const { &[MetricInfo::share("accuracy", 0.1)] },
            metric: "accuracy",
            target: 0.9,
            target_origin: "assumed",
            budget_epochs: 12.5,
            evaluate_every_epochs: 0.1,
            split_sizes: [1149, 288, 360],
            epoch_setting: None,
            count: None,
            settings,
            resolve: |values| Ok(values.clone()),
            card: "# Digits",
        };
        Catalogue { methods: vec![method], workloads: vec![workload] }
    }

    #[test]
    fn rows_survive_json() {
        let listing = Listing::from(&catalogue());
        let text = serde_json::to_string(&listing).unwrap();
        assert_eq!(serde_json::from_str::<Listing>(&text).unwrap(), listing);
    }

    #[test]
    fn a_row_says_what_the_catalogue_says() {
        let listing = Listing::from(&catalogue());
        let muon = listing.method("muon").unwrap();
        assert_eq!((muon.paper.year, muon.baseline.as_deref()), (2025, Some("sgd")));
        assert_eq!(muon.settings[0].source, "paper §3, \"main.py\"");
        let digits = listing.workload("digits-mlp").unwrap();
        assert_eq!((digits.split_sizes, digits.budget_epochs), ([1149, 288, 360], 12.5));
        assert_eq!(listing.ids().collect::<Vec<_>>(), ["muon", "digits-mlp"]);
        assert!(listing.method("digits-mlp").is_none());
    }
}
