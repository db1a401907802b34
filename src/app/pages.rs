//! The program's own pages: most of what a process of this size has in memory,
//! and half of them are read at the start only.

/// Gives back the pages of the program's code. The kernel brings those that are
/// still needed in again, out of its cache, as it did the first time.
#[cfg(target_os = "linux")]
pub fn give_back() {
    let (Ok(program), Ok(maps)) = (
        std::fs::read_link("/proc/self/exe"),
        std::fs::read_to_string("/proc/self/maps"),
    ) else {
        return;
    };
    for (start, length) in code_of(&maps, &program.to_string_lossy()) {
        // SAFETY: a private mapping of a file that is only read and executed has
        // nothing that the file hasn't: dropping its pages changes no content.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
pub fn give_back() {}

/// Where the code of a program lies, by the kernel's list of mappings (proc(5)).
#[cfg(target_os = "linux")]
fn code_of<'a>(maps: &'a str, program: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    maps.lines().filter_map(move |line| {
        let mut fields = line.splitn(6, ' ');
        let (range, rights) = (fields.next()?, fields.next()?);
        let is_its = fields.nth(3)?.trim_start() == program;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
        (is_its && rights == "r-xp").then_some((start, length))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{code_of, give_back};

    #[test]
    fn only_the_programs_own_code_is_given_back() {
        let maps = "\
55d0a0000000-55d0a0100000 r--p 00000000 fe:00 42                         /usr/bin/my sidekey
55d0a0100000-55d0a0180000 r-xp 00100000 fe:00 42                         /usr/bin/my sidekey
55d0a0180000-55d0a0190000 rw-p 00180000 fe:00 42                         /usr/bin/my sidekey
7f0000000000-7f0000010000 r-xp 00000000 fe:00 43                         /usr/lib/libc.so.6
7f0000020000-7f0000030000 rwxp 00000000 00:00 0 \n";
        let found: Vec<_> = code_of(maps, "/usr/bin/my sidekey").collect();
        assert_eq!(found, [(0x55d0_a010_0000, 0x8_0000)]);
    }

    /// And the program runs on.
    #[test]
    fn the_pages_of_this_program_go() {
        let rss = || {
            let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::fs::read_link("/proc/self/exe").unwrap();
            let end = format!(" {}", program.display());
            let mut mapping = smaps
                .lines()
                .skip_while(|line| !(line.contains(" r-xp ") && line.ends_with(&end)));
            let rss = mapping.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            let kib = rss.trim().trim_end_matches(" kB");
            kib.parse::<u64>().unwrap()
        };
        // Other tests run meanwhile, and bring some in again.
        let gone = || {
            let before = rss();
            give_back();
            rss() < before
        };
        assert!((0..100).any(|_| gone()));
    }
}
