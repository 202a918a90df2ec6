//! The two folders data comes from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where data files are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// What the user fetched or put there: `--data-dir`, `PALIMPSEST_DATA`, or `data`.
    pub data_dir: PathBuf,
    /// What set-up put there: `PALIMPSEST_CACHE`, or `palimpsest` in the user's cache folder.
    pub cache_dir: PathBuf,
}

impl Sources {
    /// The folders from `--data-dir` (first) and the environment.
    #[must_use]
    pub fn from_env(data_dir: Option<&Path>) -> Self {
        Self::resolve(data_dir, |name| std::env::var_os(name))
    }

    /// As [`Sources::from_env`], with the environment as a function; empty values count as unset.
    #[must_use]
    pub fn resolve(data_dir: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Self {
        let folder = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data_dir = data_dir
            .map(Path::to_path_buf)
            .or_else(|| folder("PALIMPSEST_DATA"))
            .unwrap_or_else(|| PathBuf::from("data"));
        let user_cache = || {
            let home = || folder("HOME").map(|home| home.join(".cache"));
            let base = folder("XDG_CACHE_HOME").or_else(home);
            base.unwrap_or_else(|| PathBuf::from(".cache")).join("palimpsest")
        };
        Self { data_dir, cache_dir: folder("PALIMPSEST_CACHE").unwrap_or_else(user_cache) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(data_dir: Option<&str>, env: &[(&str, &str)]) -> (String, String) {
        let lookup =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, v)| OsString::from(v));
        let sources = Sources::resolve(data_dir.map(Path::new), lookup);
        (sources.data_dir.display().to_string(), sources.cache_dir.display().to_string())
    }

    #[test]
    fn option_beats_environment_beats_default() {
        let env = [("PALIMPSEST_DATA", "/e"), ("PALIMPSEST_CACHE", "/c"), ("HOME", "/h")];
        assert_eq!(resolve(Some("/o"), &env), ("/o".into(), "/c".into()));
        assert_eq!(resolve(None, &env), ("/e".into(), "/c".into()));
        assert_eq!(
            resolve(None, &[("HOME", "/h")]),
            ("data".into(), "/h/.cache/palimpsest".into())
        );
        assert_eq!(
            resolve(None, &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h"), ("PALIMPSEST_DATA", "")]),
            ("data".into(), "/x/palimpsest".into())
        );
    }
}
