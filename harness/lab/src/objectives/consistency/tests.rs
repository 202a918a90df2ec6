//! Numbers of the papers and of their code, and the identity of teachers.

use std::sync::Arc;

use super::*;
use crate::diffusion::Denoise;
use crate::models::mlp2d::mlp2d;
use crate::network::{Body, Denoiser, Parameter, Role, values};
use crate::optim::radam::{Adaptive, AdaptiveSettings};
use crate::side_info::SideInfo;
use crate::trial;

/// Eleven levels and the share of each interval under the lognormal (arXiv:2310.14189, table 1), by
/// hand.
const ELEVEN: [f64; 11] = [
    0.002,
    0.016_720_753,
    0.085_087_203,
    0.318_283_289,
    0.965_416_926,
    2.515_218_976,
    5.838_947_631,
    12.381_576_139,
    24.408_341_787,
    45.313_734_075,
    80.0,
];
const ELEVEN_SHARES: [f64; 10] = [
    0.062_633, 0.181_737, 0.245_501, 0.213_494, 0.142_446, 0.080_605, 0.041_080, 0.019_580,
    0.008_944, 0.003_980,
];

fn baseline() -> Rules {
    Rules {
        curriculum: Curriculum::SquareRoot,
        s0: 2,
        s1: 150,
        teacher: Teacher::Average,
        mu0: 0.9,
        distance: Distance::Squared,
        proposal: Proposal::Uniform,
        p_mean: -1.1,
        p_std: 2.0,
        weighting: Weighting::One,
    }
}

fn improved() -> Rules {
    Rules {
        curriculum: Curriculum::Doubling,
        s0: 10,
        s1: 1280,
        teacher: Teacher::StopGradient,
        distance: Distance::Huber,
        proposal: Proposal::Lognormal,
        weighting: Weighting::InverseGap,
        ..baseline()
    }
}

#[test]
fn the_improved_curriculum_doubles_every_eighth_of_the_run() {
    let levels = [11, 21, 41, 81, 161, 321, 641, 1281];
    for (total, length) in [(400_000, 50_000), (8_000, 1_000)] {
        for (stage, expected) in (0..).zip(levels) {
            for step in [stage * length, (stage + 1) * length - 1] {
                assert_eq!(improved().levels(step, total), expected, "step {step} of {total}");
            }
        }
    }
    assert_eq!(improved().levels(400_000, 400_000), 1281);
}

#[test]
fn the_baselines_curriculum_grows_by_a_square_root() {
    for (step, expected) in [(0, 2), (80_000, 48), (400_000, 107), (800_000, 151)] {
        assert_eq!(baseline().levels(step, 800_000), expected, "step {step}");
    }
}

#[test]
fn the_teachers_decay_is_the_papers_formula() {
    // exp(2·ln 0.9/2) = 0.9 and exp(2·ln 0.9/151) = 0.998605; the code has N − 1: 0.81, 0.998596.
    assert!((baseline().decay(2) - 0.9).abs() < 1e-12);
    assert!((baseline().decay(151) - 0.998_605).abs() < 5e-7);
    assert_eq!(Rules { mu0: 0.0, ..baseline() }.decay(2), 0.0);
}

#[test]
fn the_huber_constant_grows_with_the_root_of_the_dimension() {
    for (coordinates, expected) in
        [(2, 7.6368e-4), (64, 0.00432), (784, 0.01512), (3_072, 0.029_930), (12_288, 0.059_860)]
    {
        assert!((huber_constant(coordinates) - expected).abs() < 5e-7, "{coordinates}");
    }
}

#[test]
fn the_huber_distance_is_taken_of_the_whole_vector() {
    let a = Tensor::full([1, 3_072], 0.01, (Kind::Float, Device::Cpu));
    let distance = improved().compare(&a, &a.zeros_like()).unwrap().double_value(&[0]);
    // √(3072·10⁻⁴ + c²) − c; element by element and averaged it would be 0.00163.
    assert!((distance - 0.5251).abs() < 5e-5, "{distance}");
}

#[test]
fn eleven_levels_are_proposed_as_published() {
    let shares = improved().proposal(&grid(11)).unwrap();
    for (share, expected) in shares.into_iter().zip(ELEVEN_SHARES) {
        assert!((share - expected).abs() < 6e-7, "{share} {expected}");
    }
}

