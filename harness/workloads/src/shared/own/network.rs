//! A network by its name and sizes, or a module scripted in PyTorch, as the setting `network` says it: `mlp`,
//! `{ vit: { patch: 4, width: 64 } }`, `{ torchscript: net.pt }`.

mod sizes;

use std::fs;
use std::io;
use std::path::Path;

use data::columns::shape_text;
use lab::LabError;
use lab::models::cnn::{self, cnn};
use lab::models::gpt::{self, gpt};
use lab::models::gru::{Units, of_rows, of_tokens};
use lab::models::mlp::mlp;
use lab::models::plain_vit::{self, plain_vit};
use lab::models::resnet::{self, resnet};
use lab::models::script::{self, script};
use lab::network::Network;
use lab::side_info::SideInfo;
use ledger::digest::Digest;
use ledger::plain;
use ledger::settings::SettingError;
use ledger::streams::Streams;
use tch::{Device, Kind};

pub use sizes::{GptSizes, GruSizes, ModuleFile, NetworkChoice, ResnetSizes, VitSizes, resolved};

/// Channels of the convolutions of a [`cnn`], times the setting `width` over 64.
const CNN_WIDTHS: [usize; 3] = [8, 16, 32];

/// Largest file of a module.
const MOST_BYTES: u64 = 1 << 30;

/// A network, and what is said of its size beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSize {
    /// Which.
    pub choice: NetworkChoice,
    /// Width of hidden layers of an `mlp`; of a `cnn` 64 stands for 8, 16 and 32 channels.
    pub width: u32,
    /// Hidden layers of an `mlp`.
    pub depth: u32,
}

/// What a network takes.
#[derive(Debug, Clone, Copy)]
enum Examples<'a> {
    Tokens { vocabulary: usize, context: usize },
    Image([usize; 3]),
    Row(&'a [usize]),
}

impl<'a> Examples<'a> {
    fn of(side: &'a SideInfo) -> Self {
        match side.shape[..] {
            _ if side.tokens.is_some() => {
                Self::Tokens { vocabulary: side.vocabulary(), context: side.context() }
            }
            [channels, height, width] => Self::Image([channels, height, width]),
            _ => Self::Row(&side.shape),
        }
    }
}

fn outputs(side: &SideInfo) -> usize {
    side.classes.unwrap_or(1) as usize
}

/// Whether a network of this size is one for such examples, as far as its size says; of a module, whether it does
/// what it has to on two batches. For plans, before anything runs.
///
/// # Errors
/// With the setting that does not fit, or what is wrong with the module.
pub fn fits(size: &NetworkSize, side: &SideInfo) -> Result<(), LabError> {
    if let NetworkChoice::TorchScript(file) = &size.choice {
        return module(file, side, &Streams::new([0; 32]), Device::Cpu).map(|_| ());
    }
    checked(size, side)
}

fn checked(size: &NetworkSize, side: &SideInfo) -> Result<(), LabError> {
    let refuse = |reason: String| Err(SettingError::Joint(reason).into());
    let name = size.choice.name();
    match (&size.choice, Examples::of(side)) {
        (
            NetworkChoice::Mlp | NetworkChoice::Cnn | NetworkChoice::Resnet(_) | NetworkChoice::Vit(_),
            Examples::Tokens { .. },
        ) => refuse(format!(
            "network \"{name}\" takes numbers, and examples are tokens here; take \"gpt\" or \"gru\""
        )),
        (NetworkChoice::Gpt(_), Examples::Image(_) | Examples::Row(_)) => refuse(
            "network \"gpt\" takes tokens, and examples are numbers here; take \"mlp\", or \"vit\" for images"
                .to_owned(),
        ),
        (
            NetworkChoice::Cnn | NetworkChoice::Resnet(_) | NetworkChoice::Vit(_) | NetworkChoice::Gru(_),
            Examples::Row(shape),
        ) => refuse(format!(
            "network \"{name}\" takes images, and an example of shape {} has no height and width; take \"mlp\"",
            shape_text(shape)
        )),
        (NetworkChoice::Cnn, Examples::Image([_, height, width]))
            if height != width || height % 4 != 0 =>
        {
            refuse(format!(
                "network \"cnn\" takes images, and an example of shape {} is no square with a side that is a multiple \
                 of 4; take \"resnet\" or \"mlp\"",
                shape_text(&side.shape)
            ))
        }
        (NetworkChoice::Vit(VitSizes { patch, .. }), Examples::Image([_, height, width]))
            if height % *patch as usize != 0 || width % *patch as usize != 0 =>
        {
            let fitting = whole_patches(height, width);
            refuse(format!(
                "\"patch\" of network \"vit\" is {patch}, but must divide images of {height} × {width}: {fitting}"
            ))
        }
        _ => Ok(()),
    }
}

/// The patches that images of this size have a whole number of, for people.
fn whole_patches(height: usize, width: usize) -> String {
    let sides = (1..=height.min(width))
        .filter(|side| height.is_multiple_of(*side) && width.is_multiple_of(*side));
    sides.map(|side| side.to_string()).collect::<Vec<_>>().join(", ")
}

