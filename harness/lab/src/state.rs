//! The state of a run between two of its steps: all that steps change, so that another process can go on to the same bits.
//!
//! Every seat says its part once ([`State::of`], field by field), and that one line both writes and reads it: what is kept and what is
//! read cannot drift apart. What a run makes before its first step (data that it generates, frozen copies, supports) is made again
//! by the same streams and need not be said; nor need what a step makes for itself.
//!
//! The bytes are fields in the order in which they are said, each behind its name; a field of another name is an error.
//! Numbers are little-endian, lists and maps begin with their length, a tensor with its kind, shape and strides: kernels may add up
//! in another order where memory lies otherwise.

use std::collections::{BTreeMap, VecDeque};

use rand_pcg::Pcg64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, Tensor};

use crate::LabError;
use crate::network::{Network, Parameter, Role};

/// A value that a state can hold.
pub trait Kept {
    /// A value to read into, where there is none yet.
    fn blank() -> Self
    where
        Self: Sized;

    /// Writes it, or reads it in place of what it was.
    ///
    /// # Errors
    /// When the state holds something else, or libtorch refuses an operation.
    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// Which way a state goes.
enum Way<'a> {
    Out(Vec<u8>),
    In(&'a [u8]),
}

/// A state that is being written, or read.
pub struct State<'a> {
    way: Way<'a>,
    network: &'a Network,
}

impl std::fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, bytes) = match &self.way {
            Way::Out(bytes) => ("written", bytes.len()),
            Way::In(bytes) => ("left", bytes.len()),
        };
        f.debug_struct("State").field(what, &bytes).finish_non_exhaustive()
    }
}

impl<'a> State<'a> {
    /// A state to write; `network` is the run's.
    #[must_use]
    pub fn writing(network: &'a Network) -> Self {
        Self { way: Way::Out(Vec::new()), network }
    }

    /// A state to read from `bytes`; `network` is the run's, where tensors go and whose body further networks have.
    #[must_use]
    pub fn reading(bytes: &'a [u8], network: &'a Network) -> Self {
        Self { way: Way::In(bytes), network }
    }

