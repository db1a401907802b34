//! The program's own pages: most of what a process of this size has in memory,
//! and most of them are needed only when it starts and when a configuration is read.

use std::io::{self, BufRead};
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

/// How long a process that has come to rest has done nothing.
const REST: Duration = Duration::from_millis(250);
/// What it may have computed meanwhile: its timers run.
const NEXT_TO_NOTHING: Duration = Duration::from_micros(2_500);

/// Gives back the pages of the program's code and constants. The kernel brings those
/// that are still needed in again, out of its cache, as it did the first time.
pub fn give_back() {
    let (Ok(program), Ok(smaps)) = (
        std::fs::read_link("/proc/self/exe"),
        std::fs::File::open("/proc/self/smaps"),
    ) else {
        return;
    };
    let lines = io::BufReader::new(smaps).lines().map_while(Result::ok);
    let mut kib = 0;
    let loaded = loaded();
    for mapping in mappings(lines, &program.to_string_lossy()) {
        // Others of the same file come and go, as those that a backtrace is read from.
        if mapping.is_as_in_the_file() && loaded.contains(&mapping.start) {
            let start = mapping.start as *mut libc::c_void;
            // SAFETY: a private mapping of a file that is not written, without a page of
            // its own, has nothing that the file hasn't: dropping its pages changes no
            // content. A program is mapped for as long as it runs.
            unsafe { libc::madvise(start, mapping.length, libc::MADV_DONTNEED) };
            kib += mapping.resident;
        }
    }
    tracing::debug!(kib, "pages of the program were given back");
}

/// Where the loader has put the program, for as long as it runs.
fn loaded() -> Range<usize> {
    unsafe extern "C" {
        /// The linker's names for its ends; nothing is read there.
        static __executable_start: u8;
        static _end: u8;
    }
    (&raw const __executable_start).addr()..(&raw const _end).addr()
}

/// Gives them back once the process has come to rest: a busy one would have to fetch
/// at once what it needs.
pub async fn give_back_at_rest() {
    until_rest(computed).await;
    // The kernel looks at all of the process's memory for it.
    let _ = tokio::task::spawn_blocking(give_back).await;
}

/// Waits for a while in which next to nothing is computed. `computed` tells the
/// processor time so far.
async fn until_rest(mut computed: impl FnMut() -> Duration) {
    let mut before = computed();
    loop {
        sleep(REST).await;
        let now = computed();
        if now.saturating_sub(before) <= NEXT_TO_NOTHING {
            return;
        }
        before = now;
    }
}

/// The processor time of all threads; none where the kernel doesn't tell.
fn computed() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes a time where one is.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// A part of the program's file in memory that is not written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mapping {
    start: usize,
    /// In bytes.
    length: usize,
    /// What of it is in memory, in KiB.
    resident: u64,
    /// Pages that are not the file's, in KiB; `None` when the kernel doesn't tell.
    anonymous: Option<u64>,
    swapped: Option<u64>,
}

impl Mapping {
    /// What the loader relocated is not, nor is code with a debugger's breakpoint in it.
    fn is_as_in_the_file(&self) -> bool {
        (self.anonymous, self.swapped) == (Some(0), Some(0))
    }

    /// By the line that begins it, if it is of this program and not written.
    fn begins(line: &str, program: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (range, rights) = (fields.next()?, fields.next()?);
        let is_its = fields.nth(3)?.trim_start() == program;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
        let wanted = is_its && matches!(rights, "r-xp" | "r--p");
        wanted.then(|| Self {
            start,
            length,
            ..Self::default()
        })
    }

    fn take(&mut self, field: &str, value: &str) {
        let kib = value.trim().trim_end_matches(" kB").parse().ok();
        match field {
            "Rss" => self.resident = kib.unwrap_or_default(),
            "Anonymous" => self.anonymous = kib,
            "Swap" => self.swapped = kib,
            _ => {}
        }
    }
}

