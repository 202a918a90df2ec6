//! Precision and recall by nearest neighbours (Kynkäänniemi et al., arXiv:1904.06991).

use tch::{Kind, TchError, Tensor};

/// Neighbours that a point's ball holds.
const NEIGHBOURS: i64 = 5;
/// Rows compared at once.
const CHUNK: i64 = 512;

/// Share of `samples` in the ball of some real point, and share of `real` points in the ball of
/// some sample; a ball reaches to the fifth nearest of its own kind. Both N × F.
///
/// # Errors
/// When the dimensions differ or there are no more than five points.
pub fn precision_recall(real: &Tensor, samples: &Tensor) -> Result<[f64; 2], TchError> {
    Ok([covered(samples, real)?, covered(real, samples)?])
}

/// Share of `points` in a ball around one of `centres`.
fn covered(points: &Tensor, centres: &Tensor) -> Result<f64, TchError> {
    let radii = chunked(centres, |part| {
        // The nearest is the point itself.
        let (nearest, _) = squared(part, centres)?.f_topk(NEIGHBOURS + 1, 1, false, true)?;
        nearest.f_select(1, NEIGHBOURS)
    })?;
    let inside = chunked(points, |part| {
        squared(part, centres)?.f_le_tensor(&radii)?.f_any_dim(1, false)?.f_to_kind(Kind::Double)
    })?;
    f64::try_from(&inside.f_mean(Kind::Double)?)
}

fn chunked(
    points: &Tensor,
    what: impl Fn(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let rows = points.size()[0];
    let piece = |start| what(&points.f_narrow(0, start, CHUNK.min(rows - start))?);
    let pieces = (0..rows).step_by(CHUNK as usize).map(piece).collect::<Result<Vec<_>, _>>()?;
    Tensor::f_cat(&pieces, 0)
}

/// Squared distances, A × B.
fn squared(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    let squares = |x: &Tensor| x.f_square()?.f_sum_dim_intlist(1, true, Kind::Float);
    let products = a.f_matmul(&b.f_transpose(0, 1)?)?.f_mul_scalar(-2.0)?;
    products.f_add(&squares(a)?)?.f_add(&squares(b)?.f_transpose(0, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams;

    fn points(name: &str, scale: f64) -> Tensor {
        let numbers = streams::normal(&mut lab::trial::streams().generator(name), 2_400);
        Tensor::from_slice(&numbers).view([1_200, 2]) * scale
    }

    #[test]
    fn samples_in_a_corner_are_precise_and_recall_little_and_the_other_way_round() {
        let real = points("a", 1.0);
        let [precision, recall] = precision_recall(&real, &points("b", 1.0)).unwrap();
        assert!(precision > 0.9 && recall > 0.9, "{precision} {recall}");
        let [precision, recall] = precision_recall(&real, &points("b", 0.1)).unwrap();
        assert!(precision > 0.95 && recall < 0.2, "{precision} {recall}");
        let [precision, recall] = precision_recall(&real, &points("b", 10.0)).unwrap();
        assert!(precision < 0.2 && recall > 0.9, "{precision} {recall}");
        assert_eq!(precision_recall(&real, &(&real + 100.0)).unwrap(), [0.0, 0.0]);
    }
}
