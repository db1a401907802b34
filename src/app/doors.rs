//! The proxy listeners that are open, and what a reload makes of them.

use super::announce::Addresses;
use super::failure::ListenError;
use super::handover;
use super::held::Named;
use super::listeners::{Opened, open};
use super::place::Place;
use crate::config::checked::callers::Allowed;
use crate::config::checked::connect::Connect;
use crate::config::checked::listening::{Address, Listener, Tls};
use crate::config::checked::served::Served;
use crate::net::inherited::Inherited;
use crate::net::listen::{Local, Socket};
use crate::net::tls::server::{Clients, ServerTls};
use crate::net::unix::{self, Bound};
use crate::proxy::{Listening, Secured};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Weak};

/// The open ones.
#[derive(Clone)]
pub struct Doors {
    open: Vec<Door>,
    next_id: u64,
    inherited: Arc<Inherited>,
}

#[derive(Clone)]
struct Door {
    id: u64,
    /// As the configuration has it, where port 0 is a port of the system's choice.
    written: Address,
    bound: Local,
    place: Place,
    hosts: Vec<String>,
    callers: Option<Arc<Allowed>>,
    connect: Option<Connect>,
    routes: Option<Served>,
    /// With a digest of what it is made of.
    tls: Option<(Secured, [u8; 32])>,
    inherited: Option<RawFd>,
    /// For the process that may take over.
    socket: Arc<OwnedFd>,
    /// The file of a Unix socket, and its lock.
    file: Option<(Weak<Bound>, Arc<OwnedFd>)>,
}

impl Doors {
    /// Those that were bound at the start, in the order of the configuration.
    pub fn of(
        bound: Vec<Opened>,
        wanted: &[Listener],
        inherited: Arc<Inherited>,
    ) -> io::Result<(Self, Vec<Listening>)> {
        let mut doors = Self {
            open: Vec::new(),
            next_id: 0,
            inherited,
        };
        let mut listening = Vec::new();
        for (opened, listener) in bound.into_iter().zip(wanted) {
            listening.push(doors.add(opened, listener)?);
        }
        for unused in doors.inherited.unused(&doors.in_use()) {
            tracing::warn!(target: "sidekey", "{unused} was handed over, and no listener names it");
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
            ..self.clone()
        };
        let kept = wanted.iter().map(|listener| {
            let open = left
                .iter()
                .position(|door| door.is_at(&listener.address) && !door.is_lost());
            open.map(|at| left.remove(at))
        });
        // All of them first: what is handed over and kept is not there for another.
        let kept: Vec<Option<Door>> = kept.collect();
        let mut in_use: Vec<RawFd> = kept.iter().flatten().filter_map(|d| d.inherited).collect();
        let (mut listening, mut errors) = (Vec::new(), Vec::new());
        for (listener, door) in wanted.iter().zip(kept) {
            let added = match door {
                Some(door) => doors.keep(door, listener),
                None => self.open(&listener.address, &in_use).and_then(|opened| {
                    in_use.extend(opened.inherited);
                    doors.add(opened, listener)
                }),
            };
            match added {
                Ok(added) => listening.push(added),
                Err(why) => errors.push(self.explain(&listener.address, why)),
            }
        }
        if errors.is_empty() {
            Ok((doors, listening))
        } else {
            Err(errors)
        }
    }

    fn open(&self, address: &Address, in_use: &[RawFd]) -> io::Result<Opened> {
        let here = self.open.iter().find(|door| door.is_at(address));
        let lost = here.filter(|door| door.is_lost());
        match (address, lost.and_then(|door| door.file.as_ref())) {
            (Address::Unix { path, mode }, Some((_, lock))) => {
                unix::bind_again(path, *mode, lock.try_clone()?).map(Opened::ours)
            }
            _ => open(address, &self.inherited, in_use),
        }
    }

    /// An address that overlaps one of ours can't be had beside it.
    fn explain(&self, address: &Address, why: io::Error) -> ListenError {
        let mut error = ListenError::of_proxy(address, why);
        let Address::Tcp(address) = address else {
            return error;
        };
        let is_ours = |place: &Place| {
            place
                .tcp()
                .is_some_and(|ours| ours.port() == address.port())
        };
        let ours = self.open.iter().find(|door| is_ours(&door.place));
        if let Some(door) = ours.filter(|_| error.why.kind() == io::ErrorKind::AddrInUse) {
            let bound = &door.bound;
            error.holder = Some(format!(
                "sidekey itself, which listens on {bound}; take that one away first, or restart"
            ));
        }
        error
    }

    /// Where they listen.
    pub fn places(&self) -> Vec<Place> {
        self.open.iter().map(|door| door.place.clone()).collect()
    }

    /// All listeners of the process, with these for applications.
    pub fn among(&self, all: &Addresses) -> Addresses {
        Addresses {
            proxy: self.places(),
            admin: all.admin,
            probes: all.probes,
        }
    }

    /// Their sockets, by their keys and addresses as configured. What was handed
    /// over to this process goes on as that.
    pub fn sockets(&self) -> Vec<Named> {
        let doors = self.open.iter().filter(|door| door.inherited.is_none());
        let named = doors.flat_map(|door| {
            let name = |key| handover::name(key, &door.written);
            let lock = door
                .file
                .as_ref()
                .map(|(_, lock)| (name("lock"), lock.clone()));
            [(name("listen"), door.socket.clone())]
                .into_iter()
                .chain(lock)
        });
        named.collect()
    }

