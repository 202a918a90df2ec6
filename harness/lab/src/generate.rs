//! TEMPORARY
use crate::network::Network;
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

/// How.
#[derive(Debug)]
pub enum Decoding<'a> {
    /// Largest.
    Greedy,
    /// Temperature 1.
    Sample(&'a mut Pcg64),
}

/// TEMPORARY
///
/// # Errors
/// never
pub fn generate(
    network: &Network,
    prompts: &Tensor,
    longest: usize,
    end: i64,
    mut decoding: Decoding<'_>,
) -> Result<Vec<Vec<i64>>, TchError> {
    let (rows, prompt) = prompts.size2()?;
    let gpt = network.gpt()?;
    let mut tokens = prompts.shallow_clone();
    let mut done = Tensor::f_zeros([rows], (Kind::Bool, prompts.device()))?;
    for _ in 0..longest {
        let hidden = gpt.hidden(network, &tokens)?;
        let logits = gpt.logits(network, &hidden.f_select(1, -1)?)?;
        let next = match &mut decoding {
            Decoding::Greedy => logits.f_argmax(-1, false)?,
            Decoding::Sample(random) => {
                let u: Vec<f32> = ledger::streams::uniform(random, rows as usize, 0.0, 1.0);
                let u = Tensor::f_from_slice(&u)?.f_unsqueeze(1)?;
                let cumulative = logits.f_softmax(-1, Kind::Float)?.f_cumsum(-1, Kind::Float)?;
                let below =
                    cumulative.f_le_tensor(&u)?.f_sum_dim_intlist(-1, false, Kind::Int64)?;
                below.f_clamp_max((logits.size2()?.1 - 1) as f64)?.f_to_kind(Kind::Int64)?
            }
        };
        tokens = Tensor::f_cat(&[&tokens, &next.f_unsqueeze(1)?], 1)?;
        done = done.f_logical_or(&next.f_eq(end)?)?;
        if bool::try_from(done.f_all()?)? {
            break;
        }
    }
    let (_, length) = tokens.size2()?;
    let flat = tokens.f_narrow(1, prompt, length - prompt)?.f_contiguous()?;
    let flat: Vec<i64> = Vec::try_from(flat.f_view([-1])?)?;
    Ok(flat
        .chunks((length - prompt) as usize)
        .map(|row| {
            let stop = row.iter().position(|t| *t == end).map_or(row.len(), |p| p + 1);
            row[..stop].to_vec()
        })
        .collect())
}
