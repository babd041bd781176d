//! The second stage: gives up every right that the command must not have, and becomes the command.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::guard::threads_of_user;
use super::plan::{Limits, PROCESS_SLACK, Plan, Report};

/// What every command may read, where it does not have a file system of its own.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/proc", "/dev"];

/// Devices that every command may write to.
const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm", "/dev/random", "/dev/urandom"];

/// Runs the stage; returns only if it fails.
pub(super) fn enter() -> Result<Report, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_to_string(&mut line).map_err(|error| format!("the shim got no plan: {error}"))?;
    let plan = Plan::from_line(&line)?;
    generate(&plan).map_err(|error| format!("a generated file cannot be written: {error}"))?;
    if plan.mounts.is_none() {
        link(&plan).map_err(|error| format!("a folder cannot be shown: {error}"))?;
    }
    rustix::process::setsid().map_err(|error| format!("no session of its own: {error}"))?;
    // In a namespace of its own the kernel counts from zero, elsewhere all processes of the user.
    let others = if plan.level.has_namespaces() { 0 } else { threads_of_user() };
    limit(&plan.limits, others).map_err(|error| format!("a limit cannot be set: {error}"))?;
    if plan.level.has_namespaces() {
        drop_capabilities().map_err(|error| format!("capabilities cannot be dropped: {error}"))?;
    }
    // Thousands of processes must not keep the watcher from its turn.
    rustix::process::nice(10).map_err(|error| format!("no lower priority: {error}"))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())?;
    if plan.level.has_landlock() {
        restrict(&plan)?;
    }
    let log = std::io::stdout().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let error = Command::new("/bin/sh")
        .arg("-c")
        .arg(&plan.command)
        .env_clear()
        .envs(&plan.env)
        .current_dir(&plan.folder)
        .stdin(Stdio::null())
        .stderr(Stdio::from(log))
        .exec();
    Err(format!("the command does not start: {error}"))
}

/// Writes the generated files that the tree does not hold.
fn generate(plan: &Plan) -> std::io::Result<()> {
    for (path, text) in &plan.generated {
        let path = Path::new(&plan.folder).join(path);
        if fs::symlink_metadata(&path).is_err() {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(path, text)?;
        }
    }
    Ok(())
}

/// Links to the folders that a run with a file system of its own would have mounted; restoring the tree removes them.
fn link(plan: &Plan) -> std::io::Result<()> {
    for shown in &plan.shown {
        let target = Path::new(&shown.target);
        fs::create_dir_all(target.parent().unwrap_or(Path::new("/")))?;
        if fs::symlink_metadata(target).is_err() {
            std::os::unix::fs::symlink(&shown.source, target)?;
        }
    }
    Ok(())
}

fn limit(limits: &Limits, others: u64) -> rustix::io::Result<()> {
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Data, limits.data_bytes),
        (Resource::Nofile, limits.files),
        (Resource::Nproc, limits.processes + PROCESS_SLACK + others),
    ] {
        // A lower limit that is there already stays.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Root of a user namespace could undo the read-only mounts: it keeps the name and loses the powers, for good.
fn drop_capabilities() -> rustix::io::Result<()> {
    use CapabilitiesSecureBits as Bits;
    let bits = Bits::NO_ROOT | Bits::NO_ROOT_LOCKED | Bits::NO_SETUID_FIXUP | Bits::NO_SETUID_FIXUP_LOCKED;
    let ambient = Bits::NO_CAP_AMBIENT_RAISE | Bits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits | ambient)?;
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Denies writing outside the plan's folders; without a file system and network of its own, also reading and TCP.
fn restrict(plan: &Plan) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("file rules cannot be set: {error}");
    let (read, all) = (AccessFs::from_read(ABI::V5), AccessFs::from_all(ABI::V5));
    let mut ruleset = Ruleset::default().handle_access(all).map_err(|error| failed(&error))?;
    if !plan.level.has_namespaces() {
        let tcp = AccessNet::BindTcp | AccessNet::ConnectTcp;
        ruleset = ruleset
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(tcp)
            .map_err(|error| failed(&error))?
            .set_compatibility(CompatLevel::BestEffort);
    }
    ruleset = ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal).map_err(|error| failed(&error))?;
    let readable: Vec<&str> = if plan.level.has_namespaces() {
        vec!["/"]
    } else {
        SYSTEM.iter().copied().chain(plan.readable.iter().map(String::as_str)).collect()
    };
    let status = ruleset
        .create()
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(readable, read)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&plan.writable, all)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(DEVICES, all)))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(|error| failed(&error))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(failed(&"this kernel has no Landlock")),
        _ => Ok(()),
    }
}
