//! Weights of a model from a safetensors file, and which of them have hidden units as their rows.

use std::collections::BTreeMap;

use ledger::catalogue::hint;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Words in names of weights whose rows are not interchangeable hidden units: heads of attention,
/// gates, tokens, classes, and writers to a residual stream, whose units many layers share.
const NOT_HIDDEN: [&str; 31] = [
    "attention",
    "attn",
    "qkv",
    "query",
    "key",
    "value",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "embed",
    "embedding",
    "embeddings",
    "embed_tokens",
    "tokens",
    "positions",
    "wte",
    "wpe",
    "norm",
    "gru",
    "lstm",
    "rnn",
    "down",
    "down_proj",
    "c_proj",
    "residual",
    "downsample",
    "shortcut",
    "ln",
    "out",
    "proj",
];

/// Words in names of output layers, whose rows are classes or tokens.
const OUTPUT: [&str; 6] = ["head", "lm_head", "logits", "classifier", "output", "embed_out"];

/// Largest share of a reader's inputs that one unit can be, as after the flattening of an image.
const MOST_INPUTS_PER_UNIT: usize = 4096;

/// Why two models cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Another format.
    #[error("{file} is no safetensors file: {reason}")]
    NotOne {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Whole numbers, or a precision that is not read.
    #[error("{file}: {name} is {dtype}; save it as float32")]
    Dtype {
        /// The file.
        file: String,
        /// The matrix.
        name: String,
        /// What it holds.
        dtype: String,
    },
    /// A name that was asked for.
    #[error("{file} has no matrix \"{name}\"{hint}")]
    NoMatrix {
        /// The file.
        file: String,
        /// The name.
        name: String,
        /// The nearest.
        hint: String,
    },
    /// A matrix of the other model.
    #[error("{file} has no matrix {name}: other architectures cannot be compared")]
    Lacking {
        /// The file.
        file: String,
        /// The matrix.
        name: String,
    },
    /// A matrix of another shape.
    #[error("{name} is {:?} in {} and {:?} in {}: other architectures cannot be compared", left.0, left.1, right.0, right.1)]
    Shapes {
        /// The matrix.
        name: String,
        /// Shape and file of the first.
        left: (Vec<usize>, String),
        /// Shape and file of the second.
        right: (Vec<usize>, String),
    },
}

/// The matrices of a model: everything with at least two dimensions.
#[derive(Debug)]
pub struct Weights {
    file: String,
    matrices: BTreeMap<String, Matrix>,
}

#[derive(Debug)]
struct Matrix {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Weights {
    /// Reads a safetensors file; `file` is its name in messages.
    ///
    /// # Errors
    /// When the bytes are none, or matrices hold anything but floating-point numbers.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, WeightsError> {
        let file = file.to_owned();
        let tensors = match SafeTensors::deserialize(bytes) {
            Ok(tensors) => tensors,
            Err(error) => return Err(WeightsError::NotOne { file, reason: format!("{error:?}") }),
        };
        let mut matrices = BTreeMap::new();
        for (name, view) in tensors.tensors() {
            if view.shape().len() < 2 {
                continue;
            }
            let Some(values) = floats(&view) else {
                let dtype = format!("{:?}", view.dtype());
                return Err(WeightsError::Dtype { file, name, dtype });
            };
            matrices.insert(name, Matrix { shape: view.shape().to_vec(), values });
        }
        Ok(Self { file, matrices })
    }

    /// Names of all matrices.
    #[must_use]
    pub fn matrices(&self) -> Vec<String> {
        self.matrices.keys().cloned().collect()
    }

    /// Names of the weights whose rows are hidden units that only the next layer reads.
    #[must_use]
    pub fn hidden(&self) -> Vec<String> {
        let has_output = self.matrices.keys().any(|name| has_word(name, &OUTPUT));
        let names = self.matrices.keys().filter(|name| {
            let Some(matrix) = self.matrices.get(*name) else { return false };
            let last = !has_output && self.is_last_of_its_stem(name);
            !has_word(name, &NOT_HIDDEN)
                && !has_word(name, &OUTPUT)
                && !last
                && self.is_read(name, matrix.units())
        });
        names.cloned().collect()
    }

    /// Whether another matrix has as many inputs as these units give.
    fn is_read(&self, name: &str, units: usize) -> bool {
        self.matrices.iter().any(|(other, matrix)| {
            let inputs = matrix.shape.get(1).copied().unwrap_or(0);
            other != name
                && units > 1
                && inputs.is_multiple_of(units)
                && (1..=MOST_INPUTS_PER_UNIT).contains(&(inputs / units))
        })
    }

    /// Whether `name` is the last of fc1, fc2, …: the output layer where none is named so.
    fn is_last_of_its_stem(&self, name: &str) -> bool {
        let own = numbered(name);
        let others = self.matrices.keys().map(|other| numbered(other));
        own.is_some_and(|(stem, number)| {
            others.flatten().filter(|other| other.0 == stem).all(|other| other.1 <= number)
        })
    }

