//! Versions from the text of a `Cargo.lock`.

use crate::Error;

/// Name and version of every package.
pub(crate) fn packages(lock_text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for package in lock_text.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let mut lines = package.lines().filter_map(|line| line.split_once(" = "));
            Some(lines.find(|(name, _)| *name == key)?.1.trim().trim_matches('"').to_owned())
        };
        found.extend(value("name").zip(value("version")));
    }
    found.sort();
    found
}

/// Name and version of each of the packages called `names`, sorted; a package may be there in
/// several versions.
///
/// # Errors
/// When a name is none of a package.
pub fn versions<S: AsRef<str>>(
    lock_text: &str,
    names: &[S],
) -> Result<Vec<(String, String)>, Error> {
    let packages = packages(lock_text);
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if let Some(unknown) =
        names.iter().find(|name| !packages.iter().any(|(known, _)| known == **name))
    {
        return Err(Error::Unlocked((*unknown).to_owned()));
    }
    Ok(packages.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"1.0.1\"\ndependencies = [\n \"b 1.0.0\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry\"\n";

    #[test]
    fn every_version_of_a_named_package_is_given() {
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(versions(LOCK, &["b"]).unwrap(), [pair("b", "1.0.0"), pair("b", "2.0.0")]);
        assert_eq!(versions(LOCK, &["b", "a"]).unwrap().len(), 3);
    }

    #[test]
    fn a_package_that_is_not_locked_is_an_error() {
        let error = versions(LOCK, &["a", "c"]).unwrap_err();
        assert!(matches!(&error, Error::Unlocked(name) if name == "c"), "{error}");
    }
}
