use super::*;
use crate::models::gpt::{Shape, gpt};
use crate::trial;

/// Five letters, an end, and the tags of blocks of up to three paths.
const TAGS: Tags =
    Tags { open: 6, path: 7, paths: 3, closed: 10, close: 11, summary: 12, summarised: 13 };
const END: i64 = 0;
const SHAPE: Shape =
    Shape { vocabulary: 14, context: 40, width: 32, depth: 2, heads: 2, hidden: 128 };
const BRANCHING: Branching = Branching { tags: TAGS, longest_path: 6, blocks: 2, isolated: true };
const OPTIONS: Options =
    Options { longest: 36, end: END, branching: BRANCHING, paths: 2, forbidden: false };

/// Far enough from its initial values that positions and tokens matter, and fond of blocks.
fn network() -> Network {
    let network = gpt(SHAPE, &trial::streams(), Device::Cpu).unwrap();
    let mut random = trial::streams().generator("test");
    for parameter in &network.parameters {
        let noise = streams::normal(&mut random, parameter.tensor.numel());
        let noise = Tensor::from_slice(&noise).view_as(&parameter.tensor) * 0.3;
        let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_add_(&noise));
    }
    let [_, bias] = Gpt::of(&network).unwrap().head();
    let mut fond = [0.0_f32; 14];
    (fond[6], fond[10], fond[0]) = (2.0, 1.5, -1.0);
    tch::no_grad(|| network.at(bias).shallow_clone().copy_(&Tensor::from_slice(&fond)));
    network
}

fn prompts() -> Tensor {
    Tensor::from_slice(&[1_i64, 2, 3, 1, 2, 3, 4, 4, 5, 5, 1, 2]).view([4, 3])
}

fn sampled(options: &Options, step: u32) -> Vec<Response> {
    let streams = trial::streams();
    respond(&network(), &prompts(), options, Choice::Sample { streams: &streams, step }).unwrap()
}

/// Over enough steps that blocks of all kinds come.
fn many(options: &Options) -> Vec<Response> {
    (0..12).flat_map(|step| sampled(options, step)).collect()
}

