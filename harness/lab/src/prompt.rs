//! What texts are written behind.

/// A prompt, and the example that it is the prompt of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Position in the training split, or another number by which it is told from the others of its stage.
    pub id: u32,
    /// Its tokens, at least one.
    pub tokens: Vec<i64>,
}
