//! A connection that the upstream accepted: plain or TLS, with what is still to be sent.

use rustls::ServerConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

pub struct Socket {
    pub tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// What did not fit into the kernel's buffer; for TLS rustls keeps that.
    rest: Vec<u8>,
}

pub enum Got {
    Bytes(usize),
    Nothing,
    End,
}

impl Socket {
    pub fn new(tcp: TcpStream, tls: Option<ServerConnection>) -> Socket {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(None);
            Box::new(tls)
        });
        Socket {
            tcp,
            tls,
            rest: Vec::new(),
        }
    }

    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Got> {
        let Some(tls) = &mut self.tls else {
            return got(self.tcp.read(into));
        };
        // Plaintext of an earlier read that found no room in `into`.
        if let Got::Bytes(n) = got(tls.reader().read(into))? {
            return Ok(Got::Bytes(n));
        }
        match got(tls.read_tls(&mut self.tcp))? {
            Got::Bytes(_) => {}
            other => return Ok(other),
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        got(tls.reader().read(into))
    }

    /// Queues and sends; false where something is left to send.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.flush();
        }
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            return self.flush();
        }
        let sent = written(self.tcp.write(bytes))?;
        self.rest.extend_from_slice(&bytes[sent..]);
        Ok(self.rest.is_empty())
    }

    pub fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            let sent = written(self.tcp.write(&self.rest))?;
            self.rest.drain(..sent);
            return Ok(self.rest.is_empty());
        };
        while tls.wants_write() {
            if written(tls.write_tls(&mut self.tcp))? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether its TLS handshake is over, and resumed an earlier session.
    pub fn resumed(&self) -> Option<bool> {
        let kind = self.tls.as_ref()?.handshake_kind()?;
        Some(kind == rustls::HandshakeKind::Resumed)
    }
}

fn got(result: io::Result<usize>) -> io::Result<Got> {
    match result {
        Ok(0) => Ok(Got::End),
        Ok(n) => Ok(Got::Bytes(n)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Got::Nothing),
        Err(error) => Err(error),
    }
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
