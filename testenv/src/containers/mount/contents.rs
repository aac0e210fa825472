//! What mounted files hold, in a digest: another script or another seed for a database makes another run.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

use sha2::{Digest, Sha256};

/// The digest of a file, or of all that is in a folder with its names; where it is and when it was written do not matter.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    add(&mut digest, path)?;
    let digest: Vec<String> = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digest.concat())
}

fn add(digest: &mut Sha256, path: &Path) -> io::Result<()> {
    let facts = fs::symlink_metadata(path)?;
    if facts.is_dir() {
        let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.collect::<io::Result<Vec<OsString>>>()?;
        // Folders tell them in any order.
        names.sort();
        add_part(digest, "folder", &(names.len() as u64).to_be_bytes());
        for name in names {
            add_part(digest, "name", name.as_bytes());
            add(digest, &path.join(name))?;
        }
    } else if facts.is_symlink() {
        // Where it leads is looked at by the container, with its own paths.
        add_part(digest, "link", fs::read_link(path)?.as_os_str().as_bytes());
    } else if facts.is_file() {
        let is_program = facts.permissions().mode() & 0o111 != 0;
        add_part(digest, if is_program { "program" } else { "file" }, &facts.len().to_be_bytes());
        add_bytes(digest, &mut File::open(path)?)?;
    } else {
        // A socket or a pipe holds nothing.
        add_part(digest, "other", &[]);
    }
    Ok(())
}

/// Each with its length, so that no two rows of parts are the same bytes.
fn add_part(digest: &mut Sha256, kind: &str, bytes: &[u8]) {
    digest.update(kind.as_bytes());
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

fn add_bytes(digest: &mut Sha256, from: &mut impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => digest.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&Path);

    /// A folder with a file, a program, a link and a folder in it, and the change that is made to it.
    fn changed(change: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("more")).unwrap();
        fs::write(at("more/b.sql"), "INSERT").unwrap();
        fs::write(at("a.sql"), "CREATE").unwrap();
        std::os::unix::fs::symlink("a.sql", at("link")).unwrap();
        change(folder.path());
        digest(folder.path()).unwrap()
    }

    #[test]
    fn what_files_hold_decides_it_and_where_they_are_does_not() {
        let same = changed(|_| ());
        assert_eq!((same.len(), changed(|_| ())), (64, same.clone()));
        let changes: [(&str, Change); 6] = [
            ("a file", |folder| fs::write(folder.join("more/b.sql"), "INSERt").unwrap()),
            ("a name", |folder| fs::rename(folder.join("a.sql"), folder.join("c.sql")).unwrap()),
            ("one more", |folder| fs::write(folder.join("more/c.sql"), "").unwrap()),
            ("a place", |folder| fs::rename(folder.join("more/b.sql"), folder.join("b.sql")).unwrap()),
            ("a program", |folder| {
                fs::set_permissions(folder.join("a.sql"), fs::Permissions::from_mode(0o755)).unwrap();
            }),
            ("a link", |folder| {
                fs::remove_file(folder.join("link")).unwrap();
                std::os::unix::fs::symlink("more", folder.join("link")).unwrap();
            }),
        ];
        for (what, change) in changes {
            assert_ne!(changed(change), same, "{what}");
        }
    }

    #[test]
    fn a_file_alone_has_one_and_what_is_not_there_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("teams.sql");
        assert!(digest(&file).is_err());
        fs::write(&file, "one").unwrap();
        let one = digest(&file).unwrap();
        fs::write(&file, "two").unwrap();
        assert_ne!(digest(&file).unwrap(), one);
    }
}
