//! The arrays of an estimate: opened, held against each other, and read when they are needed.

use std::path::Path;

use anyhow::bail;
use data::columns::{Array, shape_text};
use inspect::estimate::oracle::brought::Curvature;
use lab::LabError;
use palimpsest::cli::estimate::files::Args;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Largest entry of QᵀQ − I that is taken for rounding: a basis kept in half precision passes.
const ORTHONORMAL: f64 = 5e-3;

/// All arrays but the orders.
pub struct Inputs {
    /// p.
    pub parameters: usize,
    /// k, where there are directions.
    pub directions: Option<usize>,
    /// Items.
    pub items: usize,
    theta0: Array,
    centre: Array,
    gradients: Array,
    /// (H_i Q), items × p × k.
    pub curvature: Option<Array>,
    basis: Option<Array>,
    loss_gradient: Option<Array>,
    loss_curvature: Option<Array>,
    loss_centre: Option<Array>,
    loss_at_centre: f64,
    /// Name, file, shape and dtype of all that was opened, also of the rule's state.
    opened: Vec<Opened>,
}

struct Opened {
    name: String,
    document: Value,
    converted: Option<String>,
}

/// The loss to predict.
pub struct Loss {
    /// L(c), or 0.
    pub at_centre: f64,
    /// b, shape p.
    pub gradient: Tensor,
    /// H_L Q, shape p × k.
    pub curvature: Option<Tensor>,
}

impl Inputs {
    /// Opens the arrays and compares their shapes; reads no values.
    pub fn open(args: &Args) -> anyhow::Result<Self> {
        let open = |path: &Option<_>| path.as_deref().map(Array::open).transpose();
        let theta0 = Array::open(&args.theta0)?;
        let [parameters] = *theta0.shape() else {
            bail!(
                "{}: the shape is {}, but the parameters are one list: flatten them, .reshape(-1)",
                args.theta0.display(),
                shape_text(theta0.shape())
            );
        };
        let p = parameters;
        let like = |array: &Array, name: &str, shape: &[Option<usize>], meaning: &str| {
            fits(array, name, shape, meaning, &theta0)
        };
        let centre = Array::open(&args.centre)?;
        like(&centre, "--centre", &[Some(p)], "[p]")?;
        let gradients = Array::open(&args.gradients)?;
        like(&gradients, "--gradients", &[None, Some(p)], "[items, p]")?;
        let items = gradients.shape()[0];
        let curvature = open(&args.curvature)?;
        let basis = open(&args.basis)?;
        if let Some(basis) = &basis {
            like(basis, "--basis", &[Some(p), None], "[p, k]")?;
        }
        if let Some(curvature) = &curvature {
            let name = "--curvature";
            fits(curvature, name, &[Some(items), Some(p), None], "[items, p, k]", &gradients)?;
        }
        let loss_gradient = open(&args.loss_grad)?;
        if let Some(gradient) = &loss_gradient {
            like(gradient, "--loss-grad", &[Some(p)], "[p]")?;
        }
        let loss_curvature = open(&args.loss_curvature)?;
        if let Some(curvature) = &loss_curvature {
            like(curvature, "--loss-curvature", &[Some(p), None], "[p, k]")?;
        }
        let loss_centre = open(&args.loss_centre)?;
        if let Some(at) = &loss_centre {
            like(at, "--loss-centre", &[Some(p)], "[p]")?;
        }
        if curvature.is_none() && loss_curvature.is_none() && basis.is_some() {
            bail!("--basis {}: nothing is given along it; give --curvature too", {
                args.basis.as_deref().unwrap_or(Path::new("")).display()
            });
        }
        // k is the basis' or, without one, p: the identity.
        let known = [(&curvature, "--curvature"), (&loss_curvature, "--loss-curvature")];
        for (array, name) in known {
            let Some(array) = array else { continue };
            let k = *array.shape().last().unwrap_or(&0);
            match &basis {
                Some(basis) if k != basis.shape()[1] => bail!(
                    "{name} {} has shape {} and --basis {} has shape {}: their last lengths, the \
                     directions, must agree",
                    array.path().display(),
                    shape_text(array.shape()),
                    basis.path().display(),
                    shape_text(basis.shape())
                ),
                None if k != p => bail!(
                    "{name} {} has shape {}, k = {k} directions of p = {p}: say with --basis which \
                     directions; without it, k must be p",
                    array.path().display(),
                    shape_text(array.shape())
                ),
                _ => {}
            }
        }
        if let Some(loss) = args.loss_at_centre
            && !loss.is_finite()
        {
            bail!("--loss-at-centre is {loss}: give a finite number");
        }
        let directions = match &basis {
            Some(basis) => Some(basis.shape()[1]),
            None if curvature.is_some() || loss_curvature.is_some() => Some(p),
            None => None,
        };
        let mut inputs = Self {
            parameters,
            directions,
            items,
            theta0,
            centre,
            gradients,
            curvature,
            basis,
            loss_gradient,
            loss_curvature,
            loss_centre,
            loss_at_centre: args.loss_at_centre.unwrap_or(0.0),
            opened: Vec::new(),
        };
        inputs.opened = inputs.all().map(|(name, array)| Opened::of(name, array)).collect();
        Ok(inputs)
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Array)> {
        let always =
            [("theta0", &self.theta0), ("centre", &self.centre), ("gradients", &self.gradients)];
        let sometimes = [
            ("curvature", &self.curvature),
            ("basis", &self.basis),
            ("loss_grad", &self.loss_gradient),
            ("loss_curvature", &self.loss_curvature),
            ("loss_centre", &self.loss_centre),
        ];
        let sometimes = sometimes.into_iter();
        always.into_iter().chain(sometimes.filter_map(|(name, a)| Some((name, a.as_ref()?))))
    }

