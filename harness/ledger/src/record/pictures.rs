//! Pictures that a run leaves to look at.

/// Name of their file in a run folder.
pub const PICTURES: &str = "pictures.png";

/// Grey pictures of one size, in rows and columns; the workload's card says what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// Pictures of a row.
    pub columns: usize,
    /// Pixels of a picture, from top to bottom.
    pub height: usize,
    /// Pixels of a picture, from left to right.
    pub width: usize,
    /// Picture after picture, row after row; 0 is black.
    pub pixels: Vec<u8>,
}
