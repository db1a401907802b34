//! Which process listens on a port. Linux only, and only for processes that
//! this user may look at; elsewhere nothing is known.

use std::fs;
use std::path::Path;

/// "process 4711 (nginx)", where that can be found out.
pub fn of_port(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let pid = process_with(&format!("socket:[{inode}]"))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("process {pid} ({})", name.trim()))
}

/// The socket that listens on the port, from a table as in proc(5).
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING;
        is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

fn process_with(socket: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let name = process.file_name().into_string().ok()?;
        let is_process = name.bytes().all(|b| b.is_ascii_digit());
        (is_process && has_open(&process.path(), socket)).then_some(name)
    })
}

fn has_open(process: &Path, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| target.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use super::listening_inode;

    #[test]
    fn only_the_listener_of_that_very_port_counts() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1D38 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0  0 111 1\n\
             1: 0100007F:1D38 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 222 1\n";
        assert_eq!(listening_inode(table, 7480).as_deref(), Some("222"));
        assert_eq!(listening_inode(table, 7481), None);
    }
}
