//! A module scripted in PyTorch as a network: its parameters are trained, its code is run as it was written.
//!
//! Parameters keep their names and the order of the module's children; one that several names hold is one parameter.
//! Roles: those of embeddings and normalisations by the class of the module that holds them; of the others, what has
//! two dimensions or more is a weight (or a table, where its name has `embed`, `position` or `token` in it), what
//! has one a bias where its name says so, else a scale. A layer is a child that holds a weight or a table, with what
//! follows it without one. What takes no gradient (`requires_grad=False`) is not trained: it stands among the buffers.
//! A pass that judges is given copies of the buffers, so that nothing of what it sees gets into what is trained; a
//! module that keeps state in other attributes, which no record and no checkpoint would hold, is refused.
//!
//! Training starts from the values in the file, under every seed. What the code draws, for dropout, comes from
//! libtorch's own generator, which every pass seeds anew from the stream `script`, its inputs and its weights: so a
//! pass draws the same wherever and whenever it is repeated, and another at other weights.

use std::sync::{Arc, Mutex, PoisonError};

use ledger::streams::{self, Streams};
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::kernels::script::{Held, Module, Saved, random_state};
use crate::network::{Body, Forward, Network, Parameter, Role, values};

/// Values of a parameter that the seed of a pass is taken over.
const SEEDED_BY: i64 = 1024;

/// Kinds that a tensor which is not trained may have: those that a file of weights holds.
const KINDS: [Kind; 6] =
    [Kind::Float, Kind::Double, Kind::Int64, Kind::Int, Kind::Uint8, Kind::Bool];

/// Bytes at the end of an archive in which the names of its files are looked for.
const DIRECTORY: usize = 4 << 20;

/// Seeding and drawing are of one generator for all of a process.
static GENERATOR: Mutex<()> = Mutex::new(());

/// What a module is to do: it is tried on a batch of zeros, and on one of other values, before it is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Shape of an example as the network takes it.
    pub example: Vec<i64>,
    /// Kind of an example: numbers, or tokens (i64).
    pub kind: Kind,
    /// Shape of what comes out for one.
    pub output: Vec<i64>,
}

/// Where a tensor of the module stands in a network.
#[derive(Debug, Clone, Copy)]
enum Place {
    Parameter(usize),
    Buffer(usize),
}

/// The forward pass of a module over the first parameters of a network; a method may append others of its own.
#[derive(Debug)]
pub struct Script {
    /// The file, for messages.
    file: String,
    module: Mutex<Module>,
    places: Vec<Place>,
    /// What its draws are seeded from, where it draws.
    seed: Option<u64>,
}

/// The network that the bytes of a file are, tried on what it is to do.
///
/// # Errors
/// When they are no module of TorchScript, it has nothing that can be trained, or it does not fit the task.
pub fn script(
    bytes: &[u8],
    file: &str,
    task: &Task,
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    let refuse = |reason: String| LabError::Weights { file: file.to_owned(), reason };
    is_archive(bytes).map_err(refuse)?;
    let module = Module::load(bytes, device).map_err(|error| {
        refuse(format!("libtorch does not load it as TorchScript: {}", last_line(&error)))
    })?;
    let (mut parameters, mut buffers, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut layers = Layers::default();
    for saved in module.tensors() {
        is_of_use(&saved).map_err(refuse)?;
        let tensor = saved.tensor.f_detach()?.f_contiguous()?.f_detach_copy()?;
        if saved.held == Held::Parameter {
            let role = role(&saved);
            let layer = layers.of(&saved.name, role);
            places.push(Place::Parameter(parameters.len()));
            let tensor = tensor.set_requires_grad(true);
            parameters.push(Parameter { name: saved.name, layer, role, tensor });
        } else {
            places.push(Place::Buffer(buffers.len()));
            buffers.push(tensor);
        }
    }
    if parameters.is_empty() {
        let reason = "it has no parameters that take a gradient, so there is nothing to train \
                      (torch.jit.freeze makes constants of them: script the module without it)";
        return Err(refuse(reason.to_owned()));
    }
    let mut script =
        Script { file: file.to_owned(), module: Mutex::new(module), places, seed: None };
    if script.draws_when_tried(&parameters, &buffers, task, device)? {
        script.seed = Some(streams::unit_f64(&mut streams.generator("script")).to_bits());
    }
    Ok(Network::new(parameters, buffers, Body::Own(Arc::new(script))))
}

impl Forward for Script {
    fn forward(&self, network: &Network, inputs: &Tensor, train: bool) -> Result<Tensor, LabError> {
        let Network { parameters, buffers, .. } = network;
        let Some(seed) = self.seed else {
            return self.pass(parameters, buffers, inputs, train);
        };
        let seed = seed_of(seed, parameters, inputs)?;
        let _only = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(
            clippy::disallowed_methods,
            reason = "a module draws from libtorch's generator alone; the seed is of a stream"
        )]
        tch::manual_seed(seed);
        self.pass(parameters, buffers, inputs, train)
    }
}

