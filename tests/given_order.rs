//! Any method that shuffles trains in the order of a file, which is part of what its run is.

use data::columns::write_npy;
use ledger::order::OrderLaw;
use ledger::record::RunRecord;
use ledger::transcript::replay::read_ids;

use crate::support::Bench;

/// Two rules on batches of one pack, two epochs.
const SUITE: &str = "\
suite: given
question: Does a given order train as the shuffle did that drew it?
seeds: 1
keep_models: true
settings: { schedule: constant, batch_size: 1, weight_decay: 0 }
workloads: [{ workload: clusters-mlp, epochs: 2, evaluate_every: 1 }]
arms: [{ method: sgd, as: sgd }, { method: adamw, as: adamw }]
";

/// The ids that a run consumed.
fn consumed(bench: &Bench, record: &RunRecord) -> Vec<u32> {
    let path = bench.store().folder(&record.cell).join("order.bin");
    read_ids(&std::fs::read(path).unwrap()).unwrap()
}

fn write(bench: &Bench, name: &str, ids: &[u32]) {
    if name.ends_with(".npy") {
        write_npy(&mut std::fs::File::create(bench.path(name)).unwrap(), ids).unwrap();
    } else {
        let lines: Vec<String> = ids.iter().map(u32::to_string).collect();
        bench.write(name, &lines.join("\n"));
    }
}

fn given(bench: &Bench) -> Vec<RunRecord> {
    bench.records().into_iter().filter(|record| record.given_order.is_some()).collect()
}

#[test]
fn the_order_of_a_shuffle_from_a_file_trains_bit_for_bit_as_the_shuffle_did() {
    let bench = Bench::with_run(SUITE);
    for (method, file) in [("sgd", "order.npy"), ("adamw", "order.txt")] {
        let plain = bench.record(method, 0);
        write(&bench, file, &consumed(&bench, &plain));
        let order = format!("{method}={file}");
        bench.run(&["run", "suite.yaml", "--methods", method, "--order", &order]).ends(0);
        let found = given(&bench).into_iter().find(|record| record.method == method).unwrap();
        assert_ne!(found.cell, plain.cell);
        assert_eq!(found.parameters_sha256, plain.parameters_sha256, "{method}");
        assert_eq!(found.last, plain.last, "{method}");
        let [own, other] = [&found, &plain].map(|record| record.order.as_ref().unwrap());
        assert_eq!((own.law, other.law), (OrderLaw::Sorted, OrderLaw::Uniform));
        assert_eq!(own.epochs, other.epochs);
        bench.run(&["verify", &found.cell]).ends(0);
        bench.run(&["reproduce", &found.cell]).ends(0);
    }
}

#[test]
fn a_given_order_is_known_by_its_ids_wherever_they_come_from_and_is_no_evidence() {
    let bench = Bench::with_run(SUITE);
    let backwards: Vec<u32> = (0..80).rev().chain(0..80).collect();
    bench.write("there/x", "");
    write(&bench, "there/found.npy", &backwards);
    let arm = "{ method: sgd, as: found, order: found.npy }]";
    bench
        .write("there/suite.yaml", &SUITE.replace("as: adamw }]", &format!("as: adamw }}, {arm}")));
    bench.run(&["run", "there/suite.yaml", "--methods", "found"]).ends(0);
    let [by_key] = &given(&bench)[..] else { panic!("one run has a given order") };
    assert_eq!(consumed(&bench, by_key), backwards);

    // The same ids by another way are the same run, other ids another.
    write(&bench, "same.txt", &backwards);
    let same = ["run", "suite.yaml", "--methods", "sgd", "--order", "sgd=same.txt"];
    assert!(bench.run(&same).ends(0).stderr.contains("kept"));
    assert_eq!(given(&bench).len(), 1);
    write(&bench, "other.txt", &(0..80).chain(0..80).collect::<Vec<_>>());
    let other = ["run", "suite.yaml", "--methods", "sgd", "--order", "sgd=other.txt"];
    bench.run(&other).ends(0);
    assert_eq!(given(&bench).len(), 2);

    let cell = by_key.cell.as_str();
    let query = bench.run(&["provenance", "query", "--run", cell, "--model", cell]).ends(2);
    assert!(query.stderr.contains("sorted"), "{}", query.stderr);
}

#[test]
fn what_is_no_order_of_the_run_is_refused_before_anything_runs() {
    let bench = Bench::new();
    bench.write("suite.yaml", SUITE);
    let whole: Vec<u32> = (0..80).chain(0..80).collect();
    let changed = |at: usize, id: u32| {
        let mut ids = whole.clone();
        ids[at] = id;
        ids
    };
    for (ids, parts) in [
        (changed(3, 80), ["value 3", "is example 80", "ids from 0 to 79"]),
        (
            changed(150, 0),
            ["value 150", "epoch 1 has at value 80 already", "example 70 is missing"],
        ),
        (whole[..159].to_vec(), ["holds 159 ids", "the run consumes 160", "`epochs`"]),
        (Vec::new(), ["bad.txt", "it holds no ids", "arm \"sgd\""]),
    ] {
        write(&bench, "bad.txt", &ids);
        for verb in ["plan", "run"] {
            let found = bench.run(&[verb, "suite.yaml", "--order", "sgd=bad.txt"]).ends(2);
            for part in parts {
                assert!(found.stderr.contains(part), "{part:?} is not in {:?}", found.stderr);
            }
        }
    }
    for (option, part) in [
        ("sgd=none.npy", "none.npy"),
        ("sdg=bad.txt", "did you mean \"sgd\"?"),
        ("sgd", "ARM=FILE"),
        ("sgd=", "ARM=FILE"),
    ] {
        let found = bench.run(&["plan", "suite.yaml", "--order", option]).ends(2);
        assert!(found.stderr.contains(part), "{part:?} is not in {:?}", found.stderr);
    }
    assert!(!bench.path("runs").exists());
}

#[test]
fn a_method_with_an_order_of_its_own_takes_no_other() {
    let bench = Bench::new();
    let own = SUITE.replace("arms: [", "arms: [{ method: rs2, as: rs2, with: { ratio: 0.5 } }, ");
    bench.write("suite.yaml", &own.replace("weight_decay: 0", "weight_decay: 0.0"));
    write(&bench, "order.txt", &(0..80).chain(0..80).collect::<Vec<_>>());
    let found = bench.run(&["run", "suite.yaml", "--methods", "rs2", "--order", "rs2=order.txt"]);
    assert!(
        found.stderr.contains("brings an order of its own (uniform-subset)"),
        "{}",
        found.stderr
    );
    assert_ne!(found.code, Some(0));
}
