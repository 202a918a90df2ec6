//! Lists of layers over stacked weights: forward, and backward by written-out derivatives.

use tch::{Kind, TchError, Tensor};

use lab::network::Layer;

/// What a backward pass needs of a forward pass: the input of each layer, behind them the output;
/// and the same of the list inside each residual layer, in their order.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) values: Vec<Tensor>,
    pub(super) inner: Vec<Trail>,
}

/// Whether all layers, those inside others too, are such.
pub(super) fn all(layers: &[Layer], such: &dyn Fn(&Layer) -> bool) -> bool {
    layers.iter().all(|layer| match layer {
        Layer::Residual(inner) => all(inner, such),
        Layer::HalvedResidual { inner, .. } => such(layer) && all(inner, such),
        layer => such(layer),
    })
}

/// Whether there is no stacked form of this layer.
pub(super) fn single(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::BatchNorm { .. }
            | Layer::Gru { .. }
            | Layer::HalvingConv { .. }
            | Layer::GlobalMeanPool
            | Layer::HalvedResidual { .. }
            | Layer::Rows
            | Layer::Last
    )
}

/// Whether derivatives of this layer are written out here.
pub(super) fn explicit(layer: &Layer) -> bool {
    let none =
        matches!(layer, Layer::Conv { .. } | Layer::Gelu | Layer::MaxPool | Layer::GlobalMaxPool);
    !none && !single(layer)
}

/// Outputs E × B × … of inputs E × B × … or 1 × B × …, writing a trail if there is one.
pub(super) fn forward(
    layers: &[Layer],
    weights: &[Tensor],
    inputs: &Tensor,
    trail: &mut Option<Trail>,
) -> Result<Tensor, TchError> {
    let mut x = inputs.shallow_clone();
    for layer in layers {
        let next = match layer {
            Layer::Flatten => x.f_flatten(2, -1)?,
            Layer::Linear { weight, bias } => linear(&x, &weights[*weight], Some(&weights[*bias]))?,
            Layer::Product { weight } => linear(&x, &weights[*weight], None)?,
            Layer::Conv { weight, bias } => {
                conv(&x, &weights[*weight], bias.map(|bias| &weights[bias]))?
            }
            Layer::Relu => x.f_relu()?,
            Layer::Tanh => tanh(&x)?,
            Layer::Gelu => x.f_gelu("none")?,
            Layer::MaxPool => each(&x, |x| x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false))?,
            Layer::GlobalMaxPool => x.f_amax([3, 4], false)?,
            Layer::Residual(list) => {
                let mut inner = trail.as_ref().map(|_| Trail::default());
                let change = forward(list, weights, &x, &mut inner)?;
                if let (Some(trail), Some(inner)) = (trail.as_mut(), inner) {
                    trail.inner.push(inner);
                }
                x.f_add(&change)?
            }
            Layer::Scale(factor) => x.f_mul_scalar(*factor)?,
            Layer::Context { table, length } => context(&weights[*table], *length, &x)?,
            Layer::BatchNorm { .. }
            | Layer::Gru { .. }
            | Layer::HalvingConv { .. }
            | Layer::GlobalMeanPool
            | Layer::HalvedResidual { .. }
            | Layer::Rows
            | Layer::Last => {
                return Err(TchError::Kind(format!("{layer:?} has no stacked form")));
            }
        };
        if let Some(trail) = trail {
            trail.values.push(x);
        }
        x = next;
    }
    if let Some(trail) = trail {
        trail.values.push(x.shallow_clone());
    }
    Ok(x)
}

