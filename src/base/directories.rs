//! Where sidekey keeps what it makes itself. Pure: the environment comes in
//! as a function, and no folder is looked at.

use std::path::{Path, PathBuf};

/// The folder for what a process leaves behind: systemd's state directory,
/// else the user's.
#[must_use]
pub fn state_directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| env(name).filter(|value| !value.is_empty());
    if let Some(directories) = set("STATE_DIRECTORY") {
        // systemd gives a list where a unit asks for several.
        return directories.split(':').next().map(PathBuf::from);
    }
    users_own(env, "XDG_STATE_HOME", ".local/state")
}

/// The user's configuration folder, where a key that sidekey made lies: never
/// beside what it seals, so that a copy of the one is not a copy of both.
#[must_use]
pub fn config_directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    users_own(env, "XDG_CONFIG_HOME", ".config")
}

/// XDG Base Directory Specification 0.8: the variable, else a folder at home.
fn users_own(
    env: &dyn Fn(&str) -> Option<String>,
    variable: &str,
    at_home: &str,
) -> Option<PathBuf> {
    let set = |name| env(name).filter(|value| !value.is_empty());
    let home = || set("HOME").map(|home| Path::new(&home).join(at_home));
    let base = set(variable).map(PathBuf::from).or_else(home)?;
    Some(base.join("sidekey"))
}

#[cfg(test)]
mod tests {
    use super::{config_directory, state_directory};
    use std::path::PathBuf;

    fn env(set: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = set.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_state_directory_is_systemds_else_the_users() {
        let with = |set| state_directory(&env(set));
        assert_eq!(
            with(&[("STATE_DIRECTORY", "/s:/t"), ("HOME", "/h")]),
            Some("/s".into())
        );
        assert_eq!(
            with(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]),
            Some("/x/sidekey".into())
        );
        assert_eq!(
            with(&[("XDG_STATE_HOME", ""), ("HOME", "/h")]),
            Some(PathBuf::from("/h/.local/state/sidekey"))
        );
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn the_configuration_directory_is_the_users() {
        let with = |set| config_directory(&env(set));
        assert_eq!(
            with(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]),
            Some("/c/sidekey".into())
        );
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.config/sidekey".into()));
        assert_eq!(with(&[("STATE_DIRECTORY", "/s")]), None);
    }
}
