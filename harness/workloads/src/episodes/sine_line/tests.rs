use super::*;
use std::collections::BTreeSet;
use training::judge::{Judged, Model};
use training::trial::Fixture;

fn fixture(support: u32) -> Fixture {
    let settings = lab::trial::with([("support", support.into())]);
    crate::fixture("sine-line", &settings).unwrap()
}

fn judged(fixture: &Fixture, model: Model<'_>) -> BTreeMap<String, f64> {
    let Ready { splits, judge, .. } = fixture.ready();
    let split = &splits.validation;
    let request = EvaluationRequest { model, split, judged: Judged::Validation, last: true };
    judge.metrics(&request).unwrap()
}

#[test]
fn no_point_is_in_two_splits_or_twice_in_one() {
    let mut random = Streams::new(Seed::from_integer(DATA_SEED).bytes).generator("data");
    let episodes: Vec<_> = (0..3_700).map(|_| Episode::draw(&mut random)).collect();
    let ids: BTreeSet<_> = episodes.iter().flat_map(Episode::ids).collect();
    assert_eq!(ids.len(), 3_700 * 20);
    // Held-out episodes are drawn first: those of the test are the first 500.
    let fixture = fixture(5);
    assert_eq!(fixture.ready().identity.sample_ids[..20], episodes[700].ids());
}

#[test]
fn episodes_are_sines_and_lines_in_the_ranges_of_the_card_with_its_noise() {
    let mut random = Streams::new([7; 32]).generator("data");
    let episodes: Vec<_> = (0..2_000).map(|_| Episode::draw(&mut random)).collect();
    let sines = episodes.iter().filter(|episode| episode.kind == Kind::Sine).count();
    assert!((sines as f64 - 1_000.0).abs() < 100.0, "{sines}");
    let (mut squares, mut points) = (0.0, 0.0);
    for Episode { kind, numbers: [a, b], points: all } in &episodes {
        if *kind == Kind::Sine {
            assert!((0.1..=5.0).contains(a) && (0.0..=3.15).contains(b));
        }
        for [x, y] in all {
            assert!((-5.0..=5.0).contains(x));
            let clean = match kind {
                Kind::Sine => a * (x - b).sin(),
                Kind::Line => a * x + b,
            };
            squares += f64::from(y - clean).powi(2);
            points += 1.0;
        }
    }
    // 40,000 squares of deviation 0.3: 0.09 ± 0.0006.
    assert!((squares / points - 0.09).abs() < 0.003, "{}", squares / points);
}

/// Notes what it is shown, and answers with networks of its own.
struct Spy {
    seen: std::cell::RefCell<Vec<(Vec<f32>, Vec<f32>)>>,
    answers: Vec<f32>,
}

impl Adapter for Spy {
    fn adapt(
        &self,
        network: &Network,
        support: Shown<'_>,
        _: &mut Pcg64,
    ) -> Result<Vec<Network>, LabError> {
        let shown = (values(support.inputs)?, values(support.labels)?);
        self.seen.borrow_mut().push(shown);
        let constant = |value: &f32| {
            let mut constant = network.duplicate();
            for parameter in &mut constant.parameters {
                parameter.tensor = parameter.tensor.zeros_like();
            }
            constant.parameters[5].tensor = Tensor::from_slice(&[*value]);
            constant
        };
        Ok(self.answers.iter().map(constant).collect())
    }
}

#[test]
fn a_method_is_shown_the_support_sets_alone_and_judged_on_the_rest_by_its_mean_answer() {
    let fixture = fixture(3);
    let network = fixture.network(1).unwrap();
    let spy = |answers: &[f32]| Spy { seen: Default::default(), answers: answers.to_vec() };
    let (one, two) = (spy(&[1.0]), spy(&[3.0, -1.0]));
    let of = |spy: &Spy| judged(&fixture, Model { adapter: Some(spy), ..Model::plain(&network) });
    let found = of(&one);
    assert_eq!(found, of(&two));
    let split = &fixture.ready().splits.validation;
    let (x, y) = (values(&split.stored).unwrap(), values(&split.labels).unwrap());
    let seen = one.seen.borrow();
    assert_eq!(seen.len(), 200);
    for (episode, shown) in seen.iter().enumerate() {
        let at = episode * 20..episode * 20 + 3;
        assert_eq!(*shown, (x[at.clone()].to_vec(), y[at].to_vec()));
    }
    let asked = y.chunks(20).flat_map(|episode| &episode[3..]);
    let squares: f64 = asked.map(|y| f64::from(y - 1.0).powi(2)).sum();
    assert!((found["mse"] - squares / 3_400.0).abs() < 1e-6 * squares);
    let none = Model { adapter: Some(&spy(&[])), ..Model::plain(&network) };
    let request = EvaluationRequest { model: none, split, judged: Judged::Test, last: true };
    assert!(fixture.ready().judge.metrics(&request).is_err());
}

#[test]
fn a_method_that_does_not_adapt_is_judged_as_it_is() {
    let fixture = fixture(5);
    let network = fixture.network(1).unwrap();
    let all = judged(&fixture, Model::plain(&network));
    assert!(all.values().all(|value| value.is_finite() && *value > 0.09), "{all:?}");
    let [low, high] = [all["line"].min(all["sine"]), all["line"].max(all["sine"])];
    assert!(low <= all["mse"] && all["mse"] <= high);
}

#[test]
fn an_episode_without_support_or_queries_is_refused_with_the_range() {
    for support in [0, 20, 25] {
        let told = crate::fixture("sine-line", &lab::trial::with([("support", support.into())]));
        let told = told.unwrap_err().to_string();
        assert!(told.contains("\"support\"") && told.contains("19"), "{told}");
    }
}