/// Adds to `gradients` the derivatives of a loss whose derivative by the outputs is `slope`; gives
/// that by the inputs if it is `wanted`. All layers are [`explicit`].
pub(super) fn reverse(
    layers: &[Layer],
    weights: &[Tensor],
    trail: &Trail,
    slope: Tensor,
    gradients: &mut [Option<Tensor>],
    wanted: bool,
) -> Result<Option<Tensor>, TchError> {
    let mut slope = slope;
    let mut inner = trail.inner.iter().rev();
    for (index, layer) in layers.iter().enumerate().rev() {
        let (x, y) = (&trail.values[index], &trail.values[index + 1]);
        let wanted = wanted || layers[..index].iter().any(has_weights);
        slope = match layer {
            Layer::Flatten => slope.f_reshape([&slope.size()[..1], &x.size()[1..]].concat())?,
            Layer::Linear { weight, .. } | Layer::Product { weight } => {
                let flat = fold(&slope)?;
                let inputs = spread(&fold(x)?, flat.size()[0])?;
                add(&mut gradients[*weight], flat.f_transpose(1, 2)?.f_bmm(&inputs)?)?;
                if let Layer::Linear { bias, .. } = layer {
                    add(&mut gradients[*bias], flat.f_sum_dim_intlist(1, false, flat.kind())?)?;
                }
                if !wanted {
                    return Ok(None);
                }
                unfold(&flat.f_bmm(&weights[*weight])?, &slope)?
            }
            Layer::Relu => slope.f_mul(&y.f_gt(0.0)?.f_to_kind(slope.kind())?)?,
            Layer::Tanh => Tensor::f_tanh_backward(&slope, y)?,
            Layer::Residual(list) => {
                let Some(trail) = inner.next() else {
                    return Err(TchError::Kind("no trail of a residual layer".to_owned()));
                };
                let change = slope.shallow_clone();
                match reverse(list, weights, trail, change, gradients, true)? {
                    Some(change) => slope.f_add(&change)?,
                    None => slope,
                }
            }
            Layer::Scale(factor) => slope.f_mul_scalar(*factor)?,
            Layer::Context { table, length } => {
                let gradient = context_gradient(&weights[*table], *length, x, &slope)?;
                add(&mut gradients[*table], gradient)?;
                return Ok(None);
            }
            Layer::Conv { .. }
            | Layer::Gelu
            | Layer::MaxPool
            | Layer::GlobalMaxPool
            | Layer::BatchNorm { .. }
            | Layer::Gru { .. }
            | Layer::HalvingConv { .. }
            | Layer::GlobalMeanPool
            | Layer::HalvedResidual { .. }
            | Layer::Rows
            | Layer::Last => {
                return Err(TchError::Kind(format!("{layer:?} has no written-out derivative")));
            }
        };
        if !wanted {
            return Ok(None);
        }
    }
    Ok(Some(slope))
}

/// Whether the layer, or one inside it, has parameters.
pub(super) fn has_weights(layer: &Layer) -> bool {
    match layer {
        Layer::Residual(inner) => inner.iter().any(has_weights),
        Layer::Linear { .. } | Layer::Product { .. } | Layer::Context { .. } => true,
        _ => false,
    }
}

/// Adds to what is there.
pub(super) fn add(sum: &mut Option<Tensor>, more: Tensor) -> Result<(), TchError> {
    *sum = Some(match sum.take() {
        Some(sum) => sum.f_add(&more)?,
        None => more,
    });
    Ok(())
}

/// E × … × d → E × N × d.
pub(super) fn fold(x: &Tensor) -> Result<Tensor, TchError> {
    let size = x.size();
    x.f_reshape([size[0], -1, size[size.len() - 1]])
}

/// E × N × d in the shape of `like`, but for the first and the last number.
pub(super) fn unfold(x: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    let (mut size, own) = (like.size(), x.size());
    let last = size.len() - 1;
    (size[0], size[last]) = (own[0], own[2]);
    x.f_reshape(size)
}

/// The same for each of `copies`, without copying.
pub(super) fn spread(x: &Tensor, copies: i64) -> Result<Tensor, TchError> {
    let mut size = x.size();
    size[0] = copies;
    x.f_expand(size, false)
}

/// x Wᵀ + b, a copy's weights each; x of more than three dimensions too.
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    let flat = spread(&fold(x)?, weight.size()[0])?;
    let turned = weight.f_transpose(1, 2)?;
    let y = match bias {
        Some(bias) => bias.f_unsqueeze(1)?.f_baddbmm(&flat, &turned, 1.0, 1.0)?,
        None => flat.f_bmm(&turned)?,
    };
    unfold(&y, x)
}

