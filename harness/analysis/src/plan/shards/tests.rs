use super::*;
use crate::plan::tests::catalogue;
use crate::plan::{Overrides, plan};
use proptest::prelude::*;

const SUITE: &str = "\
suite: x
question: q
seeds: 3
workloads:
  - { workload: digits-mlp, as: long, epochs: 8 }
  - { workload: digits-mlp, as: short, epochs: 1 }
arms:
  - { method: sgd, as: parent }
  - { method: muon, as: child, from: parent }
  - { method: muon, as: alone }
";

fn planned(text: &str) -> Plan {
    plan("x.yaml", text, &catalogue(), &Overrides::default()).unwrap()
}

proptest! {
    #[test]
    fn parts_are_disjoint_and_together_the_plan_and_no_child_leaves_its_parent(
        count in 1_u32..=12, seeds in 1_u32..6,
    ) {
        let plan = planned(&SUITE.replace("seeds: 3", &format!("seeds: {seeds}")));
        let most = 4 * seeds;
        let parts = plan.parts(count);
        prop_assert_eq!(parts.is_ok(), count <= most);
        let Ok(parts) = parts else { return Ok(()) };
        let mut all: Vec<usize> = parts.iter().flatten().copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..plan.cells.len()).collect::<Vec<_>>());
        for part in parts {
            prop_assert!(!part.is_empty());
            let cells: Vec<Cell> = part.iter().map(|&place| plan.cells[place]).collect();
            for (at, cell) in cells.iter().enumerate() {
                for parent in plan.parents(*cell).unwrap().iter() {
                    let Parent::Cell(parent) = parent else { continue };
                    prop_assert!(cells[..at].contains(parent), "a parent runs before its child");
                }
            }
        }
    }
}

#[test]
fn arms_of_a_seed_share_a_machine_and_the_dearest_go_apart() {
    let plan = planned(SUITE);
    // Three dear groups and three cheap ones, an eighth as long: one of each a part.
    for part in plan.parts(3).unwrap() {
        let cells: Vec<Cell> = part.iter().map(|&place| plan.cells[place]).collect();
        let of = |workload: usize| {
            let seeds = cells.iter().filter(|cell| cell.workload == workload);
            seeds.map(|cell| cell.seed).collect::<Vec<_>>()
        };
        for workload in [0, 1] {
            let seeds = of(workload);
            assert_eq!(seeds.len(), 3, "three arms");
            assert!(seeds.iter().all(|seed| *seed == seeds[0]), "of one seed");
        }
    }
    // With two parts the third dear group goes where the fewest samples are, and all that is cheap
    // to the other.
    let sizes: Vec<usize> = plan.parts(2).unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [6, 12]);
}

#[test]
fn a_part_is_asked_nothing_and_keeps_the_models_that_tests_will_look_at() {
    let test = "provenance:\n  - { id: t, statement: s, run: long/parent, suspect: long/parent, expect: { nothing: true } }\n";
    let whole = planned(SUITE);
    assert!(!whole.clone().shard("1/2".parse().unwrap()).unwrap().keep_models);
    let tested = planned(&format!("{SUITE}{test}")).shard("2/2".parse().unwrap()).unwrap();
    assert!(tested.keep_models && tested.sections.provenance.is_empty());
    let problem = whole.shard("1/13".parse().unwrap()).unwrap_err();
    assert!(problem.contains("13 parts are more than the 12"), "{problem}");
}

#[test]
fn a_part_is_written_as_one_of_several() {
    assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
    for wrong in ["0/8", "9/8", "2", "2/", "-1/8", "a/b", "1/0", ""] {
        assert!(wrong.parse::<Shard>().unwrap_err().contains("I/N"), "{wrong}");
    }
}
