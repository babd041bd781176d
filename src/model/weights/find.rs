//! Looking for weights on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::catalogue::{CATALOGUE, Known, known};
use crate::canon::Sha256;
use crate::model::{Fault, ModelError, Provider};

/// The largest Ollama manifest that is read, in bytes.
const LARGEST_MANIFEST: u64 = 1 << 20;

/// Where weights may lie.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Our own cache: files named by digest. Without it nothing can be fetched.
    pub cache: Option<PathBuf>,
    /// Ollama's model folder, which holds `manifests` and `blobs`.
    pub ollama: Option<PathBuf>,
}

/// Says which place a file was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The path was given.
    Path,
    /// Our cache.
    Cache,
    /// Ollama's store.
    Ollama,
}

impl Source {
    /// Returns the word for listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Cache => "cache",
            Self::Ollama => "ollama",
        }
    }
}

/// A weights file on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// How it was found.
    pub source: Source,
    /// The digest that its content must have; absent for a path that was given without one.
    pub digest: Option<Sha256>,
    /// Its size in bytes.
    pub size: u64,
}

/// Looks for the weights that `embedded:NAME` means: a known name, a path, or a model in Ollama's store.
///
/// # Errors
/// A path that is no file; a name that is neither known nor in Ollama's store; known weights that are nowhere.
pub fn find(name: &str, places: &Places) -> Result<Found, ModelError> {
    if let Some(known) = known(name) {
        return find_known(known, places);
    }
    if name.ends_with(".gguf") || name.contains(['/', '\\']) {
        let path = PathBuf::from(name);
        let unreadable = |reason: String| Fault::Unreadable { path: name.to_owned(), reason };
        let metadata = fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() {
            return Err(unreadable("it is no file".into()).into());
        }
        return Ok(Found { path, source: Source::Path, digest: None, size: metadata.len() });
    }
    let digest = places.ollama.as_deref().and_then(|folder| in_manifests(folder, name));
    let found = places.ollama.as_deref().zip(digest).and_then(|(folder, digest)| {
        let path = blob(folder, digest);
        size(&path).map(|size| Found { path, source: Source::Ollama, digest: Some(digest), size })
    });
    let available = CATALOGUE.iter().map(|known| known.name.to_owned()).collect();
    let missing = || Fault::NoSuchModel { provider: Provider::Embedded, model: name.to_owned(), available };
    found.ok_or_else(|| missing().into())
}

/// Looks for known weights in the cache and in Ollama's store.
pub(super) fn find_known(known: &Known, places: &Places) -> Result<Found, ModelError> {
    let candidates = [
        (Source::Cache, places.cache.as_deref().map(|folder| cached(folder, known.digest))),
        (Source::Ollama, places.ollama.as_deref().map(|folder| blob(folder, known.digest))),
    ];
    for (source, path) in candidates {
        let Some(path) = path else { continue };
        if let Some(size) = size(&path).filter(|&size| size == known.size) {
            return Ok(Found { path, source, digest: Some(known.digest), size });
        }
    }
    let tried = vec!["looked in the cache and in Ollama's store".to_owned()];
    Err(Fault::NoWeights { name: known.name.to_owned(), tried, elsewhere: known.package }.into())
}

/// Returns the place of a digest in our cache.
pub(super) fn cached(folder: &Path, digest: Sha256) -> PathBuf {
    folder.join(format!("sha256-{}.gguf", digest.to_hex()))
}

fn blob(folder: &Path, digest: Sha256) -> PathBuf {
    folder.join("blobs").join(format!("sha256-{}", digest.to_hex()))
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Sha256,
}

/// Returns the digest of the weights of `NAME[:TAG]` in the manifests, which are kept by registry.
fn in_manifests(folder: &Path, name: &str) -> Option<Sha256> {
    let (name, tag) = name.split_once(':').unwrap_or((name, "latest"));
    if [name, tag].iter().any(|part| part.is_empty() || part.starts_with('.')) {
        return None;
    }
    let mut registries: Vec<PathBuf> =
        fs::read_dir(folder.join("manifests")).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    registries.sort();
    registries.into_iter().find_map(|registry| {
        let path = registry.join("library").join(name).join(tag);
        size(&path).filter(|&size| size <= LARGEST_MANIFEST)?;
        let manifest: Manifest = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let is_weights = |layer: &&Layer| layer.media_type == "application/vnd.ollama.image.model";
        manifest.layers.iter().find(is_weights).map(|layer| layer.digest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn known_weights_are_found_by_digest_and_size_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { cache: Some(folder.path().join("cache")), ollama: Some(folder.path().join("ollama")) };
        let known = &CATALOGUE[0];
        let error = find(known.name, &places).unwrap_err();
        assert!(matches!(error.fault(), Fault::NoWeights { .. }));
        assert!(error.hint().unwrap().contains("runproof model pull smollm2-135m"));

        let file = |path: &Path, size| {
            write(path, b"");
            fs::File::options().write(true).open(path).unwrap().set_len(size).unwrap();
        };
        file(&blob(&folder.path().join("ollama"), known.digest), known.size);
        assert_eq!(find(known.name, &places).unwrap().source, Source::Ollama);
        let cached = cached(&folder.path().join("cache"), known.digest);
        file(&cached, known.size - 1);
        assert_eq!(find(known.name, &places).unwrap().source, Source::Ollama);
        file(&cached, known.size);
        let found = find(known.name, &places).unwrap();
        assert_eq!((found.source, found.digest, found.path), (Source::Cache, Some(known.digest), cached));
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        let find = || find(path.to_str().unwrap(), &Places::default());
        assert!(matches!(find().unwrap_err().fault(), Fault::Unreadable { .. }));
        write(&path, b"GGUF");
        let found = find().unwrap();
        assert_eq!((found.source, found.size, found.digest), (Source::Path, 4, None));
        let folder = format!("{}/", folder.path().display());
        assert!(super::find(&folder, &Places::default()).is_err());
    }

    #[test]
    fn a_model_of_ollama_is_found_through_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Sha256::of(b"weights");
        let manifest = format!(
            r#"{{"schemaVersion":2,"layers":[{{"mediaType":"application/vnd.ollama.image.license","digest":"{}","size":1}},
               {{"mediaType":"application/vnd.ollama.image.model","digest":"{digest}","size":7}}]}}"#,
            Sha256::of(b"x")
        );
        write(&folder.path().join("manifests/registry.example/library/tiny/1b"), manifest.as_bytes());
        write(&blob(folder.path(), digest), b"weights");
        let places = Places { cache: None, ollama: Some(folder.path().to_owned()) };
        assert_eq!(find("tiny:1b", &places).unwrap().digest, Some(digest));
        for name in ["tiny", "tiny:2b", "..", "tiny:..", ":", "tiny:"] {
            let error = find(name, &places).unwrap_err();
            assert_eq!(error.hint().unwrap(), "it has: smollm2-135m", "{name}");
        }
    }
}
