//! Densities of layers from an overall density. Shapes are those of the weights, from the input on.

use super::SparsityError;

/// Density of the last layer under [`uniform_plus`], when the overall density is below it.
const HEAD_DENSITY: f64 = 0.2;

/// Every layer at `density`.
#[must_use]
pub fn uniform(shapes: &[Vec<i64>], density: f64) -> Vec<f64> {
    vec![density; shapes.len()]
}

/// A first convolution dense, the last layer at 0.2 when `density` is below that, the others alike
/// such that the overall density is `density`.
///
/// # Errors
/// When those two layers alone keep more than `density` allows.
pub fn uniform_plus(shapes: &[Vec<i64>], density: f64) -> Result<Vec<f64>, SparsityError> {
    let last = shapes.len().saturating_sub(1);
    let fixed = |index: usize, shape: &[i64]| match index {
        0 if shape.len() == 4 => Some(1.0),
        _ if index == last && density < HEAD_DENSITY => Some(HEAD_DENSITY),
        _ => None,
    };
    around_fixed(shapes, density, fixed, uniform)
}

/// Erdős–Rényi: densities proportional to (out + in)/(out·in), clipped at 1.
#[must_use]
pub fn erdos_renyi(shapes: &[Vec<i64>], density: f64) -> Vec<f64> {
    proportional(shapes, density, |shape| &shape[..shape.len().min(2)])
}

/// Erdős–Rényi with kernel: densities proportional to (sum of all sides)/(product of all sides),
/// clipped at 1.
#[must_use]
pub fn erdos_renyi_kernel(shapes: &[Vec<i64>], density: f64) -> Vec<f64> {
    proportional(shapes, density, |shape| shape)
}

/// A last linear layer at `head`, [`erdos_renyi_kernel`] for the others such that the overall
/// density is `density`.
///
/// # Errors
/// When the last layer alone keeps more than `density` allows, or too little.
pub fn erdos_renyi_kernel_plus(
    shapes: &[Vec<i64>],
    density: f64,
    head: f64,
) -> Result<Vec<f64>, SparsityError> {
    let last = shapes.len().saturating_sub(1);
    let fixed = |index: usize, shape: &[i64]| (index == last && shape.len() == 2).then_some(head);
    around_fixed(shapes, density, fixed, erdos_renyi_kernel)
}

fn size(shape: &[i64]) -> f64 {
    shape.iter().product::<i64>() as f64
}

/// Densities of the layers that `fixed` leaves open, by `others` at the density that is left.
fn around_fixed(
    shapes: &[Vec<i64>],
    density: f64,
    fixed: impl Fn(usize, &[i64]) -> Option<f64>,
    others: impl Fn(&[Vec<i64>], f64) -> Vec<f64>,
) -> Result<Vec<f64>, SparsityError> {
    let (mut total, mut held, mut open) = (0.0, 0.0, Vec::new());
    for (index, shape) in shapes.iter().enumerate() {
        total += size(shape);
        match fixed(index, shape) {
            Some(density) => held += density * size(shape),
            None => open.push(shape.clone()),
        }
    }
    let (kept, room) = (density * total, open.iter().map(|shape| size(shape)).sum::<f64>());
    let left = (kept - held) / room;
    if !(0.0..=1.0).contains(&left) {
        return Err(SparsityError::Unreachable { density, kept, fixed: held, room });
    }
    let mut open = others(&open, left).into_iter();
    let densities = shapes.iter().enumerate();
    Ok(densities.filter_map(|(index, shape)| fixed(index, shape).or_else(|| open.next())).collect())
}

