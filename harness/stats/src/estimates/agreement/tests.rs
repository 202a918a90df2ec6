use super::*;

fn compared<'a>(estimated: &'a [f64], retrained: &'a [f64]) -> Compared<'a> {
    let own: (&[Vec<f64>], &[Vec<f64>]) = (&[], &[]);
    Compared { estimated, retrained, reference: 2.0, pilot_sd: 0.5, parameters: None, own }
}

#[test]
fn rounding_noise_never_gets_a_correlation() {
    let truth = [1.0, 1.5, 2.0, 2.5, 3.0];
    let noise: Vec<f64> = truth.iter().map(|loss| 2.0 + 1e-7 * loss).collect();
    let found = Agreement::of(&compared(&noise, &truth)).unwrap();
    assert_eq!((found.signal, found.held_out), (Signal::NoOrderSignal, None));
    assert!(found.reason.unwrap().starts_with("the estimates have a standard deviation of 7.9e-8"));
    // Its error is still that of the null.
    assert!((found.mae_over_sd.unwrap() - found.null_mae_over_sd.unwrap()).abs() < 1e-6);
}

#[test]
fn equal_estimates_have_no_signal_even_where_pilots_do_not_vary() {
    assert_eq!(signal(&[0.0; 5], 0.0, None), Signal::NoOrderSignal);
    assert_eq!(signal(&[1.0, 1.0 + 5e-7, 1.0], 0.0, None), Signal::NoOrderSignal);
    assert_eq!(signal(&[1.0, 1.1, 1.2], 0.1, Some(0.3)), Signal::Present);
}

#[test]
fn a_diverged_estimate_fails_with_its_order_and_stays_out_of_json() {
    let found =
        Agreement::of(&compared(&[1.0, f64::INFINITY, 2.0, 3.0], &[1.0, 2.0, 2.5, 3.0])).unwrap();
    assert_eq!(found.signal, Signal::Failed);
    assert_eq!(found.reason.as_deref(), Some("the estimate of order 1 is inf"));
    assert_eq!(found.mae_over_sd, None);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Agreement>(&text).unwrap(), found);
}

#[test]
fn parameters_further_off_than_the_reference_fail() {
    let truth = [1.0, 1.5, 2.0, 2.5];
    let mut question = compared(&truth, &truth);
    question.parameters =
        Some(Parameters { relative_errors: &[1.2, 0.9, 1.3, 1.1], cosines: &[0.1; 4] });
    let found = Agreement::of(&question).unwrap();
    assert_eq!((found.signal, found.held_out), (Signal::Failed, None));
    assert!(found.reason.unwrap().contains("1.15"));
}

#[test]
fn good_estimates_beat_the_null_and_items_are_judged_one_by_one() {
    let truth = [1.0, 1.5, 2.0, 2.5, 3.0];
    let guess = [1.1, 1.4, 2.1, 2.4, 3.1];
    let own_truth: Vec<Vec<f64>> = truth.iter().map(|&loss| vec![loss, -loss, 4.0]).collect();
    let own_guess: Vec<Vec<f64>> = guess.iter().map(|&loss| vec![loss, loss, loss]).collect();
    let mut question = compared(&guess, &truth);
    question.own = (&own_guess, &own_truth);
    let found = Agreement::of(&question).unwrap();
    assert_eq!(found.held_out, Some(1.0));
    assert!(found.mae_over_sd < found.null_mae_over_sd);
    let items = found.per_item.unwrap();
    assert_eq!((items.mean, items.min, items.items, items.flat), (0.0, -1.0, 2, 1));
}

#[test]
fn too_few_orders_and_unequal_columns_are_refused() {
    let refused = Agreement::of(&compared(&[1.0; 3], &[1.0; 3])).unwrap_err().to_string();
    assert_eq!(refused, "a comparison with retraining needs at least 4 orders, found 3");
    let refused = Agreement::of(&compared(&[1.0; 3], &[1.0; 4])).unwrap_err().to_string();
    assert_eq!(refused, "estimated losses: 3 values where 4 belong");
}
