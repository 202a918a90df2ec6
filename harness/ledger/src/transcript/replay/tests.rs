use proptest::prelude::*;

use super::super::Transcript;
use super::*;

/// A recorded run, as its files and record would give it.
#[derive(Debug, Clone)]
struct Run {
    bytes: Vec<u8>,
    epochs: Vec<EpochOrder>,
    commitment: Digest,
    chain: Vec<ChainPoint>,
    sample_ids: Vec<Digest>,
}

impl Run {
    /// `sizes[e]` are the step sizes of epoch e; the chain is kept after each epoch.
    fn record(sizes: &[Vec<u32>], examples: u32) -> Self {
        let commitment = Digest::of(b"commitment");
        let sample_ids: Vec<Digest> = (0..examples).map(|i| Digest::of(&i.to_le_bytes())).collect();
        let mut transcript = Transcript::start(commitment);
        let mut chain = vec![transcript.chain()];
        let mut next = 0;
        for steps in sizes {
            transcript.begin_epoch(0);
            for &size in steps {
                let ids: Vec<u32> = (next..next + size).map(|i| i * 7 % examples).collect();
                transcript.push_step(&ids).unwrap();
                next += size;
            }
            chain.push(transcript.chain());
        }
        let finished = transcript.finish(&sample_ids).unwrap();
        let mut bytes = Vec::new();
        finished.write_to(&mut bytes).unwrap();
        Self { bytes, epochs: finished.epochs, commitment, chain, sample_ids }
    }

    fn replay(&self) -> Result<ChainPoint, ReplayError> {
        let leaves = Leaves::of(&self.sample_ids);
        replay(&self.bytes, &self.epochs, self.commitment, &self.chain, &leaves)
    }
}

fn run() -> Run {
    Run::record(&[vec![4, 4, 2], vec![4, 4, 2]], 10)
}

#[test]
fn an_honest_run_replays_to_its_end() {
    let run = run();
    assert_eq!(run.replay(), Ok(*run.chain.last().unwrap()));
}

#[test]
fn a_cut_file_is_named_by_bytes_and_by_missing_ids() {
    let mut run = run();
    run.bytes.pop();
    assert_eq!(run.replay(), Err(ReplayError::PartialId { bytes: 79 }));
    run.bytes.truncate(76);
    let missing = ReplayError::MissingIds { epoch: 1, n: 10, available: 9 };
    assert_eq!(run.replay(), Err(missing));
}

#[test]
fn ids_after_the_last_epoch_are_refused() {
    let mut run = run();
    run.bytes.extend([0; 8]);
    assert_eq!(run.replay(), Err(ReplayError::TrailingIds { ids: 2 }));
}

#[test]
fn an_offset_that_lies_is_refused() {
    let mut run = run();
    run.epochs[1].offset = 9;
    let error = ReplayError::Offset { epoch: 1, expected: 10, found: 9 };
    assert_eq!(run.replay(), Err(error));
}

#[test]
fn a_count_that_overflows_is_refused() {
    for n in [u64::MAX, u64::MAX / 4 + 1, 1 << 62] {
        let mut run = run();
        run.epochs[0].n = n;
        let error = ReplayError::MissingIds { epoch: 0, n, available: 20 };
        assert_eq!(run.replay(), Err(error));
    }
}

#[test]
fn epochs_out_of_order_are_refused() {
    let mut run = run();
    run.epochs[1].epoch = 2;
    assert_eq!(run.replay(), Err(ReplayError::EpochNumber { position: 1, found: 2 }));
}

#[test]
fn an_id_beyond_the_dataset_is_refused_before_any_hash_is_compared() {
    let mut run = run();
    run.bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = ReplayError::NoSuchExample { epoch: 0, position: 3, id: u32::MAX, examples: 10 };
    assert_eq!(run.replay(), Err(error));
}

#[test]
fn a_changed_id_breaks_the_order_hash() {
    let mut run = run();
    run.bytes.swap(40, 44);
    assert!(matches!(run.replay(), Err(ReplayError::OrderHash { epoch: 1, .. })));
}

