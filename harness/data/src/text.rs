//! Data sets of text: Tiny Shakespeare (characters) and GSM8K (JSON Lines of worked questions).

pub mod spelling;
pub mod windows;

use std::path::Path;

use serde::Deserialize;

use crate::catalogue;
use crate::error::DataError;
use crate::load::Reader;
use crate::loaded::Origin;
use crate::sources::Sources;

/// A text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The whole text.
    pub text: String,
    /// Whether these are the published bytes.
    pub origin: Origin,
}

/// A worked question; the answer ends in `#### ` and the number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question.
    pub question: String,
    /// The solution with calculator annotations `<<a*b=c>>`.
    pub answer: String,
}

/// Questions in file order and where they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// The training file.
    pub train: Vec<Question>,
    /// The official test file.
    pub test: Vec<Question>,
    /// Whether these are the published bytes.
    pub origin: Origin,
}

/// Loads Tiny Shakespeare.
///
/// # Errors
/// When the file is missing, unreadable or not UTF-8.
pub fn tinyshakespeare(sources: &Sources) -> Result<Text, DataError> {
    let mut read = Reader::new(catalogue::find("tinyshakespeare")?, sources);
    let (path, bytes) = read.file(0)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| DataError::Encoding { path, offset: error.utf8_error().valid_up_to() })?;
    Ok(Text { text, origin: read.origin })
}

/// Loads GSM8K.
///
/// # Errors
/// When a file is missing or unreadable, or a line is not a question with its answer.
pub fn gsm8k(sources: &Sources) -> Result<Questions, DataError> {
    let mut read = Reader::new(catalogue::find("gsm8k")?, sources);
    let mut part = |place| {
        let (path, bytes) = read.file(place)?;
        json_lines(&path, &bytes)
    };
    let (train, test) = (part(0)?, part(1)?);
    Ok(Questions { train, test, origin: read.origin })
}

fn json_lines(path: &Path, bytes: &[u8]) -> Result<Vec<Question>, DataError> {
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
    let parse = |(line, text): (usize, &[u8])| {
        let json = |source| DataError::Json { path: path.to_path_buf(), line, source };
        serde_json::from_slice(text).map_err(json)
    };
    (1..).zip(lines).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder_with(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let data_dir = folder.path().to_path_buf();
        (folder, Sources { cache_dir: data_dir.join("cache"), data_dir })
    }

    #[test]
    fn questions_keep_their_file_order_and_a_changed_file_is_called_modified() {
        let train = b"{\"question\":\"1+1?\",\"answer\":\"#### 2\"}\n{\"question\":\"q\",\"answer\":\"a\"}\n";
        let test = b"{\"question\":\"t\",\"answer\":\"b\"}";
        let (_folder, sources) =
            folder_with(&[("gsm8k/train.jsonl", train), ("gsm8k/test.jsonl", test)]);
        let questions = gsm8k(&sources).unwrap();
        assert_eq!((questions.train.len(), questions.test[0].question.as_str()), (2, "t"));
        assert_eq!(questions.origin, Origin::Modified);
    }

    #[test]
    fn a_bad_line_names_its_number_and_column() {
        let error =
            json_lines(Path::new("q"), b"{\"question\":\"\",\"answer\":\"\"}\n{\"question\"}");
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("q:2: ") && error.contains("column 12"), "{error}");
    }

    #[test]
    fn a_text_that_is_not_utf8_names_the_offset() {
        let (_folder, sources) = folder_with(&[("tinyshakespeare/input.txt", b"abc\xffdef")]);
        let error = tinyshakespeare(&sources).unwrap_err();
        assert!(matches!(error, DataError::Encoding { offset: 3, .. }), "{error}");
    }
}
