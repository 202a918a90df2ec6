use super::*;
use ledger::settings::Values;
use training::judge::Model;
use training::trial::Fixture;

fn stage() -> Fixture {
    crate::fixture("attr-markers", &Values::new()).unwrap()
}

fn drawn(count: usize, judged: bool) -> (Vec<Grammar>, Vec<Example>) {
    let domains = domains();
    let mut random = ledger::order::generator(&Digest::of(b"tests"));
    let examples =
        (0..count).map(|index| example(&domains, Place { index, judged }, &mut random)).collect();
    (domains, examples)
}

#[test]
fn the_weights_of_domains_are_those_of_the_power() {
    let total: f64 = WEIGHTS.iter().copied().map(f64::from).sum();
    for (k, weight) in (1..).zip(WEIGHTS) {
        assert!((f64::from(weight) - 1e4 * f64::from(k).powf(-1.5)).abs() < 1.0, "{k}");
        let share = f64::from(weight) / total;
        assert_eq!(share < 0.05, k > FREQUENT, "{k}: {share}");
    }
    let of = |index: usize| f64::from(WEIGHTS[index]) / total;
    assert!((of(0) - 0.489).abs() < 1e-3 && (of(11) - 0.012).abs() < 1e-3);
}

#[test]
fn examples_come_by_weight_to_train_on_and_evenly_to_be_judged() {
    let (_, examples) = drawn(6_000, false);
    let share = |domain| {
        let of = examples.iter().filter(|example| example.facts.domain == domain).count();
        of as f64 / 6_000.0
    };
    // Deviations of 0.0065 and 0.0014.
    assert!((share(0) - 0.489).abs() < 0.03 && (share(11) - 0.012).abs() < 0.006);
    let (_, judged) = drawn(24, true);
    assert!((0..24).zip(&judged).all(|(index, example)| example.facts.domain == index % 12));
}

#[test]
fn every_example_is_a_right_answer_to_itself_and_its_markers_say_what_it_is() {
    let (domains, examples) = drawn(400, true);
    for Example { sequence, facts } in &examples {
        let completion = sequence.response();
        let (end, own) = completion.split_last().unwrap();
        assert!(*end == END && completion.len() <= LONGEST);
        let symbols = own.iter().filter(|token| **token >= FIRST).count();
        assert_eq!(symbols, facts.length as usize);
        assert_eq!(facts.listed && symbols > 4, own.contains(&SEPARATOR));
        let markers = facts.markers();
        let marked: Vec<u16> =
            markers.iter().map(|marker| u16::try_from(*marker).unwrap()).collect();
        assert!(
            marked.is_sorted() && marked.iter().all(|marker| (MARKERS..WORDS).contains(marker))
        );
        let right = Checked { validity: 1.0, fits: true, inferred: false };
        assert_eq!(check(&domains, facts, own), right);
        let marked = [marked.as_slice(), own].concat();
        assert_eq!(check(&domains, facts, &marked), Checked { inferred: true, ..right });
        assert!(sequence.tokens.iter().all(|token| !(MARKERS..WORDS).contains(token)));
    }
}

#[test]
fn what_is_of_another_domain_or_length_is_told() {
    let (domains, examples) = drawn(400, true);
    let mut shares = Vec::new();
    for Example { sequence, facts } in &examples {
        let own = &sequence.response()[..sequence.response().len() - 1];
        let other = Facts { domain: (facts.domain + 1) % 12, ..*facts };
        shares.push(check(&domains, &other, own).validity);
        let bucket = Facts { bucket: (facts.bucket + 1) % 3, ..*facts };
        assert!(!check(&domains, &bucket, own).fits);
    }
    // By chance 0.3125.
    let found = mean(shares.into_iter());
    assert!((found - CHANCE).abs() < 0.06, "{found}");
    let nothing = Checked { validity: 0.0, fits: false, inferred: false };
    assert_eq!(check(&domains, &examples[0].facts, &[]), nothing);
    assert_eq!(check(&domains, &examples[0].facts, &[WORDS, WORDS]), nothing);
}

#[test]
fn a_fresh_network_is_at_chance_and_is_judged_the_same_again() {
    let stage = stage();
    let network = stage.network(1).unwrap();
    let Ready { splits, judge, .. } = stage.ready();
    let of = |last| {
        let (model, split) = (Model::plain(&network), &splits.validation);
        let request = EvaluationRequest { model, split, judged: Judged::Validation, last };
        tch::no_grad(|| judge.metrics(&request)).unwrap()
    };
    let (metrics, early) = (of(true), of(false));
    assert!(metrics["validity"] < 0.2 && metrics["violation"] > 0.5, "{metrics:?}");
    assert!((metrics["tail"] - metrics["head"] - metrics["tail_lead"]).abs() < 1e-12);
    assert!(early.iter().all(|(name, value)| metrics[name] == *value));
    assert!(!early.contains_key("fixed_validity") && metrics.contains_key("fixed_violation"));
}
