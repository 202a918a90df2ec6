//! A program's run that is kept between its steps: the program writes what is its own into a file, and the bench puts that beside
//! order, clocks and looks. Another process of the program gets the file back, and the order goes on where it was.

use std::fs;
use std::time::Duration;

use ledger::external::protocol::{Answer, Ask, Keep, Restore};

use super::{ExternalError, Session, expect, fault, unexpected};
use crate::clock::{Phase, Time};
use crate::keeping::{Reached, Wanted};
use crate::run::Observe;
use lab::LabError;
use lab::network::{Body, Network};
use lab::state::State;

/// Name of the file that a program's state is in, both ways.
const FILE: &str = "kept";

/// How long a stretch of a run that is kept is meant to take: a scheduler's time of grace must hold one, and a message is
/// nothing beside it.
const PATIENCE: Duration = Duration::from_secs(2);

impl<T: Time> Session<'_, T> {
    /// Most samples of the next stretch. Steps are the same whatever its length, for a stretch ends with a step.
    pub(super) fn stretch(&self) -> u64 {
        let Some(reach) = self.keeper.reach(self.samples).filter(|_| self.keeps) else {
            return u64::MAX;
        };
        // At first a step.
        let patient = self.pace.map_or(1.0, |(samples, took)| {
            f64::from(samples) * PATIENCE.as_secs_f64() / took.as_secs_f64().max(1e-6)
        });
        reach.min(patient as u64).max(1)
    }

    /// Keeps the run behind a stretch, where that is wanted.
    pub(super) fn keep(&mut self) -> Result<(), ExternalError> {
        let (steps, samples) = (self.transcript.steps(), self.samples);
        let reached = Reached { steps, samples, passed: self.clock.passed() };
        let wanted = self.keeper.wanted(&reached);
        if wanted == Wanted::Nothing {
            return Ok(());
        }
        self.clock.enter(Phase::Io);
        if self.keeps {
            match self.own_state()? {
                Ok(mut own) => {
                    let (state, _) = self.state(None, &mut own)?;
                    self.keeper.keep(&reached, &state)?;
                }
                Err(reason) => self.keeper.missed(&reason),
            }
        } else {
            let reason = "its program does not say that it `keeps` its state";
            self.keeper.cannot(&LabError::Unkept(reason.to_owned()).to_string());
        }
        if wanted == Wanted::Stopped {
            return Err(LabError::Stopped { step: steps }.into());
        }
        Ok(())
    }

    /// What the program wrote of its state, or why it did not.
    fn own_state(&mut self) -> Result<Result<Vec<u8>, String>, ExternalError> {
        let ask = Ask::Keep(Keep { file: FILE.to_owned() });
        let Answer::Kept(kept) = expect(self.program, &ask, "kept")? else {
            return fault("it kept nothing");
        };
        let path = self.setup.folder.join(FILE);
        if let Some(reason) = kept.reason {
            let _ = fs::remove_file(&path);
            return Ok(Err(format!("its program says: {reason}")));
        }
        if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return fault(format!("it said that it was kept, but {FILE} is no file of its folder"));
        }
        let own = fs::read(&path)?;
        fs::remove_file(&path)?;
        Ok(Ok(own))
    }

    /// Goes on from what an earlier part of the run has kept. That the program starts and loads its data again is on no clock.
    pub(super) fn go_on(
        &mut self,
        found: &[u8],
        rounds: &[u32],
        observe: &mut Observe<'_>,
    ) -> Result<(), ExternalError> {
        let mut own = Vec::new();
        let (_, clocks) = self.state(Some(found), &mut own)?;
        let fits = rounds.get(self.epoch as usize).is_some_and(|to| self.from <= *to);
        if !fits || !self.keeps {
            let reason =
                if fits { "the program keeps none any more" } else { "it is of another budget" };
            return Err(LabError::State(reason.to_owned()).into());
        }
        self.give_data()?;
        self.clock.enter(Phase::Other);
        let path = self.setup.folder.join(FILE);
        fs::write(&path, &own)?;
        let restore = Restore {
            file: FILE.to_owned(),
            epoch: self.epoch,
            samples: self.samples,
            steps: self.transcript.steps(),
        };
        match self.program.ask(&Ask::Restore(restore))? {
            Answer::Restored {} => {}
            Answer::Error(reason) => {
                let reason = format!("its program cannot go on from it: {}", reason.reason);
                return Err(LabError::State(reason).into());
            }
            other => return fault(unexpected(&other, "restored")),
        }
        // A program may have renamed it.
        let _ = fs::remove_file(&path);
        self.looks.iter().try_for_each(observe)?;
        self.clock.go_on(clocks);
        Ok(())
    }

    /// Writes where the run is, or reads it from `found`; with the program's `own` state, and what the clocks showed.
    fn state(
        &mut self,
        found: Option<&[u8]>,
        own: &mut Vec<u8>,
    ) -> Result<(Vec<u8>, [Duration; 4]), LabError> {
        let network = Network::new(Vec::new(), Vec::new(), Body::Layers(Vec::new()));
        let mut state = match found {
            None => State::writing(&network),
            Some(bytes) => State::reading(bytes, &network),
        };
        let mut who = self.who.clone();
        state.told("program", &mut who)?;
        if who != self.who {
            let reason = format!(
                "its program has said of itself {}, and says {}",
                shown(&who),
                shown(&self.who)
            );
            return Err(LabError::State(reason));
        }
        state.of("samples", &mut self.samples)?;
        state.of("target_met", &mut self.target_met)?;
        state.of("loss", &mut self.loss)?;
        state.of("tells", &mut self.tells)?;
        state.of("finite", &mut self.finite)?;
        state.told("looks", &mut self.looks)?;
        state.of("epoch", &mut self.epoch)?;
        state.of("from", &mut self.from)?;
        let (mut consumed, mut epochs) = self.transcript.recorded();
        let mut chain = self.transcript.chain();
        state.of("consumed", &mut consumed)?;
        state.of("epochs", &mut epochs)?;
        state.told("chain", &mut chain)?;
        let mut clocks = self.clock.shown();
        state.told("clocks", &mut clocks)?;
        state.bytes("own", own)?;
        if state.is_read() {
            let again = self.transcript.go_on(&consumed, &epochs);
            again.map_err(|error| LabError::State(error.to_string()))?;
            if self.transcript.chain() != chain || consumed.len() as u64 != self.samples {
                let reason = "its order is not that of this commitment";
                return Err(LabError::State(reason.to_owned()));
            }
        }
        Ok((state.finish()?, clocks))
    }
}

/// Versions and device in words.
fn shown(
    (versions, device): &(std::collections::BTreeMap<String, String>, Option<String>),
) -> String {
    let versions = versions.iter().map(|(name, version)| format!("{name} {version}"));
    let words: Vec<String> = versions.chain(device.clone()).collect();
    format!("\"{}\"", words.join(", "))
}
