//! Tokens of a user's own: a text, documents in JSON lines, or a file of 16-bit numbers.
//!
//! A text, and a file of numbers, is cut into some 256 blocks (fewer where it is short) that share nothing; documents
//! are what their lines say. Blocks and documents are split by a hash of their tokens, so that those that are alike
//! stay together. Each is read in windows of `context` tokens and the next one of each: every token but the first of a
//! block or document is predicted once. Of a document the last window may be shorter.
//!
//! A held-out window that is also trained on, such as a licence at the head of many files, is left out.

mod error;
mod read;

use std::collections::BTreeSet;
use std::path::Path;

use ledger::digest::Digest;

use crate::error::DataError;
use crate::loaded::OwnFile;
use crate::own::Shares;
use crate::sequences::{Part, Sequence};
use crate::split::{Split, sample_id};
use crate::text::spelling::{Spelling, Unit};

pub use error::{TokenError, read_text, utf8};
pub use read::Format;

/// Blocks that a long text is cut into, at least.
const BLOCKS: usize = 256;
/// Most places that windows may have together, short ones made as long as the context: inputs and labels of these take
/// 4 GiB.
const MOST_VALUES: usize = 1 << 28;
/// Places that a window counts for at least: it is more than its tokens.
const LEAST_PLACES: usize = 16;
/// Blocks, or documents, that are needed: one to train, to validate and to test on.
const LEAST: usize = 3;

/// How a file is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// What the file is.
    pub format: Format,
    /// What its texts are read in.
    pub unit: Unit,
    /// Field of JSON lines that holds a document.
    pub field: &'a str,
    /// Number of different 16-bit tokens; one more than the largest, where it is not known.
    pub vocabulary: Option<u32>,
    /// Tokens that are read at once, C.
    pub context: usize,
}

/// A file as windows of at most C + 1 tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenData {
    /// Windows to train on.
    pub train: Part<Sequence>,
    /// Windows to validate on.
    pub validation: Part<Sequence>,
    /// Windows to test on.
    pub test: Part<Sequence>,
    /// What tokens stand for.
    pub spelling: Spelling,
    /// Held-out windows that were left out because they are trained on, too.
    pub left_out: usize,
    /// The file.
    pub own: OwnFile,
}

/// Reads a file.
///
/// # Errors
/// When it is not what `wanted` says, too short or too large, or says the same again and again.
pub fn load(path: &Path, wanted: &Wanted<'_>, shares: Shares) -> Result<TokenData, DataError> {
    let bytes = read_text(path)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let own = OwnFile { name: format!("file:{name}"), sha256: Digest::of(&bytes) };
    let (documents, spelling) = read::documents(path, &bytes, wanted)?;
    let pieces: Vec<&[u16]> = match documents.as_slice() {
        [whole] if wanted.format != Format::Lines => blocks(path, whole, wanted.context)?,
        documents => documents.iter().map(Vec::as_slice).collect(),
    };
    if pieces.len() < LEAST {
        return Err(TokenError::Few { path: path.to_path_buf(), documents: pieces.len() }.into());
    }
    modest(path, &pieces, wanted.context)?;
    let ids = ids(&pieces);
    if ids.iter().collect::<BTreeSet<_>>().len() < LEAST {
        return Err(TokenError::Repeats { path: path.to_path_buf(), left_out: 0 }.into());
    }
    let split = Split::by_share(&ids, shares.validation, shares.test)?;
    let part = |positions: &[u32]| {
        let chosen = positions.iter().map(|&at| pieces[at as usize]);
        let examples: Vec<Sequence> =
            chosen.flat_map(|piece| windows(piece, wanted.context)).collect();
        let ids = examples.iter().map(Sequence::id).collect();
        Part { examples, ids }
    };
    let [train, mut validation, mut test] =
        [&split.train, &split.validation, &split.test].map(|positions| part(positions));
    let left_out = leave_out_repeats(&train, &mut validation, &mut test);
    if validation.ids.is_empty() || test.ids.is_empty() {
        return Err(TokenError::Repeats { path: path.to_path_buf(), left_out }.into());
    }
    Ok(TokenData { train, validation, test, spelling, left_out, own })
}

/// Leaves those held-out examples out that are trained on, and of those to test on those that validate; tells how many.
pub fn leave_out_repeats(
    train: &Part<Sequence>,
    validation: &mut Part<Sequence>,
    test: &mut Part<Sequence>,
) -> usize {
    let mut seen: BTreeSet<Digest> = train.ids.iter().copied().collect();
    let mut left_out = 0;
    for part in [validation, test] {
        let Part { examples, ids } =
            std::mem::replace(part, Part { examples: vec![], ids: vec![] });
        let before = ids.len();
        let kept = examples.into_iter().zip(ids).filter(|(_, id)| !seen.contains(id));
        (part.examples, part.ids) = kept.unzip();
        left_out += before - part.ids.len();
        seen.extend(&part.ids);
    }
    left_out
}

/// Refuses, before any is made, more windows than memory has room for.
fn modest(path: &Path, pieces: &[&[u16]], context: usize) -> Result<(), TokenError> {
    let windows: usize =
        pieces.iter().map(|piece| piece.len().saturating_sub(1).div_ceil(context)).sum();
    if windows.saturating_mul(context.max(LEAST_PLACES)) <= MOST_VALUES {
        return Ok(());
    }
    Err(TokenError::Many { path: path.to_path_buf(), windows, context, most: MOST_VALUES })
}

/// Ids of blocks or documents: their tokens as u16 LE.
fn ids(pieces: &[&[u16]]) -> Vec<[u8; 32]> {
    let bytes = |piece: &[u16]| piece.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>();
    pieces.iter().map(|piece| sample_id(&bytes(piece), 0)).collect()
}

/// Blocks of whole windows; what is left at the end and fills no window is not used.
fn blocks<'a>(
    path: &Path,
    tokens: &'a [u16],
    context: usize,
) -> Result<Vec<&'a [u16]>, TokenError> {
    let window = context + 1;
    if tokens.len() < LEAST * window {
        return Err(TokenError::Short {
            path: path.to_path_buf(),
            found: tokens.len(),
            context,
            needed: LEAST * window,
        });
    }
    let windows = ((tokens.len() - 1) / context / BLOCKS).max(1);
    let whole = |block: &'a [u16]| {
        let windows = block.len().saturating_sub(1) / context;
        (windows > 0).then(|| &block[..=windows * context])
    };
    Ok(tokens.chunks(windows * context + 1).filter_map(whole).collect())
}

/// Windows that share their border: the last token of one is the first that the next one reads.
fn windows(piece: &[u16], context: usize) -> impl Iterator<Item = Sequence> + '_ {
    let starts = (0..piece.len().saturating_sub(1)).step_by(context);
    starts.map(move |start| {
        let end = (start + context + 1).min(piece.len());
        Sequence { tokens: piece[start..end].to_vec(), prompt: 1, group: 0 }
    })
}

#[cfg(test)]
#[path = "tokens/tests.rs"]
mod tests;
