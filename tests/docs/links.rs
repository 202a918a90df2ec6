//! Links of pages, and pages that sources name.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::support::root;

/// The targets of a text's links, outside of code.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut outside = true;
    let mut found = Vec::new();
    for row in text.lines() {
        if row.trim_start().starts_with("```") {
            outside = !outside;
            continue;
        }
        // Code between backticks may look like a link.
        let bare: String = row.split('`').step_by(2).collect();
        let parts = bare.split("](").skip(1).filter(|_| outside);
        found.extend(
            parts.filter_map(|part| part.split_once(')')).map(|(target, _)| target.to_owned()),
        );
    }
    found
}

/// The anchor that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut outside = true;
    let mut found = Vec::new();
    for row in text.lines() {
        outside ^= row.trim_start().starts_with("```");
        if outside && row.starts_with('#') {
            found.push(anchor(row.trim_start_matches('#')));
        }
    }
    found
}

/// Links of a page that lead to no file, or to no heading of it.
pub(super) fn broken(page: &str) -> Vec<String> {
    let here = root().join(page);
    let text = fs::read_to_string(&here).unwrap();
    let mut broken = Vec::new();
    for link in of(&text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
        let target = if path.is_empty() { here.clone() } else { here.parent().unwrap().join(path) };
        let is_page = target.extension().is_some_and(|extension| extension == "md");
        let leads = target.exists()
            && (heading.is_empty() || (is_page && anchors(&target).iter().any(|it| it == heading)));
        if !leads {
            broken.push(format!("{page}: {link}"));
        }
    }
    broken
}

/// Pages of the book that files of these folders name, and that are not there.
pub(super) fn missing_pages(folders: &[&str]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = |part: Component<'_>| part.as_os_str().to_string_lossy().starts_with('.');
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let known = ["rs", "py", "yaml", "toml", "sh", "md"];
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if !known.contains(&extension.as_str()) || path.components().any(hidden) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for part in text.split("docs/").skip(1) {
                let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || "_-/.".contains(c)));
                let name = part[..end.unwrap_or(part.len())].trim_end_matches('.');
                if name.ends_with(".md") && !root().join("docs").join(name).is_file() {
                    missing.push(format!(
                        "{}: docs/{name}",
                        path.strip_prefix(root()).unwrap().display()
                    ));
                }
            }
        }
    }
    missing
}