/// 2 / (1 + e⁻²ˣ) − 1: libtorch's logistic function runs on whole registers and takes a tenth of
/// the time of its tanh. The error is below 2 units in the last place of 1.
fn tanh(x: &Tensor) -> Result<Tensor, TchError> {
    let y = x.f_mul_scalar(2.0)?.f_sigmoid()?;
    y.f_mul_scalar(2.0)?.f_sub_scalar(1.0)
}

/// An operation that knows no copies: E × B × … as one batch.
fn each(x: &Tensor, run: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Tensor, TchError> {
    let size = x.size();
    let y = run(&x.f_flatten(0, 1)?)?;
    y.f_reshape([&size[..2], &y.size()[1..]].concat())
}

/// Convolution of E × B × C × H × W as one of E groups of channels.
fn conv(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    let copies = weight.size()[0];
    let size = x.size();
    let x = spread(x, copies)?.f_transpose(0, 1)?.f_flatten(1, 2)?;
    let padding = weight.size().last().map_or(0, |width| width / 2);
    let bias = bias.map(|bias| bias.f_reshape([-1])).transpose()?;
    let filters = weight.f_flatten(0, 1)?;
    let y = x.f_conv2d(&filters, bias.as_ref(), [1, 1], [padding, padding], [1, 1], copies)?;
    let (height, width) = (y.size()[2], y.size()[3]);
    y.f_reshape([size[1], copies, -1, height, width])?.f_transpose(0, 1)?.f_contiguous()
}

/// Vectors of the last `length` tokens at each position, side by side, from a table per copy.
pub(super) fn context(table: &Tensor, length: i64, tokens: &Tensor) -> Result<Tensor, TchError> {
    let (copies, rows, width) = table.size3()?;
    let ids = seen(rows, length, tokens)?;
    let (_, batch, positions) = tokens.size3()?;
    gather(table, &ids)?.f_reshape([copies, batch, positions, length * width])
}

/// Derivative of [`context`] by the tables.
pub(super) fn context_gradient(
    table: &Tensor,
    length: i64,
    tokens: &Tensor,
    slope: &Tensor,
) -> Result<Tensor, TchError> {
    let (_, rows, width) = table.size3()?;
    let copies = slope.size()[0];
    let ids = places(&seen(rows, length, tokens)?, copies, rows)?;
    let zeros = Tensor::f_zeros([copies * rows, width], (slope.kind(), slope.device()))?;
    let slope = slope.f_reshape([-1, width])?;
    zeros.f_index_add(0, &ids, &slope)?.f_reshape([copies, rows, width])
}

/// Tokens that each position sees, (E or 1) × B × T × length.
fn seen(rows: i64, length: i64, tokens: &Tensor) -> Result<Tensor, TchError> {
    if length == 1 {
        return Ok(tokens.shallow_clone());
    }
    let (copies, batch, _) = tokens.size3()?;
    let border =
        Tensor::f_full([copies, batch, length - 1], rows - 1, (Kind::Int64, tokens.device()))?;
    Tensor::f_cat(&[&border, tokens], 2)?.f_unfold(2, length, 1)
}

/// Rows of each copy's table: E × (number of ids of a copy) × d.
pub(super) fn gather(table: &Tensor, ids: &Tensor) -> Result<Tensor, TchError> {
    let (copies, rows, width) = table.size3()?;
    let ids = places(ids, copies, rows)?;
    table.f_reshape([copies * rows, width])?.f_index_select(0, &ids)?.f_reshape([copies, -1, width])
}

/// Places of ids ((E or 1) × …) in the tables of all copies, one below the other. An id beyond its
/// own table would read that of another copy: it is refused.
fn places(ids: &Tensor, copies: i64, rows: i64) -> Result<Tensor, TchError> {
    if ids.numel() > 0 {
        for id in [ids.f_min()?.int64_value(&[]), ids.f_max()?.int64_value(&[])] {
            if !(0..rows).contains(&id) {
                return Err(TchError::Shape(format!("token {id} is not among {rows}")));
            }
        }
    }
    let first =
        Tensor::f_arange_start_step(0, copies * rows, rows.max(1), (Kind::Int64, ids.device()))?;
    ids.f_flatten(1, -1)?.f_add(&first.f_unsqueeze(1)?)?.f_reshape([-1])
}
