//! Where the tools of languages keep what tests need: installed toolchains and packages that were fetched before.
//!
//! Tests have a home folder of their own. There these folders lie at their usual places, and what tests write to them
//! is forgotten. Keys and settings beside them stay hidden.

use std::path::PathBuf;

use super::Host;

/// Returns folders of this host with their places in the tests' home folder.
pub(crate) fn toolchains() -> Vec<(PathBuf, String)> {
    let home = |below: &str| Host::home().map(|home| home.join(below));
    let named = |name: &str| Host::variable(name).map(PathBuf::from);
    let cargo = named("CARGO_HOME").or_else(|| home(".cargo"));
    let go = named("GOPATH").or_else(|| home("go"));
    let cache = named("XDG_CACHE_HOME").or_else(|| home(".cache"));
    let candidates = [
        (cargo.as_ref().map(|cargo| cargo.join("registry")), ".cargo/registry"),
        (cargo.map(|cargo| cargo.join("git")), ".cargo/git"),
        (named("RUSTUP_HOME").or_else(|| home(".rustup")), ".rustup"),
        (named("GOMODCACHE").or_else(|| go.map(|go| go.join("pkg/mod"))), "go/pkg/mod"),
        (named("GOCACHE").or_else(|| cache.map(|cache| cache.join("go-build"))), ".cache/go-build"),
    ];
    candidates
        .into_iter()
        .filter_map(|(folder, place)| {
            Some((folder?.canonicalize().ok().filter(|folder| folder.is_dir())?, place.into()))
        })
        .collect()
}
