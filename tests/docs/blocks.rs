//! Pages, their fenced blocks with the class of each, and the code within their text.

use std::fs;

use crate::support::root;

/// What a block is held to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class<'a> {
    /// Every line runs and ends with 0.
    Run,
    /// Every line after `$` runs and prints what is shown.
    Shown,
    /// Every line is a command that there is; the fence says why it does not run here.
    Parsed,
    /// Lies in the folder, by this name, for the blocks after it.
    File(&'a str),
    /// No commands.
    Data,
}

/// Why a block is parsed only.
pub(super) const REASONS: [(&str, &str); 9] = [
    ("long", "trains or builds for longer than a test may"),
    ("needs-cluster", "Slurm or Kubernetes"),
    ("needs-docker", "a container engine"),
    ("needs-gpus", "NVIDIA GPUs"),
    ("needs-files", "data, arrays or models of the reader's own"),
    ("needs-network", "an authority, a server"),
    ("needs-python", "NumPy and SciPy, and is in the tests of these scripts"),
    ("needs-pytorch", "PyTorch"),
    ("needs-tools", "programs of others that show what was written"),
];

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    page: String,
    line: usize,
    language: String,
    /// What stands behind the language, between commas.
    pub(super) tags: Vec<String>,
    pub(super) text: String,
}

impl Block {
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// README, the rules of contributing, the Python package's page and the book, as paths from the root, sorted.
pub(super) fn pages() -> Vec<String> {
    let mut pages: Vec<_> =
        ["CONTRIBUTING.md", "README.md", "python/README.md"].map(str::to_owned).into();
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().display());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The fenced blocks of a page, from its top.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, row) in (1..).zip(text.lines()) {
        match (row.trim_start().strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(info), None) => {
                let mut words = info.split(',').map(|word| word.trim().to_owned());
                let language = words.next().unwrap_or_default();
                let (page, tags, text) = (page.to_owned(), words.collect(), String::new());
                open = Some(Block { page, line, language, tags, text });
            }
            (None, Some(mut block)) => {
                block.text += row;
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks
}

/// The class that a block's fence says, or why it is in none.
pub(super) fn class(block: &Block) -> Result<Class<'_>, String> {
    let tags: Vec<&str> = block.tags.iter().map(String::as_str).collect();
    match (block.language.as_str(), &tags[..]) {
        ("sh", ["run"]) => Ok(Class::Run),
        ("console", ["run"]) => Ok(Class::Shown),
        ("sh", ["parsed", reason]) if REASONS.iter().any(|(known, _)| known == reason) => {
            Ok(Class::Parsed)
        }
        ("sh" | "console", _) => Err(format!(
            "commands in a fence {:?}: write `sh,run`, `console,run` or `sh,parsed,REASON` with one of {:?}",
            tags,
            REASONS.map(|(reason, _)| reason)
        )),
        ("text" | "yaml" | "json" | "python" | "tex" | "csv" | "toml", tags) => {
            let begins = |line: &str| {
                ["palimpsest ", "./justw ", "just ", "$ "].iter().any(|it| line.starts_with(it))
            };
            if let Some(line) = block.text.lines().find(|line| begins(line)) {
                return Err(format!("a command in a block of {}: {line}", block.language));
            }
            match tags {
                [] => Ok(Class::Data),
                [tag] => {
                    tag.strip_prefix("file=").map(Class::File).ok_or_else(|| format!("{tag}?"))
                }
                _ => Err(format!("{tags:?}?")),
            }
        }
        (language, _) => Err(format!("a block of {language:?}: name its language")),
    }
}

/// What stands between backticks in a page's text, outside of blocks.
pub(super) fn spans(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut outside = true;
    let mut paragraphs = vec![String::new()];
    for row in text.lines() {
        let fence = row.trim_start().starts_with("```");
        outside ^= fence;
        // A row of a table and an item of a list are paragraphs of their own.
        if row.trim().is_empty() || row.starts_with(['|', '-', '#']) {
            paragraphs.push(String::new());
        }
        if outside && !fence {
            let last = paragraphs.last_mut().unwrap();
            last.push_str(row);
            last.push(' ');
        }
    }
    let spans = paragraphs.iter().flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
    spans.map(str::to_owned).collect()
}
