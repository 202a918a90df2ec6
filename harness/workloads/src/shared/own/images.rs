//! Images of one's own: their settings, and what they come to.

use std::path::Path;

use data::images::{Colours, Fit, Folder, Part};
use data::own::OwnData;
use lab::LabError;
use lab::network::Network;
use lab::side_info::SideInfo;
use ledger::choice;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use tch::Device;
use training::workload::Ready;

use super::network::{self, NetworkChoice, NetworkSize};
use super::{Channels, count, named, ready, shares};

choice! {
    /// Channels that images are brought to.
    pub enum Colour {
        /// One: the luma of colours.
        Grey = "grey",
        /// Three; of grey, three times the same.
        Rgb = "rgb",
    }
}

settings! {
    /// Settings of images of one's own.
    pub struct ImagesSettings {
        /// The folder, with a folder a class in it, or `train` and `test` with such; a path from the suite's folder on.
        folder: String = String::new(), from "to be given";
        /// Side of the squares that all images are brought to, in pixels.
        size: u32 = 32, range Range::of(1.0..=1_024.0), from "assumed";
        /// Their channels: grey or rgb.
        channels: Colour = Colour::Rgb, from "assumed";
        /// Share of the images that targets are set on, where no folder holds them.
        validation: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Share of the images that is only reported, where no folder holds them.
        test: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// The network: a name, a name with sizes, or a module scripted in PyTorch.
        network: NetworkChoice = NetworkChoice::Cnn, from "assumed";
        /// Width of hidden layers; of a `cnn` 64 stands for 8, 16 and 32 channels.
        width: u32 = 64, range Range::of(1.0..=16_384.0), from "assumed";
        /// Number of hidden layers of an `mlp`.
        depth: u32 = 2, range Range::of(0.0..=64.0), from "assumed";
    }
}

impl ImagesSettings {
    /// All values; there is a folder, and something is left to train on.
    ///
    /// # Errors
    /// When a setting is unknown or not valid.
    pub fn checked(values: &Values) -> Result<Values, SettingError> {
        let resolved = network::resolved(values, Self::resolve)?;
        let Self { folder, validation, test, .. } = Self::read(&resolved)?;
        named("folder", &folder)?;
        shares(validation, test)?;
        Ok(resolved)
    }

    /// The images.
    ///
    /// # Errors
    /// As [`OwnData::of_images`]; when a share is given of what a folder holds.
    pub fn data(values: &Values) -> Result<OwnData, LabError> {
        let Self { folder, size, channels, validation, test, .. } = Self::read(values)?;
        let colours = match channels {
            Colour::Grey => Colours::Grey,
            Colour::Rgb => Colours::Rgb,
        };
        let fit = Fit { size: size as usize, colours };
        let folder = named("folder", &folder)?;
        refuse_useless_shares(folder, validation, test)?;
        Ok(OwnData::of_images(folder, fit, shares(validation, test)?)?)
    }

    /// The number of images that train, where the network is one for them.
    ///
    /// # Errors
    /// With what is wrong with an image or the network.
    pub fn count(values: &Values) -> Result<u32, String> {
        let size = Self::read(values).map_err(|error| error.to_string())?.size();
        let data = Self::data(values).map_err(|error| error.to_string())?;
        count(&data, Channels::First, &size)
    }

    fn size(self) -> NetworkSize {
        NetworkSize { choice: self.network, width: self.width, depth: self.depth }
    }

    /// The images on a device.
    ///
    /// # Errors
    /// As [`ready`].
    pub fn ready(values: &Values, device: Device) -> Result<Ready, LabError> {
        ready(&Self::data(values)?, Channels::First, device)
    }

    /// The network.
    ///
    /// # Errors
    /// As [`network::network`].
    pub fn network(
        values: &Values,
        side: &SideInfo,
        streams: &Streams,
        device: Device,
    ) -> Result<Network, LabError> {
        network::network(&Self::read(values)?.size(), side, streams, device)
    }
}

/// Refuses a share of what a folder holds; one that is as it is by default may not have been given.
fn refuse_useless_shares(path: &Path, validation: f64, test: f64) -> Result<(), LabError> {
    let usual = ImagesSettings::default();
    let given = [
        ("validation", Part::Validation, validation, usual.validation),
        ("test", Part::Test, test, usual.test),
    ];
    if given.iter().all(|(_, _, share, usual)| share == usual) {
        return Ok(());
    }
    let folder = Folder::open(path).map_err(data::DataError::from)?;
    for (setting, part, share, usual) in given {
        if share != usual && folder.files.iter().any(|file| file.part == Some(part)) {
            let message = format!(
                "setting \"{setting}\" is {share}, but {} holds these images in a folder of their own; leave it out",
                path.display()
            );
            return Err(SettingError::Joint(message).into());
        }
    }
    Ok(())
}