/// The network for such examples.
///
/// # Errors
/// As [`fits`], or when libtorch cannot allocate.
pub fn network(
    size: &NetworkSize,
    side: &SideInfo,
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    checked(size, side)?;
    let outputs = outputs(side);
    let NetworkSize { choice, width, depth } = size;
    match (choice, Examples::of(side)) {
        (NetworkChoice::TorchScript(file), _) => module(file, side, streams, device),
        (NetworkChoice::Cnn, Examples::Image([channels, side, _])) => {
            let widths = CNN_WIDTHS.map(|base| (base * *width as usize).div_ceil(64));
            let shape = cnn::Shape { channels, side, widths, classes: outputs, norm: true };
            Ok(cnn(shape, streams, device)?)
        }
        (NetworkChoice::Resnet(ResnetSizes { widths, depth }), Examples::Image([channels, ..])) => {
            let widths = widths.0.iter().map(|&width| width as usize).collect();
            let shape = resnet::Shape { channels, widths, blocks: *depth as usize, outputs };
            Ok(resnet(&shape, streams, device)?)
        }
        (NetworkChoice::Vit(sizes), Examples::Image(image)) => {
            let VitSizes { patch, width, depth, heads } = *sizes;
            let [patch, width, depth, heads] =
                [patch, width, depth, heads].map(|size| size as usize);
            let shape = plain_vit::Shape { image, patch, width, depth, heads, outputs };
            plain_vit(shape, streams, device)
        }
        (NetworkChoice::Gpt(sizes), Examples::Tokens { vocabulary, context }) => {
            let GptSizes { width, depth, heads } = *sizes;
            let [width, depth, heads] = [width, depth, heads].map(|size| size as usize);
            let shape = gpt::Shape { vocabulary, context, width, depth, heads, hidden: 4 * width };
            gpt(shape, streams, device)
        }
        (NetworkChoice::Gru(sizes), examples) => {
            let GruSizes { width, depth } = *sizes;
            let units = Units { width: width as usize, depth: depth as usize };
            Ok(match examples {
                Examples::Tokens { vocabulary, .. } => {
                    of_tokens(vocabulary, units, streams, device)?
                }
                Examples::Image([channels, _, wide]) => {
                    of_rows(channels * wide, units, outputs, streams, device)?
                }
                Examples::Row(_) => return Err(unchecked()),
            })
        }
        (NetworkChoice::Mlp, Examples::Image(_) | Examples::Row(_)) => {
            let mut widths = vec![side.shape.iter().product()];
            widths.extend((0..*depth).map(|_| *width as usize));
            widths.push(outputs);
            Ok(mlp(&widths, streams, device)?)
        }
        _ => Err(unchecked()),
    }
}

/// Of a pair that [`checked`] refuses.
fn unchecked() -> LabError {
    SettingError::Joint("this network does not take such examples".to_owned()).into()
}

/// Numbers that a network over so many tokens has at least: those of its matrices and tables. None of a module, whose
/// file says it.
#[must_use]
pub fn least_parameters(choice: &NetworkChoice, vocabulary: u64) -> u64 {
    let (width, depth, matrices) = match choice {
        NetworkChoice::Gpt(GptSizes { width, depth, .. }) => (*width, *depth, 12),
        NetworkChoice::Gru(GruSizes { width, depth }) => (*width, *depth, 6),
        _ => return 0,
    };
    let width = u64::from(width);
    // Each token has a row in the table and in the head.
    2 * vocabulary * width + matrices * u64::from(depth) * width * width
}

/// The bytes of a module; its path may be out of a stranger's record.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    plain::read_at_most(&fs::canonicalize(path)?, MOST_BYTES)
}

/// The module of a file, tried on a batch of zeros and on one of other values.
fn module(
    file: &ModuleFile,
    side: &SideInfo,
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    let path = Path::new(&file.file);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let refuse = |reason: String| LabError::Weights { file: name.clone(), reason };
    let bytes = read(path)
        .map_err(|error| refuse(format!("it cannot be read at {}: {error}", path.display())))?;
    let found = Digest::of(&bytes);
    if let Some(planned) = file.sha256
        && planned != found
    {
        return Err(refuse(format!(
            "its SHA-256 is {found}, but was {planned} when the run was planned: bring that file back"
        )));
    }
    let size = |size: usize| i64::try_from(size).unwrap_or(0);
    let (example, kind, output) = match Examples::of(side) {
        Examples::Tokens { vocabulary, context } => {
            (vec![size(context)], Kind::Int64, vec![size(context), size(vocabulary)])
        }
        Examples::Image(_) | Examples::Row(_) => {
            let example = side.shape.iter().copied().map(size).collect();
            (example, Kind::Float, vec![size(outputs(side))])
        }
    };
    script(&bytes, &name, &script::Task { example, kind, output }, streams, device)
}

#[cfg(test)]
mod tests;