    /// Bytes of all arrays as f64, with those of the curvature apart.
    pub fn bytes(&self) -> (u64, u64) {
        let size = |array: &Array| array.len() as u64 * 8;
        let curvature = self.curvature.as_ref().map_or(0, size);
        (self.all().map(|(_, array)| size(array)).sum::<u64>() - curvature, curvature)
    }

    /// Files with shapes and types, for the record.
    pub fn files(&self) -> Value {
        self.opened.iter().map(|opened| opened.document.clone()).collect()
    }

    /// What was done to the values, a line each.
    pub fn notes(&self) -> Vec<String> {
        self.opened.iter().filter_map(|opened| opened.converted.clone()).collect()
    }

    /// Reads an array of the rule's state, shape p.
    pub fn state(&mut self, name: &str, path: &Path) -> anyhow::Result<Tensor> {
        let mut array = Array::open(path)?;
        fits(&array, name, &[Some(self.parameters)], "[p]", &self.theta0)?;
        self.opened.push(Opened::of(name, &array));
        tensor(&mut array)
    }

    /// θ₀, shape p.
    pub fn theta0(&mut self) -> anyhow::Result<Tensor> {
        tensor(&mut self.theta0)
    }

    /// c, shape p.
    pub fn centre(&mut self) -> anyhow::Result<Tensor> {
        tensor(&mut self.centre)
    }

    /// g_i(c), items × p.
    pub fn gradients(&mut self) -> anyhow::Result<Tensor> {
        tensor(&mut self.gradients)
    }

    /// Q, p × k; refuses one whose columns are not orthonormal.
    pub fn basis(&mut self) -> anyhow::Result<Option<Tensor>> {
        let Some(array) = &mut self.basis else { return Ok(None) };
        let basis = tensor(array)?;
        let columns = basis.size()[1];
        let gram = basis.f_transpose(0, 1)?.f_matmul(&basis)?;
        let eye = Tensor::f_eye(columns, (Kind::Double, Device::Cpu))?;
        let off = gram.f_sub(&eye)?.f_abs()?;
        let largest = off.f_argmax(None, false)?.f_int64_value(&[])?;
        let (row, column) = (largest / columns, largest % columns);
        let found = gram.f_double_value(&[row, column])?;
        if off.f_double_value(&[row, column])? > ORTHONORMAL {
            bail!(
                "{}: columns {row} and {column} have the product {found}, so that the columns are \
                 not orthonormal: use numpy.linalg.qr(basis)[0], and take the curvature along that",
                array.path().display()
            );
        }
        Ok(Some(basis))
    }

