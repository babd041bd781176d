//! What a container is made of, and what it does before and around the test command.

use std::collections::BTreeMap;

use super::super::sandbox::{TEMP, WORKTREE};
use super::super::shim::{Limits, PROCESS_SLACK};
use super::super::{GateError, TestRequest};
use super::{Engine, Image};

/// Where what we bring lies until the command begins; no image holds such a folder.
pub(super) const BROUGHT: &str = ".runproof";

/// What root in the container may do that everybody else may not: files as root sees them, and other users' ids.
/// Nothing of the network, of devices, of mounts, of the kernel.
const RIGHTS: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

/// The environment that the published images activate: its programs come first.
const PUBLISHED: &str = "/opt/miniconda3/envs/testbed";

/// The first process. It lays out the tree, runs the command and ends with its exit code; what ends this program closes
/// the input, which ends everything else in the container. `$1` is the word after which the output is the command's,
/// `$2` the command, `$3` says whether the search path may be changed.
const FIRST: &str = r#"exec 3<&0 </dev/null 2>&1
( cat <&3 >/dev/null; kill -KILL -1 ) &
exec 3<&-
stop() { echo "$*"; exit 125; }
mkdir -p WORKTREE && cd WORKTREE || stop "there is no place for the tree"
if [ -e .git ]; then
  command -v git >/dev/null || stop "WORKTREE holds a repository, and the image has no git to tell its files by"
  HOME=/BROUGHT git ls-files -z >/BROUGHT/tracked || stop "the files of the repository in WORKTREE cannot be told"
  xargs -0 rm -f -- </BROUGHT/tracked 2>/dev/null
fi
find . -name .git -prune -exec rm -rf {} + || stop "the history in WORKTREE cannot be removed"
cp -a /BROUGHT/tree/. . || stop "the tree cannot be laid out"
if [ -d /BROUGHT/generated ]; then
  ( cd /BROUGHT/generated && find . -type f ) | while IFS= read -r file; do
    [ -e "$file" ] || { mkdir -p "$(dirname "$file")" && cp "/BROUGHT/generated/$file" "$file"; } || exit 1
  done || stop "a generated file cannot be written"
fi
chown 0:0 . && rm -rf /BROUGHT || stop "what was brought cannot be removed"
unset http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
if [ "$3" = yes ] && [ -d PUBLISHED/bin ]; then
  PATH=PUBLISHED/bin:$PATH CONDA_PREFIX=PUBLISHED CONDA_DEFAULT_ENV=testbed
  export PATH CONDA_PREFIX CONDA_DEFAULT_ENV
fi
printf '%s\n' "$1"
exec 4>&2 2>/dev/null
sh -c "$2" 2>&4 4>&-
exit $?
"#;

/// Returns the words of the engine's command that makes the container `name`.
pub(super) fn create(
    engine: &Engine,
    name: &str,
    image: &Image,
    limits: &Limits,
    request: &TestRequest,
) -> Result<Vec<String>, GateError> {
    let mut words: Vec<String> =
        ["container", "create", "--interactive", "--pull", "never", "--name", name].map(str::to_owned).to_vec();
    let mut put = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    put("--label", engine.label().to_owned());
    put("--network", "none".to_owned());
    put("--hostname", "runproof".to_owned());
    put("--user", "0:0".to_owned());
    put("--workdir", "/".to_owned());
    put("--cap-drop", "ALL".to_owned());
    RIGHTS.iter().for_each(|right| put("--cap-add", (*right).to_owned()));
    put("--security-opt", "no-new-privileges".to_owned());
    put("--pids-limit", (limits.processes + PROCESS_SLACK).to_string());
    put("--memory", limits.memory_bytes.to_string());
    put("--memory-swap", limits.memory_bytes.to_string());
    for (kind, most) in [("fsize", limits.file_bytes), ("nofile", limits.files), ("core", 0)] {
        put("--ulimit", format!("{kind}={most}:{most}"));
    }
    // What the engine kept of the output would be on its disk without a bound.
    put("--log-driver", "none".to_owned());
    put("--entrypoint", "/bin/sh".to_owned());
    let mut env = BTreeMap::from([("PATH".to_owned(), image.path.clone()), ("TMPDIR".to_owned(), TEMP.to_owned())]);
    env.extend(request.variables(WORKTREE)?);
    env.iter().for_each(|(variable, value)| put("--env", format!("{variable}={value}")));
    words.push("--no-healthcheck".to_owned());
    words.push(image.id.clone());
    words.extend(["-c".to_owned(), first(), "sh".to_owned(), mark(name), request.command.clone()]);
    words.push(if request.env.contains_key("PATH") { "no" } else { "yes" }.to_owned());
    Ok(words)
}

/// Returns the word after which the output is the command's.
pub(super) fn mark(name: &str) -> String {
    format!("{name} begins")
}

fn first() -> String {
    FIRST.replace("WORKTREE", WORKTREE).replace("BROUGHT", BROUGHT).replace("PUBLISHED", PUBLISHED)
}
