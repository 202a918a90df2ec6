//! Blocks of parallel paths in a text: which tokens are their tags, and whether a text is well-formed.
//!
//! ```text
//! <Parallel> <Path 1> … </Path> <Path 2> … </Path> </Parallel> <Summary> … </Summary>
//! ```

use std::ops::Range;

/// The tags, as tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tags {
    /// Opens a block.
    pub open: i64,
    /// Opens its first path; the tokens behind it open the others.
    pub path: i64,
    /// Number of tokens that open a path.
    pub paths: usize,
    /// Closes a path.
    pub closed: i64,
    /// Closes a block.
    pub close: i64,
    /// Opens its summary.
    pub summary: i64,
    /// Closes its summary.
    pub summarised: i64,
}

/// What the tags of a text make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// It has no tags.
    Plain,
    /// So many whole blocks, and no other tag.
    Blocks(usize),
    /// Tags that are no whole block.
    Malformed,
}

impl Tags {
    /// The tag that opens path `index`, from 0.
    #[must_use]
    pub fn opens(&self, index: usize) -> i64 {
        self.path + index as i64
    }

    /// Whether a token is one of the tags.
    #[must_use]
    pub fn is_tag(&self, token: i64) -> bool {
        let Self { open, closed, close, summary, summarised, .. } = *self;
        [open, closed, close, summary, summarised].contains(&token)
            || (self.path..self.opens(self.paths)).contains(&token)
    }

    /// What the tags of a text make of it: a block is at least two paths in the order of their tags, and a
    /// summary directly behind it; paths and summaries hold no tags.
    #[must_use]
    pub fn structure(&self, text: &[i64]) -> Structure {
        let (mut at, mut blocks) = (0, 0);
        while let Some(start) = text[at..].iter().position(|token| self.is_tag(*token)) {
            let Some((_, end)) = self.block(&text[at + start..]) else {
                return Structure::Malformed;
            };
            at += start + end;
            blocks += 1;
        }
        if blocks == 0 { Structure::Plain } else { Structure::Blocks(blocks) }
    }

    /// Where the paths of a text's blocks stand, tags included; `None` of one that is malformed.
    #[must_use]
    pub fn paths_of(&self, text: &[i64]) -> Option<Vec<Vec<Range<usize>>>> {
        let (mut at, mut blocks) = (0, Vec::new());
        while let Some(start) = text[at..].iter().position(|token| self.is_tag(*token)) {
            let from = at + start;
            let (paths, end) = self.block(&text[from..])?;
            blocks.push(paths.into_iter().map(|path| from + path.start..from + path.end).collect());
            at = from + end;
        }
        Some(blocks)
    }

    /// The paths of the block that a text begins with, and where its summary has ended.
    fn block(&self, text: &[i64]) -> Option<(Vec<Range<usize>>, usize)> {
        let is = |at: usize, tag: i64| text.get(at) == Some(&tag);
        // The place behind what holds no tag up to `tag`.
        let behind = |from: usize, tag: i64| {
            let length = text.get(from..)?.iter().position(|token| self.is_tag(*token))?;
            is(from + length, tag).then_some(from + length + 1)
        };
        if !is(0, self.open) {
            return None;
        }
        let (mut at, mut paths) = (1, Vec::new());
        while paths.len() < self.paths && is(at, self.opens(paths.len())) {
            let end = behind(at + 1, self.closed)?;
            paths.push(at..end);
            at = end;
        }
        if paths.len() < 2 || !is(at, self.close) || !is(at + 1, self.summary) {
            return None;
        }
        let end = behind(at + 2, self.summarised)?;
        Some((paths, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: Tags =
        Tags { open: 10, path: 11, paths: 3, closed: 14, close: 15, summary: 16, summarised: 17 };

    #[test]
    fn a_block_is_two_paths_or_more_and_a_summary() {
        let block = [10, 11, 1, 2, 14, 12, 14, 15, 16, 3, 17];
        assert_eq!(TAGS.structure(&block), Structure::Blocks(1));
        assert_eq!(
            TAGS.structure(&[&block[..], &[5], &block, &[6]].concat()),
            Structure::Blocks(2)
        );
        assert_eq!(TAGS.structure(&[1, 2, 3]), Structure::Plain);
        assert_eq!(TAGS.structure(&[]), Structure::Plain);
        let three = [10, 11, 14, 12, 14, 13, 14, 15, 16, 17];
        assert_eq!(TAGS.structure(&three), Structure::Blocks(1));
    }

    #[test]
    fn one_path_no_summary_and_crossing_tags_are_malformed() {
        for text in [
            // One path.
            &[10, 11, 1, 14, 15, 16, 3, 17][..],
            // No summary, one that does not end, and one that is not directly behind.
            &[10, 11, 14, 12, 14, 15],
            &[10, 11, 14, 12, 14, 15, 16, 3],
            &[10, 11, 14, 12, 14, 15, 1, 16, 17],
            // A block that closes inside a path, and a path inside a path.
            &[10, 11, 14, 12, 1, 15, 14, 16, 17],
            &[10, 11, 12, 14, 14, 15, 16, 17],
            // Paths out of order, and the same one twice.
            &[10, 12, 14, 11, 14, 15, 16, 17],
            &[10, 11, 14, 11, 14, 15, 16, 17],
            // A tag by itself, behind a whole block too.
            &[1, 14],
            &[10, 11, 14, 12, 14, 15, 16, 17, 17],
            &[10],
        ] {
            assert_eq!(TAGS.structure(text), Structure::Malformed, "{text:?}");
            assert_eq!(TAGS.paths_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn paths_stand_where_their_tags_do() {
        let text = [1, 10, 11, 1, 2, 14, 12, 14, 15, 16, 3, 17, 5];
        assert_eq!(TAGS.paths_of(&text), Some(vec![vec![2..6, 6..8]]));
        assert_eq!(TAGS.paths_of(&[1, 2]), Some(vec![]));
    }
}
