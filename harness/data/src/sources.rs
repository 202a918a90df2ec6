//! The two folders data comes from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The cache that set-up filled for the checkout this was built from: it writes the folder into the
/// `.cargo/config.toml` that cargo builds by.
const BUILT_WITH: Option<&str> = option_env!("PALIMPSEST_BUILT_CACHE");

/// Where data files are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// What the user fetched or put there: `--data-dir`, `PALIMPSEST_DATA`, or `data`.
    pub data_dir: PathBuf,
    /// What set-up put there: `PALIMPSEST_CACHE`, or `palimpsest` in the user's cache folder. Read
    /// from all of [`Sources::caches`]; only this one is written to.
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
        let cache_dir = folder("PALIMPSEST_CACHE").unwrap_or_else(|| user_cache(&env));
        Self { data_dir, cache_dir }
    }

    /// The caches that may hold what set-up fetched, in the order they are looked at: this one, and
    /// where nobody chose it, the one that the program was built with.
    #[must_use]
    pub fn caches(&self) -> Vec<PathBuf> {
        self.caches_from(BUILT_WITH.map(Path::new), |name| std::env::var_os(name))
    }

    fn caches_from(
        &self,
        built_with: Option<&Path>,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Vec<PathBuf> {
        let chosen = env("PALIMPSEST_CACHE").is_some_and(|value| !value.is_empty());
        let other = built_with.filter(|cache| {
            !chosen && self.cache_dir == user_cache(&env) && **cache != *self.cache_dir
        });
        [Some(self.cache_dir.as_path()), other]
            .into_iter()
            .flatten()
            .map(Path::to_path_buf)
            .collect()
    }
}

/// `palimpsest` in the user's cache folder.
fn user_cache(env: &impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let folder = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".cache"));
    let base = folder("XDG_CACHE_HOME").or_else(home);
    base.unwrap_or_else(|| PathBuf::from(".cache")).join("palimpsest")
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
    fn the_cache_of_the_build_comes_after_the_users_and_never_after_a_chosen_one() {
        let caches = |env: &[(&str, &str)], built_with: Option<&str>| {
            let lookup = |name: &str| {
                env.iter().find(|(key, _)| *key == name).map(|(_, v)| OsString::from(v))
            };
            let found =
                Sources::resolve(None, lookup).caches_from(built_with.map(Path::new), lookup);
            found.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let home = ("HOME", "/h");
        assert_eq!(caches(&[home], Some("/b")), ["/h/.cache/palimpsest", "/b"]);
        assert_eq!(caches(&[home], Some("/h/.cache/palimpsest")), ["/h/.cache/palimpsest"]);
        assert_eq!(caches(&[home], None), ["/h/.cache/palimpsest"]);
        assert_eq!(caches(&[home, ("PALIMPSEST_CACHE", "/c")], Some("/b")), ["/c"]);
        let elsewhere = Sources { data_dir: "d".into(), cache_dir: "nowhere".into() };
        let env = |name: &str| (name == "HOME").then(|| OsString::from("/h"));
        assert_eq!(elsewhere.caches_from(Some(Path::new("/b")), env), [Path::new("nowhere")]);
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
