//! The archive that carries the tree into a container, in tar's form with GNU's entries for long names.
//!
//! Only what a tree holds is written: folders, plain files, links. Everything belongs to root there, and to one moment: the
//! same tree gives the same bytes, whoever laid it out and when.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, Header, HeaderMode};

/// Writes entries to the stream of an archive.
pub(super) struct Archive<W: Write>(Builder<W>);

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self(Builder::new(to))
    }

    /// Writes a folder, a plain file or a link of the host as `name`; a folder with everything below it, in the order of
    /// names.
    pub(super) fn tree(&mut self, name: &Path, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let mut header = Header::new_gnu();
        header.set_metadata_in_mode(&metadata, HeaderMode::Deterministic);
        if metadata.is_dir() {
            self.0.append_data(&mut header, name, io::empty())?;
            let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            entries.iter().try_for_each(|entry| self.tree(&name.join(entry.file_name()), &entry.path()))
        } else if metadata.is_symlink() {
            let target = fs::read_link(path)?;
            // As it is: the other way to write it would make `a//b` into `a/b`.
            match header.set_link_name_literal(target.as_os_str().as_bytes()) {
                Ok(()) => self.0.append_data(&mut header, name, io::empty()),
                Err(_too_long) => self.0.append_link(&mut header, name, target),
            }
        } else if metadata.is_file() {
            self.0.append_data(&mut header, name, fs::File::open(path)?)
        } else {
            Ok(())
        }
    }

    /// Writes a file from bytes.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        header.set_mtime(tar::DETERMINISTIC_TIMESTAMP);
        self.0.append_data(&mut header, name, bytes)
    }

    /// Writes the end of the archive and gives the stream back.
    pub(super) fn finish(self) -> io::Result<W> {
        let mut to = self.0.into_inner()?;
        to.flush()?;
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn archived(folder: &Path) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.tree(Path::new("in/tree"), folder).unwrap();
        archive.file("in/words", b"a\0b").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn a_tree_comes_out_of_the_archive_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let long = "d".repeat(90);
        fs::create_dir_all(from.join(&long).join(&long)).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join(&long).join(&long).join("file"), vec![7; 1000]).unwrap();
        fs::write(from.join("empty"), "").unwrap();
        fs::write(from.join("run.sh"), "exit\n").unwrap();
        fs::set_permissions(from.join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        let targets = [("long", "x".repeat(150)), ("plain", "./a//b/".into()), ("away", "/../etc".into())];
        targets.iter().for_each(|(name, target)| symlink(target, from.join(name)).unwrap());

        let mut tar = Command::new("tar").args(["-x", "-C"]).arg(&to).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&archived(&from)).unwrap();
        assert!(tar.wait().unwrap().success());
        let out = to.join("in/tree");
        assert_eq!(fs::read(out.join(&long).join(&long).join("file")).unwrap(), vec![7; 1000]);
        assert_eq!(fs::read(out.join("empty")).unwrap(), b"");
        assert_eq!(fs::metadata(out.join("run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
        for (name, target) in targets {
            assert_eq!(fs::read_link(out.join(name)).unwrap().to_string_lossy(), target);
        }
        assert_eq!(fs::read(to.join("in/words")).unwrap(), b"a\0b");
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_whenever_and_in_whatever_order_it_was_laid_out() {
        let laid_out = |names: [&str; 3], moment: SystemTime, mode: u32| {
            let folder = tempfile::tempdir().unwrap();
            for name in names {
                let path = folder.path().join(name);
                fs::write(&path, name).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(moment).unwrap();
            }
            archived(folder.path())
        };
        let one = laid_out(["a", "b", "c"], SystemTime::UNIX_EPOCH, 0o600);
        assert!(one == laid_out(["c", "b", "a"], SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30), 0o664));
    }
}
