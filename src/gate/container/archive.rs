//! The archive that carries the tree into a container: tar as in POSIX.1-1988 (ustar), with GNU's entries for long names.
//!
//! Everything belongs to root there. Only what a tree holds is written: folders, plain files, links.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const BLOCK: usize = 512;
/// The longest name that the head of an entry has room for.
const NAME: usize = 100;

/// Writes entries to the stream of an archive.
pub(super) struct Archive<W: Write> {
    to: W,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes a folder of the host with everything below it, in the order of names, as `name`.
    ///
    /// A file that changes meanwhile is an error: nobody else works on a worktree.
    pub(super) fn folder(&mut self, name: &str, folder: &Path) -> io::Result<()> {
        self.below(name.as_bytes(), folder)
    }

    fn below(&mut self, name: &[u8], folder: &Path) -> io::Result<()> {
        let time = fs::symlink_metadata(folder)?.mtime();
        self.head(&[name, b"/"].concat(), b'5', 0o755, 0, time, b"")?;
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, metadata) = (entry.path(), entry.metadata()?);
            let name = [name, b"/", entry.file_name().as_bytes()].concat();
            if metadata.is_dir() {
                self.below(&name, &path)?;
            } else if metadata.is_symlink() {
                self.head(&name, b'2', 0o777, 0, metadata.mtime(), fs::read_link(&path)?.as_os_str().as_bytes())?;
            } else if metadata.is_file() {
                let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                self.head(&name, b'0', mode, metadata.len(), metadata.mtime(), b"")?;
                let copied = io::copy(&mut fs::File::open(&path)?.take(metadata.len()), &mut self.to)?;
                if copied != metadata.len() {
                    return Err(io::Error::other(format!("{} became shorter while it was read", path.display())));
                }
                self.pad(copied)?;
            }
        }
        Ok(())
    }

    /// Writes a file from bytes.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.head(name.as_bytes(), b'0', 0o644, bytes.len() as u64, 0, b"")?;
        self.to.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Writes the end of the archive and gives the stream back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn head(&mut self, name: &[u8], kind: u8, mode: u32, size: u64, time: i64, link: &[u8]) -> io::Result<()> {
        for (text, kind) in [(link, b'K'), (name, b'L')] {
            if text.len() > NAME {
                self.entry(b"././@LongLink", kind, 0o644, text.len() as u64 + 1, 0, b"")?;
                self.to.write_all(text)?;
                self.to.write_all(&[0])?;
                self.pad(text.len() as u64 + 1)?;
            }
        }
        self.entry(&name[..name.len().min(NAME)], kind, mode, size, time, &link[..link.len().min(NAME)])
    }

    fn entry(&mut self, name: &[u8], kind: u8, mode: u32, size: u64, time: i64, link: &[u8]) -> io::Result<()> {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name);
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, format!("{:011o}", time.max(0)).as_bytes());
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link);
        put(257, b"ustar  \0");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.to.write_all(&block)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        if over > 0 { self.to.write_all(&[0; BLOCK][over..]) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

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
        std::os::unix::fs::symlink("x".repeat(150), from.join("link")).unwrap();
        let mut archive = Archive::new(Vec::new());
        archive.folder("in/tree", &from).unwrap();
        archive.file("in/words", b"a\0b").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);

        let mut tar = Command::new("tar").args(["-x", "-C"]).arg(&to).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&bytes).unwrap();
        assert!(tar.wait().unwrap().success());
        let out = to.join("in/tree");
        assert_eq!(fs::read(out.join(&long).join(&long).join("file")).unwrap(), vec![7; 1000]);
        assert_eq!(fs::read(out.join("empty")).unwrap(), b"");
        assert_eq!(fs::metadata(out.join("run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(out.join("link")).unwrap().to_string_lossy(), "x".repeat(150));
        assert_eq!(fs::read(to.join("in/words")).unwrap(), b"a\0b");
    }
}
