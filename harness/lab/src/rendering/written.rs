//! Text that a trained model writes, in the place of examples.

use ledger::streams::{Streams, unit_f64};
use rand_pcg::Pcg64;
use tch::{Device, Tensor};

use super::{Row, read, replace};
use crate::LabError;
use crate::generate::{Choice, Options, Prompts, generate};
use crate::network::Network;
use crate::seat::{Batch, StepInfo, View};
use crate::state::State;

/// Text of a teacher in the place of some examples, drawn at temperature 1 behind what each gives, up to its end or
/// the longest of those examples; anew in each epoch.
#[derive(Debug)]
pub struct Written {
    /// The model that writes, or an ensemble.
    pub teacher: Network,
    /// Share of the examples.
    pub share: f64,
    /// Ends a text.
    pub end: Option<i64>,
}

impl View for Written {
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        let mut rows = read(batch)?;
        let mut chosen: Vec<(&mut Row, Pcg64)> = Vec::new();
        for (row, &id) in rows.iter_mut().zip(&batch.ids) {
            let mut random = streams.keyed("written", id, now.epoch);
            if unit_f64(&mut random) < self.share && row.prompt() > 0 {
                chosen.push((row, random));
            }
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let lengths: Vec<usize> = chosen.iter().map(|(row, _)| row.prompt()).collect();
        let responses = chosen.iter().zip(&lengths).map(|((row, _), own)| row.tokens.len() - own);
        let longest = responses.max().unwrap_or(1);
        let width = lengths.iter().copied().max().unwrap_or(1);
        let mut prompts = vec![0_i64; chosen.len() * width];
        for ((place, (row, _)), own) in prompts.chunks_mut(width).zip(&chosen).zip(&lengths) {
            place[..*own].copy_from_slice(&row.tokens[..*own]);
        }
        let prompts = Tensor::f_from_slice(&prompts)?.f_view([-1, width as i64])?;
        let (mut rows_of, mut generators): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        let prompts = Prompts { tokens: &prompts, lengths: Some(&lengths) };
        let options = Options { longest, end: self.end, ..Options::default() };
        let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
        let found = generate(&self.teacher, prompts, &options, choice)?;
        let tokens = Vec::<i64>::try_from(found.tokens.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        let texts = tokens.chunks(longest).zip(&found.lengths);
        for ((row, own), (text, length)) in rows_of.iter_mut().zip(&lengths).zip(texts) {
            row.tokens.truncate(*own);
            row.asked.truncate(*own);
            text.iter().take(*length).for_each(|token| row.push(*token, true));
        }
        Ok(replace(batch, &rows)?)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble;
    use crate::models::gpt::{Shape, gpt};
    use crate::objectives::IGNORED;
    use crate::trial::{step_info, streams};
    use tch::Kind;

    /// 64 rows of seven tokens, of which the first two are given.
    fn batch(ids: &[u32]) -> Batch {
        let sample_ids: Vec<i64> = ids.iter().copied().map(i64::from).collect();
        let sample_ids = Tensor::from_slice(&sample_ids);
        let places = Tensor::arange(7, (Kind::Int64, Device::Cpu));
        let tokens = (sample_ids.unsqueeze(1) * 5 + &places * &places).remainder(11);
        let (inputs, labels) = (tokens.narrow(1, 0, 6), tokens.narrow(1, 1, 6).copy());
        let _ = labels.narrow(1, 0, 1).fill_(IGNORED);
        Batch { ids: ids.to_vec(), sample_ids, inputs, labels }
    }

    fn rows(share: f64, ids: &[u32], epoch: u32, end: Option<i64>) -> Vec<Row> {
        let shape =
            Shape { vocabulary: 11, context: 8, width: 32, depth: 1, heads: 2, hidden: 128 };
        let teacher = ensemble::like(&gpt(shape, &streams(), Device::Cpu).unwrap(), 2);
        let mut batch = batch(ids);
        let now = StepInfo { epoch, ..step_info(0, 9) };
        Written { teacher, share, end }.render(&mut batch, &now, &streams()).unwrap();
        read(&batch).unwrap()
    }

    #[test]
    fn a_student_reads_what_its_teacher_writes_whatever_the_batch() {
        let ids: Vec<u32> = (0..64).collect();
        let stored = read(&batch(&ids)).unwrap();
        let written = |share| rows(share, &ids, 0, None);
        assert_eq!(written(0.0), stored);
        let other = |rows: &[Row]| rows.iter().zip(&stored).filter(|(a, b)| a != b).count();
        assert_eq!(other(&written(1.0)), 64);
        assert!((16..=48).contains(&other(&written(0.5))), "{}", other(&written(0.5)));
        assert_ne!(rows(1.0, &ids, 1, None), written(1.0));
        for (id, (row, stored)) in (0..).zip(written(1.0).iter().zip(&stored)) {
            assert_eq!((&row.tokens[..2], row.tokens.len()), (&stored.tokens[..2], 7));
            assert!(row.asked == stored.asked && rows(1.0, &[id], 0, None)[0] == *row, "{id}");
        }
    }

    #[test]
    fn a_text_ends_with_its_end() {
        let ids: Vec<u32> = (0..64).collect();
        let ended = rows(1.0, &ids, 0, Some(4));
        let (free, mut early) = (rows(1.0, &ids, 0, None), 0);
        for (row, free) in ended.iter().zip(&free) {
            let end = free.tokens[2..].iter().position(|token| *token == 4);
            let length = end.map_or(7, |end| end + 3);
            early += u32::from(length < 7);
            assert_eq!(row.tokens, free.tokens[..length]);
        }
        assert!(early > 5, "{early}");
    }
}
