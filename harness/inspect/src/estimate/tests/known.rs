use rand_pcg::Pcg64;
use tch::{Kind, Tensor};

use super::toy::{Toy, adamw, course, length, network, orders, sgd, start, vector};
use crate::estimate::oracle::bracket::Bracket;
use crate::estimate::oracle::linear::Linear;
use crate::estimate::oracle::projection::Projected;
use crate::estimate::oracle::replay::predicts_nothing;
use crate::estimate::oracle::score::Score;
use crate::estimate::oracle::surrogate::{Quadratics, Surrogate};
use crate::estimate::oracle::taylor::{Taylor, Terms};
use crate::estimate::oracle::weighted::Weighted;
use crate::estimate::oracle::{frozen::Slope, mean_over_items};
use crate::estimate::registry::{
    Built, Gives, Options, Parts, ProjectionChoice, REGISTRY, build, find,
};
use crate::estimate::set_up::gradients_at_centre;
use crate::estimate::{Course, Exact, Oracle, Problem, Reference};
use lab::LabError;
use lab::optim::muon::{MovedBy, Muon, MuonSettings};
use lab::seat::Optimizer;
use stats::estimates::ItemOrder;

type Make = fn() -> Box<dyn Optimizer>;

const RULES: [(&str, Make); 5] = [
    ("sgd", || sgd(0.125, 0.0, false, 0.0)),
    ("momentum", || sgd(0.0625, 0.9, false, 0.1)),
    ("nesterov", || sgd(0.0625, 0.9, true, 0.1)),
    ("adam", || adamw(0.0)),
    ("adamw", || adamw(0.1)),
];

/// Rows called `name`, N × 3.
fn stored(name: &str) -> Tensor {
    let text = include_str!("../../../tests/reference/estimates.tsv");
    let rows = text.lines().map(|line| line.split('\t'));
    let values: Vec<f64> = rows
        .filter_map(|mut row| (row.next() == Some(name)).then_some(row))
        .flatten()
        .map(|value| value.parse().unwrap())
        .collect();
    assert!(!values.is_empty(), "{name}");
    vector(&values).view([-1, 3])
}

fn follow(course: &mut Course, oracle: &mut dyn Oracle, orders: &[ItemOrder]) -> Tensor {
    course.drive(oracle, orders, &start(), &mut |_, _, _| Ok(())).unwrap()
}

