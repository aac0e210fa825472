//! The data of an INSERT, kept in a file until all of them are here.
//!
//! The engine reads them from there. So memory does not grow with a body, and a client that breaks off in mid-body
//! inserts nothing.

use std::path::{Path, PathBuf};

use tokio::{fs::File, io::AsyncWriteExt};
use uuid::Uuid;

/// A folder for uploads.
#[derive(Debug, Clone)]
pub struct Uploads(PathBuf);

impl Uploads {
    /// Makes the folder `path` and empties it of what an earlier process left.
    ///
    /// # Errors
    /// When the folder cannot be made or emptied, or when its name holds what the engine would take for a pattern.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let plain = path.to_str().is_some_and(|text| !text.contains(['\'', '\\', '*', '?', '{', '}']));
        if !plain {
            let what = "its name must be UTF-8 without quotes, backslashes, asterisks, question marks and braces";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidFilename, what));
        }
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
        std::fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }

    /// A new, empty upload.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn begin(&self) -> std::io::Result<Upload> {
        let path = self.0.join(Uuid::now_v7().simple().to_string());
        let file = File::create(&path).await?;
        Ok(Upload { path, file: Some(file) })
    }
}

/// Data that are coming in, or have come. The file goes when this is dropped.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: Option<File>,
}

impl Upload {
    /// Adds `bytes`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None => Ok(()),
        }
    }

    /// All has come.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn finish(&mut self) -> std::io::Result<()> {
        match self.file.take() {
            Some(mut file) => file.flush().await,
            None => Ok(()),
        }
    }

    /// The file, as it may stand in a string literal of a statement ([`Uploads::open`] has seen to it).
    pub fn path(&self) -> std::borrow::Cow<'_, str> {
        self.path.to_string_lossy()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A file that stays behind costs room until the next start, and nothing else.
        let _ = std::fs::remove_file(&self.path);
    }
}
