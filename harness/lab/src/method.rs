//! A method: what its file declares, and nothing the harness can derive.

use ledger::catalogue::{MethodInfo, Paper, PaperClaim};
use ledger::settings::{SettingError, SettingInfo, Values};

use crate::LabError;
use crate::recipe::Recipe;
use crate::seat::TaskInfo;

/// A training method. Its id is the file's name with dashes, its family the folder's, its card the
/// file's doc comment: the registry fills these in.
#[derive(Debug)]
pub struct Method {
    /// One line for `list`.
    pub summary: &'static str,
    /// The paper.
    pub paper: Paper,
    /// The paper's claim with its number and source.
    pub claim: PaperClaim,
    /// Id of the method to compare with; absent for baselines.
    pub baseline: Option<&'static str>,
    /// What it asks of a workload: words of [`crate::offers`].
    pub needs: &'static [&'static str],
    /// Settings table.
    pub settings: fn() -> Vec<SettingInfo>,
    /// Checks and completes settings.
    pub resolve: fn(&Values) -> Result<Values, SettingError>,
    /// Takes its seats for one run.
    pub build: fn(&Values, &TaskInfo<'_>) -> Result<Recipe, LabError>,
}

/// A method with what the folder scan knows of it.
#[derive(Debug)]
pub struct Entry {
    /// Name in suites.
    pub id: &'static str,
    /// Folder of its file.
    pub family: &'static str,
    /// The file's doc comment, as Markdown.
    pub card: &'static str,
    /// What the file declares.
    pub method: &'static Method,
}

impl Entry {
    /// The row that the planner and `explain` see.
    #[must_use]
    pub fn info(&self) -> MethodInfo {
        let Method { summary, paper, claim, baseline, needs, settings, resolve, .. } = *self.method;
        MethodInfo {
            id: self.id,
            family: self.family,
            summary,
            paper,
            claim,
            baseline,
            needs,
            settings: settings(),
            resolve,
            card: self.card,
        }
    }
}