    /// Whether it is being read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self.way, Way::In(_))
    }

    /// The bytes, where it was written.
    ///
    /// # Errors
    /// When some are left that nobody has read.
    pub fn finish(self) -> Result<Vec<u8>, LabError> {
        match self.way {
            Way::Out(bytes) => Ok(bytes),
            Way::In([]) => Ok(Vec::new()),
            Way::In(rest) => refuse(format!("{} bytes are left at its end", rest.len())),
        }
    }

    /// A field.
    ///
    /// # Errors
    /// When another one stands here, or its value does not fit.
    pub fn of<T: Kept + ?Sized>(&mut self, name: &str, value: &mut T) -> Result<(), LabError> {
        self.field(name)?;
        value.pass(self)
    }

    /// A field that is told as JSON.
    ///
    /// # Errors
    /// When another one stands here, or its value does not fit.
    pub fn told<T>(&mut self, name: &str, value: &mut T) -> Result<(), LabError>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut text = match self.way {
            Way::Out(_) => serde_json::to_string(value).map_err(std::io::Error::from)?,
            Way::In(_) => String::new(),
        };
        self.of(name, &mut text)?;
        if self.is_read() {
            let found = serde_json::from_str(&text);
            *value = found.map_err(|error| unfit(format!("\"{name}\" cannot be read: {error}")))?;
        }
        Ok(())
    }

    /// A field of bytes that nothing here looks into, as another program wrote them; many are no slower than few.
    ///
    /// # Errors
    /// When another field stands here, or it is cut off.
    pub fn bytes(&mut self, name: &str, value: &mut Vec<u8>) -> Result<(), LabError> {
        self.field(name)?;
        let length = self.length(value.len())?;
        value.resize(length, 0);
        self.raw(value)
    }

    /// The values of a network that is there, parameters and buffers.
    ///
    /// # Errors
    /// When they are those of another network.
    pub fn weights(&mut self, name: &str, network: &Network) -> Result<(), LabError> {
        self.field(name)?;
        let parameters = network.parameters.iter().map(|parameter| &parameter.tensor);
        let tensors: Vec<&Tensor> = parameters.chain(&network.buffers).collect();
        self.count(name, tensors.len())?;
        for tensor in tensors {
            let mut value = tensor.detach();
            value.pass(self)?;
            if self.is_read() {
                if value.size() != tensor.size() || value.kind() != tensor.kind() {
                    return refuse(format!(
                        "\"{name}\" has a tensor of shape {:?} for one of {:?}",
                        value.size(),
                        tensor.size()
                    ));
                }
                // In place: it stays a leaf, and whoever shares it sees the value.
                tch::no_grad(|| tensor.detach().f_copy_(&value))?;
            }
        }
        Ok(())
    }

    /// A network that there may be: one that is read where there was none has the body of the run's network.
    ///
    /// # Errors
    /// When it is another network than the one that is there.
    pub fn network(&mut self, name: &str, network: &mut Option<Network>) -> Result<(), LabError> {
        let mut is_there = network.is_some();
        self.of(name, &mut is_there)?;
        if !is_there {
            *network = None;
            return Ok(());
        }
        let own = network.as_ref().map(outline);
        let mut shape = own.clone().unwrap_or_default();
        self.told("outline", &mut shape)?;
        if let Some(network) = network {
            if own.is_some_and(|own| own != shape) {
                return refuse(format!("\"{name}\" is another network than the one that is there"));
            }
            return self.weights(name, network);
        }
        // The values follow, so that there is no more to make room for than what is left.
        let counted = |size: &[i64]| {
            let multiplied = |all: usize, n: &i64| all.checked_mul(usize::try_from(*n).ok()?);
            size.iter().try_fold(4, multiplied)
        };
        let bytes =
            shape.iter().try_fold(0_usize, |all, (.., size)| all.checked_add(counted(size)?));
        if let Way::In(left) = self.way
            && bytes.is_none_or(|bytes| bytes > left.len())
        {
            return refuse(format!("\"{name}\" is larger than what is left of it"));
        }
        let device = self.network.device();
        let parameters = shape.into_iter().map(|(name, layer, role, size): Outline| {
            let tensor = Tensor::f_zeros(&size, (Kind::Float, device))?.set_requires_grad(true);
            let roles = [Role::Weight, Role::Bias, Role::Norm, Role::Embedding];
            let role = roles.get(role).copied();
            let role = role.ok_or_else(|| unfit("a parameter has no known role".to_owned()))?;
            Ok(Parameter { name, layer, role, tensor })
        });
        let parameters = parameters.collect::<Result<Vec<_>, LabError>>()?;
        let buffers = self.network.buffers.iter().map(Tensor::copy).collect();
        let (body, tap) = (self.network.body.clone(), self.network.tap.clone());
        let read = Network { parameters, buffers, body, tap };
        self.weights(name, &read)?;
        *network = Some(read);
        Ok(())
    }

    fn field(&mut self, name: &str) -> Result<(), LabError> {
        let mut found = name.to_owned();
        found.pass(self)?;
        if found == name {
            return Ok(());
        }
        refuse(format!("it has \"{found}\" where \"{name}\" is expected"))
    }

    /// A number that must be the same when it is read.
    fn count(&mut self, name: &str, count: usize) -> Result<(), LabError> {
        let mut found = count;
        found.pass(self)?;
        if found == count {
            return Ok(());
        }
        refuse(format!("\"{name}\" is of {found}, but there are {count}"))
    }

    /// Bytes of a known number.
    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), LabError> {
        match &mut self.way {
            Way::Out(all) => all.extend_from_slice(bytes),
            Way::In(left) => {
                let Some((own, rest)) = left.split_at_checked(bytes.len()) else {
                    return refuse("it ends too early".to_owned());
                };
                bytes.copy_from_slice(own);
                *left = rest;
            }
        }
        Ok(())
    }

    /// A length, which what is left must be able to hold.
    fn length(&mut self, length: usize) -> Result<usize, LabError> {
        let mut length = length;
        length.pass(self)?;
        match self.way {
            Way::In(left) if length > left.len() => {
                refuse(format!("a list of {length} is longer than what is left of it"))
            }
            _ => Ok(length),
        }
    }
}

/// Name, layer, number of the role and shape of a parameter.
type Outline = (String, usize, usize, Vec<i64>);

fn outline(network: &Network) -> Vec<Outline> {
    let role = |role| match role {
        Role::Weight => 0,
        Role::Bias => 1,
        Role::Norm => 2,
        Role::Embedding => 3,
    };
    let each = network.parameters.iter().map(|parameter| {
        let Parameter { name, layer, role: of, tensor } = parameter;
        (name.clone(), *layer, role(*of), tensor.size())
    });
    each.collect()
}

