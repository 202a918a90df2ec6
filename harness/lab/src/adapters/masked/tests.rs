use super::*;
use crate::models::mlp2d::mlp2d;
use crate::models::unet_s::unet_s;
use crate::optim::adamw::{Adamw, AdamwSettings};
use crate::side_info::SideInfo;
use crate::trial;
use tch::Device;

const RULES: Rules = Rules {
    select: Select::Smallest,
    share: 0.2,
    again: 0.5,
    nuclear: 0.0,
    above: 12,
    magnitudes: false,
};

fn points() -> Network {
    mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap()
}

/// The seats on a network, and what trains.
fn installed(rules: Rules, mut network: Network) -> (Masked, Network, Again) {
    let (streams, side) = (trial::streams(), SideInfo::default());
    let (mut seat, template, again) =
        Masked::new(rules, &trial::task(&network, &side, &streams)).unwrap();
    seat.install(&mut network, &streams).unwrap();
    assert_eq!(template.at(0).size(), network.at(0).size());
    (seat, network, again)
}

fn flat(network: &Network) -> Vec<f32> {
    network.parameters.iter().flat_map(|p| numbers(&p.tensor).unwrap()).collect()
}

/// A step of `rule` by the gradient of the sum of squares' sines of all that is seen.
fn step(seats: &mut (Masked, Network, Again), rule: &mut Adamw, step: u64, total: u64) {
    let (seat, trained, again) = seats;
    let now = trial::step_info(step, total);
    let seen = seat.seen(trained, Some(&now)).unwrap();
    let loss: Tensor =
        seen.parameters.iter().map(|p| (&p.tensor * 3.0).cos().sum(Kind::Float)).sum();
    let tensors = Tensor::run_backward(&[loss], &[trained.at(0)], false, false);
    let mut gradients = Gradients { active: vec![0], tensors };
    let _guard = tch::no_grad_guard();
    seat.amend(trained, &mut gradients, &now).unwrap();
    rule.update(&trained.parameters, &gradients, &now).unwrap();
    again.project(&mut trained.parameters, &gradients, rule, &now).unwrap();
}

fn rule(trained: &Network) -> Adamw {
    let settings = AdamwSettings { lr: 0.056, ..AdamwSettings::default() };
    Adamw::new(settings, trained, |_, _| true).unwrap()
}

#[test]
fn chosen_are_the_smallest_the_largest_or_any_as_many_and_at_first_nothing_is_another() {
    for network in [points(), unet_s(8, &trial::streams(), Device::Cpu).unwrap()] {
        let digest = network.digest().unwrap();
        let mut magnitudes: Vec<f32> = flat(&network).into_iter().map(f32::abs).collect();
        magnitudes.sort_by(f32::total_cmp);
        let n = magnitudes.len();
        let wanted = (0.2 * n as f64).round() as usize;
        let of = |select| {
            let rules = Rules { select, ..RULES };
            let (seat, trained, _) = installed(rules, network.duplicate());
            assert_eq!(seat.seen(&trained, None).unwrap().digest().unwrap(), digest, "{select:?}");
            let own: Vec<f32> = numbers(trained.at(0)).unwrap().into_iter().map(f32::abs).collect();
            assert_eq!(own.len(), wanted);
            let threshold = seat.shared.borrow().threshold;
            (
                own.iter().copied().fold(f32::INFINITY, f32::min),
                own.iter().copied().fold(0.0, f32::max),
                threshold,
            )
        };
        let (least, most, threshold) = of(Select::Smallest);
        assert_eq!((least, most), (magnitudes[0], magnitudes[wanted - 1]));
        assert_eq!(threshold, f64::from(magnitudes[wanted]));
        let (least, most, _) = of(Select::Largest);
        assert_eq!((least, most), (magnitudes[n - wanted], magnitudes[n - 1]));
        let (least, most, _) = of(Select::Random);
        assert!(least < threshold as f32 && most > threshold as f32);
    }
}