#[test]
fn a_changed_example_breaks_the_order_root() {
    let mut run = run();
    run.sample_ids[3] = Digest::of(b"another example");
    assert!(matches!(run.replay(), Err(ReplayError::OrderRoot { epoch: 0, .. })));
}

#[test]
fn another_commitment_breaks_the_chain_at_its_start() {
    let mut run = run();
    run.commitment = Digest::of(b"another commitment");
    assert!(matches!(run.replay(), Err(ReplayError::Chain { step: 0, .. })));
    run.chain.remove(0);
    assert!(matches!(run.replay(), Err(ReplayError::Chain { step: 3, .. })));
}

#[test]
fn moved_step_boundaries_break_the_chain() {
    let mut run = run();
    run.epochs[0].steps = vec![(2, 1), (4, 2)];
    assert!(matches!(run.replay(), Err(ReplayError::Chain { step: 3, .. })));
}

#[test]
fn step_tables_that_do_not_fit_are_refused() {
    for (steps, empty) in [
        (vec![(4, 2)], false),
        (vec![(4, 2), (3, 1)], false),
        (vec![(u32::MAX, u32::MAX); 3], false),
        (vec![(4, 2), (2, 1), (0, u32::MAX)], true),
        (vec![(4, 2), (2, 1), (1, 0)], true),
    ] {
        let mut run = run();
        run.epochs[0].steps = steps;
        match run.replay().unwrap_err() {
            ReplayError::StepSum { epoch: 0, n: 10 } => assert!(!empty),
            ReplayError::EmptySteps { epoch: 0, entry: 2, .. } => assert!(empty),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_kept_chain_must_rise_and_end_at_the_end() {
    let honest = run();
    for (kept, found) in [
        (vec![], vec![]),
        (vec![0], vec![0]),
        (vec![0, 1], vec![3]),
        (vec![1, 0, 2], vec![0]),
        (vec![1, 1, 2], vec![3]),
    ] {
        let mut run = honest.clone();
        run.chain = kept.iter().map(|&i| honest.chain[i]).collect();
        assert_eq!(run.replay(), Err(ReplayError::ChainPoints { steps: 6, found }), "{kept:?}");
    }
    let mut run = honest.clone();
    run.chain.push(ChainPoint { step: 7, chain: Digest::of(b"") });
    assert_eq!(run.replay(), Err(ReplayError::ChainPoints { steps: 6, found: vec![7] }));
}

#[test]
fn a_run_without_steps_replays_to_its_commitment() {
    for run in [Run::record(&[], 1), Run::record(&[vec![]], 1)] {
        let end = ChainPoint { step: 0, chain: run.commitment };
        let kept = Run { chain: vec![end], ..run };
        assert_eq!(kept.replay(), Ok(end));
    }
}

fn sizes() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(1_u32..9, 0..6), 1..4)
}

proptest! {
    #[test]
    fn every_recorded_run_replays(sizes in sizes(), examples in 1_u32..50) {
        let mut run = Run::record(&sizes, examples);
        run.chain.dedup();
        prop_assert_eq!(run.replay(), Ok(*run.chain.last().unwrap()));
    }

    #[test]
    fn every_flipped_bit_of_order_bin_is_found(
        sizes in sizes(), at: prop::sample::Index, bit in 0_u8..8,
    ) {
        let mut run = Run::record(&sizes, 20);
        run.chain.dedup();
        prop_assume!(!run.bytes.is_empty());
        let at = at.index(run.bytes.len());
        run.bytes[at] ^= 1 << bit;
        prop_assert!(run.replay().is_err());
    }

    #[test]
    fn any_table_is_judged_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        table in prop::collection::vec(
            (0_u32..3, any::<u64>(), 0_u64..20, prop::collection::vec(any::<(u32, u32)>(), 0..3)),
            0..3,
        ),
    ) {
        let digest = Digest::of(b"");
        let epochs: Vec<EpochOrder> = table
            .into_iter()
            .map(|(epoch, n, offset, steps)| EpochOrder {
                epoch, n: n % 21, offset, block: 0, order_hash: digest, order_root: digest, steps,
            })
            .collect();
        let end = ChainPoint { step: 1, chain: digest };
        prop_assert!(replay(&bytes, &epochs, digest, &[end], &Leaves::of(&[digest])).is_err());
    }
}
