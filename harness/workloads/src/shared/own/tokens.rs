//! Text or tokens of one's own: their settings, and what they come to.

use std::sync::Arc;

use data::Origin;
use data::text::spelling::{Spelling, Unit};
use data::tokens::{self, Format, TokenData, Wanted};
use lab::LabError;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::side_info::SideInfo;
use ledger::choice;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use tch::Device;
use training::splits::{DataIdentity, Splits};
use training::workload::Ready;

use super::network::{self, GptSizes, NetworkChoice, NetworkSize};
use super::{named, shares};
use crate::shared::language::split;
use crate::shared::text::{Compression, Writing};

choice! {
    /// What the file is.
    pub enum FormatName {
        /// By the ending of its name.
        Auto = "auto",
        /// A text.
        Text = "text",
        /// An object a line, one of whose fields is a document.
        Lines = "jsonl",
        /// Numbers of 16 bits.
        Numbers = "u16",
    }
}

choice! {
    /// What texts are read in.
    pub enum UnitName {
        /// Characters.
        Character = "character",
        /// Bytes.
        Byte = "byte",
    }
}

settings! {
    /// Settings of text or tokens of one's own.
    pub struct TokensSettings {
        /// The file; a path from the suite's folder on.
        file: String = String::new(), from "to be given";
        /// text, jsonl (an object a line) or u16 (16-bit numbers, low byte first); auto goes by .jsonl, .ndjson and .bin.
        format: FormatName = FormatName::Auto, from "assumed";
        /// Field of JSON lines that holds a document; `text` when empty.
        field: String = String::new(), from "assumed";
        /// What texts are read in: character or byte.
        unit: UnitName = UnitName::Character, from "assumed";
        /// Number of different 16-bit tokens; 0 for one more than the largest in the file.
        vocabulary: u32 = 0, range Range::of(0.0..=65_536.0), from "assumed";
        /// Tokens that are read at once.
        context: u32 = 64, range Range::of(1.0..=4_096.0), from "assumed";
        /// Share of the blocks or documents that targets are set on.
        validation: f64 = 0.1, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Share of the blocks or documents that is only reported.
        test: f64 = 0.1, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// The model: gpt or gru, with sizes, or a module scripted in PyTorch.
        network: NetworkChoice = NetworkChoice::Gpt(GptSizes::default()), from "assumed";
    }
}

impl TokensSettings {
    /// All values; there is a file, something is left to train on, and each setting has a use.
    ///
    /// # Errors
    /// When a setting is unknown, not valid, or of another kind of file.
    pub fn checked(values: &Values) -> Result<Values, SettingError> {
        let resolved = network::resolved(values, Self::resolve)?;
        let settings = Self::read(&resolved)?;
        let format = settings.format()?;
        shares(settings.validation, settings.test)?;
        let useless = |setting: &str, of: &str| {
            let message = format!(
                "setting \"{setting}\" is of {of}, and this file is not read so; leave it out, or set `format`"
            );
            Err(SettingError::Joint(message))
        };
        if !settings.field.is_empty() && format != Format::Lines {
            return useless("field", "JSON lines");
        }
        if settings.vocabulary != 0 && format != Format::Numbers {
            return useless("vocabulary", "16-bit numbers");
        }
        if settings.unit != UnitName::Character && format == Format::Numbers {
            return useless("unit", "texts");
        }
        Ok(resolved)
    }

    fn format(&self) -> Result<Format, SettingError> {
        let file = named("file", &self.file)?;
        Ok(match self.format {
            FormatName::Auto => Format::of(file),
            FormatName::Text => Format::Text,
            FormatName::Lines => Format::Lines,
            FormatName::Numbers => Format::Numbers,
        })
    }

    fn data(&self) -> Result<TokenData, LabError> {
        let Self { file, field, unit, vocabulary, context, validation, test, .. } = self;
        let wanted = Wanted {
            format: self.format()?,
            unit: match unit {
                UnitName::Character => Unit::Character,
                UnitName::Byte => Unit::Byte,
            },
            field: if field.is_empty() { "text" } else { field },
            vocabulary: (*vocabulary > 0).then_some(*vocabulary),
            context: *context as usize,
        };
        Ok(tokens::load(named("file", file)?, &wanted, shares(*validation, *test)?)?)
    }

    /// The number of training windows, where the model is one for them.
    ///
    /// # Errors
    /// With what is wrong with the file or the model.
    pub fn count(values: &Values) -> Result<u32, String> {
        let settings = Self::read(values).map_err(|error| error.to_string())?;
        let data = settings.data().map_err(|error| error.to_string())?;
        let side = side(&settings.writing(data.spelling));
        network::fits(&settings.size(), &side).map_err(|error| error.to_string())?;
        u32::try_from(data.train.ids.len())
            .map_err(|_| "more windows than 32 bits count".to_owned())
    }

    /// Numbers that the model has at least, by its sizes.
    ///
    /// # Errors
    /// When a setting is not valid.
    pub fn least_parameters(values: &Values, vocabulary: u64) -> Result<u64, SettingError> {
        Ok(network::least_parameters(&Self::read(values)?.network, vocabulary))
    }

    fn size(&self) -> NetworkSize {
        NetworkSize { choice: self.network.clone(), width: 0, depth: 0 }
    }

    fn writing(&self, spelling: Spelling) -> Writing {
        Writing { spelling, context: self.context, reads: self.context }
    }

    /// The windows on a device.
    ///
    /// # Errors
    /// As [`tokens::load`], or when the device has no room.
    pub fn ready(values: &Values, device: Device) -> Result<Ready, LabError> {
        let settings = Self::read(values)?;
        let TokenData { train, validation, test, spelling, left_out, own } = settings.data()?;
        let context = settings.context as usize;
        let splits = Splits {
            train: split(train.examples.iter(), context + 1, device)?,
            probe: None,
            validation: split(validation.examples.iter(), context + 1, device)?,
            test: split(test.examples.iter(), context + 1, device)?,
        };
        let writing = settings.writing(spelling);
        let side = side(&writing);
        let judge = Compression::new(writing, left_out, &validation, &test);
        let identity = DataIdentity {
            own: Some(own),
            ..DataIdentity::new(train.ids, &validation.ids, &test.ids, Origin::Own)
        };
        Ok(Ready { splits, identity: Arc::new(identity), side, judge: Box::new(judge) })
    }

    /// The model.
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

/// What methods and networks may know of the windows.
fn side(writing: &Writing) -> SideInfo {
    SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(writing.tokens()),
        ..SideInfo::default()
    }
}