#[test]
fn of_normal_values_a_tenth_and_a_fifth_lie_below_the_published_thresholds() {
    // τ/s = 0.12566 and 0.25335 for N(0, s²).
    let mut network = points();
    network.parameters.truncate(1);
    let s = 0.02;
    let drawn = ledger::streams::normal(&mut trial::streams().generator("data"), 100_000);
    network.parameters[0].tensor = Tensor::from_slice(&drawn).view([250, 400]) * s;
    for (share, expected) in [(0.1, 0.125_66), (0.2, 0.253_35)] {
        let (seat, ..) = installed(Rules { share, ..RULES }, network.duplicate());
        let found = seat.shared.borrow().threshold / s;
        assert!((found - expected).abs() < 0.006, "{share}: {found}");
    }
}

#[test]
fn what_is_not_chosen_keeps_every_bit_and_values_that_have_grown_stay_where_they_are() {
    let before = flat(&points());
    let mut seats = installed(RULES, points());
    let mut rule = rule(&seats.1);
    for number in 0..4 {
        step(&mut seats, &mut rule, number, 8);
    }
    let threshold = seats.0.shared.borrow().threshold as f32;
    let middle = flat(&seats.0.seen(&seats.1, None).unwrap());
    let packed = numbers(seats.1.at(0)).unwrap();
    let small = packed.iter().filter(|value| value.abs() < threshold).count();
    assert!(small > 0 && small < packed.len(), "{small} of {}", packed.len());
    // Behind step 4 of 8 the mask is taken anew and the rule has forgotten all.
    assert_eq!(seats.0.shared.borrow().again, Some(4));
    assert_eq!(seats.0.facts()["still_masked"], small);
    assert_eq!(rule.steps().double_value(&[0]), 0.0);
    let moments = rule.moments()[0].as_ref().unwrap();
    assert!(moments.iter().all(|moment| moment.abs().max().double_value(&[]) == 0.0));
    for number in 4..8 {
        step(&mut seats, &mut rule, number, 8);
    }
    let after = flat(&seats.0.seen(&seats.1, None).unwrap());
    let (mut moved, mut again) = (0, 0);
    for ((before, middle), after) in before.iter().zip(&middle).zip(&after) {
        let chosen = before.abs() < threshold;
        assert!(chosen || before.to_bits() == middle.to_bits());
        // Only what was chosen and is still small goes on, weight decay included.
        let goes_on = chosen && middle.abs() < threshold;
        assert!(goes_on || middle.to_bits() == after.to_bits());
        moved += usize::from(before != middle);
        again += usize::from(middle != after);
    }
    assert!(moved > small && again > 0 && again <= small, "{moved} {again} {small}");
}

#[test]
fn without_a_second_mask_all_that_is_chosen_goes_on() {
    let mut seats = installed(Rules { again: 0.0, ..RULES }, points());
    let mut rule = rule(&seats.1);
    for number in 0..6 {
        step(&mut seats, &mut rule, number, 6);
    }
    assert_eq!(rule.steps().double_value(&[0]), 6.0);
    assert!(!seats.0.facts().contains_key("masked_again_at"));
}

