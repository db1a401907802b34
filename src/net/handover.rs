//! Open sockets on their way to another process of this machine, over a Unix
//! socket (`SCM_RIGHTS`, unix(7)).

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Sockets of one message: Linux lets 253 through.
const MOST_SOCKETS: usize = 250;
/// Bytes of all names together.
const MOST_BYTES: usize = 64 * 1024;
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_SOCKETS));

/// A socket, and what it is for.
#[derive(Debug)]
pub struct Passed {
    /// Without a line end.
    pub name: String,
    pub socket: OwnedFd,
}

/// Sends sockets with their names. Blocks as long as the stream's timeout says.
///
/// # Errors
/// When there are too many, or the other side takes nothing.
pub fn send(mut stream: &UnixStream, sockets: &[(&str, BorrowedFd<'_>)]) -> io::Result<()> {
    let names: String = sockets
        .iter()
        .map(|(name, _)| format!("{name}\n"))
        .collect();
    if sockets.len() > MOST_SOCKETS || names.len() > MOST_BYTES {
        return Err(io::Error::other(
            "there are too many listeners to hand over",
        ));
    }
    let length = (names.len() as u32).to_be_bytes();
    let sockets: Vec<_> = sockets.iter().map(|(_, socket)| *socket).collect();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other(
            "there are too many listeners to hand over",
        ));
    }
    // The sockets travel with these bytes, which no kernel takes in part.
    let sent = sendmsg(
        stream,
        &[IoSlice::new(&length)],
        &mut control,
        SendFlags::empty(),
    )?;
    if sent != length.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    stream.write_all(names.as_bytes())
}

/// Receives what [`send`] sent.
///
/// # Errors
/// When the other side ended, or sent something else.
pub fn receive(mut stream: &UnixStream) -> io::Result<Vec<Passed>> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut length)];
    let received = recvmsg(stream, &mut into, &mut control, flags())?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            sockets.extend(more);
        }
    }
    let cut = received.flags.contains(ReturnFlags::CTRUNC);
    let length = u32::from_be_bytes(length) as usize;
    if received.bytes != 4 || cut || length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut names = vec![0; length];
    stream.read_exact(&mut names)?;
    let names = String::from_utf8(names).map_err(|_| io::ErrorKind::InvalidData)?;
    if names.lines().count() != sockets.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let named = names.lines().map(str::to_owned).zip(sockets);
    Ok(named
        .map(|(name, socket)| Passed { name, socket })
        .collect())
}

/// No child of ours is to inherit them.
#[cfg(target_os = "linux")]
fn flags() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

#[cfg(not(target_os = "linux"))]
fn flags() -> RecvFlags {
    RecvFlags::empty()
}

#[cfg(test)]
mod tests {
    use super::{MOST_SOCKETS, receive, send};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_listener_goes_on_in_other_hands() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = TcpStream::connect(address).unwrap();
        send(&ours, &[("listen 127.0.0.1:0", listener.as_fd())]).unwrap();
        drop(listener);
        let mut passed = receive(&theirs).unwrap();
        let one = passed.pop().unwrap();
        assert_eq!((one.name.as_str(), passed.len()), ("listen 127.0.0.1:0", 0));
        let listener = TcpListener::from(one.socket);
        assert_eq!(listener.local_addr().unwrap(), address);
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
    }

    #[test]
    fn none_and_too_many() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, &[]).unwrap();
        assert!(receive(&theirs).unwrap().is_empty());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let many = vec![("x", listener.as_fd()); MOST_SOCKETS];
        send(&ours, &many).unwrap();
        assert_eq!(receive(&theirs).unwrap().len(), MOST_SOCKETS);
        assert!(send(&ours, &vec![("x", listener.as_fd()); MOST_SOCKETS + 1]).is_err());
    }

    #[test]
    fn what_is_no_handover_is_refused() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02x\n", b"\0\0", b""] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(bytes).unwrap();
            drop(ours);
            assert!(receive(&theirs).is_err(), "{bytes:?}");
        }
    }
}
