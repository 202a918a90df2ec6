//! A folder for the runs of one comparison, gone when it is over.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

const PREFIX: &str = "regress-";

/// A folder below a store's `.tmp`, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// A folder of this process below `store`; those that killed processes left are removed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn below(store: &Path) -> anyhow::Result<Self> {
        let temporary = store.join(".tmp");
        for entry in fs::read_dir(&temporary).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let dead = |process: &str| {
                process.bytes().all(|byte| byte.is_ascii_digit())
                    && Path::new("/proc/self").exists()
                    && !Path::new("/proc").join(process).exists()
            };
            if process.is_some_and(dead) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = temporary.join(format!("{PREFIX}{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        // The builds may run in another folder.
        let folder = std::path::absolute(&folder)
            .with_context(|| format!("cannot resolve {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