/// Densities ε·raw with raw = Σ sides/Π sides; layers that would exceed 1 become dense, largest
/// first, and ε is solved again: ε = (Σ_open d·n − Σ_dense (1−d)·n)/Σ_open raw·n.
fn proportional(shapes: &[Vec<i64>], density: f64, sides: impl Fn(&[i64]) -> &[i64]) -> Vec<f64> {
    // Rounding in ε must not make a dense network almost dense.
    if density >= 1.0 {
        return uniform(shapes, 1.0);
    }
    let layers: Vec<(f64, f64)> = shapes
        .iter()
        .map(|shape| (size(shape), sides(shape).iter().sum::<i64>() as f64 / size(sides(shape))))
        .collect();
    let mut dense = vec![false; layers.len()];
    loop {
        let (mut budget, mut divisor, mut top) = (0.0, 0.0, 0.0_f64);
        for (&(n, raw), &dense) in layers.iter().zip(&dense) {
            if dense {
                budget -= (1.0 - density) * n;
            } else {
                budget += density * n;
                divisor += raw * n;
                top = top.max(raw);
            }
        }
        let epsilon = budget / divisor;
        let open = dense.contains(&false);
        if open && epsilon * top > 1.0 {
            for (&(_, raw), dense) in layers.iter().zip(&mut dense) {
                *dense |= raw == top;
            }
            continue;
        }
        let density = |(&(_, raw), &dense): (&(f64, f64), &bool)| {
            if dense { 1.0 } else { epsilon * raw }
        };
        return layers.iter().zip(&dense).map(density).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overall(shapes: &[Vec<i64>], densities: &[f64]) -> f64 {
        let kept = shapes.iter().zip(densities).map(|(shape, density)| density * size(shape));
        kept.sum::<f64>() / shapes.iter().map(|shape| size(shape)).sum::<f64>()
    }

    #[test]
    fn every_distribution_meets_the_overall_density_exactly() {
        let shapes = [vec![16, 3, 3, 3], vec![32, 16, 3, 3], vec![64, 32, 3, 3], vec![10, 64]];
        for density in [0.05, 0.1, 0.2, 0.5, 0.9, 1.0] {
            let all = [
                uniform(&shapes, density),
                erdos_renyi(&shapes, density),
                erdos_renyi_kernel(&shapes, density),
                uniform_plus(&shapes, density).unwrap(),
                erdos_renyi_kernel_plus(&shapes, density, density.max(0.5)).unwrap(),
            ];
            for densities in all {
                assert_eq!(densities.len(), 4);
                assert!(densities.iter().all(|density| (0.0..=1.0).contains(density)));
                assert!((overall(&shapes, &densities) - density).abs() < 1e-9, "{densities:?}");
            }
            let plus = erdos_renyi_kernel_plus(&shapes, density, density.max(0.5)).unwrap();
            assert_eq!(plus[3], density.max(0.5), "the head keeps its own density");
        }
    }

    #[test]
    fn fixed_layers_that_hold_more_than_the_budget_are_refused_with_numbers() {
        let shapes = [vec![8, 1, 3, 3], vec![16, 8, 3, 3], vec![32, 16, 3, 3], vec![10, 512]];
        let message = uniform_plus(&shapes, 0.05).unwrap_err().of("m", "w").to_string();
        assert!(message.starts_with("m on w: density 0.05 keeps 547.6 weights"), "{message}");
        assert!(message.contains("fixed density hold 1096.0"), "{message}");
    }

    fn matches(densities: &[f64], expected: &[f64]) {
        assert_eq!(densities.len(), expected.len());
        let close = densities.iter().zip(expected).all(|(a, b)| (a - b).abs() < 5.1e-7);
        assert!(close, "{densities:?} instead of {expected:?}");
    }

    #[test]
    fn layer_densities_are_those_computed_from_the_papers_code() {
        let (er, erk) = (erdos_renyi, erdos_renyi_kernel);
        let mlp = [vec![300, 784], vec![100, 300], vec![10, 100]];
        let tenth = [0.079_568, 0.230_189, 1.0];
        matches(&erk(&mlp, 0.1), &tenth);
        matches(&er(&mlp, 0.1), &tenth);
        assert!((erk(&mlp, 0.1)[0] * 784.0 * 300.0 / 1084.0 - 17.264_151).abs() < 1e-6);
        matches(&erk(&mlp, 0.05), &[0.038_484, 0.111_334, 0.918_507]);
        assert!((er(&mlp, 0.05)[0] * 784.0 * 300.0 / 1084.0 - 8.350_063).abs() < 1e-6);

        let cnn = [vec![16, 1, 3, 3], vec![32, 16, 3, 3], vec![64, 1568], vec![10, 64]];
        matches(&erk(&cnn, 0.1), &[0.947_261, 0.069_500, 0.096_449, 0.685_735]);
        matches(&er(&cnn, 0.1), &[1.0, 0.457_367, 0.079_339, 0.564_086]);

        let cnn16 = [vec![8, 1, 3, 3], vec![16, 8, 3, 3], vec![32, 16, 3, 3], vec![10, 512]];
        matches(&erk(&cnn16, 0.1), &[0.367_418, 0.045_927, 0.020_667, 0.179_805]);
        let mlp16 = [vec![256, 256], vec![256, 256], vec![10, 256]];
        matches(&erk(&mlp16, 0.05), &[0.040_465, 0.040_465, 0.538_186]);
    }

    #[test]
    fn resnet20_keeps_first_convolution_and_head_dense_under_erk() {
        let mut shapes = vec![vec![16, 3, 3, 3]];
        for (width, from) in [(16, 16), (32, 16), (64, 32)] {
            shapes.push(vec![width, from, 3, 3]);
            shapes.extend(vec![vec![width, width, 3, 3]; 5]);
        }
        shapes.push(vec![10, 64]);
        let size = |shape: &Vec<i64>| shape.iter().product::<i64>();
        assert_eq!(shapes.iter().map(size).sum::<i64>(), 268_336);
        let densities = erdos_renyi_kernel(&shapes, 0.1);
        assert_eq!((densities[0], densities[19]), (1.0, 1.0));
        assert!((densities[18] - 0.0667).abs() < 5e-5, "{}", densities[18]);
        let kept = shapes.iter().zip(&densities).map(|(shape, d)| d * size(shape) as f64);
        assert!((kept.sum::<f64>() / 268_336.0 - 0.1).abs() < 1e-9);
    }
}