fn furthest(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

fn reference(course: &mut Course, toy: &Toy) -> Reference {
    Reference::take(course, toy, &orders()[0], &start()).unwrap()
}

/// What the estimator `id` says of all orders.
fn estimated(id: &str, course: &mut Course, toy: &Toy, options: &Options) -> Tensor {
    let reference = reference(course, toy);
    let parts = Parts {
        problem: toy,
        course: &*course,
        reference: Some(&reference),
        quadratics: None,
        pieces: &[],
    };
    let built = build(id, &parts, options, &mut Pcg64::new(1, 2)).unwrap();
    match built {
        Built::ByRule(mut oracle) => follow(course, oracle.as_mut(), &orders()),
        Built::ByUpdates(mut oracle, mut plain) => follow(&mut plain, oracle.as_mut(), &orders()),
    }
}

#[test]
fn quadratic_sgd_equals_exact_rationals_bit_for_bit() {
    let mut course = course(sgd(0.125, 0.0, false, 0.0), 4, &[]);
    let found = follow(&mut course, &mut Exact(&Toy(2)), &orders());
    assert_eq!(furthest(&found, &stored("rational")), 0.0);
}

#[test]
fn every_rule_follows_torch_optim_in_every_order_cold_and_warm() {
    for (name, make) in RULES {
        for (state, warm) in [("cold", [].as_slice()), ("warm", &[2, 0, 3])] {
            let mut course = course(make(), 4, warm);
            let found = follow(&mut course, &mut Exact(&Toy(4)), &orders());
            let far = furthest(&found, &stored(&format!("torch {name} {state}")));
            assert!(far <= 1e-12, "{name} {state}: {far:e}");
        }
    }
}

#[test]
fn published_estimators_agree_with_their_formulas_written_out() {
    let exact = Options { frozen_slope: Slope::Exact, ..Options::default() };
    for id in ["grid0", "taylor1", "taylor-frozen"] {
        let found = estimated(id, &mut course(adamw(0.0), 4, &[]), &Toy(4), &exact);
        let far = furthest(&found, &stored(&format!("estimator {id}")));
        assert!(far <= 1e-11, "{id}: {far:e}");
    }
}

#[test]
fn first_order_is_exact_on_the_quadratic_and_second_on_the_cubic_for_every_rule() {
    let all = Options { trust: f64::INFINITY, ..Options::default() };
    for (name, make) in RULES {
        for warm in [[].as_slice(), &[2, 0, 3]] {
            for (id, degree) in [("taylor1", 2), ("taylor2", 3)] {
                let mut course = course(make(), 4, warm);
                let truth = follow(&mut course, &mut Exact(&Toy(degree)), &orders());
                let found = estimated(id, &mut course, &Toy(degree), &all);
                assert!(furthest(&found, &truth) < 1e-12, "{name} {id}");
                let short = estimated("taylor1", &mut course, &Toy(3), &all);
                let truth = follow(&mut course, &mut Exact(&Toy(3)), &orders());
                assert!(furthest(&short, &truth) > 1e-7, "{name}: the cubic is no quadratic");
            }
        }
    }
}

#[test]
fn frozen_sgd_is_the_same_as_recomputed_sgd() {
    // SGD without momentum has no state that could be frozen.
    let exact = Options { frozen_slope: Slope::Exact, ..Options::default() };
    let mut course = course(sgd(0.125, 0.0, false, 0.1), 4, &[]);
    let frozen = estimated("taylor-frozen", &mut course, &Toy(4), &exact);
    let taylor = estimated("taylor1", &mut course, &Toy(4), &exact);
    assert!(furthest(&frozen, &taylor) < 1e-14);
    let secant = estimated("taylor-frozen", &mut course, &Toy(4), &Options::default());
    let diagonal = estimated("taylor-diagonal", &mut course, &Toy(4), &Options::default());
    assert!(furthest(&secant, &diagonal) < 1e-13);
    assert!(furthest(&secant, &taylor) > 1e-4, "a diagonal is not the Hessian");
}

#[test]
fn every_published_estimator_gives_the_reference_for_the_references_own_order() {
    for (name, make) in RULES {
        let mut course = course(make(), 4, &[1, 3]);
        let end = reference(&mut course, &Toy(4)).end().unwrap();
        for id in ["null", "replay", "grid0", "taylor1", "taylor2", "taylor-diagonal"] {
            let found = estimated(id, &mut course, &Toy(4), &Options::default());
            // The last bit depends on where in the rows a value is: see the test of the driver.
            assert!(furthest(&found.get(0), &end) < 1e-15, "{name} {id}");
        }
        let found = estimated("taylor-frozen", &mut course, &Toy(4), &Options::default());
        assert!(furthest(&found.get(0), &end) < 1e-14, "{name}");
        let null = estimated("null", &mut course, &Toy(4), &Options::default());
        assert!(furthest(&null, &end.unsqueeze(0).repeat([24, 1])) < 1e-15);
    }
}

#[test]
fn replay_of_sgd_at_a_constant_rate_predicts_nothing_and_is_known_to() {
    let mut plain = course(sgd(0.125, 0.0, false, 0.0), 4, &[]);
    let ends = estimated("replay", &mut plain, &Toy(4), &Options::default());
    let reference_run = reference(&mut plain, &Toy(4));
    assert!(predicts_nothing(&ends, &reference_run).unwrap());
    let truth = follow(&mut plain, &mut Exact(&Toy(4)), &orders());
    assert!(!predicts_nothing(&truth, &reference_run).unwrap());
    assert!(!predicts_nothing(&(&truth * f64::NAN), &reference_run).unwrap());
    let end = reference_run.end().unwrap();
    let relative = length(&(ends - &truth).get(7)) / length(&(truth.get(7) - end));
    assert!((relative - 1.0).abs() < 1e-4, "{relative}");

    let mut momentum = course(sgd(0.0625, 0.9, false, 0.0), 4, &[]);
    let ends = estimated("replay", &mut momentum, &Toy(4), &Options::default());
    assert!(!predicts_nothing(&ends, &reference(&mut momentum, &Toy(4))).unwrap());
}

#[test]
fn neighbours_that_change_places_differ_by_their_bracket_up_to_third_order() {
    let toy = Toy(4);
    let gradient = |item| toy.gradient(item, &start()).unwrap();
    let bracket = toy.curvature(1, &start(), &gradient(0)).unwrap()
        - toy.curvature(0, &start(), &gradient(1)).unwrap();
    let rest = |rate: f64| {
        let mut course = course(sgd(rate, 0.0, false, 0.0), 2, &[]);
        let both = [ItemOrder::batches(&[0, 1]), ItemOrder::batches(&[1, 0])];
        let ends = follow(&mut course, &mut Exact(&toy), &both);
        length(&(ends.get(0) - ends.get(1) - &bracket * (rate * rate)))
    };
    let order = (rest(1.0 / 64.0) / rest(1.0 / 128.0)).log2();
    assert!((order - 3.0).abs() < 0.1, "{order}");
}

#[test]
fn an_order_followed_by_its_reverse_cancels_the_second_order() {
    let spread = |rate: f64, doubled: bool| {
        let steps = if doubled { 8 } else { 4 };
        let mut course = course(sgd(rate, 0.0, false, 0.0), steps, &[]);
        let all: Vec<_> = orders()
            .into_iter()
            .map(|mut order| {
                if doubled {
                    let back: Vec<_> = order.steps.iter().rev().cloned().collect();
                    order.steps.extend(back);
                }
                order
            })
            .collect();
        let ends = follow(&mut course, &mut Exact(&Toy(4)), &all);
        length(&(&ends - ends.mean_dim(0, true, Kind::Double)))
    };
    let order = |doubled| (spread(1.0 / 128.0, doubled) / spread(1.0 / 256.0, doubled)).log2();
    let (once, there_and_back) = (order(false), order(true));
    assert!((once - 2.0).abs() < 0.2, "{once}");
    assert!((there_and_back - 3.0).abs() < 0.25, "{there_and_back}");
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value| values.iter().filter(|other| **other < value).count();
    values.iter().map(|value| f64::from(u32::try_from(rank(*value)).unwrap())).collect()
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let squares: f64 = ranks(a).iter().zip(ranks(b)).map(|(a, b)| (a - b) * (a - b)).sum();
    let n = f64::from(u32::try_from(a.len()).unwrap());
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

#[test]
fn a_bracket_ranks_small_steps_and_a_score_does_not() {
    let toy = Toy(2);
    let mut course = course(sgd(1.0 / 64.0, 0.0, false, 0.0), 4, &[]);
    let truth = toy.held_out(&follow(&mut course, &mut Exact(&toy), &orders())).unwrap();
    let reference = reference(&mut course, &toy);
    let towards = toy.held_out_gradient(&reference.end().unwrap()).unwrap();
    let bracket = Bracket::new(&toy, &course, &reference.centre().unwrap(), &towards).unwrap();
    let ranked = spearman(&bracket.scores(&orders()).unwrap(), &truth);
    assert!(ranked > 0.97, "{ranked}");
    let rates = course.plain_rates().unwrap();
    let score = Score::new(&toy, &reference, &rates, &towards).unwrap();
    let scored = spearman(&score.scores(&orders()).unwrap(), &truth);
    let ends = estimated("grid0", &mut course, &toy, &Options::default());
    let grid = spearman(&toy.held_out(&ends).unwrap(), &truth);
    // Both replace the new predecessors by the reference's: at a constant rate they agree, and
    // what they say of an order has nothing to do with its own brackets.
    assert!(scored < ranked - 0.1 && grid < ranked - 0.1, "{ranked} {scored} {grid}");
    assert!((scored - grid).abs() < 1e-12, "{scored} {grid}");
    assert!(bracket.scores(&[ItemOrder::batches(&[0, 9, 1, 2])]).is_err());
    let momentum = super::toy::course(sgd(0.1, 0.9, false, 0.0), 4, &[]);
    assert!(Bracket::new(&toy, &momentum, &start(), &towards).is_err());
}

#[test]
fn a_surrogate_with_all_directions_is_the_linear_expansion() {
    let (toy, centre) = (Toy(2), start() * 0.5);
    let basis = Tensor::eye(3, (Kind::Double, tch::Device::Cpu));
    let curvature: Vec<_> = (0..4)
        .map(|item| {
            let rows = (0..3).map(|row| toy.curvature(item, &centre, &basis.get(row)).unwrap());
            Tensor::stack(&rows.collect::<Vec<_>>(), 0)
        })
        .collect();
    let quadratics = Quadratics {
        gradients: gradients_at_centre(&toy, &centre).unwrap(),
        curvature: Tensor::stack(&curvature, 0),
        centre: centre.shallow_clone(),
        basis,
    };
    for (name, make) in RULES {
        let mut course = course(make(), 4, &[]);
        let ours = follow(&mut course, &mut Surrogate(&quadratics), &orders());
        let linear = follow(&mut course, &mut Linear::new(&toy, &centre).unwrap(), &orders());
        assert!(furthest(&ours, &linear) <= 1e-14, "{name}");
        let truth = follow(&mut course, &mut Exact(&toy), &orders());
        assert!(furthest(&ours, &truth) < 1e-12, "{name}");
    }
}

#[test]
fn a_step_of_examples_takes_their_mean_in_every_estimator() {
    let mut course = course(adamw(0.1), 2, &[1]);
    let pairs = |items: [u32; 4]| ItemOrder::dealt(&items, [2, 2]);
    let toy = Toy(2);
    let reference = Reference::take(&mut course, &toy, &pairs([0, 1, 2, 3]), &start()).unwrap();
    let all = [pairs([3, 1, 0, 2]), pairs([2, 3, 1, 0])];
    let truth = follow(&mut course, &mut Exact(&toy), &all);
    let mut taylor = Taylor::new(&toy, &reference, Terms::First, None);
    assert!(furthest(&follow(&mut course, &mut taylor, &all), &truth) < 1e-13);
    let mut linear = Linear::new(&toy, &start()).unwrap();
    assert!(furthest(&follow(&mut course, &mut linear, &all), &truth) < 1e-13);
    let halves =
        mean_over_items(&[&[0, 3]], |item| Ok(toy.gradient(item[0], &start())?.unsqueeze(0)));
    let both = toy.gradient(0, &start()).unwrap() + toy.gradient(3, &start()).unwrap();
    assert_eq!(furthest(&halves.unwrap().get(0), &(both / 2.0)), 0.0);
}

/// Items whose gradient is 0 in the first value.
struct Dead(Toy);

impl Problem for Dead {
    fn items(&self) -> usize {
        4
    }
    fn parameters(&self) -> i64 {
        3
    }
    fn gradient(&self, item: usize, at: &Tensor) -> Result<Tensor, LabError> {
        Ok(self.0.gradient(item, at)? * vector(&[0., 1., 1.]))
    }
    fn curvature(&self, item: usize, at: &Tensor, v: &Tensor) -> Result<Tensor, LabError> {
        Ok(self.0.curvature(item, at, v)? * vector(&[0., 1., 1.]))
    }
    fn third(&self, item: usize, at: &Tensor, v: &Tensor) -> Result<Tensor, LabError> {
        self.0.third(item, at, v)
    }
    fn held_out(&self, at: &Tensor) -> Result<Vec<f64>, LabError> {
        self.0.held_out(at)
    }
    fn held_out_gradient(&self, at: &Tensor) -> Result<Tensor, LabError> {
        self.0.held_out_gradient(at)
    }
    fn own(&self, item: usize, at: &Tensor) -> Result<Vec<f64>, LabError> {
        self.0.own(item, at)
    }
}

#[test]
fn frozen_adam_stays_finite_where_the_second_moment_is_zero() {
    let mut course = course(adamw(0.0), 4, &[]);
    let dead = Dead(Toy(4));
    let reference = Reference::take(&mut course, &dead, &orders()[0], &start()).unwrap();
    for frozen_slope in [Slope::Exact, Slope::Secant] {
        let options = Options { frozen_slope, ..Options::default() };
        let parts = Parts {
            problem: &dead,
            course: &course,
            reference: Some(&reference),
            quadratics: None,
            pieces: &[],
        };
        let built = build("taylor-frozen", &parts, &options, &mut Pcg64::new(1, 2)).unwrap();
        let Built::ByUpdates(mut oracle, mut plain) = built else { panic!("not by updates") };
        let ends = follow(&mut plain, oracle.as_mut(), &orders());
        assert!(ends.isfinite().all().int64_value(&[]) == 1);
        assert_eq!(furthest(&ends.get(5).get(0), &start().get(0)), 0.0);
    }
}

#[test]
fn the_second_order_is_left_out_beyond_the_trust_radius_and_said_to_be() {
    let (toy, far) = (Toy(4), Tensor::full([1, 3], 1e3, (Kind::Double, tch::Device::Cpu)));
    let mut course = course(sgd(0.125, 0.0, false, 0.0), 4, &[]);
    let reference = reference(&mut course, &toy);
    let ask = |terms| {
        let mut taylor = Taylor::new(&toy, &reference, terms, None);
        let one = taylor.gradients(1, &[&[2]], &far).unwrap();
        let _ = taylor.gradients(1, &[&[2]], &(&far * f64::NAN)).unwrap();
        (one, taylor.fallbacks())
    };
    let (first, _) = ask(Terms::First);
    let (second, fallbacks) = ask(Terms::Second { trust: 1.0 });
    assert_eq!(furthest(&first, &second), 0.0);
    assert_eq!(
        fallbacks.to_string(),
        "first order in 2 of 2 gradients (1 not finite, 1 beyond the trust radius)"
    );
}

#[test]
fn a_random_projection_disturbs_the_more_the_fewer_its_dimensions() {
    let mut course = course(sgd(0.125, 0.0, false, 0.0), 4, &[]);
    let plain = estimated("taylor1", &mut course, &Toy(4), &Options::default());
    let mut far = |k, what| {
        let projection = Some(ProjectionChoice { k, what });
        let options = Options { projection, ..Options::default() };
        furthest(&estimated("taylor1", &mut course, &Toy(4), &options), &plain)
    };
    let wide = far(100_000, Projected::Displacement);
    assert!(wide > 0.0 && wide < 0.01, "{wide}");
    assert!(far(1, Projected::Displacement) > 10.0 * wide);
    assert!(far(1, Projected::Both) > 10.0 * wide);
}

#[test]
fn unknown_estimators_and_missing_parts_are_named() {
    assert!(find("surogate").unwrap_err().to_string().contains("did you mean \"surrogate\"?"));
    assert!(find("zzzzzzzz").unwrap_err().to_string().contains("valid: exact, null, replay"));
    let (toy, course) = (Toy(2), course(sgd(0.1, 0.0, false, 0.0), 4, &[]));
    let parts =
        Parts { problem: &toy, course: &course, reference: None, quadratics: None, pieces: &[] };
    // True gradients need nothing beside the problem.
    for entry in REGISTRY.iter().filter(|entry| entry.id != "exact") {
        let error = build(entry.id, &parts, &Options::default(), &mut Pcg64::new(1, 2));
        let error = error.unwrap_err().to_string();
        let told = if entry.gives == Gives::Parameters { "needs" } else { "no parameters" };
        assert!(error.contains(told), "{}: {error}", entry.id);
    }
}

#[test]
fn orders_of_several_lengths_and_steps_of_several_sizes_go_as_each_does_alone() {
    let toy = Toy(4);
    let uneven = |steps: &[&[u32]]| ItemOrder { steps: steps.iter().map(|s| s.to_vec()).collect() };
    // Without some items: fewer steps, or steps of fewer examples.
    let all = [
        uneven(&[&[0, 1], &[2, 3]]),
        uneven(&[&[3]]),
        uneven(&[&[1], &[2, 0]]),
        uneven(&[&[2, 1, 0], &[3]]),
    ];
    for (name, make) in RULES {
        let mut course = course(make(), 2, &[1]);
        let together = follow(&mut course, &mut Exact(&toy), &all);
        for (row, order) in (0_i64..).zip(&all) {
            let alone = follow(&mut course, &mut Exact(&toy), std::slice::from_ref(order));
            assert!(furthest(&together.get(row), &alone.get(0)) < 1e-14, "{name} {row}");
        }
        let [whole, part] = [together.get(0), together.get(1)];
        assert!(furthest(&whole, &part) > 1e-4, "{name}: leaving out does something");
    }
}

#[test]
fn weights_scale_an_items_gradient_and_zero_is_leaving_out_where_steps_have_no_memory() {
    let toy = Toy(4);
    let order = ItemOrder::batches(&[2, 0, 3, 1]);
    let weigh = |course: &mut Course, weights: &[Vec<f64>]| {
        let orders = vec![order.clone(); weights.len()];
        follow(course, &mut Weighted { oracle: Box::new(Exact(&toy)), weights }, &orders)
    };
    for (name, make) in RULES {
        let mut course = course(make(), 4, &[1]);
        let plain = follow(&mut course, &mut Exact(&toy), std::slice::from_ref(&order));
        let weighed = weigh(&mut course, &[vec![1.0; 4], vec![1.0, 1.0, 1.0, 0.0]]);
        assert!(furthest(&weighed.get(0), &plain.get(0)) < 1e-14, "{name}");
        let without = order.without(3);
        let without = follow(&mut course, &mut Exact(&toy), std::slice::from_ref(&without));
        let far = furthest(&weighed.get(1), &without.get(0));
        // Weight decay, momenta and moments take their step under a gradient of 0.
        assert_eq!(far < 1e-14, name == "sgd", "{name}: {far:e}");
    }
    // Plain SGD at twice the weight steps twice as far.
    let mut course = course(sgd(0.125, 0.0, false, 0.0), 1, &[]);
    let one = [ItemOrder::batches(&[2])];
    let step = follow(&mut course, &mut Exact(&toy), &one) - start();
    let weights = [vec![0.0, 0.0, 2.0, 0.0]];
    let mut double = Weighted { oracle: Box::new(Exact(&toy)), weights: &weights };
    let far = furthest(&(follow(&mut course, &mut double, &one) - start()), &(step * 2.0));
    assert!(far < 1e-15, "{far:e}");
    let mut few = Weighted { oracle: Box::new(Exact(&toy)), weights: &weights };
    let refused =
        course.drive(&mut few, &[one[0].clone(), one[0].clone()], &start(), &mut |_, _, _| Ok(()));
    assert!(refused.unwrap_err().to_string().contains("weights of 1 runs for 2"));
}

#[test]
fn curvature_made_in_one_piece_is_not_copied_and_elsewhere_it_is_joined() {
    let basis = Tensor::eye(3, (Kind::Double, tch::Device::Cpu));
    let [gradients, curvature] = Quadratics::room(2, &basis).unwrap();
    gradients
        .shallow_clone()
        .copy_(&Tensor::arange(6, (Kind::Double, tch::Device::Cpu)).view([2, 3]));
    curvature
        .shallow_clone()
        .copy_(&(Tensor::arange(18, (Kind::Double, tch::Device::Cpu)) + 6.0).view([2, 3, 3]));
    let whole = Tensor::arange(24, (Kind::Double, tch::Device::Cpu)).view([8, 3]);
    let made = Quadratics { centre: start(), basis, gradients, curvature };
    let parts = made.parts().unwrap();
    assert_eq!(furthest(&parts, &whole), 0.0);
    assert_eq!(parts.data_ptr(), made.gradients.data_ptr());
    let apart = Quadratics {
        centre: start(),
        basis: made.basis.copy(),
        gradients: made.gradients.copy(),
        curvature: made.curvature.copy(),
    };
    assert_eq!(furthest(&apart.parts().unwrap(), &whole), 0.0);
}

#[test]
fn muon_is_driven_in_rows_and_first_order_is_exact_on_the_quadratic() {
    let matrix = || {
        let mut network = network();
        network.parameters[0].tensor = start().view([1, 3]).copy();
        network
    };
    let settings = MuonSettings { head: MovedBy::Muon, lr: 0.05, ..MuonSettings::default() };
    let rule = Box::new(Muon::new(settings, &matrix()).unwrap());
    let moments = (0..4).map(|step| lab::trial::step_info(step, 4)).collect();
    let mut course = Course::new(&matrix(), rule, moments, None).unwrap();
    let truth = follow(&mut course, &mut Exact(&Toy(2)), &orders());
    let found = estimated("taylor1", &mut course, &Toy(2), &Options::default());
    assert!(furthest(&found, &truth) < 1e-12);
    assert!(furthest(&truth.get(0), &truth.get(9)) > 1e-6);
    let reference = reference(&mut course, &Toy(2));
    let told = course.rules_along(&reference).unwrap_err().to_string();
    assert!(told.contains("SGD, Adam and AdamW"), "{told}");
}