fn unfit(reason: String) -> LabError {
    LabError::State(reason)
}

fn refuse<T>(reason: String) -> Result<T, LabError> {
    Err(unfit(reason))
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Kept for $number {
            fn blank() -> Self {
                Self::default()
            }

            fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
                let mut bytes = self.to_le_bytes();
                state.raw(&mut bytes)?;
                *self = Self::from_le_bytes(bytes);
                Ok(())
            }
        }
    )*};
}

numbers!(u8, u32, u64, i32, i64, f32, f64);

impl Kept for usize {
    fn blank() -> Self {
        0
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut wide = *self as u64;
        wide.pass(state)?;
        *self = Self::try_from(wide).map_err(|_| unfit(format!("{wide} is too large")))?;
        Ok(())
    }
}

impl Kept for bool {
    fn blank() -> Self {
        false
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut byte = u8::from(*self);
        byte.pass(state)?;
        *self = byte != 0;
        Ok(())
    }
}

impl Kept for String {
    fn blank() -> Self {
        Self::new()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut bytes = vec![0; state.length(self.len())?];
        if !state.is_read() {
            bytes.copy_from_slice(self.as_bytes());
        }
        state.raw(&mut bytes)?;
        *self = Self::from_utf8(bytes).map_err(|error| unfit(error.to_string()))?;
        Ok(())
    }
}

impl<T: Kept> Kept for Option<T> {
    fn blank() -> Self {
        None
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut is_there = self.is_some();
        is_there.pass(state)?;
        if !is_there {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_with(T::blank).pass(state)
    }
}

impl<T: Kept> Kept for Vec<T> {
    fn blank() -> Self {
        Self::new()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let length = state.length(self.len())?;
        self.resize_with(length, T::blank);
        self.iter_mut().try_for_each(|value| value.pass(state))
    }
}

impl<T: Kept> Kept for VecDeque<T> {
    fn blank() -> Self {
        Self::new()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let length = state.length(self.len())?;
        self.resize_with(length, T::blank);
        self.iter_mut().try_for_each(|value| value.pass(state))
    }
}

impl<K: Kept + Ord + Clone, V: Kept> Kept for BTreeMap<K, V> {
    fn blank() -> Self {
        Self::new()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let length = state.length(self.len())?;
        if !state.is_read() {
            return self.iter_mut().try_for_each(|(key, value)| {
                key.clone().pass(state)?;
                value.pass(state)
            });
        }
        self.clear();
        for _ in 0..length {
            let (mut key, mut value) = (K::blank(), V::blank());
            key.pass(state)?;
            value.pass(state)?;
            self.insert(key, value);
        }
        Ok(())
    }
}

impl<T: Kept, const N: usize> Kept for [T; N] {
    fn blank() -> Self {
        std::array::from_fn(|_| T::blank())
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.iter_mut().try_for_each(|value| value.pass(state))
    }
}

impl<A: Kept, B: Kept> Kept for (A, B) {
    fn blank() -> Self {
        (A::blank(), B::blank())
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.0.pass(state)?;
        self.1.pass(state)
    }
}

impl<A: Kept, B: Kept, C: Kept> Kept for (A, B, C) {
    fn blank() -> Self {
        (A::blank(), B::blank(), C::blank())
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.0.pass(state)?;
        self.1.pass(state)?;
        self.2.pass(state)
    }
}

/// A generator, wherever it is in its stream.
impl Kept for Pcg64 {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.told("stream", self)
    }
}

/// A digest that is not finished.
impl Kept for Sha256 {
    fn blank() -> Self {
        Self::new()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut bytes: SerializedState<Self> = self.serialize();
        state.raw(&mut bytes)?;
        *self = Self::deserialize(&bytes).map_err(|error| unfit(error.to_string()))?;
        Ok(())
    }
}

/// Kinds of tensors by their numbers in a state; none is ever taken away.
const KINDS: [Kind; 10] = [
    Kind::Uint8,
    Kind::Int8,
    Kind::Int16,
    Kind::Int,
    Kind::Int64,
    Kind::Half,
    Kind::Float,
    Kind::Double,
    Kind::Bool,
    Kind::BFloat16,
];