    /// The names as given, all of which are matrices here.
    ///
    /// # Errors
    /// When one is not, with the nearest.
    pub fn checked(&self, names: &[String]) -> Result<Vec<String>, WeightsError> {
        for name in names {
            if !self.matrices.contains_key(name) {
                let known = self.matrices.keys().map(String::as_str);
                return Err(WeightsError::NoMatrix {
                    file: self.file.clone(),
                    name: name.clone(),
                    hint: hint(name, known),
                });
            }
        }
        Ok(names.to_vec())
    }

    /// Units of a matrix, and its values here and in another model.
    ///
    /// # Errors
    /// When the other model lacks it, or has it in another shape.
    pub fn beside<'a>(
        &'a self,
        other: &'a Self,
        name: &str,
    ) -> Result<(usize, &'a [f32], &'a [f32]), WeightsError> {
        let find = |weights: &'a Self| {
            let (file, name) = (weights.file.clone(), name.to_owned());
            weights.matrices.get(&name).ok_or(WeightsError::Lacking { file, name })
        };
        let (left, right) = (find(self)?, find(other)?);
        if left.shape != right.shape {
            return Err(WeightsError::Shapes {
                name: name.to_owned(),
                left: (left.shape.clone(), self.file.clone()),
                right: (right.shape.clone(), other.file.clone()),
            });
        }
        Ok((left.units(), &left.values, &right.values))
    }
}

impl Matrix {
    fn units(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }
}

fn has_word(name: &str, words: &[&str]) -> bool {
    let parts =
        name.split(['.', '/']).map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    parts.into_iter().any(|part| words.contains(&part))
}

/// `fc` and 2 of `fc2.weight`.
fn numbered(name: &str) -> Option<(&str, u64)> {
    let stem = name.strip_suffix(".weight")?;
    let digits = stem.len() - stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = stem.split_at(stem.len() - digits);
    Some((stem, number.parse().ok()?))
}

/// The values as f32; none for whole numbers and half precision other than bfloat16.
fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    #[expect(clippy::cast_possible_truncation, reason = "directions need no double precision")]
    let narrow = |eight: &[u8; 8]| f64::from_le_bytes(*eight) as f32;
    match view.dtype() {
        Dtype::F32 => {
            Some(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
        }
        Dtype::F64 => Some(bytes.as_chunks().0.iter().map(narrow).collect()),
        Dtype::BF16 => {
            let wide = |two: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*two)) << 16);
            Some(bytes.as_chunks().0.iter().map(wide).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(shapes: &[(&str, &[usize])]) -> Weights {
        let matrices = shapes.iter().map(|(name, shape)| {
            let values = vec![0.0; shape.iter().product()];
            ((*name).to_owned(), Matrix { shape: shape.to_vec(), values })
        });
        Weights { file: "a.safetensors".to_owned(), matrices: matrices.collect() }
    }

    #[test]
    fn hidden_layers_are_told_from_outputs_tables_and_attention() {
        let ngram = model(&[
            ("tokens.weight", &[33, 24]),
            ("hidden.weight", &[256, 144]),
            ("head.weight", &[32, 256]),
        ]);
        assert_eq!(ngram.hidden(), ["hidden.weight"]);
        let mlp = model(&[
            ("fc1.weight", &[64, 784]),
            ("fc2.weight", &[64, 64]),
            ("fc3.weight", &[8, 64]),
        ]);
        assert_eq!(mlp.hidden(), ["fc1.weight", "fc2.weight"]);
        let gpt = model(&[
            ("tokens.weight", &[32, 64]),
            ("block1.attention.qkv.weight", &[192, 64]),
            ("block1.attention.out.weight", &[64, 64]),
            ("block1.mlp.up.weight", &[256, 64]),
            ("block1.mlp.down.weight", &[64, 256]),
            ("head.weight", &[32, 64]),
        ]);
        assert_eq!(gpt.hidden(), ["block1.mlp.up.weight"]);
        let cnn = model(&[
            ("conv1.weight", &[8, 1, 3, 3]),
            ("conv2.weight", &[16, 8, 3, 3]),
            ("head.weight", &[10, 16 * 36]),
        ]);
        assert_eq!(cnn.hidden(), ["conv1.weight", "conv2.weight"]);
    }

    #[test]
    fn other_architectures_are_refused_by_name_and_shape() {
        let narrow = model(&[("fc1.weight", &[4, 9])]);
        let wide = model(&[("fc1.weight", &[5, 9])]);
        let error = narrow.beside(&wide, "fc1.weight").unwrap_err().to_string();
        assert!(error.contains("[4, 9]") && error.contains("[5, 9]"), "{error}");
        let error = narrow.checked(&["fc2.weight".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("did you mean"), "{error}");
    }
}
