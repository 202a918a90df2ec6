//! What can go wrong on the libtorch side.

/// An error of the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// Data are missing or damaged.
    #[error(transparent)]
    Data(#[from] data::DataError),
    /// A setting does not fit this workload or its joint rules.
    #[error(transparent)]
    Setting(#[from] ledger::settings::SettingError),
    /// A device that is not there.
    #[error("device \"{asked}\" is not usable: {reason}")]
    Device {
        /// What was asked for.
        asked: String,
        /// Why it cannot be used, and what can.
        reason: String,
    },
    /// A method asked for what the workload cannot give.
    #[error("{method} on {workload}: {reason}")]
    Unfit {
        /// Method id.
        method: String,
        /// Workload id.
        workload: String,
        /// What does not fit.
        reason: String,
    },
    /// A file does not hold the weights of the network.
    #[error("{file}: {reason}")]
    Weights {
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A network was asked for what it has not, or was given what it does not take.
    #[error("{0}")]
    Network(String),
    /// A part of a method was called out of turn, or its parts do not fit together: a fault of the
    /// method.
    #[error("{0}")]
    Method(String),
    /// An order gave ids or steps that cannot be consumed: a fault of the method.
    #[error("{0}")]
    Order(String),
    /// What was kept of a run is not its state.
    #[error("what was kept of the run is not its state: {0}")]
    State(String),
    /// A part of the run cannot be kept.
    #[error("the run cannot be kept between its steps: {0}")]
    Unkept(String),
    /// Somebody stopped the run between two steps; it was kept if that was possible.
    #[error("stopped behind step {step}, to go on later")]
    Stopped {
        /// Steps that were taken.
        step: u64,
    },
    /// The run's observer (evaluation sink, file) failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