#[test]
fn the_slope_of_the_nuclear_norm_is_that_of_singular_vectors_under_the_mask() {
    let (mut seat, trained, _) = installed(Rules { nuclear: 0.5, share: 0.6, ..RULES }, points());
    let packed = trained.at(0).detach().set_requires_grad(true);
    let (first, slope) = seat.penalty(&packed.detach()).unwrap().unwrap();
    let shared = seat.shared.borrow();
    let segment = shared.segments.iter().find(|segment| segment.first == first).unwrap();
    assert!(large(&seat.ground.parameters[segment.index], 12));
    // By differentiation of the sum of singular values.
    let matrix = &seat.ground.parameters[segment.index].tensor;
    let masked =
        matrix.zeros_like().put(&segment.places, &packed.narrow(0, first, segment.length), false);
    let (_, s, _) = masked.svd(true, true);
    let gradient = &Tensor::run_backward(&[s.sum(Kind::Float)], &[&packed], false, false)[0];
    let expected = gradient.narrow(0, first, segment.length) * 0.5;
    let size = expected.abs().max().double_value(&[]);
    assert!(size > 0.01 && (&slope - &expected).abs().max().double_value(&[]) < 1e-4 * size);
    // Of a diagonal matrix it is that of signs, and nothing where there is nothing.
    let diagonal = Tensor::from_slice(&[2.0_f32, -0.5, 0.0]).diag(0);
    let slope = nuclear_slope(&diagonal).unwrap();
    let expected = Tensor::from_slice(&[1.0_f32, -1.0, 0.0]).diag(0);
    assert!((slope - expected).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn a_penalty_lowers_the_nuclear_norm_and_none_changes_no_bit() {
    let run = |nuclear: f64| {
        let mut seats = installed(Rules { nuclear, share: 0.9, again: 0.0, ..RULES }, points());
        let mut rule = rule(&seats.1);
        for number in 0..5 {
            step(&mut seats, &mut rule, number, 5);
        }
        let seen = seats.0.seen(&seats.1, None).unwrap();
        let norm: f64 = [4, 6]
            .iter()
            .map(|at| seen.at(*at).svd(true, true).1.sum(Kind::Double).double_value(&[]))
            .sum();
        (norm, seen.digest().unwrap())
    };
    let (plain, strong) = (run(0.0), run(50.0));
    assert!(strong.0 < plain.0, "{} {}", strong.0, plain.0);
    let mut seats = installed(Rules { share: 0.9, again: 0.0, above: 9_999, ..RULES }, points());
    let mut rule = rule(&seats.1);
    for number in 0..5 {
        step(&mut seats, &mut rule, number, 5);
    }
    assert_eq!(seats.0.seen(&seats.1, None).unwrap().digest().unwrap(), plain.1);
}

#[test]
fn the_published_optimiser_sees_magnitudes_at_the_first_step_behind_a_mask_alone() {
    let (mut seat, trained, _) = installed(Rules { magnitudes: true, ..RULES }, points());
    let signs = |seat: &Masked, number: u64| {
        let seen = seat.seen(&trained, Some(&trial::step_info(number, 8))).unwrap();
        let shared = seat.shared.borrow();
        let own = shared.segments.iter().flat_map(|segment| {
            numbers(&seen.at(segment.index).contiguous().take(&segment.places)).unwrap()
        });
        own.collect::<Vec<f32>>()
    };
    let own = numbers(trained.at(0)).unwrap();
    let magnitudes: Vec<f32> = own.iter().map(|value| value.abs()).collect();
    assert_ne!(own, magnitudes);
    assert_eq!((signs(&seat, 0), signs(&seat, 1)), (magnitudes.clone(), own.clone()));
    seat.shared.borrow_mut().again = Some(4);
    assert_eq!((signs(&seat, 4), signs(&seat, 5)), (magnitudes, own));
    // The gradient goes to the value as it is.
    let seen = seat.seen(&trained, Some(&trial::step_info(0, 8))).unwrap();
    let loss: Tensor = seen.parameters.iter().map(|p| p.tensor.sum(Kind::Float)).sum();
    let gradient = &Tensor::run_backward(&[loss], &[trained.at(0)], false, false)[0];
    assert!(numbers(gradient).unwrap().iter().all(|slope| *slope == 1.0));
    seat.rules.magnitudes = false;
    assert_eq!(signs(&seat, 0), numbers(trained.at(0)).unwrap());
}

#[test]
fn a_penalty_without_a_matrix_to_put_it_on_is_refused_with_the_settings() {
    let (network, streams, side) = (points(), trial::streams(), SideInfo::default());
    let task = trial::task(&network, &side, &streams);
    let error =
        Masked::new(Rules { nuclear: 0.1, above: 64, ..RULES }, &task).unwrap_err().to_string();
    assert!(error.contains("\"nuclear\" is 0.1") && error.contains("\"nuclear_above\""), "{error}");
}

#[test]
fn zeroed_values_are_those_that_would_train() {
    let mut network = points();
    let before = flat(&network);
    let (seat, ..) = installed(RULES, points());
    let threshold = seat.shared.borrow().threshold as f32;
    let mut zeroed = Zeroed { rules: RULES, count: 0 };
    let batch = trial::batch(&[2]).unwrap();
    zeroed.prepare(&mut network, &trial::streams(), &batch).unwrap();
    for (before, after) in before.iter().zip(flat(&network)) {
        let expected = if before.abs() < threshold { 0.0 } else { *before };
        assert_eq!(after.to_bits(), expected.to_bits());
    }
    assert_eq!(zeroed.count, seat.facts()["trained_parameters"].as_u64().unwrap() as usize);
}