#[test]
fn paths_begin_at_one_position_and_what_follows_stands_behind_the_longest() {
    // Five tokens and an opening tag, paths of three and of five, three more tokens.
    let text = Arranged::new(17, &[vec![6..9, 9..14]]);
    assert_eq!(text.positions[..6], [0, 1, 2, 3, 4, 5]);
    assert_eq!(text.positions[6..9], [6, 7, 8]);
    assert_eq!(text.positions[9..14], [6, 7, 8, 9, 10]);
    assert_eq!(text.positions[14..], [11, 12, 13]);
    // The longer one first, and a second block.
    let text = Arranged::new(15, &[vec![1..5, 5..7], vec![9..11, 11..14]]);
    assert_eq!(text.positions, [0, 1, 2, 3, 4, 1, 2, 5, 6, 7, 8, 7, 8, 9, 10]);
    let sees = |place: usize| (0..15).filter(|other| text.sees(place, *other)).collect::<Vec<_>>();
    assert_eq!(sees(6), [0, 5, 6]);
    assert_eq!(sees(7), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(sees(12), [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12]);
    assert_eq!(Arranged::new(4, &[]).positions, [0, 1, 2, 3]);
}

#[test]
fn changing_one_path_changes_no_logit_of_another_and_those_behind_both() {
    let network = network();
    let gpt = Gpt::of(&network).unwrap();
    let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let logits = |path: [i64; 2], isolated: bool| {
        let [a, b] = path;
        let text = [1, 2, 3, 6, 7, a, b, 10, 8, 4, 5, 3, 10, 11, 12, 2, 13, END];
        let blocks: &[Vec<Range<usize>>] = if isolated { &[vec![4..8, 8..13]] } else { &[] };
        let (positions, seen) =
            tensors(&[Arranged::new(text.len(), blocks)], text.len(), Device::Cpu).unwrap();
        let tokens = Tensor::from_slice(&text).view([1, -1]);
        let hidden = gpt.arranged(&weights, &tokens, &positions, &seen).unwrap();
        gpt.logits(&network, &hidden).unwrap().squeeze_dim(0)
    };
    let moved = |isolated: bool, places: Range<i64>| {
        let [one, other] = [[1, 2], [5, 3]].map(|path| logits(path, isolated));
        let apart = (one - other).abs().narrow(0, places.start, places.end - places.start);
        apart.max().double_value(&[])
    };
    assert_eq!(moved(true, 8..13), 0.0, "the second path");
    assert_eq!(moved(true, 0..5), 0.0, "what stands before");
    assert!(moved(true, 5..8) > 1e-2 && moved(true, 13..18) > 1e-2);
    assert!(moved(false, 8..13) > 1e-2, "without isolation");
    // Read from left to right the arrangement is the plain forward pass.
    let tokens =
        Tensor::from_slice(&[1_i64, 2, 3, 6, 7, 1, 2, 10, 8, 4, 5, 3, 10, 11, 12, 2, 13, 0]);
    let plain = network.forward(&tokens.view([1, -1]), false).unwrap().squeeze_dim(0);
    assert!((plain - logits([1, 2], false)).abs().max().double_value(&[]) < 1e-4);
}

#[test]
fn a_cache_with_joined_paths_and_whole_texts_give_the_same_responses() {
    let network = network();
    let gpt = Gpt::of(&network).unwrap();
    let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let streams = trial::streams();
    let mut blocks = [0; 3];
    for isolated in [true, false] {
        for paths in [2, 3] {
            let branching = Branching { isolated, ..BRANCHING };
            let options = Options { branching, paths, ..OPTIONS };
            for step in 0..6 {
                let choice = Choice::Sample { streams: &streams, step };
                let rows = 4 * stride(&options);
                let mut cached = Kept::new(gpt, &weights, rows, 38).unwrap();
                assert!(matches!(cached, Kept::Cached(..)));
                let texts = vec![(Vec::new(), Arranged::default()); rows];
                let mut whole = Kept::Whole { gpt, weights: &weights, texts };
                let [a, b] = [&mut cached, &mut whole]
                    .map(|kept| walked(kept, &prompts(), &options, choice, 14).unwrap());
                assert_eq!(a, b, "{isolated} {paths} {step}");
                a.iter().for_each(|response| blocks[response.blocks.len()] += 1);
            }
        }
    }
    assert!(blocks.iter().all(|count| *count > 0), "{blocks:?}");
}

#[test]
fn a_block_has_its_paths_a_closing_tag_and_a_summary_that_were_put_there() {
    let responses = many(&OPTIONS);
    let mut seen = 0;
    for Response { tokens, blocks, forced } in &responses {
        assert_eq!(tokens.len(), forced.len());
        assert!(tokens.len() <= 36);
        let mut expected = vec![false; tokens.len()];
        for paths in blocks {
            assert_eq!(tokens[paths[0].start - 1], TAGS.open);
            assert_eq!(paths[0].end, paths[1].start);
            for (number, path) in paths.iter().enumerate() {
                assert_eq!(tokens[path.start], TAGS.opens(number));
                assert!((2..=6).contains(&path.len()), "{path:?}");
                let closed = tokens[path.end - 1] == TAGS.closed;
                assert!(closed || path.len() == 6 || tokens.len() > 28, "{tokens:?}");
                expected[path.start] = true;
            }
            let end = paths[1].end;
            assert_eq!(tokens[end..end + 2], [TAGS.close, TAGS.summary]);
            expected[end..end + 2].fill(true);
            seen += 1;
        }
        assert_eq!(*forced, expected);
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn a_path_is_what_it_would_be_beside_fewer_paths_and_rows_and_runs_repeat() {
    let two = sampled(&OPTIONS, 3);
    assert_eq!(two, sampled(&OPTIONS, 3));
    assert_ne!(two, sampled(&OPTIONS, 4));
    // Rows draw for themselves, also those with one prompt.
    assert_ne!(two[0], two[1]);
    let streams = trial::streams();
    let choice = Choice::Sample { streams: &streams, step: 3 };
    let alone = respond(&network(), &prompts().narrow(0, 0, 1), &OPTIONS, choice).unwrap();
    assert_eq!(alone[0], two[0]);
    let mut compared = 0;
    for step in 0..12 {
        let three = sampled(&Options { paths: 3, ..OPTIONS }, step);
        for (two, three) in sampled(&OPTIONS, step).iter().zip(&three) {
            let (Some(few), Some(more)) = (two.blocks.first(), three.blocks.first()) else {
                continue;
            };
            // Where both had room for paths of full length.
            if more[0].start < 12 {
                for (few, more) in few.iter().zip(more) {
                    assert_eq!(two.tokens[few.clone()], three.tokens[more.clone()]);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn with_blocks_forbidden_no_tag_comes_and_a_score_is_that_of_the_token_before() {
    let forbidden = Options { forbidden: true, ..OPTIONS };
    let responses = many(&forbidden);
    assert!(responses.iter().all(|response| response.blocks.is_empty()
        && !response.tokens.iter().any(|token| TAGS.is_tag(*token))));
    // Without blocks isolation changes no score, with them it does.
    let network = network();
    let score = |responses: &[Response], isolated| {
        let branched = Branched::new(&prompts(), responses, isolated).unwrap();
        let own = branched.log_probabilities(&network).unwrap() * &branched.mask;
        values(&own.sum_dim_intlist(1, false, Kind::Float)).unwrap()
    };
    let plain = sampled(&forbidden, 0);
    assert_eq!(score(&plain, true), score(&plain, false));
    let blocks = (0..9).map(|step| sampled(&OPTIONS, step));
    let blocks = blocks.filter(|all| all.iter().any(|response| !response.blocks.is_empty()));
    assert!(blocks.take(3).all(|all| score(&all, true) != score(&all, false)));
}

#[test]
fn masks_tell_what_was_drawn_and_scores_are_those_of_the_arranged_text() {
    let network = network();
    let gpt = Gpt::of(&network).unwrap();
    let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let responses = sampled(&OPTIONS, 3);
    let branched = Branched::new(&prompts(), &responses, true).unwrap();
    let scores = branched.log_probabilities(&network).unwrap();
    for (row, Response { tokens, blocks, forced }) in responses.iter().enumerate() {
        let whole: Vec<i64> = Vec::<i64>::try_from(prompts().get(row as i64)).unwrap();
        let whole = [whole, tokens.clone()].concat();
        let moved = |range: &Range<usize>| range.start + 3..range.end + 3;
        let blocks: Vec<Vec<_>> =
            blocks.iter().map(|block| block.iter().map(moved).collect()).collect();
        let text = Arranged::new(whole.len(), &blocks);
        let (positions, seen) = tensors(&[text], whole.len(), Device::Cpu).unwrap();
        let fed = Tensor::from_slice(&whole).view([1, -1]);
        let hidden = gpt.arranged(&weights, &fed, &positions, &seen).unwrap();
        let all = gpt.logits(&network, &hidden).unwrap().log_softmax(-1, Kind::Float);
        for (place, token) in tokens.iter().enumerate() {
            let at = [row as i64, place as i64];
            let expected = all.double_value(&[0, place as i64 + 2, *token]);
            let found = scores.double_value(&at);
            assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
            assert_eq!(branched.mask.double_value(&at), 1.0);
            assert_eq!(branched.drawn.double_value(&at) == 1.0, !forced[place]);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = network();
    let refused = |options: Options, of: &Tensor| {
        respond(&network, of, &options, Choice::Greedy).unwrap_err().to_string()
    };
    assert!(respond(&network, &prompts(), &OPTIONS, Choice::Greedy).is_ok());
    let message = refused(Options { longest: 39, ..OPTIONS }, &prompts());
    assert!(message.contains("39 tokens to prompts of 3 in a context of 40"), "{message}");
    let long = Tensor::ones([1, 41], (Kind::Int64, Device::Cpu));
    assert!(refused(OPTIONS, &long).contains("prompts of 41 in a context of 40"));
    for paths in [1, 4] {
        assert!(refused(Options { paths, ..OPTIONS }, &prompts()).contains("tags for 2 to 3"));
    }
}
