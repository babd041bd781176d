//! The first stage: sets up, starts the command, reaps, reports, and leaves nothing alive.

use std::collections::BTreeSet;
use std::io::{BufRead, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};

use super::guard::{Guard, descendants};
use super::plan::{Plan, Report};
use super::{SHIM_VERB, mounts};
use crate::gate::Exceeded;

/// The signal that a process gets which writes beyond its largest file, `SIGXFSZ`.
const FILE_TOO_LARGE: i32 = Signal::XFSZ.as_raw();

/// Runs the stage.
pub(super) fn watch() -> Result<Report, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("the shim got no plan: {error}"))?;
    let plan = Plan::from_line(&line)?;
    // The command must not read this process's memory, nor reach the pipe that the report goes to.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string())?;
    let mut measured = plan.measured.clone();
    match &plan.mounts {
        Some(mounts) => {
            if !mounts::put_together(mounts, &plan)? {
                measured.push(plan.folder.clone());
            }
            raise_loopback().map_err(|error| format!("the loopback interface cannot be used: {error}"))?;
            rustix::system::sethostname(b"runproof")
                .map_err(|error| format!("the host name cannot be set: {error}"))?;
        }
        // What outlives its parent comes to this process, which can then find it.
        None => rustix::process::set_child_subreaper(Pid::from_raw(1)).map_err(|error| error.to_string())?,
    }
    let guard = Guard::new(plan.limits, plan.mounts.is_some(), measured);
    let mut child = Command::new("/proc/self/exe")
        .args([SHIM_VERB, "enter"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the second stage does not start: {error}"))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("the second stage has no number")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(line.as_bytes()).map_err(|error| format!("the second stage takes no plan: {error}"))?;
    }
    let in_namespace = plan.mounts.is_some();
    std::thread::spawn(move || {
        // The parent closes the pipe to say stop, or by dying.
        std::io::stdin().lock().read_to_end(&mut Vec::new()).ok();
        leave(in_namespace);
    });
    let guard = Arc::new(Mutex::new(guard));
    let watched = Arc::clone(&guard);
    std::thread::spawn(move || {
        loop {
            let pause = {
                let guard = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(exceeded) = guard.check() {
                    // Kept locked: the command's own end is no news any more.
                    std::io::stderr().write_all(Report::Exceeded(exceeded).to_line().as_bytes()).ok();
                    leave(in_namespace);
                }
                guard.pause()
            };
            std::thread::sleep(pause);
        }
    });
    let report = loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => match (status.exit_status(), status.terminating_signal()) {
                // A shell passes the signal of its command on as an exit code.
                (Some(code), _) if code == 128 + FILE_TOO_LARGE => break Report::Exceeded(Exceeded::FileSize),
                (_, Some(FILE_TOO_LARGE)) => break Report::Exceeded(Exceeded::FileSize),
                (Some(code), _) => break Report::Exit(code),
                (_, Some(signal)) => break Report::Signal(signal),
                _ => {}
            },
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("waiting for the command failed: {error}")),
        }
    };
    // A command that was faster than the watcher still has to answer for what it left. The lock is never given back:
    // one report is enough.
    let guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
    let report = guard.check().map_or(report, Report::Exceeded);
    std::mem::forget(guard);
    if !in_namespace {
        kill_descendants();
    }
    Ok(report)
}

/// Ends this process and everything below it.
fn leave(in_namespace: bool) -> ! {
    // In a process namespace the kernel kills whatever is left when this process ends.
    if !in_namespace {
        kill_descendants();
    }
    std::process::exit(0)
}

/// Kills whatever descends from this process, until nothing is left.
fn kill_descendants() {
    // What stands still cannot multiply: first everything is stopped, until a look finds nobody new, then killed.
    // Both with a bound, since a fork bomb may be faster.
    let mut stopped = BTreeSet::new();
    for _ in 0..1000 {
        let fresh: Vec<i32> =
            descendants().into_iter().map(|process| process.id).filter(|id| stopped.insert(*id)).collect();
        if fresh.is_empty() {
            break;
        }
        fresh.into_iter().for_each(|id| send(id, Signal::STOP));
    }
    for _ in 0..1000 {
        let left = descendants();
        if left.is_empty() {
            return;
        }
        left.iter().for_each(|process| send(process.id, Signal::KILL));
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn send(id: i32, signal: Signal) {
    if let Some(id) = Pid::from_raw(id) {
        rustix::process::kill_process(id, signal).ok();
    }
}

/// Sets the loopback interface of a new network namespace up: `RTM_NEWLINK` with `IFF_UP` for interface 1
/// (rtnetlink(7)). The `ip` program may not be there, and the ioctl has no safe form.
///
/// # Errors
/// What the kernel says.
pub fn raise_loopback() -> rustix::io::Result<()> {
    let mut message = Vec::with_capacity(32);
    // struct nlmsghdr: length, type RTM_NEWLINK, flags REQUEST and ACK, sequence, port.
    message.extend_from_slice(&32_u32.to_ne_bytes());
    message.extend_from_slice(&16_u16.to_ne_bytes());
    message.extend_from_slice(&5_u16.to_ne_bytes());
    message.extend_from_slice(&[1_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat());
    // struct ifinfomsg: family and padding, type, index, flags IFF_UP, mask of changed flags.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&1_i32.to_ne_bytes());
    message.extend_from_slice(&[1_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat());
    // No protocol is NETLINK_ROUTE, whose number is 0.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(socket.as_fd(), &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 64];
    let (count, _) = rustix::net::recv(socket.as_fd(), &mut answer, rustix::net::RecvFlags::empty())?;
    // struct nlmsgerr follows its header; 0 is an acknowledgement.
    match answer
        .get(16..20)
        .filter(|_| count >= 20)
        .map(|code| i32::from_ne_bytes(code.try_into().unwrap_or([0xff; 4])))
    {
        Some(0) => Ok(()),
        Some(code) => Err(rustix::io::Errno::from_raw_os_error(-code)),
        None => Err(rustix::io::Errno::PROTO),
    }
}
