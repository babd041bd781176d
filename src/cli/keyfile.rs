//! Key files: writing a new one, and reading one only if nobody else can have read or exchanged it.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::certificate::key::MAX_KEY_FILE;
use crate::certificate::{KeyError, PublicKey, SecretKey};

use super::{Failure, FailureKind};

const NEW_KEY: &str = "make a key with `runproof key new FILE`";

/// Reads a public key for verification.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey, Failure> {
    let text = read(path, false)?;
    PublicKey::from_pem(&text).map_err(|error| key_failure(path, &error))
}

/// Reads a private key after checking who else could have.
pub(crate) fn read_secret(path: &Path, passphrase: Option<&Path>) -> Result<SecretKey, Failure> {
    check_place(path)?;
    let text = read(path, true)?;
    let given = match passphrase {
        Some(file) => Some(read_passphrase(file)?),
        None => None,
    };
    match SecretKey::from_pem(&text, given.as_deref()) {
        Err(KeyError::Encrypted) => {
            let typed = ask(&format!("passphrase of {}: ", path.display()))?;
            SecretKey::from_pem(&text, Some(&typed))
        }
        result => result,
    }
    .map_err(|error| key_failure(path, &error))
}

/// Returns how a key that cannot be used shows on the terminal; nothing of it is repeated.
pub(crate) fn key_failure(path: &Path, error: &KeyError) -> Failure {
    let kind = match error {
        KeyError::Weak(_) => FailureKind::Malformed,
        _ => FailureKind::Environment,
    };
    let hint = match error {
        KeyError::Label { wanted: "PUBLIC KEY", .. } => "name the public key; `runproof key show KEY` prints it",
        KeyError::Passphrase => "try again, or name another file with --passphrase-file",
        _ => NEW_KEY,
    };
    Failure::new(kind, format!("the key {}: {error}", path.display())).hint(hint)
}

/// Refuses a private key that others may have read or exchanged, or that is part of a repository.
fn check_place(path: &Path) -> Result<(), Failure> {
    let refuse = |what: &str, hint: String| {
        let message = format!("the private key {} is refused: {what}", path.display());
        Err(Failure::new(FailureKind::Environment, message).hint(hint))
    };
    let found = path.symlink_metadata().map_err(|error| unreadable(path, &error))?;
    if found.is_symlink() {
        return refuse("it is a symbolic link", "name the file itself".into());
    }
    if !found.is_file() {
        return refuse("it is not a regular file", NEW_KEY.into());
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user", "copy it to a file of your own".into());
    }
    if found.mode() & 0o077 != 0 {
        return refuse("others may read or write it", format!("chmod 600 {}", path.display()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = folder.metadata().map_err(|error| unreadable(folder, &error))?.mode();
    if mode & 0o022 != 0 {
        return refuse("others may write the folder it is in", format!("chmod go-w {}", folder.display()));
    }
    if is_tracked(folder, path) {
        let message = format!("the private key {} is refused: git tracks it", path.display());
        let hint = "make a new key outside the repository, and revoke this one: everybody with a clone has it";
        return Err(Failure::new(FailureKind::Usage, message).hint(hint));
    }
    Ok(())
}

/// Says whether a repository has the file. Without git, nothing here does.
fn is_tracked(folder: &Path, path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["ls-files", "--error-unmatch", "--"]).arg(name);
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Environment, format!("cannot read {}: {error}", path.display())).hint(NEW_KEY)
}

/// Reads a key file, of which `strict` asks that it is no link.
fn read(path: &Path, strict: bool) -> Result<String, Failure> {
    let link = if strict { OFlags::NOFOLLOW } else { OFlags::empty() };
    let flags = (link | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let failed = |error: std::io::Error| unreadable(path, &error);
    let flags = i32::try_from(flags).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() > MAX_KEY_FILE {
        let message = format!("{} is no key file", path.display());
        return Err(Failure::new(FailureKind::Environment, message).hint(NEW_KEY));
    }
    let mut text = String::new();
    file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Reads the first line of a passphrase file.
pub(crate) fn read_passphrase(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = read(path, false)?;
    checked(text.lines().next().unwrap_or_default())
}

/// Asks for a new passphrase twice.
pub(crate) fn ask_new() -> Result<Vec<u8>, Failure> {
    let first = ask("new passphrase: ")?;
    if first != ask("once more: ")? {
        return Err(
            Failure::new(FailureKind::Usage, "the two passphrases differ").hint("nothing was written; try again")
        );
    }
    Ok(first)
}

fn checked(text: &str) -> Result<Vec<u8>, Failure> {
    if text.is_empty() {
        return Err(Failure::new(FailureKind::Usage, "the passphrase is empty").hint("leave --encrypt out for none"));
    }
    Ok(text.as_bytes().to_vec())
}

/// Asks on the terminal, without showing what is typed.
fn ask(prompt: &str) -> Result<Vec<u8>, Failure> {
    let none = |error: std::io::Error| {
        let message = format!("a passphrase is needed and there is no terminal to ask on: {error}");
        Failure::new(FailureKind::Environment, message).hint("name a file that holds it with --passphrase-file")
    };
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(none)?;
    let modes = tcgetattr(&terminal).map_err(|error| none(error.into()))?;
    let mut silent = modes.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    terminal.write_all(prompt.as_bytes()).map_err(none)?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| none(error.into()))?;
    let mut line = String::new();
    let result = BufReader::new(&terminal).read_line(&mut line);
    let restored = tcsetattr(&terminal, OptionalActions::Flush, &modes);
    let _ = terminal.write_all(b"\n");
    result.map_err(none)?;
    restored.map_err(|error| none(error.into()))?;
    checked(line.trim_end_matches(['\n', '\r']))
}

/// Writes a new file that only its owner may read; one that is there is never overwritten.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|error| {
        let failure = Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => failure.hint("keys are never overwritten; name another file"),
            _ => failure,
        }
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key is of no use.
        let _ = fs::remove_file(path);
        Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display()))
    })
}

/// Writes a file whole or not at all. One that holds other bytes is kept unless `force` says otherwise.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display()))
            .hint("name another file, or make its folder writable")
    };
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            let message = format!("{} is there and is not a regular file", path.display());
            return Err(Failure::new(FailureKind::Environment, message).hint("name another file with -o"));
        }
        Ok(found) => {
            if found.len() == bytes.len() as u64 && fs::read(path).map_err(failed)? == bytes {
                return Ok(());
            }
            if !force {
                let message = format!("{} is there and holds something else", path.display());
                return Err(Failure::new(FailureKind::Environment, message).hint("name another file, or add --force"));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let _ = fs::remove_file(part);
    let written = File::create_new(part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(part, path));
    written.map_err(|error| {
        let _ = fs::remove_file(part);
        failed(error)
    })
}
