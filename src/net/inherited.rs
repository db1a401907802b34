//! Listening sockets that whoever started this process has opened for it
//! (`sd_listen_fds(3)`, and supervisors that pass descriptors by number).

use super::listen::Socket;
use socket2::{Domain, Socket as RawSocket, Type};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;

/// The first descriptor that can be passed: before it come input, output and errors.
const FIRST: RawFd = 3;

/// How the configuration names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    Number(u32),
    /// `FileDescriptorName=` of a systemd socket unit.
    Name(&'a str),
}

/// All that were there at the start, kept open: what nobody listens at now may
/// be wanted after a reload.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    number: RawFd,
    /// Of those that systemd, or somebody like it, has announced.
    name: Option<String>,
    /// Or what it is instead of a listening stream socket.
    socket: Result<Socket, &'static str>,
}

/// One on its way from process to process.
#[derive(Debug)]
pub struct PassedOn {
    /// By which it is known, whatever its number is now.
    pub number: RawFd,
    /// Of those that were announced; may be empty.
    pub name: Option<String>,
    pub socket: OwnedFd,
}

/// Why one can't be had; it is said what there is.
#[derive(Debug, PartialEq, Eq)]
pub struct NotInherited(String);

impl fmt::Display for NotInherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotInherited {}

impl Inherited {
    /// Takes over what was passed and removes the variables that announce it,
    /// so that no child takes it for its own.
    ///
    /// # Safety
    /// To be called once, before there is a second thread and before anything
    /// has opened a socket: every open socket is taken for an inherited one.
    #[must_use]
    pub unsafe fn take() -> Self {
        let announced = Announced::read(&|name| std::env::var(name).ok());
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            // SAFETY: no other thread reads or writes the environment.
            unsafe { std::env::remove_var(name) };
        }
        let mut entries: Vec<_> = open_sockets()
            .into_iter()
            .map(|number| {
                // SAFETY: it is open, and nobody else in this process has it.
                let socket = unsafe { OwnedFd::from_raw_fd(number) };
                Entry {
                    number,
                    name: announced.name(number),
                    socket: listening(socket),
                }
            })
            .collect();
        entries.sort_by_key(|entry| entry.number);
        Self(entries)
    }

    /// Those of a process that was here before come first: its numbers and names
    /// stay what they were.
    pub fn adopt(&mut self, passed: Vec<PassedOn>) {
        let mut entries: Vec<_> = passed
            .into_iter()
            .map(|passed| Entry {
                number: passed.number,
                name: passed.name,
                socket: listening(passed.socket),
            })
            .collect();
        self.0
            .retain(|own| entries.iter().all(|entry| entry.number != own.number));
        entries.append(&mut self.0);
        self.0 = entries;
    }

    /// A copy of each that can be listened at, for a process that takes over.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn to_pass_on(&self) -> io::Result<Vec<PassedOn>> {
        let usable = self.0.iter().filter_map(|entry| {
            let socket = entry.socket.as_ref().ok()?;
            Some((entry, socket))
        });
        let passed = usable.map(|(entry, socket)| {
            Ok(PassedOn {
                number: entry.number,
                name: entry.name.clone(),
                socket: socket.to_pass_on()?,
            })
        });
        passed.collect()
    }

    /// A copy of the socket, and the number by which it is known; not one of
    /// those `in_use`: each is listened at once.
    ///
    /// # Errors
    /// When there is none, or it is none to listen at.
    pub fn find(
        &self,
        wanted: Wanted<'_>,
        in_use: &[RawFd],
    ) -> Result<(RawFd, Socket), NotInherited> {
        let fits = |entry: &&Entry| match wanted {
            Wanted::Number(number) => u32::try_from(entry.number) == Ok(number),
            Wanted::Name(name) => entry.name.as_deref() == Some(name),
        };
        let mut fitting = self.0.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return Err(NotInherited(format!(
                "no such socket was handed over at the start{}",
                self.listed()
            )));
        }
        let Some(entry) = fitting.find(|entry| !in_use.contains(&entry.number)) else {
            let what = "it is in use by another listener of this configuration";
            return Err(NotInherited(what.to_owned()));
        };
        let socket = entry.socket.as_ref().map_err(|what| {
            NotInherited(format!(
                "descriptor {} was handed over, but {what}",
                entry.number
            ))
        })?;
        let copy = socket.try_clone().and_then(|copy| {
            // Only now: one that nobody names may be in use by somebody else.
            copy.set_nonblocking(true)?;
            Ok(copy)
        });
        let copy = copy.map_err(|why| NotInherited(format!("it can't be used: {why}")))?;
        Ok((entry.number, copy))
    }

    /// Announced ones at which nobody listens, in words.
    #[must_use]
    pub fn unused(&self, in_use: &[RawFd]) -> Vec<String> {
        let unused = self.0.iter().filter(|entry| {
            entry.name.is_some() && entry.socket.is_ok() && !in_use.contains(&entry.number)
        });
        unused.map(Entry::to_string).collect()
    }

    fn listed(&self) -> String {
        let all: Vec<_> = self.0.iter().map(Entry::to_string).collect();
        match all.is_empty() {
            true => "; there was none at all".to_owned(),
            false => format!("; there were: {}", all.join(", ")),
        }
    }
}

/// `fd:3 (systemd:web)`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd:{}", self.number)?;
        match self.name.as_deref() {
            None | Some("") => Ok(()),
            Some(name) => write!(f, " (systemd:{name})"),
        }
    }
}

