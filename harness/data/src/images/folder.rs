//! Which images a folder holds: a folder a class, or `train` and `test` (and `validation`) with such folders.
//!
//! The order is that of the files' names, byte by byte, never that in which the system lists them. Names that start
//! with a dot, and what file managers leave, are passed over; links that lead out of the folder are not followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::ImageError;

/// Files that file managers leave.
const LEFT_BEHIND: [&str; 2] = ["Thumbs.db", "desktop.ini"];
/// Endings of images.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// What an image is for, where its folder says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// To train on.
    Train,
    /// To set targets on.
    Validation,
    /// To be reported only.
    Test,
}

impl Part {
    /// The part that a folder of this name holds.
    fn named(name: &str) -> Option<Self> {
        match name {
            "train" => Some(Self::Train),
            "validation" | "valid" | "val" => Some(Self::Validation),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its path from the folder on, parted by `/`.
    pub relative: String,
    /// Name of its class.
    pub class: String,
    /// What it is for, where a folder says so.
    pub part: Option<Part>,
}

/// All images of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The folder as it was given.
    pub path: PathBuf,
    /// In the order of their relative paths.
    pub files: Vec<ImageFile>,
}

/// What lies in a folder.
struct Entry {
    name: String,
    path: PathBuf,
    is_folder: bool,
}

impl Folder {
    /// Looks through a folder.
    ///
    /// # Errors
    /// When it cannot be read, or is not laid out as a folder a class.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let io = |source| ImageError::Io { path: path.to_path_buf(), source };
        let root = fs::canonicalize(path).map_err(io)?;
        let top = entries(path, &root)?;
        let names: Vec<&str> = top.iter().filter(|e| e.is_folder).map(|e| &*e.name).collect();
        let parted = names.len() > 1
            && names.contains(&"train")
            && names.iter().all(|name| Part::named(name).is_some());
        let mut files = Vec::new();
        if parted {
            refuse_loose(&top)?;
            for entry in top.iter().filter(|entry| entry.is_folder) {
                let part = Part::named(&entry.name);
                let inner = entries(&entry.path, &root)?;
                take(&entry.path, &inner, &format!("{}/", entry.name), part, &root, &mut files)?;
            }
        } else {
            take(path, &top, "", None, &root, &mut files)?;
        }
        files.sort_by(|a, b| a.relative.as_bytes().cmp(b.relative.as_bytes()));
        let folder = Self { path: path.to_path_buf(), files };
        folder.refuse_strange_classes()?;
        Ok(folder)
    }

    /// Refuses a class that is only held out: nothing could learn it.
    fn refuse_strange_classes(&self) -> Result<(), ImageError> {
        let learnt = self.files.iter().filter(|file| matches!(file.part, None | Some(Part::Train)));
        let learnt: BTreeSet<&str> = learnt.map(|file| &*file.class).collect();
        if let Some(file) = self.files.iter().find(|file| !learnt.contains(&*file.class)) {
            return Err(ImageError::Folder {
                path: file.path.parent().unwrap_or(&self.path).to_path_buf(),
                problem: format!("class {:?} has no folder in train", file.class),
                remedy: "name the classes alike in all of them",
            });
        }
        let [one] = learnt.iter().collect::<Vec<_>>()[..] else { return Ok(()) };
        Err(ImageError::Folder {
            path: self.path.clone(),
            problem: format!("it holds one class alone, {one:?}"),
            remedy: "two folders of images are needed at least, one for each class",
        })
    }
}

/// Takes the images of a folder of classes.
fn take(
    path: &Path,
    classes: &[Entry],
    before: &str,
    part: Option<Part>,
    root: &Path,
    files: &mut Vec<ImageFile>,
) -> Result<(), ImageError> {
    refuse_loose(classes)?;
    let folders: Vec<&Entry> = classes.iter().filter(|entry| entry.is_folder).collect();
    if folders.is_empty() {
        return Err(ImageError::Folder {
            path: path.to_path_buf(),
            problem: "it holds no folder".to_owned(),
            remedy: "put the images of each class into a folder of its name",
        });
    }
    for class in folders {
        let inner = entries(&class.path, root)?;
        if inner.is_empty() {
            return Err(ImageError::Folder {
                path: class.path.clone(),
                problem: format!("class {:?} has no image", class.name),
                remedy: "put some there, or take the folder away",
            });
        }
        for entry in inner {
            let refuse = |problem: &str, remedy| {
                let (path, problem) = (entry.path.clone(), problem.to_owned());
                Err(ImageError::Folder { path, problem, remedy })
            };
            if entry.is_folder {
                return refuse(
                    "it is a folder inside of a class",
                    "put its images into the folder of their class itself",
                );
            }
            if !is_image(&entry.name) {
                return refuse(
                    "its name ends in none of .png, .jpg and .jpeg",
                    "save it as one of them, or take it away",
                );
            }
            let relative = format!("{before}{}/{}", class.name, entry.name);
            files.push(ImageFile { path: entry.path, relative, class: class.name.clone(), part });
        }
    }
    Ok(())
}

/// Refuses images that lie beside the folders of classes; other files there are passed over.
fn refuse_loose(entries: &[Entry]) -> Result<(), ImageError> {
    let loose = entries.iter().find(|entry| !entry.is_folder && is_image(&entry.name));
    loose.map_or(Ok(()), |entry| {
        Err(ImageError::Folder {
            path: entry.path.clone(),
            problem: "it is an image of no class".to_owned(),
            remedy: "put it into the folder of its class",
        })
    })
}

fn is_image(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&&*ending))
}

/// What lies in a folder, but for what is passed over.
fn entries(path: &Path, root: &Path) -> Result<Vec<Entry>, ImageError> {
    let io = |source| ImageError::Io { path: path.to_path_buf(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let refuse = |problem: String, remedy| {
            Err(ImageError::Folder { path: path.clone(), problem, remedy })
        };
        let name = match entry.file_name().into_string() {
            Ok(name) if !name.chars().any(char::is_control) => name,
            Ok(_) => return refuse("its name holds a control character".to_owned(), "rename it"),
            Err(_) => return refuse("its name is not UTF-8".to_owned(), "rename it"),
        };
        if name.starts_with('.') || LEFT_BEHIND.contains(&&*name) {
            continue;
        }
        let io = |source| ImageError::Io { path: path.clone(), source };
        let kind = entry.file_type().map_err(io)?;
        let kind = if kind.is_symlink() {
            let target = fs::canonicalize(&path).map_err(io)?;
            if !target.starts_with(root) {
                let problem = format!("it is a link that leads out of it, to {}", target.display());
                return refuse(problem, "put the image itself there");
            }
            fs::metadata(&target).map_err(io)?.file_type()
        } else {
            kind
        };
        if !kind.is_dir() && !kind.is_file() {
            let problem = "it is a pipe, a socket or a device".to_owned();
            return refuse(problem, "take it away");
        }
        found.push(Entry { name, is_folder: kind.is_dir(), path });
    }
    found.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(found)
}
