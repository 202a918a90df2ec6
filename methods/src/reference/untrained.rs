//! # Untrained
use lab::method::Method;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::seat::Recipe;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;

settings! {
    /// Settings.
    pub struct Settings {
        /// unused
        batch_size: u32 = 16, from "assumed";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "TEMPORARY",
    paper: Paper { title: "", authors: "", year: 2024, reference: "", code: "" },
    claim: PaperClaim { statement: "", number: "", source: "" },
    baseline: None,
    needs: &[],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size } = Settings::read(values)?;
        let rule = Adamw::new(AdamwSettings { lr: 1e-30, weight_decay: 0.0, ..AdamwSettings::default() }, task.network, |_, _| true)?;
        Recipe::plain(batch_size, Schedule::Constant, Box::new(rule), task)
    },
};