    /// The files of Unix sockets, which the process that takes over goes on with,
    /// and their modes as configured.
    pub fn files(&self) -> Vec<(Weak<Bound>, u32)> {
        let files = self.open.iter().filter_map(|door| {
            let (file, _) = door.file.as_ref()?;
            match door.written {
                Address::Unix { mode, .. } => Some((file.clone(), mode)),
                _ => None,
            }
        });
        files.collect()
    }

    /// All of them, as they are.
    pub fn kept(&self) -> Vec<Listening> {
        self.open.iter().map(Door::kept).collect()
    }

    /// Gives the files of Unix sockets that were kept the modes of now.
    pub fn set_modes(&self, before: &Self) {
        for door in &self.open {
            let Address::Unix { path, mode } = &door.written else {
                continue;
            };
            let old = before.open.iter().find(|old| old.id == door.id);
            if old.is_some_and(|old| old.written != door.written)
                && let Err(why) = fs::set_permissions(path, Permissions::from_mode(*mode))
            {
                tracing::warn!(target: "sidekey", "{} keeps its mode: {why}", path.display());
            }
        }
    }

    fn in_use(&self) -> Vec<RawFd> {
        let numbers = self.open.iter().filter_map(|door| door.inherited);
        numbers.collect()
    }

    fn keep(&mut self, mut door: Door, listener: &Listener) -> io::Result<Listening> {
        door.written = listener.address.clone();
        door.hosts.clone_from(&listener.hosts);
        door.callers.clone_from(&listener.callers);
        door.connect.clone_from(&listener.connect);
        door.routes.clone_from(&listener.routes);
        door.place = Place::new(door.bound.clone(), listener, door.inherited.is_some());
        door.tls = secured(listener.tls.as_ref(), door.tls.take())?;
        let listening = door.kept();
        self.open.push(door);
        Ok(listening)
    }

    fn add(&mut self, opened: Opened, listener: &Listener) -> io::Result<Listening> {
        let bound = opened.socket.local()?;
        let place = Place::new(bound.clone(), listener, opened.inherited.is_some());
        if opened.inherited.is_some() {
            warn_if_exposed(&place, listener);
        }
        let door = Door {
            id: self.next_id,
            written: listener.address.clone(),
            bound,
            place,
            hosts: Vec::new(),
            callers: None,
            connect: None,
            routes: None,
            tls: None,
            inherited: opened.inherited,
            socket: Arc::new(opened.socket.to_pass_on()?),
            file: file(&opened.socket)?,
        };
        self.next_id += 1;
        let mut listening = self.keep(door, listener)?;
        listening.socket = Some(opened.socket);
        Ok(listening)
    }
}

fn file(socket: &Socket) -> io::Result<Option<(Weak<Bound>, Arc<OwnedFd>)>> {
    let Some(file) = socket.file() else {
        return Ok(None);
    };
    Ok(Some((Arc::downgrade(file), Arc::new(file.lock()?))))
}

impl Door {
    /// Its file went in a take-over, so that it must be bound anew.
    fn is_lost(&self) -> bool {
        let file = self.file.as_ref().and_then(|(file, _)| file.upgrade());
        file.is_some_and(|file| file.is_lost())
    }

    fn is_at(&self, address: &Address) -> bool {
        match (&self.written, address) {
            (Address::Unix { path, .. }, Address::Unix { path: other, .. }) => path == other,
            (own, other) => own == other,
        }
    }

    fn kept(&self) -> Listening {
        Listening {
            id: self.id,
            address: self.bound.clone(),
            hosts: self.hosts.clone(),
            callers: self.callers.clone(),
            connect: self.connect.clone(),
            routes: self.routes.clone(),
            tls: self.tls.as_ref().map(|(secured, _)| secured.clone()),
            socket: None,
        }
    }
}

/// What is the same as before stays: with it sessions can be resumed.
fn secured(
    tls: Option<&Tls>,
    before: Option<(Secured, [u8; 32])>,
) -> io::Result<Option<(Secured, [u8; 32])>> {
    let Some(tls) = tls else {
        return Ok(None);
    };
    if let Some(before) = before.filter(|(_, digest)| *digest == tls.digest) {
        return Ok(Some(before));
    }
    let clients = tls.clients.as_ref().map(|clients| Clients {
        roots: clients.roots.clone(),
        required: clients.required,
    });
    let made = ServerTls::new(tls.own.clone(), clients.as_ref()).map_err(io::Error::other)?;
    let secured = Secured {
        tls: made,
        clients: tls.clients.as_ref().map(|c| c.digest).unwrap_or_default(),
    };
    Ok(Some((secured, tls.digest)))
}

/// What a handed-over socket is bound to, the configuration's reader can't know.
fn warn_if_exposed(place: &Place, listener: &Listener) {
    if place
        .tcp()
        .is_some_and(|address| listener.is_exposed_at(address))
    {
        tracing::warn!(target: "sidekey", "{}", listener.exposure(place));
    }
}
