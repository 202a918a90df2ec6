//! Runs that are stopped and go on around what methods do late in them: prunings, averages, restarts and stages, which a
//! few steps do not come to.

use super::*;

/// Methods with something late, and settings under which it comes within twenty-odd steps.
const LATE: &[(&str, &str)] = &[
    // Weights are dropped and grown every third step, and only exchanged from the middle on.
    ("granet", r#"{"interval": 3}"#),
    ("granet", r#"{"interval": 3, "mode": "gradual-magnitude"}"#),
    // Dense, fading, and under the plain mask.
    ("n-m", r#"{"dense_head": 0.3, "tail": 0.3}"#),
    // Merges that begin with a fresh optimiser.
    ("sltrain", r#"{"mode": "relora", "restarts": 3}"#),
    // Weights are averaged from the middle on.
    ("low-precision", r#"{"average_from": 0.5, "stored": "bf16"}"#),
    // Four stages.
    ("once-for-all", r#"{"recalibrate": 64}"#),
    // Three synchronisations and more.
    ("lookahead", r#"{"k": 7}"#),
    // Layers join over the whole run.
    ("progressive-training", r#"{"cutoff": "growing"}"#),
    // Predictions of the epoch before.
    ("ps-kd", "{}"),
];

/// Where runs are stopped, as shares of their steps.
const STOPS: [u64; 3] = [35, 60, 85];

#[test]
fn late_events_are_gone_through_alike_before_and_behind_a_stop() {
    let mut places = Places::default();
    let asked: BTreeSet<_> = entries().map(|entry| entry.id).collect();
    for (id, text) in LATE.iter().filter(|(id, _)| asked.contains(id)) {
        let entry = find(id).unwrap();
        let mut settings = smoke_settings(entry);
        settings.extend(serde_json::from_str::<Values>(text).unwrap());
        let mut run = |stop: Option<u64>| {
            let trace = match (places.place(entry, IMAGES.seed, 6), stop) {
                (Place::Images(trial), None) => trial.run(entry.method, &settings),
                (Place::Images(trial), Some(stop)) => {
                    trial.interrupted(entry.method, &settings, stop)
                }
                (Place::Fixture(fixture, samples), None) => {
                    fixture.run(entry.method, &settings, samples, IMAGES.seed)
                }
                (Place::Fixture(fixture, samples), Some(stop)) => {
                    fixture.interrupted(entry.method, &settings, samples, IMAGES.seed, stop)
                }
            };
            trace.unwrap_or_else(|error| panic!("{id} {text}, stopped behind {stop:?}: {error}"))
        };
        let whole = run(None);
        let steps = whole.order.chain.step;
        assert!(steps >= 20, "{id}: {steps} steps");
        for stop in STOPS.map(|share| steps * share / 100) {
            let again = run(Some(stop));
            assert_eq!(again.digest, whole.digest, "{id} {text}: parameters, from step {stop}");
            assert_eq!(again.order, whole.order, "{id} {text}: order, from step {stop}");
            assert_eq!(again.facts, whole.facts, "{id} {text}: facts, from step {stop}");
        }
    }
}
