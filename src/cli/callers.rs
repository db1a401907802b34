//! `sidekey callers add|list|remove`

use super::terminal;
use crate::base::caller_keys::{self, CallerKey};
use crate::base::crypto::random_text;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make keys by which callers prove who they are, and take them back
#[derive(clap::Args)]
#[command(
    after_long_help = "The file holds names and SHA-256 digests, no keys. A running \
    sidekey whose configuration names it as `callers_file` takes notice of every change.\n\n\
    EXAMPLES\n  \
    Make a key, which is shown once:\n    \
    sidekey callers add ann --file callers\n  \
    Call with it:\n    \
    curl -H \"Sidekey-Caller-Key: $KEY\" http://127.0.0.1:7480/crm/contacts"
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make a key for a caller and print it, once
    Add(Add),
    /// Print the names of all callers, and how many keys each has
    List(Common),
    /// Take all keys of a caller back
    Remove(Named),
}

#[derive(clap::Args)]
struct Common {
    /// The file of callers' keys
    #[arg(long, short, value_name = "FILE", env = "SIDEKEY_CALLERS_FILE")]
    file: PathBuf,
}

#[derive(clap::Args)]
struct Named {
    /// The caller: letters, digits, `-` and `_`
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Add {
    #[command(flatten)]
    named: Named,
    /// Beside the keys that the caller has: both work until `--replace` or `remove`
    #[arg(long, conflicts_with = "replace")]
    another: bool,
    /// In the place of the keys that the caller has
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    let done = match &args.what {
        What::Add(args) => add(args),
        What::List(args) => list(&args.file),
        What::Remove(args) => remove(args),
    };
    match done {
        Ok(text) => terminal::print(&text),
        Err(why) => terminal::fail(why),
    }
}

fn add(args: &Add) -> Result<String, String> {
    let (name, file) = (&args.named.name, &args.named.common.file);
    if !caller_keys::is_name(name) {
        return Err(format!(
            "{name:?} is no name of a caller: letters, digits, `-` and `_`, 64 at most"
        ));
    }
    let (file, _lock) = &hold(file)?;
    let before = read(file)?;
    let has = entries(file, &before)?.iter().any(|key| key.name == *name);
    if has && !args.another && !args.replace {
        return Err(format!(
            "{name} has a key: `--replace` takes it back, `--another` leaves it"
        ));
    }
    let kept = match args.replace {
        true => caller_keys::without(&before, name).0,
        false => before,
    };
    let key = caller_keys::make().map_err(|why| why.to_string())?;
    let entry = CallerKey {
        name: name.clone(),
        digest: caller_keys::digest(key.expose().as_bytes()),
    };
    write(file, &caller_keys::with(&kept, &entry))?;
    Ok(format!("{}\n", key.expose()))
}

fn list(file: &Path) -> Result<String, String> {
    let text = read(file)?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for key in entries(file, &text)? {
        *counts.entry(key.name).or_default() += 1;
    }
    let lines = counts.iter().map(|(name, count)| match count {
        1 => format!("{name}  1 key\n"),
        _ => format!("{name}  {count} keys\n"),
    });
    Ok(lines.collect())
}

fn remove(args: &Named) -> Result<String, String> {
    let (name, file) = (&args.name, &args.common.file);
    let (file, _lock) = &hold(file)?;
    let (text, gone) = caller_keys::without(&read(file)?, name);
    if gone == 0 {
        return Err(format!("{} has no key of {name}", file.display()));
    }
    write(file, &text)?;
    Ok(format!("{name} has no key any more\n"))
}

fn entries(file: &Path, text: &str) -> Result<Vec<CallerKey>, String> {
    caller_keys::read(text)
        .map_err(|bad| format!("{}, line {}: {}", file.display(), bad.number, bad.what))
}

/// A file that is not there yet is empty.
fn read(file: &Path) -> Result<String, String> {
    match fs::read_to_string(file) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|why| format!("{} can't be read: {why}", file.display())),
    }
}

/// The file itself, links followed, for us alone until the second is dropped: of
/// two commands at once, one waits for the other. The folder is locked, for the
/// file is replaced, and a file for the lock would need its own owner.
fn hold(file: &Path) -> Result<(PathBuf, File), String> {
    let file = match fs::canonicalize(file) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => file.to_owned(),
        found => found.map_err(|why| format!("{} can't be read: {why}", file.display()))?,
    };
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let lock = File::open(folder).and_then(|lock| {
        lock.lock()?;
        Ok(lock)
    });
    let lock = lock.map_err(|why| format!("{} can't be locked: {why}", folder.display()))?;
    Ok((file, lock))
}

/// The file is there whole, or as it was: a running sidekey may read it now.
fn write(file: &Path, text: &str) -> Result<(), String> {
    let random = random_text().map_err(|why| why.to_string())?;
    let mut new = file.as_os_str().to_owned();
    new.push(format!(".{}", &random.expose()[..8]));
    let new = PathBuf::from(new);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut out| {
            out.write_all(text.as_bytes())?;
            // Whoever may read it now may read it then: sidekey, most likely.
            if let Ok(seen) = fs::metadata(file) {
                give(&out, &seen)?;
                out.set_permissions(seen.permissions())?;
            }
            out.sync_all()
        })
        .and_then(|()| fs::rename(&new, file));
    written.map_err(|why| {
        let _ = fs::remove_file(&new);
        format!("{} can't be written: {why}", file.display())
    })
}

/// Makes a new file that of whoever has the old one.
fn give(new: &File, old: &Metadata) -> io::Result<()> {
    let made = new.metadata()?;
    let (uid, gid) = (old.uid(), old.gid());
    if (made.uid(), made.gid()) == (uid, gid) {
        return Ok(());
    }
    // Whose it is already need not be said, which only root may.
    let owner = (made.uid() != uid).then_some(uid);
    fchown(new, owner, Some(gid)).map_err(|why| {
        let what = format!("it can't stay that of user {uid} and group {gid}: {why}");
        io::Error::new(why.kind(), what)
    })
}

#[cfg(test)]
mod tests {
    use super::{Add, Common, Named, add, read, remove};
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::Path;

    fn named(name: &str, file: &Path) -> Named {
        Named {
            name: name.to_owned(),
            common: Common {
                file: file.to_owned(),
            },
        }
    }

    fn added(name: &str, file: &Path) {
        let args = Add {
            named: named(name, file),
            another: false,
            replace: false,
        };
        add(&args).unwrap();
    }

    #[test]
    fn whose_the_file_is_and_where_it_lies_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        symlink("real", &link).unwrap();
        added("ann", &file);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root can give a file away; anybody else finds it as it was.
        let _ = chown(&file, Some(12_345), Some(23_456));
        let seen = || {
            let seen = fs::metadata(&file).unwrap();
            (seen.uid(), seen.gid(), seen.mode() & 0o7777)
        };
        let before = seen();
        added("bob", &link);
        assert_eq!(seen(), before);
        remove(&named("ann", &link)).unwrap();
        assert_eq!(seen(), before);
        assert!(link.is_symlink());
        let text = read(&file).unwrap();
        assert!(text.starts_with("bob ") && text.lines().count() == 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn of_many_at_once_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callers");
        added("first", &file);
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (file, start) = (&file, &start);
                scope.spawn(move || {
                    start.wait();
                    for number in 0..4 {
                        added(&format!("caller-{thread}-{number}"), file);
                    }
                });
            }
        });
        assert_eq!(read(&file).unwrap().lines().count(), 33);
    }
}
