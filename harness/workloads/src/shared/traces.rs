//! What workloads of worked answers to questions about programs have in common: who checks and reads responses, and who
//! judges them.

use std::collections::BTreeMap;

use data::slp::trace::{Trace, Traced};
use data::slp::{Alphabet, Program};

use super::language::{Scores, complete, mean};
use lab::LabError;
use lab::network::Network;
use lab::seat::Outcome;
use lab::side_info::{Reader, Verifier};
use training::judge::{EvaluationRequest, Judge};

/// Checks responses to training questions.
#[derive(Debug)]
pub struct Checker {
    /// How questions and answers are written.
    pub trace: Trace,
    /// What is asked about, by example.
    pub programs: Vec<Program>,
}

impl Verifier for Checker {
    fn check(&self, id: u32, response: &[i64]) -> Outcome {
        let tokens: Option<Vec<u16>> = response.iter().map(|t| u16::try_from(*t).ok()).collect();
        let checked = self.programs.get(id as usize).zip(tokens);
        let checked = checked.map(|(program, tokens)| self.trace.check(program, &tokens));
        checked.map_or(Outcome { correct: false, well_formed: false }, |checked| Outcome {
            correct: checked.correct,
            well_formed: checked.well_formed,
        })
    }

    fn longest_response(&self) -> usize {
        self.trace.longest_response()
    }
}

/// Judges thoughts token by token, and answers.
#[derive(Debug)]
pub struct Answers {
    /// How questions and answers are written.
    pub trace: Trace,
    /// Examples to validate on.
    pub validation: Vec<Traced>,
    /// Examples to test on.
    pub test: Vec<Traced>,
}

/// Share of values that are right: every second token of a thought, which answer mark, answer and
/// end follow.
fn steps(scores: &Scores) -> f64 {
    let values = scores.rows.iter().flat_map(|row| {
        let thought = row.len().saturating_sub(3);
        row.iter().take(thought).skip(1).step_by(2)
    });
    mean(values.map(|(_, right)| f64::from(u8::from(*right))))
}

/// Share of the questions that the network's own greedy response has the right answer to.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn accuracy(trace: &Trace, network: &Network, examples: &[Traced]) -> Result<f64, LabError> {
    let prompts =
        examples.iter().map(|Traced { sequence, .. }| &sequence.tokens[..sequence.prompt]);
    let prompts: Vec<_> = prompts.collect();
    let responses = complete(network, &prompts, trace.longest_response(), Alphabet::END)?;
    let right = examples.iter().zip(&responses).map(|(traced, response)| {
        f64::from(u8::from(trace.check(&traced.program, response).correct))
    });
    Ok(mean(right))
}

impl Judge for Answers {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        let mut metrics = BTreeMap::from([
            ("steps".to_owned(), steps(&scores)),
            ("nll".to_owned(), scores.nll()),
        ]);
        if request.last {
            let examples = request.judged.pick(&self.validation, &self.test);
            let accuracy = accuracy(&self.trace, request.model.network, examples)?;
            metrics.insert("accuracy".to_owned(), accuracy);
        }
        Ok(metrics)
    }
}

/// Reads answers, and knows no question.
#[derive(Debug)]
pub struct Answering(pub Trace);

impl Reader for Answering {
    fn answer(&self, response: &[i64]) -> Option<i64> {
        let tokens: Option<Vec<u16>> = response.iter().map(|t| u16::try_from(*t).ok()).collect();
        self.0.answer(&tokens?).map(i64::from)
    }

    fn longest_response(&self) -> usize {
        self.0.longest_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_values_of_the_thought() {
        let wrong_names = [false, true, false, true, true, true, true];
        let row = |right: &[bool]| right.iter().map(|right| (1.0, *right)).collect::<Vec<_>>();
        let scores = Scores {
            rows: vec![row(&wrong_names), row(&[true, false, true, true, true, true, true])],
        };
        assert_eq!(steps(&scores), 0.75);
    }
}
