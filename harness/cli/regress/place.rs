//! Where histories are kept: options shared by the verbs that read or write them.

use std::path::PathBuf;

use crate::git::{GitError, HISTORY_BRANCH, HistoryBranch};

/// Where histories are.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Git repository of the code that is measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repository: PathBuf,
    /// Branch with the histories
    #[arg(long, value_name = "BRANCH", default_value = HISTORY_BRANCH)]
    pub branch: String,
    /// Read the branch of this remote, and push to it; without it, nothing leaves the repository
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
}

impl Place {
    /// Opens the branch; it need not exist.
    ///
    /// # Errors
    /// When the folder is in no repository, or a name may not be one.
    pub fn open(&self) -> Result<HistoryBranch, GitError> {
        let branch = HistoryBranch::open(&self.repository, &self.branch)?;
        match &self.remote {
            Some(remote) => branch.of_remote(remote),
            None => Ok(branch),
        }
    }
}
