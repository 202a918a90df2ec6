use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Space, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn every_kind_is_read_and_written_alike() {
    for text in [
        "{log: [0.001, 0.1]}",
        "{linear: [0, 1]}",
        "{integers: [1, 9]}",
        "{log-integers: [1, 64]}",
        "[linear, cosine]",
    ] {
        let space = read(text).unwrap();
        assert_eq!(space.problem(), None, "{text}");
        let json = serde_json::to_string(&space).unwrap();
        assert_eq!(read(&json).unwrap(), space, "{json}");
    }
}

#[test]
fn what_is_no_space_says_why() {
    let refused = |text: &str| read(text).unwrap_err();
    assert!(refused("{logg: [1, 2]}").contains("did you mean \"log\"?"));
    assert!(refused("{log: [1, 2], linear: [1, 2]}").contains("of one kind"));
    assert!(refused("{log: [1]}").contains("array"), "{}", refused("{log: [1]}"));
    assert!(refused("0.1").contains("a list of values, or one of"));
    let problem = |text: &str| read(text).unwrap().problem().unwrap();
    insta::assert_snapshot!(problem("{log: [0.1, 0.01]}"), @"log: [0.1, 0.01] must be two finite numbers, the smaller one first");
    insta::assert_snapshot!(problem("{log: [0, 1]}"), @"log: a logarithmic space starts above 0, not at 0; use `linear` or `integers`");
    insta::assert_snapshot!(problem("[cosine]"), @"a list of values to try needs two or more; a single one belongs in `with`");
    insta::assert_snapshot!(problem("[1, 2, 1]"), @"1 is given twice");
}

#[test]
fn a_space_continues_where_it_ends_with_as_many_octaves_again() {
    let log = Space::Log([0.01, 0.1]);
    assert_eq!(log.beyond(Side::High), Some(Space::Log([0.1, 1.0])));
    assert_eq!(log.beyond(Side::Low), Some(Space::Log([0.001, 0.01])));
    assert_eq!(Space::Linear([1.0, 3.0]).beyond(Side::Low), Some(Space::Linear([-1.0, 1.0])));
    assert_eq!(Space::Integers([1, 4]).beyond(Side::High), Some(Space::Integers([5, 8])));
    assert_eq!(Space::LogIntegers([1, 8]).beyond(Side::Low), None);
    assert_eq!(Space::LogIntegers([2, 8]).beyond(Side::High), Some(Space::LogIntegers([9, 32])));
    assert_eq!(Space::Choices(vec![1.into(), 2.into()]).beyond(Side::High), None);
}

proptest! {
    #[test]
    fn values_lie_within_and_grow_with_u(low in 1e-4..1e3f64, ratio in 1.5..1e3f64, u in 0.0..1.0f64, v in 0.0..1.0f64) {
        let whole = [low.ceil() as i64, (low * ratio).ceil() as i64 + 1];
        for space in [Space::Log([low, low * ratio]), Space::Linear([low, low * ratio]), Space::Integers(whole), Space::LogIntegers(whole)] {
            let [a, b] = [u.min(v), u.max(v)].map(|u| space.at(u).as_f64().unwrap());
            let ends: Vec<f64> = space.extremes().iter().filter_map(Value::as_f64).collect();
            prop_assert!(ends[0] <= a && a <= b && b <= ends[1], "{space}: {a} {b}");
        }
    }

    #[test]
    fn equal_ratios_of_a_logarithmic_space_are_equally_wide(u in 0.0..0.5f64) {
        let at = |u: f64| Space::Log([0.01, 1.0]).at(u).as_f64().unwrap();
        prop_assert!((at(u + 0.5) / at(u) - 10.0).abs() < 0.02, "half of two decades is one");
    }
}
