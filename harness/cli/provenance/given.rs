//! Which options were given on the command line, so that none is ignored in silence.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// The options that were given, by the names of their fields. It takes no option itself; in a
/// struct of options it comes first, before the others are taken out of what clap found.
#[derive(Debug, Clone, Default)]
pub struct Given(BTreeSet<String>);

impl clap::FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Ok(Self(matches.ids().map(clap::Id::as_str).filter(typed).map(str::to_owned).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl Given {
    /// Whether an option was given.
    pub fn has(&self, option: &str) -> bool {
        self.0.contains(option)
    }

    /// Refuses an option that was given and is not used.
    ///
    /// # Errors
    /// Naming the option and what it needs.
    pub fn require(&self, option: &str, used: bool, needs: &str) -> anyhow::Result<()> {
        if used || !self.has(option) {
            return Ok(());
        }
        bail!("--{} would not be used: {needs}; leave it out", option.replace('_', "-"))
    }
}
