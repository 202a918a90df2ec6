//! Graphs of prerequisites between skills, and mixtures that follow them (Skill-it,
//! arXiv:2307.14430).

use ledger::choice;
use ledger::order::shuffle;
use ledger::streams::Streams;

choice! {
    /// Which skill helps which.
    pub enum Graph {
        /// Each helps the next one.
        Chain = "chain",
        /// Each helps the one before it.
        Reversed = "reversed",
        /// The graph of the LEGO script, for five skills.
        Script = "script",
        /// The graph of the addition script, for three skills: the second helps the first.
        AdditionScript = "addition-script",
        /// Each helps only itself.
        Identity = "identity",
        /// The chain among skills renamed at random: a control.
        Shuffled = "shuffled",
    }
}

impl Graph {
    /// A, row by row: `A_ij` is how much training on skill i helps skill j; 1 for itself, 0.5 for
    /// others. Nothing when the graph is of another number of skills.
    #[must_use]
    pub fn matrix(self, skills: usize, streams: &Streams) -> Option<Vec<Vec<f64>>> {
        let from = |helps: &dyn Fn(usize, usize) -> bool| -> Vec<Vec<f64>> {
            let entry = |i, j| match (i == j, helps(i, j)) {
                (true, _) => 1.0,
                (false, true) => 0.5,
                (false, false) => 0.0,
            };
            (0..skills).map(|i| (0..skills).map(|j| entry(i, j)).collect()).collect()
        };
        Some(match self {
            Self::Chain => from(&|i, j| i + 1 == j),
            Self::Reversed => from(&|i, j| i == j + 1),
            Self::Identity => from(&|_, _| false),
            Self::Script if skills == 5 => from(&|i, j| i == 1 && j != 4),
            Self::AdditionScript if skills == 3 => from(&|i, j| i == 1 && j == 0),
            Self::Script | Self::AdditionScript => return None,
            Self::Shuffled => {
                let mut names: Vec<u32> = (0..).take(skills).collect();
                let mut random = streams.generator("graph");
                // Another graph than the chain, wherever there is one.
                while skills > 1 && names.is_sorted() {
                    shuffle(&mut random, &mut names);
                }
                from(&|i, j| names[i] + 1 == names[j])
            }
        })
    }
}

/// p_i ∝ exp(η Σ_j A_ij l_j), for the loss l_j of each skill.
#[must_use]
pub fn by_help(graph: &[Vec<f64>], eta: f64, losses: &[f64]) -> Vec<f64> {
    let help = |row: &Vec<f64>| row.iter().zip(losses).map(|(a, loss)| a * loss).sum::<f64>();
    let logits: Vec<f64> = graph.iter().map(|row| eta * help(row)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::mixture::counts;
    use crate::trial;

    fn matrix(graph: Graph, skills: usize) -> Vec<Vec<f64>> {
        graph.matrix(skills, &trial::streams()).unwrap()
    }

    fn close(found: &[f64], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn the_first_mixtures_of_the_scripts_graphs_and_their_counts() {
        let lego = by_help(&matrix(Graph::Script, 5), 0.5, &[1.0; 5]);
        close(&lego, &[0.163_479, 0.346_085, 0.163_479, 0.163_479, 0.163_479]);
        assert_eq!(counts(&lego, 32_000)[1], 11_074);
        // `--graph 1 0 0 1 1 0 0 0 1`, η 0.1: the tens help the ones, not the other way round.
        let addition = matrix(Graph::AdditionScript, 3);
        assert_eq!(addition, [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        close(&by_help(&addition, 0.1, &[1.0; 3]), &[0.327_732, 0.344_535, 0.327_732]);
    }

    #[test]
    fn a_chain_points_forwards_its_reverse_backwards_and_renaming_keeps_its_numbers() {
        let chain = matrix(Graph::Chain, 3);
        assert_eq!(chain, [[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]);
        let reversed = matrix(Graph::Reversed, 3);
        assert_eq!(reversed, [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.5, 1.0]]);
        assert_eq!(matrix(Graph::Identity, 2), [[1.0, 0.0], [0.0, 1.0]]);
        for (script, skills) in [(Graph::Script, 3), (Graph::AdditionScript, 5)] {
            assert!(script.matrix(skills, &trial::streams()).is_none());
        }
        let shuffled = matrix(Graph::Shuffled, 3);
        assert_ne!(shuffled, chain);
        let sorted = |graph: Vec<Vec<f64>>| {
            let mut all = graph.concat();
            all.sort_by(f64::total_cmp);
            all
        };
        assert_eq!(sorted(shuffled), sorted(chain));
    }
}
