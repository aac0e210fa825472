//! A secret: where it is, and never what it is until it is needed.

use std::path::PathBuf;

use crate::failure::{Failure, Kind};

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// There is none.
    None,
    /// In an environment variable.
    Variable(String),
    /// In a file, a line break at its end not counted.
    File(PathBuf),
}

impl Secret {
    /// The secret; `what` it is goes into errors. It must not be kept longer than it is needed.
    ///
    /// # Errors
    /// When it is not where it should be.
    pub fn read(&self, what: &str) -> Result<String, Failure> {
        match self {
            Self::None => Ok(String::new()),
            Self::Variable(name) => std::env::var(name).map_err(|error| {
                let told = format!("{what} should be in the environment variable {name}");
                Failure::caused(Kind::Usage, told, format!("export {name}=… before the command"), error)
            }),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let told = format!("{what} should be in the file {}", path.display());
                    Failure::caused(
                        Kind::Usage,
                        told,
                        "a relative path counts from the folder of the external file",
                        error,
                    )
                })?;
                Ok(text.trim_end_matches(['\n', '\r']).to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_it_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "two words \n").unwrap();
        assert_eq!(Secret::File(path).read("x").unwrap(), "two words ");
        assert!(Secret::File(folder.path().join("none")).read("x").is_err());
        assert!(Secret::Variable("ASSAY_NO_SUCH_VARIABLE".into()).read("x").is_err());
        assert_eq!(Secret::None.read("x").unwrap(), "");
    }
}