    /// Where the loss to predict was taken, shape p; `None` for the centre.
    pub fn loss_centre(&mut self) -> anyhow::Result<Option<Tensor>> {
        self.loss_centre.as_mut().map(tensor).transpose()
    }

    /// An array of `name` with this shape, whose lengths are `meaning`.
    pub fn other(
        &mut self,
        name: &str,
        path: &Path,
        shape: &[Option<usize>],
        meaning: &str,
    ) -> anyhow::Result<Tensor> {
        let mut array = Array::open(path)?;
        fits(&array, name, shape, meaning, &self.theta0)?;
        self.opened.push(Opened::of(name.trim_start_matches("--"), &array));
        tensor(&mut array)
    }

    /// The loss to predict.
    pub fn loss(&mut self) -> anyhow::Result<Option<Loss>> {
        let Some(gradient) = &mut self.loss_gradient else { return Ok(None) };
        let gradient = tensor(gradient)?;
        let curvature = self.loss_curvature.as_mut().map(tensor).transpose()?;
        Ok(Some(Loss { at_centre: self.loss_at_centre, gradient, curvature }))
    }

    /// The curvature of an item, p × k: all read now, or each when it is asked for.
    pub fn curvature(&mut self, in_memory: bool) -> anyhow::Result<Option<Box<Curvature<'_>>>> {
        let Some(array) = &mut self.curvature else { return Ok(None) };
        let shape: Vec<i64> = array.shape()[1..].iter().map(|length| *length as i64).collect();
        let items = array.shape()[0];
        let read = move |item| -> Result<Tensor, LabError> {
            let values = array.slices(item, 1);
            let values = values.map_err(|error| LabError::Io(std::io::Error::other(error)))?;
            Ok(Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?)
        };
        if in_memory {
            // Each item by itself, and not as a part of a whole: products may round by how their
            // operands lie in memory, and an item lies as it does when it is read alone.
            let all = (0..items).map(read).collect::<Result<Vec<_>, _>>()?;
            return Ok(Some(Box::new(move |item| Ok(all[item].shallow_clone()))));
        }
        Ok(Some(Box::new(read)))
    }
}

impl Opened {
    fn of(name: &str, array: &Array) -> Self {
        let (path, dtype) = (array.path(), array.dtype());
        let document = super::described(name, path, array.shape(), dtype);
        let converted = || format!("{}: {dtype}, taken as float64", path.display());
        let name = name.to_owned();
        Self { name, document, converted: array.is_converted().then(converted) }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Refuses an array of another shape; `None` is any length.
fn fits(
    array: &Array,
    name: &str,
    shape: &[Option<usize>],
    meaning: &str,
    other: &Array,
) -> anyhow::Result<()> {
    let found = array.shape();
    let same = |(found, wanted): (&usize, &Option<usize>)| wanted.is_none_or(|n| n == *found);
    if found.len() == shape.len() && found.iter().zip(shape).all(same) {
        return Ok(());
    }
    bail!(
        "{name} {} has shape {}, which is not {meaning} of {} with shape {}",
        array.path().display(),
        shape_text(found),
        other.path().display(),
        shape_text(other.shape())
    )
}

/// The values as f64, in the array's shape.
fn tensor(array: &mut Array) -> anyhow::Result<Tensor> {
    let shape: Vec<i64> = array.shape().iter().map(|length| *length as i64).collect();
    Ok(Tensor::f_from_slice(&array.values()?)?.f_view(shape.as_slice())?)
}
