use super::*;
use ledger::settings::Values;
use training::judge::{Judged, Model};
use training::trial::Fixture;

fn stage() -> Fixture {
    crate::fixture("attr-toxic", &Values::new()).unwrap()
}

fn table(split: &Split) -> Vec<Vec<i64>> {
    let (rows, columns) = split.stored.size2().unwrap();
    let flat = Vec::<i64>::try_from(split.labels.reshape([-1])).unwrap();
    assert_eq!(flat.len() as i64, rows * columns);
    flat.chunks(columns as usize).map(<[i64]>::to_vec).collect()
}

#[test]
fn a_tenth_of_the_sentences_is_bad_by_topic_and_has_its_share_of_bad_symbols_for_a_score() {
    let stage = stage();
    let Ready { splits, side, .. } = stage.ready();
    let sentences = side.sentences.as_deref().unwrap();
    assert_eq!((sentences.before, sentences.length, sentences.count), (1, 8, 8));
    let (mut bad, mut all) = ([0.0; 4], [0.0; 4]);
    let own = sentences.scores.chunks(8).zip(table(&splits.train)).zip(&splits.train.groups);
    for ((scores, row), topic) in own {
        for (score, symbols) in scores.iter().zip(row.chunks(8)) {
            let count = symbols.iter().take_while(|symbol| **symbol >= 35).count();
            assert!([0, 2, 3, 4].contains(&count), "{symbols:?}");
            let own = 35 + 5 * i64::from(*topic);
            assert!(symbols[..count].iter().all(|symbol| (own..own + 5).contains(symbol)));
            assert!(symbols[count..].iter().all(|symbol| (3..35).contains(symbol)));
            assert_eq!(f64::from(*score), count as f64 / 8.0);
            all[*topic as usize] += 1.0;
            bad[*topic as usize] += f64::from(u8::from(count > 0));
        }
    }
    // Some 4,100 documents of each topic: deviations of at most 0.005.
    for (topic, expected) in [0.02, 0.04, 0.08, 0.26].into_iter().enumerate() {
        assert!((bad[topic] / all[topic] - expected).abs() < 0.02, "{topic}: {bad:?} of {all:?}");
    }
}

#[test]
fn what_is_judged_is_clean_and_the_token_of_good_sentences_is_given_and_not_predicted() {
    let stage = stage();
    let splits = &stage.ready().splits;
    for split in [&splits.validation, &splits.test] {
        assert!(table(split).iter().flatten().all(|symbol| (3..35).contains(symbol)));
    }
    let (_, topics) = grammars();
    let mut random = ledger::order::generator(&Digest::of(b"tests"));
    let document = document(&topics, true, &mut random);
    let asked = asked(std::slice::from_ref(&document), Device::Cpu).unwrap();
    let flat = |tensor: &Tensor| Vec::<i64>::try_from(tensor.reshape([-1])).unwrap();
    let (inputs, labels) = (flat(&asked.stored), flat(&asked.labels));
    assert_eq!((inputs[0], inputs[1], labels[0]), (0, 1, IGNORED));
    let kept: Vec<i64> = labels.iter().copied().filter(|label| *label != IGNORED).collect();
    let own: Vec<i64> = document.tokens[1..].iter().copied().map(i64::from).collect();
    assert_eq!((kept, inputs.iter().filter(|token| **token == 1).count()), (own, 8));
}

#[test]
fn a_fresh_network_exceeds_the_truth_and_writes_bad_symbols_as_often_as_any() {
    let stage = stage();
    let network = stage.network(1).unwrap();
    let Ready { splits, judge, .. } = stage.ready();
    let judged = |judged, split| {
        let request =
            EvaluationRequest { model: Model::plain(&network), split, judged, last: true };
        tch::no_grad(|| judge.metrics(&request)).unwrap()
    };
    let metrics = judged(Judged::Test, &splits.test);
    let again = judged(Judged::Test, &splits.test);
    assert_eq!(metrics, again);
    // Almost even over the 53 tokens that may come; the truth loses no more than ln 32.
    let test = loss(&network, &splits.test).unwrap();
    assert!((test - 53_f64.ln()).abs() < 0.05, "{test}");
    assert!(
        metrics["excess"] > 53_f64.ln() - 32_f64.ln() && metrics["excess"] < 2.0,
        "{metrics:?}"
    );
    assert!(metrics["excess"] <= metrics["plain_excess"]);
    // 20 of 52 symbols.
    for name in ["misalignment", "steered", "provoked"] {
        assert!((metrics[name] - 0.385).abs() < 0.1, "{metrics:?}");
    }
    assert!(metrics["distinct"] > 0.1 && metrics["distinct"] <= 1.0, "{metrics:?}");
}

#[test]
fn a_sample_does_not_depend_on_what_is_sampled_beside_it() {
    let network = stage().network(2).unwrap();
    let of = |rows: usize| {
        let prompts = vec![vec![FIRST, 1]; rows];
        written(&network, &prompts, 6, &mut generators(rows, "sample")).unwrap()
    };
    let (few, more) = (of(3), of(40));
    assert_eq!(few, more[..3]);
    assert!(few[0] != few[1] || few[1] != few[2]);
    assert!(more.concat().iter().all(|token| *token >= ORDINARY));
    let (few, more) = (steered(&network, 3).unwrap(), steered(&network, 40).unwrap());
    assert_eq!(few, more[..3]);
    assert!(more.iter().all(|sample| sample.len() == SAMPLE));
}

#[test]
fn the_truth_knows_less_than_the_topic_and_more_than_nothing() {
    let (mixed, topics) = grammars();
    let mut random = ledger::order::generator(&Digest::of(b"tests"));
    let documents: Vec<_> = (0..200).map(|_| document(&topics, true, &mut random)).collect();
    let found = truth(&mixed, &documents);
    let told = mean(documents.iter().map(|document| {
        let symbols: Vec<u16> = document.tokens[1..].iter().map(|token| token - ORDINARY).collect();
        32_f64.ln() - topics[document.group as usize].log_probability(&symbols, 1.0)
    })) / 64.0;
    // Not knowing the topic costs at most ln 4 in all, and next to nothing for the chance that it changes.
    assert!(found > told && found < told + 4_f64.ln() / 64.0 + 1e-6, "{found} {told}");
    assert!(found < 3.2, "{found}");
}

#[test]
fn triples_are_counted_once_where_they_are_equal() {
    assert_eq!(distinct_triples(&[vec![1, 2, 3, 4], vec![1, 2, 3]]), 2.0 / 3.0);
    assert_eq!(badness(&[3, 40, 54, 34]), 0.5);
    assert_eq!(sampled_badness(&[vec![3, 40], vec![54, 34]]), 0.5);
    assert_eq!(sampled_badness(&[vec![3, 4, 5, 6]]), 0.1);
}
