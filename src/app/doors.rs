//! The proxy listeners that are open, and what a reload makes of them.

use super::announce::Addresses;
use super::failure::ListenError;
use super::handover::{self, Named};
use super::listeners::bind_proxy;
use crate::config::checked::Listener;
use crate::proxy::Listening;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The open ones.
#[derive(Clone, Default)]
pub struct Doors {
    open: Vec<Door>,
    next_id: u64,
}

#[derive(Clone)]
struct Door {
    id: u64,
    /// As the configuration has it, where port 0 is a port of the system's choice.
    written: SocketAddr,
    bound: SocketAddr,
    hosts: Vec<String>,
    /// For the process that may take over.
    socket: Arc<OwnedFd>,
}

impl Doors {
    /// Those that were bound at the start, in the order of the configuration.
    pub fn of(bound: Vec<TcpListener>, wanted: &[Listener]) -> io::Result<(Self, Vec<Listening>)> {
        let mut doors = Self::default();
        let mut listening = Vec::new();
        for (socket, listener) in bound.into_iter().zip(wanted) {
            listening.push(doors.add(socket, listener)?);
        }
        Ok((doors, listening))
    }

    /// Binds what is new among the wanted ones.
    ///
    /// # Errors
    /// Every address that can't be had; what was bound is let go again.
    pub fn changed_to(
        &self,
        wanted: &[Listener],
    ) -> Result<(Self, Vec<Listening>), Vec<ListenError>> {
        let mut left = self.open.clone();
        let mut doors = Self {
            open: Vec::new(),
            next_id: self.next_id,
        };
        let (mut listening, mut errors) = (Vec::new(), Vec::new());
        for listener in wanted {
            let open = left
                .iter()
                .position(|door| door.written == listener.address);
            if let Some(at) = open {
                listening.push(doors.keep(left.remove(at), listener));
                continue;
            }
            let bound = bind_proxy(listener.address).map_err(|error| self.explain(error));
            let added = bound.and_then(|socket| {
                let added = doors.add(socket, listener);
                added.map_err(|why| ListenError::of_proxy(listener.address, why))
            });
            match added {
                Ok(added) => listening.push(added),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok((doors, listening))
        } else {
            Err(errors)
        }
    }

    /// An address that overlaps one of ours can't be had beside it.
    fn explain(&self, mut error: ListenError) -> ListenError {
        let port = error.address.port();
        let ours = self.open.iter().find(|door| door.bound.port() == port);
        if let Some(door) = ours.filter(|_| error.why.kind() == io::ErrorKind::AddrInUse) {
            let bound = door.bound;
            error.holder = Some(format!(
                "sidekey itself, which listens on {bound}; take that one away first, or restart"
            ));
        }
        error
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().map(|door| door.bound).collect()
    }

    /// All listeners of the process, with these for applications.
    pub fn among(&self, all: &Addresses) -> Addresses {
        Addresses {
            proxy: self.addresses(),
            admin: all.admin,
            probes: all.probes,
        }
    }

    /// Their sockets, by their keys and addresses as configured.
    pub fn sockets(&self) -> Vec<Named> {
        let doors = self.open.iter();
        let named = doors.map(|door| (handover::name("listen", door.written), door.socket.clone()));
        named.collect()
    }

    /// All of them, as they are.
    pub fn kept(&self) -> Vec<Listening> {
        self.open.iter().map(Door::kept).collect()
    }

    fn keep(&mut self, mut door: Door, listener: &Listener) -> Listening {
        door.hosts.clone_from(&listener.hosts);
        let listening = door.kept();
        self.open.push(door);
        listening
    }

    fn add(&mut self, socket: TcpListener, listener: &Listener) -> io::Result<Listening> {
        let door = Door {
            id: self.next_id,
            written: listener.address,
            bound: socket.local_addr()?,
            hosts: Vec::new(),
            socket: Arc::new(socket.try_clone()?.into()),
        };
        self.next_id += 1;
        let mut listening = self.keep(door, listener);
        listening.socket = Some(socket);
        Ok(listening)
    }
}

impl Door {
    fn kept(&self) -> Listening {
        Listening {
            id: self.id,
            address: self.bound,
            hosts: self.hosts.clone(),
            socket: None,
        }
    }
}