/// Where a program's code and constants lie, by the kernel's account of the process's
/// memory (`/proc/pid/smaps` in proc(5)).
fn mappings(lines: impl Iterator<Item = String>, program: &str) -> Vec<Mapping> {
    let mut found: Vec<Mapping> = Vec::new();
    let mut is_its = false;
    for line in lines {
        let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match first.strip_suffix(':') {
            Some(field) if is_its => {
                if let Some(mapping) = found.last_mut() {
                    mapping.take(field, rest);
                }
            }
            Some(_) => {}
            None => {
                let begins = Mapping::begins(&line, program);
                is_its = begins.is_some();
                found.extend(begins);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Mapping, NEXT_TO_NOTHING, computed, give_back, mappings, until_rest};
    use std::io::{BufRead, BufReader};
    use std::time::Duration;

    const SMAPS: &str = "\
55d0a0000000-55d0a0100000 r--p 00000000 fe:00 42                         /usr/bin/my sidekey
Size:               1024 kB
Rss:                 700 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
55d0a0100000-55d0a0180000 r-xp 00100000 fe:00 42                         /usr/bin/my sidekey
Rss:                 300 kB
Anonymous:             4 kB
Swap:                  0 kB
55d0a0180000-55d0a0190000 r--p 00180000 fe:00 42                         /usr/bin/my sidekey
Rss:                   0 kB
Anonymous:             0 kB
Swap:                 64 kB
55d0a0190000-55d0a01a0000 rw-p 00190000 fe:00 42                         /usr/bin/my sidekey
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
55d0a01a0000-55d0a01b0000 r--p 001a0000 fe:00 42                         /usr/bin/my sidekey
Rss:                  64 kB
7f0000000000-7f0000010000 r-xp 00000000 fe:00 43                         /usr/lib/libc.so.6
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
7f0000020000-7f0000030000 r--p 00000000 00:00 0 
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
";

    fn here() -> Vec<Mapping> {
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        let smaps = std::fs::File::open("/proc/self/smaps").unwrap();
        let lines = BufReader::new(smaps).lines().map(Result::unwrap);
        mappings(lines, &program.to_string_lossy())
    }

    #[test]
    fn only_what_is_as_in_the_programs_file_is_given_back() {
        let found = mappings(SMAPS.lines().map(str::to_owned), "/usr/bin/my sidekey");
        // Whole, with a page of its own, with some of it swapped, and not told.
        let fit: Vec<_> = found.iter().map(Mapping::is_as_in_the_file).collect();
        assert_eq!(fit, [true, false, false, false]);
        let whole = &found[0];
        let place = (whole.start, whole.length, whole.resident);
        assert_eq!(place, (0x55d0_a000_0000, 0x10_0000, 700));
    }

    /// The kernel tells everything that is asked; and what the loader has written is not
    /// among what goes: addresses that it relocated.
    #[test]
    fn relocated_constants_stay() {
        static RELOCATED: [&(dyn Fn() + Sync); 1] = [&|| {}];
        let at = std::ptr::from_ref(&RELOCATED) as usize;
        let mut found = here();
        let around = |m: &&Mapping| (m.start..m.start + m.length).contains(&at);
        assert!(
            found
                .iter()
                .all(|m| m.anonymous.is_some() && m.swapped.is_some())
        );
        found.retain(Mapping::is_as_in_the_file);
        assert!(!found.is_empty());
        assert_eq!(found.iter().find(around), None);
    }

    /// And the program runs on.
    #[test]
    fn the_pages_of_this_program_go() {
        let resident = || -> u64 {
            let mut found = here();
            found.retain(Mapping::is_as_in_the_file);
            found.iter().map(|mapping| mapping.resident).sum()
        };
        // Other tests run meanwhile, and bring some in again.
        let gone = || {
            let before = resident();
            give_back();
            resident() < before
        };
        assert!((0..100).any(|_| gone()));
    }

    #[tokio::test(start_paused = true)]
    async fn rest_is_when_next_to_nothing_is_computed() {
        let step = Duration::from_millis(1);
        let at = [
            Duration::ZERO,
            NEXT_TO_NOTHING + step,
            NEXT_TO_NOTHING * 9,
            NEXT_TO_NOTHING * 10,
        ];
        let mut looks = at.iter();
        until_rest(|| *looks.next().unwrap()).await;
        assert_eq!(looks.len(), 0);
    }

    #[test]
    fn what_this_process_computes_counts() {
        let before = computed();
        while computed() == before {
            std::hint::spin_loop();
        }
        assert!(computed() > before);
    }
}