/// What the environment says of descriptors from [`FIRST`] on.
struct Announced {
    count: RawFd,
    names: Vec<String>,
}

impl Announced {
    /// Nothing where it is meant for another process.
    fn read(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let number = |name| env(name).and_then(|text| text.parse::<u32>().ok());
        let ours = number("LISTEN_PID") == Some(std::process::id());
        let count = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0);
        let names = env("LISTEN_FDNAMES").unwrap_or_default();
        Self {
            count: RawFd::try_from(count).unwrap_or(0),
            names: names.split(':').map(str::to_owned).collect(),
        }
    }

    fn name(&self, number: RawFd) -> Option<String> {
        let index = number - FIRST;
        let at = usize::try_from(index).ok()?;
        (index < self.count).then(|| self.names.get(at).cloned().unwrap_or_default())
    }
}

fn open_sockets() -> Vec<RawFd> {
    let Ok(open) = fs::read_dir("/dev/fd") else {
        return Vec::new();
    };
    // All names first: reading the folder is a descriptor of its own.
    let numbers: Vec<RawFd> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let is_socket = |number: &RawFd| {
        let seen = fs::metadata(format!("/dev/fd/{number}"));
        *number >= FIRST && seen.is_ok_and(|seen| seen.file_type().is_socket())
    };
    numbers.into_iter().filter(is_socket).collect()
}

/// What it is. One that is of no use stays open: whoever passed it may know why.
pub(super) fn listening(socket: OwnedFd) -> Result<Socket, &'static str> {
    let socket = RawSocket::from(socket);
    let found = kind(&socket);
    let Ok(domain) = found else {
        let _ = socket.into_raw_fd();
        return Err(found.err().unwrap_or_default());
    };
    // Where that fails, it is ours as it was.
    let _ = socket.set_cloexec(true);
    Ok(match domain {
        Domain::UNIX => Socket::Unix(OwnedFd::from(socket).into(), None),
        _ => Socket::Tcp(OwnedFd::from(socket).into()),
    })
}

fn kind(socket: &RawSocket) -> Result<Domain, &'static str> {
    let unknown = |_: io::Error| "the system does not say what it is";
    if socket.r#type().map_err(unknown)? != Type::STREAM {
        return Err("it is no stream socket (in systemd: ListenStream=)");
    }
    if !socket.is_listener().map_err(unknown)? {
        return Err("it is a connection, not a listening socket (in systemd: Accept=no)");
    }
    let domain = socket.domain().map_err(unknown)?;
    match [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain) {
        true => Ok(domain),
        false => Err("it is of neither TCP nor Unix"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Announced, Entry, Inherited, Wanted, listening};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    fn inherited() -> Inherited {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("s")).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let entries = [
            (3, Some("web"), tcp.into()),
            (4, Some("web"), unix.into()),
            (5, Some("other"), udp.into()),
            (6, None, connected.into()),
        ];
        let entries = entries.map(|(number, name, socket)| Entry {
            number,
            name: name.map(str::to_owned),
            socket: listening(socket),
        });
        Inherited(entries.into())
    }

    #[test]
    fn each_is_given_once_and_what_is_of_no_use_says_so() {
        let inherited = inherited();
        let number =
            |wanted, in_use: &[_]| inherited.find(wanted, in_use).map(|(number, _)| number);
        assert_eq!(number(Wanted::Number(3), &[]), Ok(3));
        assert_eq!(number(Wanted::Name("web"), &[]), Ok(3));
        assert_eq!(number(Wanted::Name("web"), &[3]), Ok(4));
        for (wanted, in_use, said) in [
            (Wanted::Name("web"), vec![3, 4], "in use by another"),
            (Wanted::Number(3), vec![3], "in use by another"),
            (Wanted::Number(5), vec![], "no stream socket"),
            (Wanted::Number(6), vec![], "a connection"),
            (Wanted::Number(7), vec![], "fd:4 (systemd:web)"),
            (Wanted::Name("wbe"), vec![], "no such socket"),
        ] {
            let why = number(wanted, &in_use).unwrap_err().to_string();
            assert!(why.contains(said), "{why}");
        }
        assert_eq!(inherited.unused(&[3]), ["fd:4 (systemd:web)"]);
    }

    #[test]
    fn what_is_passed_on_keeps_its_number_and_its_name() {
        let before = inherited();
        let mut next = inherited();
        next.adopt(before.to_pass_on().unwrap());
        let local = |of: &Inherited, wanted| {
            let (number, socket) = of.find(wanted, &[]).unwrap();
            (number, socket.local().unwrap())
        };
        for wanted in [Wanted::Number(3), Wanted::Name("web"), Wanted::Number(4)] {
            assert_eq!(local(&next, wanted), local(&before, wanted));
        }
        assert_eq!(next.unused(&[3]), ["fd:4 (systemd:web)"]);
        let last = next.find(Wanted::Number(6), &[]).unwrap_err();
        assert!(last.to_string().contains("a connection"), "its own");
    }

    #[test]
    fn variables_for_another_process_announce_nothing() {
        let own = std::process::id().to_string();
        let read = |pid: &str| {
            Announced::read(&|name| {
                Some(match name {
                    "LISTEN_PID" => pid.to_owned(),
                    "LISTEN_FDS" => "2".to_owned(),
                    _ => "a".to_owned(),
                })
            })
        };
        let announced = read(&own);
        assert_eq!(announced.name(3).as_deref(), Some("a"));
        assert_eq!(announced.name(4).as_deref(), Some(""));
        assert_eq!(announced.name(5), None);
        assert_eq!(read("1").name(3), None);
    }
}
