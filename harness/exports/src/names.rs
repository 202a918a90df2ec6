//! Names for files and folders of other tools, made of names that a stranger may have chosen.

use std::collections::BTreeSet;

/// Longest name of one file or folder: most file systems take 255 bytes.
const LONGEST: usize = 120;

/// `text` as the name of one file or folder: letters, digits, `.`, `_`, `-` and blanks as they are, `_` for all
/// else, and never a hidden file, an empty name or a way up.
pub(crate) fn file_name(text: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    let name: String = text.chars().take(LONGEST).map(|c| if kept(c) { c } else { '_' }).collect();
    let name = name.trim();
    match name.chars().next() {
        None => "_".to_owned(),
        Some('.') => format!("_{}", &name[1..]),
        Some(_) => name.to_owned(),
    }
}

/// Paths below one folder, each taken once: no two are equal, and none leads through another, in no spelling.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Paths {
    /// `name`, its parts between slashes made file names; with a number where it is taken.
    pub(crate) fn take(&mut self, name: &str) -> String {
        let parts: Vec<String> = name.split('/').map(file_name).collect();
        let mut path = parts.join("/");
        // Beside what is there already, and not below or above it.
        let beside = parts.join("_");
        for again in 1_u32.. {
            if self.is_free(&path) {
                break;
            }
            path = if again == 1 { beside.clone() } else { format!("{beside}-{again}") };
        }
        let lower = path.to_lowercase();
        let above = lower.match_indices('/').map(|(at, _)| lower[..at].to_owned());
        self.folders.extend(above);
        self.files.insert(lower);
        path
    }

    fn is_free(&self, path: &str) -> bool {
        // Some file systems do not tell capital letters from small ones.
        let lower = path.to_lowercase();
        let mut above = lower.match_indices('/').map(|(at, _)| &lower[..at]);
        !self.files.contains(&lower)
            && !self.folders.contains(&lower)
            && !above.any(|folder| self.files.contains(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder_or_hides_there() {
        for (text, name) in [
            ("validation/accuracy", "validation_accuracy"),
            ("..", "_."),
            ("", "_"),
            ("  ", "_"),
            ("a\nb\u{0}c", "a_b_c"),
            ("<b>&\"x\"", "_b___x_"),
            ("中文", "__"),
            (".hidden", "_hidden"),
        ] {
            assert_eq!(file_name(text), name);
        }
        assert_eq!(file_name(&"a".repeat(500)).len(), LONGEST);
    }

    #[test]
    fn every_name_gets_a_path_of_its_own_that_leads_through_no_other() {
        let mut paths = Paths::default();
        let taken: Vec<String> = ["loss", "loss/test", "loss", "LOSS", "a/b", "a", "a/../b", "/x"]
            .map(|name| paths.take(name))
            .to_vec();
        assert_eq!(taken, ["loss", "loss_test", "loss-2", "LOSS-3", "a/b", "a-2", "a/_./b", "_/x"]);
    }
}