#[test]
fn the_proposal_of_1281_levels_has_its_mode_at_0_186_and_most_mass_below_1() {
    let grid = grid(1281);
    let below_one = |rules: Rules| -> f64 {
        let shares = rules.proposal(&grid).unwrap();
        // Of interval i the level is σ_i.
        shares.iter().zip(&grid).filter(|(_, sigma)| **sigma < 1.0).map(|(share, _)| share).sum()
    };
    assert!((below_one(improved()) - 0.710).abs() < 1e-3, "{}", below_one(improved()));
    assert!((below_one(baseline()) - 0.404).abs() < 1e-3, "{}", below_one(baseline()));
    let shares = improved().proposal(&grid).unwrap();
    let mode = (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap();
    assert!((grid[mode] - 0.186).abs() < 5e-3, "{}", grid[mode]);
}

/// F = scale·input + 0.3·noise level, with the scale as its only parameter.
#[derive(Debug)]
struct Known;

impl Denoiser for Known {
    fn run(&self, network: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        Ok(inputs * &network.parameters[0].tensor + noise.unsqueeze(1) * 0.3)
    }
}

fn known(scale: f32) -> Network {
    let tensor = Tensor::from_slice(&[scale]).set_requires_grad(true);
    let scale = Parameter { name: "scale".to_owned(), layer: 0, role: Role::Weight, tensor };
    Network::new(vec![scale], vec![], Body::Denoiser(Arc::new(Known)))
}

/// f(x + σz, σ) of it, for σ_d = ½, and its derivative by the scale.
fn by_hand(scale: f64, x: f64, z: f64, sigma: f64) -> [f64; 2] {
    let (noisy, root) = (x + sigma * z, (sigma * sigma + 0.25).sqrt());
    let skip = 0.25 / ((sigma - 0.002).powi(2) + 0.25);
    let out = (sigma - 0.002) * 0.5 / root;
    let output = scale * noisy / root + 0.3 * sigma.ln() / 4.0;
    [skip * noisy + out * output, out * noisy / root]
}

/// Losses of eight rows on eleven levels under `rules`, with the gradient of their mean: of the
/// objective, then by hand. The network has scale 0.8; an average of it was taken at 0.3.
fn losses_and_gradient(rules: Rules) -> [(Vec<f64>, f64); 2] {
    let streams = trial::streams();
    let network = known(0.8);
    let side = SideInfo::default();
    let task = TaskInfo {
        method: "trial",
        workload: "trial",
        network: &network,
        examples: 8,
        side: &side,
        teacher: None,
        budget_samples: 8,
        streams: &streams,
    };
    let mut objective = Consistency::new(rules, 0.5, &task);
    objective.start(&known(0.3), &trial::split(&[2]).unwrap()).unwrap();
    let batch = trial::batch(&[2]).unwrap();
    let losses = objective.losses(&network, &batch, &trial::step_info(0, 8)).unwrap();
    let leaf = &network.parameters[0].tensor;
    let slope = Tensor::run_backward(&[losses.mean(None)], &[leaf], false, false);
    let found: Vec<f64> = values(&losses).unwrap().into_iter().map(f64::from).collect();

    let teacher = if rules.teacher == Teacher::Average { 0.3 } else { 0.8 };
    let x = values(&batch.inputs).unwrap();
    let noise = ledger::streams::normal(&mut streams.generator("noise"), 16);
    let mut levels = streams.generator("sigma");
    let mut gradient = 0.0;
    let expected = (0..8).map(|row| {
        let interval = match rules.proposal {
            Proposal::Uniform => order::bounded(&mut levels, 10) as usize,
            Proposal::Lognormal => {
                let (share, mut sum) = (unit_f64(&mut levels), 0.0);
                let passed = |mass: &&f64| {
                    sum += **mass;
                    sum <= share
                };
                ELEVEN_SHARES.iter().take_while(passed).count()
            }
        };
        let [low, high] = [ELEVEN[interval], ELEVEN[interval + 1]];
        let (mut squared, mut slope) = (0.0, 0.0);
        for place in [2 * row, 2 * row + 1] {
            let (x, z) = (f64::from(x[place]), f64::from(noise[place]));
            let [student, by_scale] = by_hand(0.8, x, z, high);
            let [target, _] = by_hand(teacher, x, z, low);
            squared += (student - target).powi(2);
            slope += 2.0 * (student - target) * by_scale;
        }
        let lambda = match rules.weighting {
            Weighting::One => 1.0,
            Weighting::InverseGap => 1.0 / (high - low),
        };
        // c = 0.00054·√2.
        let c = 0.000_763_675;
        let (loss, slope) = match rules.distance {
            Distance::Squared => (squared, slope),
            Distance::Huber => {
                let root = (squared + c * c).sqrt();
                (root - c, slope / (2.0 * root))
            }
        };
        gradient += lambda * slope / 8.0;
        lambda * loss
    });
    let expected = expected.collect();
    [(found, slope[0].double_value(&[0])), (expected, gradient)]
}

#[test]
fn losses_and_gradient_are_those_of_the_formula_row_by_row() {
    // All on eleven levels; the square-root curriculum begins with as many as s₀ says.
    let original = Rules { s0: 11, ..baseline() };
    let squared = Rules { distance: Distance::Squared, ..improved() };
    let alike = Rules { weighting: Weighting::One, ..improved() };
    let average = Rules { teacher: Teacher::Average, ..improved() };
    for rules in [original, improved(), squared, alike, average] {
        assert_eq!(rules.levels(0, 8), 11);
        let [(found, slope), (expected, gradient)] = losses_and_gradient(rules);
        assert_eq!(found.len(), 8);
        for (row, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            assert!(
                (found / expected - 1.0).abs() < 1e-3,
                "row {row}: {found} {expected} of {rules:?}"
            );
        }
        assert!((slope / gradient - 1.0).abs() < 1e-3, "{slope} {gradient} of {rules:?}");
    }
}

#[test]
fn intervals_are_drawn_as_they_are_proposed() {
    let streams = trial::streams();
    let network = known(1.0);
    let side = SideInfo::default();
    let task = TaskInfo {
        method: "trial",
        workload: "trial",
        network: &network,
        examples: 8,
        side: &side,
        teacher: None,
        budget_samples: 8,
        streams: &streams,
    };
    let draws = 20_000;
    for (rules, shares) in [(improved(), ELEVEN_SHARES), (baseline(), [0.1; 10])] {
        let mut objective = Consistency::new(rules, 0.5, &task);
        objective.refresh(11).unwrap();
        let mut counts = [0_u32; 10];
        for _ in 0..draws {
            counts[objective.draw()] += 1;
        }
        let distance: f64 = counts
            .into_iter()
            .zip(shares)
            .map(|(count, share)| {
                let expected = f64::from(draws) * share;
                (f64::from(count) - expected).powi(2) / expected
            })
            .sum();
        // χ² of nine degrees of freedom is above 27.9 in one of 1,000 samples.
        assert!(distance < 27.9, "{distance}: {counts:?}");
    }
}

/// Trains on N(0, ¼I) and returns network and largest distance between teacher and student.
fn trained(rules: Rules, steps: u64) -> (Network, f64) {
    let streams = trial::streams();
    let network = mlp2d(2, 64, &streams, Device::Cpu).unwrap();
    let side = SideInfo::default();
    let task = TaskInfo {
        method: "trial",
        workload: "trial",
        network: &network,
        examples: 64,
        side: &side,
        teacher: None,
        budget_samples: 64,
        streams: &streams,
    };
    let mut objective = Consistency::new(rules, 0.5, &task);
    let settings = AdaptiveSettings::default();
    let mut optimizer = settings.build(Adaptive::Adam, 2e-3, &network).unwrap();
    let split = trial::split(&[2]).unwrap();
    objective.start(&network, &split).unwrap();
    let mut data = streams.generator("data");
    let mut farthest = 0.0_f64;
    for step in 0..steps {
        let inputs = noise_like(&Tensor::zeros([64, 2], (Kind::Float, Device::Cpu)), &mut data);
        let ids: Vec<u32> = (0..64).collect();
        let batch = Batch { inputs: inputs.unwrap() * 0.5, ids, ..split.batch(&[0]).unwrap() };
        let mut now = trial::step_info(step, steps);
        now.lr_factor = 1.0 - step as f64 / steps as f64;
        let loss = objective.loss(&network, &batch, &now).unwrap();
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let tensors = Tensor::run_backward(&[loss], &leaves, false, false);
        let active = (0..tensors.len()).collect();
        let gradients = crate::seat::Gradients { active, tensors };
        tch::no_grad(|| {
            optimizer.update(&network.parameters, &gradients, &now).unwrap();
            objective.after_step(&network, &batch, &now).unwrap();
        });
        farthest = farthest.max(objective.teacher_distance(&network).unwrap());
    }
    (network, farthest)
}

#[test]
fn a_teacher_that_forgets_at_once_is_the_network_itself_bit_for_bit() {
    let digest = |rules| {
        let (network, distance) = trained(rules, 12);
        (network.digest().unwrap(), distance)
    };
    let (plain, none) = digest(improved());
    let (forgetful, zero) = digest(Rules { teacher: Teacher::Average, mu0: 0.0, ..improved() });
    assert_eq!((plain, none), (forgetful, zero));
    assert_eq!(zero, 0.0);
    let (slow, distance) = digest(Rules { teacher: Teacher::Average, ..improved() });
    assert!(slow != plain && distance > 0.0);
}

#[test]
fn on_a_normal_the_trained_map_approaches_the_exact_one() {
    // f*(x, 80) = x·½/√(80² + ¼) = 0.00624993·x for data N(0, ¼I), up to the path's start at 0.002.
    let (network, _) = trained(Rules { s1: 40, ..improved() }, 1_200);
    let preconditioning = Preconditioning::Consistency;
    let map = Denoise { network: &network, preconditioning, sigma_data: 0.5 };
    let error = |map: &Denoise<'_>| {
        let x =
            Tensor::from_slice(&[80.0_f32, 0.0, 0.0, -80.0, 56.0, 56.0, -100.0, 30.0]).view([4, 2]);
        let found = tch::no_grad(|| map.at(&x, 80.0)).unwrap();
        let squares = values(&(found - x * 0.006_249_93).square()).unwrap();
        (f64::from(squares.iter().sum::<f32>()) / 8.0).sqrt()
    };
    let fresh = mlp2d(2, 64, &trial::streams(), Device::Cpu).unwrap();
    let (after, before) = (error(&map), error(&Denoise { network: &fresh, ..map }));
    assert!(after < 0.1 && after < before / 4.0, "{before} to {after}");
}
