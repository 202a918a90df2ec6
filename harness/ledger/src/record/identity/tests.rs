//! The bytes that ids and commitments are taken over, pinned: every record ever written rests on them.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::catalogue::MetricInfo;
use crate::goal::Direction;
use crate::lineage::Origin;

fn values(pairs: &[(&str, serde_json::Value)]) -> Values {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    pairs.collect::<BTreeMap<_, _>>()
}

/// Every field has a value of its own, so that none can take another's place.
fn planned() -> (PlannedWorkload, PlannedArm) {
    let workload = PlannedWorkload {
        label: "home".to_owned(),
        id: "markov-mlp".to_owned(),
        settings: values(&[("examples", json!(600)), ("variant", json!("plain"))]),
        metrics: vec![MetricInfo::error("nll").owned(), MetricInfo::share("accuracy", 0.1).owned()],
        goal: Goal {
            target: Target {
                metric: "nll".to_owned(),
                direction: Direction::LowerIsBetter,
                value: 0.625,
                origin: "measured".to_owned(),
            },
            budget: Budget { samples: 1200, evaluate_every: 300 },
        },
    };
    let arm = PlannedArm {
        label: "drop-muon[cutoff=uniform]".to_owned(),
        method: "drop-muon".to_owned(),
        settings: values(&[("lr", json!(0.05)), ("cutoff", json!("uniform"))]),
        on: vec!["home".to_owned()],
        budget: None,
        parents: Parents { from: Some(Origin::Run("aaaa".to_owned())), teacher: None },
        order: Some(GivenOrder::new("best.npy".to_owned(), vec![2, 0, 1])),
        external: None,
    };
    (workload, arm)
}

const CELL: &str = r#"{"arm":{"method":"drop-muon","order":"4d45e05ef8ecf3bb0e75d8019fff7e0b8964beb022d74ca79cf23c774279a11d","settings":{"cutoff":"uniform","lr":0.05}},"code":"c0de","data_root":"3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7","parents":{"from":"aaaa","teacher":"bbbb"},"seed":"7+beac","workload":{"budget_samples":1200,"evaluate_every_samples":300,"higher_is_better":false,"id":"markov-mlp","metric":"nll","settings":{"examples":600,"variant":"plain"},"target":0.625}}"#;

const CONFIG: &str = r#"{"arm":{"method":"drop-muon","settings":{"cutoff":"uniform","lr":0.05}},"code":"c0de","device":"cpu","libtorch":"2.11.0","workload":{"budget_samples":1200,"evaluate_every_samples":300,"higher_is_better":false,"id":"markov-mlp","metric":"nll","settings":{"examples":600,"variant":"plain"},"target":0.625}}"#;

fn canonical(value: &impl Serialize) -> String {
    serde_json_canonicalizer::to_string(value).unwrap()
}

#[test]
fn the_bytes_of_a_cell_id_stay() {
    let (workload, arm) = planned();
    let parents = Parents { from: Some("aaaa".to_owned()), teacher: Some("bbbb".to_owned()) };
    let key = CellKey {
        workload: &workload,
        arm: &arm,
        parents: &parents,
        seed: "7+beac",
        data: Digest::of(b"data").into(),
        code: "c0de",
    };
    let written = canonical(&key);
    assert_eq!(written, CELL);
    assert_eq!(key.id().unwrap(), "87ede7569ec52746");
    let digest = Digest::of(b"the user's");
    let file = Some(digest);
    let of_a_file = canonical(&CellKey { data: DataKey { file, ..key.data }, ..key });
    let more = format!("\"data_file\":\"{digest}\",\"data_root\"");
    assert_eq!(of_a_file, CELL.replace("\"data_root\"", &more));
}

#[test]
fn the_bytes_of_a_config_hash_stay() {
    let (workload, arm) = planned();
    let plain = PlannedArm { order: None, ..arm };
    let config = Config {
        workload: &workload,
        arm: &plain,
        parents: &Parents::default(),
        libtorch: "2.11.0",
        code: "c0de",
        device: "cpu",
    };
    let written = canonical(&config);
    assert_eq!(written, CONFIG);
    assert_eq!(
        config.hash().unwrap().to_string(),
        "82dcdcbfa973bc320ca2801abfae983216bcef50a8dcfd94c8132329c6925c6a"
    );
}

#[test]
fn a_program_is_its_command_its_files_and_what_runs_them_wherever_these_lie() {
    let (_, arm) = planned();
    let command = vec!["python".to_owned(), "{lr}".to_owned()];
    let mut external = External::unread(command, vec!["train.py".to_owned()]);
    external.files[0].sha256 = Some(Digest::of(b"text"));
    external.program = Some(Digest::of(b"python"));
    let text = |external: &External| {
        let plain = PlannedArm { order: None, external: Some(external.clone()), ..arm.clone() };
        let config = Config {
            workload: &planned().0,
            arm: &plain,
            parents: &Parents::default(),
            libtorch: "2.11.0",
            code: "c0de",
            device: "cpu",
        };
        canonical(&config)
    };
    let written = text(&external);
    assert!(
        written.contains(
            r#""external":{"command":["python","{lr}"],"files":[{"name":"train.py","sha256":"982d9e3e"#
        ),
        "{written}"
    );
    let elsewhere = External { found: "/x".into(), folder: "/y".into(), ..external.clone() };
    assert_eq!(text(&elsewhere), written);
    let mut edited = external.clone();
    edited.files[0].sha256 = Some(Digest::of(b"texts"));
    let upgraded = External { program: Some(Digest::of(b"python4")), ..external };
    assert_ne!(text(&edited), written);
    assert_ne!(text(&upgraded), written);
}
