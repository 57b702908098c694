//! Who the program runs as. The guard of a service that is root stays root,
//! so that it can end whatever the program becomes; what it touches for the
//! program it touches as the program's user, for whom no link leads further
//! than for themselves.

use std::{ffi::CString, io};

use nix::unistd::{
    Gid, Uid, geteuid, getgrouplist, getgroups, setegid, seteuid, setgroups, setresgid, setresuid,
};

use crate::process::protocol::User;

/// Another user, whom only root can become.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    /// `None`: the guard is that user already.
    pub(crate) fn of(user: Option<&User>) -> Result<Option<Self>, String> {
        let Some(user) = user else {
            return Ok(None);
        };
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let own = geteuid();
        if uid.is_root() {
            return Err("a step does not run as root".to_owned());
        }
        if own == uid {
            return Ok(None);
        }
        if !own.is_root() {
            return Err(format!(
                "the guard runs as user {own}, and should run as `{}`",
                user.name
            ));
        }
        let name = CString::new(user.name.as_str()).map_err(|error| error.to_string())?;
        let groups = getgrouplist(&name, gid)
            .map_err(|errno| format!("the groups of `{}`: {}", user.name, errno.desc()))?;
        Ok(Some(Self { uid, gid, groups }))
    }

    /// Becomes the user for good. Makes system calls only.
    pub(crate) fn assume(&self) -> nix::Result<()> {
        setgroups(&self.groups)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)
    }

    /// Does something as the user. Only a process with one thread may.
    fn act<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let groups = getgroups()?;
        setgroups(&self.groups)?;
        setegid(self.gid)?;
        seteuid(self.uid)?;
        let done = work();
        seteuid(Uid::from_raw(0))?;
        setegid(Gid::from_raw(0))?;
        setgroups(&groups)?;
        Ok(done)
    }
}

/// Does something as the user of the program.
pub(crate) fn acting<T>(
    identity: Option<&Identity>,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    match identity {
        Some(identity) => identity.act(work)?,
        None => work(),
    }
}