impl Script {
    fn refuse(&self, reason: impl Into<String>) -> LabError {
        LabError::Weights { file: self.file.clone(), reason: reason.into() }
    }

    fn pass(
        &self,
        parameters: &[Parameter],
        buffers: &[Tensor],
        inputs: &Tensor,
        train: bool,
    ) -> Result<Tensor, LabError> {
        // Code may move its buffers whatever the mode.
        let copies = if train { Vec::new() } else { copied(buffers)? };
        let buffers = if train { buffers } else { copies.as_slice() };
        let held = |place: &Place| match *place {
            Place::Parameter(index) => &parameters[index].tensor,
            Place::Buffer(index) => &buffers[index],
        };
        let held: Vec<&Tensor> = self.places.iter().map(held).collect();
        let inputs = own(inputs)?;
        let mut module = self.module.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = module.forward(&held, &inputs, train).map_err(|error| {
            let shape = data::columns::shape_text(&sizes(&inputs));
            self.refuse(format!(
                "its forward pass fails on a batch of shape {shape}: {}",
                last_line(&error)
            ))
        })?;
        Ok(outputs.f_contiguous()?)
    }

    /// Whether the module draws random numbers, after a look at what it makes of a batch of zeros and of one of other
    /// values; what these passes move are copies.
    fn draws_when_tried(
        &self,
        parameters: &[Parameter],
        buffers: &[Tensor],
        task: &Task,
        device: Device,
    ) -> Result<bool, LabError> {
        let zeros = Tensor::f_zeros(of_two(&task.example), (task.kind, device))?;
        let others = others(task, device)?;
        let expected = of_two(&task.output);
        let buffers = copied(buffers)?;
        let parameters = parameters.iter().map(|Parameter { name, layer, role, tensor }| {
            let tensor = tensor.f_detach_copy()?.set_requires_grad(true);
            Ok::<_, TchError>(Parameter { name: name.clone(), layer: *layer, role: *role, tensor })
        });
        let parameters = parameters.collect::<Result<Vec<_>, TchError>>()?;
        let _only = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        let states = || Ok::<_, TchError>([random_state(Device::Cpu)?, random_state(device)?]);
        let before = states()?;
        let tried = |inputs: &Tensor, train: bool| -> Result<Tensor, LabError> {
            let outputs = self.pass(&parameters, &buffers, inputs, train)?;
            self.fits(&outputs, &expected)?;
            Ok(outputs)
        };
        let _ = tch::no_grad(|| tried(&zeros, false))?;
        let outputs = tried(&zeros, true)?;
        let cut = "no gradient comes from its output to its parameters: is there a detach() or torch.no_grad() in it?";
        if !outputs.requires_grad() {
            return Err(self.refuse(cut));
        }
        let tensors: Vec<&Tensor> = parameters.iter().map(|one| &one.tensor).collect();
        let sum = outputs.f_sum(Kind::Float)?;
        let reached = Tensor::f_run_backward(&[&sum], &tensors, false, false)?;
        if !reached.iter().any(Tensor::defined) {
            return Err(self.refuse(cut));
        }
        let _ = tch::no_grad(|| tried(&others, false))?;
        let _ = tried(&others, true)?;
        let drawn = states()?.iter().zip(&before).any(|(now, before)| !now.equal(before));
        let changed = self.module.lock().unwrap_or_else(PoisonError::into_inner).changed()?;
        if let Some(name) = changed.first() {
            return Err(self.refuse(format!(
                "it keeps state in `{name}`, which no record and no checkpoint sees: make it a buffer \
                 (self.register_buffer, before torch.jit.script)"
            )));
        }
        Ok(drawn)
    }

    fn fits(&self, outputs: &Tensor, expected: &[i64]) -> Result<(), LabError> {
        if outputs.size() == expected && outputs.kind() == Kind::Float {
            return Ok(());
        }
        let shape = |sizes: &[i64]| {
            data::columns::shape_text(&sizes.iter().map(|&size| size as usize).collect::<Vec<_>>())
        };
        Err(self.refuse(format!(
            "of two examples it makes {:?} numbers of shape {}, but Float numbers of shape {} are needed here",
            outputs.kind(),
            shape(&outputs.size()),
            shape(expected)
        )))
    }
}

