//! Processes as leases name them, so that the lease of one that has died need
//! not be waited out. An owner is a random name, then `@` and where to look:
//! process, start and host; other versions' owners are just names.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Field 22 of `/proc/PID/stat` (proc(5)), counted from the one behind the name.
const START: usize = 19;

/// A process, beyond its end.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// In clock ticks since the host's start: tells it from others of its number.
    start: u64,
    /// This start of this host, with the namespaces in which the other two count.
    host: String,
}

/// A name for this process that no other has.
#[must_use]
pub fn this_process() -> String {
    let name = format!("{:016x}", fastrand::u64(..));
    match Process::own() {
        Some(Process { pid, start, host }) => format!("{name}@{pid}.{start}.{host}"),
        None => name,
    }
}

/// True where an owner has certainly ended; false where it lives, or nobody here
/// can know: on another host, in another container, on systems without `/proc`.
#[must_use]
pub fn is_gone(owner: &str) -> bool {
    let Some(theirs) = Process::named(owner) else {
        return false;
    };
    // Where others' processes are hidden (hidepid), so is the first one.
    let can_see = || Path::new("/proc/1").exists();
    match Process::own() {
        Some(own) if own.host == theirs.host && can_see() => match start_of(theirs.pid) {
            Ok(start) => start.is_some_and(|start| start != theirs.start),
            Err(error) => error == ErrorKind::NotFound,
        },
        _ => false,
    }
}

impl Process {
    fn own() -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            pid,
            start: start_of(pid).ok()??,
            host: host()?,
        })
    }

    fn named(owner: &str) -> Option<Self> {
        let (_, process) = owner.split_once('@')?;
        let mut parts = process.splitn(3, '.');
        Some(Self {
            pid: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
            host: parts.next()?.to_owned(),
        })
    }
}

/// `None` where it can't be made out.
fn start_of(pid: u32) -> Result<Option<u64>, ErrorKind> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| e.kind())?;
    // The name may hold anything, also spaces and brackets.
    let behind_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    let start = behind_name.and_then(|rest| rest.split(' ').nth(START));
    Ok(start.and_then(|start| start.parse().ok()))
}

fn host() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        let text = link.to_str()?.to_owned();
        Some(
            text.chars()
                .filter(char::is_ascii_digit)
                .collect::<String>(),
        )
    };
    // Kernels before 5.6 have one time for all.
    let time = space("time").unwrap_or_default();
    Some(format!("{}.{}.{time}", boot.trim(), space("pid")?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{Process, is_gone, this_process};
    use std::process::{Command, Stdio};

    /// As that process would name itself.
    fn owner_of(pid: u32) -> String {
        let start = super::start_of(pid).unwrap().unwrap();
        format!("x@{pid}.{start}.{}", super::host().unwrap())
    }

    #[test]
    fn this_one_lives_and_one_that_was_killed_does_not() {
        let own = this_process();
        assert!(!is_gone(&own), "{own}");
        assert_ne!(own, this_process());
        let child = Command::new("cat").stdin(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let owner = owner_of(child.id());
        assert!(!is_gone(&owner), "{owner}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&owner), "{owner}");
    }

    #[test]
    fn another_of_its_number_is_another() {
        let Process { pid, start, host } = Process::own().unwrap();
        assert!(is_gone(&format!("x@{pid}.{}.{host}", start + 1)));
        assert!(!is_gone(&format!("x@{pid}.{start}.{host}")));
    }

    #[test]
    fn what_can_not_be_known_counts_as_alive() {
        let Process { pid, start, host } = Process::own().unwrap();
        let other = start + 1;
        for owner in [
            "0123456789abcdef".to_owned(),
            "x@".to_owned(),
            format!("x@{pid}.{other}"),
            format!("x@{pid}.{other}.another-host.1.2"),
            format!("x@{pid}.{other}.{host}0"),
            format!("x@many.{other}.{host}"),
        ] {
            assert!(!is_gone(&owner), "{owner}");
        }
    }
}
