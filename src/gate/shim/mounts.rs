//! The file system of a test run: the host's programs, read-only; the worktree and the environment at fixed paths;
//! private home and temp folders in memory. Nothing of the host's file system is touched.
//!
//! The worktree is the lower layer of an overlay whose upper layer is in memory, so that tests can write to it and the
//! host's copy stays as it is; where the kernel has no overlay for users it is bound writable instead. Everything that
//! can be written is one file system in memory, so that the kernel itself bounds the sum.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_remount, unmount};

use super::plan::{Limits, Mounts, PROCESS_SLACK, Plan, SLACK};
use crate::gate::sandbox::{ENVIRONMENT, HOME, TEMP, WORKTREE};

/// Folders of the host that programs are in, shown as they are.
const SYSTEM: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "nix"];

/// What of the host's `/etc` programs need to start; the rest could differ between machines or hold secrets.
const SETTINGS: &[&str] =
    &["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl", "pki", "fonts", "ca-certificates"];

/// Files of `/etc` that are the same on every machine.
const FIXED: &[(&str, &str)] = &[
    ("passwd", "root:x:0:0:root:/home/runproof:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n"),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost runproof\n::1 localhost\n"),
    ("hostname", "runproof\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("resolv.conf", ""),
];

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Builds the file system and makes it this process's own; says whether writes to the worktree stay in memory.
pub(super) fn put_together(mounts: &Mounts, plan: &Plan) -> Result<bool, String> {
    let root = Path::new(&mounts.root);
    let step = |what: &str, done: io::Result<()>| done.map_err(|error| format!("{what}: {error}"));
    step("a root in memory", tmpfs(root, "mode=0755,size=16m"))?;
    for name in SYSTEM {
        step(name, show_system(root, name))?;
    }
    step("/etc", settings(root))?;
    step("/dev", devices(root))?;
    step("/proc", processes(root, &plan.limits))?;
    step("memory to write to", layers(root, &plan.limits))?;
    step("the temp folder", show_layer(root, "temp", TEMP))?;
    step("the home folder", show_layer(root, "home", HOME))?;
    step("/var/tmp", folder(&root.join("var")).and_then(|()| symlink(TEMP, root.join("var/tmp"))))?;
    if let Some(environment) = &mounts.environment {
        step("the environment", show(Path::new(environment), &below(root, ENVIRONMENT)))?;
    }
    for path in &mounts.readable {
        let target = below(root, path);
        // A part of the system, or of what was shown before, is there already.
        if Path::new(path).is_dir() && !SYSTEM.iter().any(|name| Path::new(path).starts_with(Path::new("/").join(name)))
        {
            step(path, show(Path::new(path), &target))?;
        }
    }
    let mut in_memory = true;
    if let Some(worktree) = &mounts.worktree {
        in_memory = show_worktree(root, Path::new(worktree)).map_err(|error| format!("the worktree: {error}"))?;
    }
    for (number, shown) in (1..).zip(&plan.shown) {
        let (source, target) = (Path::new(&shown.source), below(root, &shown.target));
        let done = lay_over(root, number, source, &target)
            .and_then(|in_memory| if in_memory { Ok(()) } else { show(source, &target) });
        step(&shown.target, done)?;
    }
    // What is shown holds the layers itself; nobody else needs to see them.
    step("the layers", unmount(root.join(LAYERS), UnmountFlags::DETACH).map_err(io::Error::from))?;
    step("the new root", enter_root(root))?;
    Ok(in_memory)
}

/// Where the one file system in memory is while the others are put together.
const LAYERS: &str = "layers";

fn layers(root: &Path, limits: &Limits) -> io::Result<()> {
    let layers = root.join(LAYERS);
    folder(&layers)?;
    // The watcher ends the run at the limit; the kernel's own bound, a little higher, is for what is faster than it.
    let (bytes, files) = (limits.written_bytes + SLACK, limits.written_files + 1000);
    tmpfs(&layers, &format!("mode=0755,size={bytes},nr_inodes={files}"))?;
    for (name, mode) in [("temp", 0o1777), ("home", 0o755)] {
        folder(&layers.join(name))?;
        fs::set_permissions(layers.join(name), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn show_layer(root: &Path, layer: &str, at: &str) -> io::Result<()> {
    let target = below(root, at);
    folder(&target)?;
    Ok(mount_bind(root.join(LAYERS).join(layer), target)?)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn tmpfs(target: &Path, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?)
}

fn folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Shows a folder or file of the host, with what is mounted below it, read-only.
fn show(source: &Path, target: &Path) -> io::Result<()> {
    if source.is_dir() {
        folder(target)?;
    } else {
        fs::write(target, "")?;
    }
    mount_bind_recursive(source, target)?;
    let target = target.canonicalize()?;
    let listing = fs::read_to_string("/proc/self/mountinfo")?;
    // Mount points are the fifth field, with blanks and the like in octal (proc_pid_mountinfo(5)).
    let points = listing.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    for point in points.filter(|point| point.starts_with(&target)) {
        read_only(&point)?;
    }
    Ok(())
}

fn unescaped(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, plain);
    }
    PathBuf::from(text)
}

/// Makes one mount read-only, keeping the flags that a user namespace may not clear.
fn read_only(point: &Path) -> io::Result<()> {
    let known = statvfs(point)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (has, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::from_bits_retain(4), MountFlags::NODEV),
        (StatVfsMountFlags::from_bits_retain(8), MountFlags::NOEXEC),
        (StatVfsMountFlags::from_bits_retain(1024), MountFlags::NOATIME),
        (StatVfsMountFlags::from_bits_retain(2048), MountFlags::NODIRATIME),
        (StatVfsMountFlags::from_bits_retain(4096), MountFlags::RELATIME),
    ] {
        if known.contains(has) {
            flags |= flag;
        }
    }
    Ok(mount_remount(point, flags, "")?)
}

fn show_system(root: &Path, name: &str) -> io::Result<()> {
    let (source, target) = (Path::new("/").join(name), root.join(name));
    match fs::symlink_metadata(&source) {
        // `/bin` is a link into `/usr` on most systems.
        Ok(metadata) if metadata.is_symlink() => symlink(fs::read_link(&source)?, target),
        Ok(metadata) if metadata.is_dir() => show(&source, &target),
        _ => Ok(()),
    }
}

fn settings(root: &Path) -> io::Result<()> {
    let etc = root.join("etc");
    folder(&etc)?;
    for (name, text) in FIXED {
        fs::write(etc.join(name), text)?;
    }
    for name in SETTINGS {
        let source = Path::new("/etc").join(name);
        if source.exists() {
            show(&source, &etc.join(name))?;
        }
    }
    Ok(())
}

fn devices(root: &Path) -> io::Result<()> {
    let dev = root.join("dev");
    folder(&dev.join("shm"))?;
    for name in DEVICES {
        let source = Path::new("/dev").join(name);
        if source.exists() {
            fs::write(dev.join(name), "")?;
            mount_bind(&source, dev.join(name))?;
        }
    }
    for (name, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        symlink(format!("/proc/self/fd{target}"), dev.join(name))?;
    }
    tmpfs(&dev.join("shm"), "mode=1777,size=256m")
}

fn processes(root: &Path, limits: &Limits) -> io::Result<()> {
    let proc = root.join("proc");
    folder(&proc)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Inside a container that hides parts of its own, a fresh one is refused; the container's must do.
    if mount("proc", &proc, "proc", flags, None).is_err() {
        return Ok(mount_bind_recursive("/proc", &proc)?);
    }
    // Since Linux 6.14 each process namespace has its own highest number, which binds root too; the first 300 numbers
    // are not given out twice. On an older kernel this file is the host's and refuses; the watcher counts in any case.
    let most = (limits.processes + PROCESS_SLACK + 300).to_string();
    fs::write(proc.join("sys/kernel/pid_max"), most).ok();
    // Inside, the command still counts as root, and could raise it again.
    let settings = proc.join("sys");
    mount_bind(&settings, &settings)?;
    read_only(&settings)
}

/// Says whether writes stay in memory.
fn show_worktree(root: &Path, worktree: &Path) -> io::Result<bool> {
    let target = below(root, WORKTREE);
    let in_memory = lay_over(root, 0, worktree, &target)?;
    if !in_memory {
        mount_bind(worktree, &target)?;
    }
    Ok(in_memory)
}

/// Shows `source` at `target` with a layer in memory for what is written; `false` where that cannot be had.
fn lay_over(root: &Path, number: u32, source: &Path, target: &Path) -> io::Result<bool> {
    folder(target)?;
    let own = root.join(LAYERS).join(number.to_string());
    for name in ["lower", "upper", "work"] {
        folder(&own.join(name))?;
    }
    fs::set_permissions(own.join("upper"), fs::Permissions::from_mode(0o755))?;
    mount_bind_recursive(source, own.join("lower"))?;
    let overlay = ["lowerdir", "upperdir", "workdir"].iter().zip(["lower", "upper", "work"]);
    let options: Vec<String> = overlay.map(|(option, name)| format!("{option}={}", own.join(name).display())).collect();
    let options = CString::new(options.join(",") + ",userxattr")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    // The path of a layer could hold a character that means something in the options.
    let plain = !own.to_string_lossy().contains([',', ':', '\\', '"']);
    let in_memory = plain && mount("overlay", target, "overlay", flags, options.as_c_str()).is_ok();
    unmount(own.join("lower"), UnmountFlags::DETACH)?;
    Ok(in_memory)
}

fn enter_root(root: &Path) -> io::Result<()> {
    fs::remove_dir(root.join(LAYERS)).ok();
    mount_remount(root, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV, "")?;
    rustix::process::chdir(root)?;
    // Old root stacked on the new one, then taken off: pivot_root(2), "pivot_root(".", ".")".
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
