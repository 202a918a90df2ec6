//! The few lines of manifests that say where sources lie; no TOML reader for three keys.

use crate::Error;

/// A member crate: its name as code writes it, the folder of its sources and its root file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Relative to the root of the tree.
    pub(crate) folder: String,
    pub(crate) sources: String,
    pub(crate) root: String,
}

impl Member {
    /// With sources where Cargo looks for them.
    pub(crate) fn new(name: &str, folder: &str) -> Self {
        Self::with_root(name, folder, "src/lib.rs")
    }

    fn with_root(name: &str, folder: &str, root: &str) -> Self {
        let root = format!("{folder}/{root}");
        let sources = root.rsplit_once('/').map_or(folder, |(sources, _)| sources).to_owned();
        Self { name: name.replace('-', "_"), folder: folder.to_owned(), sources, root }
    }

    /// Whether `file` is among its sources.
    pub(crate) fn owns(&self, file: &str) -> bool {
        file.strip_prefix(&*self.sources).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Where its build script would be.
    pub(crate) fn script(&self) -> String {
        format!("{}/build.rs", self.folder)
    }

    /// Reads the manifest in `folder`.
    ///
    /// # Errors
    /// When the package has no name.
    pub(crate) fn of_manifest(folder: &str, manifest: &str) -> Result<Self, Error> {
        let name = value(manifest, "lib", "name").or_else(|| value(manifest, "package", "name"));
        let name = name.ok_or_else(|| Error::Manifest {
            file: format!("{folder}/Cargo.toml"),
            wanted: "no `name` in `[package]`",
        })?;
        let root = value(manifest, "lib", "path").unwrap_or_else(|| "src/lib.rs".to_owned());
        Ok(Self::with_root(&name, folder, &root))
    }
}

/// Folders of the members of a workspace.
///
/// # Errors
/// When there is no list of members, or one holds a pattern.
pub(crate) fn members(manifest: &str) -> Result<Vec<String>, Error> {
    let wrong = |wanted| Error::Manifest { file: "Cargo.toml".to_owned(), wanted };
    let section = section(manifest, "workspace").join("\n");
    let list = section
        .lines()
        .position(|line| key(line) == Some("members"))
        .map(|start| section.lines().skip(start).collect::<Vec<_>>().join("\n"))
        .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned()))
        .ok_or_else(|| wrong("no `members` in `[workspace]`"))?;
    if list.contains('*') {
        return Err(wrong("a pattern among `members`"));
    }
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Lines of a table, without comments.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let lines = manifest.lines().map(|line| line.split_once(" #").map_or(line, |(code, _)| code));
    let lines = lines.map(str::trim).filter(|line| !line.starts_with('#'));
    let inside = lines.skip_while(move |line| *line != header).skip(1);
    // A list may go over lines that open with a bracket; only a header is a whole bracketed word.
    inside.take_while(|line| !(line.starts_with('[') && line.ends_with(']'))).collect()
}

fn key(line: &str) -> Option<&str> {
    Some(line.split_once('=')?.0.trim())
}

/// The text after `key =` in a table.
fn value(manifest: &str, table: &str, wanted: &str) -> Option<String> {
    let lines = section(manifest, table);
    let line = lines.iter().find(|line| key(line) == Some(wanted))?;
    Some(line.split('"').nth(1)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_from_one_line_or_several() {
        let one = "[workspace]\nmembers = [\"a\", \"b/c\"] # two\nresolver = \"3\"\n";
        assert_eq!(members(one).unwrap(), ["a", "b/c"]);
        let several =
            "[package]\n[workspace]\nmembers = [\n  \"a\",\n  # no longer \"x\"\n  \"b/c\",\n]\n";
        assert_eq!(members(several).unwrap(), ["a", "b/c"]);
        assert!(members("[workspace]\nmembers = [\"a/*\"]\n").is_err());
        assert!(members("[package]\nname = \"a\"\n").is_err());
    }

    #[test]
    fn a_library_may_lie_elsewhere_and_have_a_name_of_its_own() {
        let plain = Member::of_manifest("a", "[package]\nname = \"a-b\"\n").unwrap();
        assert_eq!(plain, Member::new("a_b", "a"));
        assert_eq!(plain.root, "a/src/lib.rs");
        let text = "[package]\nname = \"a\"\n[lib]\nname = \"c\"\npath = \"code/root.rs\"\n";
        let other = Member::of_manifest("x", text).unwrap();
        assert_eq!((&*other.name, &*other.sources), ("c", "x/code"));
        assert!(Member::of_manifest("x", "[lib]\npath = \"a.rs\"\n").is_err());
    }
}