/// The number of a tensor that is none.
const UNDEFINED: u8 = u8::MAX;

/// A tensor; what is read is one of its own, which shares memory with nothing.
impl Kept for Tensor {
    fn blank() -> Self {
        Self::new()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let of = |tensor: &Tensor| KINDS.iter().position(|kind| *kind == tensor.kind());
        let mut number = match (state.is_read(), self.defined()) {
            (true, _) => 0,
            (false, false) => UNDEFINED,
            (false, true) => {
                let number = of(self).and_then(|number| u8::try_from(number).ok());
                number.ok_or_else(|| unfit(format!("tensors of {:?} are not kept", self.kind())))?
            }
        };
        number.pass(state)?;
        if number == UNDEFINED {
            *self = Self::new();
            return Ok(());
        }
        let kind = KINDS.get(usize::from(number)).copied();
        let kind = kind.ok_or_else(|| unfit(format!("{number} is no kind of tensors")))?;
        if state.is_read() { read(self, kind, state) } else { write(self, kind, state) }
    }
}

fn write(tensor: &Tensor, kind: Kind, state: &mut State<'_>) -> Result<(), LabError> {
    let (mut size, mut strides) = (tensor.size(), tensor.stride());
    if !is_dense(&size, &strides) {
        strides.clear();
    }
    let mut on_host = tensor.device() == Device::Cpu;
    size.pass(state)?;
    strides.pass(state)?;
    on_host.pass(state)?;
    let host = tch::no_grad(|| tensor.detach().f_to_device(Device::Cpu)?.f_contiguous())?;
    let mut bytes = vec![0; host.numel() * kind.elt_size_in_bytes()];
    host.f_copy_data_u8(&mut bytes, host.numel())?;
    state.raw(&mut bytes)
}

fn read(tensor: &mut Tensor, kind: Kind, state: &mut State<'_>) -> Result<(), LabError> {
    let (mut size, mut strides, mut on_host) = (Vec::<i64>::new(), Vec::<i64>::new(), false);
    size.pass(state)?;
    strides.pass(state)?;
    on_host.pass(state)?;
    let counted = size.iter().try_fold(kind.elt_size_in_bytes(), |count, length| {
        count.checked_mul(usize::try_from(*length).ok()?)
    });
    let left = if let Way::In(left) = state.way { left.len() } else { 0 };
    let bytes = counted.filter(|bytes| *bytes <= left);
    let bytes = bytes.ok_or_else(|| unfit(format!("a tensor of shape {size:?} is cut off")))?;
    let mut bytes = vec![0; bytes];
    state.raw(&mut bytes)?;
    let host = Tensor::f_from_data_size(&bytes, &size, kind)?;
    let device = if on_host { Device::Cpu } else { state.network.device() };
    let mut own = if strides.len() == size.len() && is_dense(&size, &strides) {
        Tensor::f_empty_strided(&size, &strides, (kind, device))?
    } else {
        Tensor::f_empty(&size, (kind, device))?
    };
    tch::no_grad(|| own.f_copy_(&host))?;
    let learns = tensor.defined() && tensor.requires_grad();
    *tensor = if learns { own.set_requires_grad(true) } else { own };
    Ok(())
}

/// Whether strides are those of a tensor whose values lie one behind the other in some order.
fn is_dense(size: &[i64], strides: &[i64]) -> bool {
    let mut sides: Vec<(i64, i64)> =
        strides.iter().copied().zip(size.iter().copied()).filter(|(_, size)| *size != 1).collect();
    sides.sort_unstable();
    let mut expected = 1;
    sides.into_iter().all(|(stride, size)| {
        let fits = stride == expected;
        expected = stride.saturating_mul(size);
        fits
    })
}

/// Says of a struct that all of its fields are kept, each by its name: one that is added later does not compile until it is
/// said, too.
#[macro_export]
macro_rules! kept {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::state::Kept for $type {
            fn blank() -> Self {
                Self { $($field: $crate::state::Kept::blank()),* }
            }

            fn pass(
                &mut self,
                state: &mut $crate::state::State<'_>,
            ) -> Result<(), $crate::LabError> {
                let Self { $($field),* } = self;
                $(state.of(stringify!($field), $field)?;)*
                Ok(())
            }
        }
    };
}

#[cfg(test)]
mod tests;
