use super::*;
use crate::merkle;

fn sample_ids(n: u32) -> Vec<Digest> {
    (0..n).map(|i| Digest::of(&i.to_le_bytes())).collect()
}

#[test]
fn the_chain_hashes_step_by_step_as_the_contract_says() {
    let h0 = Digest::of(b"commitment");
    let mut transcript = Transcript::start(h0);
    assert_eq!(transcript.chain(), ChainPoint { step: 0, chain: h0 });
    transcript.begin_epoch(0);
    transcript.push_step(&[2, 1]).unwrap();
    transcript.push_step(&[0]).unwrap();
    let h1 = Digest::of_parts(&[h0.as_bytes(), &[0; 8], b"\x02\0\0\0", b"\x02\0\0\0\x01\0\0\0"]);
    let h2 = Digest::of_parts(&[h1.as_bytes(), b"\x01\0\0\0\0\0\0\0", b"\x01\0\0\0", &[0; 4]]);
    assert_eq!(transcript.chain(), ChainPoint { step: 2, chain: h2 });
}

#[test]
fn chaining_often_or_once_gives_the_same_chain() {
    let mut often = Transcript::start(Digest::of(b"h"));
    let mut once = often.clone();
    for epoch in 0..3 {
        often.begin_epoch(0);
        once.begin_epoch(0);
        for step in 0..10 {
            let ids: Vec<u32> = (0..=step).map(|i| i * epoch).collect();
            often.push_step(&ids).unwrap();
            often.chain();
            once.push_step(&ids).unwrap();
        }
    }
    assert_eq!(often.chain(), once.chain());
    assert_eq!(once.steps(), 30);
}

#[test]
fn a_run_that_goes_on_at_any_step_leaves_the_transcript_of_an_uninterrupted_one() {
    let ids = sample_ids(20);
    let record = |stopped_at: Option<u64>| {
        let mut transcript = Transcript::start(Digest::of(b"h"));
        for epoch in 0..3 {
            transcript.begin_epoch(epoch / 2);
            for step in [&[0, 1, 2][..], &[3, 4, 5], &[6]] {
                transcript.push_step(step).unwrap();
                if Some(transcript.steps()) == stopped_at {
                    let (before, epochs) = transcript.recorded();
                    let chain = transcript.chain();
                    transcript = Transcript::start(Digest::of(b"h"));
                    transcript.go_on(&before, &epochs).unwrap();
                    assert_eq!(transcript.chain(), chain);
                }
            }
        }
        transcript.finish(&ids).unwrap()
    };
    for step in 1..=9 {
        assert_eq!(record(Some(step)), record(None), "went on at step {step}");
    }
}

#[test]
fn steps_that_are_not_those_of_the_ids_are_refused() {
    let mut transcript = Transcript::start(Digest::of(b"h"));
    let refused = transcript.go_on(&[1, 2, 3], &[(0, vec![(2, 2)])]);
    assert_eq!(refused, Err(TranscriptError::EmptyStep { step: 1 }));
}

#[test]
fn epochs_record_offsets_blocks_step_sizes_hash_and_root() {
    let ids = sample_ids(5);
    let mut transcript = Transcript::start(Digest::of(b"h"));
    transcript.begin_epoch(7);
    for step in [&[0, 1][..], &[2, 3], &[4]] {
        transcript.push_step(step).unwrap();
    }
    transcript.begin_epoch(7);
    transcript.push_step(&[4, 3]).unwrap();
    let finished = transcript.finish(&ids).unwrap();
    assert_eq!(finished.ids, [0, 1, 2, 3, 4, 4, 3]);
    let [first, second] = &finished.epochs[..] else { panic!("two epochs") };
    assert_eq!((first.epoch, first.n, first.offset, first.block), (0, 5, 0, 7));
    assert_eq!(first.steps, [(2, 2), (1, 1)]);
    assert_eq!(first.order_root, merkle::root(&ids));
    assert_eq!((second.epoch, second.n, second.offset), (1, 2, 5));
    assert_eq!(second.order_hash, Digest::of(b"\x04\0\0\0\x03\0\0\0"));
    assert_eq!(second.order_root, merkle::root(&[ids[4], ids[3]]));
    assert_eq!(finished.chain.step, 4);
}

#[test]
fn order_bin_holds_the_ids_as_little_endian_words() {
    let transcript = FinishedTranscript {
        ids: (0..5000).collect(),
        epochs: Vec::new(),
        chain: ChainPoint { step: 0, chain: Digest::of(b"") },
    };
    let mut bytes = Vec::new();
    transcript.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 20_000);
    assert_eq!(bytes[4..8], [1, 0, 0, 0]);
    assert_eq!(replay::read_ids(&bytes).unwrap(), transcript.ids);
}

#[test]
fn a_step_without_epoch_or_without_ids_is_refused() {
    let mut transcript = Transcript::start(Digest::of(b"h"));
    assert_eq!(transcript.push_step(&[1]), Err(TranscriptError::NoEpoch { step: 0 }));
    transcript.begin_epoch(0);
    assert_eq!(transcript.push_step(&[]), Err(TranscriptError::EmptyStep { step: 0 }));
    assert_eq!(transcript.steps(), 0);
}

#[test]
fn an_id_without_an_example_is_named() {
    let mut transcript = Transcript::start(Digest::of(b"h"));
    transcript.begin_epoch(0);
    transcript.push_step(&[0, 1, 2]).unwrap();
    let error = transcript.finish(&sample_ids(2)).unwrap_err();
    let text = "epoch 0, position 2: id 2, but the dataset has 2 examples";
    assert_eq!(error.to_string(), text);
}

#[test]
fn step_sizes_are_written_as_pairs() {
    let epoch = EpochOrder {
        epoch: 0,
        n: 5,
        offset: 0,
        block: 0,
        order_hash: Digest::of(b""),
        order_root: Digest::of(b""),
        steps: vec![(2, 2), (1, 1)],
    };
    let json = serde_json::to_value(&epoch).unwrap();
    assert_eq!(json["steps"].to_string(), "[[2,2],[1,1]]");
    assert_eq!(serde_json::from_value::<EpochOrder>(json).unwrap(), epoch);
}