/// The shape of a batch of two.
fn of_two(shape: &[i64]) -> Vec<i64> {
    [&[2], shape].concat()
}

/// A batch of two examples that are not zeros: numbers from -1 to 1, or all tokens in turn.
fn others(task: &Task, device: Device) -> Result<Tensor, TchError> {
    let shape = of_two(&task.example);
    let each = Tensor::f_arange(shape.iter().product::<i64>(), (task.kind, device))?;
    let each = match task.kind {
        Kind::Int64 => each.f_remainder(task.output.last().copied().unwrap_or(1).max(1))?,
        _ => each.f_add_scalar(1.0)?.f_sin()?,
    };
    each.f_view(shape.as_slice())
}

fn copied(tensors: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    tensors.iter().map(Tensor::f_detach_copy).collect()
}

/// A copy in rows: code may write into what it is given, which can be the examples themselves, and `view` refuses the
/// memory of images, which has their channels last.
fn own(inputs: &Tensor) -> Result<Tensor, TchError> {
    let mut copy = Tensor::f_empty(inputs.size(), (inputs.kind(), inputs.device()))?;
    copy.f_copy_(inputs)?;
    Ok(copy)
}

fn sizes(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|size| size as usize).collect()
}

/// Where the layers of a module begin.
#[derive(Debug, Default)]
struct Layers {
    /// The module that holds the last weight or table.
    owner: Option<String>,
    last: usize,
}

impl Layers {
    fn of(&mut self, name: &str, role: Role) -> usize {
        let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
        let begins = matches!(role, Role::Weight | Role::Embedding);
        match &self.owner {
            Some(before) if begins && before != owner => {
                self.last += 1;
                self.owner = Some(owner.to_owned());
            }
            None if begins => self.owner = Some(owner.to_owned()),
            _ => {}
        }
        self.last
    }
}

fn role(saved: &Saved) -> Role {
    let own = saved.name.rsplit('.').next().unwrap_or_default();
    let speaks = |words: &[&str]| words.iter().any(|word| own.contains(word));
    if saved.class.contains("Embedding") {
        Role::Embedding
    } else if saved.class.contains("Norm") {
        Role::Norm
    } else if saved.tensor.dim() >= 2 {
        if speaks(&["embed", "position", "token"]) { Role::Embedding } else { Role::Weight }
    } else if speaks(&["bias"]) {
        Role::Bias
    } else {
        Role::Norm
    }
}

fn is_of_use(saved: &Saved) -> Result<(), String> {
    let (name, kind) = (&saved.name, saved.tensor.kind());
    match saved.held {
        Held::Parameter if kind != Kind::Float => Err(format!(
            "its parameter {name} is {kind:?}, but training is in Float: call .float() before torch.jit.script"
        )),
        Held::Frozen | Held::Buffer if !KINDS.contains(&kind) => {
            Err(format!("its tensor {name} is {kind:?}, which no file of weights holds"))
        }
        _ => Ok(()),
    }
}

/// Whether the bytes are an archive with code in it, and not what is often saved in its place.
fn is_archive(bytes: &[u8]) -> Result<(), String> {
    let remedy = "save the module itself with torch.jit.script(model).save(\"net.pt\")";
    let directory = &bytes[bytes.len().saturating_sub(DIRECTORY)..];
    let holds = |word: &[u8]| directory.windows(word.len()).any(|part| part == word);
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(format!("it is no TorchScript archive; {remedy}"));
    }
    if !holds(b"/constants.pkl") {
        let found = match holds(b"/data.pkl") {
            true => "it holds tensors or a pickled module, as torch.save writes them, and no code",
            false => "it is an archive without TorchScript code",
        };
        return Err(format!("{found}; {remedy}"));
    }
    Ok(())
}

/// Of a message of TorchScript the line that says what is wrong: the last.
fn last_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("no message").trim_start_matches("RuntimeError: ").to_owned()
}

/// The seed of a pass: of what a run draws, its inputs, and the first values of its first and last parameters, which
/// move at almost every step.
fn seed_of(seed: u64, parameters: &[Parameter], inputs: &Tensor) -> Result<i64, TchError> {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    let ends = [parameters.first(), parameters.last()].into_iter().flatten();
    for Parameter { tensor, .. } in ends {
        let flat = tensor.detach().f_flatten(0, -1)?;
        let some = flat.f_narrow(0, 0, SEEDED_BY.min(flat.numel() as i64))?;
        values(&some)?.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    }
    values(inputs)?.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    let digest: [u8; 32] = hasher.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Ok(i64::from_le_bytes(first))
}

#[cfg(test)]
mod tests;
